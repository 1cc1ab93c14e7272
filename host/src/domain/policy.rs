//! What the operator says about the network on top of manifests and of the configuration file:
//! which addresses may be reached, and where providers may connect. Only data; `network` enforces
//! it.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The operator's word on top of every manifest. The default leaves what manifests grant.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorEgress {
    /// If given, only these are reachable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<OperatorRule>>,
    /// Never reachable, also if allowed.
    pub deny: Vec<OperatorRule>,
}

#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorRule {
    /// A name or address, `*.example.org`, or `*`.
    pub host: String,
    /// Every port when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Addresses beyond what the configuration file says.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AddressRules {
    /// Networks that may be reached as if the file named them in `network.allow`.
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<IpNet>,
    /// Networks that are never reached, whatever allows them, the file included.
    #[schemars(with = "Vec<String>")]
    pub deny: Vec<IpNet>,
}

/// All of it.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkPolicy {
    pub addresses: AddressRules,
    /// For every provider.
    pub egress: OperatorEgress,
    /// On top of it, by provider id.
    pub providers: BTreeMap<String, OperatorEgress>,
}
