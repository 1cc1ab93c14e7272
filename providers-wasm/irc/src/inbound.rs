//! Lines of a server: which part of the core each goes to, and what only changes what we
//! know of the link. It must never trust a line to be well formed.

use anyport_sdk::log::Level;

use crate::message::Line;
use crate::port::Turn;
use crate::refusal;
use crate::session::{Phase, Session};
use crate::state::MAX_NAME_BYTES;

/// Batches that a server may have open at once.
const MAX_BATCHES: usize = 32;

impl Session {
    pub(crate) fn line(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        if !matches!(self.phase, Phase::Registering | Phase::Online) {
            return;
        }
        if line
            .source
            .as_ref()
            .is_some_and(|source| source.name.is_empty() || source.name.len() > MAX_NAME_BYTES)
        {
            return turn.log(Level::Debug, "a line from nobody was left out");
        }
        self.learn_own_address(line);
        match line.command.as_str() {
            "PING" => {
                let answer = crate::message::format("PONG", &[line.param(0)]);
                return self.write(turn, answer);
            }
            "PONG" => return self.on_pong(turn, line.last()),
            "ERROR" => {
                self.farewell = Some(line.said());
                return;
            }
            "CAP" => return self.on_cap(turn, line),
            "AUTHENTICATE" => return self.on_authenticate(turn, line),
            "BATCH" => return self.on_batch(line),
            _ => {}
        }
        if let Some(number) = line.numeric()
            && self.on_registration_numeric(turn, line, number)
        {
            return;
        }
        if self.phase != Phase::Online {
            return;
        }
        match line.command.as_str() {
            "PRIVMSG" | "NOTICE" => self.on_message(turn, line, raw),
            "TAGMSG" => self.on_tagmsg(turn, line, raw),
            "JOIN" => self.on_join(turn, line, raw),
            "PART" => self.on_part(turn, line, raw),
            "KICK" => self.on_kick(turn, line, raw),
            "QUIT" => self.on_quit(turn, line, raw),
            "NICK" => self.on_nick(turn, line, raw),
            "TOPIC" => self.on_topic(turn, line, raw),
            "MODE" => self.on_mode(turn, line, raw),
            "INVITE" => self.on_invite(turn, line, raw),
            "CHGHOST" => self.on_chghost(line),
            "005" => self.on_isupport(line),
            "332" => self.on_topic_at_join(turn, line, raw),
            "353" => self.on_names(turn, line),
            "396" => self.on_displayed_host(line),
            _ => self.on_error(turn, line, raw),
        }
    }

    /// Errors that answer a message, and those that answer a JOIN.
    fn on_error(&mut self, turn: &mut Turn, line: &Line, raw: &[u8]) {
        let join_failed = matches!(
            line.command.as_str(),
            "403"
                | "405"
                | "437"
                | "471"
                | "473"
                | "474"
                | "475"
                | "476"
                | "477"
                | "480"
                | "489"
                | "520"
        ) && self.is_wanted_and_missing(line.param(1));
        if let Some((error, target)) = refusal::of(line) {
            let label = self.label_of(line).map(str::to_owned);
            let ours = !(join_failed
                && label.is_none()
                && !self
                    .outbox
                    .open
                    .iter()
                    .any(|send| self.link.isupport.casemap.same(&send.target, line.param(1))));
            if ours
                && self
                    .outbox
                    .refused(turn, &self.link, &error, target, label.as_deref())
            {
                return self.pump(turn);
            }
        }
        if join_failed {
            self.join_failed(turn, line, raw);
        } else if line
            .numeric()
            .is_some_and(|number| (400..600).contains(&number))
        {
            turn.log(
                Level::Debug,
                format!(
                    "the server answered {} to something that was not a message",
                    line.command
                ),
            );
        }
    }

    fn on_isupport(&mut self, line: &Line) {
        let tokens = line
            .params
            .get(1..line.params.len().saturating_sub(1))
            .unwrap_or_default();
        for token in tokens {
            self.link.isupport.read(token);
        }
        self.link_changed = true;
    }

    /// Every line of ours that comes back shows nick, user and host as others see them.
    fn learn_own_address(&mut self, line: &Line) {
        let Some(source) = &line.source else { return };
        let (Some(user), Some(host)) = (&source.user, &source.host) else {
            return;
        };
        // In a NICK line the source is still the old nick, and in CHGHOST the old host.
        if self.link.is_me(&source.name) && line.command != "CHGHOST" {
            self.set_own_address(Some(user.clone()), Some(host.clone()));
        }
    }

    fn on_chghost(&mut self, line: &Line) {
        if self.link.is_me(line.from()) && line.params.len() >= 2 {
            self.set_own_address(
                Some(line.param(0).to_owned()),
                Some(line.param(1).to_owned()),
            );
        }
    }

    fn on_displayed_host(&mut self, line: &Line) {
        let shown = line.param(1);
        match shown.split_once('@') {
            Some((user, host)) => {
                self.set_own_address(Some(user.to_owned()), Some(host.to_owned()))
            }
            None if !shown.is_empty() => {
                self.set_own_address(self.link.user.clone(), Some(shown.to_owned()))
            }
            None => {}
        }
    }

    fn set_own_address(&mut self, user: Option<String>, host: Option<String>) {
        if self.link.user != user || self.link.host != host {
            self.link.user = user;
            self.link.host = host;
            self.link_changed = true;
        }
    }

    /// `BATCH +reference type` with a label: the lines of the batch answer that label.
    fn on_batch(&mut self, line: &Line) {
        let reference = line.param(0);
        if let Some(reference) = reference.strip_prefix('-') {
            self.batches.remove(reference);
        } else if let (Some(reference), Some(label)) = (
            reference.strip_prefix('+'),
            self.label_of(line).map(str::to_owned),
        ) && self.batches.len() < MAX_BATCHES
        {
            self.batches.insert(reference.to_owned(), label);
        }
    }

    /// Which of our lines this one answers, if the server says so.
    pub(crate) fn label_of<'a>(&'a self, line: &'a Line) -> Option<&'a str> {
        line.tag("label")
            .or_else(|| self.batches.get(line.tag("batch")?).map(String::as_str))
    }
}
