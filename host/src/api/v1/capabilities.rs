//! Our own: what an account can do, by the version of its provider that it runs.

use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::Operation;
use super::super::openapi::Doc;
use super::super::routes::Routes;
use super::at_account::AtAccount;
use super::subject::provider;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

const READ: Operation = Operation::of_command(codes::COMMAND_FAILED, codes::NOT_FOUND);

pub fn routes() -> Routes {
    Routes::new()
        .get("/v1/accounts/{account_id}/capabilities", read)
        .doc(
            Doc::new(
                "getAccountCapabilities",
                "What the account can do, by the version that it runs",
            )
            .ok::<Capabilities>()
            .fails(READ.reads())
            .fails([codes::PROVIDER_ADAPTER_NOT_FOUND]),
        )
        .about("Capabilities", "What an account can do.")
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct Capabilities {
    account_id: String,
    provider: String,
    version: String,
    digest: String,
    features: Vec<FeatureView>,
}

/// As `describe` declares it.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ProviderFeature")]
pub struct FeatureView {
    pub name: String,
    #[schemars(with = "Option<Map<String, Value>>")]
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

async fn read(at: AtAccount) -> Answer {
    let account = at.account(&READ).await?;
    let info = provider(&at.api, &account).await?;
    Reply::ok(&Capabilities {
        account_id: account.id.to_string(),
        provider: account.provider_alias,
        version: info.manifest.version.clone(),
        digest: info.digest.clone(),
        features: FeatureView::all(&info.features),
    })
}
