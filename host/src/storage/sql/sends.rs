//! Reading sends. Those of accounts that are gone cannot be read any more and are skipped.

use super::SqlStore;
use super::commit::{idempotency_hash, send_id};
use super::connection::Connection;
use super::error::{damaged, not_found};
use super::keys::Keyring;
use super::query::query;
use super::rows::{Many, from_json, partition, signed, time};
use super::value::Row;
use crate::domain::send::{Send, SendState};
use crate::domain::{AccountId, SendId, Timestamp, WorkspaceId};
use crate::storage::seal::Kind;
use crate::storage::{Page, StorageError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

macro_rules! select_send {
    ($from:literal, $condition:literal) => {
        concat!(
            "SELECT send.id, send.account, send.partition, send.state, send.recorded_at, ",
            "send.dispatched_at, send.settled_at, send.outgoing_sealed, send.sent_sealed, ",
            "send.failure_sealed, account.workspace, data_key.wrapped FROM ",
            $from,
            " CROSS JOIN account ON account.id = send.account ",
            "CROSS JOIN data_key ON data_key.owner = 'account:' || send.account WHERE ",
            $condition
        )
    };
}

pub(super) async fn read_send(
    connection: &mut Connection,
    keys: &Keyring,
    id: &SendId,
) -> Result<Option<Send>, StorageError> {
    let row = query(select_send!("send", "send.id = ?"))
        .bind(id.0.as_bytes().to_vec())
        .fetch_optional(connection)
        .await?;
    row.map(|row| send_of(keys, &row)).transpose()
}

/// Sends that were refused although a COMMIT without an answer may have recorded them.
pub(super) async fn delete_recorded(
    connection: &mut Connection,
    ids: &[SendId],
) -> Result<(), StorageError> {
    const KEYS: Many = Many {
        before: "DELETE FROM idempotency WHERE (workspace, key) IN \
                 (SELECT found.workspace, found.key FROM send CROSS JOIN idempotency AS found \
                 ON found.workspace = send.workspace AND found.key = send.idempotency_key \
                 AND found.send = send.id WHERE send.state = 'recorded' AND send.id IN (",
        row: "?",
        after: "))",
    };
    const HAND_OVERS: Many = Many {
        before: "DELETE FROM hand_over WHERE send IN (SELECT id FROM send \
                 WHERE state = 'recorded' AND id IN (",
        row: "?",
        after: "))",
    };
    const USES: Many = Many {
        before: "DELETE FROM blob_use WHERE send IN (SELECT id FROM send \
                 WHERE state = 'recorded' AND id IN (",
        row: "?",
        after: "))",
    };
    const SENDS: Many = Many {
        before: "DELETE FROM send WHERE state = 'recorded' AND id IN (",
        row: "?",
        after: ")",
    };
    for statement in [KEYS, HAND_OVERS, USES, SENDS] {
        statement
            .execute(connection, ids.iter(), |statement, id| {
                statement.bind(id.0.as_bytes().to_vec())
            })
            .await?;
    }
    Ok(())
}

fn send_of(keys: &Keyring, row: &Row) -> Result<Send, StorageError> {
    let id = send_id(row.try_get(0)?)?;
    let account = AccountId::from_text(row.try_get::<String, _>(1)?);
    let key = keys.unwrap_account(&account, row.try_get(10)?, row.try_get(11)?)?;
    let open = |kind, sealed: &[u8]| {
        key.key
            .open(kind, id.0.as_bytes(), sealed)
            .ok_or_else(|| damaged("content of a send"))
    };
    let state: String = row.try_get(3)?;
    let sent = match row.try_get::<Option<&[u8]>, _>(8)? {
        Some(sealed) => Some(from_json(&open(Kind::Sent, sealed)?, "sent message")?),
        None => None,
    };
    let failure = match row.try_get::<Option<&[u8]>, _>(9)? {
        Some(sealed) => Some(from_json(&open(Kind::Failure, sealed)?, "failure")?),
        None => None,
    };
    Ok(Send {
        id,
        workspace: key.workspace.clone(),
        partition: partition(row.try_get(2)?)?,
        state: SendState::parse(&state).ok_or_else(|| damaged("state of a send"))?,
        outgoing: from_json(&open(Kind::Outgoing, row.try_get(7)?)?, "message")?,
        recorded_at: time(row.try_get(4)?),
        dispatched_at: row.try_get::<Option<i64>, _>(5)?.map(time),
        settled_at: row.try_get::<Option<i64>, _>(6)?.map(time),
        sent,
        failure,
        account,
    })
}

impl SqlStore {
    pub(super) async fn find_send(
        &self,
        workspace: &WorkspaceId,
        id: &SendId,
    ) -> Result<Option<Send>, StorageError> {
        let mut connection = self.reader().await?;
        let send = read_send(&mut connection, &self.keys, id).await?;
        Ok(send.filter(|send| send.workspace == *workspace))
    }

    pub(super) async fn find_send_by_message(
        &self,
        workspace: &WorkspaceId,
        account: &AccountId,
        message: &str,
    ) -> Result<Option<Send>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(key) = self.keys.account(&mut connection, account).await? else {
            return Ok(None);
        };
        if key.workspace != *workspace {
            return Ok(None);
        }
        let row = query(select_send!(
            "sent_message CROSS JOIN send ON send.id = sent_message.send",
            "sent_message.account = ? AND sent_message.message = ?"
        ))
        .bind(account.as_str())
        .bind(key.key.blind("message", message).to_vec())
        .fetch_optional(&mut connection)
        .await?;
        row.map(|row| send_of(&self.keys, &row)).transpose()
    }

    /// A cursor that is none of ours: [`not_found`].
    pub(super) async fn list_sends(
        &self,
        workspace: &WorkspaceId,
        account: Option<&AccountId>,
        state: Option<SendState>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Send>, StorageError> {
        let before = match cursor {
            Some(cursor) => Some(read_cursor(cursor).ok_or_else(not_found)?),
            None => None,
        };
        // Ids are ordered by time.
        let before = before.unwrap_or(Uuid::max()).as_bytes().to_vec();
        let limit = limit.max(1) as usize;
        let query = match account {
            Some(account) => query(select_send!(
                "send",
                "send.account = ? AND send.id < ? AND (? IS NULL OR send.state = ?) \
                 AND send.workspace = ? ORDER BY send.id DESC LIMIT ?"
            ))
            .bind(account.as_str()),
            None => query(select_send!(
                "send",
                "send.workspace = ? AND send.id < ? AND (? IS NULL OR send.state = ?) \
                 AND send.workspace = ? ORDER BY send.id DESC LIMIT ?"
            ))
            .bind(workspace.as_str()),
        };
        let mut connection = self.reader().await?;
        let rows = query
            .bind(before)
            .bind(state.map(SendState::as_str))
            .bind(state.map(SendState::as_str))
            .bind(workspace.as_str())
            .bind(limit as i64 + 1)
            .fetch_all(&mut connection)
            .await?;
        let items = rows
            .iter()
            .take(limit)
            .map(|row| send_of(&self.keys, row))
            .collect::<Result<Vec<_>, _>>()?;
        let next = match items.last() {
            Some(last) if rows.len() > limit => Some(write_cursor(last.id.0)),
            _ => None,
        };
        Ok(Page { items, next })
    }

    pub(super) async fn list_unsettled(
        &self,
        account: &AccountId,
    ) -> Result<Vec<Send>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query(select_send!(
            "send",
            "send.account = ? AND send.state IN ('recorded', 'dispatched') ORDER BY send.id"
        ))
        .bind(account.as_str())
        .fetch_all(&mut connection)
        .await?;
        rows.iter().map(|row| send_of(&self.keys, row)).collect()
    }

    pub(super) async fn find_idempotent(
        &self,
        workspace: &WorkspaceId,
        key: &str,
    ) -> Result<Option<(Send, [u8; 32])>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(data_key) = self.keys.workspace(&mut connection, workspace).await? else {
            return Ok(None);
        };
        let row = query(
            "SELECT fingerprint, send FROM idempotency \
             WHERE workspace = ? AND key = ? AND expires_at > ?",
        )
        .bind(workspace.as_str())
        .bind(idempotency_hash(&data_key, key).to_vec())
        .bind(signed(Timestamp::now().0))
        .fetch_optional(&mut connection)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let fingerprint = <[u8; 32]>::try_from(row.try_get::<&[u8], _>(0)?)
            .map_err(|_| damaged("fingerprint"))?;
        let id = send_id(row.try_get(1)?)?;
        let send = read_send(&mut connection, &self.keys, &id).await?;
        Ok(send.map(|send| (send, fingerprint)))
    }
}

const CURSOR: &str = "v1:sends:";

fn write_cursor(last: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR}{}", last.simple()))
}

fn read_cursor(cursor: &str) -> Option<Uuid> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    Uuid::parse_str(text.strip_prefix(CURSOR)?).ok()
}
