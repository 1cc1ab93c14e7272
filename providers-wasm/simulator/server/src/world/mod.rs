//! What one user sees of the channel: people, conversations, messages, labels. Every change, whoever
//! makes it, leaves an event, as the user's other devices would see it; who calls here takes it from
//! [`World::take_events`]. Plain state; does no input or output.

mod answers;
mod chats;
mod groups;
mod messages;
mod others;
mod page;
mod people;
mod seed;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::media::Media;
use crate::model::{Avatar, Body, Contact, Conversation, Member, Message};
use crate::protocol::{Fault, Profile};

pub use others::Act;
pub use seed::NewConversation;

pub(crate) struct World {
    /// Who the user is.
    pub(crate) me: Profile,
    online: bool,
    epoch: String,
    made: u64,
    contacts: BTreeMap<String, Contact>,
    chats: BTreeMap<String, Chat>,
    labels: BTreeMap<String, String>,
    history_limit: usize,
    /// Everybody's.
    media: Arc<Media>,
    events: Vec<Body>,
}

struct Chat {
    /// `user`, `group` or `channel`.
    kind: String,
    title: String,
    description: Option<String>,
    /// Of groups and channels.
    avatar: Option<Avatar>,
    created_at: u64,
    /// Of groups and channels: by id, with role and since when.
    members: BTreeMap<String, (Role, u64)>,
    /// Who wants to be let in, since when.
    applicants: BTreeMap<String, u64>,
    needs_approval: bool,
    invitation: Option<String>,
    /// Oldest first; numbers rise.
    messages: VecDeque<Entry>,
    spoken: u64,
    unread: u32,
    marked_unread: bool,
    pinned: bool,
    muted: bool,
    muted_until: Option<u64>,
    archived: bool,
    labels: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Member,
    Admin,
    Owner,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

struct Entry {
    number: u64,
    message: Message,
    /// By who reacted.
    reactions: BTreeMap<String, String>,
    pinned: bool,
    pinned_until: Option<u64>,
}

impl Chat {
    fn new(kind: &str, title: &str, at: u64) -> Self {
        Self {
            kind: kind.to_owned(),
            title: title.to_owned(),
            description: None,
            avatar: None,
            created_at: at,
            members: BTreeMap::new(),
            applicants: BTreeMap::new(),
            needs_approval: false,
            invitation: None,
            messages: VecDeque::new(),
            spoken: 0,
            unread: 0,
            marked_unread: false,
            pinned: false,
            muted: false,
            muted_until: None,
            archived: false,
            labels: Vec::new(),
        }
    }

    fn last_at(&self) -> u64 {
        self.messages
            .back()
            .map_or(self.created_at, |entry| entry.message.sent_at)
    }

    fn entry(&mut self, message: &str) -> Result<&mut Entry, Fault> {
        self.messages
            .iter_mut()
            .rev()
            .find(|entry| entry.message.id == message)
            .ok_or_else(|| Fault::new("not-found", "there is no such message"))
    }
}

impl World {
    pub(crate) fn new(
        me: Profile,
        epoch: &str,
        history_limit: usize,
        now: u64,
        media: Arc<Media>,
    ) -> Self {
        let mut world = Self {
            me,
            online: true,
            epoch: epoch.to_owned(),
            made: 0,
            contacts: BTreeMap::new(),
            chats: BTreeMap::new(),
            labels: BTreeMap::new(),
            history_limit,
            media,
            events: Vec::new(),
        };
        world.seed(now);
        world
    }

    /// What has happened since the last call, in order.
    pub(crate) fn take_events(&mut self) -> Vec<Body> {
        std::mem::take(&mut self.events)
    }

    fn next_id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}:{}-{}", self.epoch, self.made)
    }

    fn chat(&mut self, id: &str) -> Result<&mut Chat, Fault> {
        self.chats
            .get_mut(id)
            .ok_or_else(|| Fault::new("not-found", "there is no such conversation"))
    }

    /// A conversation with one person begins when somebody says something in it.
    fn chat_or_new(&mut self, id: &str, now: u64) -> Result<&mut Chat, Fault> {
        if !self.chats.contains_key(id) {
            if id.starts_with("group:") || id.starts_with("channel:") {
                return Err(Fault::new("not-found", "there is no such conversation"));
            }
            self.contact_or_new(id);
            let title = name_of(&self.contacts, id);
            self.chats
                .insert(id.to_owned(), Chat::new("user", &title, now));
        }
        self.chat(id)
    }

    /// Whoever is named exists.
    fn contact_or_new(&mut self, id: &str) -> &mut Contact {
        self.contacts
            .entry(id.to_owned())
            .or_insert_with(|| Contact {
                id: id.to_owned(),
                name: Some(id.strip_prefix("user:").unwrap_or(id).to_owned()),
                ..Contact::default()
            })
    }

    fn updated(&mut self, conversation: &str, now: u64) {
        if let Some(seen) = self.conversation(conversation, now) {
            self.events.push(Body::Conversation(seen));
        }
    }

    fn conversation(&self, id: &str, now: u64) -> Option<Conversation> {
        let chat = self.chats.get(id)?;
        let last = chat.messages.back();
        let person = self.contacts.get(id);
        let muted = chat.muted && chat.muted_until.is_none_or(|until| until > now);
        Some(Conversation {
            id: id.to_owned(),
            kind: chat.kind.clone(),
            title: Some(chat.title.clone()),
            username: person.and_then(|contact| contact.username.clone()),
            description: chat.description.clone(),
            avatar: match person {
                Some(contact) => contact.avatar.clone(),
                None => chat.avatar.clone(),
            },
            unread: Some(chat.unread),
            members: (chat.kind != "user").then_some(chat.members.len() as u32),
            is_read: Some(chat.unread == 0 && !chat.marked_unread),
            is_pinned: Some(chat.pinned),
            is_muted: Some(muted),
            muted_until: chat.muted_until.filter(|_| muted),
            is_archived: Some(chat.archived),
            created_at: Some(chat.created_at),
            last_message_at: last.map(|entry| entry.message.sent_at),
            last_message_text: last.map(|entry| entry.message.content.summary()),
            labels: chat.labels.clone(),
        })
    }

    fn member(&self, id: &str, role: Role, joined_at: u64) -> Member {
        Member {
            contact: self.person(id),
            role: role.name().to_owned(),
            joined_at,
        }
    }

    fn person(&self, id: &str) -> Contact {
        if id == self.me.id {
            return Contact {
                id: id.to_owned(),
                name: Some(self.me.name.clone()),
                username: Some(self.me.username.clone()),
                phone: Some(self.me.phone.clone()),
                avatar: self.me.avatar.clone(),
                ..Contact::default()
            };
        }
        self.contacts.get(id).cloned().unwrap_or_else(|| Contact {
            id: id.to_owned(),
            ..Contact::default()
        })
    }
}

fn name_of(contacts: &BTreeMap<String, Contact>, id: &str) -> String {
    let name = contacts.get(id).and_then(|contact| contact.name.clone());
    name.unwrap_or_else(|| id.to_owned())
}

fn at_most(what: &str, text: &str, chars: usize) -> Result<(), Fault> {
    let length = text.chars().count();
    if length > chars {
        let message = format!("{what} has at most {chars} characters, not {length}");
        return Err(Fault::new("invalid", message));
    }
    Ok(())
}

fn named(what: &str, text: &str, chars: usize) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("invalid", format!("{what} is empty")));
    }
    at_most(what, text, chars)
}

#[cfg(test)]
mod tests;
