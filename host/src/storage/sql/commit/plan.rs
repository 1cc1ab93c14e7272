//! What becomes of each entry of a group, decided in order against the picture. No SQL here.

use super::load::{IdempotencyRow, Picture, SendRow, idempotency_hash};
use crate::domain::account::AccountPatch;
use crate::domain::event::NewEvent;
use crate::domain::send::{SendChange, SendState};
use crate::domain::{AccountId, PartitionId, SecretBytes, SendId, Timestamp, WorkspaceId};
use crate::storage::blobs::BlobWrite;
use crate::storage::seal::DataKey;
use crate::storage::{
    AccountCommit, DeliveryProgress, DurableTimer, RecordSend, RequestWrite, Write, Written,
};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use uuid::Uuid;

pub(super) struct Plan<'g> {
    picture: &'g Picture,
    pub outcomes: Vec<Outcome>,
    turn_seqs: HashMap<&'g AccountId, u64>,
    send_rows: HashMap<SendId, SendRow>,
    idempotency_rows: HashMap<(&'g WorkspaceId, [u8; 16]), IdempotencyRow>,

    // What is to be written.
    pub events: Vec<PlannedEvent<'g>>,
    pub accounts: BTreeMap<&'g AccountId, AccountChange<'g>>,
    pub kv: BTreeMap<(&'g AccountId, &'g str), Option<&'g [u8]>>,
    pub secrets: BTreeMap<(&'g AccountId, &'g str), Option<&'g [u8]>>,
    pub timers: BTreeMap<(&'g AccountId, &'g str), Option<&'g DurableTimer>>,
    pub requests: BTreeMap<(&'g AccountId, Uuid), RequestChange<'g>>,
    /// In order.
    pub blobs: Vec<(&'g AccountId, &'g WorkspaceId, &'g BlobWrite)>,
    /// With the keyed hash of the idempotency key.
    pub new_sends: Vec<(&'g RecordSend, Option<[u8; 16]>)>,
    pub idempotency: BTreeMap<(&'g WorkspaceId, [u8; 16]), IdempotencyRow>,
    /// Uses of idempotency keys that have expired and make room, by the send they named.
    pub expired: Vec<(&'g WorkspaceId, [u8; 16], SendId)>,
    /// In order; several may concern one send.
    pub send_changes: Vec<(&'g AccountId, &'g SendChange)>,
    pub deliveries: Vec<&'g DeliveryProgress>,
}

pub(super) struct PlannedEvent<'g> {
    pub account: &'g AccountId,
    pub partition: PartitionId,
    pub event: &'g NewEvent,
    /// None until it is known not to be a repeat, and for repeats.
    pub offset: Option<u64>,
    pub repeat: bool,
}

pub(super) enum RequestChange<'g> {
    Put { request: &'g [u8], started: bool },
    Started,
    Remove,
}

#[derive(Default)]
pub(super) struct AccountChange<'g> {
    pub turn_seq: Option<u64>,
    pub kv_bytes: Option<u64>,
    pub at: Timestamp,
    pub patches: Vec<&'g AccountPatch>,
}

pub(super) enum Outcome {
    Account {
        /// In `events`.
        events: Range<usize>,
        sends: Vec<bool>,
    },
    Known(Written),
    Repeats(SendId),
}

impl<'g> Plan<'g> {
    pub fn new(picture: &'g Picture) -> Self {
        Self {
            picture,
            outcomes: Vec::new(),
            turn_seqs: HashMap::new(),
            send_rows: picture.sends.clone(),
            idempotency_rows: HashMap::new(),
            events: Vec::new(),
            accounts: BTreeMap::new(),
            kv: BTreeMap::new(),
            secrets: BTreeMap::new(),
            timers: BTreeMap::new(),
            requests: BTreeMap::new(),
            blobs: Vec::new(),
            new_sends: Vec::new(),
            idempotency: BTreeMap::new(),
            expired: Vec::new(),
            send_changes: Vec::new(),
            deliveries: Vec::new(),
        }
    }

    pub fn key(&self, account: &AccountId) -> Option<&'g DataKey> {
        let row = self.picture.accounts.get(account)?;
        Some(&row.key.key)
    }

    pub fn partition(&self, partition: PartitionId) -> Option<(u64, u64)> {
        let row = self.picture.partitions.get(&partition)?;
        Some((row.epoch, row.head))
    }

    pub fn decide(&mut self, group: &'g [Write]) {
        for write in group {
            let outcome = match write {
                Write::Account(commit) => self.account(commit),
                Write::RecordSend(record) => self.record(record),
                Write::Delivery(progress) if self.picture.is_stale(&progress.epochs) => {
                    Outcome::Known(Written::Fenced)
                }
                Write::Delivery(progress) => {
                    self.deliveries.push(progress);
                    Outcome::Known(Written::Delivery)
                }
            };
            self.outcomes.push(outcome);
        }
    }

    fn account(&mut self, commit: &'g AccountCommit) -> Outcome {
        if let Some(refusal) = self.picture.refusal(
            &commit.workspace,
            &commit.account,
            commit.partition,
            Some(commit.epoch),
        ) {
            return Outcome::Known(refusal);
        }
        if let Some(turn) = commit.turn {
            let current = self.turn_seqs.get(&commit.account).copied();
            let current = current.unwrap_or_else(|| self.picture.turn_seq(&commit.account));
            if turn != current + 1 {
                return Outcome::Known(Written::Fenced);
            }
            self.turn_seqs.insert(&commit.account, turn);
        }

        let first = self.events.len();
        self.events
            .extend(commit.events.iter().map(|event| PlannedEvent {
                account: &commit.account,
                partition: commit.partition,
                event,
                offset: None,
                repeat: false,
            }));
        let account = &commit.account;
        for write in &commit.kv {
            self.kv
                .insert((account, &write.key), write.value.as_deref());
        }
        for write in &commit.secrets {
            self.secrets.insert(
                (account, &write.name),
                write.value.as_ref().map(SecretBytes::expose),
            );
        }
        for write in &commit.timers {
            self.timers
                .insert((account, &write.label), write.timer.as_ref());
        }
        for write in &commit.requests {
            self.change_request(account, write);
        }
        let workspace = &commit.workspace;
        self.blobs
            .extend(commit.blobs.iter().map(|write| (account, workspace, write)));
        let change = self.accounts.entry(account).or_default();
        change.turn_seq = commit.turn.or(change.turn_seq);
        change.kv_bytes = commit.kv_bytes.or(change.kv_bytes);
        change.at = change.at.max(commit.at);
        if commit.patch != AccountPatch::default() {
            change.patches.push(&commit.patch);
        }
        let sends = commit
            .sends
            .iter()
            .map(|change| self.change_send(account, change))
            .collect();
        Outcome::Account {
            events: first..self.events.len(),
            sends,
        }
    }

    /// What the group makes of a request together.
    fn change_request(&mut self, account: &'g AccountId, write: &'g RequestWrite) {
        let change = match write {
            RequestWrite::Put { request, .. } => RequestChange::Put {
                request,
                started: false,
            },
            RequestWrite::Remove { .. } => RequestChange::Remove,
            RequestWrite::Started { id } => match self.requests.get(&(account, *id)) {
                Some(RequestChange::Put { request, .. }) => RequestChange::Put {
                    request,
                    started: true,
                },
                Some(RequestChange::Remove) => RequestChange::Remove,
                Some(RequestChange::Started) | None => RequestChange::Started,
            },
        };
        self.requests.insert((account, write.id()), change);
    }

    fn change_send(&mut self, account: &'g AccountId, change: &'g SendChange) -> bool {
        let Some(row) = self.send_rows.get_mut(&change.id) else {
            return false;
        };
        if row.account != *account || !row.state.may_become(change.state) {
            return false;
        }
        row.state = change.state;
        self.send_changes.push((account, change));
        true
    }

    fn record(&mut self, record: &'g RecordSend) -> Outcome {
        if let Some(refusal) = self.picture.refusal(
            &record.workspace,
            &record.account,
            record.partition,
            record.epoch,
        ) {
            return Outcome::Known(refusal);
        }
        if self.send_rows.contains_key(&record.id) {
            return Outcome::Known(Written::Recorded);
        }
        let mut used = None;
        if let Some(idempotency) = &record.idempotency {
            let Some(key) = self.picture.workspaces.get(&record.workspace) else {
                return Outcome::Known(Written::Gone);
            };
            let hash = idempotency_hash(key, &idempotency.key);
            let stored = self
                .idempotency_rows
                .get(&(&record.workspace, hash))
                .or_else(|| {
                    self.picture
                        .idempotency
                        .get(&(record.workspace.clone(), hash))
                });
            if let Some(row) = stored.filter(|row| row.expires_at > record.at) {
                return if row.fingerprint == idempotency.fingerprint {
                    Outcome::Repeats(row.send)
                } else {
                    Outcome::Known(Written::KeyReused)
                };
            }
            if let Some(row) = stored {
                self.expired.push((&record.workspace, hash, row.send));
            }
            let row = IdempotencyRow {
                fingerprint: idempotency.fingerprint.to_vec(),
                send: record.id,
                expires_at: idempotency.expires_at,
            };
            self.idempotency_rows
                .insert((&record.workspace, hash), row.clone());
            self.idempotency.insert((&record.workspace, hash), row);
            used = Some(hash);
        }
        let row = SendRow {
            account: record.account.clone(),
            state: SendState::Recorded,
        };
        self.send_rows.insert(record.id, row);
        self.new_sends.push((record, used));
        Outcome::Known(Written::Recorded)
    }
}
