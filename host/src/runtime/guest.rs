//! The data of an instance's store: what host functions find when the guest calls them.

use super::limits::{Breach, Limits};
use super::turn::Turn;
use super::wasi::{GuestOutput, TurnClock, TurnRandom};
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

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
        Self {
            mode: Mode::Idle,
            turn: None,
            memory: MemoryLimit {
                bytes: limits.memory_bytes,
            },
            wasi: super::wasi::context(&clock, &random, &output),
            clock,
            random,
            output,
            table: ResourceTable::new(),
        }
    }

    /// The running turn, for a host function that asks for something.
    pub fn asks(&mut self, call: &'static str) -> wasmtime::Result<&mut Turn> {
        match self.mode {
            Mode::Turn => {}
            Mode::Suspend => {
                return super::limits::breach(format!(
                    "`suspend` called `{call}`: it must change nothing"
                ));
            }
            Mode::Describe | Mode::Idle => {
                return super::limits::breach(format!(
                    "`describe` called `{call}`: it must be pure"
                ));
            }
        }
        self.counted(call)
    }

    /// The running turn, for a host function that only reads.
    pub fn reads(&mut self, call: &'static str) -> wasmtime::Result<&mut Turn> {
        match self.mode {
            Mode::Turn | Mode::Suspend => self.counted(call),
            Mode::Describe | Mode::Idle => {
                super::limits::breach(format!("`describe` called `{call}`: it must be pure"))
            }
        }
    }

    fn counted(&mut self, call: &'static str) -> wasmtime::Result<&mut Turn> {
        let Some(turn) = self.turn.as_deref_mut() else {
            return super::limits::breach(format!("`{call}` was called outside a turn"));
        };
        turn.count_call()?;
        Ok(turn)
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

/// Ends the turn with a text of ours when the guest's memory would grow above its limit.
pub struct MemoryLimit {
    bytes: usize,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.bytes {
            return Err(wasmtime::Error::new(Breach(format!(
                "its memory would grow above the limit of {} bytes",
                self.bytes
            ))));
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= 20_000)
    }
}
