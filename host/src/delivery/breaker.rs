//! The circuit breaker of one endpoint. While it is open events wait; one at a time may probe.

use crate::domain::Timestamp;

/// Consecutive failures that open it.
const THRESHOLD: u32 = 10;
const FIRST_PAUSE_MS: u64 = 5_000;
const LONGEST_PAUSE_MS: u64 = 60_000;

#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    pause_ms: u64,
    state: State,
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Closed,
    Open {
        until: Timestamp,
    },
    /// A probe is under way.
    HalfOpen,
}

impl Breaker {
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// May an attempt start now?
    pub fn allows(&self, now: Timestamp) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::HalfOpen => false,
        }
    }

    /// An attempt starts, which was allowed.
    pub fn started(&mut self) {
        if self.state != State::Closed {
            self.state = State::HalfOpen;
        }
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// True when this failure opened it, from closed.
    pub fn failed(&mut self, now: Timestamp) -> bool {
        self.failures += 1;
        match self.state {
            State::Closed if self.failures < THRESHOLD => false,
            State::Closed => {
                self.open(now, FIRST_PAUSE_MS);
                true
            }
            State::HalfOpen => {
                self.open(now, (self.pause_ms * 2).min(LONGEST_PAUSE_MS));
                false
            }
            // What was under way when it opened.
            State::Open { .. } => false,
        }
    }

    /// An attempt ended without telling anything about the receiver.
    pub fn undecided(&mut self, now: Timestamp) {
        if self.state == State::HalfOpen {
            self.state = State::Open { until: now };
        }
    }

    /// When a probe may start, while it waits for one.
    pub fn probe_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { until } => Some(until),
            _ => None,
        }
    }

    fn open(&mut self, now: Timestamp, pause_ms: u64) {
        self.pause_ms = pause_ms;
        self.state = State::Open {
            until: now.plus_ms(pause_ms),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_probes_and_closes() {
        let mut breaker = Breaker::default();
        let now = Timestamp(1_000);
        for _ in 1..THRESHOLD {
            breaker.started();
            assert!(!breaker.failed(now));
        }
        assert!(breaker.is_closed());
        assert!(breaker.failed(now));
        assert!(!breaker.failed(now), "stragglers change nothing");
        assert_eq!(breaker.probe_at(), Some(Timestamp(6_000)));
        assert!(!breaker.allows(Timestamp(5_999)));
        for pause in [10_000, 20_000, 40_000, 60_000, 60_000] {
            let now = breaker.probe_at().unwrap_or_default();
            assert!(breaker.allows(now));
            breaker.started();
            assert!(!breaker.allows(now), "one probe at a time");
            assert!(!breaker.failed(now));
            assert_eq!(breaker.probe_at(), Some(now.plus_ms(pause)));
        }
        let now = breaker.probe_at().unwrap_or_default();
        breaker.started();
        breaker.undecided(now);
        assert!(breaker.allows(now));
        breaker.started();
        breaker.succeeded();
        assert!(breaker.is_closed() && breaker.allows(now));
        assert!(!breaker.failed(now), "counting begins anew");
    }
}
