//! The blocks that `data` is made of, keys in the order of the published examples. Keys after
//! those are ours.

use super::message::{LiveMessage, PastMessage};
use crate::domain::Timestamp;
use anyport_contract::anyport::provider::types;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Clone, Copy, Default, JsonSchema, Serialize)]
#[schemars(rename = "EventWord")]
pub(super) struct EventBlock<'a> {
    pub kind: &'a str,
    /// The emoji; empty: taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaction: Option<&'a str>,
}

impl<'a> EventBlock<'a> {
    pub fn of(kind: &'a str) -> Self {
        Self {
            kind,
            reaction: None,
        }
    }
}

/// `type` is left out where the provider only told the id.
#[derive(Default, JsonSchema, Serialize)]
#[schemars(rename = "EventConversation")]
pub(super) struct ConversationBlock<'a> {
    pub id: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<AttachmentBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<&'a RawValue>,
}

impl<'a> ConversationBlock<'a> {
    pub fn of_id(id: &'a str) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }
}

#[derive(Clone, JsonSchema, Serialize)]
#[schemars(rename = "EventPerson")]
pub(super) struct PersonBlock<'a> {
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<&'a str>,
}

impl<'a> PersonBlock<'a> {
    pub fn user(id: &'a str, name: Option<&'a str>) -> Self {
        Self {
            id,
            kind: "user",
            name,
            phone: None,
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventAttachment")]
pub(super) struct AttachmentBlock<'a> {
    /// `image`, `video`, `audio`, `document`, `sticker`, `unknown`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Where its bytes are had; none where nobody can have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<&'a str>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<&'a str>,
    /// Of a document: its file name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataBlock>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<&'a RawValue>,
}

#[derive(Default, JsonSchema, PartialEq, Serialize)]
#[schemars(rename = "EventMetadata")]
pub(super) struct MetadataBlock {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_big_file: Option<bool>,
    /// An audio recorded as a message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventMessageData")]
pub(super) struct MessageData<'a> {
    pub conversation: ConversationBlock<'a>,
    pub sender: PersonBlock<'a>,
    pub message: LiveMessage<'a>,
    pub event: EventBlock<'a>,
    pub chat_id: &'a str,
}

/// What happened to messages that the receiver knows.
#[derive(Default, JsonSchema, Serialize)]
#[schemars(rename = "EventAboutMessages")]
pub(super) struct AboutMessages<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<PersonBlock<'a>>,
    pub message: TargetBlock<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBlock<'a>>,
    pub event: EventBlock<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<&'a str>,
}

#[derive(Default, JsonSchema, Serialize)]
#[schemars(rename = "EventTarget")]
pub(super) struct TargetBlock<'a> {
    /// The last of a batch: the one that was read or delivered last.
    pub id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub ids: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub played: bool,
    /// It also holds for all messages before these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub and_earlier: bool,
}

impl<'a> TargetBlock<'a> {
    pub fn of(id: &'a str) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    pub fn batch(ids: &'a [String]) -> Self {
        Self {
            id: ids.last().map_or("", String::as_str),
            ids,
            ..Self::default()
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventError")]
pub(super) struct ErrorBlock<'a> {
    pub code: &'static str,
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_code: Option<&'a str>,
}

impl<'a> ErrorBlock<'a> {
    pub fn of(error: &'a types::Error) -> Self {
        use types::ErrorCode as Code;
        Self {
            code: match error.code {
                Code::Unauthenticated => "unauthenticated",
                Code::Forbidden => "forbidden",
                Code::NotFound => "not-found",
                Code::Invalid => "invalid",
                Code::Unsupported => "unsupported",
                Code::RateLimited => "rate-limited",
                Code::Unavailable => "unavailable",
                Code::Denied => "denied",
                Code::QuotaExceeded => "quota-exceeded",
                Code::Conflict => "conflict",
                Code::Internal => "internal",
            },
            message: &error.message,
            channel_code: error.channel_code.as_deref(),
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventActivityData")]
pub(super) struct ActivityData<'a> {
    pub conversation: ConversationBlock<'a>,
    pub sender: Option<PersonBlock<'a>>,
    pub activity: ActivityBlock<'a>,
    pub event: EventBlock<'a>,
    pub chat_id: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventActivity")]
pub(super) struct ActivityBlock<'a> {
    pub kind: &'a str,
    pub active: bool,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventPresenceData")]
pub(super) struct PresenceData<'a> {
    pub contact: PersonBlock<'a>,
    pub online: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    pub event: EventBlock<'a>,
}

/// Only what changed is there.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventConversationData")]
pub(super) struct ConversationData<'a> {
    pub conversation: ConversationBlock<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute_forever: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<bool>,
    pub event: EventBlock<'a>,
    pub chat_id: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventConversationGoneData")]
pub(super) struct ConversationGoneData<'a> {
    pub conversation: ConversationBlock<'a>,
    pub delete_media: bool,
    pub event: EventBlock<'a>,
    pub chat_id: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventContactData")]
pub(super) struct ContactData<'a> {
    pub contact: ContactBlock<'a>,
    pub event: EventBlock<'a>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventContact")]
pub(super) struct ContactBlock<'a> {
    pub id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<AttachmentBlock<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub aliases: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_bot: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_blocked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<&'a RawValue>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventGroupData")]
pub(super) struct GroupData<'a> {
    pub conversation: ConversationBlock<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<PersonBlock<'a>>,
    pub changes: Vec<ChangeBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<&'a RawValue>,
    pub event: EventBlock<'a>,
    pub chat_id: &'a str,
}

#[derive(Default, JsonSchema, Serialize)]
#[schemars(rename = "EventChange")]
pub(super) struct ChangeBlock<'a> {
    pub kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub member_ids: Vec<&'a str>,
}

impl<'a> ChangeBlock<'a> {
    pub fn of(kind: &'a str) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventJoinRequestData")]
pub(super) struct JoinRequestData<'a> {
    pub conversation: ConversationBlock<'a>,
    pub requester: PersonBlock<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_method: Option<String>,
    pub event: EventBlock<'a>,
    pub chat_id: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventHistoryData")]
pub(super) struct HistoryData<'a> {
    pub conversation: ConversationBlock<'a>,
    pub messages: Vec<PastMessage<'a>>,
    pub event: EventBlock<'a>,
    pub chat_id: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventHistorySyncedData")]
pub(super) struct HistorySyncedData<'a> {
    pub summary: SummaryBlock,
    pub event: EventBlock<'a>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventSummary")]
pub(super) struct SummaryBlock {
    pub conversations: u32,
    pub messages: u32,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventCustomData")]
pub(super) struct CustomData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationBlock<'a>>,
    pub name: &'a str,
    pub value: Option<&'a RawValue>,
    pub event: EventBlock<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct MessageHints {
    pub sender_phone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ConversationHints {
    pub mute_until: Option<Moment>,
    pub mute_forever: Option<bool>,
    pub read: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Moment {
    Milliseconds(u64),
    Text(String),
}

impl Moment {
    /// None for a text that is not RFC 3339.
    pub fn rfc3339(self) -> Option<String> {
        match self {
            Self::Milliseconds(at) => Some(Timestamp(at).rfc3339()),
            Self::Text(text) => {
                let at: jiff::Timestamp = text.parse().ok()?;
                Some(Timestamp(u64::try_from(at.as_millisecond()).ok()?).rfc3339())
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AttachmentHints {
    pub is_big_file: Option<bool>,
    pub expired: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct GroupHints {
    pub name: Option<String>,
    pub description: Option<String>,
    pub dissolved: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RequestHints {
    pub request_method: Option<String>,
}
