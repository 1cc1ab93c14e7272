//! One actor per account: mailbox, turns, commits, connections, timers, sign-in, strikes and the
//! replacement of providers.
//!
//! Never touches SQL, HTTP or wasmtime itself.

pub mod control;
