//! The channel itself: its users, ids and clock. Shared by all connections and by
//! control; knows nothing of sockets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::counters::Latency;
use crate::media::Media;
use crate::model::{Body, Message};
use crate::protocol::Fault;
use crate::settings::{Behaviour, Settings};
use crate::user::{User, UserState};
use crate::webhooks::{Deliveries, Hook, hmac};
use crate::world::World;

pub(crate) struct Channel {
    pub(crate) settings: Settings,
    pub(crate) epoch: String,
    pub(crate) latency: Latency,
    /// TCP connections that are open, signed in or not.
    pub(crate) open_connections: AtomicUsize,
    pub(crate) deliveries: Deliveries,
    pub(crate) hooks_changed: Notify,
    pub(crate) media: Arc<Media>,
    /// Of tokens of the HTTP API.
    secret: [u8; 32],
    app_hook: RwLock<Option<Arc<Hook>>>,
    new_hooks: Mutex<Vec<Arc<Hook>>>,
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
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the operating system gives random bytes");
        Self {
            epoch,
            latency: Latency::new(),
            open_connections: AtomicUsize::new(0),
            deliveries: Deliveries::default(),
            hooks_changed: Notify::new(),
            media: Arc::new(Media::new()),
            secret,
            app_hook: RwLock::new(None),
            new_hooks: Mutex::new(Vec::new()),
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
        let hook = self
            .app_hook
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            users
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(User::new(name, hook))),
        )
    }

    /// For the HTTP API. Good until the user's sessions are revoked.
    pub(crate) fn token(&self, user: &User) -> String {
        let generation = user.state().token_generation.to_string();
        let name = user.name.as_bytes();
        let mac = hmac(&self.secret, &[generation.as_bytes(), b"/", name]);
        format!("{}-{}", hex::encode(name), &mac[..40])
    }

    pub(crate) fn user_of_token(&self, token: &str) -> Option<Arc<User>> {
        let (name, _) = token.split_once('-')?;
        let name = String::from_utf8(hex::decode(name).ok()?).ok()?;
        let known = self
            .users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&name)
            .map(Arc::clone)?;
        (self.token(&known) == token).then_some(known)
    }

    /// Events go to this address from now on, and no more to the one before. `user`: none for all
    /// that have no address of their own.
    pub(crate) fn set_hook(
        &self,
        user: Option<&str>,
        url: Option<String>,
        secret: Vec<u8>,
    ) -> Result<(), Fault> {
        let hook = match url {
            Some(url) => {
                let good = url.parse::<hyper::Uri>();
                if !good.is_ok_and(|url| url.scheme_str() == Some("http") && url.host().is_some()) {
                    let message = "a webhook address is http://, since the simulator has no TLS";
                    return Err(Fault::new("invalid", message));
                }
                Some(Arc::new(Hook::new(url, secret, user.map(str::to_owned))))
            }
            None => None,
        };
        match user {
            Some(name) => {
                let app = self
                    .app_hook
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let user = self.user(name);
                let mut state = user.state();
                let before = std::mem::replace(&mut state.hook, hook.clone().or(app));
                if let Some(before) = before.filter(|before| before.user.is_some()) {
                    before.close();
                }
            }
            None => {
                let before = std::mem::replace(
                    &mut *self
                        .app_hook
                        .write()
                        .unwrap_or_else(PoisonError::into_inner),
                    hook.clone(),
                );
                for user in self.users() {
                    let mut state = user.state();
                    if state.hook.as_ref().is_none_or(|own| own.user.is_none()) {
                        state.hook.clone_from(&hook);
                    }
                }
                before.iter().for_each(|before| before.close());
            }
        }
        self.new_hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(hook);
        self.hooks_changed.notify_one();
        Ok(())
    }

    pub(crate) fn hook(&self, user: Option<&str>) -> Option<Arc<Hook>> {
        match user {
            Some(user) => self.user(user).state().hook.clone(),
            None => self
                .app_hook
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    pub(crate) fn take_new_hooks(&self) -> Vec<Arc<Hook>> {
        let mut hooks = self
            .new_hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut hooks)
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

    /// Of a medium that comes up.
    pub(crate) fn medium_id(&self) -> String {
        format!("f-{}-{}", self.epoch, self.next_arrival())
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
                Arc::clone(&self.media),
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
