//! What a worker learns: from attempts about events and their receiver, from its owner about the
//! endpoint.

use super::Worker;
use crate::delivery::attempt::{Config, Made, Report, Verdict};
use crate::delivery::breaker::Breaker;
use crate::delivery::form::{alias_id, is_alias_id};
use crate::delivery::lanes::{Entry, Key};
use crate::delivery::schedule::{self, Next};
use crate::delivery::state::{DISABLE_AFTER_MS, failing_reason, is_active};
use crate::domain::Timestamp;
use crate::domain::endpoint::{Detour, DetourState, Endpoint, EndpointState};
use std::sync::Arc;

/// After storage could not read an event.
const READ_AGAIN_MS: u64 = 1_000;
/// After an attempt died of a fault of ours.
const DIED_PAUSE_MS: u64 = 60_000;

impl Worker {
    pub(super) fn learn(&mut self, report: Report) {
        let now = self.shared.clock.now();
        match report.verdict {
            Verdict::Made(made) => self.learn_made(&report.key, made, now),
            Verdict::NotWanted => {
                self.breaker.undecided(now);
                self.settle(&report.key);
            }
            // Until the lease is renewed, or the director ends this worker.
            Verdict::NotOurs => {
                self.breaker.undecided(now);
                self.lanes.hold(&report.key, now.plus_ms(READ_AGAIN_MS));
            }
            Verdict::Unread(error) => {
                let endpoint = &self.config.endpoint.id;
                tracing::warn!(%endpoint, %error, "an event cannot be read, trying again");
                self.breaker.undecided(now);
                self.lanes.hold(&report.key, now.plus_ms(READ_AGAIN_MS));
            }
        }
    }

    pub(super) fn attempt_died(&mut self, error: &tokio::task::JoinError) {
        let now = self.shared.clock.now();
        self.breaker.undecided(now);
        if let Some(key) = self.running.remove(&error.id()) {
            let endpoint = &self.config.endpoint.id;
            tracing::error!(%endpoint, %error, "an attempt died");
            self.lanes.hold(&key, now.plus_ms(DIED_PAUSE_MS));
        }
    }

    fn learn_made(&mut self, key: &Key, made: Made, now: Timestamp) {
        let policy = &self.config.endpoint.retry;
        let fraction = (self.shared.settings.jitter)();
        let next = schedule::next(policy, made.attempt.number, made.outcome, now, fraction);
        let error = made.attempt.error.clone().unwrap_or_default();
        self.shared.settings.metrics.attempted(match next {
            Next::Delivered => "delivered",
            Next::RetryAt(_) => "retry",
            Next::GiveUp => "given_up",
            Next::Park => "parked",
            Next::Disable => "gone",
        });
        self.progress.attempted(made.attempt);
        if next == Next::Delivered {
            self.succeeded();
            if made.alias_follows {
                self.lanes.alias(key);
            } else {
                self.settle(key);
            }
            return;
        }
        let opened = self.breaker.failed(now);
        let since = *self.failing_since.get_or_insert(now);
        match next {
            Next::RetryAt(at) => self.retry(key, at, now, &error),
            Next::Disable => self.retry(key, now, now, &error),
            _ => self.park(key, now, &error),
        }
        let hopeless = next == Next::GiveUp && now.since(since) >= DISABLE_AFTER_MS;
        if !is_active(self.state) {
            return;
        }
        if next == Next::Disable {
            let reason = "the receiver answered 410: it is gone".to_owned();
            self.change_state(EndpointState::Disabled, Some(reason));
        } else if hopeless {
            let reason = failing_reason(since, &error);
            self.change_state(EndpointState::Disabled, Some(reason));
        } else if opened && self.state == EndpointState::Enabled {
            let reason = failing_reason(since, &error);
            self.change_state(EndpointState::Failing, Some(reason));
        }
    }

    fn succeeded(&mut self) {
        self.breaker.succeeded();
        self.failing_since = None;
        if self.state == EndpointState::Failing {
            self.change_state(EndpointState::Enabled, None);
        }
    }

    /// An operational event should tell it too; the log has only accounts' events so far.
    fn change_state(&mut self, state: EndpointState, reason: Option<String>) {
        let endpoint = &self.config.endpoint.id;
        let before = self.state;
        tracing::warn!(
            %endpoint,
            ?before,
            ?state,
            reason = reason.as_deref(),
            "an endpoint's state changed"
        );
        self.state = state;
        self.unsaved = Some((state, reason));
    }

    fn settle(&mut self, key: &Key) {
        if let Some(entry) = self.lanes.settle(key) {
            self.window
                .close(entry.partition, entry.offset, entry.bytes);
            if entry.detour {
                self.progress.done(entry.partition, entry.offset);
            }
        }
    }

    fn retry(&mut self, key: &Key, at: Timestamp, now: Timestamp, error: &str) {
        for (index, row) in self.lanes.retry(key, at, now).iter().enumerate() {
            self.put_row(key, row, (index == 0).then_some(error));
        }
    }

    /// The event is given up; its key goes on.
    fn park(&mut self, key: &Key, now: Timestamp, error: &str) {
        let Some(mut entry) = self.lanes.settle(key) else {
            return;
        };
        self.window
            .close(entry.partition, entry.offset, entry.bytes);
        entry.attempts += 1;
        entry.since.get_or_insert(now);
        entry.due = now;
        let mut row = self.row(key, &entry, Some(error));
        row.state = DetourState::Parked;
        self.progress.put(row);
    }

    /// `error`: of the head, whose retry is waited for; none for what is behind it.
    pub(super) fn put_row(&mut self, key: &Key, entry: &Entry, error: Option<&str>) {
        self.window
            .close(entry.partition, entry.offset, entry.bytes);
        let row = self.row(key, entry, error);
        self.progress.put(row);
    }

    fn row(&self, key: &Key, entry: &Entry, error: Option<&str>) -> Detour {
        let waits = error.is_some();
        Detour {
            endpoint: self.config.endpoint.id.clone(),
            partition: entry.partition,
            offset: entry.offset,
            key: key.as_str().to_owned(),
            event: if entry.alias && !is_alias_id(&entry.id) {
                alias_id(&entry.id)
            } else {
                entry.id.clone()
            },
            attempts: entry.attempts,
            state: if waits {
                DetourState::Waiting
            } else {
                DetourState::Blocked
            },
            next_at: entry.due,
            since: entry.since.unwrap_or_default(),
            last_error: error.map(str::to_owned),
        }
    }

    /// The endpoint's owner changed it. One that comes back from inactive gets what happens from
    /// now on, and what waited for a retry before; one that we had disabled gets everything since.
    pub(super) fn reload(&mut self, endpoint: Endpoint) {
        let moved = endpoint.url != self.config.endpoint.url;
        let (before, now) = (self.state, endpoint.state);
        let config = Config::new(endpoint, &self.shared, Some(&self.config));
        self.config = Arc::new(config);
        self.state = now;
        self.unsaved = None;
        let returns = !is_active(before) && is_active(now);
        if returns || moved {
            self.breaker = Breaker::default();
            self.lanes.wake_all();
        }
        if returns {
            self.failing_since = None;
        }
        if before == EndpointState::Inactive && is_active(now) {
            self.skip = true;
        }
        if now == EndpointState::Inactive && before != now {
            for (key, entry) in self.lanes.spill() {
                self.put_row(&key, &entry, None);
            }
        }
    }
}
