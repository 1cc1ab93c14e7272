//! What the host tells of itself while it runs: counters for `/metrics` and spans for a trace.
//!
//! The parts of the host get handles from here and count into them; nothing here knows the parts.
//! Never holds an id of an account, workspace or endpoint as a label, and never a secret.

mod export;
pub mod metrics;
mod otlp;
mod process;
pub mod trace;

pub use export::{Exporter, ExporterSettings, Post, Refused};
pub use metrics::Metrics;
pub use trace::{Step, TraceContext, Tracer};
