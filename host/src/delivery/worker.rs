//! One endpoint's deliveries, as one task: reads the log, starts attempts, learns from them and
//! records progress. All waiting (storage, receivers, retries) happens side by side, so that
//! nothing of it holds up the rest.

mod learn;
mod read;
mod record;

use record::Recorded;

use super::attempt::{Config, Job, Report};
use super::breaker::Breaker;
use super::lanes::{Key, Lanes};
use super::progress::Progress;
use super::state::{failing_since, is_active};
use super::window::Window;
use super::{Heads, Lag, Shared};
use crate::domain::endpoint::{Detour, Endpoint, EndpointState};
use crate::domain::event::LoggedEvent;
use crate::domain::{EndpointId, PartitionId, Timestamp, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::lease::Epochs;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// After the deadline of a shutdown, for the last record.
const LAST_RECORD: std::time::Duration = std::time::Duration::from_secs(5);

/// The director's end of a worker. Dropped, it ends the worker at once.
pub(super) struct Handle {
    pub workspace: WorkspaceId,
    pub lag: watch::Receiver<Lag>,
    /// As the worker was last told.
    endpoint: Endpoint,
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
    pub async fn reload(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint.clone();
        let (done, wait) = oneshot::channel();
        let command = Command::Reload(Box::new(endpoint), done);
        if self.commands.send(command).is_ok() {
            let _ = wait.await;
        }
    }

    /// Was the endpoint changed by its owner since the worker was told? What deliveries have shown
    /// of its state is the worker's own.
    pub fn is_behind(&self, endpoint: &Endpoint) -> bool {
        let state = self.lag.borrow().state;
        let known = Endpoint {
            state: endpoint.state,
            state_reason: endpoint.state_reason.clone(),
            ..self.endpoint.clone()
        };
        known != *endpoint || is_active(state) != is_active(endpoint.state)
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
    epochs: Epochs,
    heads: watch::Receiver<Heads>,
    died: mpsc::UnboundedSender<EndpointId>,
) -> Handle {
    let obituary = Obituary {
        endpoint: endpoint.id.clone(),
        died,
    };
    let workspace = endpoint.workspace.clone();
    let known = endpoint.clone();
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
        now: shared.clock.now(),
        failing_since: (endpoint.state == EndpointState::Failing).then(|| {
            let reason = endpoint.state_reason.as_deref();
            reason
                .and_then(failing_since)
                .unwrap_or_else(|| shared.clock.now())
        }),
        config: Arc::new(Config::new(endpoint, &shared, None)),
        shared,
        epochs,
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
        endpoint: known,
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
    /// Of the partitions that it delivers; it sees nothing of the others.
    epochs: Epochs,
    config: Arc<Config>,
    state: EndpointState,
    /// When this round of the loop began: all of a round sees one time.
    now: Timestamp,
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
    flushing: Option<BoxFuture<'static, Recorded>>,
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
    /// Storage refused a record: this worker's picture is not the truth any more.
    Fenced,
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
            self.now = self.shared.clock.now();
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
                // The director starts another one, from what storage has then.
                Happened::Fenced => return,
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
        // A time that had come when this round began woke what it could; looking at it again
        // would spin. One that has come since then ends the wait at once.
        let wake = [self.lanes.next_due(), self.breaker.probe_at()]
            .into_iter()
            .flatten()
            .filter(|at| *at > self.now)
            .min();
        let clock = wake.map(|at| self.shared.clock.sleep_until(at));
        let soon = [
            self.flush_at.filter(|_| self.flushing.is_none()),
            self.read_after,
        ]
        .into_iter()
        .flatten()
        .min();
        tokio::select! {
            Some(ended) = self.attempts.join_next_with_id() => Happened::Attempt(ended),
            read = maybe(self.reading.as_mut()) => Happened::Read(read),
            recorded = maybe(self.flushing.as_mut()) => match recorded {
                Recorded::Done => Happened::Flushed,
                Recorded::Fenced => Happened::Fenced,
            },
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

    fn is_active(&self) -> bool {
        is_active(self.state) && self.ending.is_none()
    }

    /// What a crash would repeat although it was done.
    fn unrecorded(&self) -> usize {
        self.progress.attempts() + self.flushing_attempts + self.attempts.len()
    }

    fn start_attempts(&mut self) {
        let now = self.now;
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
                epoch: self.epochs.of(entry.partition),
                key: key.clone(),
                entry,
                config: self.config.clone(),
                shared: self.shared.clone(),
            };
            let task = self.attempts.spawn(job.run());
            self.running.insert(task.id(), key);
        }
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

/// What is not there never ends.
async fn maybe<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
