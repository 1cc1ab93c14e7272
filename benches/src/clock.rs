//! CPU time, which says more than the wall's on a machine that others use too.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// User and system time of this process, all threads.
pub fn process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// User and system time of this thread.
pub fn thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(
        now.tv_sec.max(0) as u64,
        now.tv_nsec.clamp(0, 999_999_999) as u32,
    )
}
