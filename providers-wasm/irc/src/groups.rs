//! Channels: who is in them, who comes, goes and changes name, topics and modes. It must
//! never keep members in memory; they are in kv.

use anyport_sdk::account;
use anyport_sdk::events::Event;
use anyport_sdk::log::Level;
use serde_json::Value;

use crate::events::{Origin, contact, conversation, custom, extra, group_change};
use crate::message::Line;
use crate::port::{Action, Turn};
use crate::session::Session;
use crate::state::{Channel, MAX_CHANNELS, MAX_NAME_BYTES, Roster};

impl Session {
    /// Who did it: nobody, where a server did.
    fn actor(&self, line: &Line) -> Option<String> {
        let source = line.source.as_ref()?;
        (source.user.is_some() || !source.name.contains('.')).then(|| self.link.fold(&source.name))
    }

    fn is_usable(&self, name: &str) -> bool {
        name.len() <= MAX_NAME_BYTES && self.link.isupport.is_channel(name)
    }

    pub(crate) fn on_join(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let nick = line.from();
        if nick.is_empty() || nick.len() > MAX_NAME_BYTES {
            return;
        }
        for name in line.param(0).split(',') {
            if !self.is_usable(name) {
                continue;
            }
            let (id, member) = (self.link.fold(name), self.link.fold(nick));
            let origin = self.origin(turn, line, raw);
            if self.link.is_me(nick) {
                if self.link.channels.len() >= MAX_CHANNELS && !self.link.channels.contains_key(&id)
                {
                    turn.log(
                        Level::Warn,
                        "a channel beyond the most that are followed was left out",
                    );
                    continue;
                }
                let channel = Channel {
                    name: name.to_owned(),
                    roster: self.ids.number(turn.port),
                };
                if let Some(before) = self.link.channels.insert(id.clone(), channel) {
                    self.discard(turn, vec![before.roster]);
                }
                self.link_changed = true;
                let joined = conversation(&id, name.to_owned(), None);
                self.emit(
                    turn,
                    &origin,
                    &format!("conversation:{id}"),
                    Some(&id),
                    Event::ConversationUpdated(joined),
                );
            }
            if let Some(channel) = self.link.channels.get(&id) {
                Roster(channel.roster).put(turn.port, &member, "");
            }
            let event = group_change(&id, Some(member.clone()), "joined", vec![member], None);
            self.emit(turn, &origin, &format!("joined:{id}"), Some(&id), event);
        }
    }

    pub(crate) fn on_part(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let nick = line.from();
        for name in line.param(0).split(',') {
            if !self.is_usable(name) || nick.is_empty() {
                continue;
            }
            let (id, member) = (self.link.fold(name), self.link.fold(nick));
            self.leaves(turn, &id, &member);
            let origin = self.origin(turn, line, raw);
            let event = group_change(
                &id,
                Some(member.clone()),
                "left",
                vec![member],
                extra([("reason", reason(line, 1))]),
            );
            self.emit(turn, &origin, &format!("left:{id}"), Some(&id), event);
        }
    }

    pub(crate) fn on_kick(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let (name, by) = (line.param(0), self.actor(line));
        if !self.is_usable(name) {
            return;
        }
        let id = self.link.fold(name);
        for (index, nick) in line.param(1).split(',').enumerate() {
            if nick.is_empty() || nick.len() > MAX_NAME_BYTES {
                continue;
            }
            let member = self.link.fold(nick);
            self.leaves(turn, &id, &member);
            let origin = self.origin(turn, line, raw);
            let part = format!("removed:{index}");
            let event = group_change(
                &id,
                by.clone(),
                "removed",
                vec![member],
                extra([("reason", reason(line, 2))]),
            );
            self.emit(turn, &origin, &part, Some(&id), event);
        }
    }

    fn leaves(&mut self, turn: &mut Turn, id: &str, member: &str) {
        if self.link.fold(&self.link.nick) == member {
            if let Some(channel) = self.link.channels.remove(id) {
                self.discard(turn, vec![channel.roster]);
                self.link_changed = true;
            }
        } else if let Some(channel) = self.link.channels.get(id) {
            Roster(channel.roster).take(turn.port, member);
        }
    }

    pub(crate) fn on_quit(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let nick = line.from();
        if nick.is_empty() || self.link.is_me(nick) {
            return;
        }
        let member = self.link.fold(nick);
        let rosters: Vec<(String, u64)> = self
            .link
            .channels
            .iter()
            .map(|(id, channel)| (id.clone(), channel.roster))
            .collect();
        let mut origin: Option<Origin> = None;
        for (id, roster) in rosters {
            if Roster(roster).take(turn.port, &member).is_none() {
                continue;
            }
            let origin = match &origin {
                Some(origin) => origin,
                None => origin.insert(self.origin(turn, line, raw)),
            };
            let extra = extra([("quit", true.into()), ("reason", reason(line, 0))]);
            let event = group_change(
                &id,
                Some(member.clone()),
                "left",
                vec![member.clone()],
                extra,
            );
            self.emit(turn, origin, &format!("left:{id}"), Some(&id), event);
        }
    }

    pub(crate) fn on_nick(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let (old, new) = (line.from().to_owned(), line.param(0).to_owned());
        if old.is_empty() || new.is_empty() || new.len() > MAX_NAME_BYTES {
            return;
        }
        let (before, after) = (self.link.fold(&old), self.link.fold(&new));
        for channel in self.link.channels.values() {
            if let Some(modes) = Roster(channel.roster).take(turn.port, &before) {
                Roster(channel.roster).put(turn.port, &after, &modes);
            }
        }
        if self.link.is_me(&old) {
            self.link.nick = new.clone();
            self.link_changed = true;
            turn.ask(Action::Identity(self.identity()));
        }
        let origin = self.origin(turn, line, raw);
        let aliases = if before == after {
            Vec::new()
        } else {
            vec![format!("nick:{before}")]
        };
        let renamed = contact(after, &new, aliases);
        self.emit(turn, &origin, "nick", None, Event::ContactUpdated(renamed));
    }

    pub(crate) fn on_topic(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let name = line.param(0);
        if !self.is_usable(name) {
            return;
        }
        let id = self.link.fold(name);
        let origin = self.origin(turn, line, raw);
        let event = group_change(
            &id,
            self.actor(line),
            "info",
            Vec::new(),
            extra([("topic", line.param(1).into())]),
        );
        self.emit(turn, &origin, "topic", Some(&id), event);
    }

    /// The topic as it is when we join.
    pub(crate) fn on_topic_at_join(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let name = line.param(1);
        if !self.is_usable(name) {
            return;
        }
        let id = self.link.fold(name);
        let origin = self.origin(turn, line, raw);
        let updated = conversation(
            &id,
            self.channel_title(&id, name),
            Some(line.param(2).to_owned()),
        );
        self.emit(
            turn,
            &origin,
            "topic",
            Some(&id),
            Event::ConversationUpdated(updated),
        );
    }

    pub(crate) fn on_names(&mut self, turn: &mut Turn, line: &Line) {
        let id = self.link.fold(line.param(2));
        let Some(channel) = self.link.channels.get(&id) else {
            return;
        };
        for name in line.param(3).split_ascii_whitespace() {
            let (name, modes) = self.link.isupport.split_member(name);
            let nick = name.split_once('!').map_or(name, |(nick, _)| nick);
            Roster(channel.roster).put(turn.port, &self.link.fold(nick), &modes);
        }
    }

    pub(crate) fn on_mode(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let name = line.param(0);
        if !self.is_usable(name) {
            return;
        }
        let id = self.link.fold(name);
        let by = self.actor(line);
        let origin = self.origin(turn, line, raw);
        let mut arguments = line.params.iter().skip(2);
        let (mut set, mut settings, mut values) = (true, String::new(), Vec::new());
        let mut last_sign = None;
        for (index, mode) in line.param(1).chars().enumerate() {
            if matches!(mode, '+' | '-') {
                set = mode == '+';
                continue;
            }
            let sign = if set { '+' } else { '-' };
            let argument = if self.link.isupport.has_argument(mode, set) {
                arguments.next()
            } else {
                None
            };
            if self.link.isupport.is_member_mode(mode) {
                let Some(nick) =
                    argument.filter(|nick| !nick.is_empty() && nick.len() <= MAX_NAME_BYTES)
                else {
                    continue;
                };
                let kind = if set { "promoted" } else { "demoted" };
                let event = group_change(
                    &id,
                    by.clone(),
                    kind,
                    vec![self.link.fold(nick)],
                    extra([("mode", format!("{sign}{mode}").into())]),
                );
                self.emit(turn, &origin, &format!("mode:{index}"), Some(&id), event);
                continue;
            }
            if last_sign != Some(sign) {
                settings.push(sign);
                last_sign = Some(sign);
            }
            settings.push(mode);
            values.extend(argument.map(|value| Value::from(value.as_str())));
        }
        if !settings.is_empty() {
            let event = group_change(
                &id,
                by,
                "settings",
                Vec::new(),
                extra([("modes", settings.into()), ("arguments", values.into())]),
            );
            self.emit(turn, &origin, "modes", Some(&id), event);
        }
    }

    pub(crate) fn on_invite(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        if !self.link.is_me(line.param(0)) || !self.is_usable(line.param(1)) {
            return;
        }
        let origin = self.origin(turn, line, raw);
        let event = custom(
            "channel.invited",
            [
                ("channel", line.param(1).into()),
                ("by", self.actor(line).map_or(Value::Null, Value::from)),
            ],
        );
        self.emit(turn, &origin, "", None, event);
    }

    /// A channel of the configuration that we are not in.
    pub(crate) fn is_wanted_and_missing(&self, name: &str) -> bool {
        let map = self.link.isupport.casemap;
        !name.is_empty()
            && !self.link.channels.contains_key(&self.link.fold(name))
            && self
                .config
                .wanted()
                .any(|wanted| map.same(wanted.name, name))
    }

    pub(crate) fn join_failed(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        turn.log(
            Level::Warn,
            format!(
                "a channel of the configuration cannot be joined ({})",
                line.command
            ),
        );
        let origin = self.origin(turn, line, raw);
        let event = custom(
            "channel.join-failed",
            [
                ("channel", line.param(1).into()),
                ("code", line.command.as_str().into()),
                ("text", line.said().into()),
            ],
        );
        self.emit(turn, &origin, "", None, event);
        let reason = crate::port::channel_error(
            anyport_sdk::types::ErrorCode::Forbidden,
            format!(
                "the channel {} cannot be joined ({})",
                line.param(1),
                line.said()
            ),
            line.command.clone(),
        );
        turn.ask(Action::Link(account::Link::Degraded, Some(reason)));
    }
}

fn reason(line: &Line, index: usize) -> Value {
    line.params
        .get(index)
        .map_or(Value::Null, |text| Value::from(text.as_str()))
}
