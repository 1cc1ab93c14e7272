//! The group commit: many writes, one transaction.
//!
//! What the group names is read first (partitions, accounts, sends, keys), each entry is decided
//! in order against that picture, and what was decided is written with a few statements of many
//! rows. An entry that is fenced or whose account is gone is left out; the rest commits.
//!
//! **A COMMIT whose answer was lost.** A group is one transaction, so either all of it is in the
//! database or nothing, and which one the database itself says: every group writes a token of its
//! own into the row of its writer, and storage remembers the token and the answers of the group it
//! last tried to commit. When the group comes again (`retry`) and the database holds that token, the
//! remembered answers are given. Otherwise the attempt left nothing, and the group is applied as if
//! it were new. So nothing depends on guessing from traces, of which a host's kv write would leave
//! none. A server may still be busy with a COMMIT that its client has given up: it holds the
//! writer's row, and the question waits for it (`token.rs`).

mod apply;
mod blobs;
mod dedupe;
mod delivery;
mod load;
mod plan;
mod requests;
mod token;

pub(super) use apply::write_secret;
pub(super) use dedupe::{prune_idempotency, prune_windows};
pub(super) use load::{idempotency_hash, send_id};
pub(super) use token::wait_for_last_group;

use self::plan::{Outcome, Plan};
use super::SqlStore;
use super::connection::Connection;
use super::keys::Keyring;
use super::sends::read_send;
use super::state::Transaction;
use crate::domain::{SendId, Timestamp};
use crate::storage::{StorageError, Write, Written};
use std::collections::HashMap;
use uuid::Uuid;

/// How often a group is tried again at once when others took idempotency keys at the same moment.
const RACES: usize = 5;

impl SqlStore {
    pub(super) async fn commit_group(
        &self,
        writer: usize,
        group: &[Write],
        retry: bool,
    ) -> Result<Vec<Written>, StorageError> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        if !retry {
            // A new group that does not get as far as its COMMIT must not be taken for the one
            // before when it comes again.
            self.writer(writer).lock().await.last_group = None;
        }
        #[cfg(test)]
        let fault = self.faults.begin()?;
        for _ in 0..RACES {
            let mut transaction = self.begin_as(writer).await?;
            let result = self.write_group(&mut transaction, group, retry).await;
            let result = match result {
                Ok(None) => {
                    transaction.roll_back().await?;
                    continue;
                }
                Ok(Some(written)) => Ok(written),
                Err(error) => Err(error),
            };
            #[cfg(test)]
            let result = result.and_then(|written| fault.before_commit(written));
            let result = transaction.end(result).await;
            #[cfg(test)]
            let result = result.and_then(|written| fault.after_commit(written));
            return result;
        }
        Err(StorageError::Unavailable(
            "others took the same idempotency keys again and again".to_owned(),
        ))
    }

    /// None: another writer took an idempotency key since this group looked for it. Nothing of the
    /// group may be committed; looking again shows whose it is.
    async fn write_group(
        &self,
        transaction: &mut Transaction<'_>,
        group: &[Write],
        retry: bool,
    ) -> Result<Option<Vec<Written>>, StorageError> {
        if retry && transaction.writer()?.last_group.is_some() {
            // It is kept until it is known not to be there: this question may fail, too.
            let held = token::held(transaction).await?;
            if let Some(last) = &transaction.writer()?.last_group
                && held == last.token.as_bytes()
            {
                tracing::info!(
                    entries = group.len(),
                    "a commit without an answer had been made"
                );
                return last.answers_for(group).map(Some);
            }
        }
        transaction.writer()?.last_group = None;
        let now = Timestamp::now();
        let token = token::write(transaction).await?;
        let picture = load::picture(&mut transaction.connection, &self.keys, group).await?;
        let mut plan = Plan::new(&picture);
        plan.decide(group);
        dedupe::settle(transaction, &mut plan, now).await?;
        if !apply::apply(&mut transaction.connection, &mut plan, now).await? {
            return Ok(None);
        }
        delivery::apply(&mut transaction.connection, &self.keys, &plan.deliveries).await?;
        let answers = answers(&mut transaction.connection, &self.keys, plan).await?;
        transaction.writer()?.last_group = Some(LastGroup::new(token, group, &answers));
        Ok(Some(answers))
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
    connection: &mut Connection,
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
