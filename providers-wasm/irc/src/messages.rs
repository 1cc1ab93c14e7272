//! PRIVMSG, NOTICE and TAGMSG: messages, CTCP, echoes of our own, typing and reactions. It
//! must never answer a NOTICE, so that two programs cannot talk to each other for ever.

use anyport_sdk::events::{Activity, Event, Reaction};
use anyport_sdk::log::Level;
use anyport_sdk::model::{Message, Quote};
use serde_json::Value;

use crate::events::{custom, extra, message_id, quoted_id, time};
use crate::message::{self, Line};
use crate::outbox::Echo;
use crate::port::Turn;
use crate::session::Session;
use crate::state::MAX_NAME_BYTES;

/// CTCP questions are answered no faster than this.
const CTCP_MS: u64 = 2_000;

/// Where a line belongs.
struct Place {
    id: String,
    kind: &'static str,
    title: String,
    from_me: bool,
    /// The signs of STATUSMSG: only these members got it.
    signs: String,
}

impl Session {
    fn place(&self, line: &Line) -> Option<Place> {
        let (from, target) = (line.from(), line.param(0));
        if from.is_empty()
            || target.is_empty()
            || from.len() > MAX_NAME_BYTES
            || target.len() > MAX_NAME_BYTES
        {
            return None;
        }
        let from_me = self.link.is_me(from);
        let (channel, signs) = self.link.isupport.split_statusmsg(target);
        if self.link.isupport.is_channel(channel) {
            let id = self.link.fold(channel);
            let title = self.channel_title(&id, channel);
            return Some(Place {
                id,
                kind: "group",
                title,
                from_me,
                signs: signs.to_owned(),
            });
        }
        let other = if from_me { target } else { from };
        Some(Place {
            id: self.link.fold(other),
            kind: "user",
            title: other.to_owned(),
            from_me,
            signs: String::new(),
        })
    }

    pub(crate) fn on_message(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let notice = line.command == "NOTICE";
        if is_server(line) {
            return self.on_server_notice(turn, line, raw);
        }
        let Some(place) = self.place(line) else {
            return;
        };
        let text = line.param(1);
        if place.from_me && self.link.has("echo-message") && self.is_own_echo(turn, line) {
            return;
        }
        let (text, action) = match ctcp(text) {
            Some(("ACTION", text)) => (text, true),
            Some((question, argument)) => {
                if !notice && !place.from_me {
                    self.answer_ctcp(turn, line.from(), question, argument);
                }
                return;
            }
            None => (text, false),
        };
        let origin = self.origin(turn, line, raw);
        let quoted = quoted_id(line);
        let flag = |set: bool| if set { Value::Bool(true) } else { Value::Null };
        let extra = extra([
            ("notice", flag(notice)),
            ("action", flag(action)),
            (
                "statusmsg",
                if place.signs.is_empty() {
                    Value::Null
                } else {
                    place.signs.as_str().into()
                },
            ),
            (
                "account",
                line.tag("account").map_or(Value::Null, Value::from),
            ),
        ]);
        let message = Message {
            id: origin.id.clone(),
            conversation: place.id.clone(),
            conversation_kind: place.kind.to_owned(),
            conversation_title: Some(place.title),
            sender: self.link.fold(line.from()),
            sender_name: Some(line.from().to_owned()),
            from_me: place.from_me,
            sent_at: origin.at,
            edited_at: None,
            content: self.text(text),
            quote: quoted.map(|id| Quote {
                message: id.to_owned(),
                sender: None,
                text: None,
            }),
            thread: None,
            reply_context: origin.from_channel.then(|| origin.id.clone()),
            extra,
        };
        self.emit(
            turn,
            &origin,
            "",
            Some(&place.id),
            Event::MessageReceived(message),
        );
    }

    /// Is it the echo of a line that a send of ours wrote? Then the send tells of it.
    fn is_own_echo(&mut self, turn: &mut Turn, line: &Line) -> bool {
        let label = self.label_of(line).map(str::to_owned);
        let echo = Echo {
            target: line.param(0),
            text: line.param(1),
            label: label.as_deref(),
            message: message_id(line),
            at: time(line, turn.now),
        };
        self.outbox.echoed(turn, &self.link, &echo)
    }

    fn on_server_notice(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let origin = self.origin(turn, line, raw);
        let event = custom(
            "server.notice",
            [
                ("server", line.from().into()),
                ("text", line.param(1).into()),
            ],
        );
        self.emit(turn, &origin, "", None, event);
    }

    fn answer_ctcp(&mut self, turn: &mut Turn, nick: &str, question: &str, argument: &str) {
        let answer = match question {
            "VERSION" => format!("VERSION Anyport {}", env!("CARGO_PKG_VERSION")),
            "PING" => format!("PING {}", argument.chars().take(64).collect::<String>()),
            "CLIENTINFO" => "CLIENTINFO ACTION CLIENTINFO PING VERSION".to_owned(),
            _ => {
                return turn.log(
                    Level::Debug,
                    "a CTCP question that is not known was left unanswered",
                );
            }
        };
        if turn.now < self.ctcp_at + CTCP_MS {
            return;
        }
        self.ctcp_at = turn.now;
        let line = message::format("NOTICE", &[nick, &format!("\u{1}{answer}\u{1}")]);
        self.write(turn, line);
    }

    pub(crate) fn on_tagmsg(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let Some(place) = self.place(line) else {
            return;
        };
        if place.from_me {
            return;
        }
        let by = self.link.fold(line.from());
        let typing = line.tag("+typing").or_else(|| line.tag("+draft/typing"));
        if let Some(state) = typing {
            let origin = self.origin(turn, line, raw);
            let activity = Activity {
                conversation: place.id.clone(),
                by: by.clone(),
                kind: "typing".to_owned(),
                active: state == "active",
            };
            self.emit(
                turn,
                &origin,
                "typing",
                Some(&place.id),
                Event::Activity(activity),
            );
        }
        if let (Some(emoji), Some(message)) = (line.tag("+draft/react"), quoted_id(line)) {
            let origin = self.origin(turn, line, raw);
            let reaction = Reaction {
                conversation: place.id.clone(),
                message: message.to_owned(),
                by,
                emoji: Some(emoji.to_owned()),
            };
            self.emit(
                turn,
                &origin,
                "reaction",
                Some(&place.id),
                Event::Reaction(reaction),
            );
        }
    }
}

/// No person: it has no user, and a server's name has a dot. What has no source is the
/// server's own.
fn is_server(line: &Line) -> bool {
    line.source.as_ref().is_none_or(|source| {
        source.user.is_none() && source.host.is_none() && source.name.contains('.')
    })
}

/// A CTCP command and its argument. The closing mark may be missing.
fn ctcp(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('\u{1}')?;
    let inner = inner.strip_suffix('\u{1}').unwrap_or(inner);
    Some(inner.split_once(' ').unwrap_or((inner, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctcp_commands() {
        assert_eq!(ctcp("\u{1}ACTION waves \u{1}"), Some(("ACTION", "waves ")));
        assert_eq!(ctcp("\u{1}VERSION\u{1}"), Some(("VERSION", "")));
        assert_eq!(ctcp("\u{1}PING 12 3"), Some(("PING", "12 3")));
        assert_eq!(ctcp("\u{1}"), Some(("", "")));
        assert_eq!(ctcp("hello"), None);
    }
}
