//! The life of one account: which phase its link is in, how an instance starts, what a
//! turn brings and which part of the core takes it. It must never call the
//! host, and know no time but the turn's.

use std::collections::{BTreeMap, BTreeSet};

use anyport_sdk::account;
use anyport_sdk::log::Level;
use anyport_sdk::types::{Error, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::caps::Negotiation;
use crate::config::Config;
use crate::link;
use crate::message;
use crate::outbox::Outbox;
use crate::pacing::Pacing;
use crate::port::{Action, Input, Port, Turn, error};
use crate::state::{self, Ids, Link};

/// The connection's label.
pub const MAIN: &str = "main";

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
            turn.timer(timer::SWEEP, link::SWEEP_MS, "");
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
            timer::SWEEP if state::sweep(turn.port) => turn.timer(timer::SWEEP, link::SWEEP_MS, ""),
            _ => {}
        }
    }
}
