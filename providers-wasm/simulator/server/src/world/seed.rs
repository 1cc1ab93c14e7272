//! What a user finds on the first day, and what control adds.

use serde::{Deserialize, Serialize};

use super::{Chat, Role, World};
use crate::media::SEEDED_AVATARS;
use crate::model::{Avatar, Contact};
use crate::protocol::{ECHO_CONVERSATION, Fault};

/// A conversation that is there from now on, as control asks for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewConversation {
    pub id: String,
    /// `user`, `group` or `channel`.
    pub kind: String,
    pub title: String,
    pub description: Option<String>,
    /// Ids, the user's own not among them.
    pub members: Vec<String>,
    /// `owner`, `admin` or `member`: what the user is in it; empty: `owner`.
    pub role: String,
}

impl World {
    pub(super) fn seed(&mut self, now: u64) {
        let people = [
            (ECHO_CONVERSATION, "Echo", "15550000000"),
            ("user:grace", "Grace", "15550000001"),
            ("user:alan", "Alan", "15550000002"),
            ("user:barbara", "Barbara", "15550000003"),
        ];
        for (id, name, phone) in people.into_iter().filter(|(id, ..)| *id != self.me.id) {
            let username = id.strip_prefix("user:").unwrap_or(id);
            let contact = Contact {
                id: id.to_owned(),
                name: Some(name.to_owned()),
                username: Some(username.to_owned()),
                phone: Some(phone.to_owned()),
                aliases: vec![format!("tel:{phone}")],
                avatar: self.seeded_avatar(username),
                is_bot: Some(id == ECHO_CONVERSATION),
                ..Contact::default()
            };
            self.contacts.insert(id.to_owned(), contact);
        }
        let echo = Chat::new("user", "Echo", now);
        self.chats.insert(ECHO_CONVERSATION.to_owned(), echo);
        let members = ["user:grace", "user:alan"].map(str::to_owned);
        for (id, title, role) in [
            ("group:lab", "Lab", Role::Owner),
            ("channel:news", "News", Role::Member),
        ] {
            let mut chat = Chat::new(id.split(':').next().unwrap_or("group"), title, now);
            for member in members.iter().filter(|member| **member != self.me.id) {
                chat.members.insert(member.clone(), (Role::Member, now));
            }
            if role == Role::Member {
                chat.members
                    .insert("user:grace".to_owned(), (Role::Owner, now));
            }
            chat.members.insert(self.me.id.clone(), (role, now));
            chat.avatar = self.seeded_avatar(&title.to_lowercase());
            self.chats.insert(id.to_owned(), chat);
        }
    }

    fn seeded_avatar(&self, name: &str) -> Option<Avatar> {
        let medium = format!("simulator:{name}.png");
        let known = SEEDED_AVATARS.contains(&medium.as_str());
        self.media.avatar(&medium).ok().filter(|_| known)
    }

    /// In place of the one with its id.
    pub(crate) fn put_contact(&mut self, contact: Contact) -> Result<(), Fault> {
        if contact.id.is_empty() || contact.id == self.me.id {
            return Err(Fault::new("invalid", "a contact has an id of its own"));
        }
        self.contacts.insert(contact.id.clone(), contact);
        Ok(())
    }

    pub(crate) fn put_conversation(&mut self, new: NewConversation, now: u64) -> Result<(), Fault> {
        if new.id.is_empty() || !["user", "group", "channel"].contains(&new.kind.as_str()) {
            let message = "a conversation has an id and is a user, a group or a channel";
            return Err(Fault::new("invalid", message));
        }
        let role = match new.role.as_str() {
            "" | "owner" => Role::Owner,
            "admin" => Role::Admin,
            "member" => Role::Member,
            _ => return Err(Fault::new("invalid", "a role is owner, admin or member")),
        };
        let mut chat = Chat::new(&new.kind, &new.title, now);
        chat.description = new.description;
        if new.kind == "user" {
            self.contact_or_new(&new.id);
        } else {
            for member in new.members {
                self.contact_or_new(&member);
                chat.members.insert(member, (Role::Member, now));
            }
            chat.members.insert(self.me.id.clone(), (role, now));
        }
        self.chats.insert(new.id, chat);
        Ok(())
    }
}
