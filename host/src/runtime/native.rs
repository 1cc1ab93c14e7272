//! Providers compiled into the process itself, to measure what the sandbox costs: the same
//! handler, the same turn, the same effects, no WebAssembly between them.
//!
//! Only with the feature `native-bench`, which no host that is used has.

use super::guest::GuestState;
use super::instance::Call;
use super::limits::Limits;
use anyport_contract::anyport::provider::types;
use std::cell::RefCell;
use std::sync::OnceLock;

/// What implements the contract's host interfaces.
pub use super::guest::GuestState as Host;

/// One account's handler.
pub trait NativeGuest: Send {
    /// One turn. What it asks for goes through [`host`]. `keeps` of a start; empty otherwise.
    fn call(&mut self, call: &Call) -> Result<Vec<String>, types::Error>;
}

pub type Make = fn() -> Box<dyn NativeGuest>;

static NATIVE: OnceLock<(&'static str, Make)> = OnceLock::new();

/// From now on instances of this provider run natively.
pub fn register(provider: &'static str, make: Make) {
    let _ = NATIVE.set((provider, make));
}

pub(super) fn make(provider: &str) -> Option<Box<dyn NativeGuest>> {
    let (name, make) = NATIVE.get()?;
    (*name == provider).then(make)
}

thread_local! {
    static HOST: RefCell<GuestState> = RefCell::new(GuestState::new(&Limits::default()));
}

/// The host's side of the turn that runs on this thread. A broken rule panics: handlers that are
/// measured break none.
pub fn host<T>(call: impl FnOnce(&mut Host) -> wasmtime::Result<T>) -> T {
    HOST.with_borrow_mut(call).expect("no rule is broken")
}

pub(super) fn dispatch(
    guest: &mut dyn NativeGuest,
    state: &mut GuestState,
    call: &Call,
) -> Result<Vec<String>, types::Error> {
    HOST.with_borrow_mut(|host| {
        host.mode = state.mode;
        host.turn = state.turn.take();
        host.random.begin(None);
    });
    let result = guest.call(call);
    HOST.with_borrow_mut(|host| state.turn = host.turn.take());
    result
}
