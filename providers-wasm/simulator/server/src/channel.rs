//! The channel itself: its users, ids and clock. Shared by all connections and by
//! control; knows nothing of sockets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::counters::Latency;
use crate::model::{Body, Message};
use crate::protocol::Fault;
use crate::settings::{Behaviour, Settings};
use crate::user::{User, UserState};
use crate::world::World;

pub(crate) struct Channel {
    pub(crate) settings: Settings,
    pub(crate) epoch: String,
    pub(crate) latency: Latency,
    /// TCP connections that are open, signed in or not.
    pub(crate) open_connections: AtomicUsize,
    behaviour: RwLock<Arc<Behaviour>>,
    users: RwLock<HashMap<String, Arc<User>>>,
    arrivals: AtomicU64,
    connections: AtomicU64,
}

impl Channel {
    pub(crate) fn new(settings: Settings) -> Self {
        let epoch = settings
            .epoch
            .clone()
            .unwrap_or_else(|| format!("{:x}", now_ms()));
        Self {
            epoch,
            latency: Latency::new(),
            open_connections: AtomicUsize::new(0),
            behaviour: RwLock::new(Arc::new(settings.behaviour.clone())),
            users: RwLock::new(HashMap::new()),
            arrivals: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            settings,
        }
    }

    /// Whoever is named exists.
    pub(crate) fn user(&self, name: &str) -> Arc<User> {
        if let Some(user) = self
            .users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
        {
            return Arc::clone(user);
        }
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            users
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(User::new(name))),
        )
    }

    /// By name.
    pub(crate) fn users(&self) -> Vec<Arc<User>> {
        let mut users: Vec<_> = self
            .users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(Arc::clone)
            .collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users
    }

    pub(crate) fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(
            &self
                .behaviour
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(crate) fn set_behaviour(&self, behaviour: Behaviour) {
        *self
            .behaviour
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour);
    }

    pub(crate) fn behaviour_of(&self, state: &UserState) -> Arc<Behaviour> {
        state
            .behaviour
            .as_ref()
            .map_or_else(|| self.behaviour(), Arc::clone)
    }

    pub(crate) fn next_arrival(&self) -> u64 {
        self.arrivals.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn event_id(&self, sequence: u64) -> String {
        format!("{}-{sequence}", self.epoch)
    }

    /// None: not an id of this run.
    pub(crate) fn event_sequence(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&self.epoch)?
            .strip_prefix('-')?
            .parse()
            .ok()
    }

    /// What the user sees of the channel, made when it is first needed.
    pub(crate) fn world<'s>(&self, user: &User, state: &'s mut UserState) -> &'s mut World {
        state.world.get_or_insert_with(|| {
            let limit = self.settings.history_limit;
            Box::new(World::new(
                user.first_profile(),
                &self.epoch,
                limit,
                now_ms(),
            ))
        })
    }

    /// Makes events of what has happened in the user's world. Returns their ids; a full inbox
    /// loses the rest.
    pub(crate) fn tell(&self, user: &User, state: &mut UserState) -> Vec<String> {
        let happened = self.world(user, state).take_events();
        happened
            .into_iter()
            .map_while(|body| self.push_event(user, state, body).ok())
            .collect()
    }

    /// Fills in what the server knows (ids, times) and puts the event behind the others. A
    /// message is remembered in its conversation, too.
    pub(crate) fn push_event(
        &self,
        user: &User,
        state: &mut UserState,
        mut body: Body,
    ) -> Result<String, Fault> {
        if state.inbox.waiting() >= self.settings.backlog_limit {
            return Err(Fault::new(
                "quota-exceeded",
                "too many events wait for this user",
            ));
        }
        let at_ms = now_ms();
        let id = self.event_id(state.inbox.next_sequence());
        let complete = |message: &mut Message| {
            if message.id.is_empty() {
                message.id = format!("m-{id}");
            }
            if message.kind.is_empty() {
                "user".clone_into(&mut message.kind);
            }
        };
        match &mut body {
            Body::Message(message) | Body::Edited(message) => complete(message),
            _ => {}
        }
        if let Body::Message(message) = &body {
            self.world(user, state).remember(message.clone(), at_ms);
        }
        let json =
            serde_json::to_vec(&body).map_err(|error| Fault::new("invalid", error.to_string()))?;
        state.inbox.push(Bytes::from(json), at_ms);
        Ok(id)
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
