//! What people on the simulator channel say and do, in the channel's own JSON.
//!
//! Close to the contract's model on purpose: the provider only renames. Shapes only, no
//! input or output.

use serde::{Deserialize, Serialize};

/// What one event is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Message(Message),
    Edited(Message),
    Deleted(Deletion),
    Failed(Failure),
    Reaction(Reaction),
    Receipt(Receipt),
    Activity(Activity),
    Presence(Presence),
    Conversation(Conversation),
    ConversationDeleted(String),
    ConversationCleared(String),
    Contact(Contact),
    Group(GroupChange),
    JoinRequest(JoinRequest),
    History(History),
    HistorySynced(HistorySummary),
    Custom(Custom),
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Empty in what is injected: the server makes one.
    pub id: String,
    pub conversation: String,
    /// `user`, `group` or `channel`.
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub sender: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_name: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub from_me: bool,
    /// Milliseconds since the Unix epoch; 0: when the event happened.
    #[serde(skip_serializing_if = "is_zero")]
    pub sent_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<u64>,
    pub content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// JSON as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Text(Text),
    Media(Media),
    Location(Location),
    Contacts(Vec<ContactCard>),
    Interactive(Interactive),
    Custom(Custom),
}

impl Default for Content {
    fn default() -> Self {
        Self::text("")
    }
}

impl Content {
    pub fn text(body: impl Into<String>) -> Self {
        Self::Text(Text {
            body: body.into(),
            ..Text::default()
        })
    }

    /// What a chat list shows of it: its text, cut, or what it is.
    pub fn summary(&self) -> String {
        const CHARS: usize = 100;
        let text = match self {
            Self::Text(text) => &text.body,
            Self::Media(media) => match &media.caption {
                Some(caption) => &caption.body,
                None => "media",
            },
            Self::Location(_) => "location",
            Self::Contacts(_) => "contacts",
            Self::Interactive(interactive) => &interactive.body,
            Self::Custom(custom) => &custom.name,
        };
        text.chars().take(CHARS).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Text {
    pub body: String,
    /// Empty: `plain`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Mention>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mention {
    pub contact: String,
    /// Offset and length in Unicode scalar values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<(u32, u32)>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    pub attachments: Vec<Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// What the channel has of a medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Medium {
    /// What an [`Attachment::reference`] names.
    pub id: String,
    /// Bytes.
    pub size: u64,
    pub mime: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// In hexadecimal; empty for what was made up.
    pub sha256: String,
}

/// The picture of somebody, or of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Avatar {
    /// Of a [`Medium`].
    pub id: String,
    pub mime: String,
    /// Bytes.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    pub latitude: f64,
    pub longitude: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContactCard {
    pub name: String,
    pub phones: Vec<Labelled>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<Labelled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Labelled {
    pub value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Interactive {
    pub body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opener: Option<String>,
    pub sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Section {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub choices: Vec<Choice>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    pub id: String,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Custom {
    pub name: String,
    /// JSON as text.
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Deletion {
    pub conversation: Option<String>,
    pub messages: Vec<String>,
    pub by: Option<String>,
}

/// The channel took a message first and could not deliver it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub conversation: Option<String>,
    pub messages: Vec<String>,
    pub error: crate::protocol::Fault,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reaction {
    pub conversation: String,
    pub message: String,
    pub by: String,
    /// None: taken back.
    pub emoji: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipt {
    pub conversation: String,
    pub messages: Vec<String>,
    pub and_earlier: bool,
    pub by: Option<String>,
    /// `delivered`, `read` or `played`.
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    pub conversation: String,
    pub by: String,
    pub kind: String,
    pub active: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Presence {
    pub contact: String,
    pub online: bool,
    pub last_seen: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Conversation {
    pub id: String,
    pub kind: String,
    pub title: Option<String>,
    pub username: Option<String>,
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Avatar>,
    pub unread: Option<u32>,
    pub members: Option<u32>,
    /// False: marked as unread, also where no message is.
    pub is_read: Option<bool>,
    pub is_pinned: Option<bool>,
    pub is_muted: Option<bool>,
    /// Milliseconds since the Unix epoch. Muted without it: for good.
    pub muted_until: Option<u64>,
    pub is_archived: Option<bool>,
    pub created_at: Option<u64>,
    pub last_message_at: Option<u64>,
    pub last_message_text: Option<String>,
    /// Ids.
    pub labels: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    pub id: String,
    pub name: Option<String>,
    pub username: Option<String>,
    pub phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Avatar>,
    pub aliases: Vec<String>,
    pub is_bot: Option<bool>,
    pub is_blocked: Option<bool>,
    /// Private: only the account sees it.
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    pub contact: Contact,
    /// `owner`, `admin` or `member`.
    pub role: String,
    pub joined_at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupChange {
    pub conversation: String,
    pub by: Option<String>,
    pub kind: String,
    pub members: Vec<String>,
    /// JSON as text.
    pub extra: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JoinRequest {
    pub conversation: String,
    pub contact: Contact,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    pub conversation: Conversation,
    pub messages: Vec<Message>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistorySummary {
    pub conversations: u32,
    pub messages: u32,
}
