//! The network policy at run time: addresses, and where providers may connect. It lies over the
//! configuration file and is whole: what is written replaces what was there.

use super::super::Api;
use super::super::NETWORK_POLICY;
use super::super::body::JsonBody;
use super::super::envelope::{Answer, Reply};
use super::super::error::ApiError;
use super::super::fields::{Fields, must_be};
use super::super::openapi::Doc;
use super::super::routes::Routes;
use super::{put_setting, setting};
use crate::domain::policy::{AddressRules, NetworkPolicy, OperatorEgress, OperatorRule};
use axum::extract::State;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde_json::json;
use std::collections::BTreeMap;

const NETWORKS: usize = 1_000;
const RULES: usize = 1_000;

pub fn routes() -> Routes {
    Routes::new()
        .get("/admin/v1/network", read)
        .doc(Doc::new("getNetworkPolicy", "Read what may be reached").ok::<NetworkPolicy>())
        .put("/admin/v1/network", replace)
        .doc(
            Doc::new(
                "replaceNetworkPolicy",
                "Replace what may be reached, as a whole",
            )
            .body::<NetworkRequest>()
            .ok::<NetworkPolicy>(),
        )
        .about("Network", "What providers and webhooks may reach.")
}

/// A policy as a request has it: what is absent, or null, is empty.
#[derive(JsonSchema)]
#[schemars(rename = "NetworkPolicyRequest", extend("additionalProperties" = false), example = json!({
    "addresses": {"allow": ["10.1.0.0/16"]},
    "providers": {"harbor": {"allow": [{"host": "chat.example.org", "port": 6697}]}},
}))]
#[expect(dead_code, reason = "only its schema is used")]
struct NetworkRequest {
    addresses: Option<AddressRequest>,
    egress: Option<EgressRequest>,
    /// By the provider's id.
    providers: Option<BTreeMap<String, Option<EgressRequest>>>,
}

#[derive(JsonSchema)]
#[schemars(rename = "AddressRulesRequest", extend("additionalProperties" = false))]
#[expect(dead_code, reason = "only its schema is used")]
struct AddressRequest {
    /// Networks such as `10.1.0.0/16`.
    #[schemars(length(max = 1000))]
    allow: Option<Vec<String>>,
    #[schemars(length(max = 1000))]
    deny: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[schemars(rename = "OperatorEgressRequest", extend("additionalProperties" = false))]
#[expect(dead_code, reason = "only its schema is used")]
struct EgressRequest {
    /// If given, only these are reachable.
    #[schemars(length(max = 1000))]
    allow: Option<Vec<RuleRequest>>,
    #[schemars(length(max = 1000))]
    deny: Option<Vec<RuleRequest>>,
}

#[derive(JsonSchema)]
#[schemars(rename = "OperatorRuleRequest", extend("additionalProperties" = false))]
#[expect(dead_code, reason = "only its schema is used")]
struct RuleRequest {
    /// A name, an address, `*.example.org` or `*`.
    #[schemars(length(min = 1, max = 253))]
    host: String,
    #[schemars(range(min = 1))]
    port: Option<u16>,
}

async fn read(State(api): State<Api>) -> Answer {
    let policy: NetworkPolicy = match setting(&api, NETWORK_POLICY).await? {
        None => NetworkPolicy::default(),
        Some(value) => serde_json::from_slice(&value)
            .map_err(|error| ApiError::internal(format!("a setting is damaged: {error}")))?,
    };
    Reply::ok(&policy)
}

async fn replace(State(api): State<Api>, JsonBody(body): JsonBody) -> Answer {
    let policy = read_policy(&Fields::top(&body))?;
    let _one_at_a_time = api.admin_writes.lock().await;
    put_setting(&api, NETWORK_POLICY, &policy).await?;
    Reply::ok(&policy)
}

fn read_policy(fields: &Fields<'_>) -> Result<NetworkPolicy, ApiError> {
    known(fields, &["addresses", "egress", "providers"])?;
    let addresses = match fields.object("addresses")? {
        None => AddressRules::default(),
        Some(rules) => {
            known(&rules, &["allow", "deny"])?;
            AddressRules {
                allow: networks(&rules, "allow")?,
                deny: networks(&rules, "deny")?,
            }
        }
    };
    let egress = match fields.object("egress")? {
        None => OperatorEgress::default(),
        Some(egress) => read_egress(&egress)?,
    };
    let mut providers = BTreeMap::new();
    if let Some(named) = fields.object("providers")? {
        for id in named.map().keys() {
            if let Some(egress) = named.object(id)? {
                providers.insert(id.clone(), read_egress(&egress)?);
            }
        }
    }
    Ok(NetworkPolicy {
        addresses,
        egress,
        providers,
    })
}

/// A policy with a misspelt word would not say what its author means.
fn known(fields: &Fields<'_>, names: &[&str]) -> Result<(), ApiError> {
    match fields
        .map()
        .keys()
        .find(|name| !names.contains(&name.as_str()))
    {
        None => Ok(()),
        Some(name) => Err(fields.error(
            name,
            format!("is not known here; there are {}", names.join(", ")),
        )),
    }
}

fn networks(fields: &Fields<'_>, name: &str) -> Result<Vec<IpNet>, ApiError> {
    let texts = fields.strings(name, NETWORKS)?.unwrap_or_default();
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            text.parse().map_err(|_| {
                fields.error(
                    &format!("{name}[{index}]"),
                    "must be a network such as 10.1.0.0/16 or 10.1.0.7/32",
                )
            })
        })
        .collect()
}

fn read_egress(fields: &Fields<'_>) -> Result<OperatorEgress, ApiError> {
    known(fields, &["allow", "deny"])?;
    Ok(OperatorEgress {
        allow: match fields.value("allow") {
            None => None,
            Some(_) => Some(rules(fields, "allow")?),
        },
        deny: rules(fields, "deny")?,
    })
}

fn rules(fields: &Fields<'_>, name: &str) -> Result<Vec<OperatorRule>, ApiError> {
    let items = fields.list(name)?.unwrap_or_default();
    if items.len() > RULES {
        return Err(fields.error(name, format!("must have at most {RULES} items")));
    }
    let mut rules = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = fields.path(&format!("{name}[{index}]"));
        if !item.is_object() {
            return Err(ApiError::field(path, must_be("an object", item)));
        }
        let rule = Fields::at(&path, item)?;
        known(&rule, &["host", "port"])?;
        let host = rule.required_text("host", 253)?;
        let stem = host.strip_prefix("*.").unwrap_or(host);
        if host != "*" && (stem.is_empty() || stem.contains(['*', '/', ' '])) {
            return Err(rule.error("host", "must be a name, an address, *.example.org or *"));
        }
        rules.push(OperatorRule {
            host: host.to_owned(),
            port: rule.integer("port", 1..=65_535)?.map(|port| port as u16),
        });
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(policy: Value) -> Result<NetworkPolicy, String> {
        let Value::Object(map) = &policy else {
            panic!()
        };
        read_policy(&Fields::top(map)).map_err(|error| error.message)
    }

    #[test]
    fn a_policy_is_read_and_written_alike() {
        let policy = json!({
            "addresses": {"allow": ["10.1.0.0/16"], "deny": ["10.1.2.3/32"]},
            "egress": {"deny": [{"host": "*.example.net"}]},
            "providers": {"irc": {"allow": [{"host": "*", "port": 6697}], "deny": []}},
        });
        let read = read(policy.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), policy);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (policy, message) in [
            (json!({"adresses": {}}), "adresses: is not known here"),
            (
                json!({"addresses": {"allow": ["10.1"]}}),
                "addresses.allow[0]: must be a network",
            ),
            (
                json!({"addresses": {"allow": "all"}}),
                "addresses.allow: must be a list",
            ),
            (
                json!({"egress": {"allow": [{}]}}),
                "egress.allow[0].host: is required",
            ),
            (
                json!({"egress": {"allow": ["*"]}}),
                "egress.allow[0]: must be an object",
            ),
            (
                json!({"egress": {"deny": [{"host": "a*"}]}}),
                "egress.deny[0].host: must be a name",
            ),
            (
                json!({"providers": {"irc": {"deny": [{"host": "a", "port": 0}]}}}),
                "providers.irc.deny[0].port: must be an integer from 1 to 65535",
            ),
        ] {
            let error = read(policy).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        // Nothing allowed is not the same as nothing said.
        let none = read(json!({"egress": {"allow": []}})).unwrap();
        assert_eq!(none.egress.allow, Some(vec![]));
        assert_eq!(read(json!({})).unwrap().egress.allow, None);
    }
}
