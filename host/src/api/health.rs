//! Is the process alive, can it work, and what has it counted? The first two without a key.
//!
//! What can be looked at is told by [`Readiness`]; reasons are for people and hold no secret.

use super::codes;
use super::envelope::{Answer, Reply};
use super::error::ApiError;
use super::keys::OperatorKey;
use super::{Api, Operations};
use crate::telemetry::metrics::CONTENT_TYPE;
use async_trait::async_trait;
use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// Looks at what the host needs to do its work.
#[async_trait]
pub trait Readiness: Send + Sync + 'static {
    async fn look(&self) -> Report;
}

/// What was found, a line for each thing that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// Why not, or what is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Report {
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }

    pub fn check(&mut self, name: &'static str, result: Result<Option<String>, String>) {
        let ok = result.is_ok();
        let reason = result.unwrap_or_else(Some);
        self.checks.push(Check { name, ok, reason });
    }

    fn reasons(&self) -> String {
        let wrong = self.checks.iter().filter(|check| !check.ok);
        let each = wrong.map(|check| {
            let reason = check.reason.as_deref().unwrap_or("not ready");
            format!("{}: {reason}", check.name)
        });
        each.collect::<Vec<_>>().join("; ")
    }
}

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

async fn live() -> Answer {
    Reply::ok(&json!({"status": "ok"}))
}

async fn ready(State(api): State<Api>) -> Answer {
    let report = api.operations.readiness.look().await;
    if report.is_ready() {
        return Reply::ok(&json!({"status": "ok", "checks": report.checks}));
    }
    let mut error = ApiError::new(codes::NOT_READY, report.reasons()).retry_after(1);
    error.details.checks = report.checks;
    Err(error)
}

async fn metrics(State(api): State<Api>, _: Scraper) -> Response {
    exposition(&api.operations)
}

fn exposition(operations: &Operations) -> Response {
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    ([(header::CONTENT_TYPE, kind)], operations.metrics.encode()).into_response()
}

/// The operator's key was shown, as `X-Api-Key` or as the bearer token that scrapers can send.
struct Scraper;

impl FromRequestParts<Api> for Scraper {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        const KEY: HeaderName = HeaderName::from_static("x-api-key");
        let bearer = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .and_then(|token| HeaderValue::from_str(token.trim()).ok());
        if let Some(token) = bearer.filter(|_| !parts.headers.contains_key(KEY)) {
            parts.headers.insert(KEY, token);
        }
        OperatorKey::from_request_parts(parts, api)
            .await
            .map(|_| Self)
    }
}

/// The routes of a listener of their own, for whoever can reach it: no key, and no envelope.
pub fn management(operations: Operations) -> Router {
    Router::new()
        .route("/livez", get(async || axum::Json(json!({"status": "ok"}))))
        .route("/readyz", get(managed_ready))
        .route(
            "/metrics",
            get(async |State(operations): State<Arc<Operations>>| exposition(&operations)),
        )
        .with_state(Arc::new(operations))
}

async fn managed_ready(State(operations): State<Arc<Operations>>) -> Response {
    let report = operations.readiness.look().await;
    let (status, word) = if report.is_ready() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let body = axum::Json(json!({"status": word, "checks": report.checks}));
    (status, body).into_response()
}
