//! What was said: sends of the user, messages of others, and what can be done to both.

use super::page::{newest_first, page};
use super::{Chat, Entry, Role, World, at_most};
use crate::limits;
use crate::media::Media;
use crate::model::{Attachment, Body, Content, Deletion, Medium, Message, Quote, Reaction, Text};
use crate::protocol::{Fault, Forward, Outgoing};
use crate::request::{Page, Pages, Target};

impl World {
    /// May it be sent? Also completes what it quotes.
    pub(crate) fn check_send(&mut self, sent: &mut Outgoing, now: u64) -> Result<(), Fault> {
        if sent.conversation.is_empty() || sent.conversation.len() > limits::ID_BYTES {
            let message = format!("a conversation's id has 1 to {} bytes", limits::ID_BYTES);
            return Err(Fault::new("invalid", message));
        }
        check_content(&self.media, &mut sent.content)?;
        let me = self.me.id.clone();
        let blocked = self
            .contacts
            .get(&sent.conversation)
            .is_some_and(|contact| contact.is_blocked == Some(true));
        if blocked {
            return Err(Fault::new("forbidden", "the contact is blocked"));
        }
        let chat = self.chat_or_new(&sent.conversation, now)?;
        may_speak(chat, &me)?;
        if let Some(quote) = &mut sent.quote {
            *quote = quoted(&chat.entry(&quote.message)?.message);
        }
        Ok(())
    }

    /// What a forward sends: the message, as if it were said in the other conversation.
    pub(crate) fn forwarded(&mut self, forward: &Forward) -> Result<Outgoing, Fault> {
        let chat = self.chat(&forward.target.conversation)?;
        let content = chat.entry(&forward.target.message)?.message.content.clone();
        Ok(Outgoing {
            token: forward.token.clone(),
            conversation: forward.to.clone(),
            content,
            quote: None,
            thread: None,
            silent: false,
        })
    }

    /// The message that was made of a send.
    pub(crate) fn sent(&mut self, sent: &Outgoing, id: &str, now: u64) {
        let message = Message {
            id: id.to_owned(),
            conversation: sent.conversation.clone(),
            sender: self.me.id.clone(),
            sender_name: Some(self.me.name.clone()),
            from_me: true,
            sent_at: now,
            content: sent.content.clone(),
            quote: sent.quote.clone(),
            thread: sent.thread.clone(),
            ..Message::default()
        };
        self.remember(message, now);
    }

    /// A message that is there now, whoever sent it. Its event is the caller's matter.
    pub(crate) fn remember(&mut self, mut message: Message, now: u64) {
        let limit = self.history_limit;
        let id = message.conversation.clone();
        let known = self.chats.contains_key(&id);
        if !known && !matches!(message.kind.as_str(), "" | "user") {
            let title = message.title.as_deref().unwrap_or(&id);
            let mut chat = Chat::new(&message.kind, title, now);
            chat.members.insert(self.me.id.clone(), (Role::Member, now));
            self.chats.insert(id.clone(), chat);
        }
        let Ok(chat) = self.chat_or_new(&id, now) else {
            return;
        };
        message.kind.clone_from(&chat.kind);
        if message.title.is_none() && chat.kind != "user" {
            message.title = Some(chat.title.clone());
        }
        if message.sent_at == 0 {
            message.sent_at = now;
        }
        if !message.from_me {
            chat.unread += 1;
        }
        chat.spoken += 1;
        chat.messages.push_back(Entry {
            number: chat.spoken,
            message,
            reactions: Default::default(),
            pinned: false,
            pinned_until: None,
        });
        if chat.messages.len() > limit {
            chat.messages.pop_front();
        }
    }

    pub(super) fn edit_own(&mut self, target: &Target, text: Text, now: u64) -> Result<(), Fault> {
        let entry = self.chat(&target.conversation)?.entry(&target.message)?;
        if !entry.message.from_me {
            return Err(Fault::new("forbidden", "somebody else said it"));
        }
        if now.saturating_sub(entry.message.sent_at) > limits::EDIT_MS {
            return Err(Fault::new("conflict", "it is too old to be changed"));
        }
        self.edit(target, text, now)
    }

    pub(super) fn edit(&mut self, target: &Target, text: Text, now: u64) -> Result<(), Fault> {
        check_text("a text", &text)?;
        let entry = self.chat(&target.conversation)?.entry(&target.message)?;
        match &mut entry.message.content {
            Content::Text(said) => *said = text,
            Content::Media(media) => media.caption = Some(text),
            _ => {
                return Err(Fault::new(
                    "invalid",
                    "it has no text that could be changed",
                ));
            }
        }
        entry.message.edited_at = Some(now);
        let edited = entry.message.clone();
        self.events.push(Body::Edited(edited));
        Ok(())
    }

    /// For everyone: only what the user said, and what anybody said in a group that it manages.
    pub(super) fn revoke(&mut self, target: &Target, for_everyone: bool) -> Result<(), Fault> {
        let me = self.me.id.clone();
        let chat = self.chat(&target.conversation)?;
        let manages = chat
            .members
            .get(&me)
            .is_some_and(|(role, _)| *role >= Role::Admin);
        let own = chat.entry(&target.message)?.message.from_me;
        if for_everyone && !own && !manages {
            return Err(Fault::new("forbidden", "somebody else said it"));
        }
        self.delete(&me, &target.conversation, vec![target.message.clone()])
    }

    pub(super) fn delete(
        &mut self,
        by: &str,
        conversation: &str,
        messages: Vec<String>,
    ) -> Result<(), Fault> {
        let chat = self.chat(conversation)?;
        for message in &messages {
            chat.entry(message)?;
        }
        chat.messages
            .retain(|entry| !messages.contains(&entry.message.id));
        chat.unread = chat.unread.min(chat.messages.len() as u32);
        self.events.push(Body::Deleted(Deletion {
            conversation: Some(conversation.to_owned()),
            messages,
            by: Some(by.to_owned()),
        }));
        Ok(())
    }

    pub(super) fn react(
        &mut self,
        by: &str,
        target: &Target,
        emoji: Option<String>,
    ) -> Result<(), Fault> {
        let emoji = emoji.filter(|emoji| !emoji.is_empty());
        if let Some(emoji) = &emoji {
            at_most("a reaction", emoji, limits::EMOJI_CHARS)?;
        }
        let entry = self.chat(&target.conversation)?.entry(&target.message)?;
        match &emoji {
            Some(emoji) => entry.reactions.insert(by.to_owned(), emoji.clone()),
            None => entry.reactions.remove(by),
        };
        self.events.push(Body::Reaction(Reaction {
            conversation: target.conversation.clone(),
            message: target.message.clone(),
            by: by.to_owned(),
            emoji,
        }));
        Ok(())
    }

    /// The others see it at the top of the conversation; the contract has no event for it.
    pub(super) fn pin_message(
        &mut self,
        target: &Target,
        pinned: bool,
        seconds: Option<u32>,
        now: u64,
    ) -> Result<(), Fault> {
        let chat = self.chat(&target.conversation)?;
        let others = chat.messages.iter().filter(|entry| {
            entry.pinned
                && entry.pinned_until.is_none_or(|until| until > now)
                && entry.message.id != target.message
        });
        let full = others.count() >= limits::PINNED_MESSAGES;
        let entry = chat.entry(&target.message)?;
        if pinned && full {
            return Err(Fault::new("quota-exceeded", "too many messages are pinned"));
        }
        entry.pinned = pinned;
        entry.pinned_until = seconds
            .filter(|_| pinned)
            .map(|seconds| now + u64::from(seconds) * 1000);
        Ok(())
    }

    pub(super) fn history(&mut self, id: &str, asked: &Page) -> Result<Pages<Message>, Fault> {
        let chat = self.chat(id)?;
        let entries = chat
            .messages
            .iter()
            .rev()
            .map(|entry| (newest_first(entry.number), seen(entry)));
        page(entries, asked)
    }

    /// The newest, oldest first: so many, and no more bytes than one page has.
    pub(super) fn past(&mut self, id: &str, most: u32) -> Vec<Message> {
        let asked = Page {
            cursor: None,
            limit: most,
        };
        let page = self.history(id, &asked);
        let mut messages = page.map_or_else(|_| Vec::new(), |page| page.items);
        messages.reverse();
        messages
    }
}

/// With what happened to it since.
fn seen(entry: &Entry) -> Message {
    let mut message = entry.message.clone();
    if !entry.reactions.is_empty() || entry.pinned {
        let extra = serde_json::json!({"reactions": entry.reactions, "pinned": entry.pinned});
        message.extra = Some(extra.to_string());
    }
    message
}

pub(super) fn quoted(message: &Message) -> Quote {
    Quote {
        message: message.id.clone(),
        sender: Some(message.sender.clone()),
        text: Some(message.content.summary()),
    }
}

fn may_speak(chat: &Chat, me: &str) -> Result<(), Fault> {
    let role = chat.members.get(me).map(|(role, _)| *role);
    match (chat.kind.as_str(), role) {
        ("user", _) | ("group", Some(_)) => Ok(()),
        ("channel", Some(Role::Owner | Role::Admin)) => Ok(()),
        ("channel", _) => Err(Fault::new(
            "forbidden",
            "only its admins speak in a channel",
        )),
        _ => Err(Fault::new("forbidden", "the account is not in this group")),
    }
}

fn check_content(store: &Media, content: &mut Content) -> Result<(), Fault> {
    let (what, count, most) = match content {
        Content::Text(text) => return check_text("a text", text),
        Content::Media(media) => {
            if let Some(caption) = &media.caption {
                check_text("a caption", caption)?;
            }
            for attachment in &mut media.attachments {
                check_attachment(store, attachment)?;
            }
            ("attachments", media.attachments.len(), limits::ATTACHMENTS)
        }
        Content::Location(_) => return Ok(()),
        Content::Contacts(cards) => ("contact cards", cards.len(), limits::CONTACT_CARDS),
        Content::Interactive(interactive) => {
            at_most("a text", &interactive.body, limits::TEXT_CHARS)?;
            let choices = interactive
                .sections
                .iter()
                .map(|section| section.choices.len());
            ("choices", choices.sum(), limits::CHOICES)
        }
        Content::Custom(custom) => {
            if custom.value.len() > limits::CUSTOM_BYTES {
                let message = format!("a custom value has at most {} bytes", limits::CUSTOM_BYTES);
                return Err(Fault::new("invalid", message));
            }
            return Ok(());
        }
    };
    if count == 0 || count > most {
        let message = format!("{what}: 1 to {most}, not {count}");
        return Err(Fault::new("invalid", message));
    }
    Ok(())
}

/// Also completes what the channel knows of it.
fn check_attachment(store: &Media, attachment: &mut Attachment) -> Result<(), Fault> {
    let kind = &attachment.kind;
    let most = limits::media_bytes(kind).ok_or_else(|| {
        let kinds = limits::MEDIA_KINDS.join(", ");
        Fault::new("invalid", format!("an attachment is one of {kinds}"))
    })?;
    let Medium {
        size,
        mime,
        filename,
        ..
    } = store
        .get(attachment.reference.as_deref().unwrap_or_default())?
        .medium;
    if size > most {
        let message = format!("{kind}: at most {most} bytes, not {size}");
        return Err(Fault::new("invalid", message));
    }
    attachment.size = Some(size);
    attachment.mime.get_or_insert(mime);
    if attachment.filename.is_none() {
        attachment.filename = filename;
    }
    Ok(())
}

fn check_text(what: &str, text: &Text) -> Result<(), Fault> {
    at_most(what, &text.body, limits::TEXT_CHARS)?;
    if text.mentions.len() > limits::MENTIONS {
        let message = format!("a text mentions at most {} people", limits::MENTIONS);
        return Err(Fault::new("invalid", message));
    }
    Ok(())
}
