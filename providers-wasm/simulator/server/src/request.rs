//! What an account can ask of the channel besides sending: each request has an id, and is answered
//! once, in any order. Shapes only; also compiled into the providers.

use serde::{Deserialize, Serialize};

use crate::model::{Contact, Conversation, Label, Member, Message, Text};
use crate::protocol::Profile;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    Edit {
        target: Target,
        text: Text,
    },
    Revoke {
        target: Target,
        for_everyone: bool,
    },
    /// No emoji: the reaction is taken back.
    React {
        target: Target,
        emoji: Option<String>,
    },
    PinMessage {
        target: Target,
        pinned: bool,
        seconds: Option<u32>,
    },
    /// Newest first.
    Messages {
        conversation: String,
        page: Page,
    },

    /// Last spoken in first.
    Conversations {
        page: Page,
    },
    Conversation {
        id: String,
    },
    Members {
        conversation: String,
        page: Page,
    },
    /// One person: the conversation with it; several: a new group.
    OpenWith {
        contacts: Vec<String>,
    },
    /// Up to and with this message; none: all.
    MarkRead {
        conversation: String,
        up_to: Option<String>,
    },
    MarkUnread {
        conversation: String,
    },
    Mute {
        conversation: String,
        muted: bool,
        until: Option<u64>,
    },
    PinConversation {
        conversation: String,
        pinned: bool,
    },
    Archive {
        conversation: String,
        archived: bool,
    },
    RemoveConversation {
        conversation: String,
    },
    SetActivity {
        conversation: String,
        kind: String,
        active: bool,
    },

    Labels {
        page: Page,
    },
    /// Without an id: a new one.
    PutLabel {
        id: Option<String>,
        name: String,
    },
    RemoveLabel {
        id: String,
    },
    AssignLabel {
        id: String,
        conversations: Vec<String>,
        assigned: bool,
    },

    Contacts {
        page: Page,
    },
    Contact {
        id: String,
    },
    /// By phone, user name or alias.
    Resolve {
        address: String,
    },
    Blocked {
        page: Page,
    },
    Block {
        contact: String,
        blocked: bool,
    },
    /// Empty: none.
    SetNote {
        contact: String,
        note: String,
    },

    Groups {
        page: Page,
    },
    Group {
        id: String,
    },
    CreateGroup {
        name: String,
        members: Vec<String>,
    },
    LeaveGroup {
        id: String,
    },
    ChangeMembers {
        id: String,
        change: MemberChange,
        members: Vec<String>,
    },
    /// None: as it is.
    SetGroupInfo {
        id: String,
        name: Option<String>,
        description: Option<String>,
        /// A medium's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        avatar: Option<String>,
    },
    JoinRequests {
        id: String,
    },
    DecideJoinRequests {
        id: String,
        members: Vec<String>,
        approve: bool,
    },
    SetJoinApproval {
        id: String,
        enabled: bool,
    },
    Invitation {
        id: String,
    },

    Profile {},
    /// None: as it is.
    SetProfile {
        name: Option<String>,
        about: Option<String>,
        /// A medium's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        avatar: Option<String>,
    },
    SetPresence {
        online: bool,
    },

    /// What only this channel has; see `commands`.
    Run {
        command: String,
        /// JSON as text.
        input: String,
    },
}

impl Ask {
    /// Nothing is changed by it, so it may be asked again whatever became of it.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Messages { .. }
                | Self::Conversations { .. }
                | Self::Conversation { .. }
                | Self::Members { .. }
                | Self::Labels { .. }
                | Self::Contacts { .. }
                | Self::Contact { .. }
                | Self::Resolve { .. }
                | Self::Blocked { .. }
                | Self::Groups { .. }
                | Self::Group { .. }
                | Self::JoinRequests { .. }
                | Self::Profile {}
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub conversation: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// [`Pages::next`] of the page before; none: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    pub limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    Add,
    Remove,
    Promote,
    Demote,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done {},
    Created(String),
    Conversation(Box<Conversation>),
    Conversations(Pages<Conversation>),
    Members(Pages<Member>),
    /// None: there is nobody of that name.
    Contact(Option<Box<Contact>>),
    Contacts(Pages<Contact>),
    Messages(Pages<Message>),
    Labels(Pages<Label>),
    Invitation {
        url: String,
        code: String,
    },
    JoinRequests(Vec<Applicant>),
    Profile(Profile),
    /// JSON as text.
    Value(String),
}

/// One page of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pages<T> {
    pub items: Vec<T>,
    /// None: the last page.
    pub next: Option<String>,
}

/// Somebody who wants to be let into a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Applicant {
    pub contact: Contact,
    pub requested_at: u64,
}
