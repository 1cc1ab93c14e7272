//! Events as the log keeps them and clients see them.
//!
//! The envelope and the 18 published types are those of the native API's contract; types of our
//! own (`message.sent`, `message.failed`, `message.unknown`, `message.activity`,
//! `contact.presence`, `provider.<name>`, operational ones) go only to endpoints that name them,
//! and always to pull and SSE.

use super::media::NewAttachment;
use super::{AccountId, EventId, Timestamp};

/// The published types, in the order of the contract.
pub const PUBLISHED_TYPES: [&str; 18] = [
    "message.received",
    "message.updated",
    "message.deleted",
    "message.read",
    "message.reaction",
    "message.delivered",
    "conversation.updated",
    "conversation.deleted",
    "conversation.cleared",
    "conversation.history",
    "group.updated",
    "group.join_request",
    "account.status.updated",
    "account.started",
    "account.history.synced",
    "account.auth.required",
    "account.auth.succeeded",
    "account.auth.failed",
];

/// Types of our own with fixed names. `provider.<name>` comes beside them.
pub const OWN_TYPES: [&str; 8] = [
    "message.sent",
    "message.failed",
    "message.unknown",
    "message.activity",
    "contact.presence",
    "contact.updated",
    "endpoint.state.changed",
    "account.input.skipped",
];

/// The alias of delivered/read that earlier contracts knew; served to endpoints that name it.
pub const STATUS_ALIAS: &str = "message.status.updated";

/// May `provider.<name>` or another word of a provider's own be called so?
pub fn is_provider_name(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// An event that a turn or the host itself asks to append.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub id: EventId,
    /// One of [`PUBLISHED_TYPES`], [`OWN_TYPES`] or `provider.<name>`.
    pub kind: String,
    /// Repeats of a key within the account's window are dropped by storage. None: never dropped.
    pub dedupe_key: Option<String>,
    /// Ordering key below the account: the conversation.
    pub conversation: Option<String>,
    pub occurred_at: Timestamp,
    /// The envelope as JSON, serialized once: signed, stored and sent as these bytes.
    pub body: Vec<u8>,
    /// What its addresses of attachments stand for.
    pub attachments: Vec<NewAttachment>,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedEvent {
    pub offset: u64,
    pub account: AccountId,
    pub id: EventId,
    pub kind: String,
    pub conversation: Option<String>,
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub body: Vec<u8>,
}
