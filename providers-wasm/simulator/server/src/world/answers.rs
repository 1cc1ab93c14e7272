//! From a request to what does it.

use super::World;
use crate::protocol::Fault;
use crate::request::{Answer, Ask};

impl World {
    /// A refused request has changed nothing.
    pub(crate) fn ask(&mut self, ask: Ask, now: u64) -> Result<Answer, Fault> {
        let done = |outcome: Result<(), Fault>| outcome.map(|()| Answer::Done {});
        match ask {
            Ask::Edit { target, text } => done(self.edit_own(&target, text, now)),
            Ask::Revoke {
                target,
                for_everyone,
            } => done(self.revoke(&target, for_everyone)),
            Ask::React { target, emoji } => {
                let me = self.me.id.clone();
                done(self.react(&me, &target, emoji))
            }
            Ask::PinMessage {
                target,
                pinned,
                seconds,
            } => done(self.pin_message(&target, pinned, seconds, now)),
            Ask::Messages { conversation, page } => {
                self.history(&conversation, &page).map(Answer::Messages)
            }

            Ask::Conversations { page } => self.list_chats(&page, now).map(Answer::Conversations),
            Ask::Conversation { id } => self.see_chat(&id, now),
            Ask::Members { conversation, page } => {
                self.members(&conversation, &page).map(Answer::Members)
            }
            Ask::OpenWith { contacts } => self.open_with(contacts, now),
            Ask::MarkRead {
                conversation,
                up_to,
            } => done(self.mark_read(&conversation, up_to.as_deref(), now)),
            Ask::MarkUnread { conversation } => {
                done(self.change_chat(&conversation, now, |chat| chat.marked_unread = true))
            }
            Ask::Mute {
                conversation,
                muted,
                until,
            } => done(self.mute(&conversation, muted, until, now)),
            Ask::PinConversation {
                conversation,
                pinned,
            } => done(self.pin_chat(&conversation, pinned, now)),
            Ask::Archive {
                conversation,
                archived,
            } => done(self.change_chat(&conversation, now, |chat| chat.archived = archived)),
            Ask::RemoveConversation { conversation } => done(self.remove_chat(&conversation)),
            Ask::SetActivity {
                conversation, kind, ..
            } => done(self.set_activity(&conversation, &kind)),

            Ask::Labels { page } => self.list_labels(&page).map(Answer::Labels),
            Ask::PutLabel { id, name } => self.put_label(id, name),
            Ask::RemoveLabel { id } => done(self.remove_label(&id)),
            Ask::AssignLabel {
                id,
                conversations,
                assigned,
            } => done(self.assign_label(&id, &conversations, assigned, now)),

            Ask::Contacts { page } => self.list_contacts(&page, false).map(Answer::Contacts),
            Ask::Contact { id } => Ok(Answer::Contact(self.contact(&id).map(Box::new))),
            Ask::Resolve { address } => Ok(Answer::Contact(self.resolve(&address).map(Box::new))),
            Ask::Blocked { page } => self.list_contacts(&page, true).map(Answer::Contacts),
            Ask::Block { contact, blocked } => {
                done(self.change_contact(&contact, |contact| contact.is_blocked = Some(blocked)))
            }
            Ask::SetNote { contact, note } => done(self.set_note(&contact, note)),

            Ask::Groups { page } => self.list_groups(&page, now).map(Answer::Conversations),
            Ask::Group { id } => self
                .group(&id)
                .map(drop)
                .and_then(|()| self.see_chat(&id, now)),
            Ask::CreateGroup { name, members } => {
                self.create_group(&name, members, now).map(Answer::Created)
            }
            Ask::LeaveGroup { id } => done(self.leave_group(&id)),
            Ask::ChangeMembers {
                id,
                change,
                members,
            } => {
                let me = self.me.id.clone();
                done(self.change_members(&me, &id, change, members, now))
            }
            Ask::SetGroupInfo {
                id,
                name,
                description,
                avatar,
            } => {
                let me = self.me.id.clone();
                done(self.set_group_info(&me, &id, name, description, avatar))
            }
            Ask::JoinRequests { id } => self.join_requests(&id).map(Answer::JoinRequests),
            Ask::DecideJoinRequests {
                id,
                members,
                approve,
            } => done(self.decide_join_requests(&id, members, approve, now)),
            Ask::SetJoinApproval { id, enabled } => done(self.set_join_approval(&id, enabled)),
            Ask::Invitation { id } => self.invitation(&id),

            Ask::Profile {} => Ok(Answer::Profile(self.me.clone())),
            Ask::SetProfile {
                name,
                about,
                avatar,
            } => done(self.set_profile(name, about, avatar)),
            Ask::SetPresence { online } => {
                self.online = online;
                Ok(Answer::Done {})
            }
            Ask::Run { command, input } => self.run(&command, &input),
        }
    }
}
