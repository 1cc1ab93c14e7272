//! Provider of the simulator channel for accounts whose events come by webhook and whose sends leave
//! over HTTP: no connection is kept.
//!
//! Holds one instance's state and hands every call to it; must hold no rule of its own.

mod api;
mod config;
mod describe;
mod ingress;
mod media;
mod sends;
mod session;
mod state;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use anyport_sdk::types::Error;

use crate::state::State;

anyport_sdk::manifest!("../provider.toml");

anyport_sdk::provider! {
    world: "anyport:simulator-webhook/simulator-webhook",
    path: ["../../wit", "wit"],
    provider: Provider,
}
use exports::{
    ingress as channel_calls, lifecycle, media as media_calls, messaging, reactor, sign_in,
};

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
        STATE.set(Some(State::start(context)?));
        Ok(lifecycle::Started { keeps: Vec::new() })
    }

    fn suspend() -> Result<lifecycle::Snapshot, Error> {
        with_state(|state| state.suspend())
    }
}

impl reactor::Guest for Provider {
    fn on_wake(wake: reactor::Wake) -> Result<(), Error> {
        with_state(|state| {
            state.wake(wake);
            Ok(())
        })
    }
}

impl sign_in::Guest for Provider {
    fn begin(request: String, method: String, answers: Vec<sign_in::Answer>) -> Result<(), Error> {
        with_state(|state| {
            state.begin_sign_in(request, &method, &answers);
            Ok(())
        })
    }

    fn submit(request: String, answers: Vec<sign_in::Answer>) -> Result<(), Error> {
        with_state(|state| {
            state.begin_sign_in(request, session::TOKEN, &answers);
            Ok(())
        })
    }

    fn cancel(request: String) -> Result<(), Error> {
        with_state(|state| {
            state.cancel_sign_in(&request);
            Ok(())
        })
    }

    fn sign_out(request: String) -> Result<(), Error> {
        with_state(|state| {
            state.sign_out(&request);
            Ok(())
        })
    }
}

impl channel_calls::Guest for Provider {
    fn on_request(request: channel_calls::Request) -> Result<channel_calls::Response, Error> {
        with_state(|state| Ok(state.receive(&request)))
    }
}

impl messaging::Guest for Provider {
    fn send(request: String, message: messaging::Outgoing) -> Result<(), Error> {
        with_state(|state| state.send(request, message))
    }
}

impl media_calls::Guest for Provider {
    fn fetch(request: String, reference: String) -> Result<(), Error> {
        with_state(|state| {
            state.fetch(&request, &reference);
            Ok(())
        })
    }
}
