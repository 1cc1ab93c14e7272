//! Events as webhooks get them, and as the log is read.

use crate::delivery::sign;
use crate::domain::envelope;
use crate::domain::event::PUBLISHED_TYPES;
use crate::supervisor;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

pub const TAG: &str = "Webhooks";
pub const ABOUT: &str = "\
What endpoints get: one POST for each event, signed when the endpoint has a secret. Any 2xx answer acknowledges it. \
Deliveries repeat until then; the event's id stays the same over repeats.";

/// Any event of the log, for schemas.
pub struct EventShape;

impl JsonSchema for EventShape {
    fn schema_name() -> Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<Value> = kinds(generator)
            .keys()
            .map(|kind| json!({"$ref": format!("#/components/schemas/{}", name(kind))}))
            .collect();
        wrap(json!({"anyOf": kinds}))
    }
}

/// The schemas of `data` by type. A type that has several forms has them all.
fn kinds(generator: &mut SchemaGenerator) -> BTreeMap<&'static str, Vec<Schema>> {
    let mut kinds: BTreeMap<&'static str, Vec<Schema>> = BTreeMap::new();
    let all = supervisor::event_schemas(generator)
        .into_iter()
        .chain(envelope::event_schemas(generator));
    for (kind, schema) in all {
        kinds.entry(kind).or_default().push(schema);
    }
    kinds
}

/// `message.received` → `EventMessageReceived`
fn name(kind: &str) -> String {
    let capital = |word: &str| {
        let mut rest = word.chars();
        let first = rest.next().map(|it| it.to_ascii_uppercase());
        first.into_iter().chain(rest).collect::<String>()
    };
    let words = kind.split(['.', '_']).map(capital);
    format!("Event{}", words.collect::<String>())
}

fn wrap(schema: Value) -> Schema {
    Schema::try_from(schema).unwrap_or_default()
}

fn event(kind: &str, mut data: Vec<Schema>) -> Value {
    let data = match (data.len(), data.pop()) {
        (1, Some(only)) => only.to_value(),
        (_, Some(last)) => {
            data.push(last);
            json!({"anyOf": data})
        }
        (_, None) => json!({"type": "object"}),
    };
    let kind = match kind {
        "provider." => json!({"type": "string", "pattern": "^provider\\.[a-z0-9._-]{1,64}$"}),
        kind => json!({"const": kind}),
    };
    json!({
        "type": "object",
        "required": ["id", "type", "provider", "account_id", "occurred_at", "data"],
        "properties": {
            "id": {"type": "string", "description": "The same over repeats.", "examples": ["evt_0001"]},
            "type": kind,
            "provider": {"type": "string", "examples": ["harbor"]},
            "account_id": {"type": "string", "examples": ["acc_7mZ2qK9t"]},
            "occurred_at": {"type": "string", "format": "date-time"},
            "data": data,
        },
    })
}

/// One webhook for each type; their bodies become components.
pub fn webhooks(generator: &mut SchemaGenerator) -> Map<String, Value> {
    generator.subschema_for::<EventShape>();
    let mut webhooks = Map::new();
    for (kind, data) in kinds(generator) {
        let schema = name(kind);
        generator
            .definitions_mut()
            .insert(schema.clone(), event(kind, data));
        let shown = if kind == "provider." {
            "provider.*"
        } else {
            kind
        };
        webhooks.insert(shown.to_owned(), webhook(&schema, about(kind)));
    }
    webhooks
}

fn about(kind: &str) -> &'static str {
    if PUBLISHED_TYPES.contains(&kind) {
        "Comes to every endpoint that names it, or names none."
    } else {
        "Comes only to endpoints that name it."
    }
}

fn webhook(schema: &str, text: &str) -> Value {
    let header = |name: &str, text: &str, always: bool| {
        json!({
            "name": name, "in": "header", "required": always, "description": text,
            "schema": {"type": "string"},
        })
    };
    json!({"post": {
        "operationId": format!("on{schema}"),
        "summary": schema,
        "description": text,
        "tags": [TAG],
        "security": [],
        "parameters": [
            header(sign::EVENT_ID, "The event's id: what to recognize repeats by.", true),
            header(sign::DELIVERY_ID, "Of this attempt.", true),
            header(sign::TIMESTAMP, "When it was signed, RFC 3339; a part of what is signed.", true),
            header(
                sign::SIGNATURE,
                "Hexadecimal HMAC-SHA256 of `timestamp.body` with the secret as key. Only with a secret.",
                false,
            ),
            header(sign::WEBHOOK_ID, "Standard Webhooks. Only with a secret.", false),
            header(sign::WEBHOOK_TIMESTAMP, "Standard Webhooks: seconds since 1970. Only with a secret.", false),
            header(
                sign::WEBHOOK_SIGNATURE,
                "Standard Webhooks: `v1,` and base64 HMAC-SHA256 of `id.timestamp.body`; several with spaces between \
                 while a secret is replaced. Only with a secret.",
                false,
            ),
        ],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": {"$ref": format!("#/components/schemas/{schema}")},
        }}},
        "responses": {"2XX": {"description": "Taken. Anything else is a failure, and the event comes again."}},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{OWN_TYPES, STATUS_ALIAS};

    #[test]
    fn every_type_is_described() {
        let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
        let described = kinds(&mut generator);
        for kind in PUBLISHED_TYPES.iter().chain(&OWN_TYPES) {
            assert!(described.contains_key(kind), "{kind}");
        }
        let known = |kind: &&str| {
            PUBLISHED_TYPES.contains(kind) || OWN_TYPES.contains(kind) || *kind == "provider."
        };
        assert!(described.keys().all(known));
        assert!(!described.contains_key(STATUS_ALIAS));
    }
}
