//! Posts events to a receiver on this machine, signed as the host signs its webhooks, and again
//! until it takes them. Reports every attempt; what follows from it is the caller's.

use crate::failure::{Failure, Outcome};
use crate::pages::Event;
use crate::transport::{Transport, USER_AGENT};
use anyport_signing::{Attempt, Secrets};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT as AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_AT_MOST: Duration = Duration::from_secs(30);
/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Of an answer's body, which is read to use the connection again.
const ANSWER_BYTES: usize = 64 * 1024;

/// What one attempt came to.
#[derive(Debug)]
pub struct Report {
    pub event: Event,
    pub delivery: String,
    pub attempt: u32,
    pub at: Timestamp,
    /// None: no answer came, and `error` says why.
    pub status: Option<u16>,
    pub taken: bool,
    pub latency: Duration,
    pub error: Option<String>,
    /// None: this was the last attempt.
    pub again_in: Option<Duration>,
}

impl Report {
    pub fn is_last(&self) -> bool {
        self.again_in.is_none()
    }

    pub fn clock(&self) -> String {
        self.at
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%H:%M:%S")
            .to_string()
    }

    pub fn json(&self) -> String {
        json!({
            "at": written(self.at),
            "event_id": self.event.id,
            "type": self.event.kind,
            "account_id": self.event.account,
            "delivery_id": self.delivery,
            "attempt": self.attempt,
            "status": self.status,
            "taken": self.taken,
            "latency_ms": self.latency.as_millis() as u64,
            "error": self.error,
            "again_in_ms": self.again_in.map(|wait| wait.as_millis() as u64),
        })
        .to_string()
    }
}

pub struct Forwarder {
    shared: Arc<Shared>,
}

struct Shared {
    transport: Transport,
    to: Uri,
    secret: SecretString,
    timeout: Duration,
    /// 0: no bound.
    max_attempts: u32,
    room: Semaphore,
    reports: mpsc::UnboundedSender<Report>,
}

impl Forwarder {
    pub fn new(
        to: &str,
        secret: &SecretString,
        timeout: Duration,
        max_attempts: u32,
        reports: mpsc::UnboundedSender<Report>,
    ) -> Outcome<Self> {
        let to = target(to)?;
        Ok(Self {
            shared: Arc::new(Shared {
                transport: Transport::new(to.scheme_str() == Some("https"), None)?,
                to,
                secret: secret.clone(),
                timeout,
                max_attempts,
                room: Semaphore::new(AT_ONCE),
                reports,
            }),
        })
    }

    /// At once, in a task of its own, which ends when the event is taken or given up.
    pub fn forward(&self, event: Event) {
        let shared = self.shared.clone();
        tokio::spawn(async move { shared.deliver(event).await });
    }
}

impl Shared {
    async fn deliver(&self, event: Event) {
        for attempt in 1.. {
            let mut report = {
                let Ok(_room) = self.room.acquire().await else {
                    return;
                };
                self.attempt(&event, attempt).await
            };
            let last = report.taken || attempt == self.max_attempts;
            report.again_in = (!last).then(|| back_off(attempt));
            let wait = report.again_in;
            if self.reports.send(report).is_err() {
                return;
            }
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return,
            }
        }
    }

    async fn attempt(&self, event: &Event, attempt: u32) -> Report {
        let at = Timestamp::now();
        let delivery = format!("dlv_{}", uuid::Uuid::now_v7().simple());
        let started = Instant::now();
        let request = self.request(event, &delivery, at);
        let (status, error) = match self.transport.send(request, self.timeout).await {
            Ok(response) => {
                let status = response.status();
                let body = Limited::new(response.into_body(), ANSWER_BYTES).collect();
                let _ = tokio::time::timeout(Duration::from_secs(2), body).await;
                (Some(status), None)
            }
            Err(no_answer) => (None, Some(no_answer.reason)),
        };
        Report {
            event: event.clone(),
            delivery,
            attempt,
            at,
            status: status.map(|status| status.as_u16()),
            taken: status.is_some_and(|status| status.is_success()),
            latency: started.elapsed(),
            error,
            again_in: None,
        }
    }

    fn request(&self, event: &Event, delivery: &str, at: Timestamp) -> Request<Full<Bytes>> {
        let body = Bytes::copy_from_slice(event.body.as_bytes());
        let attempt = Attempt {
            event: &event.id,
            delivery,
            unix_seconds: at.as_second().unsigned_abs(),
            written: &written(at),
            body: &body,
        };
        let secrets = Secrets {
            secret: self.secret.expose_secret(),
            old: None,
        };
        let signed = anyport_signing::headers(attempt, Some(secrets));
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.to.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in signed {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        request
    }
}

/// As the host writes a moment: RFC 3339, UTC, whole seconds.
fn written(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn back_off(attempt: u32) -> Duration {
    (BACK_OFF * 2u32.pow(attempt.saturating_sub(1).min(6))).min(BACK_OFF_AT_MOST)
}

fn target(text: &str) -> Outcome<Uri> {
    let wrong = |why: String| Failure::usage(format!("--forward-to: {why}"));
    let url =
        url::Url::parse(text).map_err(|error| wrong(format!("`{text}` is not valid: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong(format!(
            "`{text}` does not begin with http:// or https://"
        )));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "the address has a user, a password or a fragment, which webhooks have not".to_owned(),
        ));
    }
    url.as_str()
        .parse()
        .map_err(|error| wrong(format!("`{text}` is not valid: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_between_attempts() {
        let waits: Vec<u64> = (1..9)
            .map(|attempt| back_off(attempt).as_millis() as u64)
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    }

    #[test]
    fn targets() {
        assert_eq!(target("http://localhost:3000").unwrap().path(), "/");
        for bad in [
            "localhost:3000",
            "ftp://h/",
            "http://u:secret@h/",
            "http://h/#x",
        ] {
            let error = target(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn moments_as_the_host_writes_them() {
        let at = Timestamp::from_millisecond(1_772_353_802_700).unwrap();
        assert_eq!(written(at), "2026-03-01T08:30:02Z");
    }
}
