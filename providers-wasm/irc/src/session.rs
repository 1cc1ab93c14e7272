//! The life of one account: which phase its link is in, what a turn brings and which part of
//! the core takes it, when to connect, to give up and to try again. It must never call the
//! host, and know no time but the turn's.

use std::collections::{BTreeMap, BTreeSet};

use anyport_sdk::account;
use anyport_sdk::log::Level;
use anyport_sdk::types::{Error, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::caps::Negotiation;
use crate::config::Config;
use crate::message;
use crate::outbox::Outbox;
use crate::pacing::Pacing;
use crate::port::{Action, Input, Port, Turn, error};
use crate::state::{self, Ids, Link};

/// The connection's label.
pub const MAIN: &str = "main";

/// What comes before 001 must be done by then.
const REGISTER_MS: u64 = 30_000;
const MAX_BACKOFF_MS: u64 = 300_000;
/// A link that held so long counts as good: the next attempts begin with the least delay.
const STABLE_MS: u64 = 60_000;
/// A signed-in account is signed out when its password was refused so often in a row.
const MAX_REFUSALS: u32 = 3;
const SWEEP_MS: u64 = 1_000;

pub(crate) mod timer {
    pub const REGISTER: &str = "register";
    pub const RECONNECT: &str = "reconnect";
    pub const KEEPALIVE: &str = "keepalive";
    pub const PACE: &str = "pace";
    pub const SWEEP: &str = "sweep";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Phase {
    /// No link, and none is wanted.
    #[default]
    Idle,
    Connecting,
    /// Connected; 001 has not come.
    Registering,
    Online,
    /// The timer `reconnect` runs.
    Waiting,
}

/// Why and with what an instance starts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Start {
    pub config: String,
    /// State version and bytes of a snapshot.
    pub resume: Option<(u32, Vec<u8>)>,
    /// `main` is open and its frames wait.
    pub open: bool,
    /// Subjects to leave out.
    pub skip: Vec<String>,
}

/// The state machine of one account. Its serialized form is the snapshot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Session {
    pub(crate) config: Config,
    /// The configuration cannot be used, and why.
    pub(crate) misconfigured: Option<String>,
    pub(crate) signed_in: bool,
    pub(crate) phase: Phase,
    pub(crate) link: Link,
    pub(crate) link_changed: bool,
    pub(crate) negotiation: Negotiation,
    pub(crate) registration: Registration,
    /// The request that began a sign-in.
    pub(crate) sign_in: Option<String>,
    pub(crate) outbox: Outbox,
    /// Failed attempts in a row.
    pub(crate) attempts: u32,
    /// Refused passwords since the account was online.
    pub(crate) refusals: u32,
    pub(crate) online_since: u64,
    pub(crate) last_received: u64,
    /// When a sign of life was asked for that has not come.
    pub(crate) asked_at: Option<u64>,
    /// Frames that this connection was given.
    pub(crate) frames: u64,
    /// What the server said before it closed.
    pub(crate) farewell: Option<String>,
    /// Open batches and the labels they answer.
    pub(crate) batches: BTreeMap<String, String>,
    /// When a CTCP question was answered last.
    pub(crate) ctcp_at: u64,
    #[serde(skip)]
    pub(crate) ids: Ids,
    #[serde(skip)]
    pub(crate) skip: BTreeSet<String>,
}

/// How far the registration has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub authenticating: bool,
    pub authenticated: bool,
    pub ended: bool,
    /// Nicks that were refused.
    pub refused: u32,
}

impl Session {
    /// The first call of an instance. True: the open connection goes on.
    pub fn start(start: &Start, now: u64, port: &mut dyn Port) -> (Self, bool, Vec<Action>) {
        let mut turn = Turn::new(now, port);
        let (session, keeps) = Self::begin_life(start, &mut turn);
        (session, keeps, turn.actions)
    }

    fn begin_life(start: &Start, turn: &mut Turn) -> (Self, bool) {
        let (config, misconfigured) = match Config::parse(&start.config) {
            Ok(config) => (config, None),
            Err(problem) => (Config::default(), Some(problem)),
        };
        let snapshot = start
            .resume
            .as_ref()
            .filter(|(version, _)| *version == state::SNAPSHOT_VERSION);
        let snapshot = snapshot.and_then(|(_, bytes)| serde_json::from_slice::<Self>(bytes).ok());
        let resumed = snapshot.is_some();
        let mut session = snapshot.unwrap_or_default();
        session.ids = Ids::load(turn.port);
        session.skip = start.skip.iter().cloned().collect();
        session.signed_in = turn.port.get(state::SIGNED_IN).is_some();
        session.misconfigured = misconfigured;
        let keeps = if let Some(problem) = session.misconfigured.clone() {
            session.disconnect(turn, start.open, &error(ErrorCode::Invalid, problem));
            false
        } else if resumed {
            session.go_on(turn, config, start.open)
        } else {
            session.begin_anew(turn, config, start.open)
        };
        if state::discard(turn.port, []) && !resumed {
            turn.timer(timer::SWEEP, SWEEP_MS, "");
        }
        session.write_link(turn);
        (session, keeps)
    }

    /// With a snapshot: exactly where it was.
    fn go_on(&mut self, turn: &mut Turn, config: Config, open: bool) -> bool {
        let before = std::mem::replace(&mut self.config, config);
        let same = self.config.same_link(&before);
        match self.phase {
            Phase::Idle => {
                // The configuration could not be used before.
                if self.signed_in {
                    self.connect(turn);
                }
                false
            }
            Phase::Waiting => {
                if !same {
                    self.connect(turn);
                }
                false
            }
            _ if !same => {
                self.restart_link(turn, open, "the configuration changed");
                false
            }
            // Asking again finds the same connection.
            Phase::Connecting if !open => {
                self.ask_connection(turn);
                false
            }
            Phase::Registering | Phase::Online if !open => {
                self.lost(
                    turn,
                    error(
                        ErrorCode::Unavailable,
                        "the connection ended while the provider was replaced",
                    ),
                    0,
                );
                false
            }
            _ => {
                self.apply_config(turn, &before);
                true
            }
        }
    }

    /// Without a snapshot: kv is all there is. A registered link goes on if its connection
    /// is still open, since what it needs to know is in kv.
    fn begin_anew(&mut self, turn: &mut Turn, config: Config, open: bool) -> bool {
        self.config = config;
        let link: Option<Link> = turn
            .port
            .get(state::LINK)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        self.outbox.load(turn);
        if open
            && self.signed_in
            && let Some(link) = link.clone()
            && link.config.same_link(&self.config)
        {
            self.link = link;
            self.phase = Phase::Online;
            self.online_since = turn.now;
            self.last_received = turn.now;
            self.outbox.pacing = Pacing::almost_empty(turn.now, self.config.rate());
            turn.log(Level::Info, "going on with the open connection");
            turn.ask(Action::Link(account::Link::Online, None));
            self.keep_alive(turn);
            let before = std::mem::take(&mut self.link.config);
            self.apply_config(turn, &before);
            self.pump(turn);
            return true;
        }
        self.link = link.unwrap_or_default();
        let reason = error(ErrorCode::Unavailable, "the provider was started anew");
        self.outbox.lost(turn, &reason, 0, 0);
        self.forget_link(turn);
        if open {
            turn.ask(Action::Close);
        }
        if self.signed_in {
            self.connect(turn);
        } else if open {
            turn.ask(Action::Link(account::Link::Offline, None));
        }
        false
    }

    /// One turn.
    pub fn handle(&mut self, input: Input, now: u64, port: &mut dyn Port) -> Vec<Action> {
        let mut turn = Turn::new(now, port);
        self.take(input, &mut turn);
        self.write_link(&mut turn);
        turn.actions
    }

    fn take(&mut self, input: Input, turn: &mut Turn) {
        match input {
            Input::Opened => self.opened(turn),
            Input::Frame(bytes) => self.frame(turn, &bytes),
            Input::Closed {
                reason,
                undelivered,
            } => {
                if matches!(
                    self.phase,
                    Phase::Connecting | Phase::Registering | Phase::Online
                ) {
                    let reason = self.with_farewell(reason);
                    self.lost(turn, reason, undelivered);
                }
            }
            Input::Timer { label, context } => self.fired(turn, &label, &context),
            Input::Reconnect => {
                if self.misconfigured.is_none() && (self.signed_in || self.sign_in.is_some()) {
                    self.attempts = 0;
                    let open = matches!(
                        self.phase,
                        Phase::Connecting | Phase::Registering | Phase::Online
                    );
                    self.restart_link(turn, open, "a fresh link was asked for");
                }
            }
            Input::Stopping => {
                if matches!(self.phase, Phase::Registering | Phase::Online) {
                    self.quit(turn);
                }
                self.phase = Phase::Idle;
            }
            Input::Begin { request, method } => self.begin_sign_in(turn, request, &method),
            Input::Cancel { request } => self.cancel_sign_in(turn, &request),
            Input::SignOut { request } => self.sign_out(turn, &request),
            Input::Send { request, message } => self.send(turn, &request, &message),
        }
    }

    /// The memory that matters, as bytes of `SNAPSHOT_VERSION`.
    pub fn suspend(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|problem| error(ErrorCode::Internal, problem.to_string()))
    }

    fn frame(&mut self, turn: &mut Turn, bytes: &[u8]) {
        self.last_received = turn.now;
        self.asked_at = None;
        let subject = format!("line:{:016x}", state::hash(bytes));
        turn.port.subject(&subject);
        if self.skip.contains(&subject) {
            self.skipped(turn, &subject, bytes.len());
            return;
        }
        match message::parse(bytes) {
            Ok(line) => self.line(turn, &line, bytes),
            Err(malformed) => turn.log(
                Level::Debug,
                format!("a malformed line was left out: {}", malformed.0),
            ),
        }
    }

    fn fired(&mut self, turn: &mut Turn, label: &str, context: &[u8]) {
        let current = context == self.link.generation.to_string().as_bytes();
        match label {
            timer::REGISTER
                if current && matches!(self.phase, Phase::Connecting | Phase::Registering) =>
            {
                self.give_up(
                    turn,
                    error(
                        ErrorCode::Unavailable,
                        "the server did not complete the sign-in within 30 seconds",
                    ),
                );
            }
            timer::RECONNECT if self.phase == Phase::Waiting => self.connect(turn),
            timer::KEEPALIVE if current && self.phase == Phase::Online => self.check_alive(turn),
            timer::PACE => self.pump(turn),
            timer::SWEEP if state::sweep(turn.port) => turn.timer(timer::SWEEP, SWEEP_MS, ""),
            _ => {}
        }
    }

    fn check_alive(&mut self, turn: &mut Turn) {
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

    fn ask_connection(&mut self, turn: &mut Turn) {
        turn.ask(Action::Connect {
            host: self.config.server.clone(),
            port: self.config.port,
            tls: self.config.tls,
        });
    }

    /// Closes what is open and connects anew, without waiting.
    fn restart_link(&mut self, turn: &mut Turn, open: bool, why: &str) {
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
    fn forget_link(&mut self, turn: &mut Turn) {
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
    fn write_link(&mut self, turn: &mut Turn) {
        if std::mem::take(&mut self.link_changed) && self.phase == Phase::Online {
            state::put_json(turn.port, state::LINK, &self.link);
        }
    }

    pub(crate) fn write(&mut self, turn: &mut Turn, line: String) {
        self.frames += 1;
        turn.ask(Action::Line(line));
    }

    fn quit(&mut self, turn: &mut Turn) {
        let line = message::format(
            "QUIT",
            &[self.config.quit_message.as_deref().unwrap_or("Bye")],
        );
        self.write(turn, line);
    }

    /// With what the server said before it closed. Some servers say only there, in words,
    /// that the password was wrong.
    fn with_farewell(&mut self, reason: Error) -> Error {
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
