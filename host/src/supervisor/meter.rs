//! Counts what one account uses. Only sums, taken away from time to time; storage adds them up.

use crate::domain::usage::Usage;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Meter {
    turns: AtomicU64,
    cpu_us: AtomicU64,
    events: AtomicU64,
    sends: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Meter {
    pub fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Of a slice of work: single turns are too short for the kernel's clock to be asked.
    pub fn cpu(&self, cpu_us: u64) {
        self.cpu_us.fetch_add(cpu_us, Ordering::Relaxed);
    }

    pub fn events(&self, count: usize) {
        self.events.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn send(&self) {
        self.sends.fetch_add(1, Ordering::Relaxed);
    }

    pub fn bytes_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn bytes_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was counted since the last time.
    pub fn take(&self) -> Usage {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Usage {
            turns: take(&self.turns),
            cpu_us: take(&self.cpu_us),
            events: take(&self.events),
            sends: take(&self.sends),
            bytes_in: take(&self.bytes_in),
            bytes_out: take(&self.bytes_out),
        }
    }
}
