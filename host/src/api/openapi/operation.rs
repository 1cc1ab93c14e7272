//! One operation of the document.

use super::super::access::{self, Operation, Who};
use super::super::routes::Known;
use super::doc::{Answered, Body, Content, Doc, Parameter, Shape};
use super::errors::{self, Responses};
use super::{Schemas, headers};
use axum::http::StatusCode;
use schemars::Schema;
use serde_json::{Map, Value, json};

/// None: the route says nothing of itself, or nobody may call it. A test refuses both.
pub fn describe(known: &Known, schemas: &mut Schemas, responses: &mut Responses) -> Option<Value> {
    let doc = known.doc.as_ref()?;
    let operation = access::of(known.method, &known.path)?;
    let mut described = json!({
        "operationId": doc.id,
        "summary": doc.summary,
        "tags": [doc.tag],
        "security": security(operation),
        "parameters": parameters_of(operation, doc),
        "responses": responses_of(operation, doc, schemas, responses),
    });
    if !doc.more.is_empty() {
        described["description"] = doc.more.into();
    }
    if doc.deprecated {
        described["deprecated"] = true.into();
    }
    if let Some(body) = &doc.body {
        described["requestBody"] = request_body(body, schemas);
    }
    Some(described)
}

/// The scopes are those of which the key must have one, beside `all`.
fn security(operation: &Operation) -> Value {
    match operation.who {
        Who::Public | Who::Channel => json!([]),
        Who::AnyKey => json!([{"workspaceKey": []}, {"operatorKey": []}]),
        Who::Workspace { any_of, .. } => {
            let mut scopes: Vec<Value> = any_of
                .iter()
                .map(|one| json!({"workspaceKey": [one.as_str()]}))
                .collect();
            scopes.push(json!({"workspaceKey": ["all"]}));
            Value::Array(scopes)
        }
        Who::Operator if operation.path == "/metrics" => {
            json!([{"operatorKey": []}, {"operatorBearer": []}])
        }
        Who::Operator => json!([{"operatorKey": []}]),
    }
}

fn parameters_of(operation: &Operation, doc: &Doc) -> Vec<Value> {
    let mut parameters: Vec<Value> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"$ref": format!("#/components/parameters/{name}")}))
        .collect();
    parameters.extend(doc.parameters.iter().map(
        |Parameter {
             name,
             place,
             text,
             schema,
             required,
         }| {
            json!({
                "name": name, "in": place, "required": required, "description": text,
                "schema": schema,
            })
        },
    ));
    parameters.push(json!({"$ref": "#/components/parameters/X-Request-Id"}));
    parameters
}

fn request_body(body: &Body, schemas: &mut Schemas) -> Value {
    match body {
        Body::Bytes(media_type) => json!({
            "required": true,
            "content": {*media_type: {"schema": {"type": "string", "format": "binary"}}},
        }),
        Body::Json {
            shape,
            required,
            properties,
        } => {
            let mut schema = shape(&mut schemas.read);
            if !properties.is_empty() {
                let whole = json!({"allOf": [schema], "required": properties});
                schema = Schema::try_from(whole).unwrap_or_default();
            }
            json!({"required": required, "content": {"application/json": {"schema": schema}}})
        }
    }
}

fn responses_of(
    operation: &Operation,
    doc: &Doc,
    schemas: &mut Schemas,
    responses: &mut Responses,
) -> Map<String, Value> {
    let limited = operation.who != Who::Public;
    let mut all = Map::new();
    for answer in &doc.answers {
        all.insert(answer.status.to_string(), success(answer, limited, schemas));
    }
    for (status, names) in errors::of(operation, doc) {
        all.insert(status.to_string(), responses.refer(status, &names));
    }
    all
}

fn success(answer: &Answered, limited: bool, schemas: &mut Schemas) -> Value {
    let reason = StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let mut names = vec!["X-Request-Id"];
    if limited {
        names.extend(["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]);
    }
    names.extend(answer.headers);
    let headers: Map<String, Value> = names
        .into_iter()
        .map(|name| (name.to_owned(), headers::reference(name)))
        .collect();
    let mut response = json!({"description": reason, "headers": headers});
    let mut content = Map::new();
    match &answer.content {
        Content::Nothing => return response,
        Content::Data(shape) => {
            content.insert("application/json".into(), enveloped(*shape, schemas));
        }
        Content::DataOr(shape, other) => {
            content.insert("application/json".into(), enveloped(*shape, schemas));
            content.insert((*other).into(), raw(other));
        }
        Content::Raw(media_types) => {
            for media_type in media_types {
                content.insert((*media_type).into(), raw(media_type));
            }
        }
    }
    response["content"] = content.into();
    response
}

fn raw(media_type: &str) -> Value {
    if media_type == "application/json" {
        return json!({"schema": {"type": "object"}});
    }
    json!({"schema": {"type": "string"}})
}

fn enveloped(shape: Shape, schemas: &mut Schemas) -> Value {
    json!({"schema": {
        "type": "object",
        "required": ["request_id", "data"],
        "properties": {
            "request_id": {"$ref": "#/components/schemas/RequestId"},
            "client_request_id": {"$ref": "#/components/schemas/ClientRequestId"},
            "data": shape(&mut schemas.written),
        },
    }})
}

const CLIENT_ID: &str = "^[A-Za-z0-9_.:/-]{1,128}$";

pub fn id_schemas() -> Map<String, Value> {
    let schemas = json!({
        "RequestId": {"type": "string", "pattern": "^req_"},
        "ClientRequestId": {
            "type": "string", "pattern": CLIENT_ID,
            "description": "The request's own `X-Request-Id`.",
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}

/// Variable parts of paths, by name, and the header that every request may have.
const PATH: &[(&str, &str, &str)] = &[
    ("account_id", "The account (`acc_…`).", ""),
    (
        "digest",
        "SHA-256 of a component, hexadecimal.",
        "^[0-9a-f]{64}$",
    ),
    ("endpoint_id", "The webhook endpoint (`we_…`).", ""),
    ("key_id", "The key's id, not its text.", ""),
    (
        "message_id",
        "Our id of a send (`msg_…`), or with `account_id` the channel's of its message.",
        "",
    ),
    (
        "media_id",
        "The medium; what uploading answered as `id`.",
        "",
    ),
    (
        "name",
        "Of the provider's command, as `describe` says it.",
        "",
    ),
    ("provider", "The provider's id or one of its aliases.", ""),
    ("token", "Of an address that the host gave.", ""),
    ("workspace_id", "The workspace.", ""),
];

pub fn parameters() -> Map<String, Value> {
    let mut parameters = Map::new();
    for (name, text, pattern) in PATH {
        let mut schema = json!({"type": "string", "minLength": 1});
        if !pattern.is_empty() {
            schema["pattern"] = (*pattern).into();
        }
        let parameter = json!({
            "name": name, "in": "path", "required": true, "description": text, "schema": schema,
        });
        parameters.insert((*name).to_owned(), parameter);
    }
    parameters.insert(
        "X-Request-Id".to_owned(),
        json!({
            "name": "X-Request-Id", "in": "header",
            "description": "The client's own id; comes back as `client_request_id`. Any other form is ignored.",
            "schema": {"type": "string", "pattern": CLIENT_ID},
        }),
    );
    parameters
}
