//! The sign-in flow of an account: steps pushed by the provider, owned by the host.

use super::actor::Actor;
use super::control::SignInCall;
use super::core::Core;
use super::flush::Flush;
use super::mailbox::{Due, Input};
use crate::domain::account::{AccountPatch, AuthStatus, Profile};
use crate::domain::command::{Expects, call_id};
use crate::domain::envelope;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::event::NewEvent;
use crate::domain::sign_in::{Flow, Step};
use crate::runtime::Call;
use crate::runtime::turn::SignInStep;
use std::sync::Arc;

impl Core {
    /// The guest's call; a `begin` makes the flow.
    pub fn sign_in_call(&mut self, request: &str, call: &SignInCall) -> Call {
        let request = request.to_owned();
        match call {
            SignInCall::Begin { method, answers } => {
                self.flow = Some(Flow {
                    id: uuid::Uuid::now_v7().simple().to_string(),
                    revision: 0,
                    method: method.clone(),
                    step: Step::Started,
                    expires_at: self.now.plus_ms(self.flow_ms),
                });
                Call::SignInBegin {
                    request,
                    method: method.clone(),
                    answers: answers.clone(),
                }
            }
            SignInCall::Submit { answers } => Call::SignInSubmit {
                request,
                answers: answers.clone(),
            },
            SignInCall::Cancel => Call::SignInCancel { request },
            SignInCall::SignOut => Call::SignOut { request },
        }
    }

    /// Applies the steps of a turn; the events that tell of them.
    pub fn settle_sign_in(
        &mut self,
        actor: &Arc<Actor>,
        steps: Vec<SignInStep>,
        signed_out: Option<Failure>,
        patch: &mut AccountPatch,
        flush: &mut Flush,
    ) -> Vec<NewEvent> {
        let mut events = Vec::new();
        flush.show |= !steps.is_empty() || signed_out.is_some();
        for step in steps {
            match step {
                SignInStep::Show(displays) => events.extend(self.step(actor, Step::Show(displays))),
                SignInStep::Ask { questions, problem } => {
                    events.extend(self.step(actor, Step::Ask { questions, problem }));
                }
                SignInStep::Succeeded(profile) => {
                    self.step(actor, Step::Done(profile.clone()));
                    self.account.auth_status = AuthStatus::Authorized;
                    self.account.last_error = None;
                    patch.auth_status = Some(AuthStatus::Authorized);
                    patch.last_error = Some(None);
                    self.set_identity(profile.clone(), patch);
                    if self.stopped {
                        self.stopped = false;
                        self.account.wanted = true;
                        patch.wanted = Some(true);
                    }
                    let facts = envelope::AccountFacts {
                        auth_status: AuthStatus::Authorized,
                        runtime_status: self.runtime_status(),
                        provider_account_ref: self.account.provider_account_ref.as_deref(),
                    };
                    events.push(envelope::auth_succeeded(self.stamp(), facts, &profile));
                }
                SignInStep::Failed(failure) => {
                    self.step(actor, Step::Failed(failure.clone()));
                    events.push(self.auth_failed(&failure, patch));
                }
            }
        }
        if let Some(reason) = signed_out {
            events.extend(self.signed_out(&reason, patch));
        }
        events
    }

    /// Goes on to this step; the event of one that asks something of a person.
    fn step(&mut self, actor: &Arc<Actor>, step: Step) -> Option<NewEvent> {
        if self.flow.as_ref().is_none_or(Flow::is_over) {
            // A step without a call of ours: the channel wants a person again.
            self.flow = Some(Flow {
                id: uuid::Uuid::now_v7().simple().to_string(),
                revision: 0,
                method: self
                    .flow
                    .as_ref()
                    .map(|flow| flow.method.clone())
                    .unwrap_or_default(),
                step: Step::Started,
                expires_at: self.now.plus_ms(self.flow_ms),
            });
        }
        let flow = self.flow.as_mut()?;
        if flow.revision == 0 {
            actor.due_at(flow.expires_at, Due::FlowExpiry(flow.id.clone()));
        }
        flow.step = step;
        flow.revision += 1;
        let flow = flow.clone();
        matches!(flow.step, Step::Show(_) | Step::Ask { .. })
            .then(|| envelope::auth_required(self.stamp(), &flow, self.runtime_status()))
    }

    fn auth_failed(&mut self, failure: &Failure, patch: &mut AccountPatch) -> NewEvent {
        let word = failure
            .channel_code
            .clone()
            .unwrap_or_else(|| failure.code.as_str().replace('-', "_"));
        if self.account.auth_status != AuthStatus::Authorized {
            self.account.auth_status = AuthStatus::Failed;
            patch.auth_status = Some(AuthStatus::Failed);
        }
        self.account.last_error = Some(word.clone());
        patch.last_error = Some(Some(word.clone()));
        envelope::auth_failed(self.stamp(), self.runtime_status(), Some(&word))
    }

    /// The session ended: on purpose, or because the channel ended it.
    fn signed_out(&mut self, reason: &Failure, patch: &mut AccountPatch) -> Vec<NewEvent> {
        self.link = None;
        self.was_online = false;
        if self.signing_out {
            self.account.auth_status = AuthStatus::PendingAuth;
            self.account.last_error = None;
            patch.auth_status = Some(AuthStatus::PendingAuth);
            patch.last_error = Some(None);
            return Vec::new();
        }
        self.account.auth_status = AuthStatus::Failed;
        patch.auth_status = Some(AuthStatus::Failed);
        let failed = self.auth_failed(reason, patch);
        let flow = Flow {
            id: String::new(),
            revision: 0,
            method: String::new(),
            step: Step::Cancelled,
            expires_at: self.now,
        };
        vec![
            failed,
            envelope::auth_required(self.stamp(), &flow, self.runtime_status()),
        ]
    }

    pub fn set_identity(&mut self, profile: Profile, patch: &mut AccountPatch) {
        if profile.id.is_some() {
            self.account.provider_account_ref.clone_from(&profile.id);
            patch.provider_account_ref = Some(profile.id.clone());
        }
        self.account.profile = profile.clone();
        patch.profile = Some(profile);
    }

    /// Nobody went on with the flow in time.
    pub fn expire_flow(&mut self, actor: &Arc<Actor>, id: &str) {
        let Some(flow) = self
            .flow
            .as_mut()
            .filter(|flow| flow.id == id && !flow.is_over())
        else {
            return;
        };
        let failure = Failure::new(
            FailureCode::Unauthenticated,
            "the sign-in was not finished in time",
        );
        let failure = Failure {
            channel_code: Some("expired".into()),
            ..failure
        };
        flow.step = Step::Failed(failure.clone());
        flow.revision += 1;
        self.tell_failed_flow(actor, &failure);
        actor.input(Input::SignIn {
            request: call_id(Expects::Done),
            call: SignInCall::Cancel,
            trace: None,
        });
    }

    /// A new instance began without the memory of the one before, and flows live nowhere else:
    /// clients learn it at once, not when the flow expires.
    pub fn lose_sign_in(&mut self, actor: &Arc<Actor>) {
        let failure = Failure::new(
            FailureCode::Unavailable,
            "the provider was started anew; begin the sign-in again",
        );
        for (request, _) in self.calls.drain() {
            let answer = Err(failure.clone());
            actor.shared.waiters.answered(&request, answer);
        }
        self.fail_fetches(
            actor,
            &Failure::new(FailureCode::Unavailable, "the provider was started anew"),
        );
        // One whose call comes again begins anew by itself.
        let begins = actor.has_input(|input| {
            matches!(
                input,
                Input::SignIn {
                    call: SignInCall::Begin { .. },
                    ..
                }
            )
        });
        if begins {
            return;
        }
        if let Some(flow) = self.flow.as_mut().filter(|flow| !flow.is_over()) {
            flow.step = Step::Failed(failure.clone());
            flow.revision += 1;
            self.tell_failed_flow(actor, &failure);
        }
    }

    fn tell_failed_flow(&mut self, actor: &Arc<Actor>, failure: &Failure) {
        let mut patch = AccountPatch::default();
        let mut events = vec![self.auth_failed(failure, &mut patch)];
        events.extend(self.status_events());
        self.host_change(
            actor,
            events,
            vec![],
            patch,
            Flush {
                show: true,
                ..Flush::default()
            },
        );
    }

    /// A call was answered: a cancelled flow is over.
    pub fn cancelled(&mut self) {
        if let Some(flow) = self.flow.as_mut().filter(|flow| !flow.is_over()) {
            flow.step = Step::Cancelled;
            flow.revision += 1;
        }
    }
}
