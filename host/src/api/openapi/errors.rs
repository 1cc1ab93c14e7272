//! Which errors an operation can be answered with, and their responses.

use super::super::access::{Operation, Who};
use super::super::codes::{self, Code};
use super::doc::{Body, Doc};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// By status, in the order of their names.
pub type Errors = BTreeMap<u16, Vec<&'static str>>;

/// What the operation says itself, and what the layers around every handler may answer.
pub fn of(operation: &Operation, doc: &Doc) -> Errors {
    let mut codes = doc.codes.clone();
    codes.extend([codes::INTERNAL_ERROR, codes::RATE_LIMITED]);
    if !matches!(operation.who, Who::Public | Who::Channel) {
        codes.extend([
            codes::MISSING_API_KEY,
            codes::INVALID_API_KEY,
            codes::STORAGE_UNAVAILABLE,
        ]);
    }
    match operation.who {
        Who::Workspace { .. } => codes.push(codes::INSUFFICIENT_SCOPE),
        Who::Operator => codes.push(codes::OPERATOR_KEY_REQUIRED),
        Who::Public | Who::Channel | Who::AnyKey => {}
    }
    codes.extend(operation.hidden);
    if operation.path.contains('{') || doc.parameters.iter().any(|it| it.place == "query") {
        codes.push(codes::INVALID_REQUEST);
    }
    if let Some(body) = &doc.body {
        codes.extend([codes::PAYLOAD_TOO_LARGE, codes::REQUEST_TIMEOUT]);
        if matches!(body, Body::Json { .. }) {
            codes.push(codes::INVALID_REQUEST);
        }
        // The body that ends early is told as a field that breaks a rule.
        codes.push(codes::INVALID_REQUEST);
    }
    by_status(&codes)
}

pub fn by_status(codes: &[Code]) -> Errors {
    let mut errors = Errors::new();
    for code in codes {
        errors.entry(code.status).or_default().push(code.name);
    }
    for names in errors.values_mut() {
        names.sort_unstable();
        names.dedup();
    }
    errors
}

/// Responses that several operations share, by name.
#[derive(Default)]
pub struct Responses(Map<String, Value>);

impl Responses {
    /// A reference to the response of these codes.
    pub fn refer(&mut self, status: u16, names: &[&str]) -> Value {
        let name = format!("{status}.{}", names.join("."));
        let reference = format!("#/components/responses/{name}");
        self.0.entry(name).or_insert_with(|| response(names));
        json!({"$ref": reference})
    }

    pub fn into_components(self) -> Map<String, Value> {
        self.0
    }
}

fn response(names: &[&str]) -> Value {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let mut headers = Map::new();
    let mut has = |name: &str| {
        headers.insert(name.into(), super::headers::reference(name));
    };
    has("X-Request-Id");
    if waits(names) {
        has("Retry-After");
    }
    json!({
        "description": quoted.join(", "),
        "headers": headers,
        "content": {"application/json": {"schema": {
            "allOf": [{"$ref": "#/components/schemas/ErrorEnvelope"}],
            "properties": {"error": {"properties": {"code": {"enum": names}}}},
        }}},
    })
}

/// May the answer say when to come again?
fn waits(names: &[&str]) -> bool {
    const WAIT: [Code; 9] = [
        codes::RATE_LIMITED,
        codes::STORAGE_UNAVAILABLE,
        codes::IDEMPOTENCY_IN_FLIGHT,
        codes::NOT_READY,
        codes::STANDBY,
        codes::OWNER_ELSEWHERE,
        codes::TOO_MANY_STREAMS,
        codes::PROVIDER_UNAVAILABLE,
        codes::PROVIDER_TIMEOUT,
    ];
    WAIT.iter().any(|code| names.contains(&code.name))
}
