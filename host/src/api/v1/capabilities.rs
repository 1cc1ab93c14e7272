//! Our own: what an account can do, by the version of its provider that it runs.

use super::super::Api;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::Operation;
use super::super::keys::WorkspaceKey;
use super::super::query::PathText;
use super::super::routes::Routes;
use super::subject::provider;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

const READ: Operation = Operation::of_command(codes::COMMAND_FAILED, codes::NOT_FOUND);

pub fn routes() -> Routes {
    Routes::new().get("/v1/accounts/{account_id}/capabilities", read)
}

#[derive(Debug, Serialize)]
pub struct Capabilities {
    account_id: String,
    provider: String,
    version: String,
    digest: String,
    features: Vec<FeatureView>,
}

/// As `describe` declares it.
#[derive(Debug, Serialize)]
pub struct FeatureView {
    pub name: String,
    pub limits: Option<Value>,
}

impl FeatureView {
    pub fn all(features: &[(String, Option<Value>)]) -> Vec<Self> {
        features
            .iter()
            .map(|(name, limits)| Self {
                name: name.clone(),
                limits: limits.clone(),
            })
            .collect()
    }
}

async fn read(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
) -> Answer {
    let account = super::account(&api, &READ, &workspace, &id).await?;
    let info = provider(&api, &account).await?;
    Reply::ok(&Capabilities {
        account_id: account.id.to_string(),
        provider: account.provider_alias,
        version: info.manifest.version.clone(),
        digest: info.digest.clone(),
        features: FeatureView::all(&info.features),
    })
}
