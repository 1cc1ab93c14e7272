//! A send and its states: recorded → dispatched → sent, failed or unknown. The host is the only
//! writer of this truth.

use super::error::{Certainty, Failure};
use super::media::BlobId;
use super::{AccountId, PartitionId, SendId, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    /// Durable here; nothing has left the host.
    Recorded,
    /// The channel may have seen it.
    Dispatched,
    Sent,
    Failed,
    /// Dispatched, and nobody can say what became of it. Never repeated by the host.
    Unknown,
}

impl SendState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Dispatched => "dispatched",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// What `as_str` says of each.
    pub const NAMES: [&'static str; 5] = ["recorded", "dispatched", "sent", "failed", "unknown"];

    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Recorded,
            Self::Dispatched,
            Self::Sent,
            Self::Failed,
            Self::Unknown,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }

    pub fn is_settled(self) -> bool {
        matches!(self, Self::Sent | Self::Failed | Self::Unknown)
    }

    /// May a send in this state become `next`? `unknown` may still be corrected by a late answer.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Recorded => next != Self::Recorded,
            Self::Dispatched => next.is_settled(),
            Self::Unknown => matches!(next, Self::Sent | Self::Failed),
            Self::Sent | Self::Failed => false,
        }
    }
}

/// What became of a send.
#[derive(Clone, Debug, PartialEq)]
pub enum SendOutcome {
    Sent(SentMessage),
    Failed {
        failure: Failure,
        certainty: Certainty,
    },
}

impl SendOutcome {
    /// A failure of which the channel may have acted on the message is no failure: it is unknown.
    pub fn state(&self) -> SendState {
        match self {
            Self::Sent(_) => SendState::Sent,
            Self::Failed {
                certainty: Certainty::NotDone,
                ..
            } => SendState::Failed,
            Self::Failed {
                certainty: Certainty::MaybeDone,
                ..
            } => SendState::Unknown,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentMessage {
    /// The channel's ids; the first stands for all.
    pub messages: Vec<String>,
    pub conversation: Option<String>,
    pub sent_at: Timestamp,
    pub reply_context: Option<String>,
}

/// The message of a send in the contract's terms, as storage keeps it (sealed) and `messaging.send`
/// gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    pub conversation: String,
    /// `user`, `group` or `channel`.
    pub conversation_kind: String,
    pub content: Content,
    /// The message that this one answers.
    #[serde(default)]
    pub quote: Option<Quote>,
    /// The `reply_context` of that message.
    pub reply_context: Option<String>,
    /// Unicode scalar values: (contact, offset, length).
    #[serde(default)]
    pub mentions: Vec<(String, Option<(u32, u32)>)>,
    /// `provider_data` of the request as it came (a JSON object), none when absent.
    pub extra: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    pub message: String,
    pub sender: Option<String>,
}

/// A message of the channel that something is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRef {
    pub conversation: String,
    pub message: String,
    /// None: the account itself.
    pub sender: Option<String>,
    pub reply_context: Option<String>,
}

impl MessageRef {
    pub fn of(conversation: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            conversation: conversation.into(),
            message: message.into(),
            sender: None,
            reply_context: None,
        }
    }
}

/// The operation names of `describe` that these need: `send.text`, `send.contact`,
/// `message.forward`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    Text {
        text: String,
        format: String,
    },
    Media {
        media: Vec<Medium>,
        caption: Option<Caption>,
    },
    Contacts {
        contacts: Vec<ContactCard>,
    },
    /// What this message of another conversation says.
    Forward {
        message: MessageRef,
    },
}

impl Content {
    /// As `lifecycle.feature.name`.
    pub fn feature(&self) -> &'static str {
        match self {
            Self::Text { .. } => "send.text",
            Self::Media { media, .. } => media
                .first()
                .map_or("send.document", |medium| medium.kind.feature()),
            Self::Contacts { .. } => "send.contact",
            Self::Forward { .. } => "message.forward",
        }
    }

    fn media(&self) -> &[Medium] {
        match self {
            Self::Media { media, .. } => media,
            _ => &[],
        }
    }

    /// What it names in the media store.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobId> {
        self.media()
            .iter()
            .filter_map(|medium| match &medium.source {
                MediumSource::Blob(id) => Some(id),
                MediumSource::Url(_) => None,
            })
    }

    /// Does the host have to get something of it from an address first?
    pub fn must_be_fetched(&self) -> bool {
        let is_far = |medium: &Medium| matches!(medium.source, MediumSource::Url(_));
        self.media().iter().any(is_far)
    }
}

/// A file that is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Medium {
    pub kind: MediumKind,
    pub source: MediumSource,
    pub mime: Option<String>,
    pub filename: Option<String>,
    /// Bytes; known once it is in the media store.
    pub size: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediumSource {
    Blob(BlobId),
    /// Fetched by the host before the provider is called.
    Url(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediumKind {
    Image,
    Video,
    Audio,
    Voice,
    Document,
    Sticker,
}

impl MediumKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Voice => "voice",
            Self::Document => "document",
            Self::Sticker => "sticker",
        }
    }

    /// As `lifecycle.feature.name`.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Image => "send.image",
            Self::Video => "send.video",
            Self::Audio => "send.audio",
            Self::Voice => "send.voice",
            Self::Document => "send.document",
            Self::Sticker => "send.sticker",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caption {
    pub text: String,
    pub format: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactCard {
    pub name: String,
    /// (value, kind)
    #[serde(default)]
    pub phones: Vec<(String, Option<String>)>,
    #[serde(default)]
    pub emails: Vec<(String, Option<String>)>,
    pub organization: Option<String>,
    pub title: Option<String>,
}

/// A send as storage keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    pub id: SendId,
    pub workspace: WorkspaceId,
    pub account: AccountId,
    pub partition: PartitionId,
    pub state: SendState,
    pub outgoing: Outgoing,
    pub recorded_at: Timestamp,
    pub dispatched_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub sent: Option<SentMessage>,
    /// Of a failed or unknown one.
    pub failure: Option<Failure>,
}

/// A step of a send that a commit records. Storage applies it only where
/// [`SendState::may_become`] allows, and ignores it otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct SendChange {
    pub id: SendId,
    pub state: SendState,
    pub at: Timestamp,
    pub sent: Option<SentMessage>,
    pub failure: Option<Failure>,
}

/// A client's `Idempotency-Key` of at most 255 characters, kept 24 h within the workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 of the request's body in a form that ignores white space and order of keys.
    pub fingerprint: [u8; 32],
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::SendState::*;

    #[test]
    fn states_only_move_forward() {
        let states = [Recorded, Dispatched, Sent, Failed, Unknown];
        let allowed: Vec<(&str, &str)> = states
            .iter()
            .flat_map(|from| states.iter().map(move |to| (from, to)))
            .filter(|(from, to)| from.may_become(**to))
            .map(|(from, to)| (from.as_str(), to.as_str()))
            .collect();
        assert_eq!(
            allowed,
            [
                ("recorded", "dispatched"),
                ("recorded", "sent"),
                ("recorded", "failed"),
                ("recorded", "unknown"),
                ("dispatched", "sent"),
                ("dispatched", "failed"),
                ("dispatched", "unknown"),
                ("unknown", "sent"),
                ("unknown", "failed"),
            ]
        );
    }
}
