//! Workspaces and their keys.

use super::super::Api;
use super::super::body::{JsonBody, OptionalJsonBody};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::key_requests::{self, Desk, KeyView, KeyWithText, Owner};
use super::super::key_schema::{KeyChange, KeyRotation, NewKeyByOperator};
use super::super::openapi::Doc;
use super::super::query::{PathPair, PathText};
use super::super::routes::Routes;
use super::super::workspace_changes;
use crate::domain::WorkspaceId;
use crate::storage::{Conflict, StorageError, Workspace};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

const STATUSES: [&str; 3] = ["active", "inactive", "suspended"];

pub fn routes() -> Routes {
    const ONE: &str = "/admin/v1/workspaces/{workspace_id}";
    const KEYS: &str = "/admin/v1/workspaces/{workspace_id}/api-keys";
    const KEY: &str = "/admin/v1/workspaces/{workspace_id}/api-keys/{key_id}";
    Routes::new()
        .get("/admin/v1/workspaces", list)
        .doc(Doc::new("listWorkspaces", "List the workspaces").ok::<Vec<WorkspaceView>>())
        .post("/admin/v1/workspaces", create)
        .doc(
            Doc::new("createWorkspace", "Make a workspace")
                .body_with::<WorkspaceRequest>(&["name"])
                .created::<WorkspaceView>(),
        )
        .get(ONE, read)
        .doc(one("getWorkspaceAsOperator", "Read a workspace").ok::<WorkspaceView>())
        .patch(ONE, update)
        .doc(
            one(
                "updateWorkspaceAsOperator",
                "Change a workspace; what is absent stays",
            )
            .body::<WorkspaceRequest>()
            .ok::<WorkspaceView>(),
        )
        .delete(ONE, remove)
        .doc(
            one("deleteWorkspace", "Delete a workspace that has no accounts")
                .no_content()
                .fails([codes::CONFLICT]),
        )
        .get(KEYS, list_keys)
        .doc(one("listWorkspaceKeys", "List its keys").ok::<Vec<KeyView>>())
        .post(KEYS, create_key)
        .doc(
            one("createWorkspaceKey", "Make a key of it")
                .body::<NewKeyByOperator>()
                .created::<KeyWithText>()
                .fails([codes::CONFLICT]),
        )
        .patch(KEY, change_key)
        .doc(
            one("updateWorkspaceKey", "Change a key of it")
                .body::<KeyChange>()
                .ok::<KeyView>(),
        )
        .post(&format!("{KEY}/rotate"), rotate_key)
        .doc(
            one("rotateWorkspaceKey", "Give a key of it a new text")
                .optional_body::<KeyRotation>()
                .ok::<KeyWithText>(),
        )
        .about("Workspaces", "All workspaces of the host, and their keys.")
}

fn one(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, summary).fails([codes::NOT_FOUND])
}

/// A workspace as an operator's request has it, for the description.
#[derive(JsonSchema)]
#[schemars(example = json!({"name": "Harbor Desk", "metadata": {"env": "prod"}, "account_quota": 25}))]
#[expect(dead_code, reason = "only its schema is used")]
struct WorkspaceRequest {
    #[schemars(length(max = 200))]
    name: Option<String>,
    #[schemars(extend("enum" = ["active", "inactive", "suspended", null]))]
    status: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    /// null: unlimited.
    account_quota: Option<u32>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "WorkspaceOfOperator", example = json!({
    "id": "ws_0197c2", "name": "Harbor Desk", "status": "active", "metadata": {"env": "prod"},
    "account_quota": 25, "accounts": 3,
}))]
struct WorkspaceView {
    id: String,
    name: String,
    status: String,
    #[schemars(with = "BTreeMap<String, String>")]
    metadata: Value,
    /// None: unlimited.
    account_quota: Option<u64>,
    accounts: usize,
}

impl WorkspaceView {
    fn new(workspace: Workspace, accounts: usize) -> Self {
        Self {
            id: workspace.id.to_string(),
            name: workspace.name,
            status: workspace.status,
            metadata: workspace.metadata,
            account_quota: workspace.account_quota,
            accounts,
        }
    }
}

fn storage(error: StorageError) -> ApiError {
    match error {
        StorageError::Conflict(Conflict::NotFound) => no_such_workspace(),
        other => Operation::OWN.storage(other),
    }
}

fn no_such_workspace() -> ApiError {
    ApiError::new(codes::NOT_FOUND, "workspace_id: there is no such workspace")
}

async fn find(api: &Api, id: &str) -> Result<Workspace, ApiError> {
    api.store
        .workspace(&WorkspaceId::from_text(id))
        .await
        .map_err(storage)?
        .ok_or_else(no_such_workspace)
}

/// With the number of its accounts, which storage counts.
async fn view(api: &Api, workspace: Workspace) -> Answer {
    let accounts = api.store.accounts(&workspace.id).await.map_err(storage)?;
    Reply::ok(&WorkspaceView::new(workspace, accounts.len()))
}

async fn list(State(api): State<Api>) -> Answer {
    let mut accounts: HashMap<WorkspaceId, usize> = HashMap::new();
    for account in api.store.all_accounts().await.map_err(storage)? {
        *accounts.entry(account.workspace).or_default() += 1;
    }
    let workspaces = api.store.workspaces().await.map_err(storage)?;
    let views: Vec<WorkspaceView> = workspaces
        .into_iter()
        .map(|workspace| {
            let count = accounts.get(&workspace.id).copied().unwrap_or(0);
            WorkspaceView::new(workspace, count)
        })
        .collect();
    Reply::ok(&views)
}

/// None: it is not in the body. `null`: unlimited.
fn quota(fields: &Fields<'_>) -> Result<Option<Option<u64>>, ApiError> {
    if !fields.has("account_quota") {
        return Ok(None);
    }
    Ok(Some(
        fields.integer("account_quota", 0..=u64::from(u32::MAX))?,
    ))
}

async fn create(State(api): State<Api>, JsonBody(body): JsonBody) -> Answer {
    let fields = Fields::top(&body);
    let workspace = Workspace {
        id: WorkspaceId::generate(),
        name: fields.required_text("name", 200)?.to_owned(),
        status: fields
            .choice("status", &STATUSES)?
            .unwrap_or("active")
            .to_owned(),
        metadata: workspace_changes::metadata(&fields)?.unwrap_or_else(|| json!({})),
        account_quota: quota(&fields)?.flatten(),
    };
    let _one_at_a_time = api.admin_writes.lock().await;
    workspace_changes::put(&api, &workspace).await?;
    Reply::created(&WorkspaceView::new(workspace, 0))
}

async fn read(State(api): State<Api>, PathText(id): PathText) -> Answer {
    let workspace = find(&api, &id).await?;
    view(&api, workspace).await
}

/// Any part of it; what is absent stays.
async fn update(
    State(api): State<Api>,
    PathText(id): PathText,
    JsonBody(body): JsonBody,
) -> Answer {
    let fields = Fields::top(&body);
    let name = fields.text("name", 200)?;
    let status = fields.choice("status", &STATUSES)?;
    let metadata = workspace_changes::metadata(&fields)?;
    let quota = quota(&fields)?;
    let workspace = {
        let _one_at_a_time = api.admin_writes.lock().await;
        let mut workspace = find(&api, &id).await?;
        if let Some(name) = name {
            workspace.name = name.to_owned();
        }
        if let Some(status) = status {
            workspace.status = status.to_owned();
        }
        if let Some(metadata) = metadata {
            workspace.metadata = metadata;
        }
        if let Some(quota) = quota {
            workspace.account_quota = quota;
        }
        workspace_changes::put(&api, &workspace).await?;
        workspace
    };
    view(&api, workspace).await
}

/// With its keys and endpoints. One that still has accounts is refused: they are signed out and
/// deleted first, each by itself.
async fn remove(State(api): State<Api>, PathText(id): PathText) -> Answer {
    let _one_at_a_time = api.admin_writes.lock().await;
    let workspace = find(&api, &id).await?;
    let accounts = api.store.accounts(&workspace.id).await.map_err(storage)?;
    if !accounts.is_empty() {
        return Err(storage(StorageError::Conflict(Conflict::HasAccounts)));
    }
    for endpoint in api.store.endpoints(&workspace.id).await.map_err(storage)? {
        api.store
            .delete_endpoint(&endpoint.id)
            .await
            .map_err(storage)?;
        (api.endpoint_changed)(&endpoint.id);
    }
    let deleted = api.store.delete_workspace(&workspace.id).await;
    api.keys.forget();
    deleted.map_err(storage)?;
    workspace_changes::reload(&api).await;
    Reply::no_content()
}

async fn desk(api: &Api, id: &str) -> Result<Desk, ApiError> {
    Ok(Desk {
        owner: Owner::Workspace(find(api, id).await?.id),
        by_operator: true,
        full: codes::CONFLICT,
        missing: codes::NOT_FOUND,
    })
}

async fn list_keys(State(api): State<Api>, PathText(id): PathText) -> Answer {
    let owner = desk(&api, &id).await?.owner;
    Reply::ok(&key_requests::list(&api, &owner, codes::INTERNAL_ERROR).await?)
}

async fn create_key(
    State(api): State<Api>,
    PathText(id): PathText,
    JsonBody(body): JsonBody,
) -> Answer {
    let desk = desk(&api, &id).await?;
    Reply::created(&key_requests::create(&api, &desk, &body).await?)
}

async fn change_key(
    State(api): State<Api>,
    PathPair(id, key): PathPair,
    JsonBody(body): JsonBody,
) -> Answer {
    let desk = desk(&api, &id).await?;
    Reply::ok(&key_requests::change(&api, &desk, &key, &body).await?)
}

async fn rotate_key(
    State(api): State<Api>,
    PathPair(id, key): PathPair,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Answer {
    let desk = desk(&api, &id).await?;
    Reply::ok(&key_requests::rotate(&api, &desk, &key, &body).await?)
}
