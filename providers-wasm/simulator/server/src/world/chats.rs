//! The chat list: its entries, what the user does with them, and labels.

use serde_json::Value;

use super::page::{newest_first, page};
use super::{Chat, World, named};
use crate::limits;
use crate::model::{Body, Conversation, Label, Member, Receipt};
use crate::protocol::Fault;
use crate::request::{Answer, Page, Pages};

impl World {
    pub(super) fn list_chats(&self, asked: &Page, now: u64) -> Result<Pages<Conversation>, Fault> {
        self.list(asked, now, |_| true)
    }

    pub(super) fn list(
        &self,
        asked: &Page,
        now: u64,
        fits: impl Fn(&Chat) -> bool,
    ) -> Result<Pages<Conversation>, Fault> {
        let mut keys: Vec<_> = self
            .chats
            .iter()
            .filter(|(_, chat)| fits(chat))
            .map(|(id, chat)| (format!("{}.{id}", newest_first(chat.last_at())), id))
            .collect();
        keys.sort();
        let entries = keys
            .into_iter()
            .filter_map(|(key, id)| Some((key, self.conversation(id, now)?)));
        page(entries, asked)
    }

    pub(super) fn see_chat(&mut self, id: &str, now: u64) -> Result<Answer, Fault> {
        self.chat(id)?;
        let seen = self.conversation(id, now).unwrap_or_default();
        Ok(Answer::Conversation(Box::new(seen)))
    }

    /// A conversation of two has the other one as only member beside the user.
    pub(super) fn members(&mut self, id: &str, asked: &Page) -> Result<Pages<Member>, Fault> {
        let chat = self.chat(id)?;
        let mut members = chat.members.clone();
        if chat.kind == "user" {
            let since = chat.created_at;
            members.insert(id.to_owned(), (super::Role::Member, since));
            members.insert(self.me.id.clone(), (super::Role::Member, since));
        }
        let entries = members
            .iter()
            .map(|(id, (role, since))| (id.clone(), self.member(id, *role, *since)));
        page(entries, asked)
    }

    pub(super) fn open_with(
        &mut self,
        mut contacts: Vec<String>,
        now: u64,
    ) -> Result<Answer, Fault> {
        contacts.retain(|id| *id != self.me.id);
        match contacts.as_slice() {
            [] => Err(Fault::new("invalid", "nobody is named")),
            [id] => {
                let id = id.clone();
                self.chat_or_new(&id, now)?;
                self.see_chat(&id, now)
            }
            [..] => {
                let name = contacts
                    .join(", ")
                    .chars()
                    .take(limits::NAME_CHARS)
                    .collect::<String>();
                let id = self.create_group(&name, contacts, now)?;
                self.see_chat(&id, now)
            }
        }
    }

    pub(super) fn change_chat(
        &mut self,
        id: &str,
        now: u64,
        change: impl FnOnce(&mut Chat),
    ) -> Result<(), Fault> {
        change(self.chat(id)?);
        self.updated(id, now);
        Ok(())
    }

    /// The user's other devices learn it as a receipt of the user's own.
    pub(super) fn mark_read(
        &mut self,
        id: &str,
        up_to: Option<&str>,
        now: u64,
    ) -> Result<(), Fault> {
        let me = self.me.id.clone();
        let chat = self.chat(id)?;
        let number = match up_to {
            Some(message) => chat.entry(message)?.number,
            None => u64::MAX,
        };
        let later = chat
            .messages
            .iter()
            .filter(|entry| entry.number > number && !entry.message.from_me)
            .count() as u32;
        let last = chat
            .messages
            .iter()
            .rev()
            .find(|entry| entry.number <= number && !entry.message.from_me)
            .map(|entry| entry.message.id.clone());
        chat.unread = chat.unread.min(later);
        chat.marked_unread = false;
        if let Some(last) = last {
            self.events.push(Body::Receipt(Receipt {
                conversation: id.to_owned(),
                messages: vec![last],
                and_earlier: true,
                by: Some(me),
                kind: "read".to_owned(),
            }));
        }
        self.updated(id, now);
        Ok(())
    }

    pub(super) fn mute(
        &mut self,
        id: &str,
        muted: bool,
        until: Option<u64>,
        now: u64,
    ) -> Result<(), Fault> {
        if muted && until.is_some_and(|until| until <= now) {
            return Err(Fault::new("invalid", "this moment is over"));
        }
        self.change_chat(id, now, |chat| {
            chat.muted = muted;
            chat.muted_until = until.filter(|_| muted);
        })
    }

    pub(super) fn pin_chat(&mut self, id: &str, pinned: bool, now: u64) -> Result<(), Fault> {
        let others = self
            .chats
            .iter()
            .filter(|(other, chat)| *other != id && chat.pinned);
        if pinned && others.count() >= limits::PINNED_CONVERSATIONS {
            return Err(Fault::new(
                "quota-exceeded",
                "too many conversations are pinned",
            ));
        }
        self.change_chat(id, now, |chat| chat.pinned = pinned)
    }

    pub(super) fn remove_chat(&mut self, id: &str) -> Result<(), Fault> {
        self.chat(id)?;
        self.chats.remove(id);
        self.events.push(Body::ConversationDeleted(id.to_owned()));
        Ok(())
    }

    /// Empties it, as the user can do on the phone.
    pub(crate) fn clear(&mut self, id: &str) -> Result<(), Fault> {
        let chat = self.chat(id)?;
        chat.messages.clear();
        chat.unread = 0;
        self.events.push(Body::ConversationCleared(id.to_owned()));
        Ok(())
    }

    /// The others see it; the user does not.
    pub(super) fn set_activity(&mut self, id: &str, kind: &str) -> Result<(), Fault> {
        self.chat(id)?;
        if !limits::ACTIVITIES.contains(&kind) {
            let message = format!("an activity is one of {}", limits::ACTIVITIES.join(", "));
            return Err(Fault::new("invalid", message));
        }
        Ok(())
    }

    pub(super) fn list_labels(&self, asked: &Page) -> Result<Pages<Label>, Fault> {
        let entries = self.labels.iter().map(|(id, name)| {
            let (id, name) = (id.clone(), name.clone());
            (id.clone(), Label { id, name })
        });
        page(entries, asked)
    }

    pub(super) fn put_label(&mut self, id: Option<String>, name: String) -> Result<Answer, Fault> {
        named("a label's name", &name, limits::LABEL_CHARS)?;
        let taken = |(other, given): (&String, &String)| {
            *given == name && Some(other.as_str()) != id.as_deref()
        };
        if self.labels.iter().any(taken) {
            return Err(Fault::new("conflict", "there is a label of this name"));
        }
        if let Some(id) = id {
            self.label(&id)?;
            self.labels.insert(id, name);
            return Ok(Answer::Done {});
        }
        if self.labels.len() >= limits::LABELS {
            return Err(Fault::new("quota-exceeded", "there are too many labels"));
        }
        let id = self.next_id("label");
        self.labels.insert(id.clone(), name);
        Ok(Answer::Created(id))
    }

    fn label(&self, id: &str) -> Result<(), Fault> {
        if !self.labels.contains_key(id) {
            return Err(Fault::new("not-found", "there is no such label"));
        }
        Ok(())
    }

    pub(super) fn remove_label(&mut self, id: &str) -> Result<(), Fault> {
        self.label(id)?;
        self.labels.remove(id);
        for chat in self.chats.values_mut() {
            chat.labels.retain(|label| label != id);
        }
        Ok(())
    }

    pub(super) fn assign_label(
        &mut self,
        id: &str,
        conversations: &[String],
        assigned: bool,
        now: u64,
    ) -> Result<(), Fault> {
        self.label(id)?;
        if conversations.is_empty() || conversations.len() > limits::LABELLED {
            let message = format!("one to {} conversations are named", limits::LABELLED);
            return Err(Fault::new("invalid", message));
        }
        for conversation in conversations {
            self.chat(conversation)?;
        }
        for conversation in conversations {
            let label = id.to_owned();
            self.change_chat(conversation, now, |chat| {
                chat.labels.retain(|other| *other != label);
                if assigned {
                    chat.labels.push(label);
                }
            })?;
        }
        Ok(())
    }

    /// `stats`: how much there is. `clear`: empties a conversation.
    pub(super) fn run(&mut self, command: &str, input: &str) -> Result<Answer, Fault> {
        let input: Value = serde_json::from_str(input)
            .map_err(|error| Fault::new("invalid", format!("the input is not JSON: {error}")))?;
        match command {
            "stats" => {
                let messages: usize = self.chats.values().map(|chat| chat.messages.len()).sum();
                let value = serde_json::json!({
                    "contacts": self.contacts.len(),
                    "conversations": self.chats.len(),
                    "messages": messages,
                });
                Ok(Answer::Value(value.to_string()))
            }
            "clear" => {
                let id = input["conversation_id"].as_str().ok_or_else(|| {
                    Fault::new("invalid", "`conversation_id` names the conversation")
                })?;
                self.clear(id).map(|()| Answer::Done {})
            }
            _ => Err(Fault::new("unsupported", "there is no such command")),
        }
    }
}
