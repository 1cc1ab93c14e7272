//! Sends that reach a host which does not own their account: recorded there, taken from storage by
//! the owner, watched in storage by the host that was asked.
//!
//! A notice only makes it quick: the owner also looks by itself, so that a lost one loses nothing.
//! Must never give a send to an account twice: one task takes all of them, one after the other,
//! and the account knows what it was brought back with.

use super::Supervisor;
use super::control::{NewSend, Refusal, SendAnswer};
use super::mailbox::Order;
use super::sends::to_record;
use crate::domain::SendId;
use crate::domain::account::AuthStatus;
use crate::domain::send::{Send, SendState};
use crate::storage::lease::Notice;
use crate::storage::{RecordSend, StorageError, Write, Written};
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// The owner looks at least so often for what was recorded for it.
const LOOK: Duration = Duration::from_secs(1);
/// …and for provider versions that other hosts made current.
const LOOK_PROVIDERS: Duration = Duration::from_secs(20);
/// Between looks at a send that another host sends: first and longest.
const WATCH_FIRST: Duration = Duration::from_millis(10);
const WATCH_LAST: Duration = Duration::from_millis(200);

impl Supervisor {
    /// Records a send for the owner of its account, wherever that is, and watches it.
    pub(super) async fn give_over(
        &self,
        new: NewSend,
        wait: Duration,
    ) -> Result<SendAnswer, Refusal> {
        self.check_elsewhere(&new).await?;
        let (send, record) = to_record(new, None);
        self.hand_over(send, record, wait).await
    }

    pub(super) async fn hand_over(
        &self,
        send: Send,
        record: RecordSend,
        wait: Duration,
    ) -> Result<SendAnswer, Refusal> {
        let record = RecordSend {
            epoch: None,
            ..record
        };
        let write = Write::RecordSend(Box::new(record));
        match self.shared.writer.write(write).await? {
            Written::Recorded => {}
            other => return self.not_recorded(other, wait).await,
        }
        self.hand_over_waits();
        self.tell(Notice::HandOver).await;
        Ok(SendAnswer {
            send: self.watch_send(send, wait).await,
            repeated: false,
        })
    }

    /// As far as storage knows: the owner has the last word.
    async fn check_elsewhere(&self, new: &NewSend) -> Result<(), Refusal> {
        let store = &self.shared.store;
        let account = store
            .account(&new.workspace, &new.account)
            .await?
            .ok_or(Refusal::UnknownAccount)?;
        let provider = self
            .provider_of(&account)
            .ok_or_else(|| Refusal::UnknownProvider(account.provider.clone()))?;
        let feature = new.outgoing.content.feature();
        if !provider.has_feature(feature) {
            return Err(Refusal::Unsupported(feature.into()));
        }
        if account.auth_status != AuthStatus::Authorized {
            return Err(Refusal::NotAuthorized);
        }
        if !account.wanted || account.status != "active" {
            return Err(Refusal::Stopped);
        }
        let open = store.unsettled_sends(&account.id).await?.len();
        if open >= self.shared.settings.open_sends {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    /// Until it is settled, `wait` at most; the send as storage has it then.
    pub(super) async fn watch_send(&self, mut send: Send, wait: Duration) -> Send {
        let end = Instant::now() + wait;
        let mut pause = WATCH_FIRST;
        while !send.state.is_settled() && Instant::now() < end {
            tokio::time::sleep(pause.min(end - Instant::now())).await;
            pause = (pause * 2).min(WATCH_LAST);
            match self.shared.store.send(&send.workspace, &send.id).await {
                Ok(Some(now)) => send = now,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(send = %send.id, %error, "a send that waits cannot be read");
                }
            }
        }
        send
    }

    /// Gives waiting sends to their accounts, if these are here. `given`: those that were and
    /// whose rows may still be there.
    async fn take_hand_overs(&self, given: &mut HashSet<SendId>) -> Result<(), StorageError> {
        let store = &self.shared.store;
        let waiting = store.hand_overs().await?;
        given.retain(|id| waiting.iter().any(|hand_over| hand_over.send == *id));
        let mut taken = Vec::new();
        for hand_over in waiting {
            if given.contains(&hand_over.send) {
                taken.push(hand_over.send);
                continue;
            }
            if !self.owns(&hand_over.account) {
                continue;
            }
            let Ok(actor) = self.owned(&hand_over.account).await else {
                continue;
            };
            if let Some(send) = store.send(&hand_over.workspace, &hand_over.send).await?
                && send.state == SendState::Recorded
            {
                actor.order(Order::HandOver {
                    id: send.id,
                    outgoing: Arc::new(send.outgoing),
                });
            }
            given.insert(hand_over.send);
            taken.push(hand_over.send);
        }
        store.end_hand_overs(&taken).await
    }
}

/// Takes what other hosts leave for this one, until the supervisor is gone.
pub(super) async fn take(me: Weak<Supervisor>) {
    let mut given = HashSet::new();
    let mut providers_at = Instant::now() + LOOK_PROVIDERS;
    loop {
        let Some(supervisor) = me.upgrade() else {
            return;
        };
        if supervisor.is_standby() {
            given.clear();
        } else if let Err(error) = supervisor.take_hand_overs(&mut given).await {
            tracing::debug!(%error, "sends that were handed over cannot be taken now");
        }
        if Instant::now() >= providers_at {
            providers_at = Instant::now() + LOOK_PROVIDERS;
            if let Err(error) = supervisor.refresh_providers().await {
                tracing::debug!(%error, "provider versions cannot be read now");
            }
        }
        let hand_overs = supervisor.hand_over_bell.clone();
        let providers = supervisor.providers_bell.clone();
        // While nothing is to be done, nothing here keeps a stopped host.
        drop(supervisor);
        tokio::select! {
            () = hand_overs.notified() => {}
            () = providers.notified() => providers_at = Instant::now(),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
