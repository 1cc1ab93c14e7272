//! The description of the API, OpenAPI 3.1, made of the routes and of what stands beside them:
//! `Doc` at each route, schemas from the types that handlers read and write (`schemars`), who may
//! call from the table of `access`, errors from `codes`. Nothing is served that is not in it.

mod doc;
mod errors;
mod events;
mod headers;
mod operation;
mod page;

pub use doc::Doc;
pub use events::EventShape;
pub use page::{Texts, routes, written};

use super::access::{self, Who};
use super::routes::Routes;
use errors::Responses;
use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Makes schemas: of what is read and of what is written, which may differ for one type.
pub struct Schemas {
    pub read: SchemaGenerator,
    pub written: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let generator = |contract: Contract| {
            SchemaSettings::draft2020_12()
                .with(|settings| {
                    settings.contract = contract;
                    settings.definitions_path = "/components/schemas".into();
                    settings.meta_schema = None;
                })
                .into_generator()
        };
        Self {
            read: generator(Contract::Deserialize),
            written: generator(Contract::Serialize),
        }
    }

    /// What both refer to, and the names that mean different things in the two.
    fn into_components(mut self) -> (Map<String, Value>, Vec<String>) {
        let mut schemas = self.written.take_definitions(true);
        let mut clashes = Vec::new();
        for (name, schema) in self.read.take_definitions(true) {
            if schemas.get(&name).is_some_and(|known| *known != schema) {
                clashes.push(name);
            } else {
                schemas.insert(name, schema);
            }
        }
        (schemas, clashes)
    }
}

/// The whole document. The same at every call.
pub fn document(routes: &Routes) -> Value {
    build(routes).0
}

/// What is wrong with it; empty when every route is in it.
pub fn problems(routes: &Routes) -> Vec<String> {
    let (document, clashes) = build(routes);
    let undescribed = routes
        .known()
        .iter()
        .filter(|known| {
            // What a channel may call, its provider's manifest says.
            if access::of(known.method, &known.path).is_some_and(|it| it.who == Who::Channel) {
                return false;
            }
            let method = known.method.to_ascii_lowercase();
            let described = &document["paths"][&known.path][&method];
            described["tags"][0].as_str().is_none_or(str::is_empty)
        })
        .map(|known| format!("{} {}: is not described", known.method, known.path));
    let clashes = clashes
        .into_iter()
        .map(|name| format!("{name}: two schemas have this name"));
    undescribed.chain(clashes).collect()
}

/// And the names of schemas that are not the same when read and when written.
fn build(routes: &Routes) -> (Value, Vec<String>) {
    let mut schemas = Schemas::new();
    let mut responses = Responses::default();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for known in routes.known() {
        let described = operation::describe(known, &mut schemas, &mut responses);
        if let Some(described) = described {
            let path = paths.entry(&known.path).or_default();
            path.insert(known.method.to_ascii_lowercase(), described);
        }
    }
    let webhooks = events::webhooks(&mut schemas.written);
    schemas
        .written
        .subschema_for::<super::envelope::ErrorEnvelope<'_>>();
    let (mut components, clashes) = schemas.into_components();
    components.extend(operation::id_schemas());
    let mut tags: Vec<Value> = routes
        .tags()
        .iter()
        .map(|tag| json!({"name": tag.name, "description": tag.text}))
        .collect();
    tags.push(json!({"name": events::TAG, "description": events::ABOUT}));
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Anyport",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "One port, every channel",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This host"}],
        "tags": tags,
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": components,
            "responses": responses.into_components(),
            "parameters": operation::parameters(),
            "headers": headers::components(),
            "securitySchemes": {
                "workspaceKey": {
                    "type": "apiKey", "in": "header", "name": "X-Api-Key",
                    "description": "A workspace's key (`dk_live_…`) opens exactly its workspace, and there what its scopes allow.",
                },
                "operatorKey": {
                    "type": "apiKey", "in": "header", "name": "X-Api-Key",
                    "description": "An operator's key (`op_live_…`) administers the host and opens no workspace.",
                },
                "operatorBearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "An operator's key as a bearer token; `GET /metrics` alone takes it.",
                },
            },
        },
    });
    (document, clashes)
}

const ABOUT: &str = "\
One send API and one stream of signed webhook events over many messaging channels.

Every answer with a body is `{request_id, client_request_id?, data}` or `{request_id, client_request_id?, error}`; branch on \
`error.code`. A request's own `X-Request-Id` comes back as `client_request_id`. Bodies are JSON objects of at most 256 KiB; \
unknown fields are ignored; `null`, and `\"\"` in an optional field, count as absent. A route that does not take a method \
answers 405 `method_not_allowed` with `Allow`; a route that does not exist, 404 `not_found`. HEAD is answered as GET without \
its body.";
