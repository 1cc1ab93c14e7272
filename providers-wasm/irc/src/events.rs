//! Building what is emitted: ids, keys, times and the normal form of conversations and
//! people. It must never decide what a line means.

use anyport_sdk::events::{Emission, Event, GroupChange};
use anyport_sdk::model::{Contact, Content, Conversation, Custom, Mention, Span, Text};
use serde_json::{Map, Value};

use crate::message::{self, Line};
use crate::port::{Action, Turn};
use crate::session::Session;

/// A channel's id of a message that is longer is not used.
const MAX_ID_BYTES: usize = 256;
/// Characters of a text in `extra` (a topic, a reason); what is above is left out.
const MAX_EXTRA_CHARS: usize = 4_096;
/// Of our own nick in one text.
const MAX_MENTIONS: usize = 50;
/// A server whose clock is further ahead than this is not believed.
const MAX_AHEAD_MS: u64 = 3_600_000;

/// What a line gives for all that is emitted for it.
pub(crate) struct Origin<'a> {
    /// The channel's id of the message or line, or one of ours.
    pub id: String,
    pub from_channel: bool,
    pub at: u64,
    raw: &'a [u8],
}

impl Session {
    pub(crate) fn origin<'a>(&mut self, turn: &mut Turn, line: &Line, raw: &'a [u8]) -> Origin<'a> {
        let at = time(line, turn.now);
        match message_id(line) {
            Some(id) => Origin {
                id: id.to_owned(),
                from_channel: true,
                at,
                raw,
            },
            None => Origin {
                id: self.ids.id(turn.port),
                from_channel: false,
                at,
                raw,
            },
        }
    }

    /// `part` tells several events of one line apart.
    pub(crate) fn emit(
        &self,
        turn: &mut Turn,
        origin: &Origin,
        part: &str,
        conversation: Option<&str>,
        event: Event,
    ) {
        let kind = if origin.from_channel { "msgid" } else { "n" };
        let key = if part.is_empty() {
            format!("{kind}:{}", origin.id)
        } else {
            format!("{kind}:{}:{part}", origin.id)
        };
        turn.ask(Action::Emit(Box::new(Emission {
            key,
            conversation: conversation.map(str::to_owned),
            occurred_at: origin.at,
            event,
            raw: Some(origin.raw.to_vec()),
        })));
    }

    /// A line was left out because it failed twice.
    pub(crate) fn skipped(&mut self, turn: &mut Turn, subject: &str, bytes: usize) {
        let origin = Origin {
            id: self.ids.id(turn.port),
            from_channel: false,
            at: turn.now,
            raw: &[],
        };
        let event = custom(
            "line.skipped",
            [("subject", subject.into()), ("bytes", bytes.into())],
        );
        self.emit(turn, &origin, "", None, event);
    }

    /// The name as it was written when we joined, or as it stands here.
    pub(crate) fn channel_title(&self, id: &str, name: &str) -> String {
        self.link
            .channels
            .get(id)
            .map_or_else(|| name.to_owned(), |channel| channel.name.clone())
    }

    /// A text in normal form; our own nick in it is a mention.
    pub(crate) fn text(&self, body: &str) -> Content {
        let mut mentions = Vec::new();
        let mut offset = 0;
        for word in body.split_inclusive(|character: char| !is_nick_character(character)) {
            let name = word.trim_end_matches(|character: char| !is_nick_character(character));
            if mentions.len() < MAX_MENTIONS && !name.is_empty() && self.link.is_me(name) {
                let length = name.chars().count() as u32;
                mentions.push(Mention {
                    contact: self.link.fold(name),
                    span: Some(Span { offset, length }),
                });
            }
            offset += word.chars().count() as u32;
        }
        Content::Text(Text {
            body: body.to_owned(),
            format: "plain".to_owned(),
            mentions,
        })
    }
}

fn is_nick_character(character: char) -> bool {
    character.is_alphanumeric() || "[]\\`_^{|}-~".contains(character)
}

/// The channel's id of a line, if there is one that can be used.
pub(crate) fn message_id(line: &Line) -> Option<&str> {
    id_tag(line, "msgid")
}

/// The message that this one answers, if it says so.
pub(crate) fn quoted_id(line: &Line) -> Option<&str> {
    id_tag(line, "+draft/reply").or_else(|| id_tag(line, "+reply"))
}

fn id_tag<'a>(line: &'a Line, name: &str) -> Option<&'a str> {
    line.tag(name).filter(|id| id.len() <= MAX_ID_BYTES)
}

/// When it happened, by the server's clock if it tells.
pub(crate) fn time(line: &Line, now: u64) -> u64 {
    let told = line.tag("time").and_then(message::timestamp);
    told.filter(|at| *at <= now + MAX_AHEAD_MS).unwrap_or(now)
}

/// An object of what is not null.
pub(crate) fn extra(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Option<String> {
    let mut map = Map::new();
    for (key, value) in fields {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => {
                Value::from(text.chars().take(MAX_EXTRA_CHARS).collect::<String>())
            }
            value => value,
        };
        map.insert(key.to_owned(), value);
    }
    if map.is_empty() {
        None
    } else {
        Some(Value::Object(map).to_string())
    }
}

pub(crate) fn custom(name: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Event {
    Event::Custom(Custom {
        name: name.to_owned(),
        value: extra(fields).unwrap_or_else(|| "{}".to_owned()),
    })
}

pub(crate) fn group_change(
    conversation: &str,
    by: Option<String>,
    kind: &str,
    members: Vec<String>,
    extra: Option<String>,
) -> Event {
    Event::GroupUpdated(GroupChange {
        conversation: conversation.to_owned(),
        by,
        kind: kind.to_owned(),
        members,
        extra,
    })
}

pub(crate) fn conversation(id: &str, title: String, description: Option<String>) -> Conversation {
    Conversation {
        username: Some(title.clone()),
        title: Some(title),
        description,
        ..Conversation::new(id, "group")
    }
}

pub(crate) fn contact(id: String, nick: &str, aliases: Vec<String>) -> Contact {
    Contact {
        display_name: Some(nick.to_owned()),
        username: Some(nick.to_owned()),
        aliases,
        ..Contact::new(id)
    }
}
