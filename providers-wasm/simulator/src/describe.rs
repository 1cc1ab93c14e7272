//! What this provider can do, for the host to know before any account exists.

use crate::config;
use crate::exports::lifecycle::{Descriptor, Feature, SignInMethod};
use crate::state::STATE_VERSION;

const USER_ONLY: &str = r#"{"type":"object","additionalProperties":false,"properties":{"user":{"type":"string","title":"User","minLength":1,"maxLength":128}}}"#;
const USER_AND_PASSWORD: &str = r#"{"type":"object","additionalProperties":false,"properties":{"user":{"type":"string","title":"User","minLength":1,"maxLength":128},"password":{"type":"string","title":"Password","format":"password"}}}"#;
const USER_AND_SESSION: &str = r#"{"type":"object","additionalProperties":false,"required":["session"],"properties":{"user":{"type":"string","title":"User","minLength":1,"maxLength":128},"session":{"type":"string","title":"Session of an earlier sign-in","format":"password"}}}"#;

pub fn descriptor() -> Descriptor {
    let feature = |name: &str, limits: Option<&str>| Feature {
        name: name.to_owned(),
        limits: limits.map(str::to_owned),
    };
    let method = |name: &str, title: &str, inputs: &str| SignInMethod {
        name: name.to_owned(),
        title: title.to_owned(),
        inputs: Some(inputs.to_owned()),
    };
    Descriptor {
        title: "Simulator".to_owned(),
        features: vec![
            feature("send.text", Some(r#"{"max-chars":65536}"#)),
            feature("send.contact", None),
            feature("send.location", None),
            feature("send.interactive", None),
            feature("send.custom", None),
        ],
        sign_in_methods: vec![
            method("qr", "Scan a QR code", USER_ONLY),
            method("code", "Type a code (123456)", USER_ONLY),
            method("password", "User name and password", USER_AND_PASSWORD),
            method("session", "Session of an earlier sign-in", USER_AND_SESSION),
        ],
        config_schema: config::SCHEMA.to_owned(),
        state_version: STATE_VERSION,
        reads_state_versions: vec![STATE_VERSION],
        extra: None,
    }
}
