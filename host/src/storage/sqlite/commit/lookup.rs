//! The answers to a group that is in the database already: its COMMIT was made, its answer lost.
//! Writes nothing.

use super::super::keys::Keyring;
use super::load::{Picture, SendRow, idempotency_hash};
use super::repeated;
use crate::domain::AccountId;
use crate::domain::send::{SendChange, SendState};
use crate::storage::{AccountCommit, RecordSend, StorageError, Write, Written};
use sqlx::SqliteConnection;
use std::collections::HashMap;

pub(super) async fn answers(
    connection: &mut SqliteConnection,
    keys: &Keyring,
    picture: &Picture,
    group: &[Write],
) -> Result<Vec<Written>, StorageError> {
    let mut turn_seqs = turn_seqs_before(picture, group);
    let mut answers = Vec::with_capacity(group.len());
    for write in group {
        answers.push(match write {
            Write::Account(commit) => account(picture, &mut turn_seqs, commit),
            Write::RecordSend(send) => record(connection, keys, picture, send).await?,
            Write::Delivery(_) => Written::Delivery,
        });
    }
    Ok(answers)
}

/// `turn_seq` of each account before the group: those of its turns that follow one another from
/// there end at what is stored now. (Others were fenced.)
fn turn_seqs_before<'g>(picture: &Picture, group: &'g [Write]) -> HashMap<&'g AccountId, u64> {
    let mut turns: HashMap<&AccountId, Vec<u64>> = HashMap::new();
    for write in group {
        if let Write::Account(commit) = write
            && let Some(turn) = commit.turn
        {
            turns.entry(&commit.account).or_default().push(turn);
        }
    }
    turns
        .into_iter()
        .filter_map(|(account, turns)| {
            let after = |before: u64| {
                turns.iter().fold(
                    before,
                    |seq, turn| if *turn == seq + 1 { *turn } else { seq },
                )
            };
            let stored = picture.turn_seq(account);
            let before = turns
                .iter()
                .map(|turn| turn.saturating_sub(1))
                .find(|before| after(*before) == stored)?;
            Some((account, before))
        })
        .collect()
}

fn account<'g>(
    picture: &Picture,
    turn_seqs: &mut HashMap<&'g AccountId, u64>,
    commit: &'g AccountCommit,
) -> Written {
    if let Some(refusal) = picture.refusal(
        &commit.workspace,
        &commit.account,
        commit.partition,
        commit.epoch,
    ) {
        return refusal;
    }
    if let Some(turn) = commit.turn {
        match turn_seqs.get_mut(&commit.account) {
            Some(seq) if turn == *seq + 1 => *seq = turn,
            _ => return Written::Fenced,
        }
    }
    Written::Account {
        offsets: commit
            .events
            .iter()
            .map(|event| picture.logged.get(event.id.as_str()).copied())
            .collect(),
        sends: commit
            .sends
            .iter()
            .map(|change| {
                picture
                    .sends
                    .get(&change.id)
                    .is_some_and(|row| row.account == commit.account && made(row, change))
            })
            .collect(),
    }
}

/// Is it this change that brought the send to where it is?
fn made(row: &SendRow, change: &SendChange) -> bool {
    if change.state == SendState::Dispatched {
        row.dispatched_at == Some(change.at)
    } else {
        row.state == change.state && row.settled_at == Some(change.at)
    }
}

async fn record(
    connection: &mut SqliteConnection,
    keys: &Keyring,
    picture: &Picture,
    record: &RecordSend,
) -> Result<Written, StorageError> {
    if let Some(refusal) = picture.refusal(
        &record.workspace,
        &record.account,
        record.partition,
        record.epoch,
    ) {
        return Ok(refusal);
    }
    if picture.sends.contains_key(&record.id) {
        return Ok(Written::Recorded);
    }
    let stored = record.idempotency.as_ref().and_then(|idempotency| {
        let key = picture.workspaces.get(&record.workspace)?;
        let hash = idempotency_hash(key, &idempotency.key);
        let row = picture.idempotency.get(&(record.workspace.clone(), hash))?;
        Some((row, idempotency))
    });
    match stored {
        Some((row, idempotency)) if row.fingerprint == idempotency.fingerprint => {
            repeated(connection, keys, &row.send).await
        }
        Some(_) => Ok(Written::KeyReused),
        None => Ok(Written::Fenced),
    }
}
