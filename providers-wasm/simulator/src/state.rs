//! What one instance knows, how it begins and how it is handed over.

use anyport_sdk::account::Link;
use anyport_sdk::types::Error;
use anyport_sdk::{account, kv, secrets};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::connection::{MAIN, RECONNECT};
use crate::exports::lifecycle::{Snapshot, StartContext};
use crate::fetches::Fetches;
use crate::outbox::Outbox;
use crate::requests::Requests;
use crate::sign_in::SignIn;
use crate::uploads::Uploads;
use crate::{CHANNEL_DEDUPES, connection};

pub const STATE_VERSION: u32 = 2;

/// The kv key of the user who is signed in.
pub const USER: &str = "user";
/// The secret that proves it.
pub const SESSION: &str = "session";

#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    pub config: Config,
    pub phase: Phase,
    /// Failed attempts to connect since the link was last up.
    pub attempts: u32,
    pub outbox: Outbox,
    pub requests: Requests,
    #[serde(default)]
    pub uploads: Uploads,
    #[serde(default)]
    pub fetches: Fetches,
    /// Events that killed an instance twice.
    pub skip: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Phase {
    /// There is no session, and no connection.
    SignedOut,
    /// There is a session; the timer for the next attempt runs.
    Waiting,
    Connecting,
    /// Hello is said and not answered.
    Greeting,
    Online,
    SigningIn(SignIn),
    /// Said to the server; the request is answered when it is done.
    SigningOut {
        request: String,
    },
}

impl Phase {
    /// A connection belongs to it.
    pub fn is_linked(&self) -> bool {
        match self {
            Self::SignedOut | Self::Waiting => false,
            Self::Connecting | Self::Greeting | Self::Online | Self::SigningOut { .. } => true,
            Self::SigningIn(sign_in) => sign_in.is_linked(),
        }
    }
}

impl State {
    /// Also says which connections this instance goes on with.
    pub fn start(context: StartContext) -> Result<(Self, Vec<String>), Error> {
        let config = Config::parse(&context.config)?;
        let open = context.open.iter().any(|name| name == MAIN);
        let before = match &context.resume {
            Some(snapshot) => Some(Self::read(snapshot)?),
            None => None,
        };
        let mut state = match before {
            Some(before) => Self {
                skip: context.skip,
                ..before
            },
            None => Self {
                config: config.clone(),
                phase: Phase::SignedOut,
                attempts: 0,
                outbox: Outbox::default(),
                requests: Requests::default(),
                uploads: Uploads::default(),
                fetches: Fetches::default(),
                skip: context.skip,
            },
        };
        let same_server = state.config.address() == config.address();
        state.config = config;
        let resumed = context.resume.is_some();
        if resumed && same_server {
            let lost =
                state.phase.is_linked() && !matches!(state.phase, Phase::Connecting) && !open;
            if lost {
                state.link_lost(Error::unavailable("the connection was gone"));
                state.connect();
            } else if matches!(state.phase, Phase::Connecting) {
                state.connect();
            } else {
                state.read_again();
            }
        } else if resumed {
            anyport_sdk::connections::close(MAIN);
            state.link_lost(Error::unavailable("the account has another server now"));
            state.go_on();
        } else {
            // After a fault or a restart. Whether a kept connection is signed in is not
            // known; saying hello twice is harmless, closing it would not be.
            state.go_on();
        }
        let keeps = open && state.phase.is_linked();
        Ok((
            state,
            if keeps {
                vec![MAIN.to_owned()]
            } else {
                Vec::new()
            },
        ))
    }

    pub fn suspend(&self) -> Result<Snapshot, Error> {
        let bytes = serde_json::to_vec(self).map_err(|error| {
            Error::internal("the state cannot be written").with_detail(error.to_string())
        })?;
        Ok(Snapshot {
            state_version: STATE_VERSION,
            bytes,
        })
    }

    fn read(snapshot: &Snapshot) -> Result<Self, Error> {
        if snapshot.state_version != STATE_VERSION {
            return Err(Error::internal(format!(
                "state of version {} cannot be read",
                snapshot.state_version
            )));
        }
        serde_json::from_slice(&snapshot.bytes).map_err(|error| {
            Error::internal("the state cannot be read").with_detail(error.to_string())
        })
    }

    /// Connects if there is a session.
    pub fn go_on(&mut self) {
        if secrets::exists(SESSION) && kv::get(USER).is_some() {
            self.connect();
        } else {
            self.phase = Phase::SignedOut;
            account::set_link(Link::Offline, None);
        }
    }

    /// The session is over. Everything that waits ends with `reason`.
    pub fn forget_session(&mut self, reason: &Error) {
        secrets::remove(SESSION);
        kv::remove(USER);
        self.phase = Phase::SignedOut;
        self.attempts = 0;
        anyport_sdk::timers::cancel(RECONNECT);
        self.fail_all(reason);
        account::set_link(Link::Offline, Some(reason));
        account::signed_out(reason);
    }

    /// The connection is gone: settles what can be settled, and leaves the phase.
    pub fn link_lost(&mut self, reason: Error) {
        if matches!(self.phase, Phase::Online) {
            self.uploads.link_lost();
            // From now on, not from each attempt to connect.
            self.watch_media();
        }
        match std::mem::replace(&mut self.phase, Phase::Waiting) {
            Phase::SigningIn(sign_in) => {
                self.phase = Phase::SignedOut;
                sign_in.fail(reason);
            }
            Phase::SigningOut { request } => {
                // The session may live on at the server; here it is over.
                self.forget_session(&Error::unauthenticated("signed out"));
                anyport_sdk::replies::done(&request);
            }
            Phase::SignedOut => self.phase = Phase::SignedOut,
            Phase::Waiting | Phase::Connecting | Phase::Greeting | Phase::Online => {}
        }
        self.requests.link_lost();
        for token in self.outbox.link_lost() {
            let lost = Error::unavailable("the connection closed before the channel answered");
            anyport_sdk::replies::failed(&token, &lost.maybe_done());
        }
    }

    pub fn repeats_sends(&self) -> bool {
        CHANNEL_DEDUPES
    }

    pub fn connect(&mut self) {
        connection::connect(self);
    }
}
