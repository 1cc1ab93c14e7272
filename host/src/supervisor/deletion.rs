//! Deleting an account is a state: it is durable that the account is to go; then it is signed out
//! at the channel, what it owes is settled and told, and its data key is destroyed. A process that
//! ends in between leaves the rest to the next one.
//!
//! Must never destroy the key before the session had its chance to end: nobody could sign it out
//! any more.

use super::Supervisor;
use super::actor::Actor;
use super::control::{Refusal, SignInCall};
use super::mailbox::Order;
use crate::domain::account::AuthStatus;
use crate::domain::endpoint::EndpointState;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::send::{SendOutcome, SendState};
use crate::domain::{AccountId, WorkspaceId};
use crate::storage::{Conflict, StorageError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// The longest that each step waits for others: the channel, the runtime, receivers of webhooks.
const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

impl Supervisor {
    /// Returns when nothing of the account can be read any more, or with an error when not even
    /// the wish is durable.
    pub(super) async fn end_account(
        &self,
        workspace: &WorkspaceId,
        id: &AccountId,
    ) -> Result<(), Refusal> {
        let store = &self.shared.store;
        if store.account(workspace, id).await?.is_none() {
            return Err(Refusal::UnknownAccount);
        }
        // Refused where another host is the owner.
        self.to_end(id).await?;
        match store.begin_deletion(id).await {
            Ok(()) => {}
            Err(StorageError::Conflict(Conflict::NotFound)) => return Err(Refusal::UnknownAccount),
            Err(error) => return Err(error.into()),
        }
        // It goes on when the client does not wait for it.
        if let Some(this) = self.me.upgrade() {
            let (workspace, id) = (workspace.clone(), id.clone());
            let _ = tokio::spawn(async move { this.finish_deletion(&workspace, &id).await }).await;
        }
        Ok(())
    }

    /// Deletions that a process before began.
    pub(super) fn go_on_deleting(self: &Arc<Self>, workspace: WorkspaceId, id: AccountId) {
        tracing::info!(account = %id, "the deletion of an account is taken up again");
        let this = self.clone();
        tokio::spawn(async move { this.finish_deletion(&workspace, &id).await });
    }

    async fn finish_deletion(&self, workspace: &WorkspaceId, id: &AccountId) {
        let mut owed = Owed::default();
        if let Some(actor) = self.actor(id) {
            let live = actor.look(|live| live.clone());
            if live.auth_status == AuthStatus::Authorized && live.wanted {
                // If the channel does not answer, its session ends with our credentials.
                let _ = self.call_sign_in(id, SignInCall::SignOut, PATIENCE).await;
            }
            let (done, stopped) = oneshot::channel();
            actor.order(Order::Stop {
                wanted: None,
                restart: false,
                done: Some(done),
            });
            let _ = timeout(PATIENCE, stopped).await;
            owed = self.settle_owed(&actor).await;
            owed.untold = !self.is_told(workspace, &actor).await;
        }
        loop {
            match self.shared.store.delete_account(id).await {
                Ok(()) | Err(StorageError::Conflict(Conflict::NotFound)) => break,
                Err(error) => {
                    tracing::warn!(account = %id, %error, "an account cannot be deleted now; trying again");
                    sleep(AGAIN).await;
                }
            }
        }
        let gone = match self.actors.write() {
            Ok(mut actors) => actors.remove(id),
            Err(_) => None,
        };
        if let Some(actor) = gone
            && let Ok(mut departed) = self.departed.lock()
        {
            departed.push((workspace.clone(), id.clone(), actor.meter.take()));
        }
        tracing::info!(
            account = %id,
            sends_failed = owed.failed,
            sends_unknown = owed.unknown,
            receivers_behind = owed.untold,
            "an account was deleted"
        );
    }

    /// Sends that are not settled are, as far as anybody can know it, and with their events.
    async fn settle_owed(&self, actor: &Arc<Actor>) -> Owed {
        let mut owed = Owed::default();
        let (store, until) = (&self.shared.store, Instant::now() + PATIENCE);
        let mut told = false;
        while let Ok(sends) = store.unsettled_sends(&actor.id).await {
            if sends.is_empty() || Instant::now() >= until {
                break;
            }
            if !std::mem::replace(&mut told, true) {
                for send in sends {
                    let (certainty, text) = if send.state == SendState::Recorded {
                        owed.failed += 1;
                        (
                            Certainty::NotDone,
                            "the account was deleted before it was sent",
                        )
                    } else {
                        owed.unknown += 1;
                        (
                            Certainty::MaybeDone,
                            "the account was deleted before the channel answered",
                        )
                    };
                    let outcome = SendOutcome::Failed {
                        failure: Failure::new(FailureCode::Unavailable, text),
                        certainty,
                    };
                    actor.recover_send(send.id, Arc::new(send.outgoing), send.state);
                    actor.settle_recovered(send.id, outcome);
                }
            }
            sleep(LOOK).await;
        }
        owed
    }

    /// Waits until the receivers that answer have got what the account said last: with its key
    /// goes everything that they have not got.
    async fn is_told(&self, workspace: &WorkspaceId, actor: &Arc<Actor>) -> bool {
        let (store, until) = (&self.shared.store, Instant::now() + PATIENCE);
        let partition = usize::from(actor.partition.0);
        loop {
            let behind = async {
                let head = store.heads().await?.get(partition).copied().unwrap_or(0);
                for endpoint in store.endpoints(workspace).await? {
                    if endpoint.state != EndpointState::Enabled {
                        continue;
                    }
                    let read = store.cursors(&endpoint.id).await?;
                    if read.get(partition).is_some_and(|read| *read < head) {
                        return Ok(true);
                    }
                }
                Ok::<_, StorageError>(false)
            };
            match behind.await {
                Ok(false) => return true,
                Ok(true) if Instant::now() < until => sleep(LOOK).await,
                _ => return false,
            }
        }
    }
}

/// What the account owed when it went.
#[derive(Default)]
struct Owed {
    failed: u64,
    unknown: u64,
    /// A receiver had not got everything.
    untold: bool,
}
