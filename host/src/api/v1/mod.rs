//! The native API, compatible with the UnifyPort Device API, and its own additions.

mod account_request;
mod account_view;
mod accounts;
mod api_keys;
mod at_account;
mod auth;
mod capabilities;
mod command_doc;
mod contacts;
mod conversation_view;
mod conversations;
mod endpoint_request;
mod endpoints;
mod event_stream;
mod events;
mod forward_request;
mod group_view;
mod groups;
mod labels;
pub(super) mod media;
mod message_actions;
mod message_request;
mod message_schema;
mod message_view;
mod messages;
mod picture;
mod profile;
mod profile_view;
pub(super) mod providers;
mod proxy;
mod runtime;
mod session_view;
mod subject;
mod workspace;

use super::Api;
use super::error::{ApiError, Operation};
use super::routes::Routes;
use crate::domain::account::Account;
use crate::domain::{AccountId, WorkspaceId};
use serde_json::{Map, Value};

pub fn routes() -> Routes {
    Routes::new()
        .merge(workspace::routes())
        .merge(api_keys::routes())
        .merge(providers::routes())
        .merge(accounts::routes())
        .merge(auth::routes())
        .merge(runtime::routes())
        .merge(capabilities::routes())
        .merge(conversations::routes())
        .merge(labels::routes())
        .merge(contacts::routes())
        .merge(groups::routes())
        .merge(profile::routes())
        .merge(messages::routes())
        .merge(message_actions::routes())
        .merge(media::routes())
        .merge(endpoints::routes())
        .merge(events::routes())
}

/// The account of this workspace, or the operation's error for one that does not exist.
async fn account(
    api: &Api,
    operation: &Operation,
    workspace: &WorkspaceId,
    id: &str,
) -> Result<Account, ApiError> {
    api.store
        .account(workspace, &AccountId::from_text(id))
        .await
        .map_err(|error| operation.storage(error))?
        .ok_or_else(|| operation.missing())
}

/// Earlier clients nest what belongs at the top under `params`; the top wins.
fn without_params(mut body: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    match body.remove("params") {
        None | Some(Value::Null) => Ok(body),
        Some(Value::Object(params)) => {
            for (name, value) in params {
                body.entry(name).or_insert(value);
            }
            Ok(body)
        }
        Some(other) => Err(ApiError::field(
            "params",
            super::fields::must_be("an object", &other),
        )),
    }
}
