//! The operator's configuration of providers: what the configuration file says, with what was
//! set at run time over it, key by key. It lies under every account's own. What a provider's
//! schema marks as a secret is handed to accounts as a secret of theirs, never as configuration.

use super::schema;
use crate::domain::SecretBytes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

#[derive(Default)]
pub struct OperatorConfig {
    /// By provider id, as the file has it.
    file: BTreeMap<String, Value>,
    live: RwLock<BTreeMap<String, Value>>,
}

impl OperatorConfig {
    pub fn new(file: BTreeMap<String, Value>) -> Self {
        Self {
            file,
            live: RwLock::default(),
        }
    }

    /// What was set at run time, from now on; the providers whose configuration that changes.
    pub fn set_live(&self, live: BTreeMap<String, Value>) -> Vec<String> {
        let mut present = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *present, live);
        let mut names: Vec<String> = before.keys().chain(present.keys()).cloned().collect();
        names.sort();
        names.dedup();
        names.retain(|name| before.get(name) != present.get(name));
        names
    }

    /// File and run time together, secrets still in it.
    pub fn of(&self, provider: &str) -> Value {
        let mut merged = match self.file.get(provider) {
            Some(Value::Object(file)) => file.clone(),
            _ => Map::new(),
        };
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Value::Object(live)) = live.get(provider) {
            merged.extend(live.clone());
        }
        Value::Object(merged)
    }

    /// Without secrets, and the account's own over it.
    pub fn merged(&self, provider: &str, schema: &Value, account: &Value) -> Value {
        let mut merged = self.split(provider, schema).0;
        if let (Value::Object(merged), Value::Object(own)) = (&mut merged, account) {
            merged.extend(own.clone());
        }
        merged
    }

    /// Secrets that every account of the provider has unless it has its own of that name.
    pub fn secrets(&self, provider: &str, schema: &Value) -> Vec<(String, SecretBytes)> {
        self.split(provider, schema).1
    }

    fn split(&self, provider: &str, schema: &Value) -> (Value, Vec<(String, SecretBytes)>) {
        let mut config = self.of(provider);
        let secrets = schema::take_secrets(schema, &mut config)
            .unwrap_or_else(|refusal| {
                tracing::error!(provider, %refusal, "the operator's configuration has a secret that is no text");
                Vec::new()
            })
            .into_iter()
            .filter_map(|secret| Some((secret.name, secret.value?)))
            .collect();
        (config, secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn later_layers_lie_over_earlier_ones() {
        let schema = json!({"properties": {
            "api_hash": {"type": "string", "x-anyport-secret": "api-hash"}, "server": {}
        }});
        let file = BTreeMap::from([("p".to_owned(), json!({"server": "a", "port": 1}))]);
        let config = OperatorConfig::new(file);
        let of = |account: Value| config.merged("p", &schema, &account);
        assert_eq!(of(json!({"port": 2})), json!({"server": "a", "port": 2}));
        assert_eq!(config.secrets("p", &schema), []);
        let live = json!({"server": "b", "api_hash": "hidden"});
        let live = BTreeMap::from([("p".to_owned(), live)]);
        assert_eq!(config.set_live(live.clone()), ["p"]);
        assert_eq!(config.set_live(live), Vec::<String>::new());
        assert_eq!(of(json!({})), json!({"server": "b", "port": 1}));
        assert_eq!(
            config.secrets("p", &schema),
            [("api-hash".to_owned(), b"hidden".to_vec().into())]
        );
        assert_eq!(
            config.merged("q", &schema, &json!({"a": 1})),
            json!({"a": 1})
        );
        assert_eq!(config.set_live(BTreeMap::new()), ["p"]);
        assert_eq!(of(json!({})), json!({"server": "a", "port": 1}));
    }
}
