//! Faults of a provider, counted: when to start it again, and when to say that it is in error.

use crate::domain::Timestamp;

/// From this many strikes in a row on, the account's status is `error`.
const ERROR_AT: u32 = 3;
const FIRST_DELAY_MS: u64 = 100;
const LONGEST_DELAY_MS: u64 = 60_000;
/// Without a fault for so long, all is forgotten.
pub const FORGIVEN_AFTER_MS: u64 = 60_000;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strikes {
    count: u32,
    last_at: Timestamp,
    last: Option<String>,
}

impl Strikes {
    /// How long to wait before the next start: the first time not at all, then 100 ms, doubled
    /// up to a minute.
    pub fn add(&mut self, now: Timestamp, reason: &str) -> u64 {
        self.count += 1;
        self.last_at = now;
        self.last = Some(reason.to_owned());
        match self.count {
            0 | 1 => 0,
            count => (FIRST_DELAY_MS << (count - 2).min(20)).min(LONGEST_DELAY_MS),
        }
    }

    /// Forgets when the last fault is long ago. True if that changed what [`Self::error`] says.
    pub fn forgive(&mut self, now: Timestamp) -> bool {
        if self.count == 0 || now.since(self.last_at) < FORGIVEN_AFTER_MS {
            return false;
        }
        let was = self.error().is_some();
        *self = Self::default();
        was
    }

    /// A fresh start that somebody asked for.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Why the account is in error, if it is.
    pub fn error(&self) -> Option<&str> {
        if self.count >= ERROR_AT {
            self.last.as_deref()
        } else {
            None
        }
    }

    pub fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_and_forgives() {
        let mut strikes = Strikes::default();
        let delays: Vec<u64> = (0..13)
            .map(|at| strikes.add(Timestamp(at), "loops"))
            .collect();
        assert_eq!(
            delays,
            [
                0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000
            ]
        );
        assert_eq!(strikes.error(), Some("loops"));
        assert!(!strikes.forgive(Timestamp(FORGIVEN_AFTER_MS)));
        assert!(strikes.forgive(Timestamp(12 + FORGIVEN_AFTER_MS)));
        assert_eq!(strikes.error(), None);
        assert_eq!(strikes.add(Timestamp(0), "x"), 0);
    }
}
