//! What waits for one user: events in order, which of them are on the wire, which were
//! acknowledged. Owns sequence numbers and generated traffic; does no input or output.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::counters::Latency;
use crate::settings::Traffic;
use crate::wire::put_frame;

/// Events are not written while more than this waits to leave, in bytes.
pub(crate) const OUTPUT_LIMIT: usize = 64 * 1024;

/// One event as it is posted to a webhook address.
pub(crate) struct Given {
    pub(crate) sequence: u64,
    /// Of a [`crate::protocol::Event`].
    pub(crate) json: Bytes,
    /// It was given before.
    pub(crate) again: bool,
}

struct Waiting {
    at_ms: u64,
    body: WaitingBody,
    first_sent: Option<Instant>,
    acknowledged: bool,
}

enum WaitingBody {
    /// JSON of a `Body`.
    Given(Bytes),
    Traffic {
        conversations: u32,
        payload: u32,
    },
}

struct Running {
    traffic: Traffic,
    started: Instant,
    made: u64,
}

impl Running {
    fn due(&self, now: Instant) -> u64 {
        let left = self
            .traffic
            .count
            .map_or(u64::MAX, |count| count.saturating_sub(self.made));
        if self.traffic.rate <= 0.0 {
            return left;
        }
        let until_now =
            (now.saturating_duration_since(self.started).as_secs_f64() * self.traffic.rate) as u64;
        until_now.saturating_sub(self.made).min(left)
    }

    /// When the next message is due; none: finished, or paced by acknowledgements.
    fn next_due(&self) -> Option<Instant> {
        if self.is_done() || self.traffic.rate <= 0.0 {
            return None;
        }
        let seconds = (self.made + 1) as f64 / self.traffic.rate;
        // Rounded up to whole milliseconds, the grain of the timer.
        let millis = (seconds * 1_000.0).ceil().min(1e12) as u64;
        self.started.checked_add(Duration::from_millis(millis))
    }

    fn is_done(&self) -> bool {
        self.traffic.count.is_some_and(|count| self.made >= count)
    }
}

#[derive(Default)]
pub(crate) struct Inbox {
    /// Sequence number of `queue[0]`; numbers begin at 1.
    first: u64,
    queue: VecDeque<Waiting>,
    /// Index of the first event that did not leave on this connection yet.
    cursor: usize,
    on_wire: u32,
    running: Option<Running>,
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    pub(crate) acknowledged: u64,
    pub(crate) repeated_acknowledgements: u64,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            first: 1,
            ..Self::default()
        }
    }

    pub(crate) fn generated(&self) -> u64 {
        self.first - 1 + self.queue.len() as u64
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The sequence number that the next event gets.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// `body`: JSON of a `Body`. Returns its sequence number.
    pub(crate) fn push(&mut self, body: Bytes, at_ms: u64) -> u64 {
        let sequence = self.next_sequence();
        self.queue.push_back(Waiting {
            at_ms,
            body: WaitingBody::Given(body),
            first_sent: None,
            acknowledged: false,
        });
        sequence
    }

    pub(crate) fn start(&mut self, traffic: Traffic, now: Instant) {
        self.running = Some(Running {
            traffic,
            started: now,
            made: 0,
        });
    }

    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// A new connection: all that was not acknowledged leaves again.
    pub(crate) fn rewind(&mut self) {
        self.cursor = 0;
        self.on_wire = 0;
    }

    /// False: this event was acknowledged before, or never existed.
    pub(crate) fn acknowledge(&mut self, sequence: u64, latency: &Latency) -> bool {
        let entry = sequence
            .checked_sub(self.first)
            .and_then(|index| self.queue.get_mut(usize::try_from(index).ok()?));
        let Some(entry) = entry.filter(|entry| !entry.acknowledged && entry.first_sent.is_some())
        else {
            self.repeated_acknowledgements += 1;
            return false;
        };
        entry.acknowledged = true;
        if let Some(sent) = entry.first_sent {
            latency.record(sent.elapsed());
        }
        self.acknowledged += 1;
        self.on_wire = self.on_wire.saturating_sub(1);
        while self.queue.front().is_some_and(|entry| entry.acknowledged) {
            self.queue.pop_front();
            self.first += 1;
            self.cursor = self.cursor.saturating_sub(1);
        }
        true
    }

    pub(crate) fn unacknowledged(&self) -> impl Iterator<Item = u64> + '_ {
        (self.first..)
            .zip(&self.queue)
            .filter(|(_, entry)| !entry.acknowledged)
            .map(|(sequence, _)| sequence)
    }

    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = u64> + '_ {
        let later = (self.first..)
            .zip(&self.queue)
            .filter(|(_, entry)| entry.acknowledged);
        (1..self.first).chain(later.map(|(sequence, _)| sequence))
    }

    /// Makes the traffic that is due, as far as `room` reaches.
    pub(crate) fn generate(&mut self, now: Instant, at_ms: u64, room: usize) {
        let Some(running) = &mut self.running else {
            return;
        };
        let paced = running.traffic.rate <= 0.0;
        let room = if paced { room.min(512) } else { room };
        let count = running
            .due(now)
            .min(room.saturating_sub(self.queue.len()) as u64);
        let Traffic {
            conversations,
            payload,
            ..
        } = running.traffic;
        for _ in 0..count {
            let body = WaitingBody::Traffic {
                conversations: conversations.max(1),
                payload,
            };
            self.queue.push_back(Waiting {
                at_ms,
                body,
                first_sent: None,
                acknowledged: false,
            });
        }
        running.made += count;
        if running.is_done() {
            self.running = None;
        }
    }

    /// Writes what may leave now. Returns how many events that were.
    pub(crate) fn fill(
        &mut self,
        out: &mut BytesMut,
        epoch: &str,
        window: u32,
        now: Instant,
    ) -> u64 {
        let mut written = 0;
        while self.on_wire < window && out.len() < OUTPUT_LIMIT {
            let sequence = self.first + self.cursor as u64;
            let Some(entry) = self.queue.get_mut(self.cursor) else {
                break;
            };
            self.cursor += 1;
            if entry.acknowledged {
                continue;
            }
            self.on_wire += 1;
            written += 1;
            match entry.first_sent {
                None => self.delivered += 1,
                Some(_) => self.redelivered += 1,
            }
            entry.first_sent.get_or_insert(now);
            put_frame(out, |out| {
                out.put_slice(br#"{"event":"#);
                write_event(out, epoch, sequence, entry);
                out.put_u8(b'}');
            });
        }
        written
    }

    /// The first events that were not acknowledged: so many, and no more bytes, but one always.
    pub(crate) fn give(
        &mut self,
        epoch: &str,
        most: usize,
        bytes: usize,
        now: Instant,
    ) -> Vec<Given> {
        let (mut given, mut written) = (Vec::new(), 0);
        let waiting = (self.first..)
            .zip(&mut self.queue)
            .filter(|(_, entry)| !entry.acknowledged)
            .take(most);
        for (sequence, entry) in waiting {
            let mut json = BytesMut::new();
            write_event(&mut json, epoch, sequence, entry);
            written += json.len();
            if written > bytes && !given.is_empty() {
                break;
            }
            let again = entry.first_sent.replace(now).is_some();
            match again {
                false => self.delivered += 1,
                true => self.redelivered += 1,
            }
            given.push(Given {
                sequence,
                json: json.freeze(),
                again,
            });
        }
        given
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.running.as_ref().and_then(Running::next_due)
    }
}

/// By hand, since benchmarks spend their time here.
fn write_event(out: &mut BytesMut, epoch: &str, sequence: u64, entry: &Waiting) {
    let at = entry.at_ms;
    let _ = write!(out, r#"{{"id":"{epoch}-{sequence}","at":{at},"body":"#);
    match &entry.body {
        WaitingBody::Given(json) => out.put_slice(json),
        WaitingBody::Traffic {
            conversations,
            payload,
        } => {
            let conversation = sequence % u64::from(*conversations);
            let _ = write!(
                out,
                r#"{{"message":{{"id":"m-{epoch}-{sequence}","conversation":"traffic-{conversation}","kind":"user","sender":"traffic-{conversation}","content":{{"text":{{"body":""#
            );
            let start = out.len();
            let _ = write!(out, "{sequence}");
            let missing = (*payload as usize).saturating_sub(out.len() - start);
            out.put_bytes(b'.', missing);
            out.put_slice(br#""}}}}"#);
        }
    }
    out.put_u8(b'}');
}
