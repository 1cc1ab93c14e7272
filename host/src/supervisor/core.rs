//! The core of an account: what one worker at a time sees and changes. This file has its state
//! and the order in which things are done; what is done stands in the modules beside it.

use super::accounts::signed_in_and_wanted;
use super::actor::{Actor, Live, Shared};
use super::commands::{OpenCommand, refuse_waiting_commands};
use super::flush::{Flush, PendingOutput};
use super::http::Pending;
use super::mailbox::{Due, Input, Order, Signal};
use super::media::Fetching;
use super::replace::{Previous, Replacement};
use super::start::Stop;
use super::strikes::Strikes;
use crate::domain::account::{Account, AccountPatch, AuthStatus, RuntimeState, RuntimeStatus};
use crate::domain::envelope::Stamp;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::event::NewEvent;
use crate::domain::send::{Outgoing, SendChange, SendOutcome, SendState};
use crate::domain::sign_in::Flow;
use crate::domain::{SendId, Timestamp};
use crate::runtime::port::Connection;
use crate::runtime::turn::{AccountFacts, Link};
use crate::runtime::{Cause, Fault, Instance, Ledger, Provider};
use crate::storage::{AccountCommit, StorageError, Written};
use crate::telemetry::metrics::ProviderMeters;
use crate::telemetry::trace::{Kind, Step, TraceContext};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Turns that an account may run ahead of the commit.
const RUN_AHEAD: usize = 16;
/// A sign-in call that is not answered for so long keeps no replacement waiting.
const CALL_MS: u64 = 30_000;
/// Turns of one slice; then the next account has its turn.
const SLICE: usize = 32;

pub enum Phase {
    /// No instance, and none is wanted until somebody asks.
    Off,
    /// No instance; one is started when the alarm rings.
    Waiting,
    /// No instance; the next thing to do is a start.
    Starting(Cause),
    Live,
    /// Deleted, or another host's.
    Gone,
}

/// A turn that ran well and whose commit is awaited, or that waits behind such a one.
pub struct InFlight {
    pub commit: u64,
    pub committed: bool,
    pub flush: Flush,
    /// Leaves the mailbox with the commit: until then its place in the queue is taken.
    pub input: Option<Input>,
}

/// A send that is not settled, or whose end is unknown.
pub struct OpenSend {
    pub outgoing: Arc<Outgoing>,
    pub state: SendState,
    /// The guest holds it back; only its memory knows it.
    pub deferred: bool,
    /// Where its end belongs.
    pub trace: Option<TraceContext>,
}

pub struct Core {
    pub account: Account,
    pub meters: Arc<ProviderMeters>,
    /// The turn that runs, as a trace tells it; outside of turns nothing.
    pub step: Step,
    pub provider: Arc<Provider>,
    pub facts: Arc<AccountFacts>,
    pub phase: Phase,
    pub instance: Option<Instance>,
    /// Loaded at the first start; away while a turn runs.
    pub ledger: Option<Ledger>,
    /// Where the numbering of the ledger before ended.
    pub generation: u64,
    pub in_flight: VecDeque<InFlight>,
    /// Changes of the host's own whose commit is awaited.
    pub host_changes: HashMap<u64, Flush>,
    pub commits: u64,
    pub handles: HashMap<u64, Box<dyn Connection>>,
    pub output: HashMap<u64, PendingOutput>,
    pub tokens: u64,
    /// HTTP requests that are committed and not answered.
    pub requests: HashMap<Uuid, Pending>,
    pub strikes: Strikes,
    pub kills: HashMap<String, u8>,
    pub skip: Vec<String>,
    pub sends: HashMap<SendId, OpenSend>,
    /// Those that storage had when the account was brought here.
    pub recovered: HashSet<SendId>,
    /// Until when dispatched sends must be settled, in order; settled ones may be among them.
    pub deadlines: VecDeque<(Timestamp, SendId)>,
    /// An alarm is set for the first of them, or for an earlier one.
    pub deadline_alarm: bool,
    pub link: Option<(Link, Option<Failure>)>,
    pub was_online: bool,
    pub flow: Option<Flow>,
    /// The call that runs is one that ends the session on purpose.
    pub signing_out: bool,
    pub published: (AuthStatus, RuntimeStatus),
    pub stopped: bool,
    pub stop: Option<Stop>,
    pub replacement: Option<Replacement>,
    /// The version before, until the first turn of the new one is committed.
    pub previous: Option<Previous>,
    pub now: Timestamp,
    pub instances: u64,
    /// Mean CPU time of a turn in microseconds.
    pub cpu_us: u64,
    /// How long a sign-in flow may take.
    pub flow_ms: u64,
    /// Sign-in calls that the guest has taken and not answered, with the time of the call.
    pub calls: HashMap<String, Timestamp>,
    /// Commands that the guest was called with and that have not ended, by request id.
    pub commands: HashMap<String, OpenCommand>,
    /// Requests for media that the guest has taken and not answered.
    pub fetches: HashSet<String>,
    /// Sends whose media are on their way, by conversation.
    pub fetching: HashMap<String, Fetching>,
}

impl Core {
    pub fn new(account: Account, provider: Arc<Provider>, shared: &Shared) -> Self {
        let facts = facts(&account, &provider, shared);
        let stopped = !account.wanted;
        let mut core = Self {
            provider,
            facts,
            phase: Phase::Off,
            instance: None,
            ledger: None,
            generation: 0,
            in_flight: VecDeque::new(),
            host_changes: HashMap::new(),
            commits: 0,
            handles: HashMap::new(),
            output: HashMap::new(),
            tokens: 0,
            requests: HashMap::new(),
            strikes: Strikes::default(),
            kills: HashMap::new(),
            meters: shared.settings.metrics.of(&account.provider),
            step: Step::default(),
            skip: Vec::new(),
            sends: HashMap::new(),
            recovered: HashSet::new(),
            deadlines: VecDeque::new(),
            deadline_alarm: false,
            link: None,
            was_online: false,
            flow: None,
            signing_out: false,
            published: (account.auth_status, RuntimeStatus::Unknown),
            stopped,
            stop: None,
            replacement: None,
            previous: None,
            now: account.created_at.max(account.clock_at),
            instances: 0,
            cpu_us: 0,
            flow_ms: shared.settings.flow_ms,
            calls: HashMap::new(),
            commands: HashMap::new(),
            fetches: HashSet::new(),
            fetching: HashMap::new(),
            account,
        };
        core.published.1 = core.runtime_status();
        core
    }

    pub fn first_live(&self) -> Live {
        Live {
            runtime: RuntimeState {
                status: self.published.1,
                reason: None,
            },
            auth_status: self.account.auth_status,
            wanted: self.account.wanted,
            digest: self.provider.digest.clone(),
            ..Live::default()
        }
    }

    /// Counts a turn, and begins its part of a trace: under what led to it, else as a root.
    pub fn begin_turn(&mut self, actor: &Actor, trace: Option<TraceContext>, name: &'static str) {
        self.meters.turns.inc();
        self.step = actor
            .shared
            .settings
            .tracer
            .begin(trace, name, Kind::Internal);
        self.step
            .attribute("anyport.account.id", || self.account.id.to_string());
        self.step
            .attribute("anyport.provider", || self.account.provider.clone());
    }

    /// Nothing of the turn happened.
    pub fn fail_turn(&mut self, fault: &Fault) {
        let mut step = std::mem::take(&mut self.step);
        step.failed(|| format!("{}: {}", fault.kind.as_str(), fault.message));
        step.end();
    }

    /// The account's clock: the wall's, but never backwards.
    pub fn tick(&mut self) -> Timestamp {
        self.now = self.now.max(Timestamp::now());
        self.now
    }

    /// Works until nothing can be done or the slice is used up; true: there is more.
    pub fn run_slice(&mut self, actor: &Arc<Actor>) -> bool {
        for _ in 0..SLICE {
            while let Some(signal) = actor.next_signal() {
                self.on_signal(actor, signal);
            }
            if !self.advance(actor) {
                return false;
            }
        }
        true
    }

    /// One step; false: nothing can be done now.
    fn advance(&mut self, actor: &Arc<Actor>) -> bool {
        if matches!(self.phase, Phase::Gone) {
            refuse_waiting_commands(actor, "another host runs this account, or it was deleted");
            actor.retain_inputs(|_| false);
            return false;
        }
        // It goes on when the lease is renewed, or is let go.
        if !actor.holds() {
            return false;
        }
        if self.stop.is_some() {
            return self.go_on_stopping(actor);
        }
        if self.replacement.is_some() && !self.in_call() {
            if !self.in_flight.is_empty() {
                return false;
            }
            self.replace(actor);
            return true;
        }
        match self.phase {
            Phase::Gone => false,
            Phase::Waiting => {
                actor.refuse_ingress();
                false
            }
            Phase::Off => {
                actor.refuse_ingress();
                let signs_in = actor.has_input(|input| matches!(input, Input::SignIn { .. }));
                if signs_in {
                    self.phase = Phase::Starting(Cause::First);
                }
                signs_in
            }
            // A start sees what is committed, and nothing else.
            Phase::Starting(cause) => {
                if !self.in_flight.is_empty() {
                    return false;
                }
                self.start(actor, cause);
                true
            }
            Phase::Live => {
                if self.previous.is_some() || self.in_flight.len() >= RUN_AHEAD {
                    return false;
                }
                match actor.next_input() {
                    Some(input) => {
                        self.execute(actor, input);
                        true
                    }
                    None => false,
                }
            }
        }
    }

    /// Does the guest owe an answer to a sign-in call? It is not suspended then.
    fn in_call(&self) -> bool {
        self.calls
            .values()
            .any(|called| self.now.since(*called) < CALL_MS)
    }

    fn on_signal(&mut self, actor: &Arc<Actor>, signal: Signal) {
        match signal {
            Signal::Committed { commit, result } => self.on_committed(actor, commit, result),
            Signal::Flushed { token } => self.on_flushed(actor, token),
            Signal::ConnectionGone { generation } => self.on_connection_gone(actor, generation),
            Signal::HttpRoom { id, permit } => self.on_http_room(actor, id, permit),
            Signal::HttpAnswered { id } => self.on_http_answered(id),
            Signal::Due(due) => self.on_due(actor, due),
            Signal::Order(order) => self.on_order(actor, order),
            Signal::Fetched { id, result } => self.on_fetched(actor, id, result),
            Signal::Lease => self.flush_committed(actor),
        }
    }

    fn on_order(&mut self, actor: &Arc<Actor>, order: Order) {
        match order {
            Order::BringBack => {
                let wanted = signed_in_and_wanted(&self.account) && !self.stopped;
                if wanted && self.stop.is_none() && matches!(self.phase, Phase::Off) {
                    self.phase = Phase::Starting(Cause::Restart);
                    self.publish(actor);
                }
            }
            Order::HandOver { id, outgoing } => {
                if !self.recovered.contains(&id) && !self.sends.contains_key(&id) {
                    actor.input(Input::Send {
                        id,
                        outgoing,
                        trace: None,
                    });
                }
            }
            Order::LetGo => self.let_go(actor, "another host runs this account"),
            Order::Start { done } => {
                if let Some(stop) = &mut self.stop {
                    return stop.then_start(done);
                }
                self.strikes.clear();
                self.stopped = false;
                if !self.account.wanted {
                    self.account.wanted = true;
                    let patch = AccountPatch {
                        wanted: Some(true),
                        ..AccountPatch::default()
                    };
                    self.host_change(actor, vec![], vec![], patch, Flush::default());
                }
                if matches!(self.phase, Phase::Off | Phase::Waiting)
                    && self.account.auth_status == AuthStatus::Authorized
                {
                    self.phase = Phase::Starting(Cause::Restart);
                }
                self.publish(actor);
                if let Some(done) = done {
                    let _ = done.send(());
                }
            }
            Order::Stop {
                wanted,
                restart,
                done,
            } => self.order_stop(wanted, restart, done),
            Order::Replace {
                provider,
                account,
                done,
            } => {
                let replacement = Replacement {
                    provider,
                    account,
                    done,
                };
                if let Some(earlier) = self.replacement.replace(replacement) {
                    earlier.superseded(self.replacement.as_mut());
                }
                if self.in_call() {
                    let at = self.tick().plus_ms(CALL_MS);
                    actor.due_at(at, Due::Look);
                }
            }
            Order::Renamed(account) => {
                self.account.name = account.name;
                self.account.metadata = account.metadata;
                self.account.status = account.status;
            }
        }
    }

    fn on_due(&mut self, actor: &Arc<Actor>, due: Due) {
        let now = self.tick();
        match due {
            Due::Restart => {
                if matches!(self.phase, Phase::Waiting) {
                    self.phase = Phase::Starting(Cause::Restart);
                }
            }
            Due::Look => {}
            Due::Deferred(id) => {
                let held = self
                    .sends
                    .get(&id)
                    .is_some_and(|send| send.state == SendState::Recorded && send.deferred);
                if held {
                    let failure = Failure::new(
                        FailureCode::Unavailable,
                        "it could not leave for a day; the account's link was down",
                    );
                    let certainty = Certainty::NotDone;
                    self.settle_by_host(actor, id, SendOutcome::Failed { failure, certainty });
                }
            }
            Due::SendDeadlines => self.on_deadlines(actor),
            Due::FlowExpiry(flow) => self.expire_flow(actor, &flow),
            Due::Command(request) => self.command_is_late(actor, &request),
            Due::Forgive => {
                if self.strikes.forgive(now) {
                    self.publish(actor);
                }
            }
        }
    }

    fn on_committed(
        &mut self,
        actor: &Arc<Actor>,
        commit: u64,
        result: Result<Written, StorageError>,
    ) {
        match result {
            Ok(Written::Account { .. }) => {}
            Ok(Written::Fenced) => {
                actor.shared.ownership.doubt();
                return self.lost(actor, "another host owns its partition");
            }
            Ok(Written::Gone) => return self.lost(actor, "it was deleted"),
            Ok(other) => {
                tracing::error!(account = %actor.id, ?other, "the writer answered a commit with something else");
                return self.lost(actor, "storage gave an answer that does not fit");
            }
            // Only when the host goes down: account commits are retried until they are made.
            Err(error) => return self.lost(actor, &error.to_string()),
        }
        if let Some(flush) = self.host_changes.remove(&commit) {
            if actor.holds() {
                self.flush(actor, flush);
            } else {
                self.in_flight.push_back(InFlight {
                    commit,
                    committed: true,
                    flush,
                    input: None,
                });
            }
            return;
        }
        if let Some(turn) = self.in_flight.iter_mut().find(|turn| turn.commit == commit) {
            turn.committed = true;
        }
        self.flush_committed(actor);
    }

    /// Effects leave strictly in turn order, and only while the lease holds.
    pub fn flush_committed(&mut self, actor: &Arc<Actor>) {
        while self.in_flight.front().is_some_and(|turn| turn.committed) && actor.holds() {
            if let Some(turn) = self.in_flight.pop_front() {
                drop(turn.input);
                self.flush(actor, turn.flush);
            }
        }
        if self.in_flight.is_empty()
            && let Some(ledger) = &mut self.ledger
        {
            ledger.forget_cold();
        }
    }

    /// This process may not act for the account any more.
    pub fn lost(&mut self, actor: &Arc<Actor>, reason: &str) {
        tracing::error!(account = %actor.id, reason, "the account is let go");
        self.let_go(actor, reason);
    }

    /// Nothing of the account goes on here: its instance and connections go without a goodbye,
    /// and whoever waits for an answer is told.
    pub fn let_go(&mut self, actor: &Arc<Actor>, reason: &str) {
        self.phase = Phase::Gone;
        self.drop_commands(actor, reason);
        let failure = Failure::new(FailureCode::Unavailable, reason);
        for (request, _) in self.calls.drain() {
            let answer = Err(failure.clone());
            actor.shared.waiters.answered(&request, answer);
        }
        self.fail_fetches(actor, &failure);
        self.fetching.clear();
        actor.retain_inputs(|input| {
            give_up(actor, input, &failure);
            false
        });
        self.stop = None;
        self.replacement = None;
        self.output.clear();
        self.instance = None;
        self.previous = None;
        self.handles.clear();
        self.requests.clear();
        self.in_flight.clear();
        self.host_changes.clear();
        actor.look(|live| {
            live.runtime = RuntimeState {
                status: RuntimeStatus::Error,
                reason: Some(failure),
            };
        });
    }

    /// A change that the host makes by itself. What it leads to follows after its commit.
    pub fn host_change(
        &mut self,
        actor: &Arc<Actor>,
        events: Vec<NewEvent>,
        sends: Vec<SendChange>,
        patch: AccountPatch,
        mut flush: Flush,
    ) {
        flush.settled.extend(
            sends
                .iter()
                .filter(|change| change.state.is_settled())
                .cloned(),
        );
        let commit = AccountCommit {
            events,
            sends,
            patch,
            ..self.empty_commit(actor)
        };
        self.submit_change(actor, commit, flush);
    }

    pub fn submit_change(&mut self, actor: &Arc<Actor>, commit: AccountCommit, flush: Flush) {
        self.commits += 1;
        let trace = flush.trace;
        self.host_changes.insert(self.commits, flush);
        actor.submit(self.commits, commit, trace);
    }

    pub fn empty_commit(&self, actor: &Actor) -> AccountCommit {
        AccountCommit {
            account: actor.id.clone(),
            workspace: actor.workspace.clone(),
            partition: actor.partition,
            epoch: actor.epoch,
            turn: None,
            at: self.now,
            events: Vec::new(),
            kv: Vec::new(),
            secrets: Vec::new(),
            timers: Vec::new(),
            requests: Vec::new(),
            sends: Vec::new(),
            blobs: Vec::new(),
            patch: AccountPatch::default(),
            kv_bytes: None,
        }
    }

    pub fn stamp(&self) -> Stamp<'_> {
        Stamp::new(&self.account.provider_alias, &self.account.id, self.now)
    }
}

/// Whoever waits for what this input asks for is told.
pub fn give_up(actor: &Actor, input: &Input, failure: &Failure) {
    match input {
        Input::SignIn { request, .. } => {
            let answer = Err(failure.clone());
            actor.shared.waiters.answered(request, answer);
        }
        Input::FetchMedia { request, .. } => {
            let answer = Err(failure.clone());
            actor.shared.waiters.fetched(request, answer);
        }
        _ => {}
    }
}

/// What stays the same for all turns of an account under one provider version.
pub fn facts(account: &Account, provider: &Provider, shared: &Shared) -> Arc<AccountFacts> {
    Arc::new(AccountFacts {
        id: account.id.clone(),
        manifest: provider.manifest.clone(),
        limits: provider.limits,
        reply_tokens: shared.reply_tokens.clone(),
    })
}
