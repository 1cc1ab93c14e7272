//! The workspace that a key opens.

use super::super::Api;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::keys::WorkspaceKey;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;

const READ: Operation = Operation::of_account(codes::GET_WORKSPACE_FAILED);

pub fn routes() -> Router<Api> {
    Router::new().route("/v1/workspace", get(read))
}

#[derive(Serialize)]
struct WorkspaceView {
    name: String,
    status: String,
    metadata: Value,
    /// 0 when unlimited.
    account_quota: u64,
    account_quota_unlimited: bool,
}

async fn read(State(api): State<Api>, WorkspaceKey(id): WorkspaceKey) -> Answer {
    let workspace = api
        .store
        .workspace(&id)
        .await
        .map_err(|error| READ.storage(error))?
        .ok_or_else(|| ApiError::new(codes::NOT_FOUND, "the workspace does not exist any more"))?;
    Reply::ok(&WorkspaceView {
        name: workspace.name,
        status: workspace.status,
        metadata: workspace.metadata,
        account_quota: workspace.account_quota.unwrap_or(0),
        account_quota_unlimited: workspace.account_quota.is_none(),
    })
}
