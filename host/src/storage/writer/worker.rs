//! A lane's thread: takes what waits, commits it in groups, and tries again while the database
//! refuses.

use super::{Done, Entry, Message, Shared, answer, shutting_down};
use crate::domain::SendId;
use crate::storage::{StorageError, Store, Write, Written};
use futures::FutureExt as _;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(super) struct Worker {
    lane: usize,
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
    waiting: Vec<Waiting>,
}

struct Waiting {
    bytes: usize,
    since: Instant,
    done: Done,
}

/// What takes longer is told.
const LONG: Duration = Duration::from_secs(10);

impl Worker {
    pub fn new(
        lane: usize,
        store: Arc<dyn Store>,
        shared: Arc<Shared>,
        receiver: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        Self {
            lane,
            store,
            shared,
            receiver,
            waiting: VecDeque::new(),
            to_withdraw: Vec::new(),
            refusing: None,
            untidied: 0,
            patience_ends: None,
            shutdowns: Vec::new(),
        }
    }

    /// Ends when no handle is left or after a shutdown, with nothing waiting.
    pub async fn run(mut self) {
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
            group.waiting.push(Waiting {
                bytes: entry.bytes,
                since: entry.since,
                done: entry.done,
            });
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
            let result = self.attempt(&group, retry).await;
            if started.elapsed() > LONG {
                tracing::warn!(
                    lane = self.lane,
                    entries = group.writes.len(),
                    duration_ms = started.elapsed().as_millis() as u64,
                    "one attempt to commit took long"
                );
            }
            let error = match result {
                Ok(written) => {
                    tracing::debug!(
                        entries = written.len(),
                        duration_us = started.elapsed().as_micros() as u64,
                        waiting = self.waiting.len(),
                        "committed a group"
                    );
                    let metrics = &self.shared.settings.metrics;
                    metrics.groups.inc();
                    metrics.commits.inc_by(written.len() as u64);
                    metrics.duration.observe(started.elapsed().as_secs_f64());
                    self.good();
                    self.answer_group(group, written);
                    return Ok(());
                }
                Err(error) => error,
            };
            self.shared.settings.metrics.failures.inc();
            if !matches!(error, StorageError::Unavailable(_)) {
                return Err((group, error));
            }
            if !retry {
                tracing::warn!(%error, entries = group.writes.len(), "the database refuses writes");
            }
            retry = true;
            if self.shared.lock_trouble()[self.lane]
                .replace(error.to_string())
                .is_none()
            {
                self.shared.settings.metrics.trouble.inc();
            }
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
        for waiting in group.waiting {
            self.shared.count_off(waiting.bytes);
            answer(waiting.done, Err(again(error)));
        }
    }

    /// First takes back what was refused, so that a client that asks again with the same
    /// idempotency key finds it free.
    async fn attempt(&mut self, group: &Group, retry: bool) -> Result<Vec<Written>, StorageError> {
        if !self.to_withdraw.is_empty() {
            self.store
                .withdraw_sends(self.lane, &self.to_withdraw)
                .await?;
            self.to_withdraw.clear();
        }
        if group.writes.is_empty() {
            return Ok(Vec::new());
        }
        // A panic over one entry must not end the one writer; the store rolls back.
        AssertUnwindSafe(self.store.commit(self.lane, &group.writes, retry))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                Err(StorageError::Unusable(
                    "the commit of a group panicked".to_owned(),
                ))
            })
    }

    /// Clients do not wait for a database that is away. Those in the group were attempted, those
    /// that wait were not; those that come from now on are refused at once.
    fn refuse_sends(&mut self, group: &mut Group, error: StorageError) {
        let writes = std::mem::take(&mut group.writes);
        let waiting = std::mem::take(&mut group.waiting);
        for (write, waiting) in writes.into_iter().zip(waiting) {
            if let Write::RecordSend(record) = &write {
                self.to_withdraw.push(record.id);
                self.shared.count_off(waiting.bytes);
                answer(waiting.done, Err(again(&error)));
            } else {
                group.writes.push(write);
                group.waiting.push(waiting);
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
        if self.shared.lock_trouble()[self.lane].take().is_some() {
            self.shared.settings.metrics.trouble.dec();
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
        let longest = group
            .waiting
            .iter()
            .map(|waiting| waiting.since.elapsed())
            .max();
        if let Some(waited) = longest.filter(|waited| *waited > LONG) {
            tracing::warn!(
                lane = self.lane,
                entries = group.waiting.len(),
                waited_ms = waited.as_millis() as u64,
                "a write waited long for its commit"
            );
        }
        for (waiting, written) in group.waiting.into_iter().zip(written) {
            self.shared.count_off(waiting.bytes);
            answer(waiting.done, Ok(written));
        }
        if appended > 0 {
            self.shared.settings.metrics.events.inc_by(appended as u64);
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
        match self.store.maintain(self.lane).await {
            Ok(true) => {}
            Ok(false) => self.untidied = 0,
            Err(error) => {
                self.untidied = 0;
                tracing::debug!(%error, "tidying the database failed");
            }
        }
    }
}

fn queue_full() -> StorageError {
    StorageError::Unavailable("too many writes wait".to_owned())
}

fn again(error: &StorageError) -> StorageError {
    match error {
        StorageError::Unavailable(text) => StorageError::Unavailable(text.clone()),
        StorageError::Conflict(conflict) => StorageError::Conflict(*conflict),
        StorageError::Unusable(text) => StorageError::Unusable(text.clone()),
    }
}
