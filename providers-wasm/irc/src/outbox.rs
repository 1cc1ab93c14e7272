//! Sends on their way: those that wait for the link or for their turn, and those of which a
//! line has left and whose `PONG` has not come. Owns their order, bounds and outcomes; it
//! must never write a line that pacing did not allow.

use std::collections::VecDeque;

use anyport_sdk::replies::Certainty;
use anyport_sdk::types::{Error, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::pacing::Pacing;
use crate::port::{Reply, Turn, error};
use crate::send::{Refusal, Send, read_label};
use crate::state::{self, Link};

/// Sends that wait or are open, and how much they may weigh, since all of them must fit
/// into a snapshot.
const MAX_SENDS: usize = 200;
const MAX_WEIGHT: usize = 128 * 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outbox {
    /// No line has left.
    pub waiting: VecDeque<Send>,
    /// A line has left; at most the last one still has text.
    pub open: VecDeque<Send>,
    pub pacing: Pacing,
}

impl Outbox {
    pub fn knows(&self, request: &str) -> bool {
        self.waiting
            .iter()
            .chain(&self.open)
            .any(|send| send.request == request)
    }

    /// Is there room for one more?
    pub fn admit(&self, send: &Send) -> Result<(), Error> {
        let sends = self.waiting.iter().chain(&self.open);
        let weight: usize = sends.map(Send::weight).sum();
        if self.waiting.len() + self.open.len() >= MAX_SENDS || weight + send.weight() > MAX_WEIGHT
        {
            let full = error(ErrorCode::RateLimited, "too many messages wait to be sent");
            return Err(Error {
                retry_after_ms: Some(10_000),
                ..full
            });
        }
        Ok(())
    }

    /// Sends of which lines had left when an instance ended; what is in kv.
    pub fn load(&mut self, turn: &mut Turn) {
        let mut after: Option<String> = None;
        loop {
            let (entries, more) = turn.port.scan(state::FLIGHTS, after.as_deref());
            for (key, bytes) in &entries {
                match serde_json::from_slice::<Send>(bytes) {
                    Ok(send) => self.open.push_back(Send {
                        first_frame: None,
                        ..send
                    }),
                    Err(_) => turn.port.remove(key),
                }
            }
            after = entries.last().map(|(key, _)| key.clone());
            if !more || after.is_none() {
                return;
            }
        }
    }

    /// The `PONG` of this send has come.
    pub fn pong(&mut self, turn: &mut Turn, number: u64) {
        if let Some(at) = self
            .open
            .iter()
            .position(|send| send.number == number && send.fenced)
            && let Some(send) = self.open.remove(at)
        {
            send.settle(turn);
        }
    }

    /// The server refused a line. `label`: exactly which. True: it was one of ours.
    pub fn refused(
        &mut self,
        turn: &mut Turn,
        link: &Link,
        refusal: &Error,
        target: Option<&str>,
        label: Option<&str>,
    ) -> bool {
        let labelled = label.and_then(read_label);
        let found = self.open.iter_mut().find(|send| match labelled {
            Some((number, _)) => send.number == number,
            None => {
                send.out.iter().any(|line| !line.refused)
                    && target.is_none_or(|target| link.isupport.casemap.same(target, &send.target))
            }
        });
        let Some(send) = found else { return false };
        let line = match labelled {
            Some((_, index)) => send.out.get_mut(index),
            None => send.out.iter_mut().find(|line| !line.refused),
        };
        if let Some(line) = line {
            line.refused = true;
        }
        send.refusal.get_or_insert_with(|| Refusal::new(refusal));
        // The rest of a refused text stays here: half an answer helps nobody.
        send.rest.clear();
        state::put_json(turn.port, &send.key(), send);
        true
    }

    /// The server gave back a line of ours. True: it belongs to a send.
    pub fn echoed(&mut self, turn: &mut Turn, link: &Link, echo: &Echo) -> bool {
        let labelled = echo.label.and_then(read_label);
        // Where there are labels, what has none is no echo of ours.
        if labelled.is_none() && link.has("labeled-response") {
            return false;
        }
        for send in &mut self.open {
            let line = match labelled {
                Some((number, index)) if send.number == number => send.out.get_mut(index),
                Some(_) => None,
                None if link.isupport.casemap.same(echo.target, &send.target) => {
                    send.out.iter_mut().find(|line| {
                        !line.echoed
                            && !line.refused
                            && line.hash == state::hash(echo.text.as_bytes())
                    })
                }
                None => None,
            };
            let Some(line) = line.filter(|line| !line.echoed) else {
                continue;
            };
            line.echoed = true;
            line.at = echo.at;
            if let Some(id) = echo.message {
                line.id = id.to_owned();
                line.from_channel = true;
            }
            state::put_json(turn.port, &send.key(), send);
            return true;
        }
        false
    }

    /// The connection is gone. What had not left waits on; of what had, the outcome is open,
    /// unless the host says that none of it left. `frames`: how many the connection was given.
    pub fn lost(&mut self, turn: &mut Turn, reason: &Error, frames: u64, undelivered: u32) {
        let left = frames.saturating_sub(u64::from(undelivered));
        for send in self.open.drain(..) {
            let none_left = send.first_frame.is_some_and(|first| first > left);
            let certainty = if none_left || send.out.iter().all(|line| line.refused) {
                Certainty::NotDone
            } else {
                Certainty::MaybeDone
            };
            let failure = match &send.refusal {
                Some(refusal) => refusal.error(),
                None => error(
                    ErrorCode::Unavailable,
                    format!(
                        "the connection ended before the server had confirmed the message: {}",
                        reason.message
                    ),
                ),
            };
            turn.reply(&send.request, Reply::Failed(failure, certainty));
            turn.port.remove(&send.key());
        }
    }

    /// Nothing will be sent any more.
    pub fn abandon(&mut self, turn: &mut Turn, reason: &Error) {
        self.lost(turn, reason, 0, 0);
        for send in self.waiting.drain(..) {
            turn.refuse(&send.request, reason.clone());
        }
    }
}

/// A line of ours as the server gave it back.
pub struct Echo<'a> {
    pub target: &'a str,
    pub text: &'a str,
    pub label: Option<&'a str>,
    pub message: Option<&'a str>,
    pub at: u64,
}
