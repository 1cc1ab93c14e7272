//! The admin surface, `/admin/v1`: what operators do to workspaces, keys, providers and the
//! network, and what they see of the host. Every operation takes an operator's key; who that is
//! stands in the audit log (`gate`).

mod network;
mod operator_keys;
mod provider_config;
mod providers;
mod state;
mod upkeep;
mod usage;
mod workspaces;

pub use upkeep::rotate_all;

use super::Api;
use super::codes;
use super::error::{ApiError, Operation};
use super::routes::Routes;
use super::workspace_changes;
use crate::supervisor::control::Refusal;
use crate::supervisor::operate::OperateError;
use serde::Serialize;

pub fn routes() -> Routes {
    Routes::new()
        .merge(operator_keys::routes())
        .merge(workspaces::routes())
        .merge(providers::routes())
        .merge(provider_config::routes())
        .merge(network::routes())
        .merge(usage::routes())
        .merge(state::routes())
        .merge(upkeep::routes())
}

pub fn refused(error: OperateError) -> ApiError {
    let text = error.to_string();
    match error {
        OperateError::Missing(_) => ApiError::new(codes::NOT_FOUND, text),
        OperateError::Conflict(_) => ApiError::new(codes::CONFLICT, text),
        OperateError::Invalid(field, rule) => ApiError::field(field, rule),
        OperateError::Elsewhere => Operation::OWN.refusal(Refusal::OwnerElsewhere),
        OperateError::Storage(error) => Operation::OWN.storage(error),
    }
}

/// A setting of the operator as storage has it; none: it was never set.
async fn setting(api: &Api, name: &str) -> Result<Option<Vec<u8>>, ApiError> {
    let settings = api
        .store
        .settings()
        .await
        .map_err(|error| Operation::OWN.storage(error))?;
    let found = settings.into_iter().find(|(known, _)| known == name);
    Ok(found.map(|(_, value)| value))
}

/// Stores it and puts it into effect.
async fn put_setting(api: &Api, name: &str, value: &impl Serialize) -> Result<(), ApiError> {
    let value = serde_json::to_vec(value)
        .map_err(|error| ApiError::internal(format!("a setting cannot be written: {error}")))?;
    api.store
        .put_setting(name, Some(&value))
        .await
        .map_err(|error| Operation::OWN.storage(error))?;
    workspace_changes::reload(api).await;
    Ok(())
}
