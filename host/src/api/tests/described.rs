//! Holds answers against the description of the API: is there such an operation, is this status
//! said of it, and has the body the form that is said? The tests of `tests/it` use this file, too.

use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub struct Description {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Description {
    pub fn new(document: Value) -> Self {
        Self {
            document,
            validators: Mutex::default(),
        }
    }

    /// What is wrong with an answer; `body` is null where there is none.
    pub fn wrong(&self, method: &str, path: &str, status: u16, body: &Value) -> Option<String> {
        let method = method.to_ascii_lowercase();
        let path = path.split('?').next().unwrap_or_default();
        // What a channel may call, its provider's manifest says.
        if path.starts_with("/ingress/") {
            return None;
        }
        let code = body["error"]["code"].as_str().unwrap_or_default();
        // What no route is asked with is said of no operation.
        if matches!(code, "method_not_allowed") {
            return (status != 405).then(|| format!("{code} with {status}"));
        }
        let Some(template) = self.template(path) else {
            return (code != "not_found").then(|| format!("{path} is not described: {status}"));
        };
        let asked = if method == "head" { "get" } else { &method };
        let operation = &self.document["paths"][template][asked];
        let place = format!("{method} {template} {status}");
        let said = self.resolve(&operation["responses"][status.to_string()]);
        if said.is_null() {
            return Some(format!("{place} {code} is not described"));
        }
        let schema = &said["content"]["application/json"]["schema"];
        if body.is_null() || method == "head" {
            return None;
        }
        if schema.is_null() && said["content"].is_object() {
            // Of another media type.
            return None;
        }
        if schema.is_null() {
            return Some(format!("{place} has a body, which is not described"));
        }
        let validator = self.validator(&place, schema);
        let errors: Vec<String> = validator
            .iter_errors(body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        (!errors.is_empty()).then(|| format!("{place}: {} in {body}", errors.join("; ")))
    }

    /// Is `value` as this schema of the components says?
    pub fn wrong_value(&self, name: &str, value: &Value) -> Option<String> {
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        let validator = self.validator(name, &schema);
        let error = validator.iter_errors(value).next();
        error.map(|error| format!("{name}: {}: {error}", error.instance_path()))
    }

    /// The described path that this is one of; words go before variables.
    fn template(&self, path: &str) -> Option<&str> {
        let paths = self.document["paths"].as_object()?;
        let fits = |template: &str| {
            let (mut mine, mut theirs) = (template.split('/'), path.split('/'));
            loop {
                match (mine.next(), theirs.next()) {
                    (None, None) => return true,
                    (Some(one), Some(other)) if one == other => {}
                    (Some(one), Some(other)) if one.starts_with('{') && !other.is_empty() => {}
                    _ => return false,
                }
            }
        };
        paths
            .keys()
            .filter(|template| fits(template))
            .min_by_key(|template| template.matches('{').count())
            .map(String::as_str)
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
        match pointer {
            Some(pointer) => self.document.pointer(pointer).unwrap_or(&Value::Null),
            None => value,
        }
    }

    fn validator(&self, place: &str, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap();
        let known = validators.entry(place.to_owned()).or_insert_with(|| {
            // References begin at the root.
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "allOf": [schema],
                "components": self.document["components"],
            });
            Arc::new(jsonschema::validator_for(&whole).expect("a schema"))
        });
        known.clone()
    }
}
