//! A webhook receiver and what is known of deliveries to it.

use super::{EndpointId, EventId, PartitionId, Secret, Timestamp, WorkspaceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, PartialEq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub workspace: WorkspaceId,
    pub url: String,
    pub state: EndpointState,
    /// Why it is failing or disabled, for people.
    pub state_reason: Option<String>,
    /// Names as the caller wrote them; empty: all published types.
    pub subscribed_events: Vec<String>,
    /// Only events of these accounts; empty: all.
    pub accounts: Vec<String>,
    /// None: deliveries are not signed.
    pub secret: Option<Secret>,
    /// The secret before, and until when it signs too.
    pub old_secret: Option<(Secret, Timestamp)>,
    pub retry: RetryPolicy,
    pub ordering: Ordering,
    pub created_at: Timestamp,
}

/// Shows no secret.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("workspace", &self.workspace)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Shown as `active`.
    Enabled,
    /// Enabled, but deliveries keep failing; the breaker may be open.
    Failing,
    /// Switched off by us after long failure or a 410.
    Disabled,
    /// Switched off by the caller.
    Inactive,
}

impl EndpointState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
            Self::Inactive => "inactive",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Re-deliveries after the first attempt; 0: deliver once. None: the profile's own number.
    pub max_attempts: Option<u32>,
    pub profile: RetryProfile,
    /// Of one attempt, 1,000 to 60,000 ms.
    pub timeout_ms: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: None,
            profile: RetryProfile::Standard,
            timeout_ms: 15_000,
        }
    }
}

#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryProfile {
    /// Spread over days, so that a receiver that is down for a night loses nothing.
    Standard,
    /// Three within seconds, only after connection errors, 408, 429 and 5xx.
    Unifyport,
}

#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    Account,
    Conversation,
    None,
}

/// An event that is not delivered by the cursor any more: it waits for its retry, waits behind
/// an earlier one of its key, or was given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Detour {
    pub endpoint: EndpointId,
    pub partition: PartitionId,
    pub offset: u64,
    /// The ordering key; empty where the endpoint orders nothing.
    pub key: String,
    pub event: EventId,
    /// Attempts made.
    pub attempts: u32,
    pub state: DetourState,
    /// When the next attempt is due (state `waiting`).
    pub next_at: Timestamp,
    /// When the first attempt was made.
    pub since: Timestamp,
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetourState {
    /// Due at `next_at`.
    Waiting,
    /// Behind an earlier event of its key.
    Blocked,
    /// Given up; shown to people, can be sent again.
    Parked,
}

/// One attempt, for the delivery log.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub id: super::id::AttemptId,
    pub endpoint: EndpointId,
    pub event: EventId,
    pub at: Timestamp,
    /// 1 for the first.
    pub number: u32,
    /// HTTP status, none when no answer came.
    pub status: Option<u16>,
    pub latency_ms: u32,
    pub error: Option<String>,
    /// At most 16 KiB of the answer's body.
    pub response: Vec<u8>,
}
