//! The runtime of an account: refresh, start, stop, reconnect.

use super::super::Api;
use super::super::body::OptionalJsonBody;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::Operation;
use super::super::keys::WorkspaceKey;
use super::super::query::PathText;
use super::super::routes::Routes;
use super::account_view::runtime_error;
use crate::domain::WorkspaceId;
use crate::domain::account::RuntimeStatus;
use crate::supervisor::control::RuntimeAction;
use axum::extract::State;
use serde::Serialize;

const ACT: Operation = Operation::of_runtime(codes::RUN_RUNTIME_ACTION_FAILED);

pub fn routes() -> Routes {
    Routes::new()
        .post("/v1/accounts/{account_id}/runtime/refresh", refresh)
        .post("/v1/accounts/{account_id}/runtime/start", start)
        .post("/v1/accounts/{account_id}/runtime/stop", stop)
        .post("/v1/accounts/{account_id}/runtime/reconnect", reconnect)
}

#[derive(Serialize)]
struct RuntimeActionResult {
    account_id: String,
    provider: String,
    action: &'static str,
    operation_status: &'static str,
    runtime_status: &'static str,
    runtime_error: String,
}

macro_rules! actions {
    ($($handler:ident $action:ident;)*) => {$(
        async fn $handler(
            State(api): State<Api>,
            WorkspaceKey(workspace): WorkspaceKey,
            PathText(id): PathText,
            // Nothing in it counts, but what is there must be JSON.
            _body: OptionalJsonBody,
        ) -> Answer {
            act(&api, &workspace, &id, RuntimeAction::$action).await
        }
    )*};
}

actions! {
    refresh Refresh;
    start Start;
    stop Stop;
    reconnect Reconnect;
}

async fn act(api: &Api, workspace: &WorkspaceId, id: &str, action: RuntimeAction) -> Answer {
    let account = super::account(api, &ACT, workspace, id).await?;
    let state = api
        .control
        .runtime(&account.id, action)
        .await
        .map_err(|refusal| ACT.refusal(refusal))?;
    // A refresh that finds an error has succeeded; the others have not.
    let failed = state.status == RuntimeStatus::Error && action != RuntimeAction::Refresh;
    Reply::ok(&RuntimeActionResult {
        account_id: account.id.to_string(),
        provider: account.provider_alias,
        action: match action {
            RuntimeAction::Refresh => "refresh_status",
            RuntimeAction::Start => "start",
            RuntimeAction::Stop => "stop",
            RuntimeAction::Reconnect => "reconnect",
        },
        operation_status: if failed { "failed" } else { "succeeded" },
        runtime_status: state.status.as_str(),
        runtime_error: runtime_error(&state),
    })
}
