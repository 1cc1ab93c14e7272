//! Accounts come and go with their partitions: brought back when this host acquires one, let go
//! without a goodbye when it loses one. Also how a command finds the account's owner, if that is
//! this host.

use super::Supervisor;
use super::actor::Actor;
use super::control::Refusal;
use super::mailbox::{Input, Order, Signal};
use crate::domain::account::Account;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::send::{Send, SendOutcome, SendState};
use crate::domain::{AccountId, PartitionId, Timestamp};
use crate::runtime::Provider;
use crate::storage::StorageError;
use crate::storage::lease::{Epochs, Notice, OwnershipState, Picture};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Accounts that start at once after a takeover; so many more follow after each pause.
const PACE: usize = 100;
const PACE_PAUSE: Duration = Duration::from_millis(50);
const RETRY_STORAGE: Duration = Duration::from_millis(500);

impl Supervisor {
    /// What is ours already is brought back before this returns.
    pub(super) async fn begin_ownership(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut changes = self.shared.ownership.changes();
        let first = *changes.borrow_and_update();
        if first.epochs.count() > 0 {
            let gained = first.epochs.beyond(&Epochs::NONE);
            self.bring_back(&gained).await?;
        }
        self.shared.ownership.ready(&first.epochs);
        tokio::spawn(follow(self.me.clone(), changes, first));
        if self.shared.store.lease_length().is_some() {
            tokio::spawn(super::hand_over::take(self.me.clone()));
        }
        Ok(())
    }

    async fn apply(self: &Arc<Self>, before: &Picture, now: &Picture) {
        let lost = before.epochs.beyond(&now.epochs);
        if !lost.is_empty() {
            self.let_go(&lost, &now.epochs);
        }
        if now.revived != before.revived {
            for actor in self.all_actors() {
                actor.signal(Signal::Lease);
            }
        }
        let gained = now.epochs.beyond(&before.epochs);
        if !gained.is_empty() {
            while let Err(error) = self.bring_back(&gained).await {
                tracing::warn!(%error, "accounts cannot be brought back, trying again");
                tokio::time::sleep(RETRY_STORAGE).await;
                if self.shared.ownership.epochs() != now.epochs {
                    // What is ours has changed meanwhile: that comes next, and is more recent.
                    break;
                }
            }
        }
        self.shared.ownership.ready(&now.epochs);
    }

    /// Drops the accounts of partitions that are not ours any more under these epochs.
    fn let_go(&self, lost: &[PartitionId], now: &Epochs) {
        let gone: Vec<Arc<Actor>> = {
            let mut actors = self.actors.write().unwrap_or_else(PoisonError::into_inner);
            let mut gone = Vec::new();
            actors.retain(|_, actor| {
                let stays = !lost.contains(&actor.partition)
                    || now.of(actor.partition) == Some(actor.epoch);
                if !stays {
                    gone.push(actor.clone());
                }
                stays
            });
            gone
        };
        tracing::warn!(
            accounts = gone.len(),
            partitions = lost.len(),
            "let go what this host does not own any more"
        );
        for actor in gone {
            let used = (
                actor.workspace.clone(),
                actor.id.clone(),
                actor.meter.take(),
            );
            self.departed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(used);
            actor.order(Order::LetGo);
        }
    }

    async fn bring_back(self: &Arc<Self>, partitions: &[PartitionId]) -> anyhow::Result<()> {
        self.refresh_providers().await?;
        let bundled =
            std::mem::take(&mut *self.bundled.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, bytes) in bundled {
            // Refusals are logged and shown; the host runs with what it has.
            let _ = self.install_component(bytes, &name, false).await;
        }
        let deletions = self.shared.store.deletions().await?;
        let wanted: HashSet<PartitionId> = partitions.iter().copied().collect();
        for account in self.shared.store.all_accounts().await? {
            if !wanted.contains(&account.partition) {
                continue;
            }
            self.bring(&account).await?;
            if deletions.contains(&account.id) {
                self.go_on_deleting(account.workspace, account.id);
            }
        }
        let mut brought = self.all_actors();
        brought.retain(|actor| wanted.contains(&actor.partition) && !self.rests(&actor.workspace));
        brought.retain(|actor| !deletions.contains(&actor.id));
        tracing::info!(
            accounts = brought.len(),
            partitions = partitions.len(),
            "the accounts of this host's partitions are known"
        );
        for actor in brought.iter().take(PACE) {
            actor.order(Order::BringBack);
        }
        if brought.len() > PACE {
            let later = brought.split_off(PACE);
            tokio::spawn(async move {
                for some in later.chunks(PACE) {
                    tokio::time::sleep(PACE_PAUSE).await;
                    for actor in some {
                        actor.order(Order::BringBack);
                    }
                }
            });
        }
        Ok(())
    }

    /// None: it is here already, or cannot run here.
    async fn bring(&self, account: &Account) -> Result<Option<Arc<Actor>>, StorageError> {
        let _one = self.bringing.lock().await;
        if self.actor(&account.id).is_some() || !self.owns(&account.id) {
            return Ok(None);
        }
        if let Some(digest) = &account.provider_digest {
            self.load_version(digest).await?;
        }
        let sends = self.shared.store.unsettled_sends(&account.id).await?;
        let Some(actor) = self.add_actor(account.clone()) else {
            tracing::error!(
                account = %account.id,
                provider = account.provider,
                "the account's provider is not installed; the account does not run"
            );
            return Ok(None);
        };
        if self.shared.store.deletions().await?.contains(&account.id) {
            // It settles them itself.
            return Ok(Some(actor));
        }
        let restored = self.shared.store.restored().await?;
        self.recover(&actor, account, sends, restored);
        Ok(Some(actor))
    }

    /// After a restart or a takeover: what was recorded is called again, what was dispatched only
    /// where the channel drops repeats; else nobody can say what became of it. In a copy of another
    /// installation nobody can say it of either: the original may have gone on with it.
    fn recover(
        &self,
        actor: &Arc<Actor>,
        account: &Account,
        sends: Vec<Send>,
        restored: Option<Timestamp>,
    ) {
        let dedupes = self
            .provider_of(account)
            .is_some_and(|provider| provider.manifest.dedupes_sends);
        for send in sends {
            let copied = restored.is_some_and(|at| send.recorded_at <= at);
            if !copied && (send.state == SendState::Recorded || dedupes) {
                let (id, outgoing) = (send.id, Arc::new(send.outgoing));
                actor.recover_send(id, outgoing.clone(), send.state);
                if send.state == SendState::Dispatched {
                    // The one of its first dispatch went with the process before.
                    actor.await_end(id);
                }
                actor.input(Input::Send {
                    id,
                    outgoing,
                    trace: None,
                });
            } else {
                actor.recover_send(send.id, Arc::new(send.outgoing), send.state);
                let failure = Failure::new(
                    FailureCode::Unavailable,
                    if copied {
                        "this host was restored from a backup, and the original may have sent it"
                    } else {
                        "the host stopped after it had left and before the channel answered"
                    },
                );
                let outcome = SendOutcome::Failed {
                    failure,
                    certainty: Certainty::MaybeDone,
                };
                actor.settle_recovered(send.id, outcome);
            }
        }
    }

    pub(super) fn owns(&self, id: &AccountId) -> bool {
        let partition = PartitionId::of(id);
        self.shared.ownership.epoch(partition).is_some()
    }

    /// The account, where this host owns it and its lease holds. One that another host has made
    /// since the partition was acquired is brought here.
    pub(super) async fn owned(&self, id: &AccountId) -> Result<Arc<Actor>, Refusal> {
        if let Some(actor) = self.actor(id) {
            return if actor.holds() {
                Ok(actor)
            } else {
                Err(Refusal::OwnerElsewhere)
            };
        }
        // While accounts are being brought back, this one will come by itself.
        let starting = self.shared.ownership.state() == OwnershipState::Starting;
        if !self.owns(id) || starting {
            return Err(Refusal::OwnerElsewhere);
        }
        if self.shared.store.lease_length().is_none() {
            return Err(Refusal::UnknownAccount);
        }
        let accounts = self.shared.store.all_accounts().await?;
        let account = accounts
            .into_iter()
            .find(|account| account.id == *id)
            .ok_or(Refusal::UnknownAccount)?;
        if let Some(actor) = self.bring(&account).await?
            && !self.rests(&account.workspace)
        {
            actor.order(Order::BringBack);
        }
        match self.actor(id) {
            Some(actor) => Ok(actor),
            // Its provider is not installed here.
            None if self.owns(id) => Err(Refusal::UnknownAccount),
            None => Err(Refusal::OwnerElsewhere),
        }
    }

    /// Owns nothing now.
    pub fn is_standby(&self) -> bool {
        self.shared.ownership.is_standby()
    }

    /// Another host recorded sends for accounts of this one.
    pub fn hand_over_waits(&self) {
        self.hand_over_bell.notify_one();
    }

    /// Another host made a provider version current.
    pub fn providers_changed(&self) {
        self.providers_bell.notify_one();
    }

    pub(super) async fn tell(&self, notice: Notice) {
        if let Err(error) = self.shared.store.notify(&notice).await {
            tracing::debug!(%error, ?notice, "other hosts were not told; they look by themselves");
        }
    }

    fn all_actors(&self) -> Vec<Arc<Actor>> {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        actors.values().cloned().collect()
    }

    /// Compiles versions that other hosts have installed, and moves accounts to those that they
    /// made current.
    pub(super) async fn refresh_providers(self: &Arc<Self>) -> anyhow::Result<()> {
        let _one = self.learning.lock().await;
        for (id, digest) in self.shared.store.current_providers().await? {
            let known = self.providers.current(&id);
            if known.is_some_and(|known| known.digest == digest) {
                continue;
            }
            if let Some(provider) = self.load_version(&digest).await? {
                self.providers.set_current(&id, &digest);
                self.move_accounts(&id, provider);
            }
        }
        Ok(())
    }

    /// A version that storage has. None: it has no bytes of it, or it cannot run here.
    pub(super) async fn load_version(
        &self,
        digest: &str,
    ) -> Result<Option<Arc<Provider>>, StorageError> {
        if let Some(provider) = self.providers.by_digest(digest) {
            return Ok(Some(provider));
        }
        if self.providers.gave_up(digest) {
            return Ok(None);
        }
        let Some(bytes) = self.shared.store.provider_bytes(digest).await? else {
            tracing::error!(digest, "storage has no bytes of a provider that it names");
            self.providers.give_up(digest);
            return Ok(None);
        };
        match self.check(bytes).await {
            Ok(provider) => {
                self.providers.add(provider.clone());
                Ok(Some(provider))
            }
            Err(reason) => {
                tracing::error!(digest, reason, "an installed provider is refused now");
                self.providers.give_up(digest);
                Ok(None)
            }
        }
    }
}

/// Until the supervisor is gone.
async fn follow(me: Weak<Supervisor>, mut changes: watch::Receiver<Picture>, mut known: Picture) {
    while changes.changed().await.is_ok() {
        let now = *changes.borrow_and_update();
        let Some(supervisor) = me.upgrade() else {
            return;
        };
        // A host that stops gives up what it owns as the last.
        if supervisor.down.load(Ordering::Relaxed) {
            return;
        }
        supervisor.apply(&known, &now).await;
        known = now;
    }
}
