//! wasmtime and nothing else: compiles components, checks them against the contract, runs turns.
//!
//! Knows no storage, no network and no account beyond what a turn is handed; the traits in
//! [`port`] are how the rest of the host is seen from here.

pub mod normalize;
pub mod port;
