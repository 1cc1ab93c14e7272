//! CPU time of guest calls. The engine's epochs tick in wall time; what counts is how long the
//! calling thread really ran, so that a busy machine ends no turn early.

use std::time::Duration;

/// From the beginning of a call, for the thread that makes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    begun: Duration,
    budget_ms: u32,
}

/// The budget of the call that runs is used up.
#[derive(Debug, thiserror::Error)]
#[error("it used more than {0} ms of CPU time in one turn")]
pub struct CpuBudget(u32);

impl Meter {
    pub fn begin(budget_ms: u32) -> Self {
        Self {
            begun: thread_cpu(),
            budget_ms,
        }
    }

    pub fn used(&self) -> Duration {
        thread_cpu().saturating_sub(self.begun)
    }

    pub fn check(&self) -> Result<(), CpuBudget> {
        if self.used() >= Duration::from_millis(u64::from(self.budget_ms)) {
            return Err(CpuBudget(self.budget_ms));
        }
        Ok(())
    }
}

fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.max(0) as u64,
        now.tv_nsec.clamp(0, 999_999_999) as u32,
    )
}
