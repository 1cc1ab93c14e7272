//! The writer: everything that waits goes into one transaction.
//!
//! Where the store takes several groups at once there are as many *lanes*, each with a queue and a
//! thread of its own. A lane takes whole partitions, so that the writes of an account stay in order;
//! a step of delivery goes by its endpoint, so that cursors and detours of an endpoint stay in
//! order and together.
//!
//! Owns grouping and retry. Account commits are retried until the database takes them (their
//! accounts freeze meanwhile, and order is kept); a client's send is refused instead, since nobody
//! was promised anything yet. Must never reorder writes, drop an account's commit, or answer before
//! the commit.
//!
//! A lane is a thread of its own with a runtime of its own. Sealing and binding what a group holds is
//! CPU time that would stand in the way of API requests on a shared runtime, and a runtime that is
//! busy with guests' turns must not make every commit wait for its turn.

mod worker;

use self::worker::Worker;
use super::{RequestWrite, StorageError, Store, Write, Written};
use crate::telemetry::metrics;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Called once, on the writer's thread, with what became of the write. Must not block. Those of a
/// group are called in the order of the writes.
pub type Done = Box<dyn FnOnce(Result<Written, StorageError>) + Send>;

/// Bounds of the writer.
#[derive(Clone)]
pub struct WriterSettings {
    /// Entries of one transaction.
    pub group_entries: usize,
    /// Bytes of one transaction, about.
    pub group_bytes: usize,
    /// When more entries or bytes wait, sends and deliveries are refused; accounts' commits are
    /// always taken (their number is bounded by the accounts' run-ahead).
    pub queue_entries: usize,
    pub queue_bytes: usize,
    /// Pauses between attempts grow from the first to the last.
    pub first_pause: Duration,
    pub last_pause: Duration,
    /// How long a shutdown tries to write what waits while the database refuses.
    pub shutdown_patience: Duration,
    /// The database is tidied at least so often, and between two steps comes a pause.
    pub tidy_interval: Duration,
    pub tidy_pause: Duration,
    pub metrics: metrics::Writer,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            group_entries: 2_000,
            group_bytes: 8 * 1024 * 1024,
            queue_entries: 50_000,
            queue_bytes: 128 * 1024 * 1024,
            first_pause: Duration::from_millis(50),
            last_pause: Duration::from_secs(1),
            shutdown_patience: Duration::from_secs(10),
            tidy_interval: Duration::from_secs(30),
            tidy_pause: Duration::from_millis(20),
            metrics: metrics::Writer::default(),
        }
    }
}

/// A handle to the writer; clones share it. When the last one is gone, the writer writes what
/// waits and ends.
#[derive(Clone)]
pub struct Writer {
    lanes: Arc<[mpsc::UnboundedSender<Message>]>,
    shared: Arc<Shared>,
}

/// What handles and the lanes' threads see.
struct Shared {
    settings: WriterSettings,
    entries: AtomicUsize,
    bytes: AtomicUsize,
    /// Why the database refuses, by lane.
    trouble: Mutex<Vec<Option<String>>>,
    log: watch::Sender<u64>,
}

enum Message {
    Write(Entry),
    /// The queue was full.
    Refused(Done),
    Shutdown(oneshot::Sender<()>),
}

struct Entry {
    write: Write,
    bytes: usize,
    since: Instant,
    done: Done,
}

impl Writer {
    /// Starts the lanes' threads.
    pub fn start(store: Arc<dyn Store>, settings: WriterSettings) -> Self {
        let count = store.writers().max(1);
        let shared = Arc::new(Shared {
            settings,
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            trouble: Mutex::new(vec![None; count]),
            log: watch::channel(0).0,
        });
        let lanes = (0..count)
            .map(|lane| {
                let (queue, receiver) = mpsc::unbounded_channel();
                let worker = Worker::new(lane, store.clone(), shared.clone(), receiver);
                std::thread::Builder::new()
                    .name(format!("anyport-write-{lane}"))
                    .spawn(move || {
                        tokio::runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()
                            .expect("a runtime for the writer")
                            .block_on(worker.run());
                    })
                    .expect("a thread for the writer");
                queue
            })
            .collect();
        Self { lanes, shared }
    }

    /// Queues a write. Those of one account are committed in the order of the calls. After
    /// [`Self::shutdown`] the answer is an error, and `done` is called by this thread.
    pub fn submit(&self, write: Write, done: Done) {
        let shared = &self.shared;
        let lane = lane_of(&write, self.lanes.len());
        let bytes = size_of_write(&write);
        let full = shared.entries.load(Ordering::Relaxed) >= shared.settings.queue_entries
            || shared.bytes.load(Ordering::Relaxed) >= shared.settings.queue_bytes;
        let message = if full && !matches!(write, Write::Account(_)) {
            Message::Refused(done)
        } else {
            shared.count(bytes);
            Message::Write(Entry {
                write,
                bytes,
                since: Instant::now(),
                done,
            })
        };
        if let Err(mpsc::error::SendError(message)) = self.lanes[lane].send(message) {
            match message {
                Message::Write(entry) => {
                    shared.count_off(entry.bytes);
                    answer(entry.done, Err(shutting_down()));
                }
                Message::Refused(done) => answer(done, Err(shutting_down())),
                Message::Shutdown(_) => {}
            }
        }
    }

    /// Queues a write and waits for its answer. The write is made even if nobody waits any more.
    pub async fn write(&self, write: Write) -> Result<Written, StorageError> {
        let (sender, receiver) = oneshot::channel();
        self.submit(
            write,
            Box::new(move |result| {
                let _ = sender.send(result);
            }),
        );
        receiver.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// Changes whenever events were appended: what reads the log waits on it.
    pub fn log_changed(&self) -> watch::Receiver<u64> {
        self.shared.log.subscribe()
    }

    /// Another host appended to the log.
    pub fn log_was_appended(&self) {
        self.shared.log.send_modify(|count| *count += 1);
    }

    /// Is the database refusing writes right now, and why? `/v1/messages` answers 503 while it does.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock_trouble().iter().flatten().next().cloned()
    }

    /// Takes no more writes, writes what waits, and ends. While the database refuses, it tries for
    /// [`WriterSettings::shutdown_patience`] and then answers what is left with the error.
    pub async fn shutdown(&self) {
        let mut ends = Vec::new();
        for lane in self.lanes.iter() {
            let (sender, receiver) = oneshot::channel();
            if lane.send(Message::Shutdown(sender)).is_ok() {
                ends.push(receiver);
            }
        }
        for end in ends {
            let _ = end.await;
        }
    }
}

impl Shared {
    fn lock_trouble(&self) -> std::sync::MutexGuard<'_, Vec<Option<String>>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry joins the queue.
    fn count(&self, bytes: usize) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.settings.metrics.waiting.inc();
        self.settings.metrics.waiting_bytes.inc_by(bytes as i64);
    }

    /// An entry leaves the queue.
    fn count_off(&self, bytes: usize) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.settings.metrics.waiting.dec();
        self.settings.metrics.waiting_bytes.dec_by(bytes as i64);
    }
}

fn shutting_down() -> StorageError {
    StorageError::Unavailable("the host is shutting down".to_owned())
}

/// A callback that panics must not take the writer along.
fn answer(done: Done, result: Result<Written, StorageError>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("what waited for a write panicked");
    }
}

/// Always the same for one partition, and for one endpoint.
fn lane_of(write: &Write, lanes: usize) -> usize {
    let number = match write {
        Write::Account(commit) => usize::from(commit.partition.0),
        Write::RecordSend(record) => usize::from(record.partition.0),
        Write::Delivery(progress) => {
            let endpoints = progress.cursors.iter().map(|(endpoint, ..)| endpoint);
            let endpoint = endpoints
                .chain(progress.detours.iter().map(|detour| &detour.endpoint))
                .chain(progress.done.iter().map(|(endpoint, ..)| endpoint))
                .chain(progress.attempts.iter().map(|attempt| &attempt.endpoint))
                .next();
            endpoint.map_or(0, |endpoint| {
                let bytes = endpoint.as_str().bytes();
                bytes.fold(0_usize, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(byte.into())
                })
            })
        }
    };
    number % lanes
}

/// About what it takes in memory and in the transaction.
fn size_of_write(write: &Write) -> usize {
    const ROW: usize = 200;
    match write {
        Write::Account(commit) => {
            let events: usize = commit
                .events
                .iter()
                .map(|event| event.body.len() + ROW)
                .sum();
            let kv: usize = commit
                .kv
                .iter()
                .map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len) + ROW)
                .sum();
            let timers: usize = commit
                .timers
                .iter()
                .map(|write| write.timer.as_ref().map_or(0, |timer| timer.context.len()) + ROW)
                .sum();
            let requests: usize = commit
                .requests
                .iter()
                .map(|write| match write {
                    RequestWrite::Put { request, .. } => request.len() + ROW,
                    RequestWrite::Started { .. } | RequestWrite::Remove { .. } => ROW,
                })
                .sum();
            let blobs: usize = commit.blobs.iter().map(|write| write.bytes() + ROW).sum();
            ROW + events
                + kv
                + timers
                + requests
                + blobs
                + (commit.sends.len() + commit.secrets.len()) * 2 * ROW
        }
        Write::RecordSend(record) => {
            let content = match &record.outgoing.content {
                crate::domain::send::Content::Text { text, .. } => text.len(),
                crate::domain::send::Content::Media { media, caption } => {
                    let caption = caption.as_ref().map_or(0, |caption| caption.text.len());
                    caption + media.len() * ROW
                }
                crate::domain::send::Content::Contacts { contacts } => contacts.len() * ROW,
                crate::domain::send::Content::Forward { .. } => ROW,
            };
            4 * ROW + content
        }
        Write::Delivery(progress) => {
            let attempts: usize = progress
                .attempts
                .iter()
                .map(|attempt| attempt.response.len() + ROW)
                .sum();
            ROW * (1 + progress.cursors.len() + progress.detours.len() + progress.done.len())
                + attempts
        }
    }
}
