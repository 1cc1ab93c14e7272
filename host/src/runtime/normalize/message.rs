//! What one message looks like in an event. Keys after the published ones are ours.

use super::shape::{AttachmentBlock, PersonBlock};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

/// What stands in `data.message` of received and edited ones.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventMessage")]
pub(super) struct LiveMessage<'a> {
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<std::borrow::Cow<'a, str>>,
    pub direction: &'a str,
    pub sent_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_token: Option<String>,
    #[serde(flatten)]
    pub more: More<'a>,
}

/// A message of the history.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventPastMessage")]
pub(super) struct PastMessage<'a> {
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub direction: &'a str,
    pub sent_at: String,
    pub sender: PersonBlock<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentBlock<'a>>,
    #[serde(flatten)]
    pub more: More<'a>,
}

/// Our own keys of a message.
#[derive(Default, JsonSchema, Serialize)]
#[schemars(inline)]
pub(super) struct More<'a> {
    /// `markdown` or `html`; left out for plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<MentionBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<QuoteBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interactive: Option<InteractiveBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<&'a RawValue>,
}

/// Places are in Unicode scalar values.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventMention")]
pub(super) struct MentionBlock<'a> {
    pub id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventQuote")]
pub(super) struct QuoteBlock<'a> {
    pub message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventLocation")]
pub(super) struct LocationBlock<'a> {
    pub latitude: f64,
    pub longitude: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventInteractive")]
pub(super) struct InteractiveBlock<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opener: Option<&'a str>,
    pub sections: Vec<SectionBlock<'a>>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventInteractiveSection")]
pub(super) struct SectionBlock<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    pub choices: Vec<ChoiceBlock<'a>>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventChoice")]
pub(super) struct ChoiceBlock<'a> {
    pub id: &'a str,
    pub title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventCustom")]
pub(super) struct CustomBlock<'a> {
    pub name: &'a str,
    pub value: Option<&'a RawValue>,
}
