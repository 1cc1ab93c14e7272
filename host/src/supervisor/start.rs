//! Instances come and go: start, back-off after a fault, stop.

use super::actor::{Actor, StoredKv};
use super::commands::refuse_waiting_commands;
use super::core::{Core, Phase, give_up};
use super::flush::Flush;
use super::http::Pending;
use super::mailbox::{Due, Input};
use super::strikes::FORGIVEN_AFTER_MS;
use crate::domain::account::{AccountPatch, AuthStatus};
use crate::domain::command::Unanswered;
use crate::domain::envelope;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::send::{SendOutcome, SendState};
use crate::domain::sign_in::Step;
use crate::runtime::instance::StartCall;
use crate::runtime::ledger::{ConnectionState, MakingView, TimerView};
use crate::runtime::port::Framing;
use crate::runtime::{Call, Cause, Fault, FaultKind, Ledger, Turn};
use crate::storage::{AccountCommit, TimerWrite};
use std::sync::Arc;
use tokio::sync::oneshot;

/// kv up to this size is held in memory whole.
const HELD_KV_BYTES: u64 = 1 << 20;
/// A subject that killed so often is left out.
const KILLS: u8 = 2;
const SUBJECTS: usize = 256;

pub struct Stop {
    wanted: Option<bool>,
    done: Vec<oneshot::Sender<()>>,
    /// The guest was told.
    said: bool,
    /// Somebody asked for a start since.
    restart: Option<Vec<oneshot::Sender<()>>>,
}

impl Stop {
    /// A start that was asked for while the stop goes on: it follows.
    pub fn then_start(&mut self, done: Option<oneshot::Sender<()>>) {
        self.wanted = Some(true);
        self.restart.get_or_insert_default().extend(done);
    }
}

impl Core {
    /// Loads what storage has of the account.
    fn load(&mut self, actor: &Arc<Actor>) -> Result<(), String> {
        let shared = &actor.shared;
        let cold = Arc::new(StoredKv {
            account: actor.id.clone(),
            store: shared.store.clone(),
            runtime: shared.runtime.clone(),
            workspace: actor.workspace.clone(),
            blobs: shared.media.parts.rows.clone(),
        });
        let rows = shared.media.parts.rows.clone();
        let (answer, wait) = std::sync::mpsc::sync_channel(1);
        let (store, id) = (shared.store.clone(), actor.id.clone());
        let whole = self.account.kv_bytes <= HELD_KV_BYTES;
        shared.runtime.spawn(async move {
            let read = async {
                let secrets = store.secrets(&id).await?;
                let timers = store.timers(&id).await?;
                let requests = store.requests(&id).await?;
                let making = rows.making(&id).await?;
                let mut entries = Vec::new();
                let mut more = whole;
                while more {
                    let after = entries
                        .last()
                        .map(|(key, _): &(String, Vec<u8>)| key.clone());
                    let page = store.kv_scan(&id, "", after.as_deref(), 1000).await?;
                    more = page.len() == 1000;
                    entries.extend(page);
                }
                Ok::<_, crate::storage::StorageError>((entries, secrets, timers, requests, making))
            };
            let _ = answer.send(read.await);
        });
        let (entries, secrets, timers, requests, making) = wait
            .recv_timeout(std::time::Duration::from_secs(10))
            .map_err(|_| "no answer within 10 s".to_owned())?
            .map_err(|error| error.to_string())?;
        // The operator's lie under the account's own.
        let mut under = shared.settings.operator_config.secrets(
            &self.provider.manifest.id,
            &self.provider.descriptor.config_schema,
        );
        under.retain(|(name, _)| secrets.iter().all(|(own, _)| own != name));
        let secrets = [under, secrets].concat();
        let mut ledger = Ledger::new(
            whole.then_some(entries),
            self.account.kv_bytes,
            secrets,
            cold,
        );
        ledger.go_on_from(self.generation);
        for (label, timer) in timers {
            let generation = ledger.next_generation();
            let alarm = super::clock::Alarm::Guest {
                label: label.clone(),
                generation,
            };
            shared.clock.set(timer.at, actor, alarm);
            let view = TimerView {
                generation,
                at: timer.at,
                durable: true,
                context: timer.context,
            };
            ledger.set_timer(&label, Some(view));
        }
        let recovered = self.recover_requests(actor, &mut ledger, requests);
        for making in making {
            let view = MakingView {
                id: making.id,
                size: making.size,
                too_large: false,
                created_at: making.created_at,
                meta: making.meta,
            };
            ledger.set_making(&making.label, Some(view));
        }
        ledger.keep();
        self.ledger = Some(ledger);
        self.go_on_with(actor, recovered);
        Ok(())
    }

    /// Makes an instance and runs its first turn.
    pub fn start(&mut self, actor: &Arc<Actor>, cause: Cause) {
        if self.ledger.is_none()
            && let Err(reason) = self.load(actor)
        {
            tracing::warn!(account = %actor.id, reason, "the account's state cannot be read; trying again");
            self.wait(actor, 1_000);
            return;
        }
        let mut instance = match self.provider.instantiate(&self.facts.limits) {
            Ok(instance) => instance,
            Err(fault) => return self.on_fault(actor, None, fault, None),
        };
        self.instances += 1;
        self.meters.instances.inc();
        let Some(ledger) = self.ledger.take() else {
            return;
        };
        let open = open_labels(&ledger);
        let start = StartCall {
            cause,
            config: self.config(actor),
            resume: None,
            open: open.iter().map(|(label, _)| label.clone()).collect(),
            skip: self.skip.clone(),
        };
        let mut turn = Box::new(Turn::new(self.tick(), ledger, self.facts.clone()));
        turn.doomed = actor.fails_next_turn();
        self.begin_turn(actor, None, "turn start");
        let mut outcome = instance.call(&Call::Start(start), turn);
        actor.meter.turn();
        match outcome.result {
            Ok(ref keeps) => {
                self.instance = Some(instance);
                self.phase = Phase::Live;
                let closed = drop_unkept(&mut outcome.turn.ledger, &open, keeps, false);
                let flush = Flush {
                    unkept: closed,
                    show: true,
                    ..Flush::default()
                };
                self.settle(actor, None, outcome, flush, AccountPatch::default());
                self.call_again(actor);
                self.lose_sign_in(actor);
                self.lose_commands(actor, "the provider was started anew");
            }
            Err(fault) => {
                let turn = outcome.turn;
                self.ledger = Some(turn.ledger);
                self.fail_turn(&fault);
                self.on_fault(actor, None, fault, turn.subject);
            }
        }
    }

    /// Sends that only the memory of an earlier instance knew are called again: those that it
    /// held back, and those that left where the channel drops repeats.
    pub fn call_again(&mut self, actor: &Arc<Actor>) {
        let dedupes = self.provider.manifest.dedupes_sends;
        let mut again: Vec<_> = self
            .sends
            .iter()
            .filter(|(_, send)| match send.state {
                SendState::Recorded => send.deferred,
                SendState::Dispatched => dedupes,
                _ => false,
            })
            .map(|(id, send)| (*id, send.outgoing.clone(), send.trace))
            .collect();
        again.sort_by_key(|(id, _, _)| *id);
        for (id, _, _) in &again {
            if let Some(send) = self.sends.get_mut(id) {
                send.deferred = false;
            }
        }
        actor.retain_inputs(|input| {
            !matches!(input, Input::Send { id, .. } if again.iter().any(|(other, _, _)| other == id))
        });
        actor.input_again(
            again
                .into_iter()
                .map(|(id, outgoing, trace)| Input::Send {
                    id,
                    outgoing,
                    trace,
                })
                .collect(),
        );
    }

    /// The operator's configuration for the provider under the account's.
    pub fn merged_config(&self, actor: &Arc<Actor>) -> serde_json::Value {
        actor.shared.settings.operator_config.merged(
            &self.provider.manifest.id,
            &self.provider.descriptor.config_schema,
            &self.account.config,
        )
    }

    pub fn config(&self, actor: &Arc<Actor>) -> Arc<str> {
        self.merged_config(actor).to_string().into()
    }

    fn wait(&mut self, actor: &Arc<Actor>, ms: u64) {
        self.phase = Phase::Waiting;
        let at = self.tick().plus_ms(ms);
        actor.due_at(at, Due::Restart);
    }

    /// A turn failed: the instance is gone, its input comes again.
    pub fn on_fault(
        &mut self,
        actor: &Arc<Actor>,
        input: Option<Input>,
        fault: Fault,
        subject: Option<String>,
    ) {
        self.instance = None;
        self.meters.fault(fault.kind.as_str());
        let now = self.tick();
        // What the channel sent does not come again from here: it is told to send it again.
        let input = input.filter(|input| !matches!(input, Input::Ingress { .. }));
        if fault.kind == FaultKind::Injected {
            actor.input_again(input.into_iter().collect());
            self.phase = Phase::Starting(Cause::Restart);
            return;
        }
        if !fault.kind.is_providers() {
            tracing::warn!(account = %actor.id, reason = fault.message, "a turn needed what the host cannot give now; it comes again");
            actor.input_again(input.into_iter().collect());
            return self.wait(actor, 1_000);
        }
        let delay = self.strikes.add(now, &fault.message);
        tracing::warn!(
            account = %actor.id,
            provider = self.provider.manifest.id,
            kind = ?fault.kind,
            strikes = self.strikes.count(),
            restart_in_ms = delay,
            place = fault.place,
            "the provider failed: {}",
            fault.message
        );
        actor.due_at(now.plus_ms(FORGIVEN_AFTER_MS), Due::Forgive);
        self.blame(actor, input, &fault, subject);
        self.fail_calls(actor, &fault);
        if delay == 0 {
            self.phase = Phase::Starting(Cause::Restart);
        } else {
            self.wait(actor, delay);
        }
        self.publish(actor);
    }

    /// Whoever waits for an answer that only the dead instance knew is told; and once the account
    /// is in error, whoever waits for its first start, too.
    fn fail_calls(&mut self, actor: &Arc<Actor>, fault: &Fault) {
        let failure = Failure::new(
            FailureCode::Internal,
            format!("the provider failed: {}", fault.message),
        );
        for (request, _) in self.calls.drain() {
            actor
                .shared
                .waiters
                .answered(&request, Err(failure.clone()));
        }
        self.lose_commands(actor, &failure.message);
        self.fail_fetches(actor, &failure);
        if self.strikes.error().is_none() {
            return;
        }
        refuse_waiting_commands(actor, &failure.message);
        actor.retain_inputs(|input| {
            give_up(actor, input, &failure);
            !matches!(input, Input::SignIn { .. } | Input::FetchMedia { .. })
        });
    }

    /// Gives the input back, unless it or what it works on killed too often.
    fn blame(
        &mut self,
        actor: &Arc<Actor>,
        input: Option<Input>,
        fault: &Fault,
        subject: Option<String>,
    ) {
        if self.kills.len() >= SUBJECTS {
            self.kills.clear();
        }
        if let Some(subject) = subject {
            let kills = self.kills.entry(format!("subject {subject}")).or_default();
            *kills += 1;
            if *kills >= KILLS && !self.skip.contains(&subject) {
                let reason = format!("working on it failed twice: {}", fault.message);
                tracing::warn!(account = %actor.id, subject, "left out from now on: it failed the provider twice");
                let event = envelope::input_skipped(self.stamp(), &subject, &reason);
                self.skip.push(subject);
                if self.skip.len() > SUBJECTS {
                    self.skip.remove(0);
                }
                self.host_change(
                    actor,
                    vec![event],
                    vec![],
                    AccountPatch::default(),
                    Flush::default(),
                );
            }
        }
        let Some(input) = input else { return };
        let Some(name) = input.subject() else {
            return actor.input_again(vec![input]);
        };
        let kills = self.kills.entry(name.clone()).or_default();
        *kills += 1;
        if *kills < KILLS {
            return actor.input_again(vec![input]);
        }
        self.kills.remove(&name);
        let failure = Failure::new(
            FailureCode::Internal,
            format!("the provider failed twice on this: {}", fault.message),
        );
        match input {
            Input::Send { id, .. } => {
                let certainty = match self.sends.get(&id).map(|send| send.state) {
                    Some(SendState::Dispatched) => Certainty::MaybeDone,
                    _ => Certainty::NotDone,
                };
                self.settle_by_host(actor, id, SendOutcome::Failed { failure, certainty });
            }
            Input::SignIn { request, .. } => {
                if let Some(flow) = self.flow.as_mut().filter(|flow| !flow.is_over()) {
                    flow.step = Step::Failed(failure.clone());
                    flow.revision += 1;
                }
                self.show(actor);
                actor.shared.waiters.answered(&request, Err(failure));
            }
            Input::Command { request, .. } => {
                let certainty = Certainty::NotDone;
                let ended = Err(Unanswered::Failed { failure, certainty });
                actor.shared.waiters.ended(&request, ended);
            }
            Input::Http { label, id, .. } => {
                let reason = format!("its answer failed the provider twice: {}", fault.message);
                let subject = format!("http {label}");
                let event = envelope::input_skipped(self.stamp(), &subject, &reason);
                let (patch, flush) = (AccountPatch::default(), Flush::default());
                self.host_change(actor, vec![event], vec![], patch, flush);
                self.give_up_request(actor, &label, id);
            }
            Input::FetchMedia { request, .. } => {
                actor.shared.waiters.fetched(&request, Err(failure));
            }
            Input::Blob { label, .. } => {
                if let Some(ledger) = &mut self.ledger {
                    ledger.set_read(&label, None);
                    ledger.keep();
                }
            }
            Input::Timer { label, generation } => {
                let Some(ledger) = &mut self.ledger else {
                    return;
                };
                let timer = ledger
                    .timers
                    .get(&label)
                    .filter(|timer| timer.generation == generation);
                let Some(durable) = timer.map(|timer| timer.durable) else {
                    return;
                };
                ledger.set_timer(&label, None);
                ledger.keep();
                if durable {
                    // Else it would kill again after a restart of the host.
                    let commit = AccountCommit {
                        timers: vec![TimerWrite { label, timer: None }],
                        ..self.empty_commit(actor)
                    };
                    self.submit_change(actor, commit, Flush::default());
                }
            }
            _ => {}
        }
    }

    pub fn order_stop(
        &mut self,
        wanted: Option<bool>,
        restart: bool,
        done: Option<oneshot::Sender<()>>,
    ) {
        let stop = self.stop.get_or_insert(Stop {
            wanted,
            done: Vec::new(),
            said: false,
            restart: None,
        });
        stop.wanted = wanted.or(stop.wanted);
        // The later word counts.
        let waiting = stop.restart.take().unwrap_or_default();
        stop.done.extend(waiting);
        stop.done.extend(done);
        if restart {
            stop.restart = Some(Vec::new());
        }
    }

    /// Says goodbye once, waits until all is committed, then lets go.
    pub fn go_on_stopping(&mut self, actor: &Arc<Actor>) -> bool {
        let Some(stop) = &mut self.stop else {
            return false;
        };
        if !stop.said {
            stop.said = true;
            self.publish(actor);
            if matches!(self.phase, Phase::Live) {
                self.execute(actor, Input::Stopping);
                actor.retain_inputs(|input| !matches!(input, Input::Stopping));
            }
            return true;
        }
        // What the goodbye asked for still leaves.
        if !self.in_flight.is_empty() || self.requests.values().any(Pending::is_marking) {
            return false;
        }
        let Some(stop) = self.stop.take() else {
            return false;
        };
        self.instance = None;
        self.previous = None;
        self.drop_commands(actor, "the account was stopped");
        let given_up = Failure::new(FailureCode::Conflict, "the account was stopped");
        for (request, _) in self.calls.drain() {
            let answer = Err(given_up.clone());
            actor.shared.waiters.answered(&request, answer);
        }
        if let Some(ledger) = self.ledger.take() {
            self.generation = ledger.generation();
        }
        self.link = None;
        self.was_online = false;
        let authorized = self.account.auth_status == AuthStatus::Authorized;
        self.stopped = stop.restart.is_none();
        self.phase = match &stop.restart {
            Some(_) if authorized => Phase::Starting(Cause::Restart),
            _ => Phase::Off,
        };
        for (_, handle) in self.handles.drain() {
            handle.close();
        }
        let lost: Vec<u64> = self
            .output
            .values()
            .map(|output| output.generation)
            .collect();
        for generation in lost {
            self.on_connection_gone(actor, generation);
        }
        self.fail_fetches(actor, &given_up);
        actor.retain_inputs(|input| {
            give_up(actor, input, &given_up);
            matches!(input, Input::Send { .. } | Input::Http { .. })
        });
        for send in self.sends.values_mut() {
            // Called again at the next start.
            send.deferred |= send.state == SendState::Recorded;
        }
        if let Some(flow) = self.flow.as_mut().filter(|flow| !flow.is_over()) {
            flow.step = Step::Cancelled;
            flow.revision += 1;
        }
        let mut patch = AccountPatch::default();
        if let Some(wanted) = stop.wanted
            && wanted != self.account.wanted
        {
            self.account.wanted = wanted;
            patch.wanted = Some(wanted);
        }
        let events = self.status_events();
        let mut told = stop.done;
        told.extend(stop.restart.into_iter().flatten());
        let flush = Flush {
            show: true,
            stopped: told,
            ..Flush::default()
        };
        self.host_change(actor, events, vec![], patch, flush);
        true
    }
}

/// Labels of connections that are open, with their generation.
pub fn open_labels(ledger: &Ledger) -> Vec<(String, u64)> {
    let mut open: Vec<_> = ledger
        .connections
        .iter()
        .filter(|(_, view)| view.state == ConnectionState::Open)
        .map(|(label, view)| (label.clone(), view.generation))
        .collect();
    open.sort();
    open
}

/// Connections of before that the new instance does not go on with, taken out of the ledger;
/// (label, generation). A raw one cannot be kept without a snapshot. Those that were still
/// opening stay: their reports tell the new instance all there is to know.
pub fn drop_unkept(
    ledger: &mut Ledger,
    open: &[(String, u64)],
    keeps: &[String],
    resumed: bool,
) -> Vec<(String, u64)> {
    let mut closed = Vec::new();
    for (label, generation) in open {
        let Some(view) = ledger.connections.get(label) else {
            continue;
        };
        if view.generation != *generation {
            continue;
        }
        let raw = view.spec.framing == Framing::Raw && !resumed;
        if !keeps.contains(label) || raw {
            closed.push((label.clone(), *generation));
        }
    }
    closed
}
