//! wasmtime and nothing else: compiles components, checks them against the contract, runs turns.
//!
//! Knows no storage, no network and no account beyond what a turn is handed; the traits in
//! [`port`] and [`ledger`] are how the rest of the host is seen from here.

pub mod check;
mod convert;
pub mod engine;
pub mod explain;
mod exports;
mod fault;
mod guest;
mod imports;
pub mod instance;
pub mod ledger;
pub mod limits;
pub mod meter;
#[cfg(feature = "native-bench")]
pub mod native;
pub mod normalize;
pub mod port;
pub mod turn;
mod wasi;

pub use check::{Provider, Refusal};
pub use engine::{Engine, EngineSettings};
pub use fault::{Fault, FaultKind};
pub use instance::{Call, Cause, Instance, Outcome};
pub use ledger::Ledger;
pub use turn::{Effects, Turn};
