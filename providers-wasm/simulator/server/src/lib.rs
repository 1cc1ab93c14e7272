//! The server of the simulator channel: a fictional messaging channel for newcomers,
//! tests and benchmarks.
//!
//! Counting happens here, on the far side of the socket: which sends came and which
//! messages were made of them, which events left and which were acknowledged. The server
//! keeps everything in memory and must never be told by the host what to count.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use anyport_simulator::{ControlClient, Settings, Simulator};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let simulator = Simulator::start(listener, Settings::default())?;
//! let mut control = ControlClient::connect(simulator.address()).await?;
//! control.inject_text("ada", "bob", "hello").await?;
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod limits;
pub mod model;
pub mod protocol;
pub mod request;
pub mod transfer;
pub mod webhook;

#[cfg(feature = "server")]
mod channel;
#[cfg(feature = "server")]
mod client;
#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
mod control;
#[cfg(feature = "server")]
mod counters;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod inbox;
#[cfg(feature = "server")]
mod journal;
#[cfg(feature = "server")]
mod media;
#[cfg(feature = "server")]
mod play;
#[cfg(feature = "server")]
mod requests;
#[cfg(feature = "server")]
pub mod samples;
#[cfg(feature = "server")]
mod sends;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod session;
#[cfg(feature = "server")]
mod settings;
#[cfg(feature = "server")]
mod sign_in;
#[cfg(feature = "server")]
mod transfers;
#[cfg(feature = "server")]
mod user;
#[cfg(feature = "server")]
mod webhook_control;
#[cfg(feature = "server")]
mod webhooks;
#[cfg(feature = "server")]
pub mod wire;
#[cfg(feature = "server")]
mod world;

#[cfg(feature = "server")]
pub use {
    client::ControlClient,
    control::{ControlReply, ControlRequest, Garbage},
    counters::{Counters, LatencySummary},
    journal::{SentOutcome, SentRecord},
    media::generated,
    model::Medium,
    play::Play,
    requests::{RequestFault, RequestRecord},
    server::{Simulator, run, serve},
    settings::{Behaviour, RateLimit, Settings, SimulatorArgs, Traffic},
    webhooks::{DeliveryRecord, SignedRequest},
    world::{Act, NewConversation},
};
