//! What changing a workspace has in common for its owner and for operators.

use super::Api;
use super::error::{ApiError, Operation};
use super::fields::{self, Fields};
use crate::storage::Workspace;
use serde_json::Value;

/// An object of strings.
pub fn metadata(fields: &Fields<'_>) -> Result<Option<Value>, ApiError> {
    let Some(metadata) = fields.object("metadata")? else {
        return Ok(None);
    };
    for (name, value) in metadata.map() {
        if !value.is_string() {
            return Err(metadata.error(name, fields::must_be("a string", value)));
        }
    }
    Ok(Some(Value::Object(metadata.map().clone())))
}

/// Stores it and puts it into effect: keys open or do not, accounts run or rest.
pub async fn put(api: &Api, workspace: &Workspace) -> Result<(), ApiError> {
    let put = api.store.put_workspace(workspace).await;
    api.keys.forget();
    put.map_err(|error| Operation::OWN.storage(error))?;
    reload(api).await;
    Ok(())
}

/// What was stored counts now. Should it not, it does within seconds: `app` tries again.
pub async fn reload(api: &Api) {
    if let Err(error) = api.operator_settings.reload().await {
        tracing::warn!(%error, "what was changed is stored and not in effect yet");
    }
}
