//! Who owns partitions. On SQLite, whoever holds the file's lock owns everything until it ends; on
//! PostgreSQL leases decide (`postgres/lease.rs`). And sends that are handed to their owner.

use super::SqlStore;
use super::commit::send_id;
use super::connection::{Backend, Connection};
use super::error::damaged;
use super::query::query;
use super::rows::{Many, partition, unsigned};
use super::value::Row;
use crate::domain::{AccountId, PartitionId, SendId, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::lease::{HandOver, HostRow, Lease, Notice};
use crate::storage::postgres;
use std::time::Duration;
use tokio::sync::mpsc;

impl SqlStore {
    pub(super) async fn acquire_partitions(&self) -> Result<Vec<Lease>, StorageError> {
        let files = match &self.backend {
            Backend::Postgres(server) => return server.leases.acquire(server).await,
            Backend::Sqlite(files) => files,
        };
        if files.owns() {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let result = raise(&mut transaction.connection).await;
        let leases = transaction.end(result).await?;
        files.own(true);
        Ok(leases)
    }

    pub(super) async fn held_partitions(&self) -> Result<Vec<Lease>, StorageError> {
        match &self.backend {
            Backend::Postgres(server) => return server.leases.renew(server).await,
            Backend::Sqlite(files) if !files.owns() => return Ok(Vec::new()),
            Backend::Sqlite(_) => {}
        }
        let mut connection = self.reader().await?;
        let rows = query("SELECT id, epoch, head FROM partition ORDER BY id")
            .fetch_all(&mut connection)
            .await?;
        rows.iter().map(lease).collect()
    }

    pub(super) async fn release_partitions(&self) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Postgres(server) => {
                server.leases.release(server).await?;
                self.tell(&Notice::Free).await
            }
            Backend::Sqlite(files) => {
                files.own(false);
                Ok(())
            }
        }
    }

    pub(super) fn leases_hold(&self) -> Option<Duration> {
        match &self.backend {
            Backend::Postgres(_) => Some(postgres::LENGTH),
            Backend::Sqlite(_) => None,
        }
    }

    pub(super) async fn list_hosts(&self) -> Result<Vec<HostRow>, StorageError> {
        let files = match &self.backend {
            Backend::Postgres(server) => {
                return server.leases.hosts(&mut self.reader().await?).await;
            }
            Backend::Sqlite(files) => files,
        };
        Ok(vec![HostRow {
            instance: "local".to_owned(),
            name: "this host".to_owned(),
            partitions: if files.owns() {
                u32::from(PartitionId::COUNT)
            } else {
                0
            },
            this: true,
            lease_ms: u64::MAX,
        }])
    }

    pub(super) async fn tell(&self, notice: &Notice) -> Result<(), StorageError> {
        match &self.backend {
            Backend::Postgres(server) => {
                let process = server.leases.process();
                postgres::tell(&mut self.reader().await?, process, notice).await
            }
            Backend::Sqlite(_) => Ok(()),
        }
    }

    pub(super) fn hear(&self) -> Option<mpsc::UnboundedReceiver<Notice>> {
        match &self.backend {
            Backend::Postgres(server) => Some(postgres::listen(server, server.leases.process())),
            Backend::Sqlite(_) => None,
        }
    }

    pub(super) async fn list_hand_overs(&self) -> Result<Vec<HandOver>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query("SELECT send, workspace, account, partition FROM hand_over ORDER BY send")
            .fetch_all(&mut connection)
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
        transaction.end(result.map(drop)).await
    }
}

fn lease(row: &Row) -> Result<Lease, StorageError> {
    Ok(Lease {
        partition: partition(row.try_get(0)?)?,
        epoch: unsigned(row.try_get(1)?),
        head: unsigned(row.try_get(2)?),
    })
}

async fn raise(connection: &mut Connection) -> Result<Vec<Lease>, StorageError> {
    let rows = query("UPDATE partition SET epoch = epoch + 1 RETURNING id, epoch, head")
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
