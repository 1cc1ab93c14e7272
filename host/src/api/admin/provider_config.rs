//! The operator's configuration of a provider, under that of its accounts. Sealed in storage;
//! what the provider's schema marks as a secret never comes back in an answer.

use super::super::Api;
use super::super::body::JsonBody;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::ApiError;
use super::super::openapi::Doc;
use super::super::query::PathText;
use super::super::routes::Routes;
use super::{put_setting, refused, setting};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub fn routes() -> Routes {
    const PATH: &str = "/admin/v1/providers/{provider}/config";
    Routes::new()
        .get(PATH, read)
        .doc(described(
            "getProviderConfig",
            "Read the operator's configuration of a provider",
        ))
        .put(PATH, replace)
        .doc(
            described("replaceProviderConfig", "Replace it")
                .more("An object of the properties that the provider's schema has.")
                .body::<Map<String, Value>>()
                .fails([codes::CONFLICT]),
        )
        .patch(PATH, merge)
        .doc(
            described(
                "updateProviderConfig",
                "Merge into it, key by key; null removes",
            )
            .body::<Map<String, Value>>()
            .fails([codes::CONFLICT]),
        )
        .about(
            "Provider Configuration",
            "What all accounts of a provider have in common.",
        )
}

fn described(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, summary)
        .ok::<ConfigView<'_>>()
        .fails([codes::NOT_FOUND])
}

fn name(provider: &str) -> String {
    format!("{}{provider}", super::super::PROVIDER_CONFIG)
}

/// The provider's id, whatever it was called.
async fn id(api: &Api, name: &str) -> Result<String, ApiError> {
    super::super::v1::providers::installed(api, name)
        .await
        .map(|info| info.manifest.id.clone())
        .map_err(|_| ApiError::new(codes::NOT_FOUND, "provider: there is no such provider"))
}

async fn stored(api: &Api, id: &str) -> Result<Map<String, Value>, ApiError> {
    match setting(api, &name(id)).await? {
        None => Ok(Map::new()),
        Some(value) => serde_json::from_slice(&value)
            .map_err(|error| ApiError::internal(format!("a setting is damaged: {error}"))),
    }
}

/// What was set at run time; of secrets only their names.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProviderConfig")]
struct ConfigView<'a> {
    provider: &'a str,
    config: Map<String, Value>,
    secrets: Vec<&'a String>,
}

fn view(id: &str, mut config: Map<String, Value>, secret: &[String]) -> Answer {
    let secrets: Vec<&String> = secret
        .iter()
        .filter(|name| config.remove(*name).is_some())
        .collect();
    Reply::ok(&ConfigView {
        provider: id,
        config,
        secrets,
    })
}

async fn read(State(api): State<Api>, PathText(provider): PathText) -> Answer {
    let id = id(&api, &provider).await?;
    let secret = api.operate.check_config(&id, &json!({})).map_err(refused)?;
    view(&id, stored(&api, &id).await?, &secret)
}

async fn replace(
    State(api): State<Api>,
    PathText(provider): PathText,
    JsonBody(config): JsonBody,
) -> Answer {
    let id = id(&api, &provider).await?;
    let _one_at_a_time = api.admin_writes.lock().await;
    put(&api, &id, config).await
}

/// Key by key; null removes.
async fn merge(
    State(api): State<Api>,
    PathText(provider): PathText,
    JsonBody(over): JsonBody,
) -> Answer {
    let id = id(&api, &provider).await?;
    let _one_at_a_time = api.admin_writes.lock().await;
    let mut config = stored(&api, &id).await?;
    config.extend(over);
    put(&api, &id, config).await
}

async fn put(api: &Api, id: &str, mut config: Map<String, Value>) -> Answer {
    config.retain(|_, value| !value.is_null());
    let whole = Value::Object(config.clone());
    let secret = api.operate.check_config(id, &whole).map_err(refused)?;
    put_setting(api, &name(id), &config).await?;
    view(id, config, &secret)
}
