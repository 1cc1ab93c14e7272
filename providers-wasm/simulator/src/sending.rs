//! Sends: dispatched when the link and their media are up, and kept until they are answered.

use anyport_sdk::types::Error;
use anyport_sdk::{connections, replies};
use anyport_simulator::protocol::{ClientFrame, Forward, Outgoing as Sending};
use anyport_simulator::request::Target;
use simulator_mapping::{content, quote};

use crate::connection::MAIN;
use crate::exports::messaging::Outgoing;
use crate::outbox::Waiting;
use crate::state::{Phase, State};
use crate::uploads::{self, Upload};

impl State {
    pub fn send(&mut self, request: String, mut message: Outgoing) -> Result<(), Error> {
        let media = match uploads::of(&request, &mut message.content) {
            Ok(media) => media,
            Err(error) => {
                replies::failed(&request, &error.not_done());
                return Ok(());
            }
        };
        let conversation = message.conversation.clone();
        let frame = ClientFrame::Send(Sending {
            token: request.clone(),
            conversation: message.conversation,
            content: content(message.content),
            quote: quote(message.quote, message.reply_context),
            thread: message.thread,
            silent: message.silent,
        });
        self.dispatch_or_queue(request, conversation, &frame, media)
    }

    pub fn forward(&mut self, request: String, target: Target, to: String) -> Result<(), Error> {
        let frame = ClientFrame::Forward(Forward {
            token: request.clone(),
            target,
            to: to.clone(),
        });
        self.dispatch_or_queue(request, to, &frame, Vec::new())
    }

    fn dispatch_or_queue(
        &mut self,
        request: String,
        conversation: String,
        frame: &ClientFrame,
        media: Vec<Upload>,
    ) -> Result<(), Error> {
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
            Phase::Online if media.is_empty() && !self.outbox.holds_back(&conversation) => {
                self.dispatch(request, frame);
            }
            Phase::Online | Phase::Waiting | Phase::Connecting | Phase::Greeting => {
                let queued = self.queue(Waiting {
                    token: request.clone(),
                    frame,
                    dispatched: false,
                    conversation,
                    media,
                });
                match queued {
                    Ok(()) => replies::deferred(&request),
                    Err(full) => replies::failed(&request, &full.not_done()),
                }
                self.go_up();
            }
            Phase::SignedOut | Phase::SigningIn(_) | Phase::SigningOut { .. } => {
                let out = Error::unauthenticated("the account is not signed in");
                replies::failed(&request, &out.not_done());
            }
        }
        Ok(())
    }

    fn queue(&mut self, waiting: Waiting) -> Result<(), Error> {
        if !waiting.media.is_empty() {
            self.has_room_for_uploads(waiting.media.len())?;
        }
        let full = |_| Error::unavailable("too many messages wait for the link or for media");
        self.outbox.queue(waiting).map_err(full)
    }

    /// What waits for nothing any more leaves.
    pub fn send_ready(&mut self) {
        if !matches!(self.phase, Phase::Online) {
            return;
        }
        while let Some(waiting) = self.outbox.next_ready() {
            match waiting.complete() {
                Ok(frame) => {
                    if !waiting.dispatched {
                        replies::dispatched(&waiting.token);
                    }
                    self.dispatch(waiting.token, frame);
                }
                Err(error) => {
                    let error = Error::internal("the message cannot be completed")
                        .with_detail(error.to_string());
                    replies::failed(&waiting.token, &error.not_done());
                }
            }
        }
    }

    pub fn dispatch(&mut self, token: String, frame: String) {
        connections::send(MAIN, &frame.clone().into_bytes().into());
        self.outbox.sent(token, frame, self.repeats_sends());
    }

    pub fn fail_all(&mut self, reason: &Error) {
        self.uploads.fail_all(reason);
        self.fetches.fail_all(reason);
        self.watch_media();
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
