//! The listener for metrics and health, if there is to be one: no key, no envelope. It answers to
//! the very end.

use super::config::Config;
use crate::api::Operations;
use crate::api::health::exposition;
use anyhow::Context;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Serving = JoinHandle<std::io::Result<()>>;

pub async fn start(
    config: &Config,
    operations: Operations,
) -> anyhow::Result<(Option<SocketAddr>, Option<Serving>)> {
    let Some(address) = config.metrics.listen else {
        return Ok((None, None));
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("metrics cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/livez", get(async || Json(json!({"status": "ok"}))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(operations);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((Some(address), Some(serving)))
}

async fn metrics(State(operations): State<Operations>) -> Response {
    exposition(&operations)
}

/// As on the API's listener, `?standby=ok` among it.
async fn ready(State(operations): State<Operations>, RawQuery(query): RawQuery) -> Response {
    let report = operations.readiness.look().await;
    let may_stand_by = query.is_some_and(|query| query.split('&').any(|part| part == "standby=ok"));
    let (status, word) = if report.is_ready(may_stand_by) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let body = Json(json!({"status": word, "checks": report.checks}));
    (status, body).into_response()
}
