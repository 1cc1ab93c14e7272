//! The envelope around every answer: request ids, and `data` or `error`.
//!
//! Handlers return a [`Reply`] or an [`ApiError`] and know no ids; [`wrap`] is the outermost
//! layer, renders both, catches panics, counts, and writes the one log line and the one span of a
//! request.

use super::Operations;
use super::error::{ApiError, Details};
use super::request_id::{HEADER, RequestIds};
use crate::telemetry::metrics::{self, ErrorCode};
use crate::telemetry::trace::{self, Kind, Step, TraceContext};
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use schemars::JsonSchema;
use serde::Serialize;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A successful answer before it has its envelope.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    /// JSON; none: no body at all.
    data: Option<Bytes>,
}

pub type Answer = Result<Reply, ApiError>;

impl Reply {
    pub fn new(status: StatusCode, data: &impl Serialize) -> Answer {
        let data = serde_json::to_vec(data)
            .map_err(|error| ApiError::internal(format!("an answer cannot be written: {error}")))?;
        Ok(Self {
            status,
            headers: HeaderMap::new(),
            data: Some(data.into()),
        })
    }

    pub fn ok(data: &impl Serialize) -> Answer {
        Self::new(StatusCode::OK, data)
    }

    pub fn created(data: &impl Serialize) -> Answer {
        Self::new(StatusCode::CREATED, data)
    }

    pub fn no_content() -> Answer {
        Ok(Self {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            data: None,
        })
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// What [`wrap`] finds in a response's extensions.
#[derive(Clone)]
enum Unrendered {
    Data(Bytes),
    Error(ApiError),
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(data) = self.data {
            response.extensions_mut().insert(Unrendered::Data(data));
        }
        response
    }
}

/// The response of an error before it has its envelope.
pub fn unrendered_error(error: ApiError) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = error.status();
    response.extensions_mut().insert(Unrendered::Error(error));
    response
}

/// The outermost layer.
pub async fn wrap(
    State(operations): State<Operations>,
    mut request: Request,
    next: Next,
) -> Response {
    let ids = RequestIds::of(request.headers());
    let method = request.method().clone();
    // Without the query, which may hold what a client thinks is private.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    // Who knows the address of an account's channel may call it, who knows a medium's may get it.
    let path = if route.starts_with("/ingress/") || route == super::public_media::PATH {
        route.clone()
    } else {
        request.uri().path().to_owned()
    };
    let step = begin(&operations, &request, &route, &ids);
    let started = Instant::now();
    request.extensions_mut().insert(ids.clone());
    let handling = AssertUnwindSafe(next.run(request)).catch_unwind();
    let handled = match step.context() {
        Some(context) => trace::in_request(context, handling).await,
        None => handling.await,
    };
    let mut response =
        handled.unwrap_or_else(|_| unrendered_error(ApiError::internal("a handler panicked")));

    let unrendered = response.extensions_mut().remove::<Unrendered>();
    if let Some(unrendered) = &unrendered {
        render(&mut response, &ids, unrendered);
    }
    if let Ok(value) = HeaderValue::from_str(ids.request.as_str()) {
        response.headers_mut().insert(HEADER, value);
    }
    let status = response.status().as_u16();
    let latency = started.elapsed();
    let latency_ms = latency.as_millis() as u64;
    let error = match &unrendered {
        Some(Unrendered::Error(error)) => Some(error),
        _ => None,
    };
    end(step, status, error);
    let http = &operations.metrics.http;
    if let Some(error) = error {
        let code = ErrorCode {
            code: error.code.name,
        };
        http.errors.get_or_create(&code).inc();
    }
    let counted = metrics::Route { route };
    http.duration
        .get_or_create(&counted)
        .observe(latency.as_secs_f64());
    let counted = metrics::Request {
        route: counted.route,
        method: known(&method),
        status,
    };
    http.requests.get_or_create(&counted).inc();
    match unrendered {
        Some(Unrendered::Error(error)) if status >= 500 && !is_expected(&error) => tracing::warn!(
            request_id = %ids.request, %method, %path, status, latency_ms,
            code = error.code.name, reason = error.log.as_deref().unwrap_or(&error.message),
            "a request failed"
        ),
        _ => tracing::debug!(
            request_id = %ids.request, %method, %path, status, latency_ms, "a request was answered"
        ),
    }
    response
}

fn begin(operations: &Operations, request: &Request, route: &str, ids: &RequestIds) -> Step {
    let parent = request
        .headers()
        .get("traceparent")
        .and_then(|value| TraceContext::parse(value.to_str().ok()?));
    // Whoever looks at health every few seconds is not worth a trace, unless it asks for one.
    let looks = matches!(route, "/livez" | "/readyz" | "/metrics");
    if !operations.tracer.is_on() || looks {
        return operations.tracer.below(parent, "", Kind::Server);
    }
    let method = known(request.method());
    let name = format!("{method} {route}");
    let mut step = operations.tracer.begin(parent, name, Kind::Server);
    step.attribute("http.request.method", || method);
    step.attribute("http.route", || route.to_owned());
    step.attribute("anyport.request.id", || ids.request.to_string());
    step
}

fn end(mut step: Step, status: u16, error: Option<&ApiError>) {
    step.attribute("http.response.status_code", || status);
    if let Some(error) = error {
        step.attribute("error.type", || error.code.name);
        if status >= 500 {
            step.failed(|| error.code.name.to_owned());
        }
    }
    step.end();
}

/// A bounded word for it: clients can invent methods.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ErrorEnvelope")]
pub(super) struct ErrorEnvelope<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<&'a str>,
    error: ErrorObject<'a>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Error")]
struct ErrorObject<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(flatten)]
    details: &'a Details,
}

fn render(response: &mut Response, ids: &RequestIds, unrendered: &Unrendered) {
    let body: Bytes = match unrendered {
        Unrendered::Data(data) => {
            // Ids and the client's id hold no character that JSON escapes.
            let mut body = Vec::with_capacity(data.len() + 96);
            body.extend_from_slice(b"{\"request_id\":\"");
            body.extend_from_slice(ids.request.as_str().as_bytes());
            if let Some(client) = &ids.client {
                body.extend_from_slice(b"\",\"client_request_id\":\"");
                body.extend_from_slice(client.as_bytes());
            }
            body.extend_from_slice(b"\",\"data\":");
            body.extend_from_slice(data);
            body.push(b'}');
            body.into()
        }
        Unrendered::Error(error) => {
            let envelope = ErrorEnvelope {
                request_id: ids.request.as_str(),
                client_request_id: ids.client.as_deref(),
                error: ErrorObject {
                    code: error.code.name,
                    message: &error.message,
                    details: &error.details,
                },
            };
            if let Some(seconds) = error.retry_after {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            if let Some((name, value)) = error.allow.as_deref().and_then(super::gate::allow_header)
            {
                response.headers_mut().insert(name, value);
            }
            if error.replayed {
                response
                    .headers_mut()
                    .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
            }
            serde_json::to_vec(&envelope).unwrap_or_default().into()
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, body.len().into());
    *response.body_mut() = Body::from(body);
}

/// What a standby says to everybody who asks it, load balancers among them.
fn is_expected(error: &ApiError) -> bool {
    error.code == super::codes::STANDBY || error.code == super::codes::OWNER_ELSEWHERE
}
