//! How an account is: what its channel's link, its sign-in and its strikes come to, and who is told.

use super::actor::Actor;
use super::core::{Core, Phase};
use super::flush::Flush;
use crate::domain::account::{AccountPatch, AuthStatus, RuntimeState, RuntimeStatus};
use crate::domain::envelope;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::event::NewEvent;
use crate::runtime::turn::Link;
use std::sync::Arc;

impl Core {
    pub fn auth_status(&self) -> AuthStatus {
        match &self.flow {
            Some(flow) if !flow.is_over() => flow.status(),
            _ => self.account.auth_status,
        }
    }

    pub fn runtime_status(&self) -> RuntimeStatus {
        if self.strikes.error().is_some() {
            return RuntimeStatus::Error;
        }
        if self.stop.is_some() {
            return RuntimeStatus::Stopping;
        }
        if matches!(self.phase, Phase::Off) && self.stopped {
            return RuntimeStatus::Stopped;
        }
        if self.account.auth_status != AuthStatus::Authorized {
            return RuntimeStatus::Unknown;
        }
        if matches!(self.phase, Phase::Off) {
            return RuntimeStatus::Disconnected;
        }
        match &self.link {
            None => RuntimeStatus::Starting,
            Some((Link::Online | Link::Degraded, _)) => RuntimeStatus::Running,
            Some((Link::Connecting, _)) if self.was_online => RuntimeStatus::Reconnecting,
            Some((Link::Connecting, _)) => RuntimeStatus::Starting,
            Some((Link::Offline, _)) => RuntimeStatus::Disconnected,
        }
    }

    pub fn runtime_state(&self) -> RuntimeState {
        let reason = match self.strikes.error() {
            Some(reason) => Some(Failure::new(FailureCode::Internal, reason)),
            None => self.link.as_ref().and_then(|(_, reason)| reason.clone()),
        };
        RuntimeState {
            status: self.runtime_status(),
            reason,
        }
    }

    /// The events that tell of a changed status, and the status that they tell.
    pub fn status_events(&mut self) -> Vec<NewEvent> {
        let now = (self.auth_status(), self.runtime_status());
        if now == self.published {
            return Vec::new();
        }
        let started = now.1 == RuntimeStatus::Running && self.published.1 != RuntimeStatus::Running;
        self.published = now;
        let state = self.runtime_state();
        let facts = envelope::AccountFacts {
            auth_status: now.0,
            runtime_status: now.1,
            provider_account_ref: self.account.provider_account_ref.as_deref(),
        };
        let mut events = vec![envelope::account_status_updated(
            self.stamp(),
            facts,
            state.reason.as_ref(),
        )];
        if started {
            events.push(envelope::account_started(self.stamp(), facts));
        }
        events
    }

    /// Tells of a changed status outside a turn.
    pub fn publish(&mut self, actor: &Arc<Actor>) {
        let events = self.status_events();
        if events.is_empty() {
            self.show(actor);
        } else {
            let flush = Flush {
                show: true,
                ..Flush::default()
            };
            self.host_change(actor, events, vec![], AccountPatch::default(), flush);
        }
    }

    /// What others see of this account.
    pub fn show(&self, actor: &Arc<Actor>) {
        let (runtime, auth_status) = (self.runtime_state(), self.account.auth_status);
        let open_sends = self
            .sends
            .values()
            .filter(|send| !send.state.is_settled())
            .count();
        actor.look(|live| {
            live.runtime = runtime;
            live.auth_status = auth_status;
            live.flow.clone_from(&self.flow);
            live.wanted = self.account.wanted;
            live.strikes = self.strikes.count();
            live.instances = self.instances;
            live.digest.clone_from(&self.provider.digest);
            live.open_sends = open_sends;
        });
    }
}
