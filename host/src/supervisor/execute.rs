//! One turn, from its input to the commit that is handed to the writer.

use super::actor::Actor;
use super::control::SignInCall;
use super::core::{Core, InFlight, OpenSend};
use super::flush::Flush;
use super::mailbox::{Due, Input};
use crate::domain::SendId;
use crate::domain::Timestamp;
use crate::domain::account::AccountPatch;
use crate::domain::command::{Answer, Unanswered};
use crate::domain::event::NewEvent;
use crate::domain::send::{SendChange, SendOutcome, SendState};
use crate::runtime::ledger::{ConnectionState, ConnectionView};
use crate::runtime::turn::{Effects, HttpEffect, Link, NetworkEffect, Reply, TimerEffect};
use crate::runtime::{Call, Ledger, Outcome, Turn};
use crate::storage::{AccountCommit, DurableTimer, KvWrite, SecretWrite, TimerWrite};
use crate::telemetry::trace;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is over with the input that tells of it.
pub enum Fired {
    Timer(TimerEffect),
    Http(HttpEffect),
}

/// A send that the guest holds back for so long has failed.
const DEFERRED_MS: u64 = 24 * 60 * 60 * 1000;
/// Above this mean CPU time of a turn an account leaves the fast lane, below half of it it comes
/// back.
const SLOW_TURN_US: u64 = 20_000;

impl Core {
    /// Runs the turn of an input. Inputs that came too late are dropped.
    pub fn execute(&mut self, actor: &Arc<Actor>, input: Input) {
        let Some(input) = self.with_media(actor, input) else {
            return;
        };
        let (Some(mut ledger), Some(mut instance)) = (self.ledger.take(), self.instance.take())
        else {
            return;
        };
        let now = self.tick();
        let Some((call, fired)) = self.prepare(actor, &mut ledger, &input) else {
            ledger.undo();
            self.ledger = Some(ledger);
            self.instance = Some(instance);
            return;
        };
        let mut turn = Box::new(Turn::new(now, ledger, self.facts.clone()));
        match fired {
            Some(Fired::Timer(effect)) => turn.effects.timers.push(effect),
            Some(Fired::Http(effect)) => turn.effects.http.push(effect),
            None => {}
        }
        turn.doomed = actor.fails_next_turn();
        if let Input::SignIn {
            call: SignInCall::Begin { answers, .. } | SignInCall::Submit { answers },
            ..
        } = &input
        {
            turn.typed = answers.iter().map(|answer| answer.value.clone()).collect();
        }
        self.signing_out = matches!(
            input,
            Input::SignIn {
                call: SignInCall::SignOut | SignInCall::Cancel,
                ..
            }
        );
        if let Call::Frame { bytes, .. } = &call {
            actor.meter.bytes_in(bytes.len());
        }
        self.begin_turn(actor, input.trace(), input.turn_name());
        let outcome = instance.call(&call, turn);
        actor.meter.turn();
        self.account_cpu(actor, outcome.cpu.as_micros() as u64);
        match outcome.result {
            Ok(_) => {
                self.instance = Some(instance);
                let mut flush = Flush::default();
                if matches!(
                    input,
                    Input::SignIn {
                        call: SignInCall::Cancel,
                        ..
                    }
                ) {
                    self.cancelled();
                    flush.show = true;
                }
                self.settle(actor, Some(input), outcome, flush, AccountPatch::default());
            }
            Err(fault) => {
                let turn = *outcome.turn;
                self.ledger = Some(turn.ledger);
                drop(instance);
                self.fail_turn(&fault);
                self.command_not_called(&input);
                self.on_fault(actor, Some(input), fault, turn.subject);
            }
        }
    }

    fn account_cpu(&mut self, actor: &Actor, turn_us: u64) {
        self.cpu_us = (self.cpu_us * 15 + turn_us) / 16;
        if self.cpu_us > SLOW_TURN_US {
            actor.set_slow(true);
        } else if self.cpu_us < SLOW_TURN_US / 2 {
            actor.set_slow(false);
        }
    }

    /// What the guest is called with, and the timer that fired. None: the input is about
    /// something that is not there any more.
    fn prepare(
        &mut self,
        actor: &Arc<Actor>,
        ledger: &mut Ledger,
        input: &Input,
    ) -> Option<(Call, Option<Fired>)> {
        let alive = |ledger: &Ledger, label: &str, generation: u64| {
            ledger
                .connections
                .get(label)
                .filter(|view| view.generation == generation)
                .cloned()
        };
        let call = match input {
            Input::Opened { label, generation } => {
                let view = alive(ledger, label, *generation)?;
                let open = ConnectionView {
                    state: ConnectionState::Open,
                    ..view
                };
                ledger.set_connection(label, Some(open));
                Call::Opened {
                    label: label.clone(),
                }
            }
            Input::Frame {
                label,
                generation,
                bytes,
                ..
            } => {
                alive(ledger, label, *generation)?;
                Call::Frame {
                    label: label.clone(),
                    bytes: bytes.clone(),
                }
            }
            Input::Closed {
                label,
                generation,
                code,
                reason,
                undelivered,
            } => {
                self.handles.remove(generation);
                alive(ledger, label, *generation)?;
                ledger.set_connection(label, None);
                Call::Closed {
                    label: label.clone(),
                    code: *code,
                    reason: reason.clone(),
                    undelivered: *undelivered,
                }
            }
            Input::Timer { label, generation } => {
                let timer = ledger
                    .timers
                    .get(label)
                    .filter(|timer| timer.generation == *generation)?
                    .clone();
                ledger.set_timer(label, None);
                let fired = timer.durable.then(|| {
                    Fired::Timer(TimerEffect {
                        label: label.clone(),
                        set: None,
                        was_durable: true,
                    })
                });
                return Some((
                    Call::Timer {
                        label: label.clone(),
                        context: timer.context,
                    },
                    fired,
                ));
            }
            Input::Http {
                label, id, outcome, ..
            } => {
                let view = ledger
                    .requests
                    .get(label)
                    .filter(|view| view.id == *id)?
                    .clone();
                ledger.set_request(label, None);
                let ended = Fired::Http(HttpEffect::End {
                    label: label.clone(),
                    id: *id,
                });
                let call = Call::Http {
                    label: label.clone(),
                    context: view.request.context.0.clone(),
                    outcome: outcome.clone(),
                };
                return Some((call, Some(ended)));
            }
            Input::Ingress {
                request, answer, ..
            } => {
                // Nobody waits any more; the channel sends it again.
                if answer.as_ref().is_none_or(oneshot::Sender::is_closed) {
                    return None;
                }
                Call::Ingress(request.clone())
            }
            Input::Send {
                id,
                outgoing,
                trace,
            } => {
                let send = self.sends.entry(*id).or_insert_with(|| OpenSend {
                    outgoing: outgoing.clone(),
                    state: SendState::Recorded,
                    deferred: false,
                    trace: *trace,
                });
                if send.state.is_settled() {
                    return None;
                }
                Call::Send {
                    request: id.request_id(),
                    outgoing: outgoing.clone(),
                }
            }
            Input::SignIn { request, call, .. } => self.sign_in_call(request, call),
            Input::Command {
                request,
                command,
                place,
                ..
            } => self.command_call(actor, request, command, place)?,
            Input::Blob {
                label,
                generation,
                outcome,
            } => {
                if ledger.reads.get(label) != Some(generation) {
                    return None;
                }
                ledger.set_read(label, None);
                Call::Blob {
                    label: label.clone(),
                    outcome: outcome.clone(),
                }
            }
            Input::FetchMedia { request, reference } => Call::FetchMedia {
                request: request.clone(),
                reference: reference.clone(),
            },
            Input::Reconnect => Call::Reconnect,
            Input::Stopping => Call::Stopping,
        };
        Some((call, None))
    }

    /// Turns what a good turn asked for into its commit and what follows from it.
    pub fn settle(
        &mut self,
        actor: &Arc<Actor>,
        mut input: Option<Input>,
        outcome: Outcome,
        mut flush: Flush,
        patch: AccountPatch,
    ) {
        let turn = *outcome.turn;
        let mut effects = turn.effects;
        let kv_bytes = (!effects.kv.is_empty()).then_some(turn.ledger.kv_bytes);
        self.account.kv_bytes = turn.ledger.kv_bytes;
        self.ledger = Some(turn.ledger);
        let must_commit = effects.is_durable();

        let mut commit = AccountCommit {
            patch,
            kv_bytes,
            ..self.empty_commit(actor)
        };
        self.settle_replies(actor, &input, &mut effects, &mut commit, &mut flush);
        let flat = actor.shared.settings.flat_mirrors;
        let (provider, account) = (self.account.provider_alias.clone(), self.account.id.clone());
        let emitted = std::mem::take(&mut effects.events)
            .into_iter()
            .map(|event| event.into_event(&provider, &account, flat));
        let mut events: Vec<NewEvent> = emitted.collect();
        events.append(&mut commit.events);
        if let Some((link, reason)) = effects.link.take() {
            self.was_online |= link == Link::Online;
            self.link = Some((link, reason));
        }
        if let Some(profile) = effects.identity.take() {
            self.set_identity(profile, &mut commit.patch);
        }
        events.extend(self.settle_sign_in(
            actor,
            std::mem::take(&mut effects.sign_in),
            effects.signed_out.take(),
            &mut commit.patch,
            &mut flush,
        ));
        let status = self.status_events();
        flush.show |= !status.is_empty();
        events.extend(status);
        actor.meter.events(events.len());
        commit.events = events;
        commit.kv = effects
            .kv
            .into_iter()
            .map(|(key, value)| KvWrite { key, value })
            .collect();
        commit.secrets = effects
            .secrets
            .into_iter()
            .map(|(name, value)| SecretWrite { name, value })
            .collect();
        commit.timers = durable_timers(&effects.timers);
        flush.timers = effects
            .timers
            .into_iter()
            .filter_map(|timer| {
                let set = timer.set?;
                Some((set.at, timer.label, set.generation))
            })
            .collect();
        commit.requests = super::http::writes(&effects.http);
        flush.network = effects.network;
        flush.http = effects.http;
        if let Some(Input::Ingress { answer, .. }) = &mut input {
            flush.ingress = answer.take().zip(effects.ingress);
        }
        (commit.blobs, flush.reads) = self.settle_blobs(actor, effects.blobs);
        self.enqueue(actor, input, commit, flush, must_commit);
    }

    fn enqueue(
        &mut self,
        actor: &Arc<Actor>,
        input: Option<Input>,
        mut commit: AccountCommit,
        flush: Flush,
        must_commit: bool,
    ) {
        let durable = must_commit
            || !commit.events.is_empty()
            || !commit.sends.is_empty()
            || !commit.timers.is_empty()
            || commit.patch != AccountPatch::default();
        let step = std::mem::take(&mut self.step);
        let trace = step.context();
        if let Some(trace) = &trace {
            for event in &mut commit.events {
                trace::mark(&mut event.body, trace);
            }
        }
        // Keep-alives and the like are not worth a trace of their own.
        if durable || !step.is_root() {
            step.end();
        }
        if !durable && self.in_flight.is_empty() && actor.holds() {
            return self.flush(actor, flush);
        }
        self.commits += 1;
        let number = self.commits;
        self.in_flight.push_back(InFlight {
            commit: number,
            committed: !durable,
            flush,
            input,
        });
        if durable {
            self.account.turn_seq += 1;
            commit.turn = Some(self.account.turn_seq);
            actor.submit(number, commit, trace);
        }
    }

    /// What the replies mean for sends and for waiting calls.
    fn settle_replies(
        &mut self,
        actor: &Arc<Actor>,
        input: &Option<Input>,
        effects: &mut Effects,
        commit: &mut AccountCommit,
        flush: &mut Flush,
    ) {
        let output = effects
            .network
            .iter()
            .any(|effect| matches!(effect, NetworkEffect::Send { .. }));
        let taken = match input {
            Some(Input::Send { id, .. }) => Some(*id),
            _ => None,
        };
        if let Some(Input::SignIn { request, .. }) = input {
            self.calls.insert(request.clone(), self.now);
        }
        if let Some(Input::FetchMedia { request, .. }) = input {
            self.fetches.insert(request.clone());
        }
        let mut answered = false;
        for reply in std::mem::take(&mut effects.replies) {
            let request = match &reply {
                Reply::Deferred { request }
                | Reply::Dispatched { request }
                | Reply::Done { request }
                | Reply::Failed { request, .. }
                | Reply::Sent { request, .. }
                | Reply::Answered { request, .. }
                | Reply::Media { request, .. } => request.clone(),
            };
            if self.commands.contains_key(&request) {
                self.settle_command(request, reply, flush);
                continue;
            }
            let send = SendId::from_request_id(&request).filter(|id| self.sends.contains_key(id));
            let Some(id) = send else {
                if self.fetches.contains(&request) {
                    let answer = match reply {
                        Reply::Media { blob, .. } => Ok(blob),
                        Reply::Failed { failure, .. } => Err(failure),
                        _ => continue,
                    };
                    self.fetches.remove(&request);
                    flush.media.push((request, answer));
                    continue;
                }
                if matches!(reply, Reply::Done { .. } | Reply::Failed { .. }) {
                    self.calls.remove(&request);
                }
                match reply {
                    Reply::Done { .. } => flush.answers.push((request, Ok(()))),
                    Reply::Failed { failure, .. } => flush.answers.push((request, Err(failure))),
                    _ => {}
                }
                continue;
            };
            answered |= taken == Some(id);
            match reply {
                Reply::Deferred { .. } => {
                    if let Some(send) = self.sends.get_mut(&id)
                        && send.state == SendState::Recorded
                        && !std::mem::replace(&mut send.deferred, true)
                    {
                        actor.due_at(self.now.plus_ms(DEFERRED_MS), Due::Deferred(id));
                    }
                }
                Reply::Dispatched { .. } => self.dispatch(id, commit, flush),
                Reply::Sent { message, .. } => {
                    let outcome = SendOutcome::Sent(message);
                    if output {
                        self.dispatch(id, commit, flush);
                        flush.after_output.push((id, outcome));
                    } else {
                        self.settle_in_turn(id, outcome, commit, flush);
                    }
                }
                Reply::Failed {
                    failure, certainty, ..
                } => {
                    let outcome = SendOutcome::Failed { failure, certainty };
                    self.settle_in_turn(id, outcome, commit, flush);
                }
                Reply::Done { .. } | Reply::Answered { .. } | Reply::Media { .. } => {}
            }
        }
        if let Some(id) = taken
            && !answered
        {
            self.dispatch(id, commit, flush);
        }
    }

    fn settle_command(&mut self, request: String, reply: Reply, flush: &mut Flush) {
        let ended = match reply {
            Reply::Done { .. } => Ok(Answer::Done),
            Reply::Answered { answer, .. } => Ok(answer),
            Reply::Failed {
                failure, certainty, ..
            } => Err(Unanswered::Failed { failure, certainty }),
            // It is never called again by itself, so these say nothing.
            Reply::Deferred { .. } | Reply::Dispatched { .. } | Reply::Sent { .. } => return,
        };
        if self.command_answered(&request) {
            flush.commands.push((request, ended));
        }
    }

    fn dispatch(&mut self, id: SendId, commit: &mut AccountCommit, flush: &mut Flush) {
        let Some(send) = self.sends.get_mut(&id) else {
            return;
        };
        send.deferred = false;
        if send.state != SendState::Recorded {
            return;
        }
        send.state = SendState::Dispatched;
        send.trace = self.step.context().or(send.trace);
        commit.sends.push(SendChange {
            id,
            state: SendState::Dispatched,
            at: self.now,
            sent: None,
            failure: None,
        });
        flush.dispatched.push(id);
    }

    fn settle_in_turn(
        &mut self,
        id: SendId,
        outcome: SendOutcome,
        commit: &mut AccountCommit,
        flush: &mut Flush,
    ) {
        if let Some((change, event)) = self.settle_send(id, outcome) {
            commit.events.push(event);
            commit.sends.push(change.clone());
            flush.settled.push(change);
        }
    }
}

/// What storage has to know about timers, the last word on each label only.
fn durable_timers(effects: &[TimerEffect]) -> Vec<TimerWrite> {
    let mut writes: Vec<TimerWrite> = Vec::new();
    for effect in effects {
        let set = effect.set.as_ref().filter(|timer| timer.durable);
        if set.is_none() && !effect.was_durable {
            continue;
        }
        let timer = set.map(|timer| DurableTimer {
            at: Timestamp(timer.at.0),
            context: timer.context.clone(),
        });
        match writes.iter_mut().find(|write| write.label == effect.label) {
            Some(write) => write.timer = timer,
            None => writes.push(TimerWrite {
                label: effect.label.clone(),
                timer,
            }),
        }
    }
    writes
}
