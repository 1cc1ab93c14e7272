//! What this provider can do, for the host to know before any account exists.

use anyport_simulator::limits;
use serde_json::{Value, json};

use crate::config;
use crate::exports::lifecycle::{Descriptor, Feature, SignInMethod};
use crate::state::STATE_VERSION;

const USER_ONLY: &str = r#"{"type":"object","additionalProperties":false,"properties":{"user":{"type":"string","title":"User","minLength":1,"maxLength":128}}}"#;
const USER_AND_PASSWORD: &str = r#"{"type":"object","additionalProperties":false,"properties":{"user":{"type":"string","title":"User","minLength":1,"maxLength":128},"password":{"type":"string","title":"Password","format":"password"}}}"#;
const USER_AND_SESSION: &str = r#"{"type":"object","additionalProperties":false,"required":["session"],"properties":{"user":{"type":"string","title":"User","minLength":1,"maxLength":128},"session":{"type":"string","title":"Session of an earlier sign-in","format":"password"}}}"#;

pub fn descriptor() -> Descriptor {
    let method = |name: &str, title: &str, inputs: &str| SignInMethod {
        name: name.to_owned(),
        title: title.to_owned(),
        inputs: Some(inputs.to_owned()),
    };
    Descriptor {
        title: "Simulator".to_owned(),
        features: features(),
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

/// By the names of docs/capabilities.md. The limits are the channel's own.
fn features() -> Vec<Feature> {
    let page = json!({"max-items": limits::PAGE});
    let profile = json!({
        "max-chars": limits::DESCRIPTION_CHARS,
        "max-bytes": limits::AVATAR_BYTES,
    });
    let none = Value::Null;
    let others = [
        (
            "message.edit",
            json!({"max-chars": limits::TEXT_CHARS, "max-age-seconds": limits::EDIT_MS / 1000}),
        ),
        ("message.revoke", none.clone()),
        ("message.react", none.clone()),
        ("message.pin", none.clone()),
        ("message.forward", none.clone()),
        ("conversations.list", page.clone()),
        ("conversations.get", none.clone()),
        ("conversations.members", page.clone()),
        (
            "conversations.open",
            json!({"max-members": limits::GROUP_MEMBERS - 1}),
        ),
        ("conversations.history", page.clone()),
        ("conversations.read", none.clone()),
        ("conversations.unread", none.clone()),
        ("conversations.mute", none.clone()),
        ("conversations.pin", none.clone()),
        ("conversations.archive", none.clone()),
        ("conversations.delete", none.clone()),
        (
            "conversations.activity",
            json!({"activities": limits::ACTIVITIES}),
        ),
        ("labels.list", page.clone()),
        ("labels.upsert", json!({"max-chars": limits::LABEL_CHARS})),
        ("labels.delete", none.clone()),
        (
            "labels.assign",
            json!({"max-conversations": limits::LABELLED}),
        ),
        ("contacts.list", page.clone()),
        ("contacts.get", none.clone()),
        ("contacts.resolve", none.clone()),
        ("contacts.blocklist", page.clone()),
        ("contacts.block", none.clone()),
        ("contacts.note", json!({"max-chars": limits::NOTE_CHARS})),
        ("groups.list", page),
        ("groups.get", none.clone()),
        (
            "groups.create",
            json!({"max-chars": limits::NAME_CHARS, "max-members": limits::GROUP_MEMBERS - 1}),
        ),
        ("groups.leave", none.clone()),
        ("groups.members", none.clone()),
        ("groups.info", profile.clone()),
        ("groups.join-requests", none.clone()),
        ("groups.join-approval", none.clone()),
        ("groups.invitation", none.clone()),
        ("media.fetch", none.clone()),
        ("profile.get", none.clone()),
        ("profile.update", profile),
        ("profile.presence", none),
        ("command.stats", json!({"input": {"type": "object"}})),
        (
            "command.clear",
            json!({"input": {
                "type": "object",
                "required": ["conversation_id"],
                "properties": {"conversation_id": {"type": "string"}},
            }}),
        ),
    ];
    let sends = simulator_mapping::sends();
    let all = sends.into_iter().chain(others);
    all.map(|(name, limits)| Feature {
        name: name.to_owned(),
        limits: (!limits.is_null()).then(|| limits.to_string()),
    })
    .collect()
}
