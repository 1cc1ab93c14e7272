//! What the server says on the connection, and sending.

use anyport_sdk::account::Link;
use anyport_sdk::events::Emission;
use anyport_sdk::model::{Custom, Identity};
use anyport_sdk::replies::SentMessage;
use anyport_sdk::types::{Error, ErrorCode};
use anyport_sdk::{
    account, connections, events, kv, logging, replies, secrets, sign_in_steps, timers, turn,
};
use anyport_simulator::protocol::{ClientFrame, Event, Fault, Profile, ServerFrame};

use crate::connection::{MAIN, RECONNECT, say};
use crate::exports::messaging::Outgoing;
use crate::state::{Phase, SESSION, State, USER};
use crate::{inbound, outbound};

impl State {
    pub fn receive(&mut self, frame: &[u8]) {
        let frame = match serde_json::from_slice::<ServerFrame>(frame) {
            Ok(frame) => frame,
            Err(error) if error.is_data() => {
                return logging::warn(
                    "a frame that this version does not know",
                    &[("error", &error.to_string())],
                );
            }
            Err(error) => {
                logging::warn(
                    "a frame that cannot be read",
                    &[("error", &error.to_string())],
                );
                return self
                    .give_up_connection(Error::unavailable("the server sent what cannot be read"));
            }
        };
        match frame {
            ServerFrame::Event(event) => self.receive_event(event),
            ServerFrame::Accepted(accepted) => {
                self.outbox.answered(&accepted.token);
                replies::sent(
                    &accepted.token,
                    &SentMessage::new(accepted.message, accepted.sent_at),
                );
            }
            ServerFrame::Rejected { token, error } => {
                self.outbox.answered(&token);
                replies::failed(&token, &error_from(error).not_done());
            }
            ServerFrame::Welcome { profile } => self.online(profile),
            ServerFrame::SignedIn { session, profile } => self.signed_in(session, profile),
            ServerFrame::Challenge(challenge) => {
                if let Phase::SigningIn(sign_in) = &mut self.phase {
                    sign_in.challenged(challenge);
                }
            }
            ServerFrame::Refused(fault) => self.refused(error_from(fault)),
            ServerFrame::Revoked(fault) => {
                connections::close(MAIN);
                self.forget_session(&error_from(fault));
            }
            ServerFrame::SignedOut {} => {
                if let Phase::SigningOut { request } =
                    std::mem::replace(&mut self.phase, Phase::SignedOut)
                {
                    connections::close(MAIN);
                    self.forget_session(&Error::unauthenticated("signed out"));
                    replies::done(&request);
                }
            }
            ServerFrame::Cancelled {} | ServerFrame::Pong(_) | ServerFrame::Bye {} => {}
        }
    }

    /// Event and acknowledgement belong to one turn: the acknowledgement leaves when the
    /// event is safe.
    fn receive_event(&mut self, event: Event) {
        turn::subject(&event.id);
        let ack = ClientFrame::Ack(event.id.clone());
        if self.skip.contains(&event.id) {
            let value = serde_json::json!({ "subject": event.id }).to_string();
            let skipped = events::Event::Custom(Custom {
                name: "event.skipped".to_owned(),
                value,
            });
            events::emit(&Emission::new(event.id, event.at, skipped));
        } else {
            events::emit(&inbound::emission(event));
        }
        say(&ack);
    }

    fn online(&mut self, profile: Profile) {
        self.phase = Phase::Online;
        self.attempts = 0;
        timers::cancel(RECONNECT);
        account::set_identity(&identity(profile));
        account::set_link(Link::Online, None);
        while let Some(waiting) = self.outbox.next_queued() {
            if !waiting.dispatched {
                replies::dispatched(&waiting.token);
            }
            self.dispatch(waiting.token, waiting.frame);
        }
    }

    fn signed_in(&mut self, session: String, profile: Profile) {
        secrets::put(SESSION, session.as_bytes());
        kv::put(USER, profile.username.as_bytes());
        sign_in_steps::succeeded(&identity(profile.clone()));
        if let Phase::SigningIn(sign_in) = &mut self.phase {
            sign_in.shown();
        }
        self.online(profile);
    }

    fn refused(&mut self, error: Error) {
        match std::mem::replace(&mut self.phase, Phase::SignedOut) {
            Phase::SigningIn(sign_in) => {
                connections::close(MAIN);
                sign_in.fail(error);
                self.go_on_after_sign_in();
            }
            Phase::Greeting if error.code == ErrorCode::Unauthenticated => {
                connections::close(MAIN);
                self.forget_session(&error);
            }
            phase => {
                self.phase = phase;
                self.give_up_connection(error);
            }
        }
    }

    pub fn sign_out(&mut self, request: String) -> Result<(), Error> {
        if matches!(self.phase, Phase::Online) {
            say(&ClientFrame::SignOut {});
            self.phase = Phase::SigningOut { request };
            return Ok(());
        }
        connections::close(MAIN);
        if let Phase::SigningIn(sign_in) = std::mem::replace(&mut self.phase, Phase::SignedOut) {
            sign_in.fail(Error::new(ErrorCode::Conflict, "the account is signed out"));
        }
        self.forget_session(&Error::unauthenticated("signed out"));
        replies::done(&request);
        Ok(())
    }

    pub fn send(&mut self, request: String, message: Outgoing) -> Result<(), Error> {
        if self.outbox.holds(&request) {
            // The host calls again after a crash; this instance has it still.
            if self.outbox.is_queued(&request) {
                replies::deferred(&request);
            }
            return Ok(());
        }
        let frame = match outbound::frame(&request, message) {
            Ok(frame) => frame,
            Err(error) => {
                replies::failed(&request, &error.not_done());
                return Ok(());
            }
        };
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

    fn dispatch(&mut self, token: String, frame: String) {
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

pub fn identity(profile: Profile) -> Identity {
    Identity {
        display_name: Some(profile.name),
        username: Some(profile.username),
        phone: Some(profile.phone),
        ..Identity::new(profile.id)
    }
}

pub fn error_from(fault: Fault) -> Error {
    let code = ErrorCode::from_name(&fault.code);
    Error {
        code: code.unwrap_or(ErrorCode::Unavailable),
        message: fault.message,
        channel_code: fault
            .channel_code
            .or_else(|| code.is_none().then_some(fault.code)),
        retry_after_ms: fault.retry_after_ms,
        detail: None,
    }
}
