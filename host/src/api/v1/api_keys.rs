//! The keys of the workspace that a key opens.

use super::super::Api;
use super::super::body::{JsonBody, OptionalJsonBody};
use super::super::codes::{self, Code};
use super::super::envelope::{Answer, Reply};
use super::super::key_requests::{self, Desk, KeyView, KeyWithText, Owner};
use super::super::key_schema::{KeyRotation, KeyStatus, NewWorkspaceKey};
use super::super::keys::WorkspaceKey;
use super::super::openapi::Doc;
use super::super::query::PathText;
use super::super::routes::Routes;
use crate::domain::WorkspaceId;
use axum::extract::State;

pub fn routes() -> Routes {
    Routes::new()
        .get("/v1/api-keys", list)
        .doc(
            Doc::new(
                "listApiKeys",
                "List the workspace's keys, without their texts",
            )
            .ok::<Vec<KeyView>>()
            .fails([codes::LIST_API_KEYS_FAILED]),
        )
        .post("/v1/api-keys", create)
        .doc(
            Doc::new("createApiKey", "Make a key; its text is shown this once")
                .body::<NewWorkspaceKey>()
                .created::<KeyWithText>()
                .fails([codes::CREATE_API_KEY_FAILED]),
        )
        .patch("/v1/api-keys/{key_id}", change)
        .doc(
            Doc::new("updateApiKeyStatus", "Switch a key on or off")
                .body::<KeyStatus>()
                .ok::<KeyView>(),
        )
        .post("/v1/api-keys/{key_id}/rotate", rotate)
        .doc(
            Doc::new("rotateApiKey", "Give a key a new text under the same id")
                .optional_body::<KeyRotation>()
                .ok::<KeyWithText>(),
        )
        .about("API Keys", "The keys of the workspace that the key opens.")
}

fn desk(workspace: WorkspaceId, missing: Code) -> Desk {
    Desk {
        owner: Owner::Workspace(workspace),
        by_operator: false,
        full: codes::CREATE_API_KEY_FAILED,
        missing,
    }
}

async fn list(State(api): State<Api>, WorkspaceKey(workspace): WorkspaceKey) -> Answer {
    let owner = Owner::Workspace(workspace);
    Reply::ok(&key_requests::list(&api, &owner, codes::LIST_API_KEYS_FAILED).await?)
}

async fn create(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    JsonBody(body): JsonBody,
) -> Answer {
    let desk = desk(workspace, codes::CREATE_API_KEY_FAILED);
    Reply::created(&key_requests::create(&api, &desk, &body).await?)
}

async fn change(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
    JsonBody(body): JsonBody,
) -> Answer {
    let desk = desk(workspace, codes::UPDATE_API_KEY_FAILED);
    Reply::ok(&key_requests::change(&api, &desk, &id, &body).await?)
}

async fn rotate(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Answer {
    let desk = desk(workspace, codes::ROTATE_API_KEY_FAILED);
    Reply::ok(&key_requests::rotate(&api, &desk, &id, &body).await?)
}
