//! What one turn and one instance may use. Breaking one is the guest's fault, never its
//! neighbour's problem.

use crate::domain::manifest::AskedLimits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance.
    pub memory_bytes: usize,
    /// Thread CPU time of one turn.
    pub cpu_ms: u32,
    /// Sum of key and value lengths in kv of one account.
    pub kv_bytes: u64,
    /// Events, frames, kv values and replies of one turn, in bytes.
    pub output_bytes: usize,
    /// Events, frames, kv writes, timers and replies of one turn, in pieces.
    pub output_items: usize,
    /// Calls of host functions in one turn.
    pub host_calls: u32,
    /// Log lines of one turn; what is above is counted and left out.
    pub log_lines: u32,
    /// Bytes of one log line with its fields; what is above is cut.
    pub log_line_bytes: usize,
    /// Connections that an account holds.
    pub connections: usize,
    /// Timers that an account holds.
    pub timers: usize,
    /// HTTP requests of an account that are not answered.
    pub requests: usize,
    /// Blobs that an account makes at once, and those that it reads at once.
    pub blob_labels: usize,
    /// Of one blob.
    pub blob_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 16 << 20,
            cpu_ms: 100,
            kv_bytes: 16 << 20,
            output_bytes: 4 << 20,
            output_items: 4096,
            host_calls: 100_000,
            log_lines: 64,
            log_line_bytes: 4096,
            connections: 8,
            timers: 256,
            requests: 64,
            blob_labels: 8,
            blob_bytes: 2 << 30,
        }
    }
}

impl Limits {
    /// What the manifest asks for, within the operator's ceiling.
    pub fn granted(asked: &AskedLimits, default: Limits, ceiling: Limits) -> Self {
        let mut granted = default;
        if let Some(bytes) = asked.memory_bytes {
            granted.memory_bytes = (bytes as usize).min(ceiling.memory_bytes);
        }
        if let Some(ms) = asked.cpu_ms {
            granted.cpu_ms = ms.min(ceiling.cpu_ms);
        }
        if let Some(bytes) = asked.kv_bytes {
            granted.kv_bytes = bytes.min(ceiling.kv_bytes);
        }
        granted
    }
}

/// A rule of the contract or a limit that the guest broke. Its text names the rule and is shown
/// in the account's status.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Breach(pub String);

/// The error of a host function: the turn fails with this text.
pub fn breach<T>(rule: impl Into<String>) -> wasmtime::Result<T> {
    Err(wasmtime::Error::new(Breach(rule.into())))
}
