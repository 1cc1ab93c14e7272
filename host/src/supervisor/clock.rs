//! Timers of all accounts on one task: the guests' and the host's own deadlines. Those that were
//! cancelled or moved are recognized by their generation when they fire.

use super::actor::Actor;
use super::mailbox::Due;
use crate::domain::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Clone, Debug)]
pub enum Alarm {
    /// A timer of the guest.
    Guest {
        label: String,
        generation: u64,
    },
    Host(Due),
}

#[derive(Default)]
pub struct Clock {
    entries: Mutex<Entries>,
    changed: Notify,
}

#[derive(Default)]
struct Entries {
    next: u64,
    by_time: BTreeMap<(Timestamp, u64), (Weak<Actor>, Alarm)>,
}

impl Clock {
    /// Runs until the clock is dropped.
    pub fn start() -> Arc<Self> {
        let clock = Arc::new(Self::default());
        let running = Arc::downgrade(&clock);
        tokio::spawn(async move {
            loop {
                let Some(clock) = running.upgrade() else {
                    return;
                };
                let wait = clock.fire(Timestamp::now());
                let changed = clock.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                // Set between `fire` and `enable`?
                let wait = wait.min(clock.until_next(Timestamp::now()));
                // A wall clock that was set forward is seen within a second.
                let wait = Duration::from_millis(wait.min(1_000));
                let _ = tokio::time::timeout(wait, changed).await;
            }
        });
        clock
    }

    pub fn set(&self, at: Timestamp, actor: &Arc<Actor>, alarm: Alarm) {
        let Ok(mut entries) = self.entries.lock() else {
            return;
        };
        let number = entries.next;
        entries.next += 1;
        let first = entries
            .by_time
            .keys()
            .next()
            .is_none_or(|(earliest, _)| at < *earliest);
        entries
            .by_time
            .insert((at, number), (Arc::downgrade(actor), alarm));
        drop(entries);
        if first {
            self.changed.notify_one();
        }
    }

    fn until_next(&self, now: Timestamp) -> u64 {
        self.entries
            .lock()
            .ok()
            .and_then(|entries| entries.by_time.keys().next().map(|(at, _)| at.since(now)))
            .unwrap_or(1_000)
    }

    /// Fires what is due; milliseconds until the next.
    fn fire(&self, now: Timestamp) -> u64 {
        loop {
            let due = {
                let Ok(mut entries) = self.entries.lock() else {
                    return 1_000;
                };
                match entries.by_time.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    Some(first) => return first.key().0.since(now),
                    None => return 1_000,
                }
            };
            if let Some(actor) = due.0.upgrade() {
                actor.alarm(due.1);
            }
        }
    }
}
