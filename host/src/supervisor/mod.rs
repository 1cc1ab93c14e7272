//! One actor per account: mailbox, turns, commits, connections, timers, sign-in, strikes and the
//! replacement of providers.
//!
//! Never touches SQL, HTTP or wasmtime itself.

pub mod accounts;
mod actor;
mod clock;
mod commands;
pub mod control;
mod core;
mod deletion;
mod execute;
mod flush;
mod hand_over;
mod http;
pub mod inbox;
mod ingress;
mod mailbox;
mod media;
mod meter;
pub mod operate;
pub mod operator_config;
mod ownership;
mod providers;
mod replace;
pub mod schema;
mod sends;
pub mod service;
mod sign_in;
mod start;
mod status;
mod strikes;
mod waiters;
mod workers;

/// For the description of the API.
pub use crate::runtime::normalize::{answers::message_schema, event_schemas};
pub use media::MediaParts;
pub use operator_config::OperatorConfig;
pub use service::Supervisor;

use crate::domain::AccountId;
use crate::domain::manifest::Manifest;
use crate::runtime::port::EgressGrant;
use crate::telemetry::{Tracer, metrics};
use serde_json::Value;
use std::sync::Arc;

/// Fills an account's configuration into its manifest's egress rules.
pub type Grants = dyn Fn(&Manifest, &Value) -> EgressGrant + Send + Sync;

/// Fails turns that were good before their commit, asked once for each. For tests.
#[derive(Clone)]
pub struct FaultInjection(pub Arc<dyn Fn(&AccountId) -> bool + Send + Sync>);

impl std::fmt::Debug for FaultInjection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FaultInjection")
    }
}

pub struct Settings {
    /// Threads for guests, beside the one of the slow lane.
    pub guest_threads: usize,
    /// Does `message.received` carry the flat mirrors at its top level?
    pub flat_mirrors: bool,
    /// A dispatched send that is not settled after so long is `unknown`.
    pub send_deadline_ms: u64,
    /// A sign-in flow that is not finished after so long has failed.
    pub flow_ms: u64,
    /// Sends of one account that may wait.
    pub open_sends: usize,
    /// A command that is not answered after so long has ended.
    pub command_ms: u64,
    /// Commands of one account that may be open.
    pub open_commands: usize,
    /// Under every account's own.
    pub operator_config: OperatorConfig,
    pub grants: Arc<Grants>,
    pub fault_injection: Option<FaultInjection>,
    /// Providers whose channels are believed without a proof.
    pub unverified_ingress: Vec<String>,
    pub metrics: metrics::Turns,
    pub ingress_metrics: metrics::Ingress,
    pub tracer: Tracer,
}

impl Settings {
    pub fn new(grants: Arc<Grants>) -> Self {
        Self {
            guest_threads: std::thread::available_parallelism().map_or(2, usize::from),
            flat_mirrors: true,
            send_deadline_ms: 5 * 60_000,
            flow_ms: 10 * 60_000,
            open_sends: 1_000,
            command_ms: 30_000,
            open_commands: 64,
            operator_config: OperatorConfig::default(),
            grants,
            fault_injection: None,
            unverified_ingress: Vec::new(),
            metrics: metrics::Turns::default(),
            ingress_metrics: metrics::Ingress::default(),
            tracer: Tracer::default(),
        }
    }
}
