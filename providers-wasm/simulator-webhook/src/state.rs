//! What one instance knows, how it begins and how it is handed over.

use anyport_sdk::account::Link;
use anyport_sdk::types::Error;
use anyport_sdk::{account, secrets};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::exports::lifecycle::{Snapshot, StartContext};
use crate::exports::reactor::Wake;
use crate::media;
use crate::sends::Sends;
use crate::session::{CHECK, TOKEN};

pub const STATE_VERSION: u32 = 2;

#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    pub config: Config,
    pub phase: Phase,
    pub sends: Sends,
    /// Checks in a row that got no answer.
    pub attempts: u32,
    /// Events that killed an instance twice.
    pub skip: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    SignedOut,
    /// The token is being tried.
    SigningIn {
        request: String,
    },
    SignedIn,
}

impl State {
    pub fn start(context: StartContext) -> Result<Self, Error> {
        let config = Config::parse(&context.config)?;
        if let Some(snapshot) = &context.resume {
            let before = Self::read(snapshot)?;
            return Ok(Self {
                config,
                skip: context.skip,
                ..before
            });
        }
        // Requests that were under way are the host's; their answers come to this instance.
        let mut state = Self {
            config,
            phase: Phase::SignedOut,
            sends: Sends::default(),
            attempts: 0,
            skip: context.skip,
        };
        if secrets::exists(TOKEN) {
            state.phase = Phase::SignedIn;
            state.check();
        } else {
            account::set_link(Link::Offline, None);
        }
        Ok(state)
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

    pub fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Http(answered) if answered.name == CHECK => self.checked(answered.outcome),
            Wake::Http(answered) if answered.name.starts_with(media::LABEL) => {
                media::fetched(&answered.name, answered.outcome);
            }
            Wake::Http(answered) => self.send_answered(&answered.context, answered.outcome),
            Wake::Timer(fired) if fired.name == CHECK => self.check(),
            Wake::Timer(fired) => self.send_again(&fired.context),
            Wake::Reconnect if self.phase == Phase::SignedIn => self.check(),
            _ => {}
        }
    }
}
