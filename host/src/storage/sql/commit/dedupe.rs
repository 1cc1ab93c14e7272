//! Which events are new, and the offsets of those that are. The window of dedupe keys per account
//! is bounded: pruned in steps of its own, not by every commit.

use super::super::connection::Connection;
use super::super::query::query;
use super::super::rows::{Many, signed};
use super::super::state::Transaction;
use super::plan::Plan;
use crate::domain::{AccountId, PartitionId, Timestamp};
use crate::storage::StorageError;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Keys kept per account, at least while they are younger than [`KEEP_MS`].
const KEEP: i64 = 10_000;
const KEEP_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// An account's window is pruned when so many keys were added.
const PRUNE_AFTER: u32 = 2_000;
/// Rows removed by one step.
const STEP: i64 = 5_000;

/// Drops repeats, remembers new keys, advances the heads and gives offsets.
pub(super) async fn settle(
    transaction: &mut Transaction<'_>,
    plan: &mut Plan<'_>,
    now: Timestamp,
) -> Result<(), StorageError> {
    if plan.events.is_empty() {
        return Ok(());
    }
    let fresh = drop_repeats(&mut transaction.connection, plan, now).await?;
    let added = &mut transaction.writer()?.dedupe_added;
    for (account, keys) in fresh {
        // After a start nobody knows how full the window is: looked at soon.
        let count = added.entry(account).or_insert(PRUNE_AFTER - 100);
        *count = count.saturating_add(keys);
    }
    give_offsets(&mut transaction.connection, plan).await
}

async fn drop_repeats(
    connection: &mut Connection,
    plan: &mut Plan<'_>,
    now: Timestamp,
) -> Result<HashMap<AccountId, u32>, StorageError> {
    const FIND: Many = Many {
        before: "WITH wanted (account, key) AS (VALUES ",
        row: "(?,?)",
        after: ") SELECT found.account, found.key FROM wanted CROSS JOIN dedupe AS found \
                ON found.account = wanted.account AND found.key = wanted.key",
    };
    const REMEMBER: Many = Many {
        before: "INSERT INTO dedupe (account, key, recorded_at) VALUES ",
        row: "(?,?,?)",
        after: "",
    };
    let mut candidates: Vec<(usize, &AccountId, [u8; 16])> = Vec::new();
    let mut seen = HashSet::new();
    for index in 0..plan.events.len() {
        let account = plan.events[index].account;
        let Some(text) = plan.events[index].event.dedupe_key.as_deref() else {
            continue;
        };
        let Some(key) = plan.key(account) else {
            continue;
        };
        let hash = key.blind("dedupe", text);
        if seen.insert((account, hash)) {
            candidates.push((index, account, hash));
        } else {
            plan.events[index].repeat = true;
        }
    }
    let bind = |account: &AccountId| account.as_str().to_owned();
    let rows = FIND
        .fetch(
            connection,
            candidates.iter(),
            |statement, (_, account, hash)| statement.bind(bind(account)).bind(hash.to_vec()),
        )
        .await?;
    let mut known: HashSet<(AccountId, Vec<u8>)> = HashSet::new();
    for row in rows {
        let account = AccountId::from_text(row.try_get::<String, _>(0)?);
        known.insert((account, row.try_get(1)?));
    }
    if !known.is_empty() {
        candidates.retain(|(index, account, hash)| {
            let new = !known.contains(&((*account).clone(), hash.to_vec()));
            if !new {
                plan.events[*index].repeat = true;
            }
            new
        });
    }
    candidates.sort_unstable_by(|a, b| (a.1, a.2).cmp(&(b.1, b.2)));
    REMEMBER
        .execute(
            connection,
            candidates.iter(),
            |statement, (_, account, hash)| {
                statement
                    .bind(bind(account))
                    .bind(hash.to_vec())
                    .bind(signed(now.0))
            },
        )
        .await?;
    let mut fresh = HashMap::new();
    for (_, account, _) in candidates {
        match fresh.get_mut(account) {
            Some(count) => *count += 1,
            None => {
                fresh.insert(account.clone(), 1);
            }
        }
    }
    Ok(fresh)
}

/// Heads advance under the fence, inside the commit: offset order is commit order.
async fn give_offsets(
    connection: &mut Connection,
    plan: &mut Plan<'_>,
) -> Result<(), StorageError> {
    const ADVANCE: Many = Many {
        before: "WITH given (id, epoch, events) AS (VALUES ",
        row: "(?,?,?)",
        after: ") UPDATE partition SET head = head + given.events FROM given \
                WHERE partition.id = given.id AND partition.epoch = given.epoch",
    };
    let mut heads: BTreeMap<PartitionId, (u64, u64)> = BTreeMap::new();
    for index in 0..plan.events.len() {
        let partition = plan.events[index].partition;
        if plan.events[index].repeat {
            continue;
        }
        let Some((_, head)) = plan.partition(partition) else {
            continue;
        };
        let (events, next) = heads.entry(partition).or_insert((0, head));
        *events += 1;
        *next += 1;
        plan.events[index].offset = Some(*next);
    }
    let rows: Vec<(PartitionId, u64, u64)> = heads
        .iter()
        .filter_map(|(id, (events, _))| {
            let (epoch, _) = plan.partition(*id)?;
            Some((*id, epoch, *events))
        })
        .collect();
    let expected = rows.len() as u64;
    let advanced = ADVANCE
        .execute(
            connection,
            rows.into_iter(),
            |statement, (id, epoch, events)| {
                statement
                    .bind(i64::from(id.0))
                    .bind(signed(epoch))
                    .bind(signed(events))
            },
        )
        .await?;
    if advanced != expected {
        // Cannot be: the epochs were read under the same lock.
        return Err(StorageError::Unavailable(
            "the owner of a partition changed during a commit".to_owned(),
        ));
    }
    Ok(())
}

/// The window of one account that has grown. True: there may be more to do.
pub(in super::super) async fn prune_windows(
    transaction: &mut Transaction<'_>,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let full = transaction
        .writer()?
        .dedupe_added
        .iter()
        .find(|(_, added)| **added >= PRUNE_AFTER)
        .map(|(account, _)| account.clone());
    let Some(account) = full else {
        return Ok(false);
    };
    let removed = prune_window(&mut transaction.connection, &account, now).await?;
    if removed < STEP as u64 {
        transaction.writer()?.dedupe_added.insert(account, 0);
    }
    Ok(true)
}

/// Idempotency keys that have expired. True: there may be more.
pub(in super::super) async fn prune_idempotency(
    connection: &mut Connection,
    now: Timestamp,
) -> Result<bool, StorageError> {
    // Rows that somebody holds are being replaced.
    let skip = if connection.is_postgres() {
        "FOR UPDATE SKIP LOCKED"
    } else {
        ""
    };
    let removed = query(format!(
        "DELETE FROM idempotency WHERE (workspace, key) IN \
         (SELECT workspace, key FROM idempotency WHERE expires_at <= ? LIMIT ? {skip})"
    ))
    .bind(signed(now.0))
    .bind(STEP)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(removed >= STEP as u64)
}

async fn prune_window(
    connection: &mut Connection,
    account: &AccountId,
    now: Timestamp,
) -> Result<u64, StorageError> {
    let newest_too_many = query(
        "SELECT recorded_at FROM dedupe WHERE account = ? \
         ORDER BY recorded_at DESC LIMIT 1 OFFSET ?",
    )
    .bind(account.as_str())
    .bind(KEEP)
    .fetch_optional(connection)
    .await?
    .map(|row| row.try_get::<i64, _>(0))
    .transpose()?;
    let too_old = signed(now.0.saturating_sub(KEEP_MS));
    // Those of one millisecond go together: rather some too many than one too few.
    let limit = newest_too_many.map_or(too_old, |at| too_old.max(at - 1));
    let removed = query(
        "DELETE FROM dedupe WHERE (account, key) IN \
         (SELECT account, key FROM dedupe WHERE account = ? AND recorded_at <= ? LIMIT ?)",
    )
    .bind(account.as_str())
    .bind(limit)
    .bind(STEP)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(removed)
}
