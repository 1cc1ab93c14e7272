//! The commands, a file per resource.

pub mod accounts;
pub mod admin;
pub mod endpoint_body;
pub mod endpoints;
pub mod events;
pub mod keys;
pub mod listen;
pub mod messages;
pub mod providers;
pub mod send;
pub mod shell;
pub mod signin;
mod signin_answers;
pub mod workspaces;

use crate::failure::Outcome;
use crate::options::Options;
use crate::session::Session;
use clap::Subcommand;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Accounts: one login at one channel each
    Accounts(accounts::Accounts),
    /// Sign an account in: shows the QR code, asks for what is needed
    Signin(signin::Signin),
    /// Send a message and wait for its outcome
    Send(send::Send),
    /// What became of sends
    Messages(messages::Messages),
    /// The event log
    Events(events::Events),
    /// Forward events to a receiver on this machine, as a webhook would
    Listen(listen::Listen),
    /// Webhook endpoints
    Endpoints(endpoints::Endpoints),
    /// Channels' providers: what is installed, and installing
    Providers(providers::Providers),
    /// API keys, and the master key
    Keys(keys::Keys),
    /// Workspaces: whom keys and accounts belong to
    Workspaces(workspaces::Workspaces),
    /// How the host stands, what it was used for, its network policy
    Admin(admin::Admin),
    /// A script that completes commands and options in your shell
    Completions(shell::Completions),
    /// The manual as man pages
    Man(shell::Man),
}

impl Command {
    /// None: it speaks to no host.
    pub fn options(&self) -> Option<&Options> {
        Some(match self {
            Self::Accounts(it) => &it.options,
            Self::Signin(it) => &it.options,
            Self::Send(it) => &it.options,
            Self::Messages(it) => &it.options,
            Self::Events(it) => &it.options,
            Self::Listen(it) => &it.options,
            Self::Endpoints(it) => &it.options,
            Self::Providers(it) => &it.options,
            Self::Keys(it) => &it.options,
            Self::Workspaces(it) => &it.options,
            Self::Admin(it) => &it.options,
            Self::Completions(_) | Self::Man(_) => return None,
        })
    }

    /// Does it end in its own way when a signal comes?
    pub fn heeds_signals(&self) -> bool {
        matches!(
            self,
            Self::Signin(_) | Self::Send(_) | Self::Events(_) | Self::Listen(_)
        )
    }

    pub async fn run(&self, session: &Session) -> Outcome {
        match self {
            Self::Accounts(it) => it.run(session).await,
            Self::Signin(it) => it.run(session).await,
            Self::Send(it) => it.run(session).await,
            Self::Messages(it) => it.run(session).await,
            Self::Events(it) => it.run(session).await,
            Self::Listen(it) => it.run(session).await,
            Self::Endpoints(it) => it.run(session).await,
            Self::Providers(it) => it.run(session).await,
            Self::Keys(it) => it.run(session).await,
            Self::Workspaces(it) => it.run(session).await,
            Self::Admin(it) => it.run(session).await,
            Self::Completions(_) | Self::Man(_) => Ok(()),
        }
    }
}
