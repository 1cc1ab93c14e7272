//! Webhook endpoints.

use super::super::Api;
use super::super::body::{JsonBody, OptionalJsonBody};
use super::super::codes::{self, Code};
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::keys::WorkspaceKey;
use super::super::openapi::Doc;
use super::super::query::PathText;
use super::super::routes::Routes;
use super::endpoint_request::EndpointRequest;
use crate::domain::endpoint::{Endpoint, EndpointState, Ordering, RetryPolicy};
use crate::domain::{AccountId, EndpointId, Timestamp, WorkspaceId};
use crate::storage::StorageError;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub fn routes() -> Routes {
    const ONE: &str = "/v1/webhook-endpoints/{endpoint_id}";
    Routes::new()
        .get("/v1/webhook-endpoints", list)
        .doc(
            Doc::new("listWebhookEndpoints", "List the endpoints")
                .ok::<Vec<EndpointView>>()
                .fails([codes::LIST_WEBHOOK_ENDPOINTS_FAILED]),
        )
        .post("/v1/webhook-endpoints", create)
        .doc(
            Doc::new("createWebhookEndpoint", "Make an endpoint")
                .body_with::<EndpointRequest>(&["url"])
                .created::<EndpointView>()
                .fails([codes::CREATE_WEBHOOK_ENDPOINT_FAILED]),
        )
        .get(ONE, read)
        .doc(
            Doc::new("getWebhookEndpoint", "Read an endpoint")
                .ok::<EndpointView>()
                .fails([codes::GET_WEBHOOK_ENDPOINT_FAILED]),
        )
        .patch(ONE, update)
        .doc(
            Doc::new(
                "updateWebhookEndpoint",
                "Change an endpoint; what is absent stays",
            )
            .body::<EndpointRequest>()
            .ok::<EndpointView>(),
        )
        .delete(ONE, remove)
        .doc(Doc::new("deleteWebhookEndpoint", "Delete an endpoint").no_content())
        .post("/v1/webhook-endpoints/{endpoint_id}/deactivate", deactivate)
        .doc(
            Doc::new("deactivateWebhookEndpoint", "Switch an endpoint off")
                .optional_body::<Map<String, Value>>()
                .ok::<EndpointView>(),
        )
        .about("Webhook Endpoints", "Where events are delivered to.")
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "WebhookEndpoint", example = json!({
    "id": "we_0197c2", "url": "https://hooks.example.net/anyport", "status": "active",
    "subscribed_events": ["message.received"], "signing_enabled": true,
    "retry_policy": {"profile": "standard", "timeout_ms": 15000}, "accounts": [],
    "ordering": "conversation", "state": "enabled", "created_at": "2026-03-01T08:30:00Z",
}))]
struct EndpointView {
    id: String,
    url: String,
    #[schemars(extend("enum" = ["active", "inactive", "disabled"]))]
    status: &'static str,
    subscribed_events: Vec<String>,
    signing_enabled: bool,
    #[schemars(with = "Map<String, Value>")]
    retry_policy: Value,
    // Our own additions.
    accounts: Vec<String>,
    ordering: Ordering,
    state: EndpointState,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
    created_at: String,
}

impl From<Endpoint> for EndpointView {
    fn from(endpoint: Endpoint) -> Self {
        let retry = &endpoint.retry;
        let mut policy = json!({"profile": retry.profile, "timeout_ms": retry.timeout_ms});
        if let Some(max) = retry.max_attempts {
            policy["max_attempts"] = max.into();
        }
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url,
            status: match endpoint.state {
                EndpointState::Enabled | EndpointState::Failing => "active",
                EndpointState::Inactive => "inactive",
                EndpointState::Disabled => "disabled",
            },
            subscribed_events: endpoint.subscribed_events,
            signing_enabled: endpoint.secret.is_some(),
            retry_policy: policy,
            accounts: endpoint.accounts,
            ordering: endpoint.ordering,
            state: endpoint.state,
            state_reason: endpoint.state_reason,
            created_at: endpoint.created_at.rfc3339(),
        }
    }
}

fn storage(failed: Code) -> impl Fn(StorageError) -> ApiError {
    move |error| {
        let mut error = Operation::of_account(failed).storage(error);
        // The published codes of writes are 400s; a fault of the database is not the client's.
        if error.log.is_some() && error.code.status < 500 {
            error.code = codes::INTERNAL_ERROR;
        }
        error
    }
}

/// The endpoint of this workspace, or `code`: the contract has no 404 for writes.
async fn find(
    api: &Api,
    workspace: &WorkspaceId,
    id: &str,
    failed: Code,
    missing: Code,
) -> Result<Endpoint, ApiError> {
    api.store
        .endpoint(workspace, &EndpointId::from_text(id))
        .await
        .map_err(storage(failed))?
        .ok_or_else(|| ApiError::new(missing, "endpoint_id: there is no such endpoint"))
}

async fn list(State(api): State<Api>, WorkspaceKey(workspace): WorkspaceKey) -> Answer {
    let endpoints = api
        .store
        .endpoints(&workspace)
        .await
        .map_err(storage(codes::LIST_WEBHOOK_ENDPOINTS_FAILED))?;
    let views: Vec<EndpointView> = endpoints.into_iter().map(EndpointView::from).collect();
    Reply::ok(&views)
}

async fn create(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    JsonBody(body): JsonBody,
) -> Answer {
    let request = EndpointRequest::read(&body)?;
    let url = request
        .url
        .clone()
        .ok_or_else(|| ApiError::field("url", "is required (a string)"))?;
    let mut endpoint = Endpoint {
        id: EndpointId::generate(),
        workspace: workspace.clone(),
        url,
        state: EndpointState::Enabled,
        state_reason: None,
        subscribed_events: Vec::new(),
        accounts: Vec::new(),
        secret: None,
        old_secret: None,
        retry: RetryPolicy::default(),
        ordering: Ordering::Conversation,
        created_at: Timestamp::now(),
    };
    check_accounts(&api, &workspace, &endpoint, &request).await?;
    apply(&mut endpoint, request);
    let _one_at_a_time = api.endpoint_writes.lock().await;
    let failed = codes::CREATE_WEBHOOK_ENDPOINT_FAILED;
    let present = api
        .store
        .endpoints(&workspace)
        .await
        .map_err(storage(failed))?;
    if present.len() >= api.settings.endpoints_per_workspace {
        return Err(ApiError::new(
            failed,
            format!("a workspace has at most {} endpoints", present.len()),
        ));
    }
    api.store
        .create_endpoint(&endpoint)
        .await
        .map_err(storage(failed))?;
    (api.endpoint_changed)(&endpoint.id);
    Reply::created(&EndpointView::from(endpoint))
}

/// Ids of the filter that are new must be accounts of the workspace.
async fn check_accounts(
    api: &Api,
    workspace: &WorkspaceId,
    endpoint: &Endpoint,
    request: &EndpointRequest,
) -> Result<(), ApiError> {
    for (index, id) in request.accounts.iter().flatten().enumerate() {
        if endpoint.accounts.contains(id) {
            continue;
        }
        let account = api
            .store
            .account(workspace, &AccountId::from_text(id.as_str()))
            .await
            .map_err(|error| Operation::OWN.storage(error))?;
        if account.is_none() {
            return Err(ApiError::field(
                format!("accounts[{index}]"),
                "there is no such account",
            ));
        }
    }
    Ok(())
}

fn apply(endpoint: &mut Endpoint, request: EndpointRequest) {
    if let Some(url) = request.url {
        endpoint.url = url;
    }
    match request.active {
        Some(true) => {
            if matches!(
                endpoint.state,
                EndpointState::Inactive | EndpointState::Disabled
            ) {
                endpoint.state = EndpointState::Enabled;
                endpoint.state_reason = None;
            }
        }
        Some(false) => switch_off(endpoint),
        None => {}
    }
    if let Some(events) = request.subscribed_events {
        endpoint.subscribed_events = events;
    }
    if let Some(accounts) = request.accounts {
        endpoint.accounts = accounts;
    }
    if let Some(secret) = request.secret
        && secret != endpoint.secret
    {
        endpoint.old_secret = match (endpoint.secret.take(), &secret) {
            (Some(old), Some(_)) if request.overlap_ms > 0 => {
                Some((old, Timestamp::now().plus_ms(request.overlap_ms)))
            }
            _ => None,
        };
        endpoint.secret = secret;
    }
    if request.max_attempts.is_some() {
        endpoint.retry.max_attempts = request.max_attempts;
    }
    if let Some(profile) = request.profile {
        endpoint.retry.profile = profile;
    }
    if let Some(timeout_ms) = request.timeout_ms {
        endpoint.retry.timeout_ms = timeout_ms;
    }
    if let Some(ordering) = request.ordering {
        endpoint.ordering = ordering;
    }
}

fn switch_off(endpoint: &mut Endpoint) {
    if endpoint.state != EndpointState::Disabled {
        endpoint.state = EndpointState::Inactive;
        endpoint.state_reason = None;
    }
}

async fn read(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
) -> Answer {
    let failed = codes::GET_WEBHOOK_ENDPOINT_FAILED;
    let endpoint = find(&api, &workspace, &id, failed, codes::NOT_FOUND).await?;
    Reply::ok(&EndpointView::from(endpoint))
}

async fn update(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
    JsonBody(body): JsonBody,
) -> Answer {
    let failed = codes::UPDATE_WEBHOOK_ENDPOINT_FAILED;
    let request = EndpointRequest::read(&body)?;
    let _one_at_a_time = api.endpoint_writes.lock().await;
    let mut endpoint = find(&api, &workspace, &id, failed, failed).await?;
    check_accounts(&api, &workspace, &endpoint, &request).await?;
    apply(&mut endpoint, request);
    put(&api, endpoint, failed).await
}

async fn put(api: &Api, endpoint: Endpoint, failed: Code) -> Answer {
    api.store
        .put_endpoint(&endpoint)
        .await
        .map_err(storage(failed))?;
    (api.endpoint_changed)(&endpoint.id);
    Reply::ok(&EndpointView::from(endpoint))
}

async fn remove(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
) -> Answer {
    let failed = codes::DELETE_WEBHOOK_ENDPOINT_FAILED;
    let _one_at_a_time = api.endpoint_writes.lock().await;
    let endpoint = find(&api, &workspace, &id, failed, failed).await?;
    api.store
        .delete_endpoint(&endpoint.id)
        .await
        .map_err(storage(failed))?;
    (api.endpoint_changed)(&endpoint.id);
    Reply::no_content()
}

async fn deactivate(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
    _body: OptionalJsonBody,
) -> Answer {
    let failed = codes::DEACTIVATE_WEBHOOK_ENDPOINT_FAILED;
    let _one_at_a_time = api.endpoint_writes.lock().await;
    let mut endpoint = find(&api, &workspace, &id, failed, failed).await?;
    switch_off(&mut endpoint);
    put(&api, endpoint, failed).await
}
