//! `provider.toml`, the manifest embedded in every component (`docs/manifest.md`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    pub id: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    pub title: String,
    pub version: String,
    pub contract: String,
    pub class: Class,
    pub resume: Resume,
    #[serde(default)]
    pub dedupes_sends: bool,
    /// Interfaces of the contract that have functions.
    pub imports: Vec<String>,
    #[serde(default)]
    pub egress: Vec<EgressRule>,
    #[serde(default)]
    pub secrets: SecretNames,
    #[serde(default)]
    pub limits: AskedLimits,
}

/// What "nothing is lost" means on this channel.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    Webhook,
    Cursor,
    Ack,
    BestEffort,
}

#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    Snapshot,
    Reconnect,
}

#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EgressRule {
    /// A name, `*.example.org`, or `config:/pointer`.
    pub host: String,
    pub port: PortRule,
    pub transports: Vec<String>,
}

#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PortRule {
    Number(u16),
    /// `config:/pointer`
    Pointer(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretNames {
    pub names: Vec<String>,
    pub reveal: Vec<String>,
}

#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AskedLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
}
