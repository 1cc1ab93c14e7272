//! One account as only the runtime sees it: an instance and a ledger. Nothing leaves it.

use crate::domain::manifest::Resume;
use crate::domain::{AccountId, SecretBytes, Timestamp};
use crate::runtime::instance::{Snapshot, StartCall};
use crate::runtime::ledger::{ColdKv, ConnectionState, KvEntries};
use crate::runtime::normalize::ReplyTokens;
use crate::runtime::turn::AccountFacts;
use crate::runtime::{Call, Cause, Effects, Fault, Instance, Ledger, Provider, Turn};
use std::sync::Arc;
use std::time::Duration;

/// 2027-01-15T08:00:00Z.
const BEGINNING_MS: u64 = 1_800_000_000_000;
/// Between one input and the next.
const PACE_MS: u64 = 1_000;

pub struct Stage<'a> {
    provider: &'a Provider,
    facts: Arc<AccountFacts>,
    config: Arc<str>,
    instance: Option<Instance>,
    ledger: Option<Ledger>,
    /// The longest turn so far.
    pub cpu: Duration,
    /// The largest snapshot so far.
    pub snapshot_bytes: usize,
}

/// What a turn came to.
pub struct Played {
    /// `keeps` of a start.
    pub result: Result<Vec<String>, Fault>,
    pub effects: Effects,
}

impl<'a> Stage<'a> {
    pub fn new(
        provider: &'a Provider,
        config: &serde_json::Value,
        secrets: Vec<(String, SecretBytes)>,
    ) -> Self {
        Self {
            provider,
            facts: Arc::new(AccountFacts {
                id: AccountId::from_text("acc_test"),
                manifest: provider.manifest.clone(),
                limits: provider.limits,
                reply_tokens: Arc::new(NoTokens),
            }),
            config: config.to_string().into(),
            instance: None,
            ledger: Some(Ledger::new(
                Some(Vec::new()),
                0,
                secrets,
                Arc::new(AllInMemory),
            )),
            cpu: Duration::ZERO,
            snapshot_bytes: 0,
        }
    }

    /// A new instance and its first turn. `at`: the number of the input that it is for, by which
    /// clock and randomness are the same in every run.
    pub fn start(&mut self, at: u64, cause: Cause, resume: Option<Snapshot>) -> Played {
        self.instance = None;
        match self.provider.instantiate(&self.provider.limits) {
            Ok(instance) => self.instance = Some(instance),
            Err(fault) => {
                return Played {
                    result: Err(fault),
                    effects: Effects::default(),
                };
            }
        }
        let start = StartCall {
            cause,
            config: self.config.clone(),
            resume,
            open: self.open().into_iter().map(|(label, _)| label).collect(),
            skip: Vec::new(),
        };
        self.call(at, &Call::Start(start), false)
    }

    /// Labels of open connections, with their generations.
    pub fn open(&mut self) -> Vec<(String, u64)> {
        let connections = &self.ledger().connections;
        let open = connections
            .iter()
            .filter(|(_, it)| it.state == ConnectionState::Open);
        let mut open: Vec<_> = open
            .map(|(label, it)| (label.clone(), it.generation))
            .collect();
        open.sort();
        open
    }

    /// One turn; a doomed one does all its work and then fails, as when a host dies before the
    /// commit.
    pub fn call(&mut self, at: u64, call: &Call, doomed: bool) -> Played {
        let mut turn = self.turn(at);
        turn.doomed = doomed;
        let Some(instance) = &mut self.instance else {
            unreachable!("a play starts before it calls");
        };
        let outcome = instance.call(call, turn);
        self.cpu = self.cpu.max(outcome.cpu);
        let turn = *outcome.turn;
        self.ledger = Some(turn.ledger);
        Played {
            result: outcome.result,
            effects: turn.effects,
        }
    }

    pub fn suspend(&mut self, at: u64) -> Result<Snapshot, Fault> {
        let turn = self.turn(at);
        let Some(instance) = &mut self.instance else {
            unreachable!("a play starts before it suspends");
        };
        let (turn, suspended) = instance.suspend(turn);
        self.ledger = Some(turn.ledger);
        if let Ok((_, bytes)) = &suspended {
            self.snapshot_bytes = self.snapshot_bytes.max(bytes.len());
        }
        suspended
    }

    /// What a next instance gets of a snapshot.
    pub fn readable(&self, snapshot: Snapshot) -> Option<Snapshot> {
        let by_snapshot = self.provider.manifest.resume == Resume::Snapshot;
        let reads = &self.provider.descriptor.reads_state_versions;
        (by_snapshot && reads.contains(&snapshot.0)).then_some(snapshot)
    }

    pub fn ledger(&mut self) -> &mut Ledger {
        match &mut self.ledger {
            Some(ledger) => ledger,
            None => unreachable!("the turn that had the ledger gave it back"),
        }
    }

    fn turn(&mut self, at: u64) -> Box<Turn> {
        let Some(ledger) = self.ledger.take() else {
            unreachable!("the turn that had the ledger gave it back");
        };
        let now = Timestamp(BEGINNING_MS + at * PACE_MS);
        let mut turn = Turn::new(now, ledger, self.facts.clone());
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&at.to_le_bytes());
        turn.seed = Some(seed);
        Box::new(turn)
    }
}

/// Accounts on the stage are small: nobody asks it.
struct AllInMemory;

impl ColdKv for AllInMemory {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
    fn scan(&self, _: &str, _: Option<&str>, _: u32) -> Result<KvEntries, String> {
        Ok(Vec::new())
    }
}

struct NoTokens;

impl ReplyTokens for NoTokens {
    fn seal(&self, _: &AccountId, _: &str, _: &str, _: Option<&str>, _: Option<&str>) -> String {
        "token".into()
    }
}
