//! What the operations of commands have in common in the description.

use super::super::codes;
use super::super::error::Operation;
use super::super::openapi::Doc;
use super::conversation_view::KINDS;
use super::subject::{Done, ID};
use schemars::JsonSchema;
use serde_json::{Value, json};

/// Looks at something.
pub fn asks<T: JsonSchema>(id: &'static str, summary: &'static str, operation: &Operation) -> Doc {
    Doc::new(id, summary)
        .ok::<T>()
        .fails(operation.acts())
        .fails([codes::PROVIDER_TIMEOUT])
}

/// A page of a list.
pub fn lists<T: JsonSchema>(id: &'static str, summary: &'static str, operation: &Operation) -> Doc {
    asks::<T>(id, summary, operation)
        .query(
            "cursor",
            "A `next_cursor` of this list.",
            json!({"type": "string"}),
        )
        .query(
            "limit",
            "What is above 200 counts as 200.",
            json!({"type": "integer", "minimum": 1, "default": 50}),
        )
}

/// Changes something.
pub fn makes<B: JsonSchema, T: JsonSchema>(
    id: &'static str,
    summary: &'static str,
    operation: &Operation,
) -> Doc {
    Doc::new(id, summary)
        .body::<B>()
        .ok::<T>()
        .fails(operation.acts())
        .fails([codes::OUTCOME_UNKNOWN])
}

/// The same, and it is answered with nothing.
pub fn does<B: JsonSchema>(id: &'static str, summary: &'static str, operation: &Operation) -> Doc {
    makes::<B, Done>(id, summary, operation)
}

/// The schema of an id of the channel.
pub fn id() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": ID})
}

/// The schema of a kind of conversation.
pub fn kind() -> Value {
    json!({"type": "string", "enum": KINDS})
}
