//! Progress of deliveries. Everything but the attempts sets, so that what comes twice changes
//! nothing; what belongs to an endpoint that is gone is left out.

use super::super::connection::Connection;
use super::super::endpoints::{seal_answer, seal_note};
use super::super::keys::Keyring;
use super::super::rows::{Many, signed, word};
use crate::domain::endpoint::Detour;
use crate::domain::{EndpointId, PartitionId, WorkspaceId};
use crate::storage::seal::DataKey;
use crate::storage::{DeliveryProgress, StorageError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub(super) async fn apply(
    connection: &mut Connection,
    keys: &Keyring,
    deliveries: &[&DeliveryProgress],
) -> Result<(), StorageError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let endpoints = endpoint_keys(connection, keys, deliveries).await?;
    cursors(connection, deliveries).await?;
    detours(connection, &endpoints, deliveries).await?;
    attempts(connection, &endpoints, deliveries).await
}

type Keys = HashMap<EndpointId, Arc<DataKey>>;

/// Keys of those endpoints that are there and need one.
async fn endpoint_keys(
    connection: &mut Connection,
    keys: &Keyring,
    deliveries: &[&DeliveryProgress],
) -> Result<Keys, StorageError> {
    const FIND: Many = Many {
        before: "SELECT id, workspace FROM endpoint WHERE id IN (",
        row: "?",
        after: ")",
    };
    // They are not deleted before the end.
    const FIND_AND_HOLD: Many = Many {
        after: ") ORDER BY id FOR KEY SHARE",
        ..FIND
    };
    let find = if connection.is_postgres() {
        FIND_AND_HOLD
    } else {
        FIND
    };
    let mut wanted: BTreeSet<&EndpointId> = BTreeSet::new();
    for progress in deliveries {
        wanted.extend(progress.detours.iter().map(|detour| &detour.endpoint));
        wanted.extend(progress.attempts.iter().map(|attempt| &attempt.endpoint));
    }
    let rows = find
        .fetch(connection, wanted.into_iter(), |statement, id| {
            statement.bind(id.as_str())
        })
        .await?;
    let mut found = HashMap::new();
    for row in rows {
        let id = EndpointId::from_text(row.try_get::<String, _>(0)?);
        let workspace = WorkspaceId::from_text(row.try_get::<String, _>(1)?);
        if let Some(key) = keys.workspace(connection, &workspace).await? {
            found.insert(id, key);
        }
    }
    Ok(found)
}

/// Cursors only go forward. An endpoint that is gone has none to update.
async fn cursors(
    connection: &mut Connection,
    deliveries: &[&DeliveryProgress],
) -> Result<(), StorageError> {
    const ADVANCE: Many = Many {
        before: "WITH given (endpoint, partition, event_offset) AS (VALUES ",
        row: "(?,?,?)",
        after: ") UPDATE cursor SET event_offset = given.event_offset \
                FROM given WHERE cursor.endpoint = given.endpoint \
                AND cursor.partition = given.partition \
                AND cursor.event_offset < given.event_offset",
    };
    let mut furthest: BTreeMap<(&EndpointId, PartitionId), u64> = BTreeMap::new();
    for (endpoint, partition, offset) in deliveries.iter().flat_map(|progress| &progress.cursors) {
        let present = furthest.entry((endpoint, *partition)).or_default();
        *present = (*present).max(*offset);
    }
    ADVANCE
        .execute(
            connection,
            furthest.into_iter(),
            |statement, ((endpoint, partition), offset)| {
                statement
                    .bind(endpoint.as_str())
                    .bind(i64::from(partition.0))
                    .bind(signed(offset))
            },
        )
        .await?;
    Ok(())
}

async fn detours(
    connection: &mut Connection,
    keys: &Keys,
    deliveries: &[&DeliveryProgress],
) -> Result<(), StorageError> {
    const PUT: Many = Many {
        before: "INSERT INTO detour (endpoint, partition, event_offset, event, state, attempts, \
                 next_at, since, note_sealed) VALUES ",
        row: "(?,?,?,?,?,?,?,?,?)",
        after: " ON CONFLICT (endpoint, partition, event_offset) DO UPDATE SET \
                event = excluded.event, state = excluded.state, attempts = excluded.attempts, \
                next_at = excluded.next_at, since = excluded.since, \
                note_sealed = excluded.note_sealed",
    };
    const REMOVE: Many = Many {
        before: "WITH gone (endpoint, partition, event_offset) AS (VALUES ",
        row: "(?,?,?)",
        after: ") DELETE FROM detour WHERE (endpoint, partition, event_offset) IN \
                (SELECT found.endpoint, found.partition, found.event_offset \
                FROM gone CROSS JOIN detour AS found ON found.endpoint = gone.endpoint \
                AND found.partition = gone.partition AND found.event_offset = gone.event_offset)",
    };
    let mut last: BTreeMap<(&EndpointId, PartitionId, u64), Option<&Detour>> = BTreeMap::new();
    for progress in deliveries {
        for detour in &progress.detours {
            let place = (&detour.endpoint, detour.partition, detour.offset);
            last.insert(place, Some(detour));
        }
        for (endpoint, partition, offset) in &progress.done {
            last.insert((endpoint, *partition, *offset), None);
        }
    }
    let mut puts = Vec::new();
    let mut removals = Vec::new();
    for (place, detour) in last {
        match detour {
            Some(detour) => {
                if let Some(key) = keys.get(&detour.endpoint) {
                    puts.push((detour, word(&detour.state)?, seal_note(key, detour)?));
                }
            }
            None => removals.push(place),
        }
    }
    PUT.execute(
        connection,
        puts.into_iter(),
        |statement, (detour, state, note)| {
            statement
                .bind(detour.endpoint.as_str())
                .bind(i64::from(detour.partition.0))
                .bind(signed(detour.offset))
                .bind(detour.event.as_str())
                .bind(state)
                .bind(i64::from(detour.attempts))
                .bind(signed(detour.next_at.0))
                .bind(signed(detour.since.0))
                .bind(note)
        },
    )
    .await?;
    REMOVE
        .execute(
            connection,
            removals.into_iter(),
            |statement, (endpoint, partition, offset)| {
                statement
                    .bind(endpoint.as_str())
                    .bind(i64::from(partition.0))
                    .bind(signed(offset))
            },
        )
        .await?;
    Ok(())
}

async fn attempts(
    connection: &mut Connection,
    keys: &Keys,
    deliveries: &[&DeliveryProgress],
) -> Result<(), StorageError> {
    const INSERT: Many = Many {
        before: "INSERT INTO attempt (id, endpoint, event, at, number, status, latency_ms, \
                 answer_sealed) VALUES ",
        row: "(?,?,?,?,?,?,?,?)",
        after: "",
    };
    let mut rows = Vec::new();
    for attempt in deliveries.iter().flat_map(|progress| &progress.attempts) {
        if let Some(key) = keys.get(&attempt.endpoint) {
            rows.push((attempt, seal_answer(key, attempt)?));
        }
    }
    INSERT
        .execute(
            connection,
            rows.into_iter(),
            |statement, (attempt, answer)| {
                statement
                    .bind(attempt.id.as_str())
                    .bind(attempt.endpoint.as_str())
                    .bind(attempt.event.as_str())
                    .bind(signed(attempt.at.0))
                    .bind(i64::from(attempt.number))
                    .bind(attempt.status.map(i64::from))
                    .bind(i64::from(attempt.latency_ms))
                    .bind(answer)
            },
        )
        .await?;
    Ok(())
}
