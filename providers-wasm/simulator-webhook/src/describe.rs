//! What this provider can do, for the host to know before any account exists.

use anyport_simulator::limits;
use serde_json::json;

use crate::config;
use crate::exports::lifecycle::{Descriptor, Feature, SignInMethod};
use crate::state::STATE_VERSION;

const TOKEN: &str = r#"{"type":"object","additionalProperties":false,"required":["token"],"properties":{"token":{"type":"string","title":"Token of the HTTP API","format":"password"}}}"#;

pub fn descriptor() -> Descriptor {
    let media = |kind| {
        Some(json!({
            "max-bytes": limits::media_bytes(kind),
            "max-attachments": limits::ATTACHMENTS,
            "max-chars": limits::TEXT_CHARS,
        }))
    };
    let features = [
        ("send.text", Some(json!({"max-chars": limits::TEXT_CHARS}))),
        ("send.markdown", None),
        ("send.html", None),
        ("send.image", media("image")),
        ("send.video", media("video")),
        ("send.audio", media("audio")),
        ("send.voice", media("voice")),
        ("send.document", media("document")),
        ("send.sticker", media("sticker")),
        (
            "send.contact",
            Some(json!({"max-contacts": limits::CONTACT_CARDS})),
        ),
        ("send.location", None),
        (
            "send.interactive",
            Some(json!({"max-choices": limits::CHOICES})),
        ),
        ("send.custom", None),
        ("send.reply", None),
        (
            "send.mentions",
            Some(json!({"max-mentions": limits::MENTIONS})),
        ),
        ("media.fetch", None),
    ];
    Descriptor {
        title: "Simulator by webhook".to_owned(),
        features: features
            .into_iter()
            .map(|(name, limits)| Feature {
                name: name.to_owned(),
                limits: limits.map(|limits| limits.to_string()),
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
