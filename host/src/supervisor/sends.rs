//! Sends and sign-in calls from the client's side: recorded first, called then, waited for.

use super::Supervisor;
use super::actor::Actor;
use super::control::{NewSend, Refusal, SendAnswer, SignInCall};
use super::mailbox::Input;
use crate::domain::account::{AuthStatus, RuntimeStatus};
use crate::domain::command::{Expects, call_id};
use crate::domain::error::{Failure, FailureCode};
use crate::domain::send::{Send, SendChange, SendState};
use crate::domain::sign_in::Flow;
use crate::domain::{AccountId, PartitionId, SendId, Timestamp, WorkspaceId};
use crate::storage::{RecordSend, StorageError, Write, Written};
use crate::telemetry::trace::{self, Kind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl Supervisor {
    pub(super) async fn take_send(
        &self,
        new: NewSend,
        wait: Duration,
    ) -> Result<SendAnswer, Refusal> {
        // Looked at before the send: while the database refuses, one that is in it may be one that
        // its client was refused, and will be taken back.
        let trouble = self.shared.writer.trouble();
        // A repeat is answered whatever the account has become since.
        if let Some(idempotency) = &new.idempotency
            && let Some((send, fingerprint)) = self
                .shared
                .store
                .idempotent(&new.workspace, &idempotency.key)
                .await?
        {
            if fingerprint != idempotency.fingerprint {
                return Err(Refusal::KeyReused);
            }
            if send.state == SendState::Recorded
                && let Some(trouble) = trouble
            {
                return Err(StorageError::Unavailable(trouble).into());
            }
            return self.repeated(send, wait).await;
        }
        let actor = match self.owned(&new.account).await {
            Ok(actor) => actor,
            Err(Refusal::OwnerElsewhere) => return self.give_over(new, wait).await,
            Err(refusal) => return Err(refusal),
        };
        if actor.workspace != new.workspace {
            return Err(Refusal::UnknownAccount);
        }
        self.check_send(&actor, &new)?;
        let (mut send, record) = to_record(new, Some(actor.epoch));
        let id = send.id;
        let outgoing = Arc::new(record.outgoing.clone());
        let trace = trace::of_request();
        let mut step = (self.shared.settings.tracer).below(trace, "commit send", Kind::Internal);
        step.attribute("anyport.send.id", || id.to_string());
        let settled = self.shared.waiters.send(id);
        // In the order of their recording, and also when the client has gone away meanwhile.
        let (answer, recorded) = oneshot::channel();
        let taker = actor.clone();
        self.shared.writer.submit(
            Write::RecordSend(Box::new(record.clone())),
            Box::new(move |result| {
                if let Err(error) = &result {
                    step.failed(|| error.to_string());
                }
                step.end();
                if matches!(result, Ok(Written::Recorded)) {
                    taker.meter.send();
                    taker.input(Input::Send {
                        id,
                        outgoing,
                        trace,
                    });
                }
                let _ = answer.send(result);
            }),
        );
        let recorded = match recorded.await {
            Ok(recorded) => recorded,
            Err(_) => Err(StorageError::Unavailable("the host goes down".into())),
        };
        if !matches!(recorded, Ok(Written::Recorded)) {
            drop(settled);
            self.shared.waiters.forget_send(&id);
            return match recorded? {
                Written::Fenced => {
                    // Lost a moment ago; whoever owns the account now sends it.
                    self.shared.ownership.doubt();
                    self.hand_over(send, record, wait).await
                }
                other => self.not_recorded(other, wait).await,
            };
        }
        if let Ok(Ok(change)) = tokio::time::timeout(wait, settled).await {
            apply(&mut send, change);
        } else {
            self.shared.waiters.forget_send(&id);
            // It is recorded: an error now would say that nothing was changed.
            match self.shared.store.send(&send.workspace, &id).await {
                Ok(Some(now)) => send = now,
                Ok(None) => {}
                Err(error) => tracing::warn!(send = %id, %error, "a recorded send cannot be read"),
            }
        }
        Ok(SendAnswer {
            send,
            repeated: false,
        })
    }

    /// What an answer means that is not `Recorded`.
    pub(super) async fn not_recorded(
        &self,
        written: Written,
        wait: Duration,
    ) -> Result<SendAnswer, Refusal> {
        match written {
            Written::Repeated(first) => self.repeated(*first, wait).await,
            Written::KeyReused => Err(Refusal::KeyReused),
            Written::Gone => Err(Refusal::UnknownAccount),
            _ => Err(Refusal::OwnerElsewhere),
        }
    }

    fn check_send(&self, actor: &Arc<Actor>, new: &NewSend) -> Result<(), Refusal> {
        let live = actor.look(|live| live.clone());
        let provider = self
            .providers
            .by_digest(&live.digest)
            .ok_or_else(|| Refusal::UnknownProvider(actor.provider.clone()))?;
        let feature = new.outgoing.content.feature();
        if !provider.has_feature(feature) {
            return Err(Refusal::Unsupported(feature.into()));
        }
        if live.auth_status != AuthStatus::Authorized {
            return Err(Refusal::NotAuthorized);
        }
        if !live.wanted || live.runtime.status == RuntimeStatus::Stopped {
            return Err(Refusal::Stopped);
        }
        if live.open_sends >= self.shared.settings.open_sends {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    async fn repeated(&self, send: Send, wait: Duration) -> Result<SendAnswer, Refusal> {
        if send.state.is_settled() {
            return Ok(SendAnswer {
                send,
                repeated: true,
            });
        }
        match self.settled_within(&send.workspace, &send.id, wait).await? {
            Some(send) if send.state.is_settled() => Ok(SendAnswer {
                send,
                repeated: true,
            }),
            _ => Err(Refusal::InFlight),
        }
    }

    pub(super) async fn settled_within(
        &self,
        workspace: &WorkspaceId,
        id: &SendId,
        wait: Duration,
    ) -> Result<Option<Send>, StorageError> {
        let settled = self.shared.waiters.send(*id);
        let now = self.shared.store.send(workspace, id).await?;
        let Some(send) = now.filter(|send| !send.state.is_settled()) else {
            self.shared.waiters.forget_send(id);
            return self.shared.store.send(workspace, id).await;
        };
        if !self.owns(&send.account) {
            self.shared.waiters.forget_send(id);
            return Ok(Some(self.watch_send(send, wait).await));
        }
        if let Ok(Ok(change)) = tokio::time::timeout(wait, settled).await {
            let mut send = send;
            apply(&mut send, change);
            return Ok(Some(send));
        }
        self.shared.waiters.forget_send(id);
        self.shared.store.send(workspace, id).await
    }

    pub(super) async fn call_sign_in(
        &self,
        id: &AccountId,
        call: SignInCall,
        wait: Duration,
    ) -> Result<Option<Flow>, Refusal> {
        let actor = self.owned(id).await?;
        let live = actor.look(|live| live.clone());
        let provider = self
            .providers
            .by_digest(&live.digest)
            .ok_or_else(|| Refusal::UnknownProvider(actor.provider.clone()))?;
        if !provider.can_sign_in() {
            return Err(Refusal::Unsupported("sign-in".into()));
        }
        let running = live.flow.as_ref().is_some_and(|flow| !flow.is_over());
        let call = match call {
            SignInCall::Begin { method, answers } => {
                if live.auth_status == AuthStatus::Authorized {
                    return Err(Refusal::AlreadyAuthorized);
                }
                let known = provider
                    .descriptor
                    .sign_in_methods
                    .iter()
                    .any(|(name, _, _)| *name == method);
                if !known {
                    return Err(Refusal::UnsupportedAuthMode(method));
                }
                SignInCall::Begin { method, answers }
            }
            SignInCall::Submit { answers } if running => SignInCall::Submit { answers },
            SignInCall::Submit { .. } => {
                return Err(Refusal::Invalid {
                    field: "account_id".into(),
                    rule: "has no sign-in in progress; start one first".into(),
                });
            }
            SignInCall::Cancel if running => SignInCall::Cancel,
            // Cancelling a session that stands ends it, so that the account can sign in anew.
            SignInCall::Cancel if live.auth_status == AuthStatus::Authorized => SignInCall::SignOut,
            SignInCall::Cancel => return Ok(live.flow),
            SignInCall::SignOut => SignInCall::SignOut,
        };
        let request = call_id(Expects::Done);
        let answered = self.shared.waiters.call(&request);
        actor.input(Input::SignIn {
            request,
            call,
            trace: trace::of_request(),
        });
        match tokio::time::timeout(wait, answered).await {
            Ok(Ok(Err(failure))) => Err(Refusal::Failed(failure)),
            Ok(Err(_)) => Err(Refusal::Failed(Failure::new(
                FailureCode::Unavailable,
                "the call was given up",
            ))),
            // Done, or it takes longer: the flow tells.
            _ => Ok(actor.look(|live| live.flow.clone())),
        }
    }
}

/// A new send as it is now, and what makes it durable.
pub(super) fn to_record(new: NewSend, epoch: Option<u64>) -> (Send, RecordSend) {
    let record = RecordSend {
        id: SendId::generate(),
        partition: PartitionId::of(&new.account),
        workspace: new.workspace,
        account: new.account,
        epoch,
        outgoing: new.outgoing,
        at: Timestamp::now(),
        idempotency: new.idempotency,
    };
    let send = Send {
        id: record.id,
        workspace: record.workspace.clone(),
        account: record.account.clone(),
        partition: record.partition,
        state: SendState::Recorded,
        outgoing: record.outgoing.clone(),
        recorded_at: record.at,
        dispatched_at: None,
        settled_at: None,
        sent: None,
        failure: None,
    };
    (send, record)
}

fn apply(send: &mut Send, change: SendChange) {
    send.state = change.state;
    send.settled_at = Some(change.at);
    send.dispatched_at = send.dispatched_at.or(Some(change.at));
    send.sent = change.sent.or(send.sent.take());
    send.failure = change.failure;
}
