//! What can be sent over the channel, whichever way it goes, with the channel's own limits.

use anyport_simulator::limits;
use serde_json::{Value, json};

/// By the names of docs/capabilities.md; null where there is no limit.
pub fn sends() -> Vec<(&'static str, Value)> {
    let text = json!({"max-chars": limits::TEXT_CHARS});
    let media = |kind| {
        json!({
            "max-bytes": limits::media_bytes(kind),
            "max-attachments": limits::ATTACHMENTS,
            "max-chars": limits::TEXT_CHARS,
        })
    };
    let cards = json!({"max-contacts": limits::CONTACT_CARDS});
    vec![
        ("send.text", text),
        ("send.markdown", Value::Null),
        ("send.html", Value::Null),
        ("send.image", media("image")),
        ("send.video", media("video")),
        ("send.audio", media("audio")),
        ("send.voice", media("voice")),
        ("send.document", media("document")),
        ("send.sticker", media("sticker")),
        ("send.contact", cards),
        ("send.location", Value::Null),
        ("send.interactive", json!({"max-choices": limits::CHOICES})),
        ("send.custom", Value::Null),
        ("send.reply", Value::Null),
        ("send.mentions", json!({"max-mentions": limits::MENTIONS})),
    ]
}
