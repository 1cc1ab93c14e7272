//! Reads the event log of a workspace over all partitions. Events of one account come in their
//! order, since an account lives in one partition; between accounts there is no order.

use super::cursor::Position;
use crate::domain::event::LoggedEvent;
use crate::domain::{AccountId, PartitionId, WorkspaceId};
use crate::storage::{StorageError, Store};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};

/// What a reader wants to see.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// None: all types.
    pub types: Option<BTreeSet<String>>,
    /// None: all accounts.
    pub account: Option<(AccountId, PartitionId)>,
}

impl Filter {
    fn takes(&self, event: &LoggedEvent) -> bool {
        self.types
            .as_ref()
            .is_none_or(|types| types.contains(&event.kind))
            && self
                .account
                .as_ref()
                .is_none_or(|(account, _)| *account == event.account)
    }

    fn partitions(&self, first: u8) -> Vec<PartitionId> {
        match &self.account {
            Some((_, partition)) => vec![*partition],
            None => (0..PartitionId::COUNT)
                .map(|step| PartitionId((first + step) % PartitionId::COUNT))
                .collect(),
        }
    }
}

/// Some events, and where reading goes on.
#[derive(Debug)]
pub struct Batch {
    pub events: Vec<(PartitionId, LoggedEvent)>,
    pub next: Position,
    /// The batch is full and there is more.
    pub more: bool,
}

/// About the size of an answer.
const BATCH_BYTES: usize = 1024 * 1024;
/// Storage may cut a page at about 1 MiB; what is well below that was not cut.
const SURELY_WHOLE_BYTES: usize = 512 * 1024;
/// How many events of which the filter takes none are read before the reader answers.
const MAX_READ: usize = 20_000;

struct Heads {
    /// Of the log, when they were asked for.
    version: u64,
    since: Instant,
    heads: Arc<[u64]>,
}

pub struct LogReader {
    store: Arc<dyn Store>,
    log: watch::Receiver<u64>,
    /// Heads of the log, shared by all readers that woke at the same change.
    heads: Mutex<Option<Heads>>,
}

impl LogReader {
    const HEADS_AGE: Duration = Duration::from_millis(250);

    pub fn new(store: Arc<dyn Store>, log: watch::Receiver<u64>) -> Self {
        Self {
            store,
            log,
            heads: Mutex::new(None),
        }
    }

    /// Wakes when events were appended.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut log = self.log.clone();
        log.borrow_and_update();
        log
    }

    /// Not older than the last change that [`Self::changes`] told.
    pub async fn heads(&self) -> Result<Arc<[u64]>, StorageError> {
        let version = *self.log.borrow();
        let mut known = self.heads.lock().await;
        if let Some(known) = &*known
            && known.version == version
            && known.since.elapsed() < Self::HEADS_AGE
        {
            return Ok(known.heads.clone());
        }
        let since = Instant::now();
        let heads: Arc<[u64]> = self.store.heads().await?.into();
        *known = Some(Heads {
            version,
            since,
            heads: heads.clone(),
        });
        Ok(heads)
    }

    /// The first position from which nothing is missing in the log, for a reader at `from` for
    /// whom something is. To be asked after a read: what was removed meanwhile counts.
    pub async fn missed(
        &self,
        from: &Position,
        filter: &Filter,
    ) -> Result<Option<Position>, StorageError> {
        let tails = self.store.tails().await?;
        let misses = filter.partitions(0).into_iter().any(|partition| {
            let tail = tails.get(usize::from(partition.0)).copied();
            from.of(partition) < tail.unwrap_or(0)
        });
        Ok(misses.then(|| Position::at(&tails)))
    }

    /// At most `limit` events after `from`. Partitions whose head has not moved are not read.
    pub async fn read(
        &self,
        workspace: &WorkspaceId,
        from: &Position,
        filter: &Filter,
        limit: usize,
    ) -> Result<Batch, StorageError> {
        let heads = self.heads().await?;
        let mut batch = Batch {
            events: Vec::new(),
            next: from.clone(),
            more: false,
        };
        let (mut bytes, mut read) = (0, 0);
        for partition in filter.partitions(from.turn) {
            let head = heads.get(usize::from(partition.0)).copied().unwrap_or(0);
            while batch.next.of(partition) < head {
                let room = limit.saturating_sub(batch.events.len());
                if room == 0 || bytes >= BATCH_BYTES || read >= MAX_READ {
                    batch.more = true;
                    batch.next.turn = partition.0;
                    return Ok(batch);
                }
                // With a filter most of what is read may be left out.
                let page = if filter.types.is_some() || filter.account.is_some() {
                    room.max(256)
                } else {
                    room
                };
                let after = batch.next.of(partition);
                let events = self
                    .store
                    .read_events(workspace, partition, after, page as u32)
                    .await?;
                let whole = events.len() < page
                    && events.iter().map(|event| event.body.len()).sum::<usize>()
                        < SURELY_WHOLE_BYTES;
                read += events.len();
                let mut cut = false;
                for event in events {
                    if batch.events.len() == limit || bytes >= BATCH_BYTES {
                        cut = true;
                        break;
                    }
                    batch.next.set(partition, event.offset);
                    if filter.takes(&event) {
                        bytes += event.body.len();
                        batch.events.push((partition, event));
                    }
                }
                let at_end = !cut && (whole || batch.next.of(partition) == after);
                if at_end {
                    // Others' events, and those of deleted accounts, are behind us as well.
                    let reached = batch.next.of(partition).max(head);
                    batch.next.set(partition, reached);
                }
            }
        }
        Ok(batch)
    }
}
