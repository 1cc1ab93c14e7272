//! The endpoint's state as people see it: enabled → failing → disabled, and why.
//!
//! Failing begins when the breaker opens and ends with the first success. Since the row has no
//! field for it, the time when failing began is kept in the reason's text.

use crate::domain::Timestamp;
use crate::domain::endpoint::EndpointState;

/// Without any success for so long, an endpoint that uses up all tries of an event is disabled.
pub const DISABLE_AFTER_MS: u64 = 120 * 60 * 60 * 1000;

const PREFIX: &str = "failing since ";
const MAX_REASON_CHARS: usize = 300;

pub fn failing_reason(since: Timestamp, error: &str) -> String {
    let error: String = error.chars().take(MAX_REASON_CHARS).collect();
    format!("{PREFIX}{}: {error}", since.rfc3339())
}

/// When failing began, as far as a reason tells it.
pub fn failing_since(reason: &str) -> Option<Timestamp> {
    let (written, _) = reason.strip_prefix(PREFIX)?.split_once(": ")?;
    let at: jiff::Timestamp = written.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}

pub fn is_active(state: EndpointState) -> bool {
    matches!(state, EndpointState::Enabled | EndpointState::Failing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_tells_since_when() {
        let since = Timestamp(1_772_353_800_007);
        let reason = failing_reason(since, "no answer: refused");
        assert_eq!(
            reason,
            "failing since 2026-03-01T08:30:00.007Z: no answer: refused"
        );
        assert_eq!(failing_since(&reason), Some(since));
        assert_eq!(failing_since("switched off"), None);
    }
}
