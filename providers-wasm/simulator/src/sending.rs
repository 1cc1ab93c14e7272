//! Sends: dispatched when the link is up, and kept until they are answered.

use anyport_sdk::types::Error;
use anyport_sdk::{connections, replies};
use anyport_simulator::protocol::{ClientFrame, Forward, Outgoing as Sending};
use anyport_simulator::request::Target;
use simulator_mapping::{content, quote};

use crate::connection::MAIN;
use crate::exports::messaging::Outgoing;
use crate::state::{Phase, State};

impl State {
    pub fn send(&mut self, request: String, message: Outgoing) -> Result<(), Error> {
        match content(message.content) {
            Ok(content) => {
                let frame = ClientFrame::Send(Sending {
                    token: request.clone(),
                    conversation: message.conversation,
                    content,
                    quote: quote(message.quote, message.reply_context),
                    thread: message.thread,
                    silent: message.silent,
                });
                self.dispatch_or_queue(request, &frame)
            }
            Err(error) => {
                replies::failed(&request, &error.not_done());
                Ok(())
            }
        }
    }

    pub fn forward(&mut self, request: String, target: Target, to: String) -> Result<(), Error> {
        let frame = ClientFrame::Forward(Forward {
            token: request.clone(),
            target,
            to,
        });
        self.dispatch_or_queue(request, &frame)
    }

    fn dispatch_or_queue(&mut self, request: String, frame: &ClientFrame) -> Result<(), Error> {
        if self.outbox.holds(&request) {
            // The host calls again after a crash; this instance has it still.
            if self.outbox.is_queued(&request) {
                replies::deferred(&request);
            }
            return Ok(());
        }
        let frame = serde_json::to_string(frame).map_err(|error| {
            Error::internal("the message cannot be written").with_detail(error.to_string())
        })?;
        match self.phase {
            Phase::Online => self.dispatch(request, frame),
            Phase::Waiting | Phase::Connecting | Phase::Greeting => {
                if self.outbox.queue(request.clone(), frame).is_ok() {
                    replies::deferred(&request);
                } else {
                    let full = Error::unavailable("too many messages wait for the link");
                    replies::failed(&request, &full.not_done());
                }
            }
            Phase::SignedOut | Phase::SigningIn(_) | Phase::SigningOut { .. } => {
                let out = Error::unauthenticated("the account is not signed in");
                replies::failed(&request, &out.not_done());
            }
        }
        Ok(())
    }

    pub fn dispatch(&mut self, token: String, frame: String) {
        connections::send(MAIN, &frame.clone().into_bytes().into());
        self.outbox.sent(token, frame, self.repeats_sends());
    }

    pub fn fail_all(&mut self, reason: &Error) {
        for (token, dispatched) in self.outbox.drain() {
            let reason = reason.clone();
            let failure = if dispatched {
                reason.maybe_done()
            } else {
                reason.not_done()
            };
            replies::failed(&token, &failure);
        }
    }
}
