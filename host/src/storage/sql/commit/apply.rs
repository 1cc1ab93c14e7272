//! Writes what the plan says about accounts and sends. Seals on the way.

use super::super::accounts::profile_json;
use super::super::connection::Connection;
use super::super::query::query;
use super::super::rows::{Many, position, signed, to_json};
use super::plan::Plan;
use crate::domain::account::AccountPatch;
use crate::domain::send::SendState;
use crate::domain::{AccountId, Timestamp};
use crate::storage::StorageError;
use crate::storage::seal::{DataKey, Kind};
use std::collections::BTreeMap;

/// False: another writer took an idempotency key at the same moment, and nothing may be committed.
pub(super) async fn apply(
    connection: &mut Connection,
    plan: &mut Plan<'_>,
    now: Timestamp,
) -> Result<bool, StorageError> {
    if !new_sends(connection, plan).await? {
        return Ok(false);
    }
    events(connection, plan, now).await?;
    accounts(connection, plan).await?;
    kv(connection, plan).await?;
    secrets(connection, plan).await?;
    timers(connection, plan).await?;
    super::requests::apply(connection, plan).await?;
    send_changes(connection, plan).await?;
    super::blobs::apply(connection, plan).await?;
    Ok(true)
}

/// The key of an account that the plan lets something be written for.
pub(super) fn key<'p>(plan: &Plan<'p>, account: &AccountId) -> Result<&'p DataKey, StorageError> {
    plan.key(account)
        .ok_or_else(|| super::super::error::damaged("account without a data key"))
}

async fn events(
    connection: &mut Connection,
    plan: &Plan<'_>,
    now: Timestamp,
) -> Result<(), StorageError> {
    const INSERT: Many = Many {
        before: "INSERT INTO event (position, account, id, kind, occurred_at, recorded_at, \
                 body_sealed) VALUES ",
        row: "(?,?,?,?,?,?,?)",
        after: "",
    };
    let mut rows = Vec::with_capacity(plan.events.len());
    for planned in &plan.events {
        let Some(offset) = planned.offset else {
            continue;
        };
        let sealed = super::super::log::seal_body(key(plan, planned.account)?, planned.event);
        rows.push((position(planned.partition, offset), planned, sealed));
    }
    rows.sort_unstable_by_key(|(position, ..)| *position);
    INSERT
        .execute(
            connection,
            rows.into_iter(),
            |statement, (position, planned, sealed)| {
                statement
                    .bind(position)
                    .bind(planned.account.as_str())
                    .bind(planned.event.id.as_str())
                    .bind(planned.event.kind.clone())
                    .bind(signed(planned.event.occurred_at.0))
                    .bind(signed(now.0))
                    .bind(sealed)
            },
        )
        .await?;
    Ok(())
}

async fn accounts(connection: &mut Connection, plan: &Plan<'_>) -> Result<(), StorageError> {
    const ADVANCE: Many = Many {
        before: "WITH given (id, turn_seq, kv_bytes, at) AS (VALUES ",
        row: "(?,?,?,?)",
        after: ") UPDATE account SET turn_seq = coalesce(given.turn_seq, account.turn_seq), \
                kv_bytes = coalesce(given.kv_bytes, account.kv_bytes), \
                clock_at = CASE WHEN given.at > account.clock_at THEN given.at \
                ELSE account.clock_at END \
                FROM given WHERE account.id = given.id",
    };
    let rows: Vec<_> = plan
        .accounts
        .iter()
        .filter(|(_, change)| change.turn_seq.is_some() || change.kv_bytes.is_some())
        .collect();
    ADVANCE
        .execute(connection, rows.into_iter(), |statement, (id, change)| {
            statement
                .bind(id.as_str())
                .bind(change.turn_seq.map(signed))
                .bind(change.kv_bytes.map(signed))
                .bind(signed(change.at.0))
        })
        .await?;
    for (account, change) in &plan.accounts {
        for change in &change.patches {
            patch(connection, account, key(plan, account)?, change).await?;
        }
    }
    Ok(())
}

async fn patch(
    connection: &mut Connection,
    account: &AccountId,
    key: &DataKey,
    patch: &AccountPatch,
) -> Result<(), StorageError> {
    let last_error = patch.last_error.as_ref().map(|text| {
        text.as_ref()
            .map(|text| key.seal(Kind::LastError, b"", text.as_bytes()))
    });
    let profile = match &patch.profile {
        Some(profile) => Some(key.seal(Kind::Profile, b"", &profile_json(profile)?)),
        None => None,
    };
    query(
        "UPDATE account SET \
           auth_status = coalesce(?, auth_status), \
           last_error_sealed = CASE WHEN ? = 1 THEN ? ELSE last_error_sealed END, \
           provider_account_ref = CASE WHEN ? = 1 THEN ? ELSE provider_account_ref END, \
           profile_sealed = coalesce(?, profile_sealed), \
           wanted = coalesce(?, wanted), \
           provider_digest = coalesce(?, provider_digest) \
         WHERE id = ?",
    )
    .bind(patch.auth_status.map(|status| status.durable().as_str()))
    .bind(last_error.is_some())
    .bind(last_error.flatten())
    .bind(patch.provider_account_ref.is_some())
    .bind(patch.provider_account_ref.clone().flatten())
    .bind(profile)
    .bind(patch.wanted)
    .bind(patch.provider_digest.clone())
    .bind(account.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

async fn kv(connection: &mut Connection, plan: &Plan<'_>) -> Result<(), StorageError> {
    const PUT: Many = Many {
        before: "INSERT INTO kv (account, key, value_sealed) VALUES ",
        row: "(?,?,?)",
        after: " ON CONFLICT (account, key) DO UPDATE SET value_sealed = excluded.value_sealed",
    };
    const REMOVE: Many = Many {
        before: "WITH gone (account, key) AS (VALUES ",
        row: "(?,?)",
        // Without the join, SQLite looks at every row of the account.
        after: ") DELETE FROM kv WHERE (account, key) IN (SELECT found.account, found.key \
                FROM gone CROSS JOIN kv AS found \
                ON found.account = gone.account AND found.key = gone.key)",
    };
    let mut puts = Vec::new();
    let mut removals = Vec::new();
    for ((account, name), value) in &plan.kv {
        match value {
            Some(value) => {
                let sealed = key(plan, account)?.seal(Kind::Kv, name.as_bytes(), value);
                puts.push((*account, *name, sealed));
            }
            None => removals.push((*account, *name)),
        }
    }
    PUT.execute(connection, puts.into_iter(), |statement, row| {
        statement
            .bind(row.0.as_str())
            .bind(row.1.as_bytes().to_vec())
            .bind(row.2)
    })
    .await?;
    REMOVE
        .execute(connection, removals.into_iter(), |statement, row| {
            statement
                .bind(row.0.as_str())
                .bind(row.1.as_bytes().to_vec())
        })
        .await?;
    Ok(())
}

async fn secrets(connection: &mut Connection, plan: &Plan<'_>) -> Result<(), StorageError> {
    for ((account, name), value) in &plan.secrets {
        write_secret(connection, account, key(plan, account)?, name, *value).await?;
    }
    Ok(())
}

/// Secrets change rarely: one by one.
pub(in super::super) async fn write_secret(
    connection: &mut Connection,
    account: &AccountId,
    key: &DataKey,
    name: &str,
    value: Option<&[u8]>,
) -> Result<(), StorageError> {
    match value {
        Some(value) => {
            query(
                "INSERT INTO secret (account, name, value_sealed) VALUES (?, ?, ?) \
                 ON CONFLICT (account, name) DO UPDATE SET value_sealed = excluded.value_sealed",
            )
            .bind(account.as_str())
            .bind(name.to_owned())
            .bind(key.seal(Kind::Secret, name.as_bytes(), value))
            .execute(connection)
            .await?;
        }
        None => {
            query("DELETE FROM secret WHERE account = ? AND name = ?")
                .bind(account.as_str())
                .bind(name.to_owned())
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

async fn timers(connection: &mut Connection, plan: &Plan<'_>) -> Result<(), StorageError> {
    const PUT: Many = Many {
        before: "INSERT INTO timer (account, label, due_at, context_sealed) VALUES ",
        row: "(?,?,?,?)",
        after: " ON CONFLICT (account, label) DO UPDATE SET due_at = excluded.due_at, \
                context_sealed = excluded.context_sealed",
    };
    const REMOVE: Many = Many {
        before: "WITH gone (account, label) AS (VALUES ",
        row: "(?,?)",
        after: ") DELETE FROM timer WHERE (account, label) IN (SELECT found.account, found.label \
                FROM gone CROSS JOIN timer AS found \
                ON found.account = gone.account AND found.label = gone.label)",
    };
    let mut puts = Vec::new();
    let mut removals = Vec::new();
    for ((account, label), timer) in &plan.timers {
        match timer {
            Some(timer) => {
                let sealed =
                    key(plan, account)?.seal(Kind::Timer, label.as_bytes(), &timer.context);
                puts.push((*account, *label, timer.at, sealed));
            }
            None => removals.push((*account, *label)),
        }
    }
    PUT.execute(connection, puts.into_iter(), |statement, row| {
        statement
            .bind(row.0.as_str())
            .bind(row.1.to_owned())
            .bind(signed(row.2.0))
            .bind(row.3)
    })
    .await?;
    REMOVE
        .execute(connection, removals.into_iter(), |statement, row| {
            statement.bind(row.0.as_str()).bind(row.1.to_owned())
        })
        .await?;
    Ok(())
}

/// False: see [`apply`].
async fn new_sends(connection: &mut Connection, plan: &Plan<'_>) -> Result<bool, StorageError> {
    const INSERT: Many = Many {
        before: "INSERT INTO send (id, workspace, account, partition, state, recorded_at, \
                 idempotency_key, outgoing_sealed) VALUES ",
        row: "(?,?,?,?,?,?,?,?)",
        after: " ON CONFLICT (id) DO NOTHING",
    };
    const HAND_OVER: Many = Many {
        before: "INSERT INTO hand_over (send, workspace, account, partition) VALUES ",
        row: "(?,?,?,?)",
        after: " ON CONFLICT (send) DO NOTHING",
    };
    const EXPIRED: Many = Many {
        before: "WITH gone (workspace, key, send) AS (VALUES ",
        row: "(?,?,?)",
        after: ") DELETE FROM idempotency WHERE (workspace, key) IN \
                (SELECT found.workspace, found.key FROM gone CROSS JOIN idempotency AS found \
                ON found.workspace = gone.workspace AND found.key = gone.key \
                AND found.send = gone.send)",
    };
    const KEYS: Many = Many {
        before: "INSERT INTO idempotency (workspace, key, fingerprint, send, expires_at) VALUES ",
        row: "(?,?,?,?,?)",
        after: " ON CONFLICT (workspace, key) DO NOTHING",
    };
    EXPIRED
        .execute(
            connection,
            plan.expired.iter(),
            |statement, (workspace, key, send)| {
                statement
                    .bind(workspace.as_str())
                    .bind(key.to_vec())
                    .bind(send.0.as_bytes().to_vec())
            },
        )
        .await?;
    let taken = KEYS
        .execute(
            connection,
            plan.idempotency.iter(),
            |statement, ((workspace, key), row)| {
                statement
                    .bind(workspace.as_str())
                    .bind(key.to_vec())
                    .bind(row.fingerprint.clone())
                    .bind(row.send.0.as_bytes().to_vec())
                    .bind(signed(row.expires_at.0))
            },
        )
        .await?;
    if taken != plan.idempotency.len() as u64 {
        return Ok(false);
    }
    let mut rows = Vec::with_capacity(plan.new_sends.len());
    for (record, used) in &plan.new_sends {
        let sealed = key(plan, &record.account)?.seal(
            Kind::Outgoing,
            record.id.0.as_bytes(),
            &to_json(&record.outgoing)?,
        );
        rows.push((*record, *used, sealed));
    }
    INSERT
        .execute(
            connection,
            rows.into_iter(),
            |statement, (record, used, sealed)| {
                statement
                    .bind(record.id.0.as_bytes().to_vec())
                    .bind(record.workspace.as_str())
                    .bind(record.account.as_str())
                    .bind(i64::from(record.partition.0))
                    .bind(SendState::Recorded.as_str())
                    .bind(signed(record.at.0))
                    .bind(used.map(|hash| hash.to_vec()))
                    .bind(sealed)
            },
        )
        .await?;
    let handed: Vec<_> = plan
        .new_sends
        .iter()
        .map(|(record, _)| *record)
        .filter(|record| record.epoch.is_none())
        .collect();
    HAND_OVER
        .execute(connection, handed.into_iter(), |statement, record| {
            statement
                .bind(record.id.0.as_bytes().to_vec())
                .bind(record.workspace.as_str())
                .bind(record.account.as_str())
                .bind(i64::from(record.partition.0))
        })
        .await?;
    Ok(true)
}

/// A send after all changes of the group.
#[derive(Default)]
struct SendUpdate {
    state: Option<SendState>,
    dispatched_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
    sent: Option<Vec<u8>>,
    failure: Option<Vec<u8>>,
}

async fn send_changes(connection: &mut Connection, plan: &Plan<'_>) -> Result<(), StorageError> {
    // A settled one takes both contents from the row, so that a correction clears the other.
    const UPDATE: Many = Many {
        before: "WITH given (id, state, dispatched_at, settled_at, sent, failure) AS (VALUES ",
        row: "(?,?,?,?,?,?)",
        after: ") UPDATE send SET state = given.state, \
                dispatched_at = coalesce(given.dispatched_at, send.dispatched_at), \
                settled_at = coalesce(given.settled_at, send.settled_at), \
                sent_sealed = CASE WHEN given.settled_at IS NULL THEN send.sent_sealed \
                  ELSE given.sent END, \
                failure_sealed = CASE WHEN given.settled_at IS NULL THEN send.failure_sealed \
                  ELSE given.failure END \
                FROM given WHERE send.id = given.id",
    };
    const MESSAGES: Many = Many {
        before: "INSERT INTO sent_message (account, message, send) VALUES ",
        row: "(?,?,?)",
        after: " ON CONFLICT (account, message) DO UPDATE SET send = excluded.send",
    };
    let mut updates: BTreeMap<_, SendUpdate> = BTreeMap::new();
    let mut messages = BTreeMap::new();
    for (account, change) in &plan.send_changes {
        let key = key(plan, account)?;
        let name = change.id.0.as_bytes();
        let update = updates.entry(change.id).or_default();
        update.state = Some(change.state);
        if !change.state.is_settled() {
            update.dispatched_at = Some(change.at);
            continue;
        }
        update.settled_at = Some(change.at);
        update.sent = match &change.sent {
            Some(sent) => Some(key.seal(Kind::Sent, name, &to_json(sent)?)),
            None => None,
        };
        update.failure = match &change.failure {
            Some(failure) => Some(key.seal(Kind::Failure, name, &to_json(failure)?)),
            None => None,
        };
        for message in change.sent.iter().flat_map(|sent| &sent.messages) {
            messages.insert((*account, key.blind("message", message)), change.id);
        }
    }
    UPDATE
        .execute(
            connection,
            updates.into_iter(),
            |statement, (id, update)| {
                statement
                    .bind(id.0.as_bytes().to_vec())
                    .bind(update.state.map(SendState::as_str))
                    .bind(update.dispatched_at.map(|at| signed(at.0)))
                    .bind(update.settled_at.map(|at| signed(at.0)))
                    .bind(update.sent)
                    .bind(update.failure)
            },
        )
        .await?;
    MESSAGES
        .execute(
            connection,
            messages.into_iter(),
            |statement, ((account, message), send)| {
                statement
                    .bind(account.as_str())
                    .bind(message.to_vec())
                    .bind(send.0.as_bytes().to_vec())
            },
        )
        .await?;
    Ok(())
}
