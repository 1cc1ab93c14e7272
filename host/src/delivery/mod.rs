//! Webhook fan-out: every endpoint reads the log through its own cursors and is told each event
//! it subscribed to, at least once and in order per key.
//!
//! One task per endpoint ([`worker`]) owns all of that endpoint's state, so that a slow or dead
//! receiver holds up nobody else. What went well leaves no row; rows (detours) exist for what
//! waits for a retry, waits behind such a one, or was given up. Never looks into an event beyond
//! its type, account and conversation.

mod attempt;
pub mod breaker;
pub mod client;
pub mod clock;
pub mod form;
pub mod lanes;
mod progress;
pub mod schedule;
pub mod select;
pub mod sign;
mod state;
mod window;
mod worker;

pub use client::{Dial, Stream, validate_url};
pub use select::validate_subscriptions;

use crate::domain::EndpointId;
use crate::domain::endpoint::{Endpoint, EndpointState};
use crate::storage::lease::{Epochs, Ownership};
use crate::storage::writer::Writer;
use crate::storage::{StorageError, Store};
use crate::telemetry::{Tracer, metrics};
use clock::{Clock, Jitter, SystemClock, system_jitter};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

#[derive(Clone)]
pub struct Settings {
    /// Requests in flight to one endpoint.
    pub concurrency: usize,
    /// Events of one endpoint in memory, and attempts not recorded yet: what a crash may repeat.
    pub window: usize,
    /// Progress is recorded at least so often.
    pub flush_interval: Duration,
    pub connect_timeout: Duration,
    /// How long a shutdown waits for requests in flight.
    pub grace: Duration,
    pub clock: Arc<dyn Clock>,
    pub jitter: Jitter,
    pub metrics: metrics::Delivery,
    pub tracer: Tracer,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 32,
            window: 4_096,
            flush_interval: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(5),
            grace: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
            jitter: system_jitter(),
            metrics: metrics::Delivery::default(),
            tracer: Tracer::default(),
        }
    }
}

/// How far an endpoint is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Events in the log above the cursors; those that the endpoint does not get count too.
    pub behind: u64,
    /// Events that wait for a retry, or behind one.
    pub detours: usize,
    pub in_flight: usize,
    /// Too many failures in a row: events wait, one at a time probes.
    pub breaker_open: bool,
    pub state: EndpointState,
}

/// All endpoints together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Of the endpoint that is furthest behind.
    pub furthest_behind: u64,
    pub detours: u64,
    pub in_flight: u64,
    pub open_breakers: u64,
    /// How many endpoints are in each state.
    pub states: BTreeMap<&'static str, u64>,
}

/// What every worker needs.
pub(crate) struct Shared {
    pub store: Arc<dyn Store>,
    pub writer: Writer,
    pub dial: Arc<dyn Dial>,
    pub ownership: Arc<Ownership>,
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
}

type Heads = Arc<Vec<u64>>;
type Lags = Arc<Mutex<HashMap<EndpointId, watch::Receiver<Lag>>>>;

/// A handle; clones share it. Deliveries go on until [`Delivery::shutdown`].
#[derive(Clone)]
pub struct Delivery {
    commands: mpsc::UnboundedSender<Command>,
    lags: Lags,
}

enum Command {
    Reload(EndpointId, oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

const RETRY_STORAGE: Duration = Duration::from_secs(1);
/// Endpoints are looked at even if nobody says that they changed, where other hosts may change them.
const LOOK_ENDPOINTS: Duration = Duration::from_secs(15);
/// The log is looked at even if nobody says that it changed.
const POLL_LOG: Duration = Duration::from_secs(5);

impl Delivery {
    /// Starts to deliver to every endpoint there is what happens in the partitions that this host
    /// owns. Needs a running tokio.
    pub fn start(
        store: Arc<dyn Store>,
        writer: Writer,
        dial: Arc<dyn Dial>,
        ownership: Arc<Ownership>,
        settings: Settings,
    ) -> Self {
        let shared = Arc::new(Shared {
            store,
            writer,
            dial,
            ownership,
            clock: settings.clock.clone(),
            settings,
        });
        let (commands, received) = mpsc::unbounded_channel();
        let lags = Lags::default();
        let (heads, _) = watch::channel(Heads::default());
        let (died, dead) = mpsc::unbounded_channel();
        let director = Director {
            follower: tokio::spawn(follow_log(shared.clone(), heads.clone())),
            shared,
            workers: HashMap::new(),
            lags: lags.clone(),
            heads,
            died,
            again: HashSet::new(),
            epochs: Epochs::NONE,
        };
        tokio::spawn(director.run(received, dead));
        Self { commands, lags }
    }

    /// To be called after an endpoint was created, changed or deleted; returns when that is in
    /// effect (requests in flight excepted), or will be as soon as storage answers.
    pub async fn reload(&self, id: &EndpointId) {
        let (done, wait) = oneshot::channel();
        if self
            .commands
            .send(Command::Reload(id.clone(), done))
            .is_ok()
        {
            let _ = wait.await;
        }
    }

    /// Starts no attempt any more, waits for those in flight within the grace, and records what
    /// became of them.
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).is_ok() {
            let _ = wait.await;
        }
    }

    /// None: nothing is known of this endpoint.
    pub fn lag(&self, id: &EndpointId) -> Option<Lag> {
        let lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        lags.get(id).map(|lag| *lag.borrow())
    }

    pub fn summary(&self) -> Summary {
        let lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summary = Summary::default();
        for lag in lags.values().map(|lag| *lag.borrow()) {
            summary.furthest_behind = summary.furthest_behind.max(lag.behind);
            summary.detours += lag.detours as u64;
            summary.in_flight += lag.in_flight as u64;
            summary.open_breakers += u64::from(lag.breaker_open);
            *summary.states.entry(lag.state.as_str()).or_default() += 1;
        }
        summary
    }
}

/// Starts, feeds and ends the workers.
struct Director {
    shared: Arc<Shared>,
    workers: HashMap<EndpointId, worker::Handle>,
    lags: Lags,
    heads: watch::Sender<Heads>,
    follower: JoinHandle<()>,
    /// Where workers that end are told.
    died: mpsc::UnboundedSender<EndpointId>,
    /// To be reloaded a little later: storage did not answer, or the worker died.
    again: HashSet<EndpointId>,
    /// Under which the workers deliver.
    epochs: Epochs,
}

impl Director {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut dead: mpsc::UnboundedReceiver<EndpointId>,
    ) {
        let mut loaded = false;
        let mut owned = self.shared.ownership.changes();
        // Changes that other hosts made and did not tell.
        let alone = self.shared.store.lease_length().is_none();
        let mut look = tokio::time::interval(LOOK_ENDPOINTS);
        loop {
            let epochs = owned.borrow_and_update().epochs;
            if epochs != self.epochs {
                self.begin_anew(epochs).await;
                loaded = false;
            }
            if !loaded {
                loaded = self.load().await;
            }
            let waiting = !loaded || !self.again.is_empty();
            let command = tokio::select! {
                command = commands.recv() => command,
                Some(id) = dead.recv() => {
                    if self.workers.get(&id).is_some_and(worker::Handle::has_ended) {
                        tracing::error!(endpoint = %id, "the worker of an endpoint died, starting it again");
                        self.again.insert(id);
                    }
                    continue;
                }
                changed = owned.changed() => {
                    if changed.is_ok() {
                        continue;
                    }
                    return self.end().await;
                }
                _ = look.tick(), if loaded && !alone => {
                    self.look_for_changes().await;
                    continue;
                }
                () = sleep(RETRY_STORAGE), if waiting => {
                    for id in std::mem::take(&mut self.again) {
                        self.reload(id).await;
                    }
                    continue;
                }
            };
            match command {
                Some(Command::Reload(id, done)) => {
                    self.reload(id).await;
                    let _ = done.send(());
                }
                Some(Command::Shutdown(done)) => {
                    self.end().await;
                    let _ = done.send(());
                    return;
                }
                None => return self.end().await,
            }
        }
    }

    /// Other partitions are ours now: workers begin again from what storage has. What they had in
    /// memory of lost ones must not be recorded, and what they were at is told again.
    async fn begin_anew(&mut self, epochs: Epochs) {
        let lost = !self.epochs.beyond(&epochs).is_empty();
        let workers = std::mem::take(&mut self.workers);
        if lost {
            drop(workers);
        } else {
            let deadline = Instant::now() + self.shared.settings.grace;
            let ends = workers.into_values().map(|worker| worker.end(deadline));
            futures::future::join_all(ends).await;
        }
        self.lags
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.epochs = epochs;
    }

    async fn look_for_changes(&mut self) {
        let endpoints = match self.shared.store.all_endpoints().await {
            Ok(endpoints) => endpoints,
            Err(error) => {
                tracing::debug!(%error, "endpoints cannot be read now");
                return;
            }
        };
        let deleted: Vec<EndpointId> = (self.workers.keys())
            .filter(|id| !endpoints.iter().any(|endpoint| endpoint.id == **id))
            .cloned()
            .collect();
        for id in deleted {
            self.reload(id).await;
        }
        for endpoint in endpoints {
            let known = self.workers.get(&endpoint.id);
            if known.is_none_or(|worker| worker.is_behind(&endpoint)) {
                self.apply(endpoint).await;
            }
        }
    }

    async fn load(&mut self) -> bool {
        if self.epochs.count() == 0 {
            return true;
        }
        match self.shared.store.all_endpoints().await {
            Ok(endpoints) => {
                for endpoint in endpoints {
                    self.apply(endpoint).await;
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "endpoints cannot be read, trying again");
                false
            }
        }
    }

    async fn reload(&mut self, id: EndpointId) {
        match self.read(&id).await {
            Ok(Some(endpoint)) => self.apply(endpoint).await,
            Ok(None) => {
                // Its rows are gone; so there is nothing to record.
                self.workers.remove(&id);
                self.lags
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&id);
            }
            Err(error) => {
                tracing::warn!(endpoint = %id, %error, "an endpoint cannot be read, trying again");
                self.again.insert(id);
            }
        }
    }

    async fn read(&self, id: &EndpointId) -> Result<Option<Endpoint>, StorageError> {
        let store = &self.shared.store;
        if let Some(worker) = self.workers.get(id) {
            return store.endpoint(&worker.workspace, id).await;
        }
        let endpoints = store.all_endpoints().await?;
        Ok(endpoints.into_iter().find(|endpoint| endpoint.id == *id))
    }

    async fn apply(&mut self, endpoint: Endpoint) {
        if self.epochs.count() == 0 {
            return;
        }
        match self.workers.get_mut(&endpoint.id) {
            Some(worker) if !worker.has_ended() => worker.reload(endpoint).await,
            _ => self.spawn(endpoint),
        }
    }

    fn spawn(&mut self, endpoint: Endpoint) {
        let id = endpoint.id.clone();
        let worker = worker::spawn(
            self.shared.clone(),
            endpoint,
            self.epochs,
            self.heads.subscribe(),
            self.died.clone(),
        );
        self.lags
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), worker.lag.clone());
        self.workers.insert(id, worker);
    }

    async fn end(self) {
        self.follower.abort();
        let deadline = Instant::now() + self.shared.settings.grace;
        let ends: Vec<_> = self
            .workers
            .into_values()
            .map(|worker| worker.end(deadline))
            .collect();
        futures::future::join_all(ends).await;
    }
}

/// Tells all workers how far the log goes.
async fn follow_log(shared: Arc<Shared>, heads: watch::Sender<Heads>) {
    let mut changed = shared.writer.log_changed();
    let mut signalled = true;
    loop {
        match shared.store.heads().await {
            Ok(now) => {
                heads.send_if_modified(|before| {
                    let moved = **before != now;
                    *before = Arc::new(now);
                    moved
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the log cannot be read, trying again");
                sleep(RETRY_STORAGE).await;
                continue;
            }
        }
        tokio::select! {
            change = changed.changed(), if signalled => signalled = change.is_ok(),
            () = sleep(POLL_LOG) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
