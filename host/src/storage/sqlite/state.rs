//! The connection that writes, and transactions on it. A transaction that did not end cleanly
//! takes its connection along: the next one opens a new connection, so that storage works again by
//! itself after a full disk or an I/O error.

use super::commit::LastGroup;
use super::error::{damaged, is_busy};
use super::rows::unsigned;
use super::{SqliteStore, open};
use crate::domain::{AccountId, EndpointId, PartitionId, SendId, WorkspaceId};
use crate::storage::{Lease, StorageError};
use sqlx::{Row as _, SqliteConnection};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use tokio::sync::MutexGuard;

/// What only writers need, under one lock.
pub(super) struct WriteState {
    /// None after a failure, until the next transaction.
    connection: Option<SqliteConnection>,
    /// Workspace of each endpoint that was written for.
    pub endpoints: HashMap<EndpointId, WorkspaceId>,
    pub last_group: Option<LastGroup>,
    /// Dedupe keys added per account since its window was last pruned.
    pub dedupe_added: HashMap<AccountId, u32>,
    pub pass: super::maintain::Pass,
}

impl WriteState {
    pub fn new(connection: SqliteConnection) -> Self {
        Self {
            connection: Some(connection),
            endpoints: HashMap::new(),
            last_group: None,
            dedupe_added: HashMap::new(),
            pass: super::maintain::Pass::default(),
        }
    }
}

impl WriteState {
    /// Empties the write-ahead log, if nobody reads it.
    pub async fn truncate_log(&mut self) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(connection)
                .await
        {
            tracing::debug!(%error, "the write-ahead log was not emptied");
        }
    }
}

/// One write transaction. Dropped without [`Self::end`], it is rolled back.
pub(super) struct Transaction<'s> {
    pub state: MutexGuard<'s, WriteState>,
    pub connection: SqliteConnection,
}

impl SqliteStore {
    pub(super) async fn begin(&self) -> Result<Transaction<'_>, StorageError> {
        let mut state = self.write.lock().await;
        let mut connection = match state.connection.take() {
            Some(connection) => connection,
            None => {
                let max_pages = self.max_pages.load(Ordering::Relaxed);
                open::connect_writer(&self.settings, max_pages).await?
            }
        };
        match sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
        {
            Ok(_) => Ok(Transaction { state, connection }),
            Err(error) => {
                if is_busy(&error) {
                    state.connection = Some(connection);
                }
                Err(error.into())
            }
        }
    }

    pub(super) async fn claim_partitions(&self) -> Result<Vec<Lease>, StorageError> {
        let mut transaction = self.begin().await?;
        let result = claim(&mut transaction.connection).await;
        transaction.end(result).await
    }

    pub(super) async fn partition_heads(&self) -> Result<Vec<u64>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query("SELECT head FROM partition ORDER BY id")
            .fetch_all(&mut *connection)
            .await?;
        if rows.len() != usize::from(PartitionId::COUNT) {
            return Err(damaged("table of partitions"));
        }
        rows.iter()
            .map(|row| Ok(unsigned(row.try_get(0)?)))
            .collect()
    }

    pub(super) async fn partition_tails(&self) -> Result<Vec<u64>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query("SELECT tail FROM partition ORDER BY id")
            .fetch_all(&mut *connection)
            .await?;
        rows.iter()
            .map(|row| Ok(unsigned(row.try_get(0)?)))
            .collect()
    }

    /// One step of tidying; true when there may be more to do.
    pub(super) async fn prune(&self) -> Result<bool, StorageError> {
        let mut transaction = self.begin().await?;
        let result = super::maintain::step(&mut transaction, &self.settings.retention).await;
        transaction.end(result).await
    }

    pub(super) async fn delete_recorded_sends(&self, ids: &[SendId]) -> Result<(), StorageError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        let result = super::sends::delete_recorded(&mut transaction.connection, ids).await;
        transaction.end(result).await
    }

    /// Lets the database grow to this many pages of 4 KiB; none: as it was opened. For tests of a
    /// full disk.
    pub async fn limit_pages(&self, pages: Option<u32>) {
        let pages = pages.unwrap_or(self.settings.max_pages);
        self.max_pages.store(pages, Ordering::Relaxed);
        // The next transaction opens a connection with it.
        self.write.lock().await.connection = None;
    }
}

impl Transaction<'_> {
    /// Commits what went well and rolls back what did not.
    pub async fn end<T>(mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        match result {
            Ok(value) => match sqlx::query("COMMIT").execute(&mut self.connection).await {
                Ok(_) => {
                    self.state.connection = Some(self.connection);
                    Ok(value)
                }
                Err(error) => {
                    drop_now(self.connection).await;
                    Err(error.into())
                }
            },
            Err(error) => {
                let clean = matches!(error, StorageError::Conflict(_))
                    && sqlx::query("ROLLBACK")
                        .execute(&mut self.connection)
                        .await
                        .is_ok();
                if clean {
                    self.state.connection = Some(self.connection);
                } else {
                    drop_now(self.connection).await;
                }
                Err(error)
            }
        }
    }
}

/// Ends a connection and waits for it, so that its lock is gone before the next one begins.
async fn drop_now(connection: SqliteConnection) {
    use sqlx::Connection as _;
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a broken connection to the database did not close cleanly");
    }
}

async fn claim(connection: &mut SqliteConnection) -> Result<Vec<Lease>, StorageError> {
    let rows = sqlx::query("UPDATE partition SET epoch = epoch + 1 RETURNING id, epoch, head")
        .fetch_all(connection)
        .await?;
    let mut leases = rows
        .iter()
        .map(|row| {
            Ok(Lease {
                partition: super::rows::partition(row.try_get(0)?)?,
                epoch: unsigned(row.try_get(1)?),
                head: unsigned(row.try_get(2)?),
            })
        })
        .collect::<Result<Vec<_>, StorageError>>()?;
    if leases.len() != usize::from(PartitionId::COUNT) {
        return Err(damaged("table of partitions"));
    }
    leases.sort_by_key(|lease| lease.partition);
    Ok(leases)
}
