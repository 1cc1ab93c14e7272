//! Points in time as the host stores and shows them.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch. Shown as RFC 3339 in UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// The latest moment that can be written with four digits of the year in every time zone.
const LATEST_MS: u64 = 253_402_207_200_000;

impl Timestamp {
    /// The system's wall clock.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self(since.as_millis() as u64)
    }

    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here, 0 if it is later.
    pub fn since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339, UTC; whole seconds without a fraction, else three digits. What is later than the
    /// end of the year 9999 is shown as its last day.
    pub fn rfc3339(self) -> String {
        let ms = self.0.min(LATEST_MS);
        let instant =
            jiff::Timestamp::from_millisecond(ms as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        if ms.is_multiple_of(1000) {
            instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        } else {
            instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
        }
    }

    /// Any offset; none: no moment since 1970 is written so.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(instant.as_millisecond()).ok().map(Self)
    }

    /// Days since 1970-01-01, UTC.
    pub fn day(self) -> u32 {
        u32::try_from(self.0 / 86_400_000).unwrap_or(u32::MAX)
    }

    pub fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn shows_rfc3339() {
        assert_eq!(Timestamp(0).rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(
            Timestamp(1_772_353_800_000).rfc3339(),
            "2026-03-01T08:30:00Z"
        );
        assert_eq!(
            Timestamp(1_772_353_800_007).rfc3339(),
            "2026-03-01T08:30:00.007Z"
        );
        assert_eq!(Timestamp(u64::MAX).rfc3339(), "9999-12-30T22:00:00Z");
    }

    #[test]
    fn reads_rfc3339() {
        for (text, expected) in [
            ("2026-03-01T08:30:00Z", Some(1_772_353_800_000)),
            ("2026-03-01T10:30:00.007+02:00", Some(1_772_353_800_007)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-03-01", None),
            ("tomorrow", None),
        ] {
            let read = Timestamp::parse_rfc3339(text).map(|at| at.0);
            assert_eq!(read, expected, "{text}");
        }
        assert_eq!(Timestamp(86_399_999).day(), 0);
        assert_eq!(Timestamp(86_400_000).day(), 1);
    }
}
