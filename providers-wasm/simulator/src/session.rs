//! What the server says on the connection.

use anyport_sdk::account::Link;
use anyport_sdk::events::Emission;
use anyport_sdk::model::Custom;
use anyport_sdk::types::{Error, ErrorCode};
use anyport_sdk::{
    account, connections, events, kv, logging, replies, secrets, sign_in_steps, timers, turn,
};
use anyport_simulator::protocol::{ClientFrame, Event, Profile, ServerFrame};
use simulator_mapping::{emission, error, identity, sent};

use crate::connection::{MAIN, RECONNECT, say};
use crate::state::{Phase, SESSION, State, USER};

impl State {
    pub fn receive(&mut self, frame: &[u8]) {
        let frame = match serde_json::from_slice::<ServerFrame>(frame) {
            Ok(frame) => frame,
            Err(why) if why.is_data() => {
                return logging::warn(
                    "a frame that this version does not know",
                    &[("error", &why.to_string())],
                );
            }
            Err(why) => {
                logging::warn(
                    "a frame that cannot be read",
                    &[("error", &why.to_string())],
                );
                return self
                    .give_up_connection(Error::unavailable("the server sent what cannot be read"));
            }
        };
        match frame {
            ServerFrame::Event(event) => self.receive_event(event),
            ServerFrame::Accepted(accepted) => {
                self.outbox.answered(&accepted.token);
                replies::sent(&accepted.token, &sent(&accepted));
            }
            ServerFrame::Rejected {
                token,
                error: fault,
            } => {
                self.outbox.answered(&token);
                replies::failed(&token, &error(fault).not_done());
            }
            ServerFrame::Answered { id, answer } => self.requests.answered(&id, answer),
            ServerFrame::Denied { id, error: fault } => self.requests.denied(&id, error(fault)),
            ServerFrame::Uploaded(uploaded) => self.uploaded(uploaded),
            ServerFrame::UploadDenied {
                upload,
                error: fault,
            } => self.upload_denied(&upload, error(fault)),
            ServerFrame::Piece(piece) => self.receive_piece(piece),
            ServerFrame::FetchDenied {
                medium,
                error: fault,
            } => self.fetch_denied(&medium, error(fault)),
            ServerFrame::Welcome { profile } => self.online(profile),
            ServerFrame::SignedIn { session, profile } => self.signed_in(session, profile),
            ServerFrame::Challenge(challenge) => {
                if let Phase::SigningIn(sign_in) = &mut self.phase {
                    sign_in.challenged(challenge);
                }
            }
            ServerFrame::Refused(fault) => self.refused(error(fault)),
            ServerFrame::Revoked(fault) => {
                connections::close(MAIN);
                self.forget_session(&error(fault));
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
            events::emit(&emission(event));
        }
        say(&ack);
    }

    fn online(&mut self, profile: Profile) {
        self.phase = Phase::Online;
        self.attempts = 0;
        timers::cancel(RECONNECT);
        account::set_identity(&identity(profile));
        account::set_link(Link::Online, None);
        self.send_ready();
        self.go_up();
        self.go_down();
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
}
