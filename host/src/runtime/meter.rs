//! CPU time of guest calls. The engine's epochs tick in wall time; what counts is how long the
//! calling thread really ran, so that a busy machine ends no turn early.
//!
//! Asking the kernel for a thread's time costs as much as an empty turn does, so a call is metered
//! from the first tick that it sees: at most one tick of its time is not counted, and calls that
//! are over before it, nearly all, cost no question.

use std::time::Duration;

/// The time of one call, for the thread that makes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// The thread's time at the first tick; none for a call that has not seen one.
    first_tick: Option<Duration>,
    budget_ms: u32,
}

/// The budget of the call that runs is used up.
#[derive(Debug, thiserror::Error)]
#[error("it used more than {0} ms of CPU time in one turn")]
pub struct CpuBudget(u32);

impl Meter {
    pub fn begin(budget_ms: u32) -> Self {
        Self {
            first_tick: None,
            budget_ms,
        }
    }

    /// Since the first tick; nothing for a call that was over before it.
    pub fn used(&self) -> Duration {
        match self.first_tick {
            Some(first) => thread_cpu().saturating_sub(first),
            None => Duration::ZERO,
        }
    }

    /// The call still runs when the engine's clock ticks.
    pub fn tick(&mut self) -> Result<(), CpuBudget> {
        self.first_tick.get_or_insert_with(thread_cpu);
        if self.used() >= Duration::from_millis(u64::from(self.budget_ms)) {
            return Err(CpuBudget(self.budget_ms));
        }
        Ok(())
    }
}

/// Of the thread that asks, since it began.
pub fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.max(0) as u64,
        now.tv_nsec.clamp(0, 999_999_999) as u32,
    )
}
