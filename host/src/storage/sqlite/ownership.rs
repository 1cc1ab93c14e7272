//! Ownership on SQLite: whoever holds the file's lock owns everything until it ends.

use super::SqliteStore;
use super::commit::send_id;
use super::error::damaged;
use super::rows::{Many, partition, unsigned};
use crate::domain::{AccountId, PartitionId, SendId, WorkspaceId};
use crate::storage::lease::{HandOver, HostRow, Lease};
use crate::storage::StorageError;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

impl SqliteStore {
    /// The first time all of it, with raised epochs; then nothing more.
    pub(super) async fn acquire_partitions(&self) -> Result<Vec<Lease>, StorageError> {
        let mut transaction = self.begin().await?;
        if transaction.state.owns {
            return transaction.end(Ok(Vec::new())).await;
        }
        let result = raise(&mut transaction.connection).await;
        transaction.state.owns = result.is_ok();
        transaction.end(result).await
    }

    pub(super) async fn held_partitions(&self) -> Result<Vec<Lease>, StorageError> {
        if !self.write.lock().await.owns {
            return Ok(Vec::new());
        }
        let mut connection = self.reader().await?;
        let rows = sqlx::query("SELECT id, epoch, head FROM partition ORDER BY id")
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(lease).collect()
    }

    /// Another call of `acquire_partitions` takes them anew.
    pub(super) async fn release_partitions(&self) {
        self.write.lock().await.owns = false;
    }

    pub(super) async fn only_host(&self) -> Result<Vec<HostRow>, StorageError> {
        let owns = self.write.lock().await.owns;
        Ok(vec![HostRow {
            instance: "local".to_owned(),
            name: "this host".to_owned(),
            partitions: if owns { u32::from(PartitionId::COUNT) } else { 0 },
            this: true,
            lease_ms: u64::MAX,
        }])
    }

    pub(super) async fn list_hand_overs(&self) -> Result<Vec<HandOver>, StorageError> {
        let mut connection = self.reader().await?;
        let rows =
            sqlx::query("SELECT send, workspace, account, partition FROM hand_over ORDER BY send")
                .fetch_all(&mut *connection)
                .await?;
        rows.iter()
            .map(|row| {
                Ok(HandOver {
                    send: send_id(row.try_get(0)?)?,
                    workspace: WorkspaceId::from_text(row.try_get::<String, _>(1)?),
                    account: AccountId::from_text(row.try_get::<String, _>(2)?),
                    partition: partition(row.try_get(3)?)?,
                })
            })
            .collect()
    }

    pub(super) async fn delete_hand_overs(&self, sends: &[SendId]) -> Result<(), StorageError> {
        const REMOVE: Many = Many {
            before: "DELETE FROM hand_over WHERE send IN (",
            row: "?",
            after: ")",
        };
        if sends.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        let result = REMOVE
            .execute(
                &mut transaction.connection,
                sends.iter(),
                |statement, id| statement.bind(id.0.as_bytes().to_vec()),
            )
            .await;
        transaction.end(result.map(drop).map_err(StorageError::from)).await
    }
}

fn lease(row: &SqliteRow) -> Result<Lease, StorageError> {
    Ok(Lease {
        partition: partition(row.try_get(0)?)?,
        epoch: unsigned(row.try_get(1)?),
        head: unsigned(row.try_get(2)?),
    })
}

async fn raise(connection: &mut SqliteConnection) -> Result<Vec<Lease>, StorageError> {
    let rows = sqlx::query("UPDATE partition SET epoch = epoch + 1 RETURNING id, epoch, head")
        .fetch_all(connection)
        .await?;
    let mut leases = rows
        .iter()
        .map(lease)
        .collect::<Result<Vec<_>, StorageError>>()?;
    if leases.len() != usize::from(PartitionId::COUNT) {
        return Err(damaged("table of partitions"));
    }
    leases.sort_by_key(|lease| lease.partition);
    Ok(leases)
}
