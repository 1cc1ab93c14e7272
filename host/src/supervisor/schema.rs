//! An account's configuration against the schema that its provider describes, and the secrets in
//! it. Every complaint names the field.

use super::control::Refusal;
use crate::storage::SecretWrite;
use serde_json::Value;

/// Properties of the schema with this keyword hold a secret of the account.
const SECRET: &str = "x-anyport-secret";

/// Takes the secrets out of a configuration, as the schema marks them.
pub fn take_secrets(schema: &Value, config: &mut Value) -> Result<Vec<SecretWrite>, Refusal> {
    let mut secrets = Vec::new();
    let (Some(properties), Some(config)) = (
        schema.get("properties").and_then(Value::as_object),
        config.as_object_mut(),
    ) else {
        return Ok(secrets);
    };
    for (property, rules) in properties {
        let Some(name) = rules.get(SECRET).and_then(Value::as_str) else {
            continue;
        };
        let value = match config.remove(property) {
            None => continue,
            Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text.into_bytes().into()),
            Some(_) => {
                return Err(Refusal::Invalid {
                    field: format!("provider_data.{property}"),
                    rule: "must be a string".into(),
                });
            }
        };
        secrets.push(SecretWrite {
            name: name.to_owned(),
            value,
        });
    }
    Ok(secrets)
}

/// Checks a configuration from which the secrets were taken. `given`: the names of the secrets
/// that the account has, since the schema may require their properties.
pub fn check(schema: &Value, config: &Value, given: &[String]) -> Result<(), Refusal> {
    let mut schema = schema.clone();
    if let Some(required) = schema.get("required").and_then(Value::as_array).cloned() {
        let properties = schema.get("properties").cloned().unwrap_or_default();
        let secret_of = |property: &Value| {
            properties
                .get(property.as_str()?)?
                .get(SECRET)?
                .as_str()
                .map(str::to_owned)
        };
        for property in &required {
            if let Some(secret) = secret_of(property)
                && !given.contains(&secret)
            {
                return Err(missing(property.as_str().unwrap_or_default()));
            }
        }
        schema["required"] = required
            .into_iter()
            .filter(|property| secret_of(property).is_none())
            .collect();
    }
    let validator = jsonschema::validator_for(&schema).map_err(|error| Refusal::Invalid {
        field: "provider".into(),
        rule: format!("its configuration schema is not valid: {error}"),
    })?;
    let Some(error) = validator.iter_errors(config).next() else {
        return Ok(());
    };
    let mut field = "provider_data".to_owned();
    for part in error
        .instance_path()
        .to_string()
        .split('/')
        .filter(|part| !part.is_empty())
    {
        field.push('.');
        field.push_str(part);
    }
    if let jsonschema::error::ValidationErrorKind::Required { property } = error.kind() {
        return Err(missing(&format!(
            "{}{}",
            field
                .strip_prefix("provider_data")
                .map(|rest| rest.trim_start_matches('.'))
                .filter(|rest| !rest.is_empty())
                .map(|rest| format!("{rest}."))
                .unwrap_or_default(),
            property.as_str().unwrap_or_default()
        )));
    }
    // The value itself stays out of the message: it may be confidential.
    Err(Refusal::Invalid {
        field,
        rule: error.masked().to_string(),
    })
}

/// Names of the properties that hold a secret.
pub fn secret_properties(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter(|(_, rules)| rules.get(SECRET).is_some())
        .map(|(name, _)| name.clone())
        .collect()
}

/// Checks a part of a configuration: what is in it must fit, and nothing is required. The error
/// is (field, rule).
pub fn check_part(schema: &Value, part: &Value) -> Result<(), (String, String)> {
    let mut schema = schema.clone();
    if let Some(schema) = schema.as_object_mut() {
        // Alternatives and dependencies speak of the whole.
        for keyword in [
            "required",
            "minProperties",
            "anyOf",
            "oneOf",
            "allOf",
            "not",
            "if",
            "then",
            "else",
            "dependentRequired",
            "dependentSchemas",
            "dependencies",
        ] {
            schema.remove(keyword);
        }
    }
    let validator = jsonschema::validator_for(&schema)
        .map_err(|error| ("provider".to_owned(), error.to_string()))?;
    match validator.iter_errors(part).next() {
        None => Ok(()),
        Some(error) => {
            let path = error.instance_path().to_string().replace('/', ".");
            Err((format!("config{path}"), error.masked().to_string()))
        }
    }
}

fn missing(property: &str) -> Refusal {
    Refusal::Invalid {
        field: format!("provider_data.{property}"),
        rule: "is required".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["server", "port", "password"],
            "properties": {
                "server": {"type": "string", "minLength": 1},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "tls": {"type": "boolean"},
                "password": {"type": "string", "x-anyport-secret": "server-password"},
            }
        })
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let given = ["server-password".to_owned()];
        let complaint = |config: Value| check(&schema(), &config, &given).unwrap_err().to_string();
        assert_eq!(
            complaint(json!({"port": 1})),
            "provider_data.server: is required"
        );
        assert!(complaint(json!({"server": "a", "port": "x"})).starts_with("provider_data.port: "));
        assert!(complaint(json!({"server": "a", "port": 0})).starts_with("provider_data.port: "));
        let unknown = complaint(json!({"server": "a", "port": 1, "nick": "n"}));
        assert!(unknown.contains("nick"), "{unknown}");
        assert!(check(&schema(), &json!({"server": "a", "port": 1}), &given).is_ok());
        let no_secret = check(&schema(), &json!({"server": "a", "port": 1}), &[]).unwrap_err();
        assert_eq!(no_secret.to_string(), "provider_data.password: is required");
    }

    #[test]
    fn takes_secrets_out() {
        let mut config = json!({"server": "a", "password": "hunter22"});
        let secrets = take_secrets(&schema(), &mut config).unwrap();
        assert_eq!(config, json!({"server": "a"}));
        assert_eq!(
            secrets,
            [SecretWrite {
                name: "server-password".into(),
                value: Some(b"hunter22".to_vec().into())
            }]
        );
        let mut wrong = json!({"password": 5});
        assert_eq!(
            take_secrets(&schema(), &mut wrong).unwrap_err().to_string(),
            "provider_data.password: must be a string"
        );
    }
}
