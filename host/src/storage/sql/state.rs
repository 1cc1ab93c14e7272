//! The writers' connections, and transactions. A transaction that did not end cleanly takes its
//! connection along: the next one opens a new connection, so that storage works again by itself
//! after a full disk, an I/O error or a restart of the server.
//!
//! **Who waits for whom.** SQLite has one writer, and its lock orders everything. On PostgreSQL
//! several writers commit at once, and beside them what the API changes: whoever writes what belongs
//! to an account holds the row of its partition, and takes rows of several partitions in the order
//! of their ids. What is decided across a workspace (quota, identities) holds the workspace's row,
//! before any partition's. So nobody waits in a circle.

use super::SqlStore;
use super::commit::LastGroup;
use super::connection::{Backend, Connection, NotBegun};
use super::error::damaged;
use super::query::query;
use super::rows::unsigned;
use crate::domain::{AccountId, PartitionId, SendId, WorkspaceId};
use crate::storage::StorageError;
use std::collections::HashMap;
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

/// What one writer has for itself.
pub(super) struct WriterState {
    /// Names the writer in the database, as long as this process lives.
    pub id: Uuid,
    /// None at first, and after a failure.
    connection: Option<Connection>,
    pub last_group: Option<LastGroup>,
    /// Dedupe keys added per account since its window was last pruned.
    pub dedupe_added: HashMap<AccountId, u32>,
    pub pass: super::maintain::Pass,
}

impl WriterState {
    pub fn new() -> Self {
        Self {
            id: Uuid::new_v4(),
            connection: None,
            last_group: None,
            dedupe_added: HashMap::new(),
            pass: super::maintain::Pass::default(),
        }
    }

    /// The next transaction opens a connection.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    pub async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// Empties the write-ahead log of SQLite, if nobody reads it.
    pub async fn truncate_log(&mut self) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = connection.run("PRAGMA wal_checkpoint(TRUNCATE)").await
        {
            tracing::debug!(%error, "the write-ahead log was not emptied");
        }
    }
}

/// One write transaction. Dropped without [`Self::end`], it is rolled back.
pub(super) struct Transaction<'s> {
    pub connection: Connection,
    /// Of the writer whose connection it is.
    writer: Option<MutexGuard<'s, WriterState>>,
}

impl SqlStore {
    /// A transaction beside the writers, who have connections of their own. SQLite has one
    /// connection that writes.
    pub(super) async fn begin(&self) -> Result<Transaction<'_>, StorageError> {
        match &self.backend {
            Backend::Sqlite(_) => self.begin_as(0).await,
            Backend::Postgres(server) => {
                let mut connection = Connection::from(server.shared().await?);
                connection.begin().await.map_err(|not| not.error)?;
                Ok(Transaction {
                    connection,
                    writer: None,
                })
            }
        }
    }

    /// A transaction of this writer.
    pub(super) async fn begin_as(&self, writer: usize) -> Result<Transaction<'_>, StorageError> {
        let mut state = self.writer(writer).lock().await;
        let mut connection = match state.connection.take() {
            Some(connection) => connection,
            None => match &self.backend {
                Backend::Sqlite(files) => files.connect_writer().await?.into(),
                Backend::Postgres(server) => server.connect_writer().await?.into(),
            },
        };
        match connection.begin().await {
            Ok(()) => Ok(Transaction {
                connection,
                writer: Some(state),
            }),
            Err(NotBegun { error, usable }) => {
                if usable {
                    state.connection = Some(connection);
                }
                Err(error)
            }
        }
    }

    pub(super) fn writer(&self, writer: usize) -> &Mutex<WriterState> {
        &self.writers[writer % self.writers.len()]
    }

    pub(super) async fn partition_heads(&self) -> Result<Vec<u64>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query("SELECT head FROM partition ORDER BY id")
            .fetch_all(&mut connection)
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
        let rows = query("SELECT tail FROM partition ORDER BY id")
            .fetch_all(&mut connection)
            .await?;
        rows.iter()
            .map(|row| Ok(unsigned(row.try_get(0)?)))
            .collect()
    }

    /// One step of tidying for a writer's accounts; true when there may be more to do.
    pub(super) async fn prune(&self, writer: usize) -> Result<bool, StorageError> {
        let mut transaction = self.begin_as(writer).await?;
        let result = super::maintain::step(&mut transaction, &self.retention, writer == 0).await;
        transaction.end(result).await
    }

    pub(super) async fn delete_recorded_sends(
        &self,
        writer: usize,
        ids: &[SendId],
    ) -> Result<(), StorageError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin_as(writer).await?;
        let result = transaction.delete_recorded(ids).await;
        transaction.end(result).await
    }

    /// Lets a SQLite database grow to this many pages of 4 KiB; none: as it was opened. For tests
    /// of a full disk.
    pub async fn limit_pages(&self, pages: Option<u32>) {
        if let Backend::Sqlite(files) = &self.backend {
            files.limit_pages(pages);
            // The next transaction opens a connection with it.
            self.writer(0).lock().await.disconnect();
        }
    }
}

impl Transaction<'_> {
    /// Of the writer. Only for transactions that were begun as one.
    pub fn writer(&mut self) -> Result<&mut WriterState, StorageError> {
        self.writer.as_deref_mut().ok_or_else(|| {
            StorageError::Unusable("a transaction of no writer was used as one's".to_owned())
        })
    }

    async fn delete_recorded(&mut self, ids: &[SendId]) -> Result<(), StorageError> {
        // A commit of this writer that is still under way may record them.
        super::commit::wait_for_last_group(self).await?;
        super::sends::delete_recorded(&mut self.connection, ids).await
    }

    /// Ends it as if it had never been.
    pub async fn roll_back(mut self) -> Result<(), StorageError> {
        self.connection.roll_back().await?;
        if let Some(state) = &mut self.writer {
            state.connection = Some(self.connection);
        }
        Ok(())
    }

    /// Commits what went well and rolls back what did not.
    pub async fn end<T>(mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        let (clean, result) = match result {
            Ok(value) => match self.connection.commit().await {
                Ok(()) => (true, Ok(value)),
                Err(error) => (false, Err(error)),
            },
            Err(error) => {
                let clean = matches!(error, StorageError::Conflict(_))
                    && self.connection.roll_back().await.is_ok();
                (clean, Err(error))
            }
        };
        match &mut self.writer {
            Some(state) if clean => state.connection = Some(self.connection),
            _ if clean => {}
            _ => self.connection.close().await,
        }
        result
    }
}

/// Until the transaction ends, nobody else writes what belongs to accounts of this partition.
pub(super) async fn lock_partition(
    connection: &mut Connection,
    partition: PartitionId,
) -> Result<(), StorageError> {
    if connection.is_postgres() {
        query("SELECT id FROM partition WHERE id = ? FOR NO KEY UPDATE")
            .bind(i64::from(partition.0))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Until the transaction ends, nobody else decides anything across this workspace.
pub(super) async fn lock_workspace(
    connection: &mut Connection,
    workspace: &WorkspaceId,
) -> Result<(), StorageError> {
    if connection.is_postgres() {
        query("SELECT id FROM workspace WHERE id = ? FOR UPDATE")
            .bind(workspace.as_str())
            .execute(connection)
            .await?;
    }
    Ok(())
}
