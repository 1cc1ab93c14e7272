//! Random writes through the writer over a database with random faults, against what the answers
//! promised: nothing lost, nothing doubled, nothing reordered, no refused send kept.

use super::world::*;
use crate::domain::SendId;
use crate::domain::account::Account;
use crate::storage::sql::SqlStore;
use crate::storage::sql::faults::Fault;
use crate::storage::writer::{Writer, WriterSettings};
use crate::storage::{KvWrite, StorageError, Write, Written};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// What an account must look like in the end.
#[derive(Default)]
struct Expected {
    turn: u64,
    events: Vec<String>,
    dedupe: BTreeSet<String>,
    kv: BTreeMap<String, Vec<u8>>,
    recorded: BTreeSet<SendId>,
    refused: BTreeSet<SendId>,
}

impl Expected {
    /// A commit of a turn or of the host, and what its answer has to drop.
    fn commit(
        &mut self,
        random: &mut Random,
        world: &World,
        account: &Account,
    ) -> (Write, Vec<bool>) {
        let turn = (random.below(4) > 0).then(|| {
            self.turn += 1;
            self.turn
        });
        let mut commit = world.turn(account, turn);
        let mut dropped = Vec::new();
        for _ in 0..random.below(4) {
            let mut event = event("a");
            if random.below(2) == 0 {
                let key = format!("key {}", random.below(30));
                event.dedupe_key = Some(key.clone());
                if !self.dedupe.insert(key) {
                    dropped.push(true);
                    commit.events.push(event);
                    continue;
                }
            }
            dropped.push(false);
            self.events.push(event.id.to_string());
            commit.events.push(event);
        }
        for _ in 0..random.below(3) {
            let key = format!("k{}", random.below(5));
            let value = (random.below(3) > 0).then(|| random.below(1000).to_string().into_bytes());
            match &value {
                Some(value) => self.kv.insert(key.clone(), value.clone()),
                None => self.kv.remove(&key),
            };
            commit.kv.push(KvWrite { key, value });
        }
        (commit.into(), dropped)
    }
}

enum Asked {
    Commit(Vec<bool>),
    Send(SendId),
}

async fn run(store: Arc<SqlStore>, seed: u64) {
    let world = World::new(store.clone()).await;
    let settings = WriterSettings {
        first_pause: Duration::from_micros(100),
        last_pause: Duration::from_micros(500),
        group_entries: 7,
        ..WriterSettings::default()
    };
    let writer = Writer::start(store.clone(), settings);
    let mut random = Random(seed);
    let mut accounts = Vec::new();
    for _ in 0..4 {
        accounts.push((world.account().await, Expected::default()));
    }
    for _ in 0..30 {
        store.faults.plan((0..random.below(4)).map(|_| {
            [
                Fault::None,
                Fault::Refuse,
                Fault::RollBack,
                Fault::LoseAnswer,
            ][random.below(4) as usize]
        }));
        let mut answers = Vec::new();
        for _ in 0..random.below(20) {
            let index = random.below(accounts.len() as u64) as usize;
            let (account, expected) = &mut accounts[index];
            let (write, asked) = if random.below(4) == 0 {
                let mut record = world.record(account);
                if random.below(2) == 0 {
                    record.idempotency = Some(idempotency(&record.id.to_string(), 1));
                }
                (record.clone().into(), Asked::Send(record.id))
            } else {
                let (write, dropped) = expected.commit(&mut random, &world, account);
                (write, Asked::Commit(dropped))
            };
            let writer = writer.clone();
            let (sender, receiver) = tokio::sync::oneshot::channel();
            writer.submit(
                write,
                Box::new(move |written| sender.send(written).unwrap()),
            );
            answers.push((index, asked, receiver));
        }
        for (index, asked, answer) in answers {
            let expected = &mut accounts[index].1;
            match (asked, answer.await.unwrap()) {
                (Asked::Commit(dropped), Ok(Written::Account { offsets, .. })) => {
                    let without: Vec<bool> = offsets.iter().map(Option::is_none).collect();
                    assert_eq!(without, dropped);
                }
                (Asked::Send(id), Ok(Written::Recorded)) => {
                    expected.recorded.insert(id);
                }
                (Asked::Send(id), Err(StorageError::Unavailable(_))) => {
                    expected.refused.insert(id);
                }
                (_, other) => panic!("seed {seed}: {other:?}"),
            }
        }
    }
    writer.shutdown().await;
    let mut refused = 0;
    for (account, expected) in &accounts {
        let events = world.events(account).await;
        let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
        assert_eq!(ids, expected.events, "seed {seed}");
        let kv = world.store.kv_scan(&account.id, "", None, 100).await;
        let kv: BTreeMap<_, _> = kv.unwrap().into_iter().collect();
        assert_eq!(kv, expected.kv, "seed {seed}");
        let stored = world.store.account(&world.workspace, &account.id).await;
        assert_eq!(stored.unwrap().unwrap().turn_seq, expected.turn);
        let unsettled = world.store.unsettled_sends(&account.id).await.unwrap();
        let ids: BTreeSet<_> = unsettled.into_iter().map(|send| send.id).collect();
        assert_eq!(ids, expected.recorded, "seed {seed}");
        assert!(ids.is_disjoint(&expected.refused));
        refused += expected.refused.len();
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn random_writes_with_random_faults_keep_their_promises() {
    for seed in 1..=8 {
        let (store, _directory) = super::sqlite::store().await;
        run(store, seed * 0x9e37_79b9).await;
    }
}

#[tokio::test]
async fn also_on_postgres() {
    for seed in 1..=4 {
        let Some((store, _database)) = super::postgres::store().await else {
            return;
        };
        run(store, seed * 0x9e37_79b9).await;
    }
}
