//! Where a provider's connections may lead: manifest ∩ operator policy. The address guard comes on
//! top, when the name has been resolved.
//!
//! Pure: no name is looked up here. A pointer into the account's configuration stands for exactly
//! one host or port, so a client cannot widen the manifest by writing a pattern into the
//! configuration.

use super::dial::dialable;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::manifest::{EgressRule, PlacementRule, PortRule};
pub use crate::domain::policy::{OperatorEgress, OperatorRule};
use crate::runtime::port::{
    ConnectionSpec, EgressGrant, GrantedDestination, GrantedPlacement, Transport,
};
use serde_json::Value;

/// What an admitted connection may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// `start_tls` is granted as well.
    pub may_start_tls: bool,
}

/// The manifest's rules with the account's configuration filled in. A rule whose pointer leads
/// nowhere, or to what is no host or port, grants nothing.
pub fn grant(provider: &str, rules: &[EgressRule], config: &Value) -> EgressGrant {
    let rules = rules
        .iter()
        .filter_map(|rule| {
            let may = |transport: &str| rule.transports.iter().any(|one| one == transport);
            Some(GrantedDestination {
                host: granted_host(&rule.host, config)?,
                port: granted_port(&rule.port, config)?,
                tcp: may("tcp"),
                tls: may("tls"),
                http: may("http"),
                https: may("https"),
                methods: rule.methods.clone(),
                paths: rule.paths.clone(),
            })
        })
        .collect();
    EgressGrant {
        provider: provider.to_owned(),
        rules,
        placements: Vec::new(),
    }
}

/// Where the secrets of an account may stand, with its configuration filled in.
pub fn placements(rules: &[PlacementRule], config: &Value) -> Vec<GrantedPlacement> {
    rules
        .iter()
        .map(|rule| {
            let may = |transport: &str| rule.transports.iter().any(|one| one == transport);
            GrantedPlacement {
                secret: rule.secret.clone(),
                place: rule.place,
                name: rule.name.clone(),
                hosts: rule
                    .hosts
                    .iter()
                    .filter_map(|host| granted_host(host, config))
                    .collect(),
                http: may("http"),
                https: may("https"),
            }
        })
        .collect()
}

/// Where something wants to go.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub host: &'a str,
    pub port: u16,
    pub transport: &'static str,
}

impl Asked<'_> {
    fn refused(&self, by: &str) -> Failure {
        let Self {
            host,
            port,
            transport,
        } = self;
        Failure::new(
            FailureCode::Denied,
            format!("{host}:{port} over {transport} is not granted by {by}"),
        )
    }
}

/// May this connection be opened under the grant?
pub fn admit(spec: &ConnectionSpec, grant: &EgressGrant) -> Result<Admission, Failure> {
    let (host, port, transport) = match &spec.transport {
        Transport::Tcp { host, port } => (host, *port, "tcp"),
        Transport::Tls { host, port } => (host, *port, "tls"),
    };
    let asked = Asked {
        host,
        port,
        transport,
    };
    // Before the host is quoted in any message.
    dialable(host)?;
    let name = normal(host);
    let granted = |tls: bool| {
        grant.rules.iter().any(|rule| {
            rule.port == port
                && (if tls { rule.tls } else { rule.tcp })
                && covers(&rule.host, &name)
        })
    };
    if !granted(transport == "tls") {
        return Err(asked.refused("the manifest"));
    }
    Ok(Admission {
        may_start_tls: granted(true),
    })
}

/// May this request be sent under the grant? What its path has to begin with, one of them;
/// anything when empty.
pub fn admit_request(
    asked: &Asked<'_>,
    method: &str,
    grant: &EgressGrant,
) -> Result<Vec<String>, Failure> {
    dialable(asked.host)?;
    let name = normal(asked.host);
    let mut found = grant
        .rules
        .iter()
        .filter(|rule| {
            rule.port == asked.port
                && (if asked.transport == "https" {
                    rule.https
                } else {
                    rule.http
                })
                && covers(&rule.host, &name)
        })
        .peekable();
    if found.peek().is_none() {
        return Err(asked.refused("the manifest"));
    }
    let granted: Vec<&str> = (found.clone())
        .flat_map(|rule| rule.methods.iter().map(String::as_str))
        .collect();
    let mut fitting = found
        .filter(|rule| rule.methods.is_empty() || rule.methods.iter().any(|one| one == method))
        .peekable();
    if fitting.peek().is_none() {
        return Err(Failure::new(
            FailureCode::Denied,
            format!(
                "the manifest grants {} at {}, and no other method",
                granted.join(", "),
                asked.host
            ),
        ));
    }
    let mut paths = Vec::new();
    for rule in fitting {
        if rule.paths.is_empty() {
            return Ok(Vec::new());
        }
        paths.extend(rule.paths.iter().cloned());
    }
    Ok(paths)
}

/// Does the operator let it?
pub fn obey(asked: &Asked<'_>, operator: &OperatorEgress) -> Result<(), Failure> {
    let name = normal(asked.host);
    let listed = |rules: &[OperatorRule]| {
        rules
            .iter()
            .any(|rule| rule.port.is_none_or(|p| p == asked.port) && reaches(rule, &name))
    };
    if listed(&operator.deny)
        || operator
            .allow
            .as_deref()
            .is_some_and(|allow| !listed(allow))
    {
        return Err(asked.refused("the operator's policy"));
    }
    Ok(())
}

fn granted_host(host: &str, config: &Value) -> Option<String> {
    let host = match host.strip_prefix("config:") {
        None => host,
        // One host and no pattern: the configuration is written by clients.
        Some(pointer) => config
            .pointer(pointer)?
            .as_str()
            .filter(|host| !host.contains('*'))?,
    };
    let name = normal(host);
    let stem = name.strip_prefix("*.").unwrap_or(&name);
    (!stem.is_empty() && !stem.contains('*')).then_some(name)
}

fn granted_port(port: &PortRule, config: &Value) -> Option<u16> {
    let port = match port {
        PortRule::Number(port) => *port,
        PortRule::Pointer(pointer) => {
            let value = config.pointer(pointer.strip_prefix("config:")?)?;
            match value {
                Value::String(digits) => digits.parse().ok()?,
                value => u16::try_from(value.as_u64()?).ok()?,
            }
        }
    };
    (port != 0).then_some(port)
}

fn reaches(rule: &OperatorRule, name: &str) -> bool {
    rule.host == "*" || covers(&normal(&rule.host), name)
}

pub(super) fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => normal(pattern) == normal(name),
        Some(stem) => normal(name)
            .strip_suffix(&normal(stem))
            .and_then(|below| below.strip_suffix('.'))
            .is_some_and(|below| !below.is_empty()),
    }
}

/// Names are compared without case, the root's dot and the brackets of an IPv6 address.
fn normal(host: &str) -> String {
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::port::Framing;
    use serde_json::json;

    fn rule(host: &str, port: PortRule, transports: &[&str]) -> EgressRule {
        EgressRule {
            host: host.into(),
            port,
            transports: transports.iter().map(ToString::to_string).collect(),
            methods: Vec::new(),
            paths: Vec::new(),
        }
    }

    fn pointer(text: &str) -> PortRule {
        PortRule::Pointer(text.into())
    }

    fn spec(transport: &str, host: &str, port: u16) -> ConnectionSpec {
        let host = host.to_owned();
        ConnectionSpec {
            transport: match transport {
                "tcp" => Transport::Tcp { host, port },
                _ => Transport::Tls { host, port },
            },
            framing: Framing::Raw,
            max_frame_bytes: 1,
            ping_interval_ms: None,
            connect_timeout_ms: None,
        }
    }

    #[test]
    fn pointers_are_filled_in_and_never_widen() {
        let rules = [rule("config:/server", pointer("config:/port"), &["tcp"])];
        let of = |config: Value| grant("p", &rules, &config).rules;
        let granted = of(json!({"server": "IRC.Example.org.", "port": 6667}));
        assert_eq!(granted[0].host, "irc.example.org");
        assert_eq!(
            (granted[0].port, granted[0].tcp, granted[0].tls),
            (6667, true, false)
        );
        assert_eq!(
            of(json!({"server": "a.example", "port": "6697"}))[0].port,
            6697
        );
        for config in [
            json!({"port": 6667}),
            json!({"server": "a.example"}),
            json!({"server": "*.example.org", "port": 1}),
            json!({"server": "*", "port": 1}),
            json!({"server": "", "port": 1}),
            json!({"server": 7, "port": 1}),
            json!({"server": "a.example", "port": 0}),
            json!({"server": "a.example", "port": 65536}),
            json!({"server": "a.example", "port": -1}),
        ] {
            assert_eq!(of(config.clone()), [], "{config}");
        }
        assert_eq!(
            grant("p", &[rule("*", PortRule::Number(1), &["tcp"])], &json!({})).rules,
            []
        );
    }

    #[test]
    fn only_what_is_granted_is_admitted() {
        let grant = grant(
            "p",
            &[
                rule("*.example.org", PortRule::Number(443), &["tls"]),
                rule("chat.example", PortRule::Number(6667), &["tcp", "tls"]),
                rule("::1", PortRule::Number(7), &["tcp"]),
            ],
            &json!({}),
        );
        for (transport, host, port, expected) in [
            ("tls", "a.example.org", 443, Some(true)),
            ("tls", "A.b.EXAMPLE.org.", 443, Some(true)),
            ("tls", "example.org", 443, None),
            ("tls", ".example.org", 443, None),
            ("tls", "badexample.org", 443, None),
            ("tls", "a.example.org.evil.test", 443, None),
            ("tls", "a.example.org", 444, None),
            ("tcp", "a.example.org", 443, None),
            ("tcp", "chat.example", 6667, Some(true)),
            ("tcp", "[::1]", 7, Some(false)),
        ] {
            let admitted = admit(&spec(transport, host, port), &grant).ok();
            assert_eq!(
                admitted.map(|admission| admission.may_start_tls),
                expected,
                "{transport} {host} {port}"
            );
        }
        let refusal = admit(&spec("tcp", "chat.example", 1), &grant).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "denied: chat.example:1 over tcp is not granted by the manifest"
        );
    }

    #[test]
    fn the_operator_narrows() {
        let asked = Asked {
            host: "a.example.org",
            port: 443,
            transport: "tls",
        };
        let of = |operator: Value| {
            let operator: OperatorEgress = serde_json::from_value(operator).unwrap();
            obey(&asked, &operator)
        };
        assert!(of(json!({})).is_ok());
        assert!(of(json!({"allow": [{"host": "*", "port": 443}]})).is_ok());
        assert!(of(json!({"allow": [{"host": "*.EXAMPLE.org"}]})).is_ok());
        for operator in [
            json!({"allow": []}),
            json!({"allow": [{"host": "*", "port": 80}]}),
            json!({"deny": [{"host": "a.example.org"}]}),
            json!({"deny": [{"host": "*"}], "allow": [{"host": "*"}]}),
        ] {
            let refusal = of(operator.clone()).unwrap_err();
            assert!(
                refusal.message.ends_with("the operator's policy"),
                "{operator}"
            );
        }
    }

    #[test]
    fn requests_need_their_own_grant() {
        let http = |host: &str, methods: &[&str], paths: &[&str]| EgressRule {
            methods: methods.iter().map(ToString::to_string).collect(),
            paths: paths.iter().map(ToString::to_string).collect(),
            ..rule(host, PortRule::Number(443), &["https"])
        };
        let grant = grant(
            "p",
            &[
                http("api.example", &["GET"], &[]),
                http("api.example", &["POST"], &["/v1/", "/v2/"]),
                rule("api.example", PortRule::Number(80), &["http"]),
                rule("tls.example", PortRule::Number(443), &["tls"]),
            ],
            &json!({}),
        );
        let of = |transport, host, port, method| {
            let asked = Asked {
                host,
                port,
                transport,
            };
            admit_request(&asked, method, &grant).map_err(|refusal| refusal.code)
        };
        assert_eq!(of("https", "API.example.", 443, "GET"), Ok(vec![]));
        assert_eq!(
            of("https", "api.example", 443, "POST"),
            Ok(vec!["/v1/".into(), "/v2/".into()])
        );
        assert_eq!(of("http", "api.example", 80, "DELETE"), Ok(vec![]));
        for (transport, host, port, method) in [
            ("https", "api.example", 443, "DELETE"),
            ("http", "api.example", 443, "GET"),
            ("https", "api.example", 80, "GET"),
            ("https", "tls.example", 443, "GET"),
            ("https", "example", 443, "GET"),
        ] {
            let refused = of(transport, host, port, method);
            assert_eq!(
                refused,
                Err(FailureCode::Denied),
                "{transport} {host} {method}"
            );
        }
    }
}
