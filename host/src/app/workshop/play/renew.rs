//! Another instance takes the place of the one that runs: handed over to, or after it was lost.

use super::{Input, Play, SendState, Stopped};
use crate::domain::manifest::Class;
use crate::runtime::Cause;
use crate::runtime::port::Framing;

impl Play<'_> {
    /// A new instance with what the old one hands over.
    pub(super) fn hand_over(&mut self) -> Result<(), Stopped> {
        let what = |what: &str| what.to_owned();
        let snapshot = self
            .stage
            .suspend(self.at)
            .map_err(|fault| Stopped::Fault {
                what: what("suspend"),
                fault,
            })?;
        let resume = self.stage.readable(snapshot);
        let resumed = resume.is_some();
        self.instance(Cause::Reload, resume)?;
        if !resumed {
            self.call_again();
        }
        Ok(())
    }

    /// The instance is lost. Its input comes again, and so does what the host calls again.
    pub(super) fn start_anew(&mut self, input: Input) -> Result<(), Stopped> {
        self.instance(Cause::Restart, None)?;
        match input {
            Input::Frame { label, bytes, .. } if self.played.unkept.contains(&label) => {
                // It went with its connection. Most channels give it again on the next.
                if self.provider.manifest.class != Class::BestEffort {
                    let generation = None;
                    self.drain()?;
                    self.queue.push_back(Input::Frame {
                        label,
                        generation,
                        bytes,
                    });
                }
            }
            input => self.queue.push_front(input),
        }
        self.call_again();
        Ok(())
    }

    fn instance(&mut self, cause: Cause, resume: Option<(u32, Vec<u8>)>) -> Result<(), Stopped> {
        let open = self.stage.open();
        let resumed = resume.is_some();
        let started = self.stage.start(self.at, cause, resume);
        let keeps = started.result.map_err(|fault| Stopped::Fault {
            what: match cause {
                Cause::Reload => "start with a snapshot".to_owned(),
                _ => "start after a fault".to_owned(),
            },
            fault,
        })?;
        let ledger = self.stage.ledger();
        for (label, generation) in open {
            let Some(view) = ledger.connections.get(&label) else {
                continue;
            };
            let raw = view.spec.framing == Framing::Raw && !resumed;
            if view.generation == generation && (raw || !keeps.contains(&label)) {
                self.played.unkept.insert(label.clone());
                self.queue.push_front(Input::Closed { label, generation });
            }
        }
        self.saw("start".to_owned(), started.effects, None);
        // Starts are not inputs of the script: they are compared by what they emit.
        self.played.inputs.pop();
        Ok(())
    }

    fn call_again(&mut self) {
        let dedupes = self.provider.manifest.dedupes_sends;
        for (request, (_, state)) in &mut self.sends {
            match state {
                SendState::Settled(_) => {}
                SendState::Dispatched if !dedupes => {
                    *state = SendState::Settled("unknown".to_owned());
                }
                _ => {
                    let waits = |input: &Input| matches!(input, Input::Send(it) if it == request);
                    if !self.queue.iter().any(waits) {
                        self.queue.push_back(Input::Send(request.clone()));
                    }
                }
            }
        }
    }
}
