//! Endpoints, their cursors and detours, and the delivery log.

use super::SqlStore;
use super::connection::Connection;
use super::error::{damaged, not_found};
use super::query::query;
use super::rows::{
    from_json, from_word, partition, signed, time, to_json, to_json_text, unsigned, word,
};
use super::value::Row;
use crate::domain::endpoint::{Attempt, Detour, Endpoint, EndpointState};
use crate::domain::id::AttemptId;
use crate::domain::{EndpointId, EventId, PartitionId, Timestamp, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::seal::{DataKey, Kind};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// The sealed part of an endpoint.
#[derive(Serialize, Deserialize)]
struct Target<'a> {
    url: Cow<'a, str>,
    secret: Option<Cow<'a, str>>,
    old_secret: Option<(Cow<'a, str>, Timestamp)>,
}

/// The sealed part of a detour.
#[derive(Serialize, Deserialize)]
struct Note<'a> {
    key: Cow<'a, str>,
    last_error: Option<Cow<'a, str>>,
}

pub(super) fn seal_note(key: &DataKey, detour: &Detour) -> Result<Vec<u8>, StorageError> {
    let note = Note {
        key: Cow::Borrowed(&detour.key),
        last_error: detour.last_error.as_deref().map(Cow::Borrowed),
    };
    let name = detour.event.as_str().as_bytes();
    Ok(key.seal(Kind::Detour, name, &to_json(&note)?))
}

/// Response, error, and the length of the error in four bytes (all ones: none).
pub(super) fn seal_answer(key: &DataKey, attempt: &Attempt) -> Result<Vec<u8>, StorageError> {
    let error = attempt.error.as_deref();
    let length = error.map_or(u32::MAX, |text| text.len() as u32);
    Ok(key.seal_parts(
        Kind::Attempt,
        attempt.id.as_str().as_bytes(),
        &[
            &attempt.response,
            error.unwrap_or_default().as_bytes(),
            &length.to_le_bytes(),
        ],
    ))
}

fn open_answer(key: &DataKey, id: &str, sealed: &[u8]) -> Option<(Vec<u8>, Option<String>)> {
    let mut plain = key.open(Kind::Attempt, id.as_bytes(), sealed)?;
    let length = plain.split_off(plain.len().checked_sub(4)?);
    let length = u32::from_le_bytes(length.try_into().ok()?);
    if length == u32::MAX {
        return Some((plain, None));
    }
    let error = plain.split_off(plain.len().checked_sub(length as usize)?);
    Some((plain, Some(String::from_utf8(error).ok()?)))
}

const COLUMNS: &str = "SELECT id, workspace, state, state_reason, subscribed_events, accounts, \
                       retry, ordering, created_at, target_sealed FROM endpoint";

impl SqlStore {
    pub(super) async fn insert_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .insert_endpoint_rows(&mut transaction.connection, endpoint)
            .await;
        transaction.end(result).await
    }

    async fn insert_endpoint_rows(
        &self,
        connection: &mut Connection,
        endpoint: &Endpoint,
    ) -> Result<(), StorageError> {
        query(
            "INSERT INTO endpoint (id, workspace, created_at, state, subscribed_events, accounts, \
             retry, ordering, target_sealed) VALUES (?, ?, ?, '', '', '', '', '', ?)",
        )
        .bind(endpoint.id.as_str())
        .bind(endpoint.workspace.as_str())
        .bind(signed(endpoint.created_at.0))
        .bind(Vec::new())
        .execute(connection)
        .await?;
        self.write_endpoint(connection, endpoint).await?;
        query(
            "INSERT INTO cursor (endpoint, partition, event_offset) \
             SELECT ?, id, head FROM partition",
        )
        .bind(endpoint.id.as_str())
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn endpoint_key(
        &self,
        connection: &mut Connection,
        workspace: &WorkspaceId,
    ) -> Result<Arc<DataKey>, StorageError> {
        self.keys
            .workspace(connection, workspace)
            .await?
            .ok_or_else(not_found)
    }

    /// Everything but id, workspace and time of creation.
    async fn write_endpoint(
        &self,
        connection: &mut Connection,
        endpoint: &Endpoint,
    ) -> Result<(), StorageError> {
        let key = self.endpoint_key(connection, &endpoint.workspace).await?;
        let target = Target {
            url: Cow::Borrowed(&endpoint.url),
            secret: endpoint
                .secret
                .as_ref()
                .map(|secret| Cow::Borrowed(secret.expose())),
            old_secret: endpoint
                .old_secret
                .as_ref()
                .map(|(secret, until)| (Cow::Borrowed(secret.expose()), *until)),
        };
        let sealed = key.seal(
            Kind::Endpoint,
            endpoint.id.as_str().as_bytes(),
            &to_json(&target)?,
        );
        let changed = query(
            "UPDATE endpoint SET state = ?, state_reason = ?, subscribed_events = ?, \
             accounts = ?, retry = ?, ordering = ?, target_sealed = ? \
             WHERE id = ? AND workspace = ?",
        )
        .bind(word(&endpoint.state)?)
        .bind(endpoint.state_reason.clone())
        .bind(to_json_text(&endpoint.subscribed_events)?)
        .bind(to_json_text(&endpoint.accounts)?)
        .bind(to_json_text(&endpoint.retry)?)
        .bind(word(&endpoint.ordering)?)
        .bind(sealed)
        .bind(endpoint.id.as_str())
        .bind(endpoint.workspace.as_str())
        .execute(connection)
        .await?
        .rows_affected();
        if changed == 0 {
            Err(not_found())
        } else {
            Ok(())
        }
    }

    pub(super) async fn find_endpoint(
        &self,
        workspace: &WorkspaceId,
        id: &EndpointId,
    ) -> Result<Option<Endpoint>, StorageError> {
        let mut connection = self.reader().await?;
        let row = query(format!("{COLUMNS} WHERE id = ? AND workspace = ?"))
            .bind(id.as_str())
            .bind(workspace.as_str())
            .fetch_optional(&mut connection)
            .await?;
        match row {
            Some(row) => Ok(Some(self.endpoint_of(&mut connection, &row).await?)),
            None => Ok(None),
        }
    }

    /// Of one workspace, or all; oldest first.
    pub(super) async fn list_endpoints(
        &self,
        workspace: Option<&WorkspaceId>,
    ) -> Result<Vec<Endpoint>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query(format!(
            "{COLUMNS} WHERE ? IS NULL OR workspace = ? ORDER BY created_at, id"
        ))
        .bind(workspace.map(|id| id.as_str()))
        .bind(workspace.map(|id| id.as_str()))
        .fetch_all(&mut connection)
        .await?;
        let mut endpoints = Vec::with_capacity(rows.len());
        for row in rows {
            endpoints.push(self.endpoint_of(&mut connection, &row).await?);
        }
        Ok(endpoints)
    }

    async fn endpoint_of(
        &self,
        connection: &mut Connection,
        row: &Row,
    ) -> Result<Endpoint, StorageError> {
        let id: String = row.try_get(0)?;
        let workspace = WorkspaceId::from_text(row.try_get::<String, _>(1)?);
        let key = self.endpoint_key(connection, &workspace).await?;
        let target = key
            .open(Kind::Endpoint, id.as_bytes(), row.try_get(9)?)
            .ok_or_else(|| damaged("endpoint"))?;
        let target: Target<'_> = from_json(&target, "endpoint")?;
        Ok(Endpoint {
            id: EndpointId::from_text(id),
            workspace,
            url: target.url.into_owned(),
            state: from_word(row.try_get(2)?, "state of an endpoint")?,
            state_reason: row.try_get(3)?,
            subscribed_events: from_json(row.try_get::<String, _>(4)?.as_bytes(), "endpoint")?,
            accounts: from_json(row.try_get::<String, _>(5)?.as_bytes(), "endpoint")?,
            secret: target.secret.map(|secret| secret.into_owned().into()),
            old_secret: target
                .old_secret
                .map(|(secret, until)| (secret.into_owned().into(), until)),
            retry: from_json(row.try_get::<String, _>(6)?.as_bytes(), "retry policy")?,
            ordering: from_word(row.try_get(7)?, "ordering of an endpoint")?,
            created_at: time(row.try_get(8)?),
        })
    }

    /// [`not_found`] when it is gone: it must not come back without its cursors.
    pub(super) async fn change_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .write_endpoint(&mut transaction.connection, endpoint)
            .await;
        transaction.end(result).await
    }

    pub(super) async fn change_endpoint_state(
        &self,
        id: &EndpointId,
        state: EndpointState,
        reason: Option<&str>,
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = query(
            "UPDATE endpoint SET state = ?, state_reason = ? WHERE id = ? AND state <> 'inactive'",
        )
        .bind(word(&state)?)
        .bind(reason.map(str::to_owned))
        .bind(id.as_str())
        .execute(&mut transaction.connection)
        .await
        .map(|_| ());
        transaction.end(result).await
    }

    pub(super) async fn destroy_endpoint(&self, id: &EndpointId) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = delete_endpoint_rows(&mut transaction.connection, id).await;
        transaction.end(result).await?;
        // A long delivery log is not removed in one go: writers wait meanwhile. What a crash
        // leaves behind belongs to no endpoint and is never read.
        for statement in [
            "DELETE FROM detour WHERE (endpoint, partition, event_offset) IN \
             (SELECT endpoint, partition, event_offset FROM detour WHERE endpoint = ? LIMIT 5000)",
            "DELETE FROM attempt WHERE sequence IN \
             (SELECT sequence FROM attempt WHERE endpoint = ? LIMIT 5000)",
        ] {
            loop {
                let mut transaction = self.begin().await?;
                let result = query(statement)
                    .bind(id.as_str())
                    .execute(&mut transaction.connection)
                    .await;
                if transaction.end(result).await?.rows_affected() == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn read_cursors(&self, id: &EndpointId) -> Result<Vec<u64>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query("SELECT event_offset FROM cursor WHERE endpoint = ? ORDER BY partition")
            .bind(id.as_str())
            .fetch_all(&mut connection)
            .await?;
        if rows.is_empty() {
            return Err(not_found());
        }
        if rows.len() != usize::from(PartitionId::COUNT) {
            return Err(damaged("cursor"));
        }
        rows.iter()
            .map(|row| Ok(unsigned(row.try_get(0)?)))
            .collect()
    }

    /// The parked ones, or all others.
    pub(super) async fn read_detours(
        &self,
        id: &EndpointId,
        parked: bool,
    ) -> Result<Vec<Detour>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(key) = self.key_of_endpoint(&mut connection, id).await? else {
            return Ok(Vec::new());
        };
        let rows = query(
            "SELECT partition, event_offset, event, state, attempts, next_at, since, note_sealed \
             FROM detour WHERE endpoint = ? AND CASE WHEN state = 'parked' THEN 1 ELSE 0 END = ? \
             ORDER BY partition, event_offset",
        )
        .bind(id.as_str())
        .bind(parked)
        .fetch_all(&mut connection)
        .await?;
        rows.iter()
            .map(|row| {
                let event: String = row.try_get(2)?;
                let note = key
                    .open(Kind::Detour, event.as_bytes(), row.try_get(7)?)
                    .ok_or_else(|| damaged("detour"))?;
                let note: Note<'_> = from_json(&note, "detour")?;
                Ok(Detour {
                    endpoint: id.clone(),
                    partition: partition(row.try_get(0)?)?,
                    offset: unsigned(row.try_get(1)?),
                    key: note.key.into_owned(),
                    event: EventId::from_text(event),
                    attempts: row.try_get(4)?,
                    state: from_word(row.try_get(3)?, "state of a detour")?,
                    next_at: time(row.try_get(5)?),
                    since: time(row.try_get(6)?),
                    last_error: note.last_error.map(Cow::into_owned),
                })
            })
            .collect()
    }

    async fn key_of_endpoint(
        &self,
        connection: &mut Connection,
        id: &EndpointId,
    ) -> Result<Option<Arc<DataKey>>, StorageError> {
        let row = query("SELECT workspace FROM endpoint WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(connection)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let workspace = WorkspaceId::from_text(row.try_get::<String, _>(0)?);
        self.keys.workspace(connection, &workspace).await
    }

    pub(super) async fn read_attempts(
        &self,
        id: &EndpointId,
        event: Option<&EventId>,
        limit: u32,
    ) -> Result<Vec<Attempt>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(key) = self.key_of_endpoint(&mut connection, id).await? else {
            return Ok(Vec::new());
        };
        let query = match event {
            // The endpoint's attempts are many, the event's few: its index is the one to take.
            Some(event) => query(
                "SELECT id, event, at, number, status, latency_ms, answer_sealed FROM attempt \
                 WHERE event = ? AND endpoint || '' = ? \
                 ORDER BY sequence DESC LIMIT ?",
            )
            .bind(event.as_str()),
            None => query(
                "SELECT id, event, at, number, status, latency_ms, answer_sealed FROM attempt \
                 WHERE endpoint = ? ORDER BY sequence DESC LIMIT ?",
            ),
        };
        let rows = query
            .bind(id.as_str())
            .bind(i64::from(limit))
            .fetch_all(&mut connection)
            .await?;
        rows.iter()
            .map(|row| {
                let attempt: String = row.try_get(0)?;
                let (response, error) = open_answer(&key, &attempt, row.try_get(6)?)
                    .ok_or_else(|| damaged("attempt"))?;
                Ok(Attempt {
                    id: AttemptId::from_text(attempt),
                    endpoint: id.clone(),
                    event: EventId::from_text(row.try_get::<String, _>(1)?),
                    at: time(row.try_get(2)?),
                    number: row.try_get(3)?,
                    status: row.try_get(4)?,
                    latency_ms: row.try_get(5)?,
                    error,
                    response,
                })
            })
            .collect()
    }
}

async fn delete_endpoint_rows(
    connection: &mut Connection,
    id: &EndpointId,
) -> Result<(), StorageError> {
    for statement in [
        "DELETE FROM endpoint WHERE id = ?",
        "DELETE FROM cursor WHERE endpoint = ?",
    ] {
        query(statement)
            .bind(id.as_str())
            .execute(connection)
            .await?;
    }
    Ok(())
}
