//! What happens after a commit: bytes leave, timers are set, who waits is told.

use super::actor::{Actor, Sink};
use super::clock::Alarm;
use super::commands::Ended;
use super::core::Core;
use super::mailbox::{Due, Input};
use super::media::BlobRead;
use crate::domain::SendId;
use crate::domain::Timestamp;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::ingress::IngressResponse;
use crate::domain::media::BlobId;
use crate::domain::send::{SendChange, SendOutcome, SendState};
use crate::runtime::turn::{HttpEffect, NetworkEffect};
use crate::telemetry::trace::{self, TraceContext};
use std::sync::Arc;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Sends with an unknown end that are remembered, so that a late answer can correct them.
const UNKNOWN_SENDS: usize = 256;

/// The part of a turn that must not happen before its commit.
#[derive(Default)]
pub struct Flush {
    pub network: Vec<NetworkEffect>,
    pub http: Vec<HttpEffect>,
    /// Requests of which it is recorded now that they leave.
    pub started: Vec<Uuid>,
    /// Who waits for the answer to what the channel sent.
    pub ingress: Option<(oneshot::Sender<IngressResponse>, IngressResponse)>,
    /// (at, label, generation)
    pub timers: Vec<(Timestamp, String, u64)>,
    /// Calls of sign-in that are answered.
    pub answers: Vec<(String, Result<(), Failure>)>,
    /// Commands that are answered.
    pub commands: Vec<(String, Ended)>,
    pub settled: Vec<SendChange>,
    /// Blobs that are to be read.
    pub reads: Vec<BlobRead>,
    /// Requests for media that are answered.
    pub media: Vec<(String, Result<BlobId, Failure>)>,
    /// Sends that left with this turn and may take so long to be settled.
    pub dispatched: Vec<SendId>,
    /// Sends that this very turn's output settles: once the kernel has taken it.
    pub after_output: Vec<(SendId, SendOutcome)>,
    /// Connections that a new instance does not go on with.
    pub unkept: Vec<(String, u64)>,
    /// Others see the account as it is now.
    pub show: bool,
    pub replaced: Option<oneshot::Sender<Result<(), String>>>,
    pub stopped: Vec<oneshot::Sender<()>>,
    /// The new version's first turn: the one before is let go.
    pub settles_replacement: bool,
    /// Of a change of the host's own: what it belongs to.
    pub trace: Option<TraceContext>,
}

/// Output of which it is not known yet whether the kernel took it.
pub struct PendingOutput {
    pub generation: u64,
    pub settles: Vec<(SendId, SendOutcome)>,
}

impl Core {
    pub fn flush(&mut self, actor: &Arc<Actor>, flush: Flush) {
        if flush.settles_replacement {
            self.previous = None;
        }
        for (label, generation) in flush.unkept {
            self.close_unkept(actor, label, generation);
        }
        self.flush_network(actor, flush.network, flush.after_output);
        if !flush.http.is_empty() {
            self.flush_http(actor, flush.http);
        }
        for id in flush.started {
            self.on_started(actor, id);
        }
        if let Some((waits, response)) = flush.ingress {
            let _ = waits.send(response);
        }
        for (at, label, generation) in flush.timers {
            actor
                .shared
                .clock
                .set(at, actor, Alarm::Guest { label, generation });
        }
        if !flush.dispatched.is_empty() {
            self.await_ends(actor, flush.dispatched);
        }
        if flush.show || !flush.settled.is_empty() {
            self.show(actor);
        }
        for change in &flush.settled {
            actor.shared.waiters.settled(change);
        }
        for (request, answer) in flush.answers {
            actor.shared.waiters.answered(&request, answer);
        }
        for (request, ended) in flush.commands {
            self.end_command(actor, &request, ended);
        }
        self.flush_reads(actor, flush.reads);
        for (request, answer) in flush.media {
            actor.shared.waiters.fetched(&request, answer);
        }
        if let Some(done) = flush.replaced {
            let _ = done.send(Ok(()));
        }
        for done in flush.stopped {
            let _ = done.send(());
        }
    }

    fn flush_network(
        &mut self,
        actor: &Arc<Actor>,
        effects: Vec<NetworkEffect>,
        after_output: Vec<(SendId, SendOutcome)>,
    ) {
        let last_send = effects
            .iter()
            .rposition(|effect| matches!(effect, NetworkEffect::Send { .. }));
        let mut after_output = Some(after_output).filter(|settles| !settles.is_empty());
        for (at, effect) in effects.into_iter().enumerate() {
            match effect {
                NetworkEffect::Open {
                    label,
                    generation,
                    spec,
                } => {
                    let sink = Arc::new(Sink {
                        actor: Arc::downgrade(actor),
                        label,
                        generation,
                    });
                    let grant = (actor.shared.settings.grants)(
                        &self.provider.manifest,
                        &self.merged_config(actor),
                    );
                    let handle = actor.shared.connector.open(
                        (*spec).clone(),
                        Arc::new(grant),
                        self.account.proxy.clone(),
                        sink,
                    );
                    self.handles.insert(generation, handle);
                }
                NetworkEffect::Send {
                    generation, bytes, ..
                } => {
                    actor.meter.bytes_out(bytes.len());
                    let settles = if Some(at) == last_send {
                        after_output.take()
                    } else {
                        None
                    };
                    match (self.handles.get(&generation), settles) {
                        (Some(handle), None) => handle.send(bytes, None),
                        (Some(handle), Some(settles)) => {
                            self.tokens += 1;
                            handle.send(bytes, Some(self.tokens));
                            self.output.insert(
                                self.tokens,
                                PendingOutput {
                                    generation,
                                    settles,
                                },
                            );
                        }
                        (None, None) => {}
                        (None, Some(settles)) => self.lose_output(actor, settles),
                    }
                }
                NetworkEffect::StartTls {
                    generation,
                    server_name,
                    ..
                } => {
                    if let Some(handle) = self.handles.get(&generation) {
                        handle.start_tls(server_name);
                    }
                }
                NetworkEffect::Close { generation, .. } => {
                    if let Some(handle) = self.handles.remove(&generation) {
                        handle.close();
                    }
                    actor.retain_inputs(|input| !is_report_of(input, generation));
                }
            }
        }
    }

    /// The connection is closed, and the instance that did not want it is told so.
    fn close_unkept(&mut self, actor: &Arc<Actor>, label: String, generation: u64) {
        if let Some(handle) = self.handles.remove(&generation) {
            handle.close();
        }
        actor.retain_inputs(|input| !is_report_of(input, generation));
        let known = self
            .ledger
            .as_ref()
            .and_then(|ledger| ledger.connections.get(&label))
            .is_some_and(|view| view.generation == generation);
        if known {
            let reason = Failure::new(
                FailureCode::Unavailable,
                "the new instance did not keep the connection",
            );
            actor.input_again(vec![Input::Closed {
                label,
                generation,
                code: None,
                reason,
                undelivered: 0,
            }]);
        }
        self.on_connection_gone(actor, generation);
    }

    pub fn on_flushed(&mut self, actor: &Arc<Actor>, token: u64) {
        let Some(output) = self.output.remove(&token) else {
            return;
        };
        self.tick();
        for (id, outcome) in output.settles {
            self.settle_by_host(actor, id, outcome);
        }
    }

    pub fn on_connection_gone(&mut self, actor: &Arc<Actor>, generation: u64) {
        let lost: Vec<u64> = self
            .output
            .iter()
            .filter(|(_, output)| output.generation == generation)
            .map(|(token, _)| *token)
            .collect();
        for token in lost {
            if let Some(output) = self.output.remove(&token) {
                self.lose_output(actor, output.settles);
            }
        }
    }

    fn lose_output(&mut self, actor: &Arc<Actor>, settles: Vec<(SendId, SendOutcome)>) {
        for (id, _) in settles {
            self.give_up(
                actor,
                id,
                "the connection closed before the output had left",
            );
        }
    }

    /// The channel has so long to say what became of these. One alarm for all that wait: nearly
    /// every send is settled long before.
    pub fn await_ends(&mut self, actor: &Arc<Actor>, ids: Vec<SendId>) {
        let at = self.tick().plus_ms(actor.shared.settings.send_deadline_ms);
        while (self.deadlines.front()).is_some_and(|(_, id)| !self.is_dispatched(id)) {
            self.deadlines.pop_front();
        }
        while (self.deadlines.back()).is_some_and(|(_, id)| !self.is_dispatched(id)) {
            self.deadlines.pop_back();
        }
        self.deadlines.extend(ids.into_iter().map(|id| (at, id)));
        self.set_deadline_alarm(actor);
    }

    fn set_deadline_alarm(&mut self, actor: &Arc<Actor>) {
        if !self.deadline_alarm
            && let Some((at, _)) = self.deadlines.front()
        {
            self.deadline_alarm = true;
            actor.due_at(*at, Due::SendDeadlines);
        }
    }

    pub fn on_deadlines(&mut self, actor: &Arc<Actor>) {
        self.deadline_alarm = false;
        while let Some((at, id)) = self.deadlines.front().copied() {
            let waits = self.is_dispatched(&id);
            if waits && at > self.now {
                break;
            }
            self.deadlines.pop_front();
            if waits {
                self.give_up(
                    actor,
                    id,
                    "the channel did not say in time what became of it",
                );
            }
        }
        self.set_deadline_alarm(actor);
    }

    fn is_dispatched(&self, id: &SendId) -> bool {
        self.sends
            .get(id)
            .is_some_and(|send| send.state == SendState::Dispatched)
    }

    /// A dispatched send of which nobody can say what became of it.
    pub fn give_up(&mut self, actor: &Arc<Actor>, id: SendId, reason: &str) {
        let failure = Failure::new(FailureCode::Unavailable, reason);
        let outcome = SendOutcome::Failed {
            failure,
            certainty: Certainty::MaybeDone,
        };
        self.settle_by_host(actor, id, outcome);
    }

    /// Settles a send outside a turn.
    pub fn settle_by_host(&mut self, actor: &Arc<Actor>, id: SendId, outcome: SendOutcome) {
        let trace = self.sends.get(&id).and_then(|send| send.trace);
        if let Some((change, event)) = self.settle_send(id, outcome) {
            self.host_change(
                actor,
                vec![event],
                vec![change],
                Default::default(),
                Flush {
                    show: true,
                    trace,
                    ..Flush::default()
                },
            );
        }
    }

    /// The change and the event, if the send's state allows it.
    pub fn settle_send(
        &mut self,
        id: SendId,
        outcome: SendOutcome,
    ) -> Option<(SendChange, crate::domain::event::NewEvent)> {
        let state = outcome.state();
        let send = self
            .sends
            .get_mut(&id)
            .filter(|send| send.state.may_become(state))?;
        send.state = state;
        send.deferred = false;
        let (outgoing, trace) = (send.outgoing.clone(), send.trace);
        self.meters.send(state.as_str(), id.age(self.now));
        // An unknown one may still be corrected; the others are done with.
        if state == SendState::Unknown {
            self.forget_old_unknown();
        } else {
            self.sends.remove(&id);
        }
        let (sent, failure) = match outcome {
            SendOutcome::Sent(message) => (Some(message), None),
            SendOutcome::Failed { failure, .. } => (None, Some(failure)),
        };
        let token = sent.as_ref().and_then(|message| {
            let id = message.messages.first()?;
            let conversation = message
                .conversation
                .as_deref()
                .unwrap_or(&outgoing.conversation);
            let own = self.account.profile.id.as_deref();
            Some(self.facts.reply_tokens.seal(
                &self.account.id,
                conversation,
                id,
                own,
                message.reply_context.as_deref(),
            ))
        });
        let mut event = crate::domain::envelope::send_settled(
            self.stamp(),
            crate::domain::envelope::Settled {
                id,
                conversation: &outgoing.conversation,
                conversation_kind: &outgoing.conversation_kind,
                state,
                sent: sent.as_ref(),
                failure: failure.as_ref(),
                reply_token: token.as_deref(),
            },
        );
        if let Some(trace) = trace {
            self.step.belongs_to(trace);
            trace::mark(&mut event.body, &trace);
        }
        Some((
            SendChange {
                id,
                state,
                at: self.now,
                sent,
                failure,
            },
            event,
        ))
    }
}

impl Core {
    fn forget_old_unknown(&mut self) {
        let mut unknown: Vec<SendId> = self
            .sends
            .iter()
            .filter(|(_, send)| send.state == SendState::Unknown)
            .map(|(id, _)| *id)
            .collect();
        if unknown.len() > UNKNOWN_SENDS {
            unknown.sort_unstable();
            for id in &unknown[..unknown.len() - UNKNOWN_SENDS] {
                self.sends.remove(id);
            }
        }
    }
}

/// Reports of a connection that nobody waits for any more.
fn is_report_of(input: &Input, connection: u64) -> bool {
    matches!(
        input,
        Input::Opened { generation, .. }
        | Input::Frame { generation, .. }
        | Input::Closed { generation, .. } if *generation == connection
    )
}
