//! What accounts use up.

use super::{AccountId, WorkspaceId};
use schemars::JsonSchema;
use serde::Serialize;

/// Counted while it happens; sums of sums are sums.
#[derive(Clone, Copy, Debug, Default, JsonSchema, PartialEq, Eq, Serialize)]
#[schemars(rename = "UsageSums")]
pub struct Usage {
    pub turns: u64,
    /// Thread CPU time of the guest, microseconds.
    pub cpu_us: u64,
    /// Events that turns appended to the log.
    pub events: u64,
    /// Sends that were recorded.
    pub sends: u64,
    /// Bytes of frames from the channel, as the guest gets them.
    pub bytes_in: u64,
    /// Bytes of frames to the channel, as the guest gives them.
    pub bytes_out: u64,
}

impl Usage {
    pub fn add(&mut self, other: &Self) {
        self.turns = self.turns.saturating_add(other.turns);
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        self.events = self.events.saturating_add(other.events);
        self.sends = self.sends.saturating_add(other.sends);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }

    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What one account used on one day (UTC, days since 1970-01-01).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyUsage {
    pub workspace: WorkspaceId,
    pub account: AccountId,
    pub day: u32,
    pub usage: Usage,
}
