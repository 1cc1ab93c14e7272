//! The clock. Events carry it, TLS needs it, and retries wait by it.

use super::Finding;
use crate::domain::Timestamp;

const CHECK: &str = "clock";
/// The year in which this was written, and one in which certificates of today have ended.
const EARLIEST_MS: u64 = 1_767_225_600_000;
const LATEST_MS: u64 = 4_102_444_800_000;
/// Two machines' clocks may differ so far.
const APART_MS: u64 = 60_000;

pub fn examine(newest_event_at: Option<u64>) -> Vec<Finding> {
    vec![judge(Timestamp::now(), newest_event_at.map(Timestamp))]
}

fn judge(now: Timestamp, newest_event_at: Option<Timestamp>) -> Finding {
    let todo = "set the clock, and keep it set: chrony or systemd-timesyncd";
    if !(EARLIEST_MS..LATEST_MS).contains(&now.0) {
        return Finding::problem(
            CHECK,
            format!("it says {}", now.rfc3339()),
            "certificates are refused, and receivers refuse signed webhooks whose time is far off",
            todo,
        );
    }
    if let Some(newest) = newest_event_at
        && newest.0 > now.0 + APART_MS
    {
        return Finding::warning(
            CHECK,
            format!(
                "it says {}, and the log has an event of {}",
                now.rfc3339(),
                newest.rfc3339()
            ),
            "the clock went backwards: an account's own clock never does, so its timers stand still until then",
            todo,
        );
    }
    Finding::ok(CHECK, now.rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::Severity;

    #[test]
    fn a_clock_that_is_off_is_seen() {
        let now = Timestamp(EARLIEST_MS + 1_000_000);
        assert_eq!(judge(Timestamp(0), None).severity, Severity::Problem);
        assert_eq!(judge(now, None).severity, Severity::Ok);
        assert_eq!(judge(now, Some(now)).severity, Severity::Ok);
        let later = now.plus_ms(3_600_000);
        assert_eq!(judge(now, Some(later)).severity, Severity::Warning);
    }
}
