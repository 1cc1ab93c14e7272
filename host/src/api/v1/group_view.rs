//! Groups as clients see them.

use super::conversation_view::with_phone;
use crate::domain::Timestamp;
use crate::domain::chat::{Conversation, JoinRequest};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Group")]
pub struct GroupView {
    id: String,
    conversation_id: String,
    name: String,
    avatar_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Map<String, Value>>,
}

impl GroupView {
    /// When the account joined, and the group's own id where it is not the conversation's, stand
    /// in `extra`.
    pub fn new(it: Conversation, avatar_url: String) -> Self {
        let hint = |name: &str| it.extra.as_ref().and_then(|extra| extra.get(name));
        let id = hint("group_id").and_then(Value::as_str).map(str::to_owned);
        let joined_at = hint("joined_at").and_then(moment);
        Self {
            id: id.unwrap_or_else(|| it.id.clone()),
            conversation_id: it.id,
            name: it.title.unwrap_or_default(),
            avatar_url,
            member_count: it.members,
            joined_at: joined_at.map(Timestamp::rfc3339),
            created_at: it.created_at.map(Timestamp::rfc3339),
            description: it.description,
            extra: it.extra,
        }
    }
}

/// RFC 3339, or milliseconds.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => Timestamp::parse_rfc3339(text),
        other => other.as_u64().map(Timestamp),
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct GroupCreateResult {
    pub id: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct GroupInviteCode {
    pub invite_url: String,
    pub invite_code: String,
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct GroupJoinRequestsResult {
    pub group_id: String,
    pub items: Vec<GroupJoinRequestView>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "GroupJoinRequest")]
pub struct GroupJoinRequestView {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// The contract's word for another id of the same person.
    #[serde(skip_serializing_if = "Option::is_none")]
    lid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_at: Option<String>,
    // Our own additions.
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Map<String, Value>>,
}

impl From<JoinRequest> for GroupJoinRequestView {
    fn from(it: JoinRequest) -> Self {
        let aliases = it.contact.aliases.iter();
        let lid = aliases
            .filter_map(|alias| alias.strip_prefix("lid:"))
            .next();
        Self {
            lid: lid.map(str::to_owned),
            requested_at: it.requested_at.map(Timestamp::rfc3339),
            display_name: it.contact.display_name.or(it.contact.username),
            extra: with_phone(it.contact.extra, it.contact.phone.as_deref()),
            phone: it.contact.phone,
            id: it.contact.id,
        }
    }
}
