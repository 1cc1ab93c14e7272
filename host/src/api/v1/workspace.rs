//! The workspace that a key opens.

use super::super::Api;
use super::super::body::JsonBody;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::keys::WorkspaceKey;
use super::super::openapi::Doc;
use super::super::routes::Routes;
use super::super::workspace_changes;
use crate::domain::WorkspaceId;
use crate::storage::Workspace;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const READ: Operation = Operation::of_account(codes::GET_WORKSPACE_FAILED);

pub fn routes() -> Routes {
    Routes::new()
        .get("/v1/workspace", read)
        .doc(
            Doc::new("getWorkspace", "Read the workspace that the key opens")
                .ok::<WorkspaceView>()
                .fails(READ.reads())
                .fails([codes::NOT_FOUND]),
        )
        .patch("/v1/workspace", update)
        .doc(
            Doc::new(
                "updateWorkspace",
                "Change the workspace's name, status and metadata",
            )
            .body::<WorkspaceUpdate>()
            .ok::<WorkspaceView>()
            .fails([codes::NOT_FOUND]),
        )
        .about("Workspace", "The workspace that the key opens.")
}

/// What a change of the workspace holds, for the description.
#[derive(JsonSchema)]
#[schemars(rename = "WorkspaceUpdateRequest", example = json!({
    "name": "Harbor Desk", "status": "active", "metadata": {"env": "prod"},
}))]
#[expect(dead_code, reason = "only its schema is used")]
struct WorkspaceUpdate {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    #[schemars(extend("enum" = ["active", "inactive"]))]
    status: String,
    /// As it was when absent.
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Workspace", example = json!({
    "name": "Harbor Desk", "status": "active", "metadata": {"env": "prod"},
    "account_quota": 25, "account_quota_unlimited": false,
}))]
struct WorkspaceView {
    name: String,
    status: String,
    #[schemars(with = "BTreeMap<String, String>")]
    metadata: Value,
    /// 0 when unlimited.
    account_quota: u64,
    account_quota_unlimited: bool,
}

impl From<Workspace> for WorkspaceView {
    fn from(workspace: Workspace) -> Self {
        Self {
            name: workspace.name,
            status: workspace.status,
            metadata: workspace.metadata,
            account_quota: workspace.account_quota.unwrap_or(0),
            account_quota_unlimited: workspace.account_quota.is_none(),
        }
    }
}

async fn find(api: &Api, id: &WorkspaceId, operation: Operation) -> Result<Workspace, ApiError> {
    api.store
        .workspace(id)
        .await
        .map_err(|error| operation.storage(error))?
        .ok_or_else(|| ApiError::new(codes::NOT_FOUND, "the workspace does not exist any more"))
}

async fn read(State(api): State<Api>, WorkspaceKey(id): WorkspaceKey) -> Answer {
    Reply::ok(&WorkspaceView::from(find(&api, &id, READ).await?))
}

/// Name and status, which are both required; metadata that is absent stays. A workspace that
/// makes itself inactive is opened again by an operator only.
async fn update(
    State(api): State<Api>,
    WorkspaceKey(id): WorkspaceKey,
    JsonBody(body): JsonBody,
) -> Answer {
    let fields = Fields::top(&body);
    let name = fields.required_text("name", 200)?;
    let status = fields
        .choice("status", &["active", "inactive"])?
        .ok_or_else(|| fields.error("status", "is required (active or inactive)"))?;
    let metadata = workspace_changes::metadata(&fields)?;
    let _one_at_a_time = api.admin_writes.lock().await;
    let mut workspace = find(&api, &id, Operation::OWN).await?;
    workspace.name = name.to_owned();
    workspace.status = status.to_owned();
    if let Some(metadata) = metadata {
        workspace.metadata = metadata;
    }
    workspace_changes::put(&api, &workspace).await?;
    Reply::ok(&WorkspaceView::from(workspace))
}
