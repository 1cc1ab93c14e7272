//! A running provider is replaced, or gets another configuration: `suspend`, then `start` in the
//! new one. The old instance is kept until the new one's first turn has committed, and goes on if
//! it does not. Connections stay open.

use super::actor::Actor;
use super::core::{Core, Phase, facts};
use super::flush::Flush;
use super::start::{drop_unkept, open_labels};
use crate::domain::account::{Account, AccountPatch};
use crate::domain::manifest::Resume;
use crate::runtime::instance::StartCall;
use crate::runtime::turn::AccountFacts;
use crate::runtime::{Call, Cause, Instance, Provider, Turn};
use std::sync::Arc;
use tokio::sync::oneshot;

pub struct Replacement {
    pub provider: Option<Arc<Provider>>,
    pub account: Option<Box<Account>>,
    pub done: Option<oneshot::Sender<Result<(), String>>>,
}

impl Replacement {
    /// A later one came before this one was begun: what only this one had goes over to it.
    pub fn superseded(self, later: Option<&mut Replacement>) {
        if let Some(later) = later {
            if later.provider.is_none() {
                later.provider = self.provider;
            }
            if later.account.is_none() {
                later.account = self.account;
            }
        }
        if let Some(done) = self.done {
            let _ = done.send(Ok(()));
        }
    }
}

/// The instance before, kept until the new one's first turn has committed. It is never called
/// again once that turn was handed to the writer: a commit that is refused means that the
/// account is another host's.
pub struct Previous {
    _instance: Option<Instance>,
}

impl Core {
    /// At a turn boundary with everything committed.
    pub fn replace(&mut self, actor: &Arc<Actor>) {
        let Some(replacement) = self.replacement.take() else {
            return;
        };
        let provider = replacement
            .provider
            .unwrap_or_else(|| self.provider.clone());
        let same = provider.digest == self.provider.digest;
        if same && replacement.account.is_none() {
            if let Some(done) = replacement.done {
                let _ = done.send(Ok(()));
            }
            return;
        }
        let account = match replacement.account {
            Some(changed) => changed_account(&self.account, *changed),
            None => self.account.clone(),
        };
        let patch = AccountPatch {
            provider_digest: (!same).then(|| provider.digest.clone()),
            ..AccountPatch::default()
        };
        if !matches!(self.phase, Phase::Live) {
            self.strikes.clear();
            self.facts = facts(&account, &provider, &actor.shared);
            (self.provider, self.account) = (provider, account);
            self.account.provider_digest = Some(self.provider.digest.clone());
            if matches!(self.phase, Phase::Waiting) {
                self.phase = Phase::Starting(Cause::Restart);
            }
            let flush = Flush {
                show: true,
                replaced: replacement.done,
                ..Flush::default()
            };
            return self.host_change(actor, vec![], vec![], patch, flush);
        }
        let cause = if same {
            Cause::Reconfigured
        } else {
            Cause::Reload
        };
        self.swap(actor, provider, account, cause, patch, replacement.done);
    }

    fn swap(
        &mut self,
        actor: &Arc<Actor>,
        provider: Arc<Provider>,
        account: Account,
        cause: Cause,
        patch: AccountPatch,
        done: Option<oneshot::Sender<Result<(), String>>>,
    ) {
        let refuse = |done: Option<oneshot::Sender<Result<(), String>>>, reason: String| {
            tracing::error!(
                account = %actor.id,
                provider = provider.manifest.id,
                version = provider.manifest.version,
                reason,
                "the provider was not replaced; the version before goes on"
            );
            if let Some(done) = done {
                let _ = done.send(Err(reason));
            }
        };
        let mut new = match provider.instantiate(&provider.limits) {
            Ok(instance) => instance,
            Err(fault) => return refuse(done, fault.message),
        };
        let (Some(ledger), Some(mut old)) = (self.ledger.take(), self.instance.take()) else {
            return refuse(done, "the account has no instance".into());
        };
        let now = self.tick();

        let by_snapshot = provider.manifest.resume == Resume::Snapshot
            && self.provider.manifest.resume == Resume::Snapshot;
        let turn = Box::new(Turn::new(now, ledger, self.facts.clone()));
        let (turn, suspended) = old.suspend(turn);
        let ledger = turn.ledger;
        let (resume, old) = match suspended {
            Ok(snapshot) => {
                let readable = by_snapshot
                    && provider
                        .descriptor
                        .reads_state_versions
                        .contains(&snapshot.0);
                (readable.then_some(snapshot), Some(old))
            }
            Err(fault) => {
                // A suspend that failed has cost the old instance its life.
                tracing::warn!(account = %actor.id, place = fault.place, "the old version could not hand over: {}", fault.message);
                (None, None)
            }
        };
        let resumed = resume.is_some();

        let old_account = std::mem::replace(&mut self.account, account);
        let config = self.config(actor);
        let new_facts: Arc<AccountFacts> = facts(&self.account, &provider, &actor.shared);
        let open = open_labels(&ledger);
        let start = StartCall {
            cause,
            config,
            resume,
            open: open.iter().map(|(label, _)| label.clone()).collect(),
            skip: self.skip.clone(),
        };
        let turn = Box::new(Turn::new(now, ledger, new_facts.clone()));
        self.begin_turn(actor, None, "turn replace");
        let mut outcome = new.call(&Call::Start(start), turn);
        actor.meter.turn();
        match &outcome.result {
            Ok(keeps) => {
                let unkept = drop_unkept(&mut outcome.turn.ledger, &open, keeps, resumed);
                self.previous = Some(Previous { _instance: old });
                self.instance = Some(new);
                self.instances += 1;
                self.meters.instances.inc();
                self.provider = provider;
                self.facts = new_facts;
                self.account.provider_digest = Some(self.provider.digest.clone());
                self.strikes.clear();
                let flush = Flush {
                    unkept,
                    show: true,
                    replaced: done,
                    settles_replacement: true,
                    ..Flush::default()
                };
                self.settle(actor, None, outcome, flush, patch);
                if !resumed {
                    self.call_again(actor);
                    self.lose_sign_in(actor);
                    self.lose_commands(actor, "the provider was replaced");
                }
            }
            Err(fault) => {
                let fault = fault.clone();
                self.meters.fault(fault.kind.as_str());
                self.fail_turn(&fault);
                self.ledger = Some(outcome.turn.ledger);
                self.account = old_account;
                match old {
                    Some(old) => self.instance = Some(old),
                    None => self.phase = Phase::Starting(Cause::Restart),
                }
                refuse(done, format!("its start failed: {}", fault.message));
            }
        }
    }
}

/// What the client changed, over what turns have changed.
fn changed_account(present: &Account, changed: Account) -> Account {
    Account {
        turn_seq: present.turn_seq,
        kv_bytes: present.kv_bytes,
        auth_status: present.auth_status,
        last_error: present.last_error.clone(),
        profile: present.profile.clone(),
        wanted: present.wanted,
        provider_digest: present.provider_digest.clone(),
        ..changed
    }
}
