//! Provider of the simulator channel.
//!
//! Holds one instance's state and hands every call to it; the calls that are requests to the
//! channel stand in `actions`. What the channel's frames mean stands in `session`, `sign_in`,
//! `sending`, `uploads`, `fetches` and `requests`; this file must hold no rule of its own.

mod actions;
mod config;
mod connection;
mod describe;
mod fetches;
mod outbox;
mod requests;
mod sending;
mod session;
mod sign_in;
mod state;
#[cfg(test)]
mod tests;
mod uploads;

use std::cell::RefCell;

use anyport_sdk::types::Error;

#[cfg(not(feature = "native"))]
use crate::state::State;

#[cfg(not(feature = "no-dedupe"))]
anyport_sdk::manifest!("../provider.toml");
#[cfg(feature = "no-dedupe")]
anyport_sdk::manifest!("../provider-no-dedupe.toml");

anyport_sdk::provider! {
    world: "anyport:simulator/simulator",
    path: ["../../wit", "wit"],
    provider: Provider,
}
#[cfg(not(feature = "native"))]
use exports::{lifecycle, messaging, reactor, sign_in as signing_in};
#[cfg(feature = "native")]
pub use {
    crate::state::State,
    exports::{lifecycle, messaging, reactor, sign_in as signing_in},
};

/// What the manifest says as well: a send that was not answered may be made again.
const CHANNEL_DEDUPES: bool = cfg!(not(feature = "no-dedupe"));

struct Provider;

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

fn with_state<T>(call: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
    STATE.with_borrow_mut(|state| match state {
        Some(state) => call(state),
        None => Err(Error::internal("called before start")),
    })
}

impl lifecycle::Guest for Provider {
    fn describe() -> lifecycle::Descriptor {
        describe::descriptor()
    }

    fn start(context: lifecycle::StartContext) -> Result<lifecycle::Started, Error> {
        let (state, keeps) = State::start(context)?;
        STATE.set(Some(state));
        Ok(lifecycle::Started { keeps })
    }

    fn suspend() -> Result<lifecycle::Snapshot, Error> {
        with_state(|state| state.suspend())
    }
}

impl reactor::Guest for Provider {
    fn on_wake(wake: reactor::Wake) -> Result<(), Error> {
        with_state(|state| state.wake(wake))
    }
}

impl signing_in::Guest for Provider {
    fn begin(
        request: String,
        method: String,
        answers: Vec<signing_in::Answer>,
    ) -> Result<(), Error> {
        with_state(|state| state.begin_sign_in(request, &method, &answers))
    }

    fn submit(request: String, answers: Vec<signing_in::Answer>) -> Result<(), Error> {
        with_state(|state| state.submit_answers(request, &answers))
    }

    fn cancel(request: String) -> Result<(), Error> {
        with_state(|state| state.cancel_sign_in(&request))
    }

    fn sign_out(request: String) -> Result<(), Error> {
        with_state(|state| state.sign_out(request))
    }
}

impl messaging::Guest for Provider {
    fn send(request: String, message: messaging::Outgoing) -> Result<(), Error> {
        with_state(|state| state.send(request, message))
    }
}
