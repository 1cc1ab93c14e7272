//! What this provider can do, for the host to know before any account exists.

use serde_json::Value;

use crate::config;
use crate::exports::lifecycle::{Descriptor, Feature, SignInMethod};
use crate::state::STATE_VERSION;

const TOKEN: &str = r#"{"type":"object","additionalProperties":false,"required":["token"],"properties":{"token":{"type":"string","title":"Token of the HTTP API","format":"password"}}}"#;

pub fn descriptor() -> Descriptor {
    let mut features = simulator_mapping::sends();
    features.push(("media.fetch", Value::Null));
    Descriptor {
        title: "Simulator by webhook".to_owned(),
        features: features
            .into_iter()
            .map(|(name, limits)| Feature {
                name: name.to_owned(),
                limits: (!limits.is_null()).then(|| limits.to_string()),
            })
            .collect(),
        sign_in_methods: vec![SignInMethod {
            name: "token".to_owned(),
            title: "Token of the HTTP API".to_owned(),
            inputs: Some(TOKEN.to_owned()),
        }],
        config_schema: config::SCHEMA.to_owned(),
        state_version: STATE_VERSION,
        reads_state_versions: vec![STATE_VERSION],
        extra: None,
    }
}
