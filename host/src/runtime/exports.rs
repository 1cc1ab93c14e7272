//! The interfaces that a provider may export beside those of every provider and `sign-in`: which
//! of them there are, and the calls into them.
//!
//! An instance looks one up when it is first called; that all of them have the contract's shape is
//! known since the component was checked.

use super::check::shape_of;
use super::convert;
use super::guest::GuestState;
use crate::domain::capability::Interface;
use crate::domain::command::Command;
use crate::domain::send::{Content, Outgoing};
use anyport_contract::anyport::provider::types;
use anyport_contract::exports::anyport::provider as guest;
use wasmtime::Store;
use wasmtime::component::InstancePre;

type Called = wasmtime::Result<Result<(), types::Error>>;

macro_rules! exports {
    ($($field:ident: $variant:ident,)*) => {
        /// Where the functions of each interface are in the component.
        #[derive(Clone, Default)]
        pub struct Indices {
            $($field: Option<guest::$field::GuestIndices>,)*
        }

        /// Those that an instance has looked up.
        #[derive(Default)]
        struct Loaded {
            $($field: Option<guest::$field::Guest>,)*
        }

        impl Indices {
            /// `has`: is there an export of this name?
            pub fn of(
                pre: &InstancePre<GuestState>,
                has: impl Fn(&str) -> bool,
            ) -> wasmtime::Result<Self> {
                Ok(Self {
                    $($field: if has(&full_name(Interface::$variant)) {
                        Some(guest::$field::GuestIndices::new(pre)?)
                    } else {
                        None
                    },)*
                })
            }

            pub fn has(&self, interface: Interface) -> bool {
                match interface {
                    $(Interface::$variant => self.$field.is_some(),)*
                }
            }
        }

        impl Exports {
            /// Looks all of them up: each has the shape that the contract says, or there is an
            /// error that names it.
            pub fn check(&self, store: &mut Store<GuestState>) -> wasmtime::Result<()> {
                $(if let Some(indices) = &self.indices.$field {
                    let loaded = indices.load(&mut *store, &self.instance);
                    shape_of(&full_name(Interface::$variant), loaded)?;
                })*
                Ok(())
            }

            $(fn $field(
                &mut self,
                store: &mut Store<GuestState>,
            ) -> wasmtime::Result<guest::$field::Guest> {
                let loaded = self.loaded.get_or_insert_default();
                if let Some(found) = &loaded.$field {
                    return Ok(found.clone());
                }
                let Some(indices) = &self.indices.$field else {
                    return Err(wasmtime::Error::msg(format!(
                        "the component exports no `{}`",
                        Interface::$variant.as_str()
                    )));
                };
                let found = indices.load(store, &self.instance)?;
                Ok(loaded.$field.insert(found).clone())
            })*
        }
    };
}

exports! {
    messaging: Messaging,
    message_actions: MessageActions,
    conversations: Conversations,
    conversation_actions: ConversationActions,
    conversation_labels: ConversationLabels,
    contacts: Contacts,
    groups: Groups,
    history: History,
    media: Media,
    profile: Profile,
    commands: Commands,
}

fn full_name(interface: Interface) -> String {
    format!("anyport:provider/{}@0.1.0", interface.as_str())
}

/// Of one instance.
pub struct Exports {
    instance: wasmtime::component::Instance,
    indices: std::sync::Arc<Indices>,
    /// Most instances are idle: nothing before the first call.
    loaded: Option<Box<Loaded>>,
}

impl Exports {
    pub fn new(instance: wasmtime::component::Instance, indices: std::sync::Arc<Indices>) -> Self {
        Self {
            instance,
            indices,
            loaded: None,
        }
    }

    pub fn call_send(
        &mut self,
        store: &mut Store<GuestState>,
        request: &String,
        outgoing: &Outgoing,
    ) -> Called {
        if let Content::Forward { message } = &outgoing.content {
            let target = convert::message_ref(message);
            let to = &outgoing.conversation;
            return self
                .message_actions(store)?
                .call_forward(store, request, &target, to);
        }
        let Some(outgoing) = convert::outgoing(outgoing) else {
            return Err(wasmtime::Error::msg("there is no form for this content"));
        };
        self.messaging(store)?.call_send(store, request, &outgoing)
    }

    pub fn call_fetch(
        &mut self,
        store: &mut Store<GuestState>,
        request: &String,
        reference: &str,
    ) -> Called {
        self.media(store)?.call_fetch(store, request, reference)
    }

    pub fn call_command(
        &mut self,
        store: &mut Store<GuestState>,
        request: &String,
        command: &Command,
    ) -> Called {
        match command {
            Command::EditMessage { .. }
            | Command::RevokeMessage { .. }
            | Command::React { .. }
            | Command::PinMessage { .. } => self.call_message_action(store, request, command),

            Command::ListConversations(page) => {
                let conversations = self.conversations(store)?;
                conversations.call_list_all(store, request, &convert::page(page))
            }
            Command::GetConversation(id) => self.conversations(store)?.call_get(store, request, id),
            Command::ListMembers { conversation, page } => {
                let (conversations, page) = (self.conversations(store)?, convert::page(page));
                conversations.call_list_members(store, request, conversation, &page)
            }
            Command::OpenConversation { contacts } => {
                let conversations = self.conversations(store)?;
                conversations.call_open_with(store, request, contacts)
            }
            Command::ListMessages { conversation, page } => {
                let (history, page) = (self.history(store)?, convert::page(page));
                history.call_list_messages(store, request, conversation, &page)
            }

            Command::MarkRead { .. }
            | Command::MarkUnread(_)
            | Command::Mute { .. }
            | Command::PinConversation { .. }
            | Command::Archive { .. }
            | Command::RemoveConversation(_)
            | Command::SetActivity { .. } => self.call_conversation_action(store, request, command),

            Command::ListLabels(_)
            | Command::UpsertLabel { .. }
            | Command::RemoveLabel(_)
            | Command::AssignLabel { .. } => self.call_label(store, request, command),

            Command::ListContacts(_)
            | Command::GetContact(_)
            | Command::ResolveContact(_)
            | Command::ListBlocked(_)
            | Command::Block { .. }
            | Command::SetNote { .. } => self.call_contact(store, request, command),

            Command::ListGroups(_)
            | Command::GetGroup(_)
            | Command::CreateGroup { .. }
            | Command::LeaveGroup(_)
            | Command::UpdateMembers { .. }
            | Command::UpdateGroup { .. }
            | Command::ListJoinRequests(_)
            | Command::DecideJoinRequests { .. }
            | Command::SetJoinApproval { .. }
            | Command::GetInvitation(_) => self.call_group(store, request, command),

            Command::GetProfile => self.profile(store)?.call_get(store, request),
            Command::UpdateProfile {
                display_name,
                bio,
                avatar,
            } => {
                let change = guest::profile::Change {
                    display_name: display_name.clone(),
                    bio: bio.clone(),
                    avatar: avatar.clone(),
                };
                self.profile(store)?.call_update(store, request, &change)
            }
            Command::SetPresence { online } => {
                let profile = self.profile(store)?;
                profile.call_set_presence(store, request, *online)
            }
            Command::Run { name, input } => {
                let commands = self.commands(store)?;
                commands.call_run(store, request, name, &input.to_string())
            }
        }
    }

    fn call_message_action(
        &mut self,
        store: &mut Store<GuestState>,
        request: &String,
        command: &Command,
    ) -> Called {
        let actions = self.message_actions(store)?;
        match command {
            Command::EditMessage {
                target,
                text,
                format,
            } => {
                let target = convert::message_ref(target);
                actions.call_edit(store, request, &target, &convert::text(text, format, &[]))
            }
            Command::RevokeMessage {
                target,
                for_everyone,
            } => {
                let target = convert::message_ref(target);
                actions.call_revoke(store, request, &target, *for_everyone)
            }
            Command::React { target, emoji } => {
                let target = convert::message_ref(target);
                actions.call_react(store, request, &target, emoji.as_deref())
            }
            Command::PinMessage {
                target,
                pinned,
                seconds,
            } => {
                let target = convert::message_ref(target);
                actions.call_pin(store, request, &target, *pinned, *seconds)
            }
            other => misplaced(other),
        }
    }

    fn call_conversation_action(
        &mut self,
        store: &mut Store<GuestState>,
        request: &String,
        command: &Command,
    ) -> Called {
        let actions = self.conversation_actions(store)?;
        match command {
            Command::MarkRead {
                conversation,
                up_to,
            } => {
                let up_to = up_to.as_ref().map(convert::message_ref);
                actions.call_mark_read(store, request, conversation, up_to.as_ref())
            }
            Command::MarkUnread(id) => actions.call_mark_unread(store, request, id),
            Command::Mute {
                conversation,
                muted,
                until,
            } => {
                let until = until.map(|until| until.0);
                actions.call_mute(store, request, conversation, *muted, until)
            }
            Command::PinConversation {
                conversation,
                pinned,
            } => actions.call_pin(store, request, conversation, *pinned),
            Command::Archive {
                conversation,
                archived,
            } => actions.call_archive(store, request, conversation, *archived),
            Command::RemoveConversation(id) => actions.call_remove(store, request, id),
            Command::SetActivity {
                conversation,
                kind,
                active,
            } => actions.call_set_activity(store, request, conversation, kind, *active),
            other => misplaced(other),
        }
    }

    fn call_label(
        &mut self,
        store: &mut Store<GuestState>,
        request: &String,
        command: &Command,
    ) -> Called {
        let labels = self.conversation_labels(store)?;
        match command {
            Command::ListLabels(page) => labels.call_list_all(store, request, &convert::page(page)),
            Command::UpsertLabel { id, name } => {
                labels.call_upsert(store, request, id.as_deref(), name)
            }
            Command::RemoveLabel(id) => labels.call_remove(store, request, id),
            Command::AssignLabel {
                id,
                conversations,
                assigned,
            } => labels.call_assign(store, request, id, conversations, *assigned),
            other => misplaced(other),
        }
    }

    fn call_contact(
        &mut self,
        store: &mut Store<GuestState>,
        request: &String,
        command: &Command,
    ) -> Called {
        let contacts = self.contacts(store)?;
        match command {
            Command::ListContacts(page) => {
                contacts.call_list_all(store, request, &convert::page(page))
            }
            Command::GetContact(id) => contacts.call_get(store, request, id),
            Command::ResolveContact(address) => contacts.call_resolve(store, request, address),
            Command::ListBlocked(page) => {
                contacts.call_list_blocked(store, request, &convert::page(page))
            }
            Command::Block { contact, blocked } => {
                contacts.call_block(store, request, contact, *blocked)
            }
            Command::SetNote { contact, note } => {
                contacts.call_set_note(store, request, contact, note)
            }
            other => misplaced(other),
        }
    }

    fn call_group(
        &mut self,
        store: &mut Store<GuestState>,
        request: &String,
        command: &Command,
    ) -> Called {
        let groups = self.groups(store)?;
        match command {
            Command::ListGroups(page) => groups.call_list_all(store, request, &convert::page(page)),
            Command::GetGroup(id) => groups.call_get(store, request, id),
            Command::CreateGroup { name, members } => {
                groups.call_create(store, request, name, members)
            }
            Command::LeaveGroup(id) => groups.call_leave(store, request, id),
            Command::UpdateMembers {
                group,
                action,
                members,
            } => groups.call_update_members(store, request, group, action, members),
            Command::UpdateGroup {
                group,
                name,
                description,
                avatar,
            } => {
                let info = guest::groups::Info {
                    name: name.clone(),
                    description: description.clone(),
                    avatar: avatar.clone(),
                };
                groups.call_update_info(store, request, group, &info)
            }
            Command::ListJoinRequests(id) => groups.call_list_join_requests(store, request, id),
            Command::DecideJoinRequests {
                group,
                members,
                approve,
            } => groups.call_decide_join_requests(store, request, group, members, *approve),
            Command::SetJoinApproval { group, enabled } => {
                groups.call_set_join_approval(store, request, group, *enabled)
            }
            Command::GetInvitation(id) => groups.call_get_invitation(store, request, id),
            other => misplaced(other),
        }
    }
}

/// `call_command` sends none of these here.
fn misplaced(command: &Command) -> Called {
    Err(wasmtime::Error::msg(format!(
        "{} is no function of this interface",
        command.feature()
    )))
}
