//! Headers of answers, each described once.

use serde_json::{Map, Value, json};

/// (name, what it says, type, is it always there)
#[rustfmt::skip]
const ALL: &[(&str, &str, &str, bool)] = &[
    ("X-Request-Id", "The id of this request, as in the body.", "string", true),
    ("RateLimit-Limit", "Requests that the key may make at once.", "integer", false),
    ("RateLimit-Remaining", "How many of them are left.", "integer", false),
    ("RateLimit-Reset", "Seconds until all of them are there again.", "integer", false),
    ("Retry-After", "Seconds to wait before trying again.", "integer", false),
    ("ETag", "Of this content; for `If-None-Match`.", "string", true),
    ("Idempotent-Replayed", "`true`: an earlier request with this `Idempotency-Key` made the send.", "string", false),
    ("Preference-Applied", "What was heeded of `Prefer` (RFC 7240).", "string", false),
];

pub fn reference(name: &str) -> Value {
    debug_assert!(ALL.iter().any(|(known, ..)| *known == name), "{name}");
    json!({"$ref": format!("#/components/headers/{name}")})
}

pub fn components() -> Map<String, Value> {
    let of = |(name, text, kind, always): &(&str, &str, &str, bool)| {
        let header = json!({"description": text, "required": always, "schema": {"type": kind}});
        ((*name).to_owned(), header)
    };
    ALL.iter().map(of).collect()
}
