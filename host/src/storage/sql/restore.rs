//! The mark of a database that is a copy of another installation's.
//!
//! The original may have gone on after the copy was made, and may be running still. So a marked
//! database starts no account by itself, its epochs are beyond any of the original's, and its
//! offsets leave out what the original may have given to events that are not here: who has read
//! those goes on with his cursor and misses nothing of this log.

use super::SqlStore;
use super::connection::Connection;
use super::error::damaged;
use super::query::query;
use crate::domain::{AccountId, Timestamp};
use crate::storage::StorageError;

/// More commits and events than a partition sees between a backup and the last moment of its
/// original. Offsets have 48 bits: enough for 65,000 restores in a row.
const BEYOND: i64 = 1 << 32;

impl SqlStore {
    pub(super) async fn restore_mark(&self) -> Result<Option<Timestamp>, StorageError> {
        let mut connection = self.reader().await?;
        let row = query("SELECT value FROM meta WHERE name = 'restored'")
            .fetch_optional(&mut connection)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let bytes = <[u8; 8]>::try_from(row.try_get::<&[u8], _>(0)?)
            .map_err(|_| damaged("mark of a restored database"))?;
        Ok(Some(Timestamp(u64::from_be_bytes(bytes))))
    }

    pub(super) async fn write_restore_mark(&self, at: Timestamp) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = mark(&mut transaction.connection, at).await;
        transaction.end(result).await
    }

    pub(super) async fn remove_restore_mark(&self) -> Result<Vec<AccountId>, StorageError> {
        let mut transaction = self.begin().await?;
        let result = unmark(&mut transaction.connection).await;
        transaction.end(result).await
    }
}

/// Within the caller's transaction.
pub(in crate::storage) async fn mark(
    connection: &mut Connection,
    at: Timestamp,
) -> Result<(), StorageError> {
    query(
        "INSERT INTO meta (name, value) VALUES ('restored', ?) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(at.0.to_be_bytes().to_vec())
    .execute(connection)
    .await?;
    query("UPDATE account SET held = 1, wanted = 0 WHERE wanted <> 0 AND deleted_at IS NULL")
        .execute(connection)
        .await?;
    // The original may have sent them.
    query("UPDATE request SET started = 1 WHERE started = 0")
        .execute(connection)
        .await?;
    // Endpoints that have read everything skip the gap at once.
    query(
        "UPDATE cursor SET event_offset = event_offset + ? WHERE event_offset = \
         (SELECT head FROM partition WHERE partition.id = cursor.partition)",
    )
    .bind(BEYOND)
    .execute(connection)
    .await?;
    query("UPDATE partition SET epoch = epoch + ?, head = head + ?")
        .bind(BEYOND)
        .bind(BEYOND)
        .execute(connection)
        .await?;
    Ok(())
}

async fn unmark(connection: &mut Connection) -> Result<Vec<AccountId>, StorageError> {
    query("DELETE FROM meta WHERE name = 'restored'")
        .execute(connection)
        .await?;
    let rows = query(
        "UPDATE account SET held = 0, wanted = 1 WHERE held <> 0 AND deleted_at IS NULL RETURNING id",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok(AccountId::from_text(row.try_get::<String, _>(0)?)))
        .collect()
}
