//! From an open connection to 001: capabilities, SASL, password, nick. It must never decide
//! whether a failed attempt is tried again.

use anyport_sdk::account;
use anyport_sdk::log::Level;
use anyport_sdk::types::ErrorCode;

use crate::caps::Step;
use crate::config::Config;
use crate::message::{self, Line};
use crate::port::{Action, Turn, channel_error, error};
use crate::sasl;
use crate::session::{Phase, Session, timer};
use crate::state::MAX_NAME_BYTES;

/// Nicks to try when one after the other is taken.
const MAX_NICKS: u32 = 8;

impl Session {
    pub(crate) fn opened(&mut self, turn: &mut Turn) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.phase = Phase::Registering;
        self.write(turn, "CAP LS 302".to_owned());
        match turn.port.reveal("server-password") {
            Ok(Some(password)) if !password.is_empty() => match one_line(&password) {
                Some(password) => self.write(turn, message::format("PASS", &[&password])),
                None => {
                    return self.give_up(
                        turn,
                        error(
                            ErrorCode::Unauthenticated,
                            "the server password is not one line of text",
                        ),
                    );
                }
            },
            Ok(_) => {}
            Err(problem) => return self.give_up(turn, problem),
        }
        self.link.nick = self.config.nick.clone();
        self.write(turn, format!("NICK {}", self.config.nick));
        self.write(
            turn,
            message::format(
                "USER",
                &[&self.config.username(), "0", "*", self.config.realname()],
            ),
        );
    }

    pub(crate) fn on_cap(&mut self, turn: &mut Turn, line: &Line) {
        let sasl = self.config.sasl_username.is_some();
        let before = self.link.caps.clone();
        let step = self.negotiation.read(
            line.params.get(1..).unwrap_or_default(),
            sasl,
            &mut self.link.caps,
        );
        self.link_changed |= before != self.link.caps;
        match step {
            Step::Wait => {}
            Step::Request(lines) => {
                for names in lines {
                    self.write(turn, message::format("CAP", &["REQ", &names.join(" ")]));
                }
            }
            Step::Settled if self.phase != Phase::Registering || self.registration.ended => {}
            Step::Settled if !sasl || self.registration.authenticated => self.end_negotiation(turn),
            Step::Settled if self.registration.authenticating => {}
            Step::Settled => {
                if !self.link.has("sasl") || !self.negotiation.offers_mechanism("PLAIN") {
                    self.give_up(
                        turn,
                        error(
                            ErrorCode::Unavailable,
                            "the server does not offer SASL PLAIN now",
                        ),
                    );
                    return;
                }
                self.registration.authenticating = true;
                self.write(turn, "AUTHENTICATE PLAIN".to_owned());
            }
        }
    }

    pub(crate) fn on_authenticate(&mut self, turn: &mut Turn, line: &Line) {
        if !self.registration.authenticating || line.param(0) != "+" {
            return;
        }
        let account = self.config.sasl_username.clone().unwrap_or_default();
        match turn.port.reveal("sasl-password") {
            Ok(Some(password)) => {
                for chunk in sasl::plain(&account, &password) {
                    self.write(turn, format!("AUTHENTICATE {chunk}"));
                }
            }
            Ok(None) => self.give_up(
                turn,
                error(
                    ErrorCode::Unauthenticated,
                    "there is a SASL account but no `sasl-password`",
                ),
            ),
            Err(problem) => self.give_up(turn, problem),
        }
    }

    fn end_negotiation(&mut self, turn: &mut Turn) {
        self.registration.ended = true;
        self.write(turn, "CAP END".to_owned());
    }

    /// Numerics that matter before 001. True: it was one.
    pub(crate) fn on_registration_numeric(
        &mut self,
        turn: &mut Turn,
        line: &Line,
        number: u16,
    ) -> bool {
        if self.phase != Phase::Registering {
            return false;
        }
        match number {
            1 => self.welcome(turn, line),
            903 | 907 => {
                self.registration.authenticated = true;
                self.registration.authenticating = false;
                if !self.registration.ended {
                    self.end_negotiation(turn);
                }
            }
            906 if self.registration.authenticating => {
                self.give_up(
                    turn,
                    channel_error(
                        ErrorCode::Unavailable,
                        "the server broke the SASL exchange off",
                        "906",
                    ),
                );
            }
            902 | 904 | 905 if self.registration.authenticating => {
                let message = format!(
                    "the server refused the SASL account or its password ({})",
                    line.said()
                );
                self.give_up(
                    turn,
                    channel_error(ErrorCode::Unauthenticated, message, line.command.clone()),
                );
            }
            464 => {
                let message = format!("the server refused the password ({})", line.said());
                self.give_up(
                    turn,
                    channel_error(ErrorCode::Unauthenticated, message, "464"),
                );
            }
            463 | 465 => {
                let message = format!("the server does not let this account in ({})", line.said());
                self.give_up(
                    turn,
                    channel_error(ErrorCode::Forbidden, message, line.command.clone()),
                );
            }
            431 | 432 if self.registration.refused == 0 => {
                let message = format!("the server does not accept the nick ({})", line.said());
                self.give_up(
                    turn,
                    channel_error(ErrorCode::Invalid, message, line.command.clone()),
                );
            }
            432 | 433 | 436 | 437 => self.next_nick(turn, line),
            451 => turn.log(
                Level::Debug,
                "the server took a line before the registration was complete as an error",
            ),
            468 => {
                let message = format!("the server does not accept the user name ({})", line.said());
                self.give_up(turn, channel_error(ErrorCode::Invalid, message, "468"));
            }
            _ => return false,
        }
        true
    }

    fn next_nick(&mut self, turn: &mut Turn, line: &Line) {
        self.registration.refused += 1;
        if self.registration.refused > MAX_NICKS {
            let message = format!(
                "the nick and all that are like it are taken ({})",
                line.said()
            );
            self.give_up(
                turn,
                channel_error(ErrorCode::Conflict, message, line.command.clone()),
            );
            return;
        }
        let noise = turn.port.random(2);
        let nick = alternative(&self.config.nick, self.registration.refused, &noise);
        self.write(turn, format!("NICK {nick}"));
        self.link.nick = nick;
    }

    fn welcome(&mut self, turn: &mut Turn, line: &Line) {
        if self.config.sasl_username.is_some() && !self.registration.authenticated {
            self.give_up(
                turn,
                error(
                    ErrorCode::Unavailable,
                    "the server does not offer SASL PLAIN now",
                ),
            );
            return;
        }
        let nick = line.param(0);
        if !nick.is_empty() && nick != "*" && nick.len() <= MAX_NAME_BYTES {
            self.link.nick = nick.to_owned();
        }
        // The host that 001 shows may not be the one that others see; the user name is.
        let address = line.last().rsplit(' ').next().unwrap_or("");
        if let Some((nick, rest)) = address.split_once('!')
            && let Some((user, _)) = rest.split_once('@')
            && self.link.is_me(nick)
        {
            self.link.user = Some(user.to_owned());
        }
        self.phase = Phase::Online;
        self.online_since = turn.now;
        self.refusals = 0;
        self.link_changed = true;
        turn.ask(Action::CancelTimer(timer::REGISTER));
        turn.ask(Action::Link(account::Link::Online, None));
        self.signed_in_now(turn);
        self.keep_alive(turn);
        let config = self.config.clone();
        self.join(turn, &config, |_| true);
        self.pump(turn);
    }

    /// JOIN for the channels of the configuration that `which` picks, in as few lines as fit.
    fn join(&mut self, turn: &mut Turn, config: &Config, which: impl Fn(&str) -> bool) {
        // Channels with a key come first, since keys are matched by position.
        let mut wanted: Vec<_> = config
            .wanted()
            .filter(|channel| which(channel.name))
            .collect();
        wanted.sort_by_key(|channel| channel.key.is_none());
        let (mut names, mut keys) = (String::new(), String::new());
        for channel in wanted {
            if !names.is_empty()
                && names.len() + keys.len() + channel.name.len() + channel.key.map_or(0, str::len)
                    > 440
            {
                self.write(turn, format!("JOIN {names} {keys}").trim_end().to_owned());
                names.clear();
                keys.clear();
            }
            for (list, word) in [(&mut names, Some(channel.name)), (&mut keys, channel.key)] {
                let Some(word) = word else { continue };
                if !list.is_empty() {
                    list.push(',');
                }
                list.push_str(word);
            }
        }
        if !names.is_empty() {
            self.write(turn, format!("JOIN {names} {keys}").trim_end().to_owned());
        }
    }

    /// Brings a link that is up in line with a changed configuration.
    pub(crate) fn apply_config(&mut self, turn: &mut Turn, before: &Config) {
        if self.link.config != self.config {
            self.link.config = self.config.clone();
            self.link_changed = true;
        }
        if *before == self.config || self.phase != Phase::Online {
            return;
        }
        if before.nick != self.config.nick && !self.link.is_me(&self.config.nick) {
            self.write(turn, format!("NICK {}", self.config.nick));
        }
        let map = self.link.isupport.casemap;
        let gone: Vec<String> = before
            .wanted()
            .filter(|old| !self.config.wanted().any(|new| map.same(new.name, old.name)))
            .map(|old| format!("PART {}", old.name))
            .collect();
        for line in gone {
            self.write(turn, line);
        }
        let config = self.config.clone();
        self.join(turn, &config, |name| {
            !before.wanted().any(|old| map.same(old.name, name))
        });
    }

    /// Asks for the configured nick when another one had to be used.
    pub(crate) fn regain_nick(&mut self, turn: &mut Turn) {
        if !self.link.is_me(&self.config.nick) && self.registration.refused > 0 {
            self.write(turn, format!("NICK {}", self.config.nick));
        }
    }
}

fn one_line(secret: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(secret).ok()?;
    (!text.contains(['\r', '\n', '\0'])).then(|| text.to_owned())
}

/// `nick_`, `nick__`, then shorter ones with digits, which also fit where nicks have at
/// most nine characters.
fn alternative(nick: &str, refused: u32, noise: &[u8]) -> String {
    if refused <= 2 {
        return format!("{nick}{}", "_".repeat(refused as usize));
    }
    let stem: String = nick.chars().take(6).collect();
    let number = noise
        .iter()
        .fold(0_u32, |number, &byte| number << 8 | u32::from(byte))
        % 1_000;
    format!("{stem}{number:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicks_to_fall_back_on() {
        assert_eq!(alternative("anyport", 1, &[0, 0]), "anyport_");
        assert_eq!(alternative("anyport", 2, &[0, 0]), "anyport__");
        assert_eq!(alternative("anyport", 3, &[1, 1]), "anypor257");
        assert_eq!(alternative("äöüäöüä", 4, &[0, 7]), "äöüäöü007");
    }

    #[test]
    fn secrets_are_one_line() {
        assert_eq!(one_line(b"geheim"), Some("geheim".to_owned()));
        assert_eq!(one_line(b"a\r\nQUIT"), None);
        assert_eq!(one_line(b"\xff"), None);
    }
}
