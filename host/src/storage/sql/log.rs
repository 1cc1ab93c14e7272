//! Reading the log. Events of accounts that are gone are skipped: their key is destroyed.

use super::SqlStore;
use super::error::damaged;
use super::keys::AccountKey;
use super::query::query;
use super::rows::{offset_of, partition, position, time};
use super::value::Row;
use crate::domain::event::{LoggedEvent, NewEvent};
use crate::domain::{AccountId, EventId, PartitionId, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::seal::{DataKey, Kind};

/// A read ends with the event that reaches this.
const READ_BYTES: usize = 1024 * 1024;

/// Body and conversation as one value: the body, the conversation, and its length in four bytes
/// (all ones: none).
pub(super) fn seal_body(key: &DataKey, event: &NewEvent) -> Vec<u8> {
    let conversation = event.conversation.as_deref();
    let length = conversation.map_or(u32::MAX, |text| text.len() as u32);
    key.seal_parts(
        Kind::Event,
        event.id.as_str().as_bytes(),
        &[
            &event.body,
            conversation.unwrap_or_default().as_bytes(),
            &length.to_le_bytes(),
        ],
    )
}

fn open_body(key: &DataKey, id: &str, sealed: &[u8]) -> Option<(Vec<u8>, Option<String>)> {
    let mut plain = key.open(Kind::Event, id.as_bytes(), sealed)?;
    let length = plain.split_off(plain.len().checked_sub(4)?);
    let length = u32::from_le_bytes(length.try_into().ok()?);
    if length == u32::MAX {
        return Some((plain, None));
    }
    let conversation = plain.split_off(plain.len().checked_sub(length as usize)?);
    Some((plain, Some(String::from_utf8(conversation).ok()?)))
}

macro_rules! select_event {
    ($condition:literal) => {
        concat!(
            "SELECT event.position, event.account, event.id, event.kind, event.occurred_at, ",
            "event.recorded_at, event.body_sealed, account.workspace, data_key.wrapped ",
            "FROM event CROSS JOIN account ON account.id = event.account ",
            "CROSS JOIN data_key ON data_key.owner = 'account:' || event.account ",
            "WHERE ",
            $condition
        )
    };
}

const READ: &str = select_event!(
    "event.position > ? AND event.position <= ? AND account.workspace = ? \
     ORDER BY event.position LIMIT ?"
);

/// The bytes before each event are counted by the server.
const READ_UP_TO: &str = select_event!(
    "event.position IN (SELECT position FROM (SELECT found.position, \
       sum(octet_length(found.body_sealed)) OVER (ORDER BY found.position) \
         - octet_length(found.body_sealed) AS before \
       FROM event AS found JOIN account AS owner ON owner.id = found.account \
       WHERE found.position > ? AND found.position <= ? AND owner.workspace = ? \
         AND owner.deleted_at IS NULL \
       ORDER BY found.position LIMIT ?) AS counted WHERE before < ?) \
     ORDER BY event.position"
);

impl SqlStore {
    pub(super) async fn events_after(
        &self,
        workspace: &WorkspaceId,
        partition: PartitionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<LoggedEvent>, StorageError> {
        let mut connection = self.reader().await?;
        // One at a time costs SQLite nothing; a server sends what it was asked for, so it is asked
        // for no more than is wanted.
        let statement = if connection.is_postgres() {
            READ_UP_TO
        } else {
            READ
        };
        let mut read = query(statement)
            .bind(position(partition, after))
            .bind(position(partition, u64::MAX))
            .bind(workspace.as_str())
            .bind(i64::from(limit));
        if connection.is_postgres() {
            read = read.bind(READ_BYTES as i64);
        }
        let mut events = Vec::new();
        let mut bytes = 0;
        read.fetch_while(&mut connection, |row| {
            let event = self.logged_event(&row)?;
            bytes += event.body.len();
            events.push(event);
            Ok(bytes < READ_BYTES)
        })
        .await?;
        Ok(events)
    }

    pub(super) async fn event_at(
        &self,
        partition: PartitionId,
        offset: u64,
    ) -> Result<Option<LoggedEvent>, StorageError> {
        let mut connection = self.reader().await?;
        let row = query(select_event!("event.position = ?"))
            .bind(position(partition, offset))
            .fetch_optional(&mut connection)
            .await?;
        row.map(|row| self.logged_event(&row)).transpose()
    }

    pub(super) async fn event_named(
        &self,
        workspace: &WorkspaceId,
        id: &EventId,
    ) -> Result<Option<(PartitionId, LoggedEvent)>, StorageError> {
        let mut connection = self.reader().await?;
        let row = query(select_event!("event.id = ? AND account.workspace = ?"))
            .bind(id.as_str())
            .bind(workspace.as_str())
            .fetch_optional(&mut connection)
            .await?;
        row.map(|row| {
            let place: i64 = row.try_get(0)?;
            Ok((partition(place >> 48)?, self.logged_event(&row)?))
        })
        .transpose()
    }

    fn logged_event(&self, row: &Row) -> Result<LoggedEvent, StorageError> {
        let account = AccountId::from_text(row.try_get::<String, _>(1)?);
        let id: String = row.try_get(2)?;
        let AccountKey { key, .. } =
            self.keys
                .unwrap_account(&account, row.try_get(7)?, row.try_get(8)?)?;
        let (body, conversation) =
            open_body(&key, &id, row.try_get(6)?).ok_or_else(|| damaged("event"))?;
        Ok(LoggedEvent {
            offset: offset_of(row.try_get(0)?),
            account,
            id: EventId::from_text(id),
            kind: row.try_get(3)?,
            conversation,
            occurred_at: time(row.try_get(4)?),
            recorded_at: time(row.try_get(5)?),
            body,
        })
    }
}
