//! How fast lines may leave: a token bucket, kept as one number (the generic cell rate
//! algorithm). It must never set a timer; it says when.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pacing {
    /// When the bucket would be full again, in milliseconds since the Unix epoch.
    full_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Lines that may leave at once; at least 1.
    pub burst: u32,
    /// Milliseconds after which another one may.
    pub interval_ms: u32,
}

impl Rate {
    fn slack(self) -> u64 {
        u64::from(self.burst.max(1) - 1) * u64::from(self.interval_ms)
    }
}

impl Pacing {
    /// A bucket with a single token, for a link whose past is not known.
    pub fn almost_empty(now: u64, rate: Rate) -> Self {
        Self {
            full_at: now + rate.slack(),
        }
    }

    /// Takes a token. Otherwise: the time at which there is one.
    pub fn take(&mut self, now: u64, rate: Rate) -> Result<(), u64> {
        let ready_at = self.full_at.saturating_sub(rate.slack());
        if now < ready_at {
            return Err(ready_at);
        }
        self.full_at = self.full_at.max(now) + u64::from(rate.interval_ms);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 5,
        interval_ms: 2_000,
    };

    #[test]
    fn a_burst_then_one_line_per_interval() {
        let mut pacing = Pacing::default();
        for _ in 0..5 {
            assert_eq!(pacing.take(1_000_000, RATE), Ok(()));
        }
        assert_eq!(pacing.take(1_000_000, RATE), Err(1_002_000));
        assert_eq!(pacing.take(1_001_999, RATE), Err(1_002_000));
        assert_eq!(pacing.take(1_002_000, RATE), Ok(()));
        assert_eq!(pacing.take(1_002_000, RATE), Err(1_004_000));
        // Ten quiet seconds fill the bucket, and no more than that.
        for _ in 0..5 {
            assert_eq!(pacing.take(1_100_000, RATE), Ok(()));
        }
        assert!(pacing.take(1_100_000, RATE).is_err());
    }

    #[test]
    fn never_more_than_the_rate_over_any_window() {
        let mut pacing = Pacing::default();
        let mut sent = Vec::new();
        let mut now = 10_000;
        for step in 0..2_000_u64 {
            now += step * 7_919 % 900;
            if pacing.take(now, RATE).is_ok() {
                sent.push(now);
            }
        }
        for (index, start) in sent.iter().enumerate() {
            for (count, end) in sent[index..].iter().enumerate() {
                assert!(count as u64 <= 5 + (end - start) / 2_000);
            }
        }
    }

    #[test]
    fn a_link_of_unknown_past_starts_with_one_token() {
        let mut pacing = Pacing::almost_empty(50_000, RATE);
        assert_eq!(pacing.take(50_000, RATE), Ok(()));
        assert_eq!(pacing.take(50_000, RATE), Err(52_000));
        let mut unlimited = Pacing::default();
        for _ in 0..100 {
            assert_eq!(
                unlimited.take(
                    1,
                    Rate {
                        burst: 0,
                        interval_ms: 0
                    }
                ),
                Ok(())
            );
        }
    }
}
