//! The token of the group that a writer last tried to commit: for SQLite's one writer a row of
//! `meta`, on PostgreSQL a row for each writer of each process.

use super::super::query::query;
use super::super::state::Transaction;
use crate::storage::StorageError;
use uuid::Uuid;

/// Writes a new one.
pub(super) async fn write(transaction: &mut Transaction<'_>) -> Result<Uuid, StorageError> {
    let token = Uuid::new_v4();
    let bytes = token.as_bytes().to_vec();
    if transaction.connection.is_postgres() {
        let writer = transaction.writer()?.id.as_bytes().to_vec();
        query(
            "INSERT INTO writer (id, token, used_at) VALUES (?, ?, now()) \
             ON CONFLICT (id) DO UPDATE SET token = excluded.token, used_at = excluded.used_at",
        )
        .bind(writer)
        .bind(bytes)
        .execute(&mut transaction.connection)
        .await?;
    } else {
        query("UPDATE meta SET value = ? WHERE name = 'last_group'")
            .bind(bytes)
            .execute(&mut transaction.connection)
            .await?;
    }
    Ok(token)
}

/// The one in the database, when no earlier transaction of this writer is under way any more.
pub(super) async fn held(transaction: &mut Transaction<'_>) -> Result<Vec<u8>, StorageError> {
    if !transaction.connection.is_postgres() {
        return query("SELECT value FROM meta WHERE name = 'last_group'")
            .fetch_one(&mut transaction.connection)
            .await?
            .try_get(0);
    }
    // A plain SELECT would see past a transaction that has written and is about to commit. This
    // waits for it, also if it is the one that makes the row.
    let writer = transaction.writer()?.id.as_bytes().to_vec();
    query(
        "INSERT INTO writer (id, token, used_at) VALUES (?, ?, now()) \
         ON CONFLICT (id) DO UPDATE SET used_at = excluded.used_at RETURNING token",
    )
    .bind(writer)
    .bind(Vec::new())
    .fetch_one(&mut transaction.connection)
    .await?
    .try_get(0)
}

/// Until no earlier transaction of this writer is under way.
pub(in super::super) async fn wait_for_last_group(
    transaction: &mut Transaction<'_>,
) -> Result<(), StorageError> {
    if transaction.connection.is_postgres() {
        held(transaction).await?;
    }
    Ok(())
}
