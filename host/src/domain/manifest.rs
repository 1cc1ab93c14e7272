//! `provider.toml`, the manifest embedded in every component (`docs/manifest.md`).

use super::ingress::IngressRoute;
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
    /// Where the channel calls.
    #[serde(default)]
    pub ingress: Vec<IngressRoute>,
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
    /// `tcp`, `tls`, `http`, `https`.
    pub transports: Vec<String>,
    /// Of HTTP requests; every one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// What the path of an HTTP request begins with; anything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl EgressRule {
    pub const TRANSPORTS: [&str; 4] = ["tcp", "tls", "http", "https"];
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
    /// Where the host may put a secret into a request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<PlacementRule>,
}

/// A secret, a place in a request, and the destinations that may see it there.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlacementRule {
    pub secret: String,
    pub place: PlaceKind,
    /// The header, parameter or field, the segment's number, or the JSON pointer.
    pub name: String,
    /// As in egress rules: a name, `*.example.org`, or `config:/pointer`.
    pub hosts: Vec<String>,
    /// `https`, and `http` where that is said.
    #[serde(default = "https_only")]
    pub transports: Vec<String>,
}

fn https_only() -> Vec<String> {
    vec!["https".to_owned()]
}

#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceKind {
    Header,
    Query,
    PathSegment,
    FormField,
    JsonPointer,
}

impl PlaceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query",
            Self::PathSegment => "path-segment",
            Self::FormField => "form-field",
            Self::JsonPointer => "json-pointer",
        }
    }
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
