//! Is the process alive, and can it work? Without a key.

use super::codes;
use super::envelope::{Answer, Reply};
use super::error::{ApiError, Operation};
use super::query::Query;
use super::routes::Routes;
use super::{Api, Shared};
use crate::storage::lease::OwnershipState;
use axum::extract::State;
use serde_json::json;
use std::time::Duration;

pub fn routes() -> Routes {
    Routes::new().get("/livez", live).get("/readyz", ready)
}

async fn live() -> Answer {
    Reply::ok(&json!({"status": "ok"}))
}

/// A standby is not ready: what needs the owner of an account is refused here. `?standby=ok` is for
/// those who want to know whether it could take over.
async fn ready(State(api): State<Api>, query: Query) -> Answer {
    check(&api).await?;
    let (ownership, partitions) = match api.control.ownership() {
        OwnershipState::Active { partitions } => ("active", partitions),
        OwnershipState::Starting => ("starting", 0),
        OwnershipState::Standby => ("standby", 0),
    };
    if partitions == 0 && (ownership == "starting" || query.text("standby") != Some("ok")) {
        let message = if ownership == "starting" {
            "the accounts of this host are being brought back"
        } else {
            "this host is a standby; another one works"
        };
        return Err(ApiError::new(codes::STANDBY, message).retry_after(1));
    }
    let restored = api.store.restored().await;
    let restored = restored.map_err(|error| Operation::OWN.storage(error))?;
    Reply::ok(&json!({
        "status": if restored.is_some() { "restored" } else { "ok" },
        "restored_at": restored.map(|at| at.rfc3339()),
        "ownership": ownership,
        "partitions": partitions,
    }))
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
