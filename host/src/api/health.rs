//! Is the process alive, and can it work? Without a key.

use super::codes;
use super::envelope::{Answer, Reply};
use super::error::{ApiError, Operation};
use super::{Api, Shared};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::json;
use std::time::Duration;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
}

async fn live() -> Answer {
    Reply::ok(&json!({"status": "ok"}))
}

async fn ready(State(api): State<Api>) -> Answer {
    check(&api).await?;
    let restored = api.store.restored().await;
    match restored.map_err(|error| Operation::OWN.storage(error))? {
        None => Reply::ok(&json!({"status": "ok"})),
        Some(at) => Reply::ok(&json!({"status": "restored", "restored_at": at.rfc3339()})),
    }
}

async fn check(api: &Shared) -> Result<(), ApiError> {
    let unavailable = |log: String| {
        let mut error = ApiError::new(
            codes::STORAGE_UNAVAILABLE,
            "the database does not take it now",
        )
        .retry_after(1);
        error.log = Some(log);
        error
    };
    if *api.stopping.borrow() {
        return Err(unavailable("the host stops".into()));
    }
    if let Some(trouble) = (api.trouble)() {
        return Err(unavailable(trouble));
    }
    match tokio::time::timeout(Duration::from_secs(2), api.store.heads()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Operation::OWN.storage(error)),
        Err(_) => Err(unavailable("reading took longer than 2 s".into())),
    }
}
