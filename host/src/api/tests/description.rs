//! The description of the API is whole and true.

use super::super::access::{OPERATIONS, Who};
use super::super::codes;
use super::super::error::Operation;
use super::super::{description, undescribed_routes};
use super::described::Description;
use crate::domain::error::{Failure, FailureCode};
use crate::storage::StorageError;
use crate::supervisor::control::Refusal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;

pub static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| Description::new(document()));

fn document() -> Value {
    serde_json::from_slice(&description().unwrap()).unwrap()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    assert_eq!(undescribed_routes(), Vec::<String>::new());
    let document = document();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| (method.to_ascii_uppercase(), path.clone()))
        })
        .collect();
    let table: BTreeSet<(String, String)> = OPERATIONS
        .iter()
        .filter(|operation| operation.who != Who::Channel)
        .map(|operation| (operation.method.to_owned(), operation.path.to_owned()))
        .collect();
    assert_eq!(described, table);
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let items = document["paths"].as_object().unwrap().values();
    items.flat_map(|item| item.as_object().unwrap().values())
}

#[test]
fn names_are_good_and_references_lead_somewhere() {
    let document = document();
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} twice");
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        let successes = operation["responses"].as_object().unwrap().keys();
        assert!(successes.into_iter().any(|it| it.starts_with('2')), "{id}");
    }
    let tags = document["tags"].as_array().unwrap();
    let names: BTreeSet<&str> = tags.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), tags.len());
    for operation in operations(&document) {
        assert!(names.contains(operation["tags"][0].as_str().unwrap()));
    }
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    for pointer in &used {
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let pointer = format!("/components/{kind}/{name}");
            assert!(used.contains(&pointer), "{pointer} is used nowhere");
            let doubled = name.ends_with(|it: char| it.is_ascii_digit());
            assert!(!doubled, "{name}: two types of one name");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                found.insert(reference.strip_prefix('#').unwrap().to_owned());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn examples_are_as_their_schemas_say() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut seen = 0;
    for (name, schema) in schemas {
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert_eq!(DESCRIPTION.wrong_value(name, example), None);
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen}");
}

/// The checker itself must be able to say no.
#[test]
fn a_wrong_answer_is_found() {
    let good = serde_json::json!({"request_id": "req_1", "data": {"status": "ok"}});
    let wrong =
        |path: &str, status: u16, body: &Value| DESCRIPTION.wrong("GET", path, status, body);
    assert_eq!(wrong("/livez", 200, &good), None);
    assert!(wrong("/livez", 204, &good).is_some());
    assert!(wrong("/nowhere", 200, &good).is_some());
    for bad in [
        serde_json::json!({"request_id": "req_1", "data": {"status": 7}}),
        serde_json::json!({"request_id": "req_1", "data": {}}),
        serde_json::json!({"data": {"status": "ok"}}),
        serde_json::json!({"request_id": "req_1"}),
    ] {
        assert!(wrong("/livez", 200, &bad).is_some(), "{bad}");
    }
    let undescribed = serde_json::json!({
        "request_id": "req_1", "error": {"code": "conversation_not_found", "message": ""},
    });
    assert!(wrong("/v1/accounts/acc_1", 404, &undescribed).is_some());
}

#[test]
fn what_a_refusal_may_answer_is_all_said() {
    let failure = |code| {
        Refusal::Failed(Failure {
            code,
            message: String::new(),
            retry_after_ms: None,
            channel_code: None,
            detail: None,
        })
    };
    for operation in [
        Operation::SEND,
        Operation::OWN,
        Operation::of_account(codes::UPDATE_ACCOUNT_FAILED),
        Operation::of_runtime(codes::RUN_RUNTIME_ACTION_FAILED),
    ] {
        let said = operation.acts();
        let mut refusals = vec![
            Refusal::UnknownProvider(String::new()),
            Refusal::Unsupported(String::new()),
            Refusal::UnsupportedAuthMode(String::new()),
            Refusal::UnknownAccount,
            Refusal::OwnerElsewhere,
            Refusal::AlreadyAuthorized,
            Refusal::NotAuthorized,
            Refusal::Stopped,
            Refusal::Overloaded,
            Refusal::TooManyCommands,
            Refusal::Invalid {
                field: String::new(),
                rule: String::new(),
            },
            Refusal::Storage(StorageError::Unavailable(String::new())),
            Refusal::Storage(StorageError::Unusable(String::new())),
        ];
        refusals.extend(FailureCode::ALL.map(failure));
        for refusal in refusals {
            let code = operation.refusal(refusal).code;
            assert!(said.contains(&code), "{code:?}");
        }
    }
}

/// What a change does to the API is seen in this file; `just openapi` writes it anew.
#[test]
fn the_copy_in_the_tree_is_this_description() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let copy = std::fs::read_to_string(path).unwrap();
    let now = String::from_utf8(description().unwrap()).unwrap();
    let differs = copy
        .lines()
        .zip(now.lines())
        .position(|(old, new)| old != new);
    assert!(
        copy == now,
        "docs/openapi.json is not what the code says, from line {:?}; look at what changed and run: just openapi",
        differs.map(|line| line + 1)
    );
}
