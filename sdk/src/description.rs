//! Building what `describe` tells.

use crate::lifecycle::{Descriptor, Feature, SignInMethod};
use serde_json::Value;

impl Descriptor {
    /// Can do nothing yet and takes any configuration. `title`: for people.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            features: Vec::new(),
            sign_in_methods: Vec::new(),
            config_schema: r#"{"type":"object"}"#.to_owned(),
            state_version: 1,
            reads_state_versions: vec![1],
            extra: None,
        }
    }

    /// A name of the contract's operations: `send.text`.
    #[must_use]
    pub fn feature(self, name: impl Into<String>) -> Self {
        self.push(name.into(), None)
    }

    /// With the channel's limits: `json!({"max-chars": 400})`.
    #[must_use]
    pub fn limited(self, name: impl Into<String>, limits: Value) -> Self {
        self.push(name.into(), Some(limits.to_string()))
    }

    fn push(mut self, name: String, limits: Option<String>) -> Self {
        self.features.push(Feature { name, limits });
        self
    }

    /// `name`: `qr`, `code`, `pairing-code`, `password`, `token`, `session`, `oauth`.
    #[must_use]
    pub fn sign_in(mut self, name: impl Into<String>, title: impl Into<String>) -> Self {
        self.sign_in_methods.push(SignInMethod {
            name: name.into(),
            title: title.into(),
            inputs: None,
        });
        self
    }

    /// With a JSON Schema of what it wants to know beforehand.
    #[must_use]
    pub fn sign_in_with(
        mut self,
        name: impl Into<String>,
        title: impl Into<String>,
        inputs: Value,
    ) -> Self {
        self = self.sign_in(name, title);
        if let Some(method) = self.sign_in_methods.last_mut() {
            method.inputs = Some(inputs.to_string());
        }
        self
    }

    /// JSON Schema of the account's configuration.
    #[must_use]
    pub fn config(mut self, schema: Value) -> Self {
        self.config_schema = schema.to_string();
        self
    }
}
