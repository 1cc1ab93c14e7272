//! The order of one endpoint's deliveries: a lane per ordering key, one request in flight per
//! lane.
//!
//! While the head of a lane waits for its retry, or when the lane is long, what comes behind it
//! is a *detour*: a row in storage instead of an event in memory, so that a slow key holds neither
//! the cursor nor memory. In a lane everything behind a detour is one too. Pure: knows no clock
//! and no storage; callers record the rows that it names.

use crate::domain::endpoint::{Detour, Ordering};
use crate::domain::event::LoggedEvent;
use crate::domain::{EventId, PartitionId, Timestamp};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

/// Events of one key in memory; more become detours.
const LANE_LENGTH: usize = 256;

/// What is ordered among itself. The account is always part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Ordered(Arc<str>),
    /// Ordered with nothing: a lane of its own.
    Single(PartitionId, u64),
}

impl Key {
    pub fn of(ordering: Ordering, partition: PartitionId, event: &LoggedEvent) -> Self {
        let account = event.account.as_str();
        match (ordering, &event.conversation) {
            (Ordering::None, _) => Self::Single(partition, event.offset),
            (Ordering::Conversation, Some(conversation)) => {
                Self::Ordered(format!("{account}/{conversation}").into())
            }
            _ => Self::Ordered(account.into()),
        }
    }

    /// As the row had it, also when the endpoint's ordering has changed since.
    pub fn of_detour(detour: &Detour) -> Self {
        if detour.key.is_empty() {
            Self::Single(detour.partition, detour.offset)
        } else {
            Self::Ordered(detour.key.as_str().into())
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Ordered(key) => key,
            Self::Single(..) => "",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub partition: PartitionId,
    pub offset: u64,
    pub id: EventId,
    /// None: read from the log when its turn comes.
    pub event: Option<Arc<LoggedEvent>>,
    /// What it takes in memory, or took before it became a detour.
    pub bytes: usize,
    /// It has a row.
    pub detour: bool,
    pub attempts: u32,
    /// Of the first attempt.
    pub since: Option<Timestamp>,
    /// Not before this.
    pub due: Timestamp,
    /// Its own form is delivered; the alias is not.
    pub alias: bool,
}

impl Entry {
    pub fn fresh(partition: PartitionId, event: LoggedEvent) -> Self {
        Self {
            partition,
            offset: event.offset,
            id: event.id.clone(),
            bytes: event.body.len(),
            event: Some(Arc::new(event)),
            detour: false,
            attempts: 0,
            since: None,
            due: Timestamp(0),
            alias: false,
        }
    }

    /// Of a row; its body is read again when its turn comes.
    pub fn of_detour(detour: &Detour) -> Self {
        Self {
            partition: detour.partition,
            offset: detour.offset,
            id: detour.event.clone(),
            event: None,
            bytes: 0,
            detour: true,
            attempts: detour.attempts,
            since: (detour.attempts > 0).then_some(detour.since),
            due: detour.next_at,
            alias: super::form::is_alias_id(&detour.event),
        }
    }

    /// From memory to a row.
    fn spill(&mut self) {
        self.event = None;
        self.detour = true;
    }
}

#[derive(Debug, Default)]
pub struct Lanes {
    lanes: HashMap<Key, Lane>,
    /// Heads never tried, and heads to be tried again.
    fresh: VecDeque<Key>,
    again: VecDeque<Key>,
    timers: BinaryHeap<Reverse<Timer>>,
    detours: usize,
}

#[derive(Debug)]
struct Lane {
    queue: VecDeque<Entry>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Ready,
    Busy,
    Waiting(Timestamp),
}

/// Stale when its lane does not wait for just this time any more.
#[derive(Debug, PartialEq, Eq)]
struct Timer {
    at: Timestamp,
    key: Key,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Lanes {
    /// Behind what its lane has; entries of a key come in the order of the log. `Some`: it became
    /// a detour and needs a row.
    pub fn push(&mut self, key: Key, mut entry: Entry) -> Option<Entry> {
        let Some(lane) = self.lanes.get_mut(&key) else {
            self.detours += usize::from(entry.detour);
            let lane = Lane {
                queue: VecDeque::from([entry]),
                phase: Phase::Ready,
            };
            self.lanes.insert(key.clone(), lane);
            self.advance(key);
            return None;
        };
        let follows_detour = lane.queue.back().is_some_and(|last| last.detour);
        let mut new_row = None;
        if !entry.detour && (follows_detour || lane.queue.len() >= LANE_LENGTH) {
            entry.spill();
            new_row = Some(entry.clone());
        }
        self.detours += usize::from(entry.detour);
        lane.queue.push_back(entry);
        new_row
    }

    /// The next head to deliver; its lane is busy until it is settled. `fresh_first`: prefer what
    /// was never tried.
    pub fn take(&mut self, fresh_first: bool) -> Option<(Key, Entry)> {
        let key = if fresh_first {
            self.fresh.pop_front().or_else(|| self.again.pop_front())
        } else {
            self.again.pop_front().or_else(|| self.fresh.pop_front())
        }?;
        let lane = self.lanes.get_mut(&key)?;
        lane.phase = Phase::Busy;
        let entry = lane.queue.front()?.clone();
        Some((key, entry))
    }

    /// The head is through: delivered, not wanted or given up. The next one of its lane may go.
    pub fn settle(&mut self, key: &Key) -> Option<Entry> {
        let lane = self.lanes.get_mut(key)?;
        let entry = lane.queue.pop_front()?;
        self.detours -= usize::from(entry.detour);
        if lane.queue.is_empty() {
            self.lanes.remove(key);
        } else {
            self.advance(key.clone());
        }
        Some(entry)
    }

    /// The head waits for its retry. All that was in memory of its lane, the head included,
    /// becomes detours: those that need new rows, the head first in any case.
    pub fn retry(&mut self, key: &Key, at: Timestamp, now: Timestamp) -> Vec<Entry> {
        let Some(lane) = self.lanes.get_mut(key) else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        for (index, entry) in lane.queue.iter_mut().enumerate() {
            if index == 0 {
                entry.attempts += 1;
                entry.since.get_or_insert(now);
                entry.due = at;
            } else if entry.detour {
                break;
            }
            self.detours += usize::from(!entry.detour);
            entry.spill();
            rows.push(entry.clone());
        }
        self.advance(key.clone());
        rows
    }

    /// The head goes again at `at`, in the form it is in: nothing was learned about it.
    pub fn hold(&mut self, key: &Key, at: Timestamp) {
        if let Some(head) = self.head(key) {
            head.due = at;
            self.advance(key.clone());
        }
    }

    /// The head's own form is delivered; now the alias.
    pub fn alias(&mut self, key: &Key) {
        if let Some(head) = self.head(key) {
            head.alias = true;
            head.attempts = 0;
            head.since = None;
            head.due = Timestamp(0);
            self.advance(key.clone());
        }
    }

    /// Heads whose time has come get ready.
    pub fn wake(&mut self, now: Timestamp) {
        while let Some(Reverse(timer)) = self.timers.peek()
            && timer.at <= now
        {
            let Some(Reverse(timer)) = self.timers.pop() else {
                return;
            };
            if self
                .lanes
                .get(&timer.key)
                .is_some_and(|lane| lane.phase == Phase::Waiting(timer.at))
            {
                self.ready(timer.key);
            }
        }
    }

    /// Everything that waits for a retry may go now.
    pub fn wake_all(&mut self) {
        let waiting: Vec<Key> = self
            .lanes
            .iter()
            .filter(|(_, lane)| matches!(lane.phase, Phase::Waiting(_)))
            .map(|(key, _)| key.clone())
            .collect();
        waiting.into_iter().for_each(|key| self.ready(key));
        self.timers.clear();
    }

    /// When the next head gets ready.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse(timer)| timer.at)
    }

    /// All that is in memory and not being delivered becomes detours; these need rows.
    pub fn spill(&mut self) -> Vec<(Key, Entry)> {
        let mut rows = Vec::new();
        for (key, lane) in &mut self.lanes {
            let busy = usize::from(lane.phase == Phase::Busy);
            for entry in lane.queue.iter_mut().skip(busy) {
                if !entry.detour {
                    entry.spill();
                    self.detours += 1;
                    rows.push((key.clone(), entry.clone()));
                }
            }
        }
        rows
    }

    pub fn has_ready(&self) -> bool {
        !self.fresh.is_empty() || !self.again.is_empty()
    }

    /// Rows that wait or are blocked.
    pub fn detours(&self) -> usize {
        self.detours
    }

    fn head(&mut self, key: &Key) -> Option<&mut Entry> {
        self.lanes.get_mut(key)?.queue.front_mut()
    }

    /// The head is new or has a new time.
    fn advance(&mut self, key: Key) {
        let Some(head) = self.head(&key) else { return };
        let due = head.due;
        if due == Timestamp(0) {
            return self.ready(key);
        }
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.phase = Phase::Waiting(due);
            self.timers.push(Reverse(Timer { at: due, key }));
        }
    }

    fn ready(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        lane.phase = Phase::Ready;
        if lane.queue.front().is_some_and(|head| head.attempts > 0) {
            self.again.push_back(key);
        } else {
            self.fresh.push_back(key);
        }
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
