//! Conversations and their members as clients see them.

use super::super::error::ApiError;
use super::super::fields;
use super::super::query::Query;
use super::super::{codes, page::Listed};
use crate::domain::chat::{Contact, Conversation, Extra, Label, Member};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

pub const KINDS: [&str; 3] = ["user", "group", "channel"];

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Conversation")]
pub struct ConversationView {
    conversation_id: String,
    #[schemars(extend("enum" = KINDS))]
    r#type: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    avatar_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_text: Option<String>,
    unread_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    members_count: Option<u32>,
    /// Of a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribers_count: Option<u32>,
    is_pinned: bool,
    is_muted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Map<String, Value>>,
    // Our own addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_archived: Option<bool>,
}

impl ConversationView {
    pub fn new(it: Conversation, avatar_url: String) -> Self {
        let is_channel = it.kind == "channel";
        Self {
            conversation_id: it.id,
            title: it.title.unwrap_or_default(),
            username: it.username,
            avatar_url,
            description: it.description,
            last_message_at: it.last_message_at.map(|at| at.rfc3339()),
            last_message_text: it.last_message_text,
            unread_count: it.unread.unwrap_or(0),
            members_count: it.members.filter(|_| !is_channel),
            subscribers_count: it.members.filter(|_| is_channel),
            is_pinned: it.is_pinned.unwrap_or(false),
            is_muted: it.is_muted.unwrap_or(false),
            created_at: it.created_at.map(|at| at.rfc3339()),
            extra: it.extra,
            is_archived: it.is_archived,
            r#type: it.kind,
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ConversationMember")]
pub struct MemberView {
    peer_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    display_name: String,
    avatar_url: String,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Map<String, Value>>,
}

impl MemberView {
    pub fn new(it: Member, avatar_url: String) -> Self {
        Self {
            display_name: name_of(&it.contact),
            extra: with_phone(it.contact.extra, it.contact.phone.as_deref()),
            peer_id: it.contact.id,
            username: it.contact.username,
            avatar_url,
            role: it.role,
            joined_at: it.joined_at.map(|at| at.rfc3339()),
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ConversationLabel")]
pub struct LabelView {
    pub id: String,
    pub name: String,
}

impl From<Label> for LabelView {
    fn from(it: Label) -> Self {
        Self {
            id: it.id,
            name: it.name,
        }
    }
}

/// What people read; empty where nothing is known.
pub fn name_of(contact: &Contact) -> String {
    let name = contact.display_name.as_ref().or(contact.username.as_ref());
    name.cloned().unwrap_or_default()
}

/// The contract has the plain phone number in there.
pub fn with_phone(extra: Extra, phone: Option<&str>) -> Extra {
    let Some(phone) = phone else { return extra };
    let mut extra = extra.unwrap_or_default();
    extra
        .entry("phone")
        .or_insert_with(|| Value::String(phone.to_owned()));
    Some(extra)
}

/// `type`, one of the three.
pub fn kind(query: &Query) -> Result<Option<&'static str>, ApiError> {
    query.text("type").map(known_kind).transpose()
}

/// `type`, some of the three with commas between.
pub fn kinds(query: &Query) -> Result<Vec<&'static str>, ApiError> {
    let mut kinds = Vec::new();
    for word in query
        .text("type")
        .into_iter()
        .flat_map(|text| text.split(','))
    {
        let kind = known_kind(word.trim())?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.sort_unstable();
    Ok(kinds)
}

fn known_kind(word: &str) -> Result<&'static str, ApiError> {
    KINDS.into_iter().find(|kind| *kind == word).ok_or_else(|| {
        ApiError::field("type", fields::one_of(&KINDS)).with_code(codes::INVALID_CONVERSATION_TYPE)
    })
}

pub type ConversationListResult = Listed<ConversationView>;
