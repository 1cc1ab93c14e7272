//! The runtime of an account: refresh, start, stop, reconnect.

use super::super::body::OptionalJsonBody;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::Operation;
use super::super::openapi::Doc;
use super::super::routes::Routes;
use super::account_view::runtime_error;
use super::at_account::AtAccount;
use crate::domain::account::RuntimeStatus;
use crate::supervisor::control::RuntimeAction;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

const ACT: Operation = Operation::of_runtime(codes::RUN_RUNTIME_ACTION_FAILED);

pub fn routes() -> Routes {
    let action = |id: &'static str, summary: &'static str| {
        Doc::new(id, summary)
            .optional_body::<Map<String, Value>>()
            .ok::<RuntimeActionResult>()
            .fails(ACT.acts())
    };
    Routes::new()
        .post("/v1/accounts/{account_id}/runtime/refresh", refresh)
        .doc(action("refreshAccountRuntime", "Look how the runtime is"))
        .post("/v1/accounts/{account_id}/runtime/start", start)
        .doc(action("startAccountRuntime", "Start the runtime"))
        .post("/v1/accounts/{account_id}/runtime/stop", stop)
        .doc(action(
            "stopAccountRuntime",
            "Stop the runtime until it is started again",
        ))
        .post("/v1/accounts/{account_id}/runtime/reconnect", reconnect)
        .doc(action(
            "reconnectAccountRuntime",
            "Close the connections and open them anew",
        ))
        .about("Account Runtime", "The live instance of one account.")
}

#[derive(JsonSchema, Serialize)]
#[schemars(example = json!({
    "account_id": "acc_7mZ2qK9t", "provider": "harbor", "action": "start",
    "operation_status": "succeeded", "runtime_status": "running", "runtime_error": "",
}))]
struct RuntimeActionResult {
    account_id: String,
    provider: String,
    #[schemars(extend("enum" = ["refresh_status", "start", "stop", "reconnect"]))]
    action: &'static str,
    #[schemars(extend("enum" = ["succeeded", "failed"]))]
    operation_status: &'static str,
    #[schemars(with = "RuntimeStatus")]
    runtime_status: &'static str,
    runtime_error: String,
}

macro_rules! actions {
    ($($handler:ident $action:ident;)*) => {$(
        async fn $handler(
            at: AtAccount,
            // Nothing in it counts, but what is there must be JSON.
            _body: OptionalJsonBody,
        ) -> Answer {
            act(&at, RuntimeAction::$action).await
        }
    )*};
}

actions! {
    refresh Refresh;
    start Start;
    stop Stop;
    reconnect Reconnect;
}

async fn act(at: &AtAccount, action: RuntimeAction) -> Answer {
    let account = at.account(&ACT).await?;
    let state = at
        .api
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
