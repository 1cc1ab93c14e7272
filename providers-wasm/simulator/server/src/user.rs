//! One user of the channel: sessions, inbox, journal and the faults that control has
//! armed. Plain state behind one lock; does no input or output and never waits.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::control::Garbage;
use crate::counters::Counters;
use crate::inbox::Inbox;
use crate::journal::Journal;
use crate::protocol::{Fault, Profile};
use crate::requests::Requests;
use crate::settings::Behaviour;
use crate::webhooks::Hook;
use crate::world::World;

pub(crate) struct User {
    pub(crate) name: String,
    state: Mutex<UserState>,
}

/// The connection that speaks for a user.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) connection: u64,
    pub(crate) wake: Arc<Notify>,
}

pub(crate) struct UserState {
    /// Asked for as second factor.
    pub(crate) password: Option<String>,
    sessions: HashSet<String>,
    sessions_made: u64,
    /// After a revocation, sessions of earlier runs are not good any more.
    adopts_sessions: bool,
    /// Tokens of the HTTP API of an earlier one are not good any more.
    pub(crate) token_generation: u64,
    /// Where events are posted to.
    pub(crate) hook: Option<Arc<Hook>>,
    pub(crate) online: Option<Link>,
    pub(crate) signing_in: Option<Link>,
    /// The QR code that is shown was scanned.
    pub(crate) scanned: bool,
    pub(crate) logins: u64,
    pub(crate) inbox: Inbox,
    pub(crate) journal: Journal,
    pub(crate) requests: Requests,
    /// Of media, in pieces; also those that came twice.
    pub(crate) uploaded_bytes: u64,
    pub(crate) fetched_bytes: u64,
    /// None: nothing has happened in it yet. Ten thousand idle users need none.
    pub(crate) world: Option<Box<World>>,
    /// None: the server's.
    pub(crate) behaviour: Option<Arc<Behaviour>>,
    pub(crate) faults: Faults,
    /// What control wants the connection to do.
    pub(crate) orders: Vec<Order>,
}

/// Faults that are used up as they happen.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) refuse: Option<(u32, Fault)>,
    /// So many sends are taken, and the connection closes instead of an answer.
    pub(crate) lose_answers: u32,
    /// The connection closes when so many further frames came.
    pub(crate) drop_after: Option<u32>,
}

pub(crate) enum Order {
    Close,
    Garbage(Garbage),
    Revoked(Fault),
}

impl User {
    pub(crate) fn new(name: &str, hook: Option<Arc<Hook>>) -> Self {
        let state = UserState {
            password: None,
            sessions: HashSet::new(),
            sessions_made: 0,
            adopts_sessions: true,
            token_generation: 0,
            hook,
            online: None,
            signing_in: None,
            scanned: false,
            logins: 0,
            inbox: Inbox::new(),
            journal: Journal::default(),
            requests: Requests::default(),
            uploaded_bytes: 0,
            fetched_bytes: 0,
            world: None,
            behaviour: None,
            faults: Faults::default(),
            orders: Vec::new(),
        };
        Self {
            name: name.to_owned(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, UserState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn profile(&self) -> Profile {
        match &self.state().world {
            Some(world) => world.me.clone(),
            None => self.first_profile(),
        }
    }

    /// As contacts and profiles have it.
    pub(crate) fn id(&self) -> String {
        format!("user:{}", self.name)
    }

    pub(crate) fn first_profile(&self) -> Profile {
        let digits = self
            .name
            .bytes()
            .fold(7_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 10_000_000);
        Profile {
            id: self.id(),
            name: self.name.clone(),
            username: self.name.clone(),
            phone: format!("1555{digits:07}"),
            about: None,
            avatar: None,
        }
    }

    pub(crate) fn issue_session(&self, epoch: &str) -> String {
        let mut state = self.state();
        state.sessions_made += 1;
        let session = format!("session/{epoch}/{}/{}", state.sessions_made, self.name);
        state.sessions.insert(session.clone());
        session
    }

    /// `adopt`: sessions of earlier runs count as well.
    pub(crate) fn accepts_session(&self, session: &str, epoch: &str, adopt: bool) -> bool {
        let mut state = self.state();
        if state.sessions.contains(session) {
            return true;
        }
        let mut parts = session.splitn(4, '/');
        let earlier = parts.next() == Some("session")
            && parts
                .next()
                .is_some_and(|run| run != epoch && !run.is_empty())
            && parts
                .next()
                .is_some_and(|number| number.parse::<u64>().is_ok())
            && parts.next() == Some(&self.name);
        let good = earlier && adopt && state.adopts_sessions;
        if good {
            state.sessions.insert(session.to_owned());
        }
        good
    }

    pub(crate) fn counters(&self) -> Counters {
        let state = self.state();
        Counters {
            users: 1,
            connections: u64::from(state.online.is_some()),
            logins: state.logins,
            sends: state.journal.sends,
            messages: state.journal.messages,
            repeated: state.journal.repeated,
            doubled: state.journal.doubled,
            refused: state.journal.refused,
            generated: state.inbox.generated(),
            delivered: state.inbox.delivered,
            redelivered: state.inbox.redelivered,
            acknowledged: state.inbox.acknowledged,
            repeated_acknowledgements: state.inbox.repeated_acknowledgements,
            uploaded_bytes: state.uploaded_bytes,
            fetched_bytes: state.fetched_bytes,
            unacknowledged: state.inbox.generated() - state.inbox.acknowledged,
        }
    }
}

impl UserState {
    pub(crate) fn is_online(&self, connection: u64) -> bool {
        self.online
            .as_ref()
            .is_some_and(|link| link.connection == connection)
    }

    /// This connection speaks for the user from here on; the one before closes.
    pub(crate) fn come_online(&mut self, link: Link) {
        self.signing_in = None;
        self.scanned = false;
        self.orders.clear();
        self.logins += 1;
        self.inbox.rewind();
        if let Some(before) = self.online.replace(link) {
            before.wake.notify_one();
        }
    }

    pub(crate) fn go_offline(&mut self, connection: u64) {
        if self.is_online(connection) {
            self.online = None;
            self.orders.clear();
        }
        if self
            .signing_in
            .as_ref()
            .is_some_and(|link| link.connection == connection)
        {
            self.signing_in = None;
        }
    }

    pub(crate) fn end_sessions(&mut self) {
        self.sessions.clear();
        self.adopts_sessions = false;
        self.token_generation += 1;
    }

    /// Makes the connection, or the courier, look at this state.
    pub(crate) fn notify(&self) {
        if let Some(hook) = &self.hook {
            hook.wake.notify_one();
        }
        for link in [&self.online, &self.signing_in].into_iter().flatten() {
            link.wake.notify_one();
        }
    }
}
