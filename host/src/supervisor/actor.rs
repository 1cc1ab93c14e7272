//! One account: its mailbox, and the core that one worker at a time runs.
//!
//! Never waits: what takes time comes back as a signal or an input.

use super::clock::{Alarm, Clock};
use super::core::{Core, OpenSend};
use super::mailbox::{Due, Input, Mailbox, Order, Signal};
use super::media::SharedMedia;
use super::meter::Meter;
use super::waiters::Waiters;
use super::workers::{Lane, Workers};
use crate::domain::account::AuthStatus;
use crate::domain::account::RuntimeState;
use crate::domain::media::BlobId;
use crate::domain::send::{Outgoing, SendOutcome, SendState};
use crate::domain::sign_in::Flow;
use crate::domain::{AccountId, PartitionId, SendId, WorkspaceId};
use crate::runtime::ledger::{BlobView, ColdKv};
use crate::runtime::meter::thread_cpu;
use crate::runtime::normalize::ReplyTokens;
use crate::runtime::port::http::HttpClient;
use crate::runtime::port::{ConnectionSink, Connector, Report};
use crate::storage::blobs::BlobRows;
use crate::storage::lease::Ownership;
use crate::storage::writer::Writer;
use crate::storage::{AccountCommit, StorageError, Store, Write};
use crate::telemetry::metrics::ProviderMeters;
use crate::telemetry::trace::{Kind, TraceContext};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What all accounts share.
pub struct Shared {
    pub store: Arc<dyn Store>,
    pub writer: Writer,
    pub ownership: Arc<Ownership>,
    pub connector: Arc<dyn Connector>,
    pub http: Arc<dyn HttpClient>,
    /// For requests of all accounts that are on their way.
    pub http_room: Arc<Semaphore>,
    pub reply_tokens: Arc<dyn ReplyTokens + Send + Sync>,
    pub workers: Arc<Workers>,
    pub clock: Arc<Clock>,
    pub waiters: Waiters,
    pub media: SharedMedia,
    pub settings: super::Settings,
    pub runtime: tokio::runtime::Handle,
}

/// What others may look at without asking the core.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub runtime: RuntimeState,
    pub auth_status: AuthStatus,
    pub flow: Option<Flow>,
    pub wanted: bool,
    /// Strikes since the last good while.
    pub strikes: u32,
    /// Instances made since the process began.
    pub instances: u64,
    /// Digest of the version that runs or would run.
    pub digest: String,
    /// Sends that are not settled.
    pub open_sends: usize,
}

pub struct Actor {
    pub id: AccountId,
    pub workspace: WorkspaceId,
    /// The provider's id.
    pub provider: String,
    pub partition: PartitionId,
    pub epoch: u64,
    pub shared: Arc<Shared>,
    mailbox: Mutex<Mailbox>,
    core: Mutex<Core>,
    pub live: Mutex<Live>,
    /// For commands that are open.
    pub command_places: Arc<Semaphore>,
    meters: Arc<ProviderMeters>,
    pub meter: Meter,
    /// For requests of the channel that wait, in KiB.
    pub ingress_room: Arc<Semaphore>,
    state: AtomicU8,
    slow: AtomicBool,
}

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const AGAIN: u8 = 3;

impl Actor {
    pub fn new(
        workspace: WorkspaceId,
        id: AccountId,
        partition: PartitionId,
        epoch: u64,
        shared: Arc<Shared>,
        core: Core,
    ) -> Arc<Self> {
        let live = core.first_live();
        let places = shared.settings.open_commands;
        Arc::new(Self {
            id,
            provider: core.account.provider.clone(),
            meters: core.meters.clone(),
            workspace,
            partition,
            epoch,
            shared,
            mailbox: Mutex::default(),
            core: Mutex::new(core),
            live: Mutex::new(live),
            command_places: Arc::new(Semaphore::new(places)),
            meter: Meter::default(),
            ingress_room: Arc::new(Semaphore::new(super::ingress::ROOM_KIB)),
            state: AtomicU8::new(IDLE),
            slow: AtomicBool::new(false),
        })
    }

    pub fn signal(self: &Arc<Self>, signal: Signal) {
        if let Ok(mut mailbox) = self.mailbox.lock() {
            mailbox.signals.push_back(signal);
        }
        self.schedule();
    }

    pub fn order(self: &Arc<Self>, order: Order) {
        self.signal(Signal::Order(order));
    }

    pub fn input(self: &Arc<Self>, input: Input) {
        if let Ok(mut mailbox) = self.mailbox.lock() {
            mailbox.inputs.push_back(input);
        }
        self.schedule();
    }

    /// Inputs that a failed turn gives back: they come again before all others, in this order.
    pub fn input_again(&self, inputs: Vec<Input>) {
        if let Ok(mut mailbox) = self.mailbox.lock() {
            for input in inputs.into_iter().rev() {
                mailbox.inputs.push_front(input);
            }
        }
    }

    pub fn next_signal(&self) -> Option<Signal> {
        self.mailbox.lock().ok()?.signals.pop_front()
    }

    pub fn next_input(&self) -> Option<Input> {
        self.mailbox.lock().ok()?.inputs.pop_front()
    }

    /// Does an input wait that fits?
    pub fn has_input(&self, fits: impl Fn(&Input) -> bool) -> bool {
        self.mailbox
            .lock()
            .is_ok_and(|mailbox| mailbox.inputs.iter().any(fits))
    }

    pub fn retain_inputs(&self, keep: impl FnMut(&Input) -> bool) {
        if let Ok(mut mailbox) = self.mailbox.lock() {
            mailbox.inputs.retain(keep);
        }
    }

    /// Nobody takes what the channel sends now.
    pub fn refuse_ingress(&self) {
        self.retain_inputs(|input| !matches!(input, Input::Ingress { .. }));
    }

    pub fn alarm(self: &Arc<Self>, alarm: Alarm) {
        match alarm {
            Alarm::Guest { label, generation } => self.input(Input::Timer { label, generation }),
            Alarm::Host(due) => self.signal(Signal::Due(due)),
        }
    }

    pub fn due_at(self: &Arc<Self>, at: crate::domain::Timestamp, due: Due) {
        self.shared.clock.set(at, self, Alarm::Host(due));
    }

    /// May anything of this account leave the host now? Asked before every turn and flush.
    pub fn holds(&self) -> bool {
        self.shared.ownership.holds(self.partition, self.epoch)
    }

    pub fn look<T>(&self, look: impl FnOnce(&mut Live) -> T) -> T {
        let mut live = self
            .live
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&mut live)
    }

    /// Hands a commit to the writer; its end comes back as a signal with this number.
    pub fn submit(
        self: &Arc<Self>,
        commit: u64,
        write: AccountCommit,
        trace: Option<TraceContext>,
    ) {
        let actor = Arc::downgrade(self);
        let tracer = &self.shared.settings.tracer;
        let mut step = tracer.below(trace, "commit", Kind::Internal);
        step.attribute("anyport.events", || write.events.len() as u32);
        self.shared.writer.submit(
            Write::Account(Box::new(write)),
            Box::new(move |result: Result<_, StorageError>| {
                if let Err(error) = &result {
                    step.failed(|| error.to_string());
                }
                step.end();
                if let Some(actor) = actor.upgrade() {
                    actor.signal(Signal::Committed { commit, result });
                }
            }),
        );
    }

    /// A fault of the host's own while it worked for this account: the account is let go, the
    /// others go on.
    pub fn crashed(self: &Arc<Self>) {
        self.with_core(|core| core.lost(self, "the host failed while it worked for the account"));
        self.state.store(IDLE, Ordering::Release);
    }

    fn with_core<T>(self: &Arc<Self>, change: impl FnOnce(&mut Core) -> T) -> T {
        change(
            &mut self
                .core
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// A send that storage has from before the process began.
    pub fn recover_send(self: &Arc<Self>, id: SendId, outgoing: Arc<Outgoing>, state: SendState) {
        let send = OpenSend {
            outgoing,
            state,
            deferred: false,
            trace: None,
        };
        self.with_core(|core| {
            core.recovered.insert(id);
            core.sends.insert(id, send);
        });
    }

    /// The channel has as long for it as for one that leaves now.
    pub fn await_end(self: &Arc<Self>, id: SendId) {
        self.with_core(|core| core.await_ends(self, vec![id]));
    }

    /// The end of such a send.
    pub fn settle_recovered(self: &Arc<Self>, id: SendId, outcome: SendOutcome) {
        self.with_core(|core| {
            core.tick();
            core.settle_by_host(self, id, outcome);
        });
    }

    /// Does a test want the next turn to fail?
    pub fn fails_next_turn(&self) -> bool {
        let injection = self.shared.settings.fault_injection.as_ref();
        injection.is_some_and(|fails| (fails.0)(&self.id))
    }

    fn lane(&self) -> Lane {
        if self.slow.load(Ordering::Relaxed) {
            Lane::Slow
        } else {
            Lane::Fast
        }
    }

    pub fn set_slow(&self, slow: bool) {
        if self.slow.swap(slow, Ordering::Relaxed) != slow {
            tracing::info!(account = %self.id, slow, "the account changed its lane");
        }
    }

    pub fn schedule(self: &Arc<Self>) {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let next = match state {
                IDLE => QUEUED,
                RUNNING => AGAIN,
                _ => return,
            };
            match self
                .state
                .compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) if next == QUEUED => {
                    self.shared.workers.push(self.lane(), self.clone());
                    return;
                }
                Ok(_) => return,
                Err(seen) => state = seen,
            }
        }
    }

    /// A slice of work, on a worker's thread.
    pub fn run(self: &Arc<Self>) {
        self.state.store(RUNNING, Ordering::Release);
        let more = {
            let mut core = self
                .core
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            core.run_slice(self)
        };
        let cpu = cpu_since_last();
        self.meters.cpu.inc_by(cpu.as_secs_f64());
        self.meter.cpu(cpu.as_micros() as u64);
        // Idle, unless there is more, or something came meanwhile.
        let idle = !more
            && self
                .state
                .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if !idle {
            self.state.store(QUEUED, Ordering::Release);
            self.shared.workers.push(self.lane(), self.clone());
        }
    }
}

/// CPU time of this thread since it was asked last: one question to the kernel for each slice.
fn cpu_since_last() -> Duration {
    thread_local! {
        static LAST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }
    let now = thread_cpu();
    now.saturating_sub(LAST.replace(now))
}

/// The reports of one connection, as the account's inputs.
pub struct Sink {
    pub actor: Weak<Actor>,
    pub label: String,
    pub generation: u64,
}

impl ConnectionSink for Sink {
    fn may_write(&self) -> bool {
        self.actor.upgrade().is_some_and(|actor| actor.holds())
    }

    fn report(&self, report: Report) {
        let Some(actor) = self.actor.upgrade() else {
            return;
        };
        let (label, generation) = (self.label.clone(), self.generation);
        match report {
            Report::Opened => actor.input(Input::Opened { label, generation }),
            Report::Frame { bytes, credit } => {
                actor.input(Input::Frame {
                    label,
                    generation,
                    bytes: bytes.into(),
                    _credit: credit,
                });
            }
            Report::Closed {
                code,
                reason,
                undelivered,
            } => {
                actor.signal(Signal::ConnectionGone { generation });
                actor.input(Input::Closed {
                    label,
                    generation,
                    code,
                    reason,
                    undelivered,
                });
            }
            Report::Flushed { token } => actor.signal(Signal::Flushed { token }),
        }
    }
}

/// Reads of kv that an account's ledger does not hold, from a worker's thread.
pub struct StoredKv {
    pub account: AccountId,
    pub store: Arc<dyn Store>,
    pub runtime: tokio::runtime::Handle,
    pub workspace: WorkspaceId,
    pub blobs: Arc<dyn BlobRows>,
}

impl StoredKv {
    /// Waits at most 5 s; workers must not hang on a database that is away.
    fn read<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> Result<T, String> {
        let (answer, wait) = std::sync::mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            let _ = answer.send(read.await);
        });
        match wait.recv_timeout(std::time::Duration::from_secs(5)) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("no answer within 5 s".into()),
        }
    }
}

impl ColdKv for StoredKv {
    fn blob(&self, id: &str) -> Result<Option<BlobView>, String> {
        let (rows, workspace) = (self.blobs.clone(), self.workspace.clone());
        let (account, id) = (self.account.clone(), BlobId::from_text(id));
        self.read(async move {
            let found = rows.blob(Some(&workspace), &id).await?;
            let mine = found.filter(|found| found.blob.owner.lets(&account));
            Ok(mine.map(|found| BlobView {
                size: found.blob.size,
                meta: found.blob.meta,
            }))
        })
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        let (store, account, key) = (self.store.clone(), self.account.clone(), key.to_owned());
        self.read(async move { store.kv_get(&account, &key).await })
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, String> {
        let (store, account) = (self.store.clone(), self.account.clone());
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read(async move {
            store
                .kv_scan(&account, &prefix, after.as_deref(), limit)
                .await
        })
    }
}
