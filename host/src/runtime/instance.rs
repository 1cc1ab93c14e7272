//! One live component of one account, and the calls into it. A call that fails leaves an
//! instance that must be dropped.

use super::check::Provider;
use super::convert;
use super::guest::{GuestState, Mode};
use super::limits::{Breach, Limits};
use super::turn::Turn;
use crate::domain::error::Failure;
use crate::domain::send::Outgoing;
use crate::domain::sign_in::Answer;
use anyport_contract::anyport::provider::types;
use anyport_contract::exports::anyport::provider as guest;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Store, Trap, UpdateDeadline};

/// What the guest is called for. One call, one turn.
#[derive(Clone, Debug)]
pub enum Call {
    Start(StartCall),
    Opened {
        label: String,
    },
    Frame {
        label: String,
        bytes: Arc<[u8]>,
    },
    Closed {
        label: String,
        code: Option<u16>,
        reason: Failure,
        undelivered: u32,
    },
    Timer {
        label: String,
        context: Vec<u8>,
    },
    Reconnect,
    Stopping,
    SignInBegin {
        request: String,
        method: String,
        answers: Vec<Answer>,
    },
    SignInSubmit {
        request: String,
        answers: Vec<Answer>,
    },
    SignInCancel {
        request: String,
    },
    SignOut {
        request: String,
    },
    Send {
        request: String,
        outgoing: Arc<Outgoing>,
    },
}

#[derive(Clone, Debug)]
pub struct StartCall {
    pub cause: Cause,
    pub config: Arc<str>,
    /// (state version, bytes)
    pub resume: Option<(u32, Vec<u8>)>,
    pub open: Vec<String>,
    pub skip: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    First,
    Restart,
    Reconfigured,
    Wake,
    Reload,
    Rollback,
}

/// Why a turn failed: the guest's fault, or (only `Unreadable`) nobody's.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub kind: FaultKind,
    /// For the account's status.
    pub message: String,
    /// For the log: the trap with its frames, what the guest printed.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Trap,
    /// An export returned an error.
    Err,
    /// A limit or a rule of the contract was broken.
    Limit,
    /// Storage could not answer a read. No strike.
    Unreadable,
}

/// What a turn came to. The turn comes back whole: effects where `result` is ok; subject, audit
/// and ledger always.
pub struct Outcome {
    pub turn: Box<Turn>,
    /// `keeps` of a start; empty otherwise.
    pub result: Result<Vec<String>, Fault>,
    pub cpu: Duration,
}

/// A read of kv that storage could not answer.
#[derive(Debug, thiserror::Error)]
#[error("storage could not be read: {0}")]
pub struct Unreadable(pub String);

/// The CPU budget of the call that runs, broken.
#[derive(Debug, thiserror::Error)]
#[error("it used more than {0} ms of CPU time in one turn")]
struct CpuBudget(u32);

pub struct Instance {
    store: Store<GuestState>,
    lifecycle: guest::lifecycle::Guest,
    reactor: guest::reactor::Guest,
    sign_in: Option<guest::sign_in::Guest>,
    messaging: Option<guest::messaging::Guest>,
    #[cfg(feature = "native-bench")]
    native: Option<Box<dyn super::native::NativeGuest>>,
}

/// Thread CPU time at which the running call began, as the epoch callback sees it.
fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.max(0) as u64,
        now.tv_nsec.clamp(0, 999_999_999) as u32,
    )
}

thread_local! {
    /// (start of the running call, budget in ms)
    static RUNNING: std::cell::Cell<(Duration, u32)> = const { std::cell::Cell::new((Duration::ZERO, u32::MAX)) };
}

impl Instance {
    /// Instantiates and compares the shapes of all exports with the contract's.
    pub(super) fn new(provider: &super::check::Loaded, limits: &Limits) -> wasmtime::Result<Self> {
        let mut store = Store::new(provider.pre.engine(), GuestState::new(limits));
        store.limiter(|state| &mut state.memory);
        // The deadline is in wall time; what counts is the thread's CPU time.
        store.epoch_deadline_callback(|_| {
            let (begun, budget_ms) = RUNNING.get();
            let used = thread_cpu().saturating_sub(begun);
            if used >= Duration::from_millis(u64::from(budget_ms)) {
                return Err(wasmtime::Error::new(CpuBudget(budget_ms)));
            }
            Ok(UpdateDeadline::Continue(1))
        });
        store.set_epoch_deadline(1);
        RUNNING.set((thread_cpu(), limits.cpu_ms));
        let instance = provider.pre.instantiate(&mut store)?;
        fn shape<T>(name: &str, loaded: wasmtime::Result<T>) -> wasmtime::Result<T> {
            loaded.map_err(|error| {
                error.context(format!("export `{name}` has another shape than the host's"))
            })
        }
        let lifecycle = shape(
            super::check::LIFECYCLE,
            provider.lifecycle.load(&mut store, &instance),
        )?;
        let reactor = shape(
            super::check::REACTOR,
            provider.reactor.load(&mut store, &instance),
        )?;
        let sign_in = match &provider.sign_in {
            Some(indices) => Some(shape(
                super::check::SIGN_IN,
                indices.load(&mut store, &instance),
            )?),
            None => None,
        };
        let messaging = match &provider.messaging {
            Some(indices) => Some(shape(
                super::check::MESSAGING,
                indices.load(&mut store, &instance),
            )?),
            None => None,
        };
        Ok(Self {
            store,
            lifecycle,
            reactor,
            sign_in,
            messaging,
            #[cfg(feature = "native-bench")]
            native: None,
        })
    }

    pub(super) fn describe(
        &mut self,
        limits: &Limits,
    ) -> wasmtime::Result<guest::lifecycle::Descriptor> {
        self.store.data_mut().mode = Mode::Describe;
        RUNNING.set((thread_cpu(), limits.cpu_ms));
        self.store.set_epoch_deadline(1);
        let described = self.lifecycle.call_describe(&mut self.store);
        self.store.data_mut().mode = Mode::Idle;
        described
    }

    /// One turn.
    pub fn call(&mut self, call: &Call, turn: Box<Turn>) -> Outcome {
        let (begun, limits) = self.enter(Mode::Turn, turn);
        let result = self.dispatch(call);
        let result = match result {
            Ok(Ok(keeps)) => Ok(keeps),
            Ok(Err(error)) => Err(self.err(error)),
            Err(trap) => Err(self.fault(trap)),
        };
        let mut outcome = self.leave(result, begun);
        if outcome.result.is_ok()
            && let Err(breach) = outcome.turn.check_quota()
        {
            outcome.result = Err(Fault {
                kind: FaultKind::Limit,
                message: breach.0,
                detail: String::new(),
            });
        }
        match &outcome.result {
            Ok(_) => outcome.turn.ledger.keep(),
            Err(_) => outcome.turn.ledger.undo(),
        }
        if outcome.turn.suppressed() > 0 {
            tracing::warn!(
                account = %outcome.turn.facts.id,
                lines = outcome.turn.suppressed(),
                limit = limits.log_lines,
                "log lines of the provider were left out: too many in one turn"
            );
        }
        outcome
    }

    /// The memory that matters. The turn only reads and comes back unchanged.
    pub fn suspend(&mut self, turn: Box<Turn>) -> (Box<Turn>, Result<(u32, Vec<u8>), Fault>) {
        const SNAPSHOT_BYTES: usize = 256 * 1024;
        let (begun, _) = self.enter(Mode::Suspend, turn);
        let called = self.lifecycle.call_suspend(&mut self.store);
        let result = match called {
            Ok(Ok(snapshot)) if snapshot.bytes.len() > SNAPSHOT_BYTES => Err(Fault {
                kind: FaultKind::Limit,
                message: format!(
                    "a snapshot has at most {SNAPSHOT_BYTES} bytes, this one has {}",
                    snapshot.bytes.len()
                ),
                detail: String::new(),
            }),
            Ok(Ok(snapshot)) => Ok((snapshot.state_version, snapshot.bytes)),
            Ok(Err(error)) => Err(self.err(error)),
            Err(trap) => Err(self.fault(trap)),
        };
        let outcome = self.leave(Ok(Vec::new()), begun);
        (outcome.turn, result)
    }

    fn enter(&mut self, mode: Mode, turn: Box<Turn>) -> (Duration, Limits) {
        let limits = turn.facts.limits;
        let state = self.store.data_mut();
        state.clock.set(turn.now.0);
        state.random.forget();
        state.mode = mode;
        state.turn = Some(turn);
        self.store.set_epoch_deadline(1);
        let begun = thread_cpu();
        RUNNING.set((begun, limits.cpu_ms));
        (begun, limits)
    }

    fn leave(&mut self, result: Result<Vec<String>, Fault>, begun: Duration) -> Outcome {
        let cpu = thread_cpu().saturating_sub(begun);
        let state = self.store.data_mut();
        state.mode = Mode::Idle;
        let turn = state.turn.take().expect("the turn that entered leaves");
        if let Some(printed) = state.output.take() {
            tracing::info!(target: "provider", account = %turn.facts.id, provider = turn.facts.manifest.id, "{}", turn.without_secrets(&printed));
        }
        Outcome { turn, result, cpu }
    }

    fn dispatch(&mut self, call: &Call) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        use guest::reactor::Wake;
        #[cfg(feature = "native-bench")]
        if let Some(native) = &mut self.native {
            return Ok(super::native::dispatch(
                native.as_mut(),
                self.store.data_mut(),
                call,
            ));
        }
        let wake = match call {
            Call::Start(start) => {
                let context = start_context(start);
                let started = self.lifecycle.call_start(&mut self.store, &context)?;
                return Ok(started.map(|started| started.keeps));
            }
            Call::SignInBegin { .. }
            | Call::SignInSubmit { .. }
            | Call::SignInCancel { .. }
            | Call::SignOut { .. } => return Ok(self.call_sign_in(call)?.map(|()| Vec::new())),
            Call::Send { request, outgoing } => {
                let Some(messaging) = &self.messaging else {
                    return Err(wasmtime::Error::msg("the component exports no `messaging`"));
                };
                let sent =
                    messaging.call_send(&mut self.store, request, &convert::outgoing(outgoing))?;
                return Ok(sent.map(|()| Vec::new()));
            }
            Call::Opened { label } => Wake::Opened(guest::reactor::Opened {
                name: label.clone(),
                subprotocol: None,
                headers: Vec::new(),
            }),
            Call::Frame { label, bytes } => Wake::Frame(guest::reactor::Received {
                name: label.clone(),
                frame: types::Frame::Binary(bytes.to_vec()),
            }),
            Call::Closed {
                label,
                code,
                reason,
                undelivered,
            } => Wake::Closed(guest::reactor::Closed {
                name: label.clone(),
                code: *code,
                reason: convert::error(reason),
                undelivered: *undelivered,
            }),
            Call::Timer { label, context } => Wake::Timer(guest::reactor::Fired {
                name: label.clone(),
                context: context.clone(),
            }),
            Call::Reconnect => Wake::Reconnect,
            Call::Stopping => Wake::Stopping,
        };
        Ok(self
            .reactor
            .call_on_wake(&mut self.store, &wake)?
            .map(|()| Vec::new()))
    }

    fn call_sign_in(&mut self, call: &Call) -> wasmtime::Result<Result<(), types::Error>> {
        let Some(sign_in) = &self.sign_in else {
            return Err(wasmtime::Error::msg("the component exports no `sign-in`"));
        };
        let store = &mut self.store;
        match call {
            Call::SignInBegin {
                request,
                method,
                answers,
            } => sign_in.call_begin(store, request, method, &convert::answers(answers)),
            Call::SignInSubmit { request, answers } => {
                sign_in.call_submit(store, request, &convert::answers(answers))
            }
            Call::SignInCancel { request } => sign_in.call_cancel(store, request),
            Call::SignOut { request } => sign_in.call_sign_out(store, request),
            _ => Ok(Ok(())),
        }
    }

    fn clean(&self, text: &str) -> String {
        match self.store.data().turn.as_deref() {
            Some(turn) => turn.without_secrets(text),
            None => text.to_owned(),
        }
    }

    fn err(&self, error: types::Error) -> Fault {
        let failure = convert::failure(error);
        Fault {
            kind: FaultKind::Err,
            message: self.clean(&failure.to_string()),
            detail: self.clean(failure.detail.as_deref().unwrap_or_default()),
        }
    }

    fn fault(&self, trap: wasmtime::Error) -> Fault {
        let detail = self.clean(&format!("{trap:?}"));
        let (kind, message) = describe_trap(&trap);
        Fault {
            kind,
            message: self.clean(&message),
            detail,
        }
    }
}

/// The trap in one sentence for people.
fn describe_trap(trap: &wasmtime::Error) -> (FaultKind, String) {
    if let Some(breach) = trap.downcast_ref::<Breach>() {
        return (FaultKind::Limit, breach.0.clone());
    }
    if let Some(unreadable) = trap.downcast_ref::<Unreadable>() {
        return (FaultKind::Unreadable, unreadable.to_string());
    }
    if let Some(budget) = trap.downcast_ref::<CpuBudget>() {
        return (FaultKind::Limit, budget.to_string());
    }
    match trap.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => (
            FaultKind::Trap,
            "it panicked or reached unreachable code".into(),
        ),
        Some(Trap::StackOverflow) => (FaultKind::Trap, "it overflowed its stack".into()),
        Some(trap) => (FaultKind::Trap, format!("it trapped: {trap}")),
        None => (
            FaultKind::Trap,
            format!("it trapped: {}", trap.root_cause()),
        ),
    }
}

fn start_context(start: &StartCall) -> guest::lifecycle::StartContext {
    use guest::lifecycle as wit;
    wit::StartContext {
        cause: match start.cause {
            Cause::First => wit::Cause::First,
            Cause::Restart => wit::Cause::Restart,
            Cause::Reconfigured => wit::Cause::Reconfigured,
            Cause::Wake => wit::Cause::Wake,
            Cause::Reload => wit::Cause::Reload,
            Cause::Rollback => wit::Cause::Rollback,
        },
        config: start.config.to_string(),
        resume: start
            .resume
            .as_ref()
            .map(|(state_version, bytes)| wit::Snapshot {
                state_version: *state_version,
                bytes: bytes.clone(),
            }),
        open: start.open.clone(),
        skip: start.skip.clone(),
        extra: None,
    }
}

impl Provider {
    /// A new instance for an account.
    pub fn instantiate(&self, limits: &Limits) -> Result<Instance, Fault> {
        let made = Instance::new(&self.loaded, limits);
        #[cfg(feature = "native-bench")]
        let made = made.map(|made| Instance {
            native: super::native::make(&self.manifest.id),
            ..made
        });
        made.map_err(|error| {
            let (kind, message) = describe_trap(&error);
            Fault {
                kind,
                message,
                detail: format!("{error:?}"),
            }
        })
    }
}
