//! What a client asks of an account's provider beyond signing in and sending: questions, and
//! actions that are not worth a record. They live in memory only, and so do their answers.

use super::Timestamp;
use super::account::Profile;
use super::capability::{COMMAND, Interface, interface_of};
use super::chat::{Contact, Conversation, Invitation, JoinRequest, Label, Member, Page, PageOf};
use super::error::{Certainty, Failure};
use super::send::MessageRef;
use serde_json::Value;
use std::borrow::Cow;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    EditMessage {
        target: MessageRef,
        text: String,
        /// `plain`, `markdown` or `html`.
        format: String,
    },
    RevokeMessage {
        target: MessageRef,
        for_everyone: bool,
    },
    /// No emoji: taken back.
    React {
        target: MessageRef,
        emoji: Option<String>,
    },
    PinMessage {
        target: MessageRef,
        pinned: bool,
        seconds: Option<u32>,
    },

    ListConversations(PageOf),
    GetConversation(String),
    ListMembers {
        conversation: String,
        page: PageOf,
    },
    OpenConversation {
        contacts: Vec<String>,
    },
    ListMessages {
        conversation: String,
        page: PageOf,
    },

    /// Up to and with this message; none: all of it.
    MarkRead {
        conversation: String,
        up_to: Option<MessageRef>,
    },
    MarkUnread(String),
    /// `until`: none for good.
    Mute {
        conversation: String,
        muted: bool,
        until: Option<Timestamp>,
    },
    PinConversation {
        conversation: String,
        pinned: bool,
    },
    Archive {
        conversation: String,
        archived: bool,
    },
    RemoveConversation(String),
    SetActivity {
        conversation: String,
        kind: String,
        active: bool,
    },

    ListLabels(PageOf),
    /// Without an id: made.
    UpsertLabel {
        id: Option<String>,
        name: String,
    },
    RemoveLabel(String),
    AssignLabel {
        id: String,
        conversations: Vec<String>,
        assigned: bool,
    },

    ListContacts(PageOf),
    GetContact(String),
    /// By phone, username or e-mail.
    ResolveContact(String),
    ListBlocked(PageOf),
    Block {
        contact: String,
        blocked: bool,
    },
    /// Empty: cleared.
    SetNote {
        contact: String,
        note: String,
    },

    ListGroups(PageOf),
    GetGroup(String),
    CreateGroup {
        name: String,
        members: Vec<String>,
    },
    LeaveGroup(String),
    UpdateMembers {
        group: String,
        /// `add`, `remove`, `promote`, `demote`.
        action: String,
        members: Vec<String>,
    },
    /// None leaves as it is.
    UpdateGroup {
        group: String,
        name: Option<String>,
        description: Option<String>,
        /// A blob.
        avatar: Option<String>,
    },
    ListJoinRequests(String),
    DecideJoinRequests {
        group: String,
        members: Vec<String>,
        approve: bool,
    },
    SetJoinApproval {
        group: String,
        enabled: bool,
    },
    GetInvitation(String),

    GetProfile,
    /// None leaves as it is.
    UpdateProfile {
        display_name: Option<String>,
        bio: Option<String>,
        /// A blob.
        avatar: Option<String>,
    },
    SetPresence {
        online: bool,
    },

    /// What only this channel has.
    Run {
        name: String,
        input: Value,
    },
}

impl Command {
    /// The name that `describe` has for it.
    pub fn feature(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::EditMessage { .. } => "message.edit",
            Self::RevokeMessage { .. } => "message.revoke",
            Self::React { .. } => "message.react",
            Self::PinMessage { .. } => "message.pin",
            Self::ListConversations(_) => "conversations.list",
            Self::GetConversation(_) => "conversations.get",
            Self::ListMembers { .. } => "conversations.members",
            Self::OpenConversation { .. } => "conversations.open",
            Self::ListMessages { .. } => "conversations.history",
            Self::MarkRead { .. } => "conversations.read",
            Self::MarkUnread(_) => "conversations.unread",
            Self::Mute { .. } => "conversations.mute",
            Self::PinConversation { .. } => "conversations.pin",
            Self::Archive { .. } => "conversations.archive",
            Self::RemoveConversation(_) => "conversations.delete",
            Self::SetActivity { .. } => "conversations.activity",
            Self::ListLabels(_) => "labels.list",
            Self::UpsertLabel { .. } => "labels.upsert",
            Self::RemoveLabel(_) => "labels.delete",
            Self::AssignLabel { .. } => "labels.assign",
            Self::ListContacts(_) => "contacts.list",
            Self::GetContact(_) => "contacts.get",
            Self::ResolveContact(_) => "contacts.resolve",
            Self::ListBlocked(_) => "contacts.blocklist",
            Self::Block { .. } => "contacts.block",
            Self::SetNote { .. } => "contacts.note",
            Self::ListGroups(_) => "groups.list",
            Self::GetGroup(_) => "groups.get",
            Self::CreateGroup { .. } => "groups.create",
            Self::LeaveGroup(_) => "groups.leave",
            Self::UpdateMembers { .. } => "groups.members",
            Self::UpdateGroup { .. } => "groups.info",
            Self::ListJoinRequests(_) | Self::DecideJoinRequests { .. } => "groups.join-requests",
            Self::SetJoinApproval { .. } => "groups.join-approval",
            Self::GetInvitation(_) => "groups.invitation",
            Self::GetProfile => "profile.get",
            Self::UpdateProfile { .. } => "profile.update",
            Self::SetPresence { .. } => "profile.presence",
            Self::Run { name, .. } => return Cow::Owned(format!("{COMMAND}{name}")),
        })
    }

    /// The interface with the function that this calls.
    pub fn interface(&self) -> Interface {
        // Every feature above stands in the table; a test asks for each.
        interface_of(&self.feature()).unwrap_or(Interface::Commands)
    }

    /// What answers it.
    pub fn expects(&self) -> Expects {
        match self {
            Self::ListConversations(_) | Self::ListGroups(_) => Expects::Conversations,
            Self::GetConversation(_) | Self::OpenConversation { .. } | Self::GetGroup(_) => {
                Expects::Conversation
            }
            Self::ListMembers { .. } => Expects::Members,
            Self::ListMessages { .. } => Expects::Messages,
            Self::ListLabels(_) => Expects::Labels,
            Self::UpsertLabel { id: None, .. } | Self::CreateGroup { .. } => Expects::Created,
            Self::ListContacts(_) | Self::ListBlocked(_) => Expects::Contacts,
            Self::GetContact(_) | Self::ResolveContact(_) => Expects::Contact,
            Self::ListJoinRequests(_) => Expects::JoinRequests,
            Self::GetInvitation(_) => Expects::Invitation,
            Self::GetProfile => Expects::Profile,
            Self::Run { .. } => Expects::ValueOrDone,
            _ => Expects::Done,
        }
    }

    /// Does it only look? Then it can be asked again, whatever became of it. What a channel's own
    /// command does is not known.
    pub fn is_query(&self) -> bool {
        !matches!(
            self.expects(),
            Expects::Done | Expects::Created | Expects::ValueOrDone
        ) && !matches!(self, Self::OpenConversation { .. })
    }
}

/// The function of `replies` that answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    Done,
    Sent,
    Created,
    Conversation,
    Conversations,
    Members,
    Contact,
    Contacts,
    Messages,
    Labels,
    Invitation,
    JoinRequests,
    Media,
    Profile,
    ValueOrDone,
}

impl Expects {
    const ALL: [Self; 15] = [
        Self::Done,
        Self::Sent,
        Self::Created,
        Self::Conversation,
        Self::Conversations,
        Self::Members,
        Self::Contact,
        Self::Contacts,
        Self::Messages,
        Self::Labels,
        Self::Invitation,
        Self::JoinRequests,
        Self::Media,
        Self::Profile,
        Self::ValueOrDone,
    ];

    /// As the contract calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "replies.done",
            Self::Sent => "replies.sent",
            Self::Created => "replies.created",
            Self::Conversation => "replies.with-conversation",
            Self::Conversations => "replies.with-conversations",
            Self::Members => "replies.with-members",
            Self::Contact => "replies.with-contact",
            Self::Contacts => "replies.with-contacts",
            Self::Messages => "replies.with-messages",
            Self::Labels => "replies.with-labels",
            Self::Invitation => "replies.with-invitation",
            Self::JoinRequests => "replies.with-join-requests",
            Self::Media => "replies.with-media",
            Self::Profile => "replies.with-profile",
            Self::ValueOrDone => "replies.with-value",
        }
    }

    pub fn allows(self, given: Self) -> bool {
        self == given || (self == Self::ValueOrDone && given == Self::Done)
    }
}

/// A request id for a call that lives in memory only. What must answer it stands in the id, so
/// that a wrong answer is known for one wherever the id turns up, also after the call is over: a
/// UUID of version 8, with its time, what is expected, and random bits.
pub fn call_id(expects: Expects) -> String {
    let mut bytes = Uuid::now_v7().into_bytes();
    bytes[6] = 0x80;
    bytes[7] = expects as u8;
    Uuid::from_bytes(bytes).hyphenated().to_string()
}

/// What must answer this request. None: it is no request of a host.
pub fn expected(request: &str) -> Option<Expects> {
    let id = Uuid::parse_str(request).ok()?;
    match id.get_version_num() {
        // Of a send.
        7 => Some(Expects::Sent),
        8 => Expects::ALL.get(usize::from(id.as_bytes()[7])).copied(),
        _ => None,
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Done,
    /// The id of what was made.
    Created(String),
    Conversation(Box<Conversation>),
    Conversations(Page<Conversation>),
    Members(Page<Member>),
    /// None: there is no such person.
    Contact(Option<Box<Contact>>),
    Contacts(Page<Contact>),
    /// Messages in their published form, newest first.
    Messages(Page<Value>),
    Labels(Page<Label>),
    Invitation(Invitation),
    JoinRequests(Vec<JoinRequest>),
    Profile(Profile),
    Value(Value),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Unanswered {
    /// The provider says so.
    Failed {
        failure: Failure,
        certainty: Certainty,
    },
    /// Not in time. `called`: the provider has it, and may have done it.
    TooLate { called: bool },
    /// What knew of it is gone: the instance, or the host that ran it.
    Gone { called: bool, reason: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_answers_it() {
        for expects in Expects::ALL {
            assert_eq!(expected(&call_id(expects)), Some(expects));
        }
        let send = super::super::SendId::generate();
        assert_eq!(expected(&send.request_id()), Some(Expects::Sent));
        assert_eq!(expected("nobody"), None);
        assert_eq!(expected(&Uuid::from_u128(7).to_string()), None);
        assert_ne!(call_id(Expects::Done), call_id(Expects::Done));
    }

    #[test]
    fn a_command_may_be_answered_with_nothing() {
        assert!(Expects::ValueOrDone.allows(Expects::Done));
        assert!(!Expects::Done.allows(Expects::ValueOrDone));
        assert!(!Expects::Contact.allows(Expects::Contacts));
    }

    #[test]
    fn every_command_needs_an_interface_of_the_table() {
        let (id, page) = (String::new, || PageOf {
            cursor: None,
            limit: 1,
        });
        let target = MessageRef::of("c", "m");
        let run = Command::Run {
            name: "wave".into(),
            input: Value::Null,
        };
        for (command, interface) in [
            (
                Command::React {
                    target,
                    emoji: None,
                },
                Interface::MessageActions,
            ),
            (Command::ListConversations(page()), Interface::Conversations),
            (
                Command::ListMessages {
                    conversation: id(),
                    page: page(),
                },
                Interface::History,
            ),
            (Command::MarkUnread(id()), Interface::ConversationActions),
            (Command::ListLabels(page()), Interface::ConversationLabels),
            (Command::ListBlocked(page()), Interface::Contacts),
            (Command::LeaveGroup(id()), Interface::Groups),
            (Command::GetProfile, Interface::Profile),
            (run, Interface::Commands),
        ] {
            assert!(interface_of(&command.feature()).is_some(), "{command:?}");
            assert_eq!(command.interface(), interface, "{command:?}");
        }
    }
}
