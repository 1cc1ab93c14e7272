//! Commands: what clients ask of a provider beyond signing in and sending. They live in memory
//! only. Each ends exactly once: by the provider's answer, by its time limit, or because what knew
//! of it is gone; whoever asked is told which, and whether the provider had it.
//!
//! A provider answers in the same turn or in any later one. An answer is told when its turn is
//! committed, as everything else of the turn.

use super::Supervisor;
use super::actor::Actor;
use super::control::Refusal;
use super::core::Core;
use super::mailbox::{Due, Input};
use crate::domain::account::{AuthStatus, RuntimeStatus};
use crate::domain::command::{Answer, Command, Unanswered, call_id};
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::{AccountId, Timestamp};
use crate::runtime::Call;
use crate::telemetry::trace;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// How a command ended.
pub type Ended = Result<Answer, Unanswered>;

/// A place among the commands that an account may have open; free again with the last of these.
pub type Place = Arc<OwnedSemaphorePermit>;

/// A command that the guest was called with.
pub struct OpenCommand {
    /// Its answer waits for the commit of its turn.
    answered: bool,
    _place: Place,
}

impl Supervisor {
    /// Waits until the command has ended, at most for the time limit of all commands.
    pub(super) async fn take_command(
        &self,
        id: &AccountId,
        command: Command,
    ) -> Result<Answer, Refusal> {
        let actor = self.owned(id).await?;
        let live = actor.look(|live| live.clone());
        let provider = self
            .providers
            .by_digest(&live.digest)
            .ok_or_else(|| Refusal::UnknownProvider(actor.provider.clone()))?;
        let feature = command.feature();
        if !provider.has_feature(&feature) {
            return Err(Refusal::Unsupported(feature.into_owned()));
        }
        if live.auth_status != AuthStatus::Authorized {
            return Err(Refusal::NotAuthorized);
        }
        if !live.wanted || live.runtime.status == RuntimeStatus::Stopped {
            return Err(Refusal::Stopped);
        }
        let Ok(place) = actor.command_places.clone().try_acquire_owned() else {
            return Err(Refusal::TooManyCommands);
        };
        let query = command.is_query();
        let request = call_id(command.expects());
        let ended = self.shared.waiters.command(&request);
        let limit = self.shared.settings.command_ms;
        let due = Due::Command(request.clone());
        actor.due_at(Timestamp::now().plus_ms(limit), due);
        actor.input(Input::Command {
            request,
            command: Arc::new(command),
            place: Arc::new(place),
            trace: trace::of_request(),
        });
        match ended.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(Refusal::Unanswered { query, why }),
            // Nobody is left to tell.
            Err(_) => {
                let reason = "the host goes down".into();
                let why = Unanswered::Gone {
                    called: true,
                    reason,
                };
                Err(Refusal::Unanswered { query, why })
            }
        }
    }
}

impl Core {
    /// The guest's call. None: it has ended already, or nobody waits for what it would say.
    pub fn command_call(
        &mut self,
        actor: &Arc<Actor>,
        request: &str,
        command: &Arc<Command>,
        place: &Place,
    ) -> Option<Call> {
        if command.is_query() && !actor.shared.waiters.awaits_command(request) {
            return None;
        }
        // Another version may run since it was asked for.
        let feature = command.feature();
        if !self.provider.has_feature(&feature) {
            let failure = Failure::new(
                FailureCode::Unsupported,
                format!("the provider does not offer {feature} any more"),
            );
            let certainty = Certainty::NotDone;
            let ended = Err(Unanswered::Failed { failure, certainty });
            actor.shared.waiters.ended(request, ended);
            return None;
        }
        let open = OpenCommand {
            answered: false,
            _place: place.clone(),
        };
        self.commands.insert(request.to_owned(), open);
        Some(Call::Command {
            request: request.to_owned(),
            command: command.clone(),
        })
    }

    /// A turn answered this request. True: it is a command's, and this is its first answer.
    pub fn command_answered(&mut self, request: &str) -> bool {
        self.commands
            .get_mut(request)
            .is_some_and(|open| !std::mem::replace(&mut open.answered, true))
    }

    /// After the commit of the turn that answered it.
    pub fn end_command(&mut self, actor: &Arc<Actor>, request: &str, ended: Ended) {
        self.commands.remove(request);
        actor.shared.waiters.ended(request, ended);
    }

    /// The turn that it was to be failed: nothing of it happened.
    pub fn command_not_called(&mut self, input: &Input) {
        if let Input::Command { request, .. } = input {
            self.commands.remove(request);
        }
    }

    pub fn command_is_late(&mut self, actor: &Arc<Actor>, late: &str) {
        let called = self.commands.remove(late).is_some();
        actor.retain_inputs(
            |input| !matches!(input, Input::Command { request, .. } if request == late),
        );
        // Nobody waits for it any more if it has ended.
        let ended = Err(Unanswered::TooLate { called });
        actor.shared.waiters.ended(late, ended);
    }

    /// Those that only an instance knew that is gone. Answers that wait for their commit stand.
    pub fn lose_commands(&mut self, actor: &Arc<Actor>, reason: &str) {
        self.commands.retain(|request, open| {
            if !open.answered {
                let (called, reason) = (true, reason.to_owned());
                let gone = Unanswered::Gone { called, reason };
                actor.shared.waiters.ended(request, Err(gone));
            }
            open.answered
        });
    }

    /// All of them, also those that wait for their turn: nothing goes on here.
    pub fn drop_commands(&mut self, actor: &Arc<Actor>, reason: &str) {
        for (request, _) in self.commands.drain() {
            let (called, reason) = (true, reason.to_owned());
            let gone = Unanswered::Gone { called, reason };
            actor.shared.waiters.ended(&request, Err(gone));
        }
        refuse_waiting_commands(actor, reason);
    }
}

/// Those that no guest was called with yet.
pub fn refuse_waiting_commands(actor: &Arc<Actor>, reason: &str) {
    actor.retain_inputs(|input| {
        let Input::Command { request, .. } = input else {
            return true;
        };
        let (called, reason) = (false, reason.to_owned());
        let gone = Unanswered::Gone { called, reason };
        actor.shared.waiters.ended(request, Err(gone));
        false
    });
}
