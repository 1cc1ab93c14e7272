//! Is the process alive, can it work, and what has it counted? The first two without a key.
//!
//! What can be looked at is told by [`Readiness`]; reasons are for people and hold no secret.

use super::codes;
use super::envelope::{Answer, Reply};
use super::error::{ApiError, Operation};
use super::openapi::Doc;
use super::query::Query;
use super::routes::Routes;
use super::{Api, Operations};
use crate::storage::lease::OwnershipState;
use crate::telemetry::metrics::CONTENT_TYPE;
use async_trait::async_trait;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

const METRICS: &str = "/metrics";
/// The check that says who owns the log.
pub const LEASES: &str = "leases";
/// Its reason on a host that waits to take over.
pub const STANDBY: &str = "this host is a standby; another one works";

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

#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// Why not, or what is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Report {
    /// Everything is well; `may_stand_by`: or this host could take over.
    pub fn is_ready(&self, may_stand_by: bool) -> bool {
        let stands_by = |check: &Check| {
            may_stand_by && check.name == LEASES && check.reason.as_deref() == Some(STANDBY)
        };
        self.checks.iter().all(|check| check.ok || stands_by(check))
    }

    pub fn check(&mut self, name: &'static str, result: Result<Option<String>, String>) {
        let ok = result.is_ok();
        let reason = result.unwrap_or_else(Some);
        self.checks.push(Check { name, ok, reason });
    }

    /// What is wrong among these, for people.
    fn reasons(&self, among: impl Fn(&Check) -> bool) -> Option<String> {
        let wrong = self.checks.iter().filter(|check| !check.ok && among(check));
        let each = wrong.map(|check| {
            let reason = check.reason.as_deref().unwrap_or("not ready");
            format!("{}: {reason}", check.name)
        });
        Some(each.collect::<Vec<_>>().join("; ")).filter(|reasons| !reasons.is_empty())
    }
}

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/livez", live)
        .doc(Doc::new("getLiveness", "Is the process there?").ok::<Liveness>())
        .get("/readyz", ready)
        .doc(
            Doc::new("getReadiness", "May traffic come?")
                .query(
                    "standby",
                    "`ok`: a standby that could take over is ready, too.",
                    json!({"type": "string", "enum": ["ok"]}),
                )
                .ok::<ReadinessView>()
                .fails([codes::NOT_READY, codes::STANDBY])
                .fails(Operation::OWN.reads()),
        )
        .get(METRICS, metrics)
        .doc(
            Doc::new("getMetrics", "What the host has counted")
                .raw(&["application/openmetrics-text"]),
        )
        .about(
            "Health",
            "Whether the host is there and can work, and what it has counted.",
        )
}

#[derive(JsonSchema, Serialize)]
struct Liveness {
    status: &'static str,
}

async fn live() -> Answer {
    Reply::ok(&Liveness { status: "ok" })
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Readiness")]
struct ReadinessView {
    /// `restored`: of a backup; its accounts rest until an operator lets them go on.
    #[schemars(extend("enum" = ["ok", "restored"]))]
    status: &'static str,
    restored_at: Option<String>,
    #[schemars(extend("enum" = ["active", "starting", "standby"]))]
    ownership: &'static str,
    /// Of the event log, that this host owns.
    partitions: usize,
    checks: Vec<Check>,
}

/// A standby is not ready: what needs the owner of an account is refused here. `?standby=ok` is for
/// those who want to know whether it could take over.
async fn ready(State(api): State<Api>, query: Query) -> Answer {
    let report = api.operations.readiness.look().await;
    if report.reasons(|check| check.name != LEASES).is_some() {
        let reasons = report.reasons(|_| true).unwrap_or_default();
        let mut error = ApiError::new(codes::NOT_READY, reasons).retry_after(1);
        error.details.checks = report.checks;
        return Err(error);
    }
    let (ownership, partitions) = match api.control.ownership() {
        OwnershipState::Active { partitions } => ("active", partitions),
        OwnershipState::Starting => ("starting", 0),
        OwnershipState::Standby => ("standby", 0),
    };
    if partitions == 0 && (ownership == "starting" || query.text("standby") != Some("ok")) {
        let message = if ownership == "starting" {
            "the accounts of this host are being brought back"
        } else {
            STANDBY
        };
        return Err(ApiError::new(codes::STANDBY, message).retry_after(1));
    }
    let restored = api.store.restored().await;
    let restored = restored.map_err(|error| Operation::OWN.storage(error))?;
    Reply::ok(&ReadinessView {
        status: if restored.is_some() { "restored" } else { "ok" },
        restored_at: restored.map(|at| at.rfc3339()),
        ownership,
        partitions,
        checks: report.checks,
    })
}

async fn metrics(State(api): State<Api>) -> Response {
    exposition(&api.operations)
}

pub fn exposition(operations: &Operations) -> Response {
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    ([(header::CONTENT_TYPE, kind)], operations.metrics.encode()).into_response()
}

/// Scrapers send a key as a bearer token; here, and only here, that is the same.
pub(super) fn take_bearer(path: &str, headers: &mut HeaderMap) {
    const KEY: HeaderName = HeaderName::from_static("x-api-key");
    if path != METRICS || headers.contains_key(KEY) {
        return;
    }
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .and_then(|token| HeaderValue::from_str(token.trim()).ok());
    if let Some(token) = token {
        headers.insert(KEY, token);
    }
}
