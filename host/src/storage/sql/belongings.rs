//! What belongs to an account: kv, secrets, timers, requests. Of an account that is gone there is nothing.

use super::SqlStore;
use super::error::damaged;
use super::query::query;
use super::rows::time;
use crate::domain::{AccountId, SecretBytes};
use crate::storage::seal::Kind;
use crate::storage::{DurableTimer, StorageError, StoredRequest};
use uuid::Uuid;

impl SqlStore {
    pub(super) async fn read_kv(
        &self,
        id: &AccountId,
        key: &str,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(account) = self.keys.account(&mut connection, id).await? else {
            return Ok(None);
        };
        let row = query("SELECT value_sealed FROM kv WHERE account = ? AND key = ?")
            .bind(id.as_str())
            .bind(key.as_bytes().to_vec())
            .fetch_optional(&mut connection)
            .await?;
        row.map(|row| {
            account
                .key
                .open(Kind::Kv, key.as_bytes(), row.try_get(0)?)
                .ok_or_else(|| damaged("kv value"))
        })
        .transpose()
    }

    pub(super) async fn scan_kv(
        &self,
        id: &AccountId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(account) = self.keys.account(&mut connection, id).await? else {
            return Ok(Vec::new());
        };
        let rows = query(
            "SELECT key, value_sealed FROM kv WHERE account = ? AND key >= ? \
             AND (? IS NULL OR key > ?) AND (? IS NULL OR key < ?) ORDER BY key LIMIT ?",
        )
        .bind(id.as_str())
        // The further of the two lower bounds lets SQLite begin there.
        .bind(after.unwrap_or_default().max(prefix).as_bytes().to_vec())
        .bind(after.map(|after| after.as_bytes().to_vec()))
        .bind(after.map(|after| after.as_bytes().to_vec()))
        .bind(after_prefix(prefix.as_bytes()))
        .bind(after_prefix(prefix.as_bytes()))
        .bind(i64::from(limit))
        .fetch_all(&mut connection)
        .await?;
        rows.iter()
            .map(|row| {
                let name: Vec<u8> = row.try_get(0)?;
                let value = account.key.open(Kind::Kv, &name, row.try_get(1)?);
                let name = String::from_utf8(name).map_err(|_| damaged("kv key"))?;
                Ok((name, value.ok_or_else(|| damaged("kv value"))?))
            })
            .collect()
    }

    pub(super) async fn read_secrets(
        &self,
        id: &AccountId,
    ) -> Result<Vec<(String, SecretBytes)>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(account) = self.keys.account(&mut connection, id).await? else {
            return Ok(Vec::new());
        };
        let rows = query("SELECT name, value_sealed FROM secret WHERE account = ? ORDER BY name")
            .bind(id.as_str())
            .fetch_all(&mut connection)
            .await?;
        rows.iter()
            .map(|row| {
                let name: String = row.try_get(0)?;
                let value = account
                    .key
                    .open(Kind::Secret, name.as_bytes(), row.try_get(1)?)
                    .ok_or_else(|| damaged("secret"))?;
                Ok((name, value.into()))
            })
            .collect()
    }

    pub(super) async fn read_timers(
        &self,
        id: &AccountId,
    ) -> Result<Vec<(String, DurableTimer)>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(account) = self.keys.account(&mut connection, id).await? else {
            return Ok(Vec::new());
        };
        let rows = query(
            "SELECT label, due_at, context_sealed FROM timer WHERE account = ? ORDER BY label",
        )
        .bind(id.as_str())
        .fetch_all(&mut connection)
        .await?;
        rows.iter()
            .map(|row| {
                let label: String = row.try_get(0)?;
                let context = account
                    .key
                    .open(Kind::Timer, label.as_bytes(), row.try_get(2)?)
                    .ok_or_else(|| damaged("timer"))?;
                let at = time(row.try_get(1)?);
                Ok((label, DurableTimer { at, context }))
            })
            .collect()
    }

    pub(super) async fn read_requests(
        &self,
        id: &AccountId,
    ) -> Result<Vec<StoredRequest>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(account) = self.keys.account(&mut connection, id).await? else {
            return Ok(Vec::new());
        };
        let rows =
            query("SELECT id, started, request_sealed FROM request WHERE account = ? ORDER BY id")
                .bind(id.as_str())
                .fetch_all(&mut connection)
                .await?;
        rows.iter()
            .map(|row| {
                let id = row.try_get::<&[u8], _>(0)?;
                let id = Uuid::from_slice(id).map_err(|_| damaged("id of a request"))?;
                let request = account
                    .key
                    .open(Kind::Request, id.as_bytes(), row.try_get(2)?)
                    .ok_or_else(|| damaged("request"))?;
                Ok(StoredRequest {
                    id,
                    started: row.try_get::<i64, _>(1)? != 0,
                    request,
                })
            })
            .collect()
    }
}

/// The first key, in byte order, behind all that have this prefix. None: there is no such.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut bound = prefix[..=last].to_vec();
    bound[last] += 1;
    Some(bound)
}
