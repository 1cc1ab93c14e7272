//! Numbers about what the server saw: a histogram without locks, and the sums that
//! control hands out.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What was counted, for one user or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    pub users: u64,
    /// Signed in right now.
    pub connections: u64,
    /// How often a connection came online (sign-ins and reconnects).
    pub logins: u64,
    /// Send frames that came, whatever became of them.
    pub sends: u64,
    /// Messages that exist on the channel because of them.
    pub messages: u64,
    /// Send frames whose token was there before and that made no second message.
    pub repeated: u64,
    /// Send frames whose token was there before and that did make a second message.
    pub doubled: u64,
    pub refused: u64,
    pub generated: u64,
    /// Events that left for the first time.
    pub delivered: u64,
    /// Times that an event left again.
    pub redelivered: u64,
    pub acknowledged: u64,
    /// Acknowledgements of what was acknowledged before, or never sent.
    pub repeated_acknowledgements: u64,
    /// Events that wait or are on the wire.
    pub unacknowledged: u64,
    /// Bytes of media that came in pieces, also those that came twice.
    pub uploaded_bytes: u64,
    /// Bytes of media that left in pieces.
    pub fetched_bytes: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.users += other.users;
        self.connections += other.connections;
        self.logins += other.logins;
        self.sends += other.sends;
        self.messages += other.messages;
        self.repeated += other.repeated;
        self.doubled += other.doubled;
        self.refused += other.refused;
        self.generated += other.generated;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.acknowledged += other.acknowledged;
        self.repeated_acknowledgements += other.repeated_acknowledgements;
        self.unacknowledged += other.unacknowledged;
        self.uploaded_bytes += other.uploaded_bytes;
        self.fetched_bytes += other.fetched_bytes;
    }
}

/// Microseconds from the moment an event first left to its acknowledgement. Values are
/// the upper ends of buckets that are a quarter of a power of two wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LatencySummary {
    pub count: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

pub(crate) struct Latency {
    buckets: [AtomicU64; 160],
    max_us: AtomicU64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; 160],
            max_us: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)].fetch_add(1, Relaxed);
        self.max_us.fetch_max(us, Relaxed);
    }

    pub(crate) fn reset(&self) {
        self.buckets
            .iter()
            .for_each(|count| count.store(0, Relaxed));
        self.max_us.store(0, Relaxed);
    }

    pub(crate) fn summary(&self) -> LatencySummary {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|count| count.load(Relaxed))
            .collect();
        let count = counts.iter().sum();
        let max_us = self.max_us.load(Relaxed);
        let quantile = |share: f64| {
            let rank = (count as f64 * share).ceil() as u64;
            let mut seen = 0;
            for (index, held) in counts.iter().enumerate() {
                seen += held;
                if seen >= rank.max(1) {
                    return upper(index).min(max_us);
                }
            }
            max_us
        };
        LatencySummary {
            count,
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us,
        }
    }
}

/// Four buckets per power of two.
fn bucket(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let power = us.ilog2();
    let quarter = (us >> (power - 2)) & 3;
    ((power as usize - 1) * 4 + quarter as usize).min(159)
}

fn upper(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let power = bucket / 4 + 1;
    ((4 + (bucket as u64 % 4) + 1) << (power - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_their_values() {
        for us in [
            0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 100, 1_000, 123_456, 10_000_000,
        ] {
            let index = bucket(us);
            assert!(
                upper(index) >= us,
                "{us} lies above bucket {index}, which ends at {}",
                upper(index)
            );
            assert!(
                index == 0 || upper(index - 1) < us,
                "{us} lies in a bucket before {index}"
            );
        }
    }

    #[test]
    fn quantiles_come_from_the_buckets() {
        let latency = Latency::new();
        (1..=100).for_each(|ms| latency.record(Duration::from_millis(ms)));
        let summary = latency.summary();
        assert_eq!(summary.count, 100);
        assert!((50_000..=60_000).contains(&summary.p50_us), "{summary:?}");
        assert_eq!(summary.max_us, 100_000);
    }
}
