//! One live component of one account, and the calls into it. A call that fails leaves an
//! instance that must be dropped.

use super::check::{Provider, shape_of};
use super::convert;
use super::exports::Exports;
use super::fault::Fault;
use super::guest::{GuestState, Mode};
use super::limits::Limits;
use super::meter::Meter;
use super::port::http::HttpResponse;
use super::turn::Turn;
use crate::domain::command::Command;
use crate::domain::error::Failure;
use crate::domain::ingress::IngressRequest;
use crate::domain::send::Outgoing;
use crate::domain::sign_in::Answer;
use anyport_contract::anyport::provider::types;
use anyport_contract::exports::anyport::provider as guest;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Store, UpdateDeadline};

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
    Command {
        request: String,
        command: Arc<Command>,
    },
    Http {
        label: String,
        context: Vec<u8>,
        outcome: Result<Arc<HttpResponse>, Failure>,
    },
    Ingress(Arc<IngressRequest>),
    /// What was read of a blob.
    Blob {
        label: String,
        outcome: Result<Arc<[u8]>, Failure>,
    },
    FetchMedia {
        request: String,
        reference: String,
    },
}

/// What `suspend` hands over: state version and bytes.
pub type Snapshot = (u32, Vec<u8>);

#[derive(Clone, Debug)]
pub struct StartCall {
    pub cause: Cause,
    pub config: Arc<str>,
    pub resume: Option<Snapshot>,
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

pub struct Instance {
    store: Store<GuestState>,
    lifecycle: guest::lifecycle::Guest,
    reactor: guest::reactor::Guest,
    sign_in: Option<guest::sign_in::Guest>,
    exports: Exports,
    ingress: Option<guest::ingress::Guest>,
    /// A call failed; what its memory holds since is nobody's state.
    failed: bool,
    #[cfg(feature = "native-bench")]
    native: Option<Box<dyn super::native::NativeGuest>>,
}

impl Instance {
    /// Instantiates and compares the shapes of all exports with the contract's.
    pub(super) fn new(provider: &super::check::Loaded, limits: &Limits) -> Result<Self, Fault> {
        Self::try_new(provider, limits).map_err(|error| Fault::of(&error, None))
    }

    fn try_new(provider: &super::check::Loaded, limits: &Limits) -> wasmtime::Result<Self> {
        use super::check::{INGRESS, LIFECYCLE, REACTOR, SIGN_IN};
        let mut store = Store::new(provider.pre.engine(), GuestState::new(limits));
        store.limiter(|state| &mut state.memory);
        // A call of a host function copies what it is given; so much of it at once.
        store.set_hostcall_fuel(limits.output_bytes.saturating_mul(2));
        store.epoch_deadline_callback(|mut store| {
            let meter = &mut store.data_mut().meter;
            meter.tick().map_err(wasmtime::Error::new)?;
            Ok(UpdateDeadline::Continue(1))
        });
        store.set_epoch_deadline(1);
        let instance = provider.pre.instantiate(&mut store)?;
        let lifecycle = shape_of(LIFECYCLE, provider.lifecycle.load(&mut store, &instance))?;
        let reactor = shape_of(REACTOR, provider.reactor.load(&mut store, &instance))?;
        let sign_in = match &provider.sign_in {
            Some(indices) => Some(shape_of(SIGN_IN, indices.load(&mut store, &instance))?),
            None => None,
        };
        let exports = Exports::new(instance, provider.exports.clone());
        let ingress = match &provider.ingress {
            Some(indices) => Some(shape_of(INGRESS, indices.load(&mut store, &instance))?),
            None => None,
        };
        Ok(Self {
            store,
            lifecycle,
            reactor,
            sign_in,
            exports,
            ingress,
            failed: false,
            #[cfg(feature = "native-bench")]
            native: None,
        })
    }

    /// Compares the shapes of the exports that are looked up only when they are called.
    pub(super) fn check_exports(&mut self) -> Result<(), Fault> {
        let checked = self.exports.check(&mut self.store);
        checked.map_err(|error| Fault::of(&error, None))
    }

    /// What it says about itself, or why it cannot.
    pub(super) fn describe(
        &mut self,
        limits: &Limits,
    ) -> Result<guest::lifecycle::Descriptor, Fault> {
        self.begin(Mode::Describe, limits);
        let described = self.lifecycle.call_describe(&mut self.store);
        self.store.data_mut().mode = Mode::Idle;
        let printed = self.store.data().output.take();
        described.map_err(|trap| Fault::of(&trap, printed.as_deref()))
    }

    /// One turn. The instance must be dropped when it failed: any further call fails as well.
    pub fn call(&mut self, call: &Call, turn: Box<Turn>) -> Outcome {
        if self.failed {
            return Outcome::failed(turn);
        }
        self.enter(Mode::Turn, turn);
        let called = self.dispatch(call);
        let (mut turn, cpu, result) = self.leave(called);
        let result = result.and_then(|keeps| match turn.check_quota() {
            Ok(()) if turn.doomed => Err(Fault::injected()),
            Ok(()) => Ok(keeps),
            Err(breach) => Err(Fault::limit(breach.0)),
        });
        match &result {
            Ok(_) => turn.ledger.keep(),
            Err(_) => turn.ledger.undo(),
        }
        self.failed = result.is_err();
        Outcome { turn, result, cpu }
    }

    /// The memory that matters. The turn only reads and comes back unchanged. The instance must
    /// be dropped when it failed.
    pub fn suspend(&mut self, turn: Box<Turn>) -> (Box<Turn>, Result<Snapshot, Fault>) {
        const SNAPSHOT_BYTES: usize = 256 * 1024;
        if self.failed {
            return (turn, Err(Fault::used_again()));
        }
        self.enter(Mode::Suspend, turn);
        let called = self.lifecycle.call_suspend(&mut self.store);
        let (turn, _, result) = self.leave(called);
        let result = result.and_then(|snapshot| {
            if snapshot.bytes.len() > SNAPSHOT_BYTES {
                return Err(Fault::limit(format!(
                    "a snapshot has at most {SNAPSHOT_BYTES} bytes, this one has {}",
                    snapshot.bytes.len()
                )));
            }
            Ok((snapshot.state_version, snapshot.bytes))
        });
        self.failed = result.is_err();
        (turn, result)
    }

    fn begin(&mut self, mode: Mode, limits: &Limits) {
        let state = self.store.data_mut();
        state.mode = mode;
        state.meter = Meter::begin(limits.cpu_ms);
        self.store.set_epoch_deadline(1);
    }

    fn enter(&mut self, mode: Mode, turn: Box<Turn>) {
        self.begin(mode, &turn.facts.limits);
        let state = self.store.data_mut();
        state.clock.set(turn.now.0);
        state.random.begin(turn.seed);
        state.turn = Some(turn);
    }

    /// Gives the turn back, with the CPU time it took and what the call came to.
    fn leave<T>(
        &mut self,
        called: wasmtime::Result<Result<T, types::Error>>,
    ) -> (Box<Turn>, Duration, Result<T, Fault>) {
        let state = self.store.data_mut();
        let cpu = state.meter.used();
        state.mode = Mode::Idle;
        let turn = state.turn.take().expect("the turn that entered leaves");
        let printed = state.output.take();
        let (account, provider) = (&turn.facts.id, &turn.facts.manifest.id);
        if turn.suppressed() > 0 {
            tracing::warn!(
                %account,
                provider,
                lines = turn.suppressed(),
                limit = turn.facts.limits.log_lines,
                "log lines of the provider were left out: too many in one turn"
            );
        }
        let result = match called {
            Ok(Ok(answer)) => {
                if let Some(printed) = printed {
                    let printed = turn.without_secrets(&printed);
                    tracing::info!(target: "provider", %account, provider, "{printed}");
                }
                Ok(answer)
            }
            Ok(Err(error)) => Err(Fault::of_err(error, printed.as_deref())),
            Err(trap) => Err(Fault::of(&trap, printed.as_deref())),
        };
        let result = result.map_err(|fault| Fault {
            message: turn.without_secrets(&fault.message),
            detail: turn.without_secrets(&fault.detail),
            place: fault.place,
            ..fault
        });
        (turn, cpu, result)
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
                let sent = self.exports.call_send(&mut self.store, request, outgoing)?;
                return Ok(sent.map(|()| Vec::new()));
            }
            Call::Command { request, command } => {
                let store = &mut self.store;
                let called = self.exports.call_command(store, request, command)?;
                return Ok(called.map(|()| Vec::new()));
            }
            Call::FetchMedia { request, reference } => {
                let store = &mut self.store;
                let called = self.exports.call_fetch(store, request, reference)?;
                return Ok(called.map(|()| Vec::new()));
            }
            Call::Ingress(request) => {
                let Some(ingress) = &self.ingress else {
                    return Err(wasmtime::Error::msg("the component exports no `ingress`"));
                };
                let request = convert::ingress_request(request);
                let answered = ingress.call_on_request(&mut self.store, &request)?;
                return match answered {
                    Ok(response) => {
                        let response = convert::ingress_response(response)?;
                        if let Some(turn) = &mut self.store.data_mut().turn {
                            turn.effects.ingress = Some(response);
                        }
                        Ok(Ok(Vec::new()))
                    }
                    Err(error) => Ok(Err(error)),
                };
            }
            Call::Http {
                label,
                context,
                outcome,
            } => Wake::Http(guest::reactor::Answered {
                name: label.clone(),
                context: context.clone(),
                outcome: match outcome {
                    Ok(response) => Ok(convert::http_response(response)),
                    Err(failure) => Err(convert::error(failure)),
                },
            }),
            Call::Blob { label, outcome } => Wake::Blob(guest::reactor::BlobRange {
                name: label.clone(),
                outcome: match outcome {
                    Ok(bytes) => Ok(bytes.to_vec()),
                    Err(failure) => Err(convert::error(failure)),
                },
            }),
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
}

impl Outcome {
    /// Of a call into an instance that has failed before.
    fn failed(mut turn: Box<Turn>) -> Self {
        turn.ledger.undo();
        Self {
            turn,
            result: Err(Fault::used_again()),
            cpu: Duration::ZERO,
        }
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
        made
    }
}
