//! How many requests a key, and an address without a good key, may make: token buckets in memory.
//!
//! Nothing is written down: a restart fills every bucket. Each host counts for itself.

use crate::domain::key::Rate;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Limits {
    /// Of a key that has no rate of its own; none: no limit.
    pub key: Option<Rate>,
    /// Of one address, for requests without a good key (an IPv6 /64 counts as one address).
    pub peer: Option<Rate>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key: Some(Rate {
                per_second: 1_000,
                burst: 2_000,
            }),
            peer: Some(Rate {
                per_second: 100,
                burst: 200,
            }),
            trusted_proxies: Vec::new(),
        }
    }
}

/// What a bucket says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    pub limit: u32,
    /// Requests that could follow at once.
    pub remaining: u32,
    /// Until the bucket is full again.
    pub reset: Duration,
    /// Until one request is allowed; zero when it is now.
    pub wait: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, at: Instant) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            at,
        }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.rate = rate;
        self.at = now;
        self.tokens =
            (self.tokens + passed * f64::from(rate.per_second)).min(f64::from(rate.burst));
    }

    fn verdict(&self, allowed: bool) -> Verdict {
        let seconds = |tokens: f64| {
            // One that never fills again (in tests) has an end in sight, too.
            let per_second = f64::from(self.rate.per_second).max(0.001);
            Duration::from_secs_f64((tokens / per_second).max(0.0))
        };
        Verdict {
            allowed,
            limit: self.rate.burst,
            remaining: self.tokens.max(0.0) as u32,
            reset: seconds(f64::from(self.rate.burst) - self.tokens),
            wait: seconds(1.0 - self.tokens),
        }
    }
}

/// Buckets by name, at most about twice [`Buckets::SIZE`]: when one half is full, the half that
/// was asked for longest ago is forgotten, and with it at worst a bucket that was not full.
#[derive(Debug)]
pub struct Buckets<K> {
    halves: Mutex<Halves<K>>,
}

#[derive(Debug)]
struct Halves<K> {
    young: HashMap<K, Bucket>,
    old: HashMap<K, Bucket>,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self {
            halves: Mutex::new(Halves {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
        }
    }
}

impl<K: Hash + Eq> Buckets<K> {
    const SIZE: usize = 32_768;

    /// Takes one token, if there is one.
    pub fn take(&self, name: K, rate: Rate, now: Instant) -> Verdict {
        self.ask(name, rate, now, 1.0)
    }

    /// Whether there is one; takes none.
    pub fn look(&self, name: K, rate: Rate, now: Instant) -> Verdict {
        self.ask(name, rate, now, 0.0)
    }

    fn ask(&self, name: K, rate: Rate, now: Instant, cost: f64) -> Verdict {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match halves.young.remove(&name) {
            Some(bucket) => Some(bucket),
            None => halves.old.remove(&name),
        };
        let mut bucket = known.unwrap_or_else(|| Bucket::full(rate, now));
        bucket.refill(rate, now);
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= cost;
        }
        if halves.young.len() >= Self::SIZE {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(name, bucket);
        bucket.verdict(allowed)
    }
}

/// What counts as one address: an IPv4 address, or the network that an IPv6 host usually has.
pub fn peer_name(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2,
        burst: 3,
    };

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::default();
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        for remaining in [2, 1, 0] {
            let verdict = buckets.take("a", RATE, at(0));
            assert_eq!((verdict.allowed, verdict.remaining), (true, remaining));
            assert_eq!(verdict.limit, 3);
        }
        let refused = buckets.take("a", RATE, at(0));
        assert!(!refused.allowed);
        assert_eq!(refused.wait, Duration::from_millis(500));
        assert_eq!(refused.reset, Duration::from_millis(1500));
        // Another's bucket is another's.
        assert!(buckets.take("b", RATE, at(0)).allowed);
        assert!(!buckets.look("a", RATE, at(499)).allowed);
        assert!(buckets.look("a", RATE, at(500)).allowed);
        assert!(buckets.take("a", RATE, at(500)).allowed);
        assert!(!buckets.take("a", RATE, at(500)).allowed);
        // A clock that stands still or goes back gives nothing away.
        assert!(!buckets.take("a", RATE, at(0)).allowed);
        assert_eq!(buckets.look("a", RATE, at(60_000)).remaining, 3);
        // A rate that changes counts from now on.
        let less = Rate {
            per_second: 1,
            burst: 1,
        };
        assert_eq!(buckets.look("a", less, at(60_000)).remaining, 1);
    }

    #[test]
    fn memory_is_bounded() {
        let buckets = Buckets::default();
        let now = Instant::now();
        for name in 0..5 * Buckets::<usize>::SIZE {
            buckets.take(name, RATE, now);
        }
        let halves = buckets.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 2 * Buckets::<usize>::SIZE);
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let name = |text: &str| peer_name(text.parse().unwrap());
        assert_eq!(name("2001:db8:1:2:3::4"), name("2001:db8:1:2:ffff::1"));
        assert_ne!(name("2001:db8:1:2::1"), name("2001:db8:1:3::1"));
        assert_eq!(name("::ffff:192.0.2.1"), name("192.0.2.1"));
        assert_ne!(name("192.0.2.1"), name("192.0.2.2"));
    }
}
