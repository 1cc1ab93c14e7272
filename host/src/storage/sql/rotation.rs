//! Changing the operator's key while the host runs: the database names the new key beside the old
//! one, data keys are wrapped anew in short transactions, and the old key is retired when the last
//! one is. Must never let the database forget a key that something is still wrapped with.

use super::SqlStore;
use super::connection::{Backend, Connection};
use super::error::damaged;
use super::keys::{Keyring, newest_version};
use super::query::query;
use crate::storage::key::KeyRow;
use crate::storage::{Rotation, StorageError};

/// Data keys of one step: a few milliseconds.
const STEP: i64 = 200;

impl SqlStore {
    pub(super) async fn begin_rotation(&self) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let held = hold_alone(&mut transaction.connection).await;
        // Under the lock: nothing is wrapped meanwhile, and nobody else begins.
        let wrapping = self.keys.wrapping();
        let (row, key) = match held.and_then(|()| wrapping.next()) {
            Ok(Some(next)) => next,
            Ok(None) => return transaction.end(Ok(())).await,
            Err(error) => return transaction.end(Err(error)).await,
        };
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
            if matches!(self.backend, Backend::Sqlite(_)) {
                // Older pages of the write-ahead log still hold what the key before opens.
                self.writer(0).lock().await.truncate_log().await;
            }
            tracing::info!(version, "the operator key before is retired");
        }
        Ok(Rotation {
            version,
            wrapped,
            over,
        })
    }
}

/// Until the transaction ends, nobody makes a data key. SQLite has one writer.
async fn hold_alone(connection: &mut Connection) -> Result<(), StorageError> {
    if connection.is_postgres() {
        query("SELECT name FROM meta WHERE name = 'operator_check' FOR UPDATE")
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// A COMMIT without an answer may have named it already.
async fn name_key(connection: &mut Connection, row: &KeyRow) -> Result<(), StorageError> {
    let newest = newest_version(connection).await?;
    if newest == row.version {
        return Ok(());
    }
    if newest + 1 != row.version {
        return Err(damaged("version of the operator key"));
    }
    query(
        "INSERT INTO meta (name, value) \
         SELECT 'operator_check_before', value FROM meta WHERE name = 'operator_check'",
    )
    .execute(connection)
    .await?;
    query("UPDATE meta SET value = ? WHERE name = 'operator_check'")
        .bind(row.check_value.clone())
        .execute(connection)
        .await?;
    query(
        "INSERT INTO meta (name, value) VALUES ('operator_version', ?) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(row.version.to_string().into_bytes())
    .execute(connection)
    .await?;
    Ok(())
}

/// How many were left and are done; with none left, the key before is forgotten.
async fn wrap_anew(
    connection: &mut Connection,
    keys: &Keyring,
    version: i64,
) -> Result<u64, StorageError> {
    hold_alone(connection).await?;
    let rows = query("SELECT owner, wrapped FROM data_key WHERE key_version < ? LIMIT ?")
        .bind(version)
        .bind(STEP)
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let owner: String = row.try_get(0)?;
        let (version, wrapped) = keys.wrap_anew(&owner, row.try_get(1)?)?;
        query("UPDATE data_key SET wrapped = ?, key_version = ? WHERE owner = ?")
            .bind(wrapped)
            .bind(version)
            .bind(owner)
            .execute(connection)
            .await?;
    }
    if rows.is_empty() {
        query("DELETE FROM meta WHERE name = 'operator_check_before'")
            .execute(connection)
            .await?;
    }
    Ok(rows.len() as u64)
}
