//! The host functions of the contract, one file per interface. Each either reads what the turn
//! may see or adds to what the turn asks for; none of them does anything.
//!
//! Offered: `turn`, `log`, `account`, `events`, `replies`, `sign-in-steps`, `kv`, `timers`,
//! `http`, `connections`, `secrets`, `blobs` and the interfaces of types. `crypto` comes with the
//! first provider that needs it; a component that imports it is refused before it runs.

mod account;
mod blobs;
mod connections;
mod events;
mod http;
mod keys;
mod kv;
mod log;
mod replies;
mod secrets;
mod sign_in_steps;
mod size;
mod timers;
mod turn;

use super::guest::GuestState;
use anyport_contract::anyport::provider as host;
use wasmtime::component::{HasSelf, Linker};

/// Interfaces with functions that this host offers.
pub const OFFERED: [&str; 12] = [
    "turn",
    "log",
    "account",
    "events",
    "replies",
    "sign-in-steps",
    "kv",
    "timers",
    "http",
    "connections",
    "secrets",
    "blobs",
];

/// Interfaces without functions; they need no grant.
pub const TYPES_ONLY: [&str; 3] = ["types", "model", "http-types"];

impl host::types::Host for GuestState {}
impl host::model::Host for GuestState {}
impl host::http_types::Host for GuestState {}

pub fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    macro_rules! add {
        ($($interface:ident),*) => {
            $(host::$interface::add_to_linker::<_, HasSelf<GuestState>>(linker, |state| state)?;)*
        };
    }
    add!(
        types,
        model,
        http_types,
        turn,
        log,
        account,
        events,
        replies,
        sign_in_steps
    );
    add!(kv, timers, http, connections, secrets, blobs);
    Ok(())
}
