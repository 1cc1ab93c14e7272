//! The requests of one user: what came, what became of it, and the faults that control has armed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::channel::{Channel, now_ms};
use crate::protocol::Fault;
use crate::request::{Answer, Ask};
use crate::settings::RateLimit;
use crate::user::{User, UserState};

/// Records kept per user.
const RECORDS: usize = 1_000;

/// One request that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    pub id: String,
    /// As on the wire: `mark_read`.
    pub name: String,
    /// The code, where it was refused.
    pub refused: Option<String>,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestFault {
    /// Nothing is done.
    Refuse(Fault),
    /// It is done, and answered so many milliseconds later.
    Late(u32),
    /// It is done and never answered.
    NoAnswer {},
    /// It is done, and the connection closes instead of an answer.
    Drop {},
}

#[derive(Default)]
pub(crate) struct Requests {
    records: VecDeque<RequestRecord>,
    /// How many more, of which name, and what happens.
    armed: Option<(u32, Option<String>, RequestFault)>,
    window: Option<(Instant, u32)>,
}

impl Requests {
    pub(crate) fn arm(&mut self, count: u32, only: Option<String>, fault: RequestFault) {
        self.armed = (count > 0).then_some((count, only, fault));
    }

    /// What happens to this one.
    pub(crate) fn fault(&mut self, name: &str) -> Option<RequestFault> {
        let (count, only, fault) = self.armed.as_mut()?;
        if only.as_deref().is_some_and(|only| only != name) {
            return None;
        }
        *count -= 1;
        let (done, fault) = (*count == 0, fault.clone());
        if done {
            self.armed = None;
        }
        Some(fault)
    }

    /// Counts one more against the limit; sends count as well.
    pub(crate) fn admit(&mut self, limit: Option<RateLimit>, now: Instant) -> Result<(), Fault> {
        let Some(limit) = limit else { return Ok(()) };
        let length = Duration::from_millis(u64::from(limit.per_ms));
        let (began, count) = match self.window {
            Some((began, count)) if now.saturating_duration_since(began) < length => (began, count),
            _ => (now, 0),
        };
        if count >= limit.count {
            let left = length.saturating_sub(now.saturating_duration_since(began));
            return Err(Fault {
                retry_after_ms: Some(u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)),
                ..Fault::new("rate-limited", "too many requests")
            });
        }
        self.window = Some((began, count + 1));
        Ok(())
    }

    pub(crate) fn keep(&mut self, id: &str, name: String, refused: Option<&Fault>) {
        self.records.push_back(RequestRecord {
            id: id.to_owned(),
            name,
            refused: refused.map(|fault| fault.code.clone()),
        });
        if self.records.len() > RECORDS {
            self.records.pop_front();
        }
    }

    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.records.iter().cloned().collect()
    }
}

/// Does what the account asks, unless it is refused, and says how the answer goes wrong.
pub(crate) fn take(
    channel: &Channel,
    user: &User,
    state: &mut UserState,
    id: &str,
    ask: Ask,
) -> (Result<Answer, Fault>, Option<RequestFault>) {
    let name = name(&ask);
    let limit = channel.behaviour_of(state).rate_limit;
    let fault = state.requests.fault(&name);
    let outcome = match (&fault, state.requests.admit(limit, Instant::now())) {
        (Some(RequestFault::Refuse(fault)), _) => Err(fault.clone()),
        (_, Err(limited)) => Err(limited),
        _ => channel.world(user, state).ask(ask, now_ms()),
    };
    state.requests.keep(id, name, outcome.as_ref().err());
    channel.tell(user, state);
    (outcome, fault)
}

/// As on the wire.
fn name(ask: &Ask) -> String {
    match serde_json::to_value(ask) {
        Ok(serde_json::Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
