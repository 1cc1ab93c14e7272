//! Changing the operator's key while the host runs: the database names the new key beside the old
//! one, data keys are wrapped anew in short transactions, and the old key is retired when the last
//! one is. Must never let the database forget a key that something is still wrapped with.

use super::SqliteStore;
use super::keys::Keyring;
use crate::storage::operator::KeyRow;
use crate::storage::{Rotation, StorageError};
use sqlx::{Row as _, SqliteConnection};

/// Data keys of one step: a few milliseconds.
const STEP: i64 = 200;

impl SqliteStore {
    pub(super) async fn begin_rotation(&self) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        // Under the lock of writers: nothing is wrapped meanwhile, and nobody else begins.
        let wrapping = self.keys.wrapping();
        let next = match wrapping.next() {
            Ok(Some(next)) => next,
            Ok(None) => return transaction.end(Ok(())).await,
            Err(error) => return transaction.end(Err(error)).await,
        };
        let (row, key) = next;
        let before = wrapping.began(row.version, key);
        let result = name_key(&mut transaction.connection, &row).await;
        match transaction.end(result).await {
            Ok(()) => {
                tracing::info!(version = row.version, "a new operator key is in force");
                Ok(())
            }
            Err(error) => {
                // Asked for again, it finds the same key and goes on.
                wrapping.take_back(before);
                Err(error)
            }
        }
    }

    pub(super) async fn go_on_rotating(&self) -> Result<Rotation, StorageError> {
        let version = self.keys.wrapping().version();
        if !self.keys.wrapping().is_rotating() {
            return Ok(Rotation {
                version,
                wrapped: 0,
                over: true,
            });
        }
        let mut transaction = self.begin().await?;
        let result = wrap_anew(&mut transaction.connection, &self.keys, version).await;
        let wrapped = transaction.end(result).await?;
        let over = wrapped == 0;
        if over {
            self.keys.wrapping().ended();
            // Older pages of the write-ahead log still hold what the key before opens.
            self.write.lock().await.truncate_log().await;
            tracing::info!(version, "the operator key before is retired");
        }
        Ok(Rotation {
            version,
            wrapped,
            over,
        })
    }
}

/// A COMMIT without an answer may have named it already.
async fn name_key(connection: &mut SqliteConnection, row: &KeyRow) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO operator_key (version, check_value) VALUES (?, ?) \
         ON CONFLICT (version) DO UPDATE SET check_value = excluded.check_value",
    )
    .bind(row.version)
    .bind(row.check_value.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// How many were left and are done; with none left, the keys before are forgotten.
async fn wrap_anew(
    connection: &mut SqliteConnection,
    keys: &Keyring,
    version: i64,
) -> Result<u64, StorageError> {
    let rows = sqlx::query("SELECT owner, wrapped FROM data_key WHERE key_version < ? LIMIT ?")
        .bind(version)
        .bind(STEP)
        .fetch_all(&mut *connection)
        .await?;
    for row in &rows {
        let owner: &str = row.try_get(0)?;
        let (version, wrapped) = keys.wrap_anew(owner, row.try_get(1)?)?;
        sqlx::query("UPDATE data_key SET wrapped = ?, key_version = ? WHERE owner = ?")
            .bind(wrapped)
            .bind(version)
            .bind(owner.to_owned())
            .execute(&mut *connection)
            .await?;
    }
    if rows.is_empty() {
        sqlx::query("DELETE FROM operator_key WHERE version < ?")
            .bind(version)
            .execute(connection)
            .await?;
    }
    Ok(rows.len() as u64)
}
