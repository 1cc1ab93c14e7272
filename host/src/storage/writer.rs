//! The one writer: everything that waits goes into one transaction.
//!
//! Owns grouping and retry. Account commits are retried until the database takes them (their
//! accounts freeze meanwhile, and order is kept); a client's send is refused instead, since nobody
//! was promised anything yet. Must never reorder writes, drop an account's commit, or answer before
//! the commit.
//!
//! It is a thread of its own with a runtime of its own. Sealing and binding what a group holds is
//! CPU time that would stand in the way of API requests on a shared runtime, and a runtime that is
//! busy with guests' turns must not make every commit wait for its turn.

use super::{StorageError, Store, Write, Written};
use crate::domain::SendId;
use std::collections::VecDeque;
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
#[derive(Clone, Debug)]
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
        }
    }
}

/// A handle to the writer; clones share it. When the last one is gone, the writer writes what
/// waits and ends.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
}

/// What handles and the writer's thread both see.
struct Shared {
    settings: WriterSettings,
    entries: AtomicUsize,
    bytes: AtomicUsize,
    trouble: Mutex<Option<String>>,
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
    done: Done,
}

impl Writer {
    /// Starts the writer's thread.
    pub fn start(store: Arc<dyn Store>, settings: WriterSettings) -> Self {
        let (queue, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            settings,
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            trouble: Mutex::new(None),
            log: watch::channel(0).0,
        });
        let worker = Worker {
            store,
            shared: shared.clone(),
            receiver,
            waiting: VecDeque::new(),
            to_withdraw: Vec::new(),
            refusing: None,
            untidied: 0,
            patience_ends: None,
            shutdowns: Vec::new(),
        };
        std::thread::Builder::new()
            .name("anyport-writer".to_owned())
            .spawn(move || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime for the writer")
                    .block_on(worker.run());
            })
            .expect("a thread for the writer");
        Self { queue, shared }
    }

    /// Queues a write. Those of one account are committed in the order of the calls. After
    /// [`Self::shutdown`] the answer is an error, and `done` is called by this thread.
    pub fn submit(&self, write: Write, done: Done) {
        let shared = &self.shared;
        let bytes = size_of_write(&write);
        let full = shared.entries.load(Ordering::Relaxed) >= shared.settings.queue_entries
            || shared.bytes.load(Ordering::Relaxed) >= shared.settings.queue_bytes;
        let message = if full && !matches!(write, Write::Account(_)) {
            Message::Refused(done)
        } else {
            shared.entries.fetch_add(1, Ordering::Relaxed);
            shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            Message::Write(Entry { write, bytes, done })
        };
        if let Err(mpsc::error::SendError(message)) = self.queue.send(message) {
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

    /// Is the database refusing writes right now, and why? `/v1/messages` answers 503 while it does.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock_trouble().clone()
    }

    /// Takes no more writes, writes what waits, and ends. While the database refuses, it tries for
    /// [`WriterSettings::shutdown_patience`] and then answers what is left with the error.
    pub async fn shutdown(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.queue.send(Message::Shutdown(sender)).is_ok() {
            let _ = receiver.await;
        }
    }
}

impl Shared {
    fn lock_trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry leaves the queue.
    fn count_off(&self, bytes: usize) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn shutting_down() -> StorageError {
    StorageError::Unavailable("the host is shutting down".to_owned())
}

fn queue_full() -> StorageError {
    StorageError::Unavailable("too many writes wait".to_owned())
}

/// A callback that panics must not take the writer along.
fn answer(done: Done, result: Result<Written, StorageError>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("what waited for a write panicked");
    }
}

fn again(error: &StorageError) -> StorageError {
    match error {
        StorageError::Unavailable(text) => StorageError::Unavailable(text.clone()),
        StorageError::Conflict(conflict) => StorageError::Conflict(*conflict),
        StorageError::Unusable(text) => StorageError::Unusable(text.clone()),
    }
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
            ROW + events + kv + timers + (commit.sends.len() + commit.secrets.len()) * 2 * ROW
        }
        Write::RecordSend(record) => {
            let content = match &record.outgoing.content {
                crate::domain::send::Content::Text { text, .. } => text.len(),
                crate::domain::send::Content::Contacts { contacts } => contacts.len() * ROW,
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

/// The thread's side.
struct Worker {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    receiver: mpsc::UnboundedReceiver<Message>,
    waiting: VecDeque<Entry>,
    /// Sends that were refused after an attempt that may have recorded them.
    to_withdraw: Vec<SendId>,
    /// Why sends are refused now.
    refusing: Option<StorageError>,
    /// Entries since the last tidying.
    untidied: usize,
    patience_ends: Option<Instant>,
    shutdowns: Vec<oneshot::Sender<()>>,
}

/// What one transaction is to take, and who waits for it.
struct Group {
    writes: Vec<Write>,
    waiting: Vec<(usize, Done)>,
}

impl Worker {
    async fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                match self.receiver.recv().await {
                    Some(message) => self.accept(message),
                    None => break,
                }
            }
            while let Ok(message) = self.receiver.try_recv() {
                self.accept(message);
            }
            let group = self.next_group();
            if !group.writes.is_empty() {
                self.untidied += group.writes.len();
                self.settle(group).await;
            }
            self.tidy().await;
        }
        for sender in self.shutdowns {
            let _ = sender.send(());
        }
    }

    fn accept(&mut self, message: Message) {
        match message {
            Message::Write(entry) => match &self.refusing {
                Some(error) if matches!(entry.write, Write::RecordSend(_)) => {
                    self.shared.count_off(entry.bytes);
                    answer(entry.done, Err(again(error)));
                }
                _ => self.waiting.push_back(entry),
            },
            Message::Refused(done) => answer(done, Err(queue_full())),
            Message::Shutdown(sender) => {
                self.receiver.close();
                self.shutdowns.push(sender);
                self.begin_patience();
            }
        }
    }

    fn next_group(&mut self) -> Group {
        let mut group = Group {
            writes: Vec::new(),
            waiting: Vec::new(),
        };
        let mut bytes = 0;
        while group.writes.len() < self.shared.settings.group_entries
            && bytes < self.shared.settings.group_bytes
            && let Some(entry) = self.waiting.pop_front()
        {
            bytes += entry.bytes;
            group.writes.push(entry.write);
            group.waiting.push((entry.bytes, entry.done));
        }
        group
    }

    /// Writes a group, however long it takes. Where the database refuses it with an error that
    /// waiting does not mend, each entry is tried on its own, so that only the one it comes from
    /// gets the error.
    async fn settle(&mut self, group: Group) {
        let Err((group, error)) = self.write_group(group).await else {
            return;
        };
        tracing::error!(%error, entries = group.writes.len(), "a commit failed");
        if group.writes.len() == 1 {
            return self.give_up(group, &error);
        }
        for (write, waiting) in group.writes.into_iter().zip(group.waiting) {
            let single = Group {
                writes: vec![write],
                waiting: vec![waiting],
            };
            if let Err((single, error)) = self.write_group(single).await {
                tracing::error!(%error, "a write failed");
                self.give_up(single, &error);
            }
        }
    }

    /// Tries until the database takes the group. Gives it back with an error that waiting does not
    /// mend; such an error left nothing behind.
    async fn write_group(&mut self, mut group: Group) -> Result<(), (Group, StorageError)> {
        let mut pause = self.shared.settings.first_pause;
        let mut retry = false;
        loop {
            let started = Instant::now();
            let error = match self.attempt(&group, retry).await {
                Ok(written) => {
                    tracing::debug!(
                        entries = written.len(),
                        duration_us = started.elapsed().as_micros() as u64,
                        waiting = self.waiting.len(),
                        "committed a group"
                    );
                    self.good();
                    self.answer_group(group, written);
                    return Ok(());
                }
                Err(error @ StorageError::Unavailable(_)) => error,
                Err(error) => return Err((group, error)),
            };
            if !retry {
                tracing::warn!(%error, entries = group.writes.len(), "the database refuses writes");
            }
            retry = true;
            *self.shared.lock_trouble() = Some(error.to_string());
            self.refuse_sends(&mut group, error);
            if group.writes.is_empty() && self.to_withdraw.is_empty() {
                return Ok(());
            }
            if self.patience_ends.is_some_and(|end| Instant::now() >= end) {
                let error = self.refusing.take().unwrap_or_else(shutting_down);
                self.to_withdraw.clear();
                self.give_up(group, &error);
                return Ok(());
            }
            self.pause(pause).await;
            pause = (pause * 2).min(self.shared.settings.last_pause);
        }
    }

    fn give_up(&self, group: Group, error: &StorageError) {
        for (bytes, done) in group.waiting {
            self.shared.count_off(bytes);
            answer(done, Err(again(error)));
        }
    }

    /// First takes back what was refused, so that a client that asks again with the same
    /// idempotency key finds it free.
    async fn attempt(&mut self, group: &Group, retry: bool) -> Result<Vec<Written>, StorageError> {
        if !self.to_withdraw.is_empty() {
            self.store.withdraw_sends(&self.to_withdraw).await?;
            self.to_withdraw.clear();
        }
        if group.writes.is_empty() {
            return Ok(Vec::new());
        }
        self.store.commit(&group.writes, retry).await
    }

    /// Clients do not wait for a database that is away. Those in the group were attempted, those
    /// that wait were not; those that come from now on are refused at once.
    fn refuse_sends(&mut self, group: &mut Group, error: StorageError) {
        let writes = std::mem::take(&mut group.writes);
        let waiting = std::mem::take(&mut group.waiting);
        for (write, (bytes, done)) in writes.into_iter().zip(waiting) {
            if let Write::RecordSend(record) = &write {
                self.to_withdraw.push(record.id);
                self.shared.count_off(bytes);
                answer(done, Err(again(&error)));
            } else {
                group.writes.push(write);
                group.waiting.push((bytes, done));
            }
        }
        if self.refusing.is_none() {
            for entry in std::mem::take(&mut self.waiting) {
                if matches!(entry.write, Write::RecordSend(_)) {
                    self.shared.count_off(entry.bytes);
                    answer(entry.done, Err(again(&error)));
                } else {
                    self.waiting.push_back(entry);
                }
            }
        }
        self.refusing = Some(error);
    }

    /// Waits, and takes in what comes meanwhile.
    async fn pause(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        loop {
            let end = self.patience_ends.map_or(end, |patience| end.min(patience));
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                message = self.receiver.recv() => match message {
                    Some(message) => self.accept(message),
                    None => {
                        // No handle is left: nobody will ask for a shutdown.
                        self.begin_patience();
                        tokio::time::sleep_until(end).await;
                        return;
                    }
                },
            }
        }
    }

    fn begin_patience(&mut self) {
        let end = Instant::now() + self.shared.settings.shutdown_patience;
        self.patience_ends.get_or_insert(end);
    }

    fn good(&mut self) {
        self.refusing = None;
        if self.shared.lock_trouble().take().is_some() {
            tracing::info!("the database takes writes again");
        }
    }

    fn answer_group(&self, group: Group, written: Vec<Written>) {
        let appended: usize = written
            .iter()
            .map(|written| match written {
                Written::Account { offsets, .. } => offsets.iter().flatten().count(),
                _ => 0,
            })
            .sum();
        for ((bytes, done), written) in group.waiting.into_iter().zip(written) {
            self.shared.count_off(bytes);
            answer(done, Ok(written));
        }
        if appended > 0 {
            self.shared
                .log
                .send_modify(|count| *count += appended as u64);
        }
    }

    /// A step of tidying when nothing waits, or at last when much was written without a break.
    async fn tidy(&mut self) {
        let idle = self.waiting.is_empty() && self.receiver.is_empty();
        let due = if idle { 1_000 } else { 20_000 };
        if self.untidied < due || self.patience_ends.is_some() {
            return;
        }
        match self.store.maintain().await {
            Ok(true) => {}
            Ok(false) => self.untidied = 0,
            Err(error) => {
                self.untidied = 0;
                tracing::debug!(%error, "tidying the database failed");
            }
        }
    }
}
