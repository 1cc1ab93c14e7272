//! One request to the host and its answer, with the key that fits. Knows envelope and errors,
//! no operation.

use crate::connection::{Connection, Who};
use crate::failure::{ErrorObject, Failure, Outcome, Refusal, Unreachable};
use crate::transport::{NoAnswer, Transport, USER_AGENT};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// More than any answer of the API has.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Beyond what the host itself waits in an operation.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Api {
    connection: Connection,
    transport: Transport,
}

/// A request, not sent yet.
#[derive(Debug)]
pub struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Option<(Bytes, &'static str)>,
    who: Who,
    timeout: Duration,
}

impl Call {
    /// `path`: segments as they are, below `v1`; they are percent-encoded here.
    pub fn new(method: Method, path: &[&str]) -> Self {
        Self {
            method,
            path: std::iter::once("v1")
                .chain(path.iter().copied())
                .map(str::to_owned)
                .collect(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            who: Who::Workspace,
            timeout: TIMEOUT,
        }
    }

    pub fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// With a body of JSON.
    pub fn post(path: &[&str], body: &impl Serialize) -> Self {
        Self::new(Method::POST, path).json(body)
    }

    pub fn patch(path: &[&str], body: &impl Serialize) -> Self {
        Self::new(Method::PATCH, path).json(body)
    }

    pub fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Of the operator's surface: below `admin` instead, and with the operator's key.
    pub fn admin(mut self) -> Self {
        self.path.insert(0, "admin".to_owned());
        self.with_operator_key()
    }

    pub fn with_operator_key(mut self) -> Self {
        self.who = Who::Operator;
        self
    }

    pub fn json(self, body: &impl Serialize) -> Self {
        // Only maps with keys that are no text cannot be written, and there are none.
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.body(body.into(), "application/json")
    }

    pub fn body(mut self, body: Bytes, kind: &'static str) -> Self {
        self.body = Some((body, kind));
        self
    }

    /// An empty value is left out.
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.query.push((name, value));
        }
        self
    }

    /// A value that cannot stand in a header is the caller's wrong argument.
    pub fn header(mut self, name: &'static str, value: &str) -> Outcome<Self> {
        let value = HeaderValue::from_str(value).map_err(|_| {
            Failure::usage(format!("{name}: must have printable ASCII characters only"))
        })?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// How long the host itself may take, beyond which nothing is waited for.
    pub fn host_waits(mut self, wait: Duration) -> Self {
        self.timeout = wait + TIMEOUT;
        self
    }

    fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&self.path);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

/// An answer of 2xx, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub request_id: String,
    /// As it came; empty where the answer has none.
    pub body: Bytes,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

impl Answer {
    pub fn data<T: DeserializeOwned>(&self) -> Outcome<T> {
        serde_json::from_slice::<Envelope<T>>(&self.body)
            .map(|envelope| envelope.data)
            .map_err(|error| {
                Failure::Foreign(format!("the answer is not of the form expected: {error}"))
            })
    }

    pub fn value(&self) -> Outcome<Value> {
        self.data()
    }

    /// The API's JSON; where it answers without a body, its request id and no data.
    pub fn json(&self) -> Bytes {
        if self.body.is_empty() {
            let body = serde_json::json!({"request_id": self.request_id, "data": null});
            return body.to_string().into();
        }
        self.body.clone()
    }
}

impl Api {
    pub fn new(connection: Connection) -> Outcome<Self> {
        let tls = connection.base.scheme() == "https";
        let transport = Transport::new(tls, connection.ca.as_deref())?;
        Ok(Self {
            connection,
            transport,
        })
    }

    pub fn base(&self) -> &str {
        self.connection.base.as_str().trim_end_matches('/')
    }

    pub async fn call(&self, call: Call) -> Outcome<Answer> {
        let who = call.who;
        let response = self.head(call).await?;
        self.finish(response, who).await
    }

    /// The answer's body is a stream, which stays to be read.
    pub async fn open(&self, call: Call) -> Outcome<Response<Incoming>> {
        let who = call.who;
        let response = self.head(call).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        match self.finish(response, who).await {
            Ok(_) => Err(Failure::Foreign("the answer is no stream".to_owned())),
            Err(failure) => Err(failure),
        }
    }

    async fn head(&self, call: Call) -> Outcome<Response<Incoming>> {
        let url = call.url(&self.connection.base);
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = call.method;
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|error| Failure::usage(format!("the address is not valid: {error}")))?;
        let headers = request.headers_mut();
        *headers = call.headers;
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        headers.insert("user-agent", HeaderValue::from_static(USER_AGENT));
        if let Some(key) = self.connection.key(call.who) {
            let mut value = HeaderValue::from_str(key.expose_secret()).map_err(|_| {
                Failure::usage("the API key has characters that no key has; is it the right file?")
            })?;
            value.set_sensitive(true);
            headers.insert("x-api-key", value);
        }
        if let Some((body, kind)) = call.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            *request.body_mut() = Full::new(body);
        }
        self.transport
            .send(request, call.timeout)
            .await
            .map_err(|no_answer| self.unreachable(no_answer))
    }

    fn unreachable(&self, no_answer: NoAnswer) -> Failure {
        Failure::Unreachable(Unreachable {
            url: self.base().to_owned(),
            reason: no_answer.reason,
            maybe_done: no_answer.maybe_done,
        })
    }

    async fn finish(&self, response: Response<Incoming>, who: Who) -> Outcome<Answer> {
        let (head, body) = response.into_parts();
        let header = |name: &str| {
            let value = head.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let request_id = header("x-request-id");
        let body = tokio::time::timeout(TIMEOUT, Limited::new(body, MAX_ANSWER_BYTES).collect())
            .await
            .map_err(|_| "it does not end".to_owned())
            .and_then(|read| read.map_err(|error| crate::transport::reason(&*error)))
            .map(http_body_util::Collected::to_bytes)
            .map_err(|reason| {
                self.unreachable(NoAnswer {
                    reason: format!("the answer broke off: {reason}"),
                    maybe_done: true,
                })
            })?;
        if head.status.is_success() {
            return Ok(Answer {
                status: head.status,
                request_id,
                body,
            });
        }
        #[derive(Deserialize)]
        struct Refused {
            error: ErrorObject,
        }
        let Ok(Refused { error }) = serde_json::from_slice(&body) else {
            return Err(Failure::Foreign(format!(
                "{} answered {} in a form that is not Anyport's; is it the right address?",
                self.base(),
                head.status
            )));
        };
        let retry_after = head.headers.get(RETRY_AFTER);
        Err(Refusal {
            status: head.status.as_u16(),
            request_id,
            error,
            retry_after: retry_after
                .and_then(|value| value.to_str().ok())
                .and_then(|text| text.parse().ok()),
            key_source: self.connection.key_source(who),
            body: String::from_utf8_lossy(&body).into_owned(),
        }
        .into_failure())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_below_any_base() {
        let base = Url::parse("https://h.example/any/").unwrap();
        let call = Call::get(&["accounts", "a/b ü", "auth"])
            .query("after", "x y&z")
            .query("limit", "");
        assert_eq!(
            call.url(&base).as_str(),
            "https://h.example/any/v1/accounts/a%2Fb%20%C3%BC/auth?after=x+y%26z"
        );
        let call = Call::get(&["state"]).admin();
        assert_eq!(
            call.url(&base).as_str(),
            "https://h.example/any/admin/v1/state"
        );
        assert_eq!(call.who, Who::Operator);
    }
}
