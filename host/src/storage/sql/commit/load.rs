//! What the database says about everything a group names, before the group is applied.

use super::super::connection::Connection;
use super::super::error::damaged;
use super::super::keys::{AccountKey, Keyring};
use super::super::rows::{Many, partition, time, unsigned};
use crate::domain::send::SendState;
use crate::domain::{AccountId, PartitionId, SendId, Timestamp, WorkspaceId};
use crate::storage::seal::DataKey;
use crate::storage::{StorageError, Write, Written};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

pub(super) struct Picture {
    pub partitions: HashMap<PartitionId, PartitionRow>,
    /// Live ones only.
    pub accounts: HashMap<AccountId, AccountRow>,
    pub sends: HashMap<SendId, SendRow>,
    pub workspaces: HashMap<WorkspaceId, Arc<DataKey>>,
    /// By workspace and keyed hash.
    pub idempotency: HashMap<(WorkspaceId, [u8; 16]), IdempotencyRow>,
}

pub(super) struct PartitionRow {
    pub epoch: u64,
    pub head: u64,
}

pub(super) struct AccountRow {
    pub partition: PartitionId,
    pub turn_seq: u64,
    pub key: AccountKey,
}

#[derive(Clone)]
pub(super) struct SendRow {
    pub account: AccountId,
    pub state: SendState,
}

#[derive(Clone)]
pub(super) struct IdempotencyRow {
    pub fingerprint: Vec<u8>,
    pub send: SendId,
    pub expires_at: Timestamp,
}

impl Picture {
    /// Why nothing may be written for the account, if so.
    pub fn refusal(
        &self,
        workspace: &WorkspaceId,
        account: &AccountId,
        partition: PartitionId,
        epoch: Option<u64>,
    ) -> Option<Written> {
        let Some(row) = self.accounts.get(account) else {
            return Some(Written::Gone);
        };
        if row.key.workspace != *workspace {
            return Some(Written::Gone);
        }
        let stale = epoch.is_some_and(|epoch| self.is_stale(&[(partition, epoch)]));
        if row.partition != partition || stale {
            return Some(Written::Fenced);
        }
        None
    }

    /// Has one of the partitions another epoch than that?
    pub fn is_stale(&self, epochs: &[(PartitionId, u64)]) -> bool {
        epochs.iter().any(|(partition, epoch)| {
            let row = self.partitions.get(partition);
            row.is_none_or(|row| row.epoch != *epoch)
        })
    }

    pub fn turn_seq(&self, account: &AccountId) -> u64 {
        self.accounts.get(account).map_or(0, |row| row.turn_seq)
    }
}

pub(super) async fn picture(
    connection: &mut Connection,
    keys: &Keyring,
    group: &[Write],
) -> Result<Picture, StorageError> {
    let mut partition_ids = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut account_ids = HashSet::new();
    let mut workspace_ids = HashSet::new();
    let mut send_ids = HashSet::new();
    for write in group {
        match write {
            Write::Account(commit) => {
                partition_ids.insert(commit.partition);
                account_ids.insert(&commit.account);
                send_ids.extend(commit.sends.iter().map(|change| change.id));
            }
            Write::RecordSend(record) => {
                partition_ids.insert(record.partition);
                account_ids.insert(&record.account);
                send_ids.insert(record.id);
                if record.idempotency.is_some() {
                    workspace_ids.insert(&record.workspace);
                }
            }
            Write::Delivery(progress) => {
                seen.extend(progress.epochs.iter().map(|(partition, _)| *partition));
            }
        }
    }
    // First: what is read after it stays true until the end.
    seen.retain(|partition| !partition_ids.contains(partition));
    let mut partitions = partitions(connection, partition_ids, Hold::Write).await?;
    partitions.extend(self::partitions(connection, seen, Hold::Owner).await?);
    let mut workspaces = HashMap::new();
    for id in workspace_ids {
        if let Some(key) = keys.workspace(connection, id).await? {
            workspaces.insert(id.clone(), key);
        }
    }
    Ok(Picture {
        partitions,
        accounts: accounts(connection, keys, account_ids).await?,
        sends: sends(connection, send_ids).await?,
        idempotency: idempotency(connection, &workspaces, group).await?,
        workspaces,
    })
}

/// What of a partition stays until the end.
#[derive(Clone, Copy)]
enum Hold {
    /// Its owner and head: events are appended.
    Write,
    /// Its owner: deliveries only have to be still its business. Does not wait for commits.
    Owner,
}

async fn partitions(
    connection: &mut Connection,
    ids: BTreeSet<PartitionId>,
    hold: Hold,
) -> Result<HashMap<PartitionId, PartitionRow>, StorageError> {
    const FIND: Many = Many {
        before: "SELECT id, epoch, head FROM partition WHERE id IN (",
        row: "?",
        after: ")",
    };
    // In one order, so that writers never wait for each other in a circle. Whoever takes a
    // partition over locks it FOR UPDATE, which waits for both.
    const FIND_AND_LOCK: Many = Many {
        after: ") ORDER BY id FOR NO KEY UPDATE",
        ..FIND
    };
    const FIND_AND_SHARE: Many = Many {
        after: ") ORDER BY id FOR KEY SHARE",
        ..FIND
    };
    let find = match hold {
        _ if !connection.is_postgres() => FIND,
        Hold::Write => FIND_AND_LOCK,
        Hold::Owner => FIND_AND_SHARE,
    };
    let rows = find
        .fetch(connection, ids.into_iter(), |statement, id| {
            statement.bind(i64::from(id.0))
        })
        .await?;
    rows.iter()
        .map(|row| {
            let found = PartitionRow {
                epoch: unsigned(row.try_get(1)?),
                head: unsigned(row.try_get(2)?),
            };
            Ok((partition(row.try_get(0)?)?, found))
        })
        .collect()
}

async fn accounts(
    connection: &mut Connection,
    keys: &Keyring,
    ids: HashSet<&AccountId>,
) -> Result<HashMap<AccountId, AccountRow>, StorageError> {
    const FIND: Many = Many {
        before: "SELECT id, partition, turn_seq FROM account \
                 WHERE deleted_at IS NULL AND id IN (",
        row: "?",
        after: ")",
    };
    let mut unwrapped = keys.accounts(connection, ids.iter().copied()).await?;
    let rows = FIND
        .fetch(connection, ids.into_iter(), |statement, id| {
            statement.bind(id.as_str())
        })
        .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let id = AccountId::from_text(row.try_get::<String, _>(0)?);
        let key = unwrapped
            .remove(&id)
            .ok_or_else(|| damaged("account without a data key"))?;
        let account = AccountRow {
            partition: partition(row.try_get(1)?)?,
            turn_seq: unsigned(row.try_get(2)?),
            key,
        };
        found.insert(id, account);
    }
    Ok(found)
}

async fn sends(
    connection: &mut Connection,
    ids: HashSet<SendId>,
) -> Result<HashMap<SendId, SendRow>, StorageError> {
    const FIND: Many = Many {
        before: "SELECT id, account, state FROM send WHERE id IN (",
        row: "?",
        after: ")",
    };
    let rows = FIND
        .fetch(connection, ids.into_iter(), |statement, id| {
            statement.bind(id.0.as_bytes().to_vec())
        })
        .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let state: String = row.try_get(2)?;
        let send = SendRow {
            account: AccountId::from_text(row.try_get::<String, _>(1)?),
            state: SendState::parse(&state).ok_or_else(|| damaged("state of a send"))?,
        };
        found.insert(send_id(row.try_get(0)?)?, send);
    }
    Ok(found)
}

pub(in super::super) fn send_id(bytes: &[u8]) -> Result<SendId, StorageError> {
    Uuid::from_slice(bytes)
        .map(SendId)
        .map_err(|_| damaged("id of a send"))
}

async fn idempotency(
    connection: &mut Connection,
    workspaces: &HashMap<WorkspaceId, Arc<DataKey>>,
    group: &[Write],
) -> Result<HashMap<(WorkspaceId, [u8; 16]), IdempotencyRow>, StorageError> {
    const FIND: Many = Many {
        before: "WITH wanted (workspace, key) AS (VALUES ",
        row: "(?,?)",
        after: ") SELECT found.workspace, found.key, found.fingerprint, found.send, \
                found.expires_at FROM wanted CROSS JOIN idempotency AS found \
                ON found.workspace = wanted.workspace AND found.key = wanted.key",
    };
    let wanted: Vec<(&WorkspaceId, [u8; 16])> = group
        .iter()
        .filter_map(|write| {
            let Write::RecordSend(record) = write else {
                return None;
            };
            let idempotency = record.idempotency.as_ref()?;
            let key = workspaces.get(&record.workspace)?;
            Some((&record.workspace, idempotency_hash(key, &idempotency.key)))
        })
        .collect();
    let rows = FIND
        .fetch(
            connection,
            wanted.into_iter(),
            |statement, (workspace, key)| statement.bind(workspace.as_str()).bind(key.to_vec()),
        )
        .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let workspace = WorkspaceId::from_text(row.try_get::<String, _>(0)?);
        let key = <[u8; 16]>::try_from(row.try_get::<&[u8], _>(1)?)
            .map_err(|_| damaged("idempotency key"))?;
        let entry = IdempotencyRow {
            fingerprint: row.try_get(2)?,
            send: send_id(row.try_get(3)?)?,
            expires_at: time(row.try_get(4)?),
        };
        found.insert((workspace, key), entry);
    }
    Ok(found)
}

pub(in super::super) fn idempotency_hash(key: &DataKey, text: &str) -> [u8; 16] {
    key.blind("idempotency", text)
}
