//! One attempt: reads the event if it is not in memory, signs, posts, and reports.
//!
//! Decides nothing about what follows; touches no state of its endpoint.

use super::client::{Answer, Client, Limits, Target};
use super::form::{alias_body, alias_id};
use super::lanes::{Entry, Key};
use super::schedule::{Outcome, parse_retry_after};
use super::select::Selector;
use super::{Shared, sign};
use crate::domain::EventId;
use crate::domain::endpoint::{Attempt, Endpoint};
use crate::domain::event::LoggedEvent;
use crate::domain::id::AttemptId;
use crate::telemetry::trace::{self, Kind, Step};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TIMEOUTS_MS: std::ops::RangeInclusive<u32> = 1_000..=60_000;

/// An endpoint as its worker uses it.
pub(super) struct Config {
    pub endpoint: Endpoint,
    pub selector: Selector,
    /// The error: what is wrong with its URL.
    pub client: Result<Arc<Client>, String>,
}

impl Config {
    /// Connections of `before` go on when they lead to the same place.
    pub fn new(endpoint: Endpoint, shared: &Shared, before: Option<&Config>) -> Self {
        let client = Target::parse(&endpoint.url).map(|target| {
            before
                .and_then(|before| before.client.as_ref().ok())
                .filter(|client| *client.target() == target)
                .cloned()
                .unwrap_or_else(|| Arc::new(Client::new(shared.dial.clone(), target)))
        });
        Self {
            selector: Selector::new(&endpoint),
            endpoint,
            client,
        }
    }
}

pub(super) struct Job {
    pub key: Key,
    pub entry: Entry,
    /// Under which its partition is ours.
    pub epoch: Option<u64>,
    pub config: Arc<Config>,
    pub shared: Arc<Shared>,
}

pub(super) struct Report {
    pub key: Key,
    pub verdict: Verdict,
}

pub(super) enum Verdict {
    Made(Made),
    /// The log does not have it any more, or the endpoint does not want it any more.
    NotWanted,
    /// This host may not speak for the partition now.
    NotOurs,
    /// Storage could not read it.
    Unread(String),
}

pub(super) struct Made {
    pub attempt: Attempt,
    pub outcome: Outcome,
    /// Delivered, the alias comes next.
    pub alias_follows: bool,
}

impl Job {
    pub async fn run(self) -> Report {
        let verdict = self.verdict().await;
        Report {
            key: self.key,
            verdict,
        }
    }

    /// Below the turn that appended the event, whichever process that was in.
    fn step(&self, event: &LoggedEvent, id: &EventId, delivery: &AttemptId) -> Step {
        let tracer = &self.shared.settings.tracer;
        let mut step = tracer.below(trace::marked(&event.body), "webhook", Kind::Client);
        step.attribute("http.request.method", || "POST");
        step.attribute("anyport.endpoint.id", || {
            self.config.endpoint.id.to_string()
        });
        step.attribute("anyport.event.id", || id.to_string());
        step.attribute("anyport.event.type", || event.kind.clone());
        step.attribute("anyport.attempt.id", || delivery.to_string());
        step.attribute("anyport.attempt.number", || self.entry.attempts + 1);
        step
    }

    async fn verdict(&self) -> Verdict {
        let Self {
            entry,
            config,
            shared,
            ..
        } = self;
        let event = match &entry.event {
            Some(event) => event.clone(),
            None => match shared.store.event(entry.partition, entry.offset).await {
                Ok(Some(event)) => Arc::new(event),
                Ok(None) => return Verdict::NotWanted,
                Err(error) => return Verdict::Unread(error.to_string()),
            },
        };
        let wanted = config.selector.wants(&event.kind, &event.account);
        if !wanted.any() || entry.alias && !wanted.alias {
            return Verdict::NotWanted;
        }
        let alias = entry.alias || !wanted.itself;
        let (id, body) = if alias {
            match alias_body(&event) {
                Some(body) => (alias_id(&event.id), Bytes::from(body)),
                None => return Verdict::NotWanted,
            }
        } else {
            (event.id.clone(), Bytes::copy_from_slice(&event.body))
        };

        let ours = self
            .epoch
            .is_some_and(|epoch| shared.ownership.holds(entry.partition, epoch));
        if !ours {
            return Verdict::NotOurs;
        }
        let delivery = AttemptId::generate();
        let at = shared.clock.now();
        let mut headers =
            sign::headers(&config.endpoint, id.as_str(), delivery.as_str(), at, &body);
        let step = self.step(&event, &id, &delivery);
        if let Some(context) = step.context()
            && let Ok(value) = HeaderValue::try_from(context.to_string())
        {
            headers.insert(TRACEPARENT, value);
        }
        let timeout_ms = config
            .endpoint
            .retry
            .timeout_ms
            .clamp(*TIMEOUTS_MS.start(), *TIMEOUTS_MS.end());
        let limits = Limits {
            connect: shared.settings.connect_timeout,
            total: Duration::from_millis(timeout_ms.into()),
        };
        let answer = match &config.client {
            Ok(client) => client.post(headers, body, limits).await,
            Err(error) => Answer {
                error: Some(error.clone()),
                ..Default::default()
            },
        };
        let metrics = &shared.settings.metrics;
        metrics.duration.observe(answer.latency.as_secs_f64());
        end(step, &answer);
        let retry_after = answer.retry_after.as_deref();
        Verdict::Made(Made {
            outcome: match answer.status {
                Some(status) => Outcome::Answered {
                    status,
                    retry_after_ms: retry_after
                        .and_then(|value| parse_retry_after(value, shared.clock.now())),
                },
                None => Outcome::Unanswered,
            },
            alias_follows: wanted.alias && !alias,
            attempt: Attempt {
                id: delivery,
                endpoint: config.endpoint.id.clone(),
                event: id,
                at,
                number: entry.attempts + 1,
                status: answer.status,
                latency_ms: u32::try_from(answer.latency.as_millis()).unwrap_or(u32::MAX),
                error: answer.error.or_else(|| match answer.status {
                    Some(200..=299) | None => None,
                    Some(status @ 300..=399) => {
                        Some(format!("answered {status}; redirects are not followed"))
                    }
                    Some(status) => Some(format!("answered {status}")),
                }),
                response: answer.body,
            },
        })
    }
}

fn end(mut step: Step, answer: &Answer) {
    if let Some(status) = answer.status {
        step.attribute("http.response.status_code", || status);
        if !(200..300).contains(&status) {
            step.failed(|| format!("answered {status}"));
        }
    }
    if let Some(error) = &answer.error {
        step.failed(|| error.clone());
    }
    step.end();
}
