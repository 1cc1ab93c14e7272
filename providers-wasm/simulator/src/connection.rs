//! The one connection: opening it, closing it, coming back with growing pauses.

use anyport_sdk::account::Link;
use anyport_sdk::connections::{Framing, LengthPrefix, Spec};
use anyport_sdk::types::{Error, ErrorCode};
use anyport_sdk::{account, connections, kv, logging, secrets, timers, turn};
use anyport_simulator::protocol::{ClientFrame, MAX_FRAME_BYTES};

use crate::exports::reactor::Wake;
use crate::fetches::STALLED;
use crate::state::{Phase, SESSION, State, USER};
use crate::uploads::READ;

pub const MAIN: &str = "main";
pub const RECONNECT: &str = "reconnect";

const FIRST_PAUSE_MS: u64 = 250;
const LONGEST_PAUSE_MS: u64 = 30_000;

pub fn say(frame: &ClientFrame) {
    match serde_json::to_vec(frame) {
        Ok(bytes) => connections::send(MAIN, &bytes.into()),
        Err(error) => logging::error(
            "a frame cannot be written",
            &[("error", &error.to_string())],
        ),
    }
}

fn ensure(state: &State) -> Result<connections::State, Error> {
    let (server, port) = state.config.address()?;
    let framing = Framing::LengthPrefix(LengthPrefix::big_endian(4));
    let spec = Spec {
        max_frame_bytes: MAX_FRAME_BYTES,
        ping_interval_ms: Some(30_000),
        connect_timeout_ms: Some(10_000),
        ..Spec::tcp(server, port, framing)
    };
    Ok(connections::ensure(MAIN, &spec))
}

/// For an account with a session.
pub fn connect(state: &mut State) {
    match ensure(state) {
        Ok(connections::State::Open) => greet(state),
        Ok(_) => {
            state.phase = Phase::Connecting;
            account::set_link(Link::Connecting, None);
        }
        Err(error) => {
            state.phase = Phase::Waiting;
            account::set_link(Link::Offline, Some(&error));
        }
    }
}

/// For a sign-in, which has a connection of its own.
pub fn connect_anew(state: &State) -> Result<(), Error> {
    connections::close(MAIN);
    timers::cancel(RECONNECT);
    ensure(state).map(|_| ())
}

fn greet(state: &mut State) {
    let user = kv::get(USER).and_then(|user| String::from_utf8(user).ok());
    let session = match secrets::reveal(SESSION) {
        Ok(session) => session.and_then(|session| String::from_utf8(session).ok()),
        Err(error) => {
            connections::close(MAIN);
            state.phase = Phase::Waiting;
            return account::set_link(Link::Offline, Some(&error));
        }
    };
    let (Some(user), Some(session)) = (user, session) else {
        connections::close(MAIN);
        return state.forget_session(&Error::unauthenticated("there is no session"));
    };
    say(&ClientFrame::Hello { user, session });
    state.phase = Phase::Greeting;
}

impl State {
    pub fn wake(&mut self, wake: Wake) -> Result<(), Error> {
        match wake {
            Wake::Frame(received) if received.name == MAIN => {
                self.receive(received.frame.as_bytes())
            }
            Wake::Opened(opened) if opened.name == MAIN => match &mut self.phase {
                Phase::SigningIn(sign_in) => sign_in.connected(),
                Phase::SignedOut => connections::close(MAIN),
                _ => greet(self),
            },
            Wake::Closed(closed) if closed.name == MAIN => self.closed(closed.reason),
            Wake::Timer(fired)
                if fired.name == RECONNECT && matches!(self.phase, Phase::Waiting) =>
            {
                self.connect();
            }
            Wake::Timer(fired) if fired.name == STALLED => self.media_stalled(),
            Wake::Blob(range) if range.name == READ => self.blob_read(range.outcome),
            Wake::Reconnect => self.reconnect(),
            Wake::Stopping if self.phase.is_linked() => say(&ClientFrame::Bye {}),
            _ => {}
        }
        Ok(())
    }

    fn closed(&mut self, reason: Error) {
        self.link_lost(reason.clone());
        if matches!(self.phase, Phase::Waiting) {
            self.retry_later(&reason);
        } else {
            self.go_on_after_sign_in();
        }
    }

    /// A sign-in that ended without success leaves the session before it, if there was one.
    pub fn go_on_after_sign_in(&mut self) {
        if matches!(self.phase, Phase::SignedOut) {
            self.go_on();
        }
    }

    fn reconnect(&mut self) {
        if matches!(
            self.phase,
            Phase::SignedOut | Phase::SigningIn(_) | Phase::SigningOut { .. }
        ) {
            return;
        }
        connections::close(MAIN);
        timers::cancel(RECONNECT);
        self.link_lost(Error::unavailable("a fresh link was asked for"));
        self.attempts = 0;
        self.connect();
    }

    /// The server says what cannot be read: a new connection gives again what counts.
    pub fn give_up_connection(&mut self, reason: Error) {
        connections::close(MAIN);
        self.closed(reason);
    }

    fn retry_later(&mut self, reason: &Error) {
        let pause = if reason.code == ErrorCode::Denied {
            LONGEST_PAUSE_MS
        } else {
            (FIRST_PAUSE_MS << self.attempts.min(10)).min(LONGEST_PAUSE_MS)
        };
        // Between a half and the whole of it, so that accounts do not come back in step.
        let share = turn::random(1).first().map_or(255, |byte| u64::from(*byte));
        let pause = pause / 2 + pause * share / 510;
        self.attempts = self.attempts.saturating_add(1);
        timers::set(RECONNECT, &timers::Spec::at(turn::now() + pause));
        account::set_link(Link::Offline, Some(reason));
    }
}
