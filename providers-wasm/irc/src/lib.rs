//! IRC as an Anyport provider.
//!
//! The core (`session` and what it is made of) is a state machine that knows no host: a turn
//! brings an `Input`, and it answers with `Action`s. `binding` ties it to the contract and is
//! built for wasm only.

mod caps;
pub mod casemap;
pub mod config;
mod events;
mod groups;
mod inbound;
pub mod isupport;
mod link;
pub mod message;
mod messages;
pub mod outbox;
pub mod pacing;
pub mod port;
mod refusal;
mod registration;
mod sasl;
pub mod send;
mod sending;
pub mod session;
mod signin;
pub mod split;
pub mod state;

#[cfg(target_arch = "wasm32")]
mod binding;

anyport_sdk::manifest!("../provider.toml");
