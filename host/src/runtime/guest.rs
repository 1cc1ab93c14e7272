//! The data of an instance's store: what host functions find when the guest calls them.

use super::limits::{Breach, Limits, breach};
use super::meter::Meter;
use super::turn::Turn;
use super::wasi::{GuestOutput, TurnClock, TurnRandom};
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Handles of WASI (streams, pollables) that an instance holds at once.
const HANDLES: usize = 256;
/// Elements of one table of a module.
pub const TABLE_ELEMENTS: usize = 20_000;

/// What the guest may do in the call that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Between calls, and while instantiating.
    Idle,
    Turn,
    Describe,
    Suspend,
}

pub struct GuestState {
    pub mode: Mode,
    /// There while a turn or a suspend runs.
    pub turn: Option<Box<Turn>>,
    /// Of the call that runs.
    pub meter: Meter,
    pub memory: MemoryLimit,
    pub clock: TurnClock,
    pub random: TurnRandom,
    pub output: GuestOutput,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl GuestState {
    pub fn new(limits: &Limits) -> Self {
        let (clock, random, output) = (
            TurnClock::default(),
            TurnRandom::default(),
            GuestOutput::default(),
        );
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            mode: Mode::Idle,
            turn: None,
            meter: Meter::begin(limits.cpu_ms),
            memory: MemoryLimit::new(limits.memory_bytes),
            wasi: super::wasi::context(&clock, &random, &output),
            clock,
            random,
            output,
            table,
        }
    }

    /// The running turn, for a host function that asks for something.
    pub fn asks(&mut self, call: &'static str) -> wasmtime::Result<&mut Turn> {
        if self.mode == Mode::Suspend {
            return breach(format!("`suspend` called `{call}`: it must change nothing"));
        }
        self.reads(call)
    }

    /// The running turn, for a host function that only reads.
    pub fn reads(&mut self, call: &'static str) -> wasmtime::Result<&mut Turn> {
        match (self.mode, self.turn.as_deref_mut()) {
            (Mode::Turn | Mode::Suspend, Some(turn)) => {
                turn.count_call()?;
                Ok(turn)
            }
            (Mode::Describe, _) => breach(format!("`describe` called `{call}`: it must be pure")),
            _ => breach(format!("`{call}` was called outside a turn")),
        }
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Ends the turn with a text of ours when the instance's memories together would grow above
/// their limit. (An answer of "no" makes guests abort without one.)
pub struct MemoryLimit {
    limit: usize,
    used: usize,
}

impl MemoryLimit {
    fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            return Err(wasmtime::Error::new(Breach(format!(
                "its memory would grow above the limit of {} bytes",
                self.limit
            ))));
        }
        // Above the module's own maximum it does not grow, and the guest is told so.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.used = used;
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}
