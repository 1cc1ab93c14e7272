//! The group commit: many writes, one transaction.
//!
//! What the group names is read first (partitions, accounts, sends, keys), each entry is decided
//! in order against that picture, and what was decided is written with a few statements of many
//! rows. An entry that is fenced or whose account is gone is left out; the rest commits.
//!
//! **A COMMIT whose answer was lost.** A group is one transaction, so either all of it is in the
//! database or nothing, and which one the database itself says: every group writes a token of its
//! own. When the group comes again (`retry`) and the database holds the token of the last attempt,
//! everything was committed, and the answers are looked up: turns by `turn_seq`, events by id,
//! sends by id. Otherwise the attempt left nothing, and the group is applied as if it were new.
//! So nothing depends on guessing from traces, of which a host's kv write would leave none.

mod apply;
mod dedupe;
mod delivery;
mod load;
mod lookup;
mod plan;

pub(super) use apply::write_secret;
pub(super) use dedupe::prune;
pub(super) use load::{idempotency_hash, send_id};

use self::plan::{Outcome, Plan};
use super::SqliteStore;
use super::keys::Keyring;
use super::sends::read_send;
use super::state::Transaction;
use crate::domain::{SendId, Timestamp};
use crate::storage::{StorageError, Write, Written};
use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;

impl SqliteStore {
    pub(super) async fn commit_group(
        &self,
        group: &[Write],
        retry: bool,
    ) -> Result<Vec<Written>, StorageError> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        if !retry {
            // A new group that does not get as far as its token must not be taken for the one
            // before when it comes again.
            self.write.lock().await.last_group = None;
        }
        #[cfg(test)]
        let fault = self.faults.begin()?;
        let mut transaction = self.begin().await?;
        let result = self.write_group(&mut transaction, group, retry).await;
        #[cfg(test)]
        let result = result.and_then(|written| fault.before_commit(written));
        let result = transaction.end(result).await;
        #[cfg(test)]
        let result = result.and_then(|written| fault.after_commit(written));
        result
    }

    async fn write_group(
        &self,
        transaction: &mut Transaction<'_>,
        group: &[Write],
        retry: bool,
    ) -> Result<Vec<Written>, StorageError> {
        let now = Timestamp::now();
        let committed = retry && holds_last_token(transaction).await?;
        let connection = &mut transaction.connection;
        let picture = load::picture(connection, &self.keys, group, committed).await?;
        if committed {
            tracing::info!(
                entries = group.len(),
                "a commit without an answer had been made"
            );
            return lookup::answers(connection, &self.keys, &picture, group).await;
        }
        write_token(transaction).await?;
        let mut plan = Plan::new(&picture);
        plan.decide(group);
        dedupe::settle(transaction, &mut plan, now).await?;
        apply::apply(&mut transaction.connection, &mut plan, now).await?;
        delivery::apply(transaction, &self.keys, &plan.deliveries).await?;
        answers(&mut transaction.connection, &self.keys, plan).await
    }
}

/// The answers, when everything is written.
async fn answers(
    connection: &mut SqliteConnection,
    keys: &Keyring,
    plan: Plan<'_>,
) -> Result<Vec<Written>, StorageError> {
    let mut answers = Vec::with_capacity(plan.outcomes.len());
    for outcome in plan.outcomes {
        answers.push(match outcome {
            Outcome::Known(written) => written,
            Outcome::Account { events, sends } => Written::Account {
                offsets: plan.events[events]
                    .iter()
                    .map(|event| event.offset)
                    .collect(),
                sends,
            },
            Outcome::Repeats(id) => repeated(connection, keys, &id).await?,
        });
    }
    Ok(answers)
}

/// The answer to a send whose idempotency key and fingerprint name this one.
async fn repeated(
    connection: &mut SqliteConnection,
    keys: &Keyring,
    id: &SendId,
) -> Result<Written, StorageError> {
    Ok(match read_send(connection, keys, id).await? {
        Some(send) => Written::Repeated(Box::new(send)),
        // Of an account that was deleted: the key stays used.
        None => Written::KeyReused,
    })
}

async fn holds_last_token(transaction: &mut Transaction<'_>) -> Result<bool, StorageError> {
    let Some(last) = transaction.state.last_group else {
        return Ok(false);
    };
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'last_group'")
        .fetch_one(&mut transaction.connection)
        .await?;
    Ok(row.try_get::<&[u8], _>(0)? == last.as_bytes())
}

/// Only after [`holds_last_token`] said no, or for a new group: from here on the attempt before is
/// known to have left nothing.
async fn write_token(transaction: &mut Transaction<'_>) -> Result<(), StorageError> {
    let token = Uuid::new_v4();
    transaction.state.last_group = Some(token);
    sqlx::query("UPDATE meta SET value = ? WHERE name = 'last_group'")
        .bind(token.as_bytes().to_vec())
        .execute(&mut transaction.connection)
        .await?;
    Ok(())
}
