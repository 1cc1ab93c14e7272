//! When a delivery that failed is tried again. Pure.

use crate::domain::Timestamp;
use crate::domain::endpoint::{RetryPolicy, RetryProfile};

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Redirects are not followed and count as failures.
    Answered {
        status: u16,
        /// From `Retry-After`.
        retry_after_ms: Option<u64>,
    },
    /// Refused, unreachable, cut off or too slow.
    Unanswered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    RetryAt(Timestamp),
    /// Every try is used up.
    GiveUp,
    /// Trying again is of no use.
    Park,
    /// The receiver says that it is gone (410).
    Disable,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Delays before the re-deliveries; the last repeats when `max_attempts` asks for more. About 76
/// hours in all.
const STANDARD: [u64; 9] = [
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];
const UNIFYPORT: [u64; 3] = [SECOND, 5 * SECOND, 25 * SECOND];

/// Delays are spread by this share in both directions.
const SPREAD: f64 = 0.2;

/// What follows the `attempts`-th attempt (this one counted). `fraction`: from 0 up to 1.
pub fn next(
    policy: &RetryPolicy,
    attempts: u32,
    outcome: Outcome,
    now: Timestamp,
    fraction: f64,
) -> Next {
    let (status, retry_after_ms) = match outcome {
        Outcome::Answered {
            status,
            retry_after_ms,
        } => (Some(status), retry_after_ms),
        Outcome::Unanswered => (None, None),
    };
    let (delays, longest): (&[u64], u64) = match policy.profile {
        RetryProfile::Standard => (&STANDARD, 24 * HOUR),
        RetryProfile::Unifyport => (&UNIFYPORT, MINUTE),
    };
    match status {
        Some(200..=299) => return Next::Delivered,
        Some(410) => return Next::Disable,
        Some(status) if policy.profile == RetryProfile::Unifyport && !is_transient(status) => {
            return Next::Park;
        }
        _ => {}
    }
    if attempts > policy.max_attempts.unwrap_or(delays.len() as u32) {
        return Next::GiveUp;
    }
    let step = (attempts.max(1) as usize - 1).min(delays.len() - 1);
    let spread = 1.0 - SPREAD + 2.0 * SPREAD * fraction.clamp(0.0, 1.0);
    let delay = (delays[step] as f64 * spread) as u64;
    let asked = retry_after_ms.unwrap_or(0).min(longest);
    Next::RetryAt(now.plus_ms(delay.max(asked)))
}

/// Failures that the `unifyport` profile tries again.
fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// Seconds (decimals allowed) or an HTTP date, in ms from `now`.
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        // Casts from float saturate.
        return (seconds.is_finite() && seconds >= 0.0).then_some((seconds * 1000.0) as u64);
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?;
    let at = u64::try_from(at.timestamp().as_millisecond()).ok()?;
    Some(Timestamp(at).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_772_353_800_000);

    fn policy(profile: RetryProfile, max_attempts: Option<u32>) -> RetryPolicy {
        RetryPolicy {
            max_attempts,
            profile,
            timeout_ms: 15_000,
        }
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered {
            status,
            retry_after_ms: None,
        }
    }

    /// Delays in ms until the event is given up.
    fn delays(policy: &RetryPolicy, outcome: Outcome) -> Vec<u64> {
        (1..)
            .map_while(|attempts| match next(policy, attempts, outcome, NOW, 0.5) {
                Next::RetryAt(at) => Some(at.since(NOW)),
                other => {
                    assert_eq!(other, Next::GiveUp);
                    None
                }
            })
            .collect()
    }

    #[test]
    fn profiles() {
        let standard = RetryProfile::Standard;
        let unifyport = RetryProfile::Unifyport;
        assert_eq!(
            delays(&policy(standard, None), Outcome::Unanswered),
            STANDARD
        );
        assert_eq!(delays(&policy(standard, None), answered(404)), STANDARD);
        assert_eq!(delays(&policy(standard, None), answered(302)), STANDARD);
        assert_eq!(delays(&policy(standard, Some(0)), answered(500)), [0; 0]);
        assert_eq!(
            delays(&policy(standard, Some(2)), answered(500)),
            STANDARD[..2]
        );
        assert_eq!(
            delays(&policy(standard, Some(11)), answered(500))[9..],
            [24 * HOUR, 24 * HOUR]
        );
        assert_eq!(
            delays(&policy(unifyport, None), answered(500)),
            [1_000, 5_000, 25_000]
        );
        assert_eq!(delays(&policy(unifyport, Some(1)), answered(429)), [1_000]);
        assert_eq!(delays(&policy(unifyport, Some(0)), answered(408)), [0; 0]);
    }

    #[test]
    fn verdicts() {
        let next = |profile, status| next(&policy(profile, Some(0)), 1, answered(status), NOW, 0.5);
        for profile in [RetryProfile::Standard, RetryProfile::Unifyport] {
            assert_eq!(next(profile, 200), Next::Delivered);
            assert_eq!(next(profile, 299), Next::Delivered);
            assert_eq!(next(profile, 410), Next::Disable);
            assert_eq!(next(profile, 503), Next::GiveUp);
        }
        for status in [301, 400, 401, 404, 422] {
            assert_eq!(next(RetryProfile::Standard, status), Next::GiveUp);
            assert_eq!(next(RetryProfile::Unifyport, status), Next::Park);
        }
    }

    #[test]
    fn jitter_spreads_by_a_fifth() {
        let policy = policy(RetryProfile::Standard, None);
        let delay = |fraction| match next(&policy, 1, Outcome::Unanswered, NOW, fraction) {
            Next::RetryAt(at) => at.since(NOW),
            other => panic!("{other:?}"),
        };
        assert_eq!((delay(0.0), delay(0.5), delay(1.0)), (4_000, 5_000, 6_000));
    }

    #[test]
    fn retry_after_is_honoured_within_bounds() {
        let delay = |profile, retry_after_ms| {
            let outcome = Outcome::Answered {
                status: 429,
                retry_after_ms: Some(retry_after_ms),
            };
            match next(&policy(profile, None), 1, outcome, NOW, 0.5) {
                Next::RetryAt(at) => at.since(NOW),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(delay(RetryProfile::Standard, 90_000), 90_000);
        assert_eq!(delay(RetryProfile::Standard, 1_000), 5_000);
        assert_eq!(delay(RetryProfile::Standard, u64::MAX), 24 * HOUR);
        assert_eq!(delay(RetryProfile::Unifyport, 600_000), MINUTE);
        for (text, expected) in [
            ("120", Some(120_000)),
            (" 1.5 ", Some(1_500)),
            ("-1", None),
            ("nan", None),
            ("soon", None),
            ("Sun, 01 Mar 2026 08:31:00 GMT", Some(60_000)),
            ("Sun, 01 Mar 2026 08:00:00 GMT", Some(0)),
        ] {
            assert_eq!(parse_retry_after(text, NOW), expected, "{text}");
        }
    }
}
