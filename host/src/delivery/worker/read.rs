//! How a worker comes by its events: what the process before left, then the log.

use super::{Command, Read, Worker};
use crate::delivery::RETRY_STORAGE;
use crate::delivery::lanes::{Entry, Key};
use crate::delivery::window::Window;
use crate::domain::PartitionId;
use crate::domain::endpoint::Detour;
use crate::domain::event::LoggedEvent;
use crate::storage::StorageError;
use tokio::time::{Instant, sleep};

/// Events of one read.
const READ_LIMIT: usize = 256;
/// While only a probe may go, the log is read in small steps to find one.
const PROBE_READ_LIMIT: usize = 16;
/// Bodies in memory; above, reading waits.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Rows that wait; above, reading waits.
const MAX_DETOURS: usize = 100_000;

impl Worker {
    /// False: the worker was told to end meanwhile.
    pub(super) async fn load(&mut self) -> bool {
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
        // Of what is not ours everything counts as read.
        let cursors: Vec<u64> = PartitionId::all()
            .zip(cursors)
            .map(|(partition, cursor)| match self.epochs.of(partition) {
                Some(_) => cursor,
                None => u64::MAX,
            })
            .collect();
        self.window = Window::new(&cursors);
        for detour in detours {
            if self.epochs.of(detour.partition).is_none() {
                continue;
            }
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

    pub(super) fn rejoin(&mut self, detour: &Detour) {
        self.lanes
            .push(Key::of_detour(detour), Entry::of_detour(detour));
    }

    pub(super) fn start_read(&mut self) {
        if self.read_after.is_some_and(|after| after <= Instant::now()) {
            self.read_after = None;
        }
        if self.reading.is_some() || self.read_after.is_some() || !self.is_active() {
            return;
        }
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
        } else if self.breaker.allows(self.now) && !self.lanes.has_ready() {
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

    pub(super) fn take_read(&mut self, read: Result<Read, StorageError>) {
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

    pub(super) fn admit(&mut self, partition: PartitionId, event: LoggedEvent) {
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
    pub(super) fn pass(&mut self, partition: PartitionId, offset: u64) {
        while let Some((&(at, first), _)) = self.above.range((partition, 0)..).next()
            && at == partition
            && first <= offset
        {
            self.above.remove(&(at, first));
            self.progress.done(at, first);
        }
    }
}
