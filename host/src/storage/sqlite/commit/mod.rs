//! The group commit: many writes, one transaction.
//!
//! What the group names is read first (partitions, accounts, sends, keys), each entry is decided
//! in order against that picture, and what was decided is written with a few statements of many
//! rows. An entry that is fenced or whose account is gone is left out; the rest commits.
//!
//! **A COMMIT whose answer was lost.** A group is one transaction, so either all of it is in the
//! database or nothing, and which one the database itself says: every group writes a token of its
//! own, and storage remembers the token and the answers of the group it last tried to commit. When
//! the group comes again (`retry`) and the database holds that token, the remembered answers are
//! given. Otherwise the attempt left nothing, and the group is applied as if it were new. So nothing
//! depends on guessing from traces, of which a host's kv write would leave none.

mod apply;
mod dedupe;
mod delivery;
mod load;
mod plan;

pub(super) use apply::write_secret;
pub(super) use dedupe::{prune_idempotency, prune_windows};
pub(super) use load::{idempotency_hash, send_id};

use self::plan::{Outcome, Plan};
use super::SqliteStore;
use super::keys::Keyring;
use super::sends::read_send;
use super::state::Transaction;
use crate::domain::{SendId, Timestamp};
use crate::storage::{StorageError, Write, Written};
use sqlx::{Row as _, SqliteConnection};
use std::collections::HashMap;
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
            // A new group that does not get as far as its COMMIT must not be taken for the one
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
        if retry && let Some(last) = &transaction.state.last_group {
            // It is kept until it is known not to be there: this question may fail, too.
            if is_in_database(&mut transaction.connection, last.token).await? {
                tracing::info!(
                    entries = group.len(),
                    "a commit without an answer had been made"
                );
                return last.answers_for(group);
            }
        }
        transaction.state.last_group = None;
        let now = Timestamp::now();
        let connection = &mut transaction.connection;
        let token = write_token(connection).await?;
        let picture = load::picture(connection, &self.keys, group).await?;
        let mut plan = Plan::new(&picture);
        plan.decide(group);
        dedupe::settle(transaction, &mut plan, now).await?;
        apply::apply(&mut transaction.connection, &mut plan, now).await?;
        delivery::apply(transaction, &self.keys, &plan.deliveries).await?;
        let answers = answers(&mut transaction.connection, &self.keys, plan).await?;
        transaction.state.last_group = Some(LastGroup::new(token, group, &answers));
        Ok(answers)
    }
}

/// The group that a COMMIT was last tried for, and what it answers if it was made.
pub(super) struct LastGroup {
    token: Uuid,
    sends: HashMap<SendId, Written>,
    /// Of everything else, in order.
    others: Vec<Written>,
}

impl LastGroup {
    fn new(token: Uuid, group: &[Write], answers: &[Written]) -> Self {
        let mut sends = HashMap::new();
        let mut others = Vec::new();
        for (write, answer) in group.iter().zip(answers) {
            match write {
                Write::RecordSend(record) => {
                    sends.insert(record.id, answer.clone());
                }
                Write::Account(_) | Write::Delivery(_) => others.push(answer.clone()),
            }
        }
        Self {
            token,
            sends,
            others,
        }
    }

    /// Sends may be missing in a group that comes again, nothing else.
    fn answers_for(&self, group: &[Write]) -> Result<Vec<Written>, StorageError> {
        let mut others = self.others.iter();
        let answers: Option<Vec<Written>> = group
            .iter()
            .map(|write| match write {
                Write::RecordSend(record) => self.sends.get(&record.id).cloned(),
                Write::Account(_) | Write::Delivery(_) => others.next().cloned(),
            })
            .collect();
        match answers {
            Some(answers) if others.next().is_none() => Ok(answers),
            _ => Err(StorageError::Unusable(
                "a retried group is not the one that was tried".to_owned(),
            )),
        }
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
            Outcome::Repeats(id) => match read_send(connection, keys, &id).await? {
                Some(send) => Written::Repeated(Box::new(send)),
                // Of an account that was deleted: the key stays used.
                None => Written::KeyReused,
            },
        });
    }
    Ok(answers)
}

async fn is_in_database(
    connection: &mut SqliteConnection,
    token: Uuid,
) -> Result<bool, StorageError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'last_group'")
        .fetch_one(connection)
        .await?;
    Ok(row.try_get::<&[u8], _>(0)? == token.as_bytes())
}

async fn write_token(connection: &mut SqliteConnection) -> Result<Uuid, StorageError> {
    let token = Uuid::new_v4();
    sqlx::query("UPDATE meta SET value = ? WHERE name = 'last_group'")
        .bind(token.as_bytes().to_vec())
        .execute(connection)
        .await?;
    Ok(token)
}
