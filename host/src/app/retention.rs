//! How long what is over is kept, as an operator says it: in days, with fractions.

use crate::storage::{DAY_MS, Retention};
use anyhow::bail;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    pub events_days: f64,
    /// How much longer events are kept for an endpoint that has not got them yet.
    pub backlog_days: f64,
    pub attempts_days: f64,
    /// At least one: idempotency keys name a send for so long.
    pub sends_days: f64,
    /// Media that nothing refers to.
    pub media_days: f64,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        let retention = Retention::default();
        let days = |ms: u64| (ms / DAY_MS) as f64;
        Self {
            events_days: days(retention.events_ms),
            backlog_days: days(retention.backlog_ms),
            attempts_days: days(retention.attempts_ms),
            sends_days: days(retention.sends_ms),
            media_days: days(retention.media_ms),
        }
    }
}

impl RetentionConfig {
    pub fn check(&self) -> anyhow::Result<Retention> {
        let ms = |name: &str, days: f64, least: f64| {
            if !(least..=36_500.0).contains(&days) {
                bail!(
                    "retention.{name}: must be a number of days from {least} to 36500, not {days}"
                );
            }
            Ok((days * DAY_MS as f64) as u64)
        };
        // A few seconds, for those who try it out.
        const LEAST: f64 = 0.00001;
        Ok(Retention {
            events_ms: ms("events_days", self.events_days, LEAST)?,
            backlog_ms: ms("backlog_days", self.backlog_days, 0.0)?,
            attempts_ms: ms("attempts_days", self.attempts_days, LEAST)?,
            sends_ms: ms("sends_days", self.sends_days, 1.0)?,
            media_ms: ms("media_days", self.media_days, LEAST)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sensible_numbers_of_days() {
        assert_eq!(
            RetentionConfig::default().check().unwrap(),
            Retention::default()
        );
        let half: RetentionConfig = toml::from_str("events_days = 0.5\nbacklog_days = 0").unwrap();
        let half = half.check().unwrap();
        assert_eq!((half.events_ms, half.backlog_ms), (DAY_MS / 2, 0));
        for (bad, name) in [
            ("events_days = 0", "events_days"),
            ("events_days = -1", "events_days"),
            ("attempts_days = nan", "attempts_days"),
            ("backlog_days = inf", "backlog_days"),
            ("sends_days = 0.9", "sends_days"),
        ] {
            let config: RetentionConfig = toml::from_str(bad).unwrap();
            let refusal = config.check().unwrap_err().to_string();
            assert!(refusal.contains(name), "{refusal}");
        }
    }
}
