//! Connecting, keeping alive, losing and trying again. It must never read a line.

use anyport_sdk::account;
use anyport_sdk::types::{Error, ErrorCode};

use crate::caps::Negotiation;
use crate::message;
use crate::port::{Action, Turn, error};
use crate::session::{Phase, Registration, Session, timer};
use crate::state::{self, Link};

/// What comes before 001 must be done by then.
const REGISTER_MS: u64 = 30_000;
const MAX_BACKOFF_MS: u64 = 300_000;
/// A link that held so long counts as good: the next attempts begin with the least delay.
const STABLE_MS: u64 = 60_000;
/// A signed-in account is signed out when its password was refused so often in a row.
const MAX_REFUSALS: u32 = 3;
/// Between two sweeps of what is left of channels.
pub(crate) const SWEEP_MS: u64 = 1_000;

impl Session {
    pub(crate) fn check_alive(&mut self, turn: &mut Turn) {
        let interval = u64::from(self.config.keepalive_ms);
        if self.asked_at.is_some() {
            turn.ask(Action::Close);
            let silent = turn.now.saturating_sub(self.last_received);
            let reason = format!(
                "the server has been silent for {} seconds",
                silent.div_ceil(1_000)
            );
            self.lost(turn, error(ErrorCode::Unavailable, reason), 0);
            return;
        }
        self.regain_nick(turn);
        if turn.now.saturating_sub(self.last_received) < interval {
            self.keep_alive(turn);
            return;
        }
        self.asked_at = Some(turn.now);
        self.write(turn, format!("PING :k{}", self.link.generation));
        turn.timer(
            timer::KEEPALIVE,
            interval / 2,
            &self.link.generation.to_string(),
        );
    }

    /// Sets the timer to when the link has been silent for too long.
    pub(crate) fn keep_alive(&mut self, turn: &mut Turn) {
        let silent = turn.now.saturating_sub(self.last_received);
        let after = u64::from(self.config.keepalive_ms)
            .saturating_sub(silent)
            .max(1);
        turn.timer(timer::KEEPALIVE, after, &self.link.generation.to_string());
    }

    /// A new connection. Nothing of an old one may be open.
    pub(crate) fn connect(&mut self, turn: &mut Turn) {
        self.forget_link(turn);
        self.link = Link {
            generation: self.ids.number(turn.port),
            config: self.config.clone(),
            ..Link::default()
        };
        self.negotiation = Negotiation::default();
        self.registration = Registration::default();
        self.batches.clear();
        self.frames = 0;
        self.asked_at = None;
        self.farewell = None;
        self.phase = Phase::Connecting;
        turn.ask(Action::CancelTimer(timer::RECONNECT));
        turn.ask(Action::Link(account::Link::Connecting, None));
        self.ask_connection(turn);
        turn.timer(
            timer::REGISTER,
            REGISTER_MS,
            &self.link.generation.to_string(),
        );
    }

    pub(crate) fn ask_connection(&mut self, turn: &mut Turn) {
        turn.ask(Action::Connect {
            host: self.config.server.clone(),
            port: self.config.port,
            tls: self.config.tls,
        });
    }

    /// Closes what is open and connects anew, without waiting.
    pub(crate) fn restart_link(&mut self, turn: &mut Turn, open: bool, why: &str) {
        if open {
            if matches!(self.phase, Phase::Registering | Phase::Online) {
                self.quit(turn);
            }
            turn.ask(Action::Close);
        }
        self.outbox
            .lost(turn, &error(ErrorCode::Unavailable, why), self.frames, 0);
        self.connect(turn);
    }

    /// Says goodbye, closes and stays without a link.
    pub(crate) fn disconnect(&mut self, turn: &mut Turn, open: bool, reason: &Error) {
        if matches!(self.phase, Phase::Registering | Phase::Online) {
            self.quit(turn);
        }
        if open
            || matches!(
                self.phase,
                Phase::Connecting | Phase::Registering | Phase::Online
            )
        {
            turn.ask(Action::Close);
        }
        self.stop_timers(turn);
        turn.ask(Action::CancelTimer(timer::RECONNECT));
        self.outbox.abandon(turn, reason);
        self.forget_link(turn);
        self.phase = Phase::Idle;
        turn.ask(Action::Link(account::Link::Offline, Some(reason.clone())));
    }

    /// The link cannot be had: closes it and goes on as after a loss.
    pub(crate) fn give_up(&mut self, turn: &mut Turn, reason: Error) {
        if self.phase == Phase::Registering {
            self.quit(turn);
        }
        turn.ask(Action::Close);
        self.lost(turn, reason, 0);
    }

    /// The link is gone. Tries again later, unless there is nothing to sign in with.
    pub(crate) fn lost(&mut self, turn: &mut Turn, reason: Error, undelivered: u32) {
        self.stop_timers(turn);
        self.outbox.lost(turn, &reason, self.frames, undelivered);
        self.forget_link(turn);
        self.phase = Phase::Idle;
        // Services that are half gone refuse good passwords, too: once is not enough.
        let refused = reason.code == ErrorCode::Unauthenticated;
        self.refusals = if refused {
            self.refusals + 1
        } else {
            self.refusals
        };
        if self.sign_in.is_some() {
            self.sign_in_failed(turn, reason.clone());
        } else if self.signed_in && refused && self.refusals >= MAX_REFUSALS {
            self.signed_out(turn, reason);
            return;
        }
        turn.ask(Action::Link(account::Link::Offline, Some(reason)));
        if self.signed_in {
            self.reconnect_later(turn);
        }
    }

    fn reconnect_later(&mut self, turn: &mut Turn) {
        if self.online_since > 0 && turn.now.saturating_sub(self.online_since) >= STABLE_MS {
            self.attempts = 0;
        }
        self.online_since = 0;
        let longest = u64::from(self.config.reconnect_ms)
            .saturating_mul(1 << self.attempts.min(20))
            .min(MAX_BACKOFF_MS);
        self.attempts = self.attempts.saturating_add(1);
        let noise = turn
            .port
            .random(2)
            .iter()
            .fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        let after = longest / 2 + (longest - longest / 2) * noise / 65_535;
        self.phase = Phase::Waiting;
        turn.timer(timer::RECONNECT, after, "");
    }

    fn stop_timers(&mut self, turn: &mut Turn) {
        for label in [timer::REGISTER, timer::KEEPALIVE, timer::PACE] {
            turn.ask(Action::CancelTimer(label));
        }
    }

    /// What is known of a link goes with it.
    pub(crate) fn forget_link(&mut self, turn: &mut Turn) {
        turn.port.remove(state::LINK);
        self.link_changed = false;
        let rosters: Vec<u64> = std::mem::take(&mut self.link.channels)
            .into_values()
            .map(|channel| channel.roster)
            .collect();
        if !rosters.is_empty() {
            self.discard(turn, rosters);
        }
    }

    pub(crate) fn discard(&mut self, turn: &mut Turn, rosters: Vec<u64>) {
        if state::discard(turn.port, rosters) {
            turn.timer(timer::SWEEP, SWEEP_MS, "");
        }
    }

    /// Keeps what changed about a registered link, once a turn.
    pub(crate) fn write_link(&mut self, turn: &mut Turn) {
        if std::mem::take(&mut self.link_changed) && self.phase == Phase::Online {
            state::put_json(turn.port, state::LINK, &self.link);
        }
    }

    pub(crate) fn write(&mut self, turn: &mut Turn, line: String) {
        self.frames += 1;
        turn.ask(Action::Line(line));
    }

    pub(crate) fn quit(&mut self, turn: &mut Turn) {
        let line = message::format(
            "QUIT",
            &[self.config.quit_message.as_deref().unwrap_or("Bye")],
        );
        self.write(turn, line);
    }

    /// With what the server said before it closed. Some servers say only there, in words,
    /// that the password was wrong.
    pub(crate) fn with_farewell(&mut self, reason: Error) -> Error {
        let Some(text) = self.farewell.take() else {
            return reason;
        };
        let password =
            self.phase == Phase::Registering && text.to_ascii_lowercase().contains("password");
        Error {
            code: if password {
                ErrorCode::Unauthenticated
            } else {
                reason.code
            },
            message: format!("the server closed the connection: {text}"),
            ..reason
        }
    }
}
