//! One endpoint's deliveries, as one task: reads the log, starts attempts, learns from them and
//! records progress. All waiting (storage, receivers, retries) happens side by side, so that
//! nothing of it holds up the rest.

mod learn;

use super::attempt::{Config, Job, Report};
use super::breaker::Breaker;
use super::lanes::{Entry, Key, Lanes};
use super::progress::Progress;
use super::state::{failing_since, is_active, save};
use super::window::Window;
use super::{Heads, Lag, RETRY_STORAGE, Shared};
use crate::domain::endpoint::{Detour, Endpoint, EndpointState};
use crate::domain::event::LoggedEvent;
use crate::domain::{EndpointId, PartitionId, Timestamp, WorkspaceId};
use crate::storage::{DeliveryProgress, StorageError, Write};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

/// Events of one read.
const READ_LIMIT: usize = 256;
/// While only a probe may go, the log is read in small steps to find one.
const PROBE_READ_LIMIT: usize = 16;
/// Bodies in memory; above, reading waits.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Rows that wait; above, reading waits.
const MAX_DETOURS: usize = 100_000;
/// Changes that are recorded without waiting for the interval.
const FLUSH_AT: usize = 256;
/// After the deadline of a shutdown, for the last record.
const LAST_RECORD: std::time::Duration = std::time::Duration::from_secs(5);

/// The director's end of a worker. Dropped, it ends the worker at once.
pub(super) struct Handle {
    pub workspace: WorkspaceId,
    pub lag: watch::Receiver<Lag>,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

enum Command {
    Reload(Box<Endpoint>, oneshot::Sender<()>),
    /// No new attempts; those in flight end until then.
    End(Instant),
}

impl Handle {
    /// Returns when it is in effect, or the worker is dead.
    pub async fn reload(&self, endpoint: Endpoint) {
        let (done, wait) = oneshot::channel();
        let command = Command::Reload(Box::new(endpoint), done);
        if self.commands.send(command).is_ok() {
            let _ = wait.await;
        }
    }

    /// Its commands are read no more.
    pub fn has_ended(&self) -> bool {
        self.commands.is_closed()
    }

    pub async fn end(mut self, deadline: Instant) {
        let _ = self.commands.send(Command::End(deadline));
        let _ = tokio::time::timeout_at(deadline + LAST_RECORD, &mut self.task).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn spawn(
    shared: Arc<Shared>,
    endpoint: Endpoint,
    heads: watch::Receiver<Heads>,
    died: mpsc::UnboundedSender<EndpointId>,
) -> Handle {
    let obituary = Obituary {
        endpoint: endpoint.id.clone(),
        died,
    };
    let workspace = endpoint.workspace.clone();
    let (commands, received) = mpsc::unbounded_channel();
    let (publish, lag) = watch::channel(Lag {
        behind: 0,
        detours: 0,
        in_flight: 0,
        breaker_open: false,
        state: endpoint.state,
    });
    let worker = Worker {
        state: endpoint.state,
        failing_since: (endpoint.state == EndpointState::Failing).then(|| {
            let reason = endpoint.state_reason.as_deref();
            reason
                .and_then(failing_since)
                .unwrap_or_else(|| shared.clock.now())
        }),
        config: Arc::new(Config::new(endpoint, &shared, None)),
        shared,
        lanes: Lanes::default(),
        window: Window::new(&[]),
        above: BTreeMap::new(),
        breaker: Breaker::default(),
        attempts: JoinSet::new(),
        running: HashMap::new(),
        reading: None,
        read_after: None,
        skip: false,
        progress: Progress::default(),
        flushing: None,
        flushing_attempts: 0,
        flush_at: None,
        unsaved: None,
        saving: None,
        commands: received,
        ending: None,
        heads,
        log_ended: false,
        publish,
    };
    Handle {
        workspace,
        lag,
        commands,
        task: tokio::spawn(async move {
            let _obituary = obituary;
            worker.run().await;
        }),
    }
}

/// Tells the director that a worker is gone, however that came.
struct Obituary {
    endpoint: EndpointId,
    died: mpsc::UnboundedSender<EndpointId>,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        let _ = self.died.send(self.endpoint.clone());
    }
}

struct Worker {
    shared: Arc<Shared>,
    config: Arc<Config>,
    state: EndpointState,
    /// Of the first failure after the last success.
    failing_since: Option<Timestamp>,

    lanes: Lanes,
    window: Window,
    /// Rows above the cursors, as the last process left them: they join their lanes when reading
    /// comes to them, so that nothing of their key overtakes.
    above: BTreeMap<(PartitionId, u64), Detour>,
    breaker: Breaker,
    attempts: JoinSet<Report>,
    /// By task, so that even one that panics frees its lane.
    running: HashMap<tokio::task::Id, Key>,

    reading: Option<BoxFuture<'static, Result<Read, StorageError>>>,
    /// Not before this, after an error.
    read_after: Option<Instant>,
    /// The cursors go to the heads before anything is read.
    skip: bool,

    progress: Progress,
    flushing: Option<BoxFuture<'static, ()>>,
    flushing_attempts: usize,
    flush_at: Option<Instant>,

    /// A state that storage does not have yet.
    unsaved: Option<(EndpointState, Option<String>)>,
    saving: Option<BoxFuture<'static, ()>>,

    commands: mpsc::UnboundedReceiver<Command>,
    ending: Option<Instant>,
    heads: watch::Receiver<Heads>,
    log_ended: bool,
    publish: watch::Sender<Lag>,
}

enum Read {
    Events {
        partition: PartitionId,
        /// The head that was known before the read.
        head: u64,
        events: Vec<LoggedEvent>,
    },
    /// Heads to skip to.
    Heads(Vec<u64>),
}

enum Happened {
    Attempt(Result<(tokio::task::Id, Report), tokio::task::JoinError>),
    Read(Result<Read, StorageError>),
    Flushed,
    Saved,
    Command(Option<Command>),
    Log(bool),
    Time,
    Deadline,
}

impl Worker {
    async fn run(mut self) {
        if !self.load().await {
            return;
        }
        loop {
            self.start_attempts();
            self.start_read();
            self.start_flush();
            self.start_save();
            self.publish_lag();
            if self.ending.is_some() && self.is_finished() {
                return;
            }
            match self.next().await {
                Happened::Attempt(Ok((task, report))) => {
                    self.running.remove(&task);
                    self.learn(report);
                }
                Happened::Attempt(Err(error)) => self.attempt_died(&error),
                Happened::Read(read) => self.take_read(read),
                Happened::Flushed => {
                    self.flushing = None;
                    self.flushing_attempts = 0;
                }
                Happened::Saved => self.saving = None,
                Happened::Command(Some(Command::Reload(endpoint, done))) => {
                    self.reload(*endpoint);
                    let _ = done.send(());
                }
                Happened::Command(Some(Command::End(deadline))) => self.ending = Some(deadline),
                Happened::Command(None) => return,
                Happened::Log(ended) => self.log_ended = ended,
                Happened::Time => {}
                Happened::Deadline => {
                    self.attempts.abort_all();
                    self.attempts.detach_all();
                    self.running.clear();
                }
            }
        }
    }

    async fn next(&mut self) -> Happened {
        let now = self.shared.clock.now();
        // A time that has come already woke what it could; looking at it again would spin.
        let wake = [self.lanes.next_due(), self.breaker.probe_at()]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min();
        let clock = wake.map(|at| self.shared.clock.sleep_until(at));
        let soon = [
            self.flush_at.filter(|_| self.flushing.is_none()),
            self.read_after.filter(|after| *after > Instant::now()),
        ]
        .into_iter()
        .flatten()
        .min();
        tokio::select! {
            Some(ended) = self.attempts.join_next_with_id() => Happened::Attempt(ended),
            read = maybe(self.reading.as_mut()) => Happened::Read(read),
            () = maybe(self.flushing.as_mut()) => Happened::Flushed,
            () = maybe(self.saving.as_mut()) => Happened::Saved,
            command = self.commands.recv() => Happened::Command(command),
            change = self.heads.changed(), if !self.log_ended => Happened::Log(change.is_err()),
            () = maybe(clock) => Happened::Time,
            () = maybe(soon.map(sleep_until)) => Happened::Time,
            () = maybe(self.ending.map(sleep_until)), if !self.attempts.is_empty() => {
                Happened::Deadline
            }
        }
    }

    /// False: the worker was told to end meanwhile.
    async fn load(&mut self) -> bool {
        let (shared, config) = (self.shared.clone(), self.config.clone());
        let (store, id) = (&shared.store, &config.endpoint.id);
        let loaded = async {
            loop {
                match tokio::try_join!(store.cursors(id), store.detours(id)) {
                    Ok(loaded) => return loaded,
                    Err(error) => {
                        tracing::warn!(endpoint = %id, %error, "cursors cannot be read, trying again");
                        sleep(RETRY_STORAGE).await;
                    }
                }
            }
        };
        tokio::pin!(loaded);
        let (cursors, detours) = loop {
            tokio::select! {
                loaded = &mut loaded => break loaded,
                command = self.commands.recv() => match command {
                    Some(Command::Reload(endpoint, done)) => {
                        self.reload(*endpoint);
                        let _ = done.send(());
                    }
                    Some(Command::End(_)) | None => return false,
                },
            }
        };
        self.window = Window::new(&cursors);
        for detour in detours {
            let cursor = cursors
                .get(usize::from(detour.partition.0))
                .copied()
                .unwrap_or_default();
            if detour.offset > cursor {
                self.above.insert((detour.partition, detour.offset), detour);
            } else {
                self.rejoin(&detour);
            }
        }
        true
    }

    fn rejoin(&mut self, detour: &Detour) {
        self.lanes
            .push(Key::of_detour(detour), Entry::of_detour(detour));
    }

    fn is_active(&self) -> bool {
        is_active(self.state) && self.ending.is_none()
    }

    /// What a crash would repeat although it was done.
    fn unrecorded(&self) -> usize {
        self.progress.attempts() + self.flushing_attempts + self.attempts.len()
    }

    fn start_attempts(&mut self) {
        let now = self.shared.clock.now();
        self.lanes.wake(now);
        if !self.is_active() {
            return;
        }
        let settings = &self.shared.settings;
        while self.attempts.len() < settings.concurrency
            && self.unrecorded() < settings.window
            && self.breaker.allows(now)
        {
            let probes = !self.breaker.is_closed();
            let Some((key, entry)) = self.lanes.take(probes) else {
                return;
            };
            self.breaker.started();
            let job = Job {
                key: key.clone(),
                entry,
                config: self.config.clone(),
                shared: self.shared.clone(),
            };
            let task = self.attempts.spawn(job.run());
            self.running.insert(task.id(), key);
        }
    }

    fn start_read(&mut self) {
        if self.reading.is_some() || !self.is_active() {
            return;
        }
        if self.read_after.is_some_and(|after| Instant::now() < after) {
            return;
        }
        self.read_after = None;
        let store = self.shared.store.clone();
        if self.skip {
            self.reading = Some(Box::pin(
                async move { store.heads().await.map(Read::Heads) },
            ));
            return;
        }
        let room = self
            .shared
            .settings
            .window
            .saturating_sub(self.window.events());
        let limit = if self.breaker.is_closed() {
            room.min(READ_LIMIT)
        } else if self.breaker.allows(self.shared.clock.now()) && !self.lanes.has_ready() {
            room.min(PROBE_READ_LIMIT)
        } else {
            0
        };
        if limit == 0 || self.window.bytes() >= MAX_BYTES || self.lanes.detours() >= MAX_DETOURS {
            return;
        }
        let heads = self.heads.borrow_and_update().clone();
        let Some((partition, after)) = self.window.behind(&heads) else {
            return;
        };
        let head = heads
            .get(usize::from(partition.0))
            .copied()
            .unwrap_or(after);
        let workspace = self.config.endpoint.workspace.clone();
        self.reading = Some(Box::pin(async move {
            let events = store
                .read_events(&workspace, partition, after, limit as u32)
                .await?;
            Ok(Read::Events {
                partition,
                head,
                events,
            })
        }));
    }

    fn take_read(&mut self, read: Result<Read, StorageError>) {
        self.reading = None;
        match read {
            Ok(Read::Events {
                partition,
                head,
                events,
            }) => {
                if events.is_empty() {
                    // What is not in this workspace's log up to there never will be.
                    self.pass(partition, head);
                    self.window.read_to(partition, head);
                }
                for event in events {
                    self.admit(partition, event);
                }
            }
            Ok(Read::Heads(heads)) => {
                for (partition, head) in PartitionId::all().zip(heads) {
                    self.window.read_to(partition, head);
                }
                for detour in std::mem::take(&mut self.above).into_values() {
                    self.rejoin(&detour);
                }
                self.skip = false;
            }
            Err(error) => {
                let endpoint = &self.config.endpoint.id;
                tracing::warn!(%endpoint, %error, "the log cannot be read, trying again");
                self.read_after = Some(Instant::now() + RETRY_STORAGE);
            }
        }
    }

    fn admit(&mut self, partition: PartitionId, event: LoggedEvent) {
        let offset = event.offset;
        self.pass(partition, offset.saturating_sub(1));
        if let Some(detour) = self.above.remove(&(partition, offset)) {
            self.rejoin(&detour);
        } else if self
            .config
            .selector
            .wants(&event.kind, &event.account)
            .any()
        {
            let key = Key::of(self.config.endpoint.ordering, partition, &event);
            let bytes = event.body.len();
            match self.lanes.push(key.clone(), Entry::fresh(partition, event)) {
                Some(row) => self.put_row(&key, &row, None),
                None => self.window.open(partition, offset, bytes),
            }
        }
        self.window.read_to(partition, offset);
    }

    /// Rows up to there whose events the log does not have any more.
    fn pass(&mut self, partition: PartitionId, offset: u64) {
        while let Some((&(at, first), _)) = self.above.range((partition, 0)..).next()
            && at == partition
            && first <= offset
        {
            self.above.remove(&(at, first));
            self.progress.done(at, first);
        }
    }

    fn start_flush(&mut self) {
        if self.progress.is_empty() && !self.window.has_moved() {
            return;
        }
        let at = *self
            .flush_at
            .get_or_insert_with(|| Instant::now() + self.shared.settings.flush_interval);
        let due = self.ending.is_some() || self.progress.len() >= FLUSH_AT || at <= Instant::now();
        if !due || self.flushing.is_some() {
            return;
        }
        self.flush_at = None;
        self.flushing_attempts = self.progress.attempts();
        let batch = self
            .progress
            .take(&self.config.endpoint.id, self.window.moved());
        self.flushing = Some(Box::pin(record(self.shared.clone(), batch)));
    }

    fn start_save(&mut self) {
        if self.saving.is_some() {
            return;
        }
        let Some((state, reason)) = self.unsaved.take() else {
            return;
        };
        let (shared, config) = (self.shared.clone(), self.config.clone());
        self.saving = Some(Box::pin(async move {
            while let Err(error) =
                save(&*shared.store, &config.endpoint, state, reason.clone()).await
            {
                let endpoint = &config.endpoint.id;
                tracing::warn!(%endpoint, %error, "the endpoint's state cannot be saved, trying again");
                sleep(RETRY_STORAGE).await;
            }
        }));
    }

    fn publish_lag(&self) {
        let lag = Lag {
            behind: self.window.lag(&self.heads.borrow()),
            detours: self.lanes.detours() + self.above.len(),
            in_flight: self.attempts.len(),
            breaker_open: !self.breaker.is_closed(),
            state: self.state,
        };
        self.publish.send_if_modified(|before| {
            let changed = *before != lag;
            *before = lag;
            changed
        });
    }

    fn is_finished(&self) -> bool {
        self.attempts.is_empty()
            && self.flushing.is_none()
            && self.saving.is_none()
            && self.progress.is_empty()
            && !self.window.has_moved()
    }
}

/// Until storage has taken it. Nothing in a batch minds being recorded twice.
async fn record(shared: Arc<Shared>, batch: DeliveryProgress) {
    loop {
        let (done, wait) = oneshot::channel();
        let write = Write::Delivery(Box::new(batch.clone()));
        shared.writer.submit(
            write,
            Box::new(move |written| {
                let _ = done.send(written.map_err(|error| error.to_string()));
            }),
        );
        match wait.await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => tracing::warn!(%error, "progress cannot be recorded, trying again"),
            Err(_) => tracing::warn!("the writer dropped a record of progress, trying again"),
        }
        sleep(RETRY_STORAGE).await;
    }
}

/// What is not there never ends.
async fn maybe<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
