//! `SendMessageRequest` for the description; `message_request` reads it.
#![expect(dead_code, reason = "only their schemas are used")]

use super::message_request::Recipient;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

#[derive(JsonSchema)]
#[schemars(example = json!({
    "account_id": "acc_7mZ2qK9t", "to": {"id": "15550100023", "type": "user"},
    "message": {"type": "text", "text": "Your table is ready"},
}))]
pub struct SendMessageRequest {
    #[schemars(length(min = 1, max = 512))]
    account_id: String,
    to: Recipient,
    message: MessagePayload,
    reply_to: Option<ReplyTo>,
    /// Each `{{@id}}` in the text becomes a mention, where the provider has `send.mentions`.
    mentions: Option<Vec<Mention>>,
    /// What the provider reads by itself; `parse_mode` is `Markdown` or `HTML`.
    provider_data: Option<Map<String, Value>>,
}

/// `text` needs `text`; `contact` needs `contacts`; the others `url`, `file_url` or `file_key`.
#[derive(JsonSchema)]
struct MessagePayload {
    #[schemars(extend("enum" = ["text", "image", "video", "audio", "document", "file", "contact"]))]
    r#type: String,
    #[schemars(length(max = 262_144))]
    text: Option<String>,
    #[schemars(length(max = 8192))]
    url: Option<String>,
    #[schemars(length(max = 8192))]
    file_url: Option<String>,
    #[schemars(length(max = 8192))]
    file_key: Option<String>,
    contacts: Option<Vec<ContactCard>>,
}

#[derive(JsonSchema)]
struct ContactCard {
    #[schemars(length(min = 1, max = 512))]
    name: String,
    phones: Option<Vec<ContactPhone>>,
    emails: Option<Vec<ContactEmail>>,
    #[schemars(length(max = 512))]
    organization: Option<String>,
    #[schemars(length(max = 512))]
    title: Option<String>,
}

#[derive(JsonSchema)]
struct ContactPhone {
    #[schemars(length(min = 1, max = 512))]
    number: String,
    #[schemars(length(max = 64))]
    r#type: Option<String>,
}

#[derive(JsonSchema)]
struct ContactEmail {
    #[schemars(length(min = 1, max = 512))]
    address: String,
    #[schemars(length(max = 64))]
    r#type: Option<String>,
}

#[derive(JsonSchema)]
struct ReplyTo {
    /// Of an event or a send of this account.
    #[schemars(length(min = 1, max = 8192))]
    reply_token: String,
}

#[derive(JsonSchema)]
struct Mention {
    #[schemars(length(min = 1, max = 512))]
    id: String,
}
