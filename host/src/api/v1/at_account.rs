//! The account that an operation's path names.

use super::super::Api;
use super::super::error::{ApiError, Operation};
use super::super::keys::WorkspaceKey;
use super::super::query::PathText;
use crate::domain::WorkspaceId;
use crate::domain::account::Account;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// Of the key's workspace, if there is one.
pub struct AtAccount {
    pub api: Api,
    pub workspace: WorkspaceId,
    pub id: String,
}

impl FromRequestParts<Api> for AtAccount {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let WorkspaceKey(workspace) = WorkspaceKey::from_request_parts(parts, api).await?;
        let PathText(id) = PathText::from_request_parts(parts, api).await?;
        Ok(Self {
            api: api.clone(),
            workspace,
            id,
        })
    }
}

impl AtAccount {
    pub async fn account(&self, operation: &'static Operation) -> Result<Account, ApiError> {
        super::account(&self.api, operation, &self.workspace, &self.id).await
    }
}
