//! Tidying in small steps: windows of dedupe keys, idempotency keys that have expired, what deleted
//! accounts left, and what retention lets go of.
//!
//! A pass goes through its stages; one step of it is one transaction of a few milliseconds. Must
//! never remove an event that an endpoint which is switched on still waits for, before the limit
//! that [`Retention`] gives it, and never without moving the tail of its partition.

use super::commit::{prune_idempotency, prune_windows};
use super::connection::Connection;
use super::query::query;
use super::rows::{Many, offset_of, position, signed, unsigned};
use super::shared::drop_shared;
use super::state::{Transaction, lock_partition};
use crate::domain::{PartitionId, Timestamp};
use crate::storage::{Retention, StorageError};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A step ends with the first removal after this.
const BUDGET: Duration = Duration::from_millis(3);
/// Rows that one statement looks at.
const ROWS: i64 = 300;

/// Where a pass is.
#[derive(Debug, Default)]
pub(super) struct Pass {
    stage: Stage,
    partition: u8,
    /// Positions up to here were looked at.
    after: i64,
    /// Something of this partition was removed.
    removed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Windows,
    Idempotency,
    Deleted,
    Shared,
    Attempts,
    Sends,
    Events,
}

/// One step; false: the pass is over, and the next call begins another. Each writer has the windows
/// of its accounts; the rest is done by one of them (`all`).
pub(super) async fn step(
    transaction: &mut Transaction<'_>,
    retention: &Retention,
    all: bool,
) -> Result<bool, StorageError> {
    let (now, begun) = (Timestamp::now(), Instant::now());
    loop {
        let stage = transaction.writer()?.pass.stage;
        let (removed, next) = match stage {
            Stage::Windows => (prune_windows(transaction, now).await?, Stage::Idempotency),
            Stage::Idempotency => {
                let connection = &mut transaction.connection;
                (prune_idempotency(connection, now).await?, Stage::Deleted)
            }
            Stage::Deleted => {
                let connection = &mut transaction.connection;
                (sweep_deleted(connection, now).await?, Stage::Shared)
            }
            Stage::Shared => {
                let connection = &mut transaction.connection;
                (drop_shared(connection, now, ROWS).await?, Stage::Attempts)
            }
            Stage::Attempts => {
                let before = now.0.saturating_sub(retention.attempts_ms);
                let connection = &mut transaction.connection;
                (attempts(connection, before).await?, Stage::Sends)
            }
            Stage::Sends => {
                let before = now.0.saturating_sub(retention.sends_ms);
                let connection = &mut transaction.connection;
                (sends(connection, before).await?, Stage::Events)
            }
            Stage::Events => {
                if !events(transaction, retention, now).await? {
                    transaction.writer()?.pass = Pass::default();
                    return Ok(false);
                }
                (true, Stage::Events)
            }
        };
        if !removed && !all {
            return Ok(false);
        }
        if !removed {
            transaction.writer()?.pass.stage = next;
        }
        if removed || begun.elapsed() >= BUDGET {
            return Ok(true);
        }
    }
}

/// What the account left that nobody can read any more. True: there may be more.
async fn sweep_deleted(connection: &mut Connection, now: Timestamp) -> Result<bool, StorageError> {
    let row =
        query("SELECT id FROM account WHERE deleted_at IS NOT NULL AND swept_at IS NULL LIMIT 1")
            .fetch_optional(connection)
            .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let account: String = row.try_get(0)?;
    for statement in [
        "UPDATE blob SET state = 'dying' WHERE id IN \
         (SELECT id FROM blob WHERE account = ? AND state <> 'dying' LIMIT ?)",
        "DELETE FROM attachment WHERE token IN \
         (SELECT token FROM attachment WHERE account = ? LIMIT ?)",
        "DELETE FROM secret WHERE (account, name) IN \
         (SELECT account, name FROM secret WHERE account = ? LIMIT ?)",
        "DELETE FROM kv WHERE (account, key) IN \
         (SELECT account, key FROM kv WHERE account = ? LIMIT ?)",
        "DELETE FROM timer WHERE (account, label) IN \
         (SELECT account, label FROM timer WHERE account = ? LIMIT ?)",
        "DELETE FROM request WHERE (account, id) IN \
         (SELECT account, id FROM request WHERE account = ? LIMIT ?)",
        "DELETE FROM dedupe WHERE (account, key) IN \
         (SELECT account, key FROM dedupe WHERE account = ? LIMIT ?)",
        "DELETE FROM sent_message WHERE (account, message) IN \
         (SELECT account, message FROM sent_message WHERE account = ? LIMIT ?)",
        "DELETE FROM blob_use WHERE (blob, send) IN \
         (SELECT found.blob, found.send FROM send CROSS JOIN blob_use AS found \
         ON found.send = send.id WHERE send.account = ? LIMIT ?)",
        "DELETE FROM send WHERE id IN (SELECT id FROM send WHERE account = ? LIMIT ?)",
    ] {
        let removed = query(statement)
            .bind(account.clone())
            .bind(ROWS)
            .execute(connection)
            .await?
            .rows_affected();
        if removed > 0 {
            return Ok(true);
        }
    }
    query("UPDATE account SET swept_at = ? WHERE id = ?")
        .bind(signed(now.0))
        .bind(account)
        .execute(connection)
        .await?;
    Ok(true)
}

async fn attempts(connection: &mut Connection, before: u64) -> Result<bool, StorageError> {
    let removed = query(
        "DELETE FROM attempt WHERE sequence IN \
         (SELECT sequence FROM attempt ORDER BY sequence LIMIT ?) AND at < ?",
    )
    .bind(ROWS)
    .bind(signed(before))
    .execute(connection)
    .await?
    .rows_affected();
    Ok(removed > 0)
}

/// Settled ones, with the channel's ids that name them.
async fn sends(connection: &mut Connection, before: u64) -> Result<bool, StorageError> {
    const MESSAGES: Many = Many {
        before: "DELETE FROM sent_message WHERE send IN (",
        row: "?",
        after: ")",
    };
    const USES: Many = Many {
        before: "DELETE FROM blob_use WHERE send IN (",
        row: "?",
        after: ")",
    };
    const SENDS: Many = Many {
        before: "DELETE FROM send WHERE id IN (",
        row: "?",
        after: ")",
    };
    // Ids begin with the time of their making, in 48 bits.
    let mut first = [0; 16];
    first[..6].copy_from_slice(&before.to_be_bytes()[2..]);
    let rows = query(
        "SELECT id FROM send WHERE id < ? AND state IN ('sent', 'failed', 'unknown') \
         AND settled_at < ? ORDER BY id LIMIT ?",
    )
    .bind(first.to_vec())
    .bind(signed(before))
    .bind(ROWS)
    .fetch_all(connection)
    .await?;
    let ids = rows
        .iter()
        .map(|row| row.try_get::<Vec<u8>, _>(0))
        .collect::<Result<Vec<_>, _>>()?;
    for statement in [MESSAGES, USES, SENDS] {
        statement
            .execute(connection, ids.iter(), |statement, id| {
                statement.bind(id.clone())
            })
            .await?;
    }
    Ok(!ids.is_empty())
}

/// One partition a step, or a part of one. False: all were looked at.
async fn events(
    transaction: &mut Transaction<'_>,
    retention: &Retention,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let begun = Instant::now();
    while transaction.writer()?.pass.partition < PartitionId::COUNT {
        let pass = &transaction.writer()?.pass;
        let partition = PartitionId(pass.partition);
        let after = pass.after.max(position(partition, 0));
        let seen = old_events(
            &mut transaction.connection,
            partition,
            after,
            retention,
            now,
        )
        .await?;
        let pass = &mut transaction.writer()?.pass;
        pass.removed |= seen.removed;
        if let Some(last) = seen.last {
            pass.after = last;
        } else {
            let removed = std::mem::take(&mut pass.removed);
            pass.partition += 1;
            if removed {
                drop_parked(&mut transaction.connection, partition).await?;
            }
        }
        if seen.removed || begun.elapsed() >= BUDGET {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Seen {
    /// Position of the last event that was looked at; none: those behind are young, or there are
    /// none.
    last: Option<i64>,
    removed: bool,
}

async fn old_events(
    connection: &mut Connection,
    partition: PartitionId,
    after: i64,
    retention: &Retention,
    now: Timestamp,
) -> Result<Seen, StorageError> {
    const REMOVE: Many = Many {
        before: "DELETE FROM event WHERE position IN (",
        row: "?",
        after: ")",
    };
    const ATTACHMENTS: Many = Many {
        before: "DELETE FROM attachment WHERE position IN (",
        row: "?",
        after: ")",
    };
    let old = signed(now.0.saturating_sub(retention.events_ms));
    let too_old = signed(
        now.0
            .saturating_sub(retention.events_ms)
            .saturating_sub(retention.backlog_ms),
    );
    let nothing = Seen {
        last: None,
        removed: false,
    };
    let end = position(partition, u64::MAX);
    let oldest = query(
        "SELECT recorded_at FROM event WHERE position > ? AND position <= ? \
         ORDER BY position LIMIT 1",
    )
    .bind(after)
    .bind(end)
    .fetch_optional(connection)
    .await?;
    let oldest = oldest.map(|row| row.try_get::<i64, _>(0)).transpose()?;
    if oldest.is_none_or(|at| at >= old) {
        return Ok(nothing);
    }
    lock_partition(connection, partition).await?;
    let waited_for = waited_for(connection, partition).await?;
    let rows = query(
        "SELECT event.position, event.recorded_at, account.workspace FROM event \
         LEFT JOIN account ON account.id = event.account AND account.deleted_at IS NULL \
         WHERE event.position > ? AND event.position <= ? ORDER BY event.position LIMIT ?",
    )
    .bind(after)
    .bind(end)
    .bind(ROWS)
    .fetch_all(connection)
    .await?;
    let mut seen = nothing;
    let (mut gone, mut missed) = (Vec::new(), 0u64);
    for row in &rows {
        let (place, at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if at >= old {
            break;
        }
        seen.last = Some(place);
        let workspace: Option<String> = row.try_get(2)?;
        let read = workspace.and_then(|workspace| waited_for.get(&workspace));
        let waits = read.is_some_and(|read| offset_of(place) > *read);
        if !waits || at < too_old {
            missed += u64::from(waits);
            gone.push(place);
        }
    }
    if missed > 0 {
        tracing::warn!(
            partition = partition.0,
            events = missed,
            "events were removed that an endpoint had not got: it is further behind than retention allows"
        );
    }
    if let Some(last) = gone.last() {
        let tail = signed(offset_of(*last));
        query("UPDATE partition SET tail = ? WHERE id = ? AND tail < ?")
            .bind(tail)
            .bind(i64::from(partition.0))
            .bind(tail)
            .execute(connection)
            .await?;
        for statement in [ATTACHMENTS, REMOVE] {
            statement
                .execute(connection, gone.iter(), |statement, place| {
                    statement.bind(*place)
                })
                .await?;
        }
        seen.removed = true;
    }
    Ok(seen)
}

/// Per workspace: every event up to this offset was given to all of its endpoints that are on.
async fn waited_for(
    connection: &mut Connection,
    partition: PartitionId,
) -> Result<HashMap<String, u64>, StorageError> {
    let mut read: HashMap<String, u64> = HashMap::new();
    for statement in [
        "SELECT endpoint.workspace, min(cursor.event_offset) FROM endpoint CROSS JOIN cursor \
         ON cursor.endpoint = endpoint.id AND cursor.partition = ? \
         WHERE endpoint.state IN ('enabled', 'failing') GROUP BY endpoint.workspace",
        "SELECT endpoint.workspace, min(detour.event_offset) - 1 FROM endpoint CROSS JOIN detour \
         ON detour.endpoint = endpoint.id AND detour.partition = ? \
         AND detour.state IN ('waiting', 'blocked') \
         WHERE endpoint.state IN ('enabled', 'failing') GROUP BY endpoint.workspace",
    ] {
        let rows = query(statement)
            .bind(i64::from(partition.0))
            .fetch_all(connection)
            .await?;
        for row in rows {
            let offset = unsigned(row.try_get(1)?);
            let workspace: String = row.try_get(0)?;
            let least = read.entry(workspace).or_insert(offset);
            *least = offset.min(*least);
        }
    }
    Ok(read)
}

/// Deliveries that were given up and whose events are gone: nobody can send them again.
async fn drop_parked(
    connection: &mut Connection,
    partition: PartitionId,
) -> Result<(), StorageError> {
    query(
        "DELETE FROM detour WHERE endpoint IN (SELECT id FROM endpoint) AND partition = ? \
         AND event_offset <= (SELECT tail FROM partition WHERE id = ?) AND state = 'parked' \
         AND NOT EXISTS (SELECT 1 FROM event \
           WHERE event.position = detour.partition * 281474976710656 + detour.event_offset)",
    )
    .bind(i64::from(partition.0))
    .bind(i64::from(partition.0))
    .execute(connection)
    .await?;
    Ok(())
}
