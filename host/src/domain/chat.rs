//! People, conversations and what belongs to them, as providers tell of them when they are asked.
//! Ids are the channel's own.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// What only some channels tell, as the provider gave it.
pub type Extra = Option<Map<String, Value>>;

/// Part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The provider's own cursor; none on the last page.
    pub next: Option<String>,
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOf {
    /// Of the page before; none for the first.
    pub cursor: Option<String>,
    pub limit: u32,
}

/// A picture: the host has its bytes, or the provider can fetch them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Avatar {
    pub blob: Option<String>,
    pub reference: Option<String>,
    pub mime: Option<String>,
}

/// References may be keys to the bytes.
impl fmt::Debug for Avatar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Avatar").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub id: String,
    /// `user`, `group` or `channel`.
    pub kind: String,
    pub title: Option<String>,
    pub username: Option<String>,
    pub description: Option<String>,
    pub avatar: Option<Avatar>,
    pub unread: Option<u32>,
    pub members: Option<u32>,
    pub is_pinned: Option<bool>,
    pub is_muted: Option<bool>,
    pub is_archived: Option<bool>,
    pub created_at: Option<Timestamp>,
    pub last_message_at: Option<Timestamp>,
    pub last_message_text: Option<String>,
    pub extra: Extra,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    pub id: String,
    pub display_name: Option<String>,
    pub username: Option<String>,
    /// E.164 digits without the plus sign.
    pub phone: Option<String>,
    pub avatar: Option<Avatar>,
    /// Other ids of the same person, as `kind:value`.
    pub aliases: Vec<String>,
    pub is_bot: Option<bool>,
    pub is_blocked: Option<bool>,
    pub extra: Extra,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub contact: Contact,
    /// `owner`, `admin`, `member`.
    pub role: String,
    pub joined_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub id: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    pub url: String,
    pub code: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JoinRequest {
    pub contact: Contact,
    pub requested_at: Option<Timestamp>,
}
