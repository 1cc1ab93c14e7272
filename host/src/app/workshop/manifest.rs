//! Manifests that a host takes, and by which the provider can nevertheless never do what it is
//! for: no rule grants what they mean. Only data is looked at; nothing is looked up or run.

use crate::domain::ingress::Verify;
use crate::domain::manifest::{EgressRule, Manifest, PlacementRule, PortRule};
use crate::runtime::EngineSettings;
use crate::runtime::explain::{KEYS, nearest};
use anyport_cli::{Report, Severity};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

const POINTER: &str = "config:";
/// With one of these at its level, a schema says more than its properties do.
const OPEN: [&str; 8] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "patternProperties",
    "items",
    "prefixItems",
];

/// What the manifest alone tells. `imports`: what the component calls.
pub fn check(manifest: &Manifest, imports: &BTreeSet<String>, report: &mut Report) {
    for rule in &manifest.egress {
        host(&rule.host, "egress", report);
        port(&rule.port, report);
    }
    for rule in &manifest.secrets.placements {
        for name in &rule.hosts {
            host(name, "secrets", report);
        }
    }
    transports(manifest, imports, report);
    placements(manifest, report);
    for route in &manifest.ingress {
        if route.verify == Verify::None {
            report.add(
                "ingress",
                Severity::Warning,
                format!(
                    "ingress `{}` is verified by nothing: every request is answered with 403, unless the \
                     operator lists `{}` in ingress.unverified",
                    route.route, manifest.id
                ),
                format!("say by `verify` how the channel signs; {KEYS}"),
            );
        }
    }
    limits(manifest, report);
}

fn host(host: &str, check: &'static str, report: &mut Report) {
    if let Some((what, todo)) = wrong_host(host) {
        report.problem(check, what, todo);
    }
}

/// What a name of a host is not, and what it was perhaps to be.
fn wrong_host(host: &str) -> Option<(String, String)> {
    if let Some(rest) = host.strip_prefix(POINTER) {
        return (!rest.starts_with('/')).then(|| no_pointer(host, rest));
    }
    let name = host.split_once("://").map_or(host, |(_, rest)| rest);
    let name = name.split('/').next().unwrap_or_default();
    if name != host {
        return Some((
            format!("`{host}` is no host: a host has no scheme and no path"),
            format!("write \"{name}\"; the scheme stands in `transports`, a path in `paths`"),
        ));
    }
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Some((name, port)) = name.rsplit_once(':')
        && bare.parse::<Ipv6Addr>().is_err()
    {
        return Some((
            format!("`{host}` is no host: a host has no port"),
            format!("write \"{name}\", and {port} as `port`"),
        ));
    }
    let stem = name.strip_prefix("*.").unwrap_or(name);
    if stem.is_empty() || stem.contains(['*', ' ']) {
        return Some((
            format!("`{host}` is no host, and grants nothing"),
            "write a name, `*.example.org` for all names below one, or `config:/property`"
                .to_owned(),
        ));
    }
    None
}

fn no_pointer(whole: &str, rest: &str) -> (String, String) {
    (
        format!("`{whole}` is no pointer into the configuration: one begins with `config:/`"),
        format!("write \"config:/{rest}\""),
    )
}

fn port(port: &PortRule, report: &mut Report) {
    let (what, todo) = match port {
        PortRule::Number(0) => (
            "0 is no port".to_owned(),
            "write a number from 1 to 65535, or `config:/property`".to_owned(),
        ),
        PortRule::Number(_) => return,
        PortRule::Pointer(text) => match text.strip_prefix(POINTER) {
            Some(rest) if rest.starts_with('/') => return,
            Some(rest) => no_pointer(text, rest),
            None => (
                format!(
                    "`{text}` is no port: one is a number, or a pointer that begins with `config:/`"
                ),
                format!("write port = {text} without quotation marks, or `config:/property`"),
            ),
        },
    };
    report.problem("egress", what, todo);
}

/// What is called has to lead somewhere.
fn transports(manifest: &Manifest, imports: &BTreeSet<String>, report: &mut Report) {
    for (interface, pair) in [("http", ["http", "https"]), ("connections", ["tcp", "tls"])] {
        let leads = |rule: &EgressRule| rule.transports.iter().any(|one| pair.contains(&&**one));
        if imports.contains(interface) && !manifest.egress.iter().any(leads) {
            let [plain, secure] = pair;
            report.problem(
                "egress",
                format!(
                    "it calls `{interface}`, and its manifest has no [[egress]] with {plain} or {secure}: \
                     whatever it asks for is denied"
                ),
                format!(
                    "write an [[egress]] with `host`, `port` and transports = [\"{secure}\"] into provider.toml"
                ),
            );
        }
    }
}

/// A secret goes only where a request may go.
fn placements(manifest: &Manifest, report: &mut Report) {
    for rule in &manifest.secrets.placements {
        for name in &rule.hosts {
            if wrong_host(name).is_none() && !manifest.egress.iter().any(|it| leads(it, rule, name))
            {
                let how = rule.transports.join(" or ");
                report.problem(
                    "secrets",
                    format!(
                        "the secret `{}` may go to {name} over {how}, and no [[egress]] leads there: no \
                         request carries it",
                        rule.secret
                    ),
                    format!(
                        "write an [[egress]] for {name} with {how}; of a channel without TLS, \
                         transports = [\"http\"] stands in both"
                    ),
                );
            }
        }
    }
}

fn leads(egress: &EgressRule, placement: &PlacementRule, host: &str) -> bool {
    let shared = |transport: &String| placement.transports.contains(transport);
    egress.transports.iter().any(shared) && may_meet(&egress.host, host)
}

/// Can a host be both? A pointer may stand for any name.
fn may_meet(one: &str, other: &str) -> bool {
    match (one.starts_with(POINTER), other.starts_with(POINTER)) {
        (true, true) => one == other,
        (false, false) => covers(one, other) || covers(other, one),
        _ => true,
    }
}

fn covers(pattern: &str, name: &str) -> bool {
    let [pattern, name] = [pattern, name].map(|text| {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        bare.trim_end_matches('.').to_ascii_lowercase()
    });
    pattern == name
        || pattern
            .strip_prefix('*')
            .is_some_and(|below| below.starts_with('.') && name.ends_with(below))
}

fn limits(manifest: &Manifest, report: &mut Report) {
    let (asked, most) = (&manifest.limits, EngineSettings::default().ceiling);
    for (name, asked, most) in [
        ("memory-bytes", asked.memory_bytes, most.memory_bytes as u64),
        (
            "cpu-ms",
            asked.cpu_ms.map(u64::from),
            u64::from(most.cpu_ms),
        ),
        ("kv-bytes", asked.kv_bytes, most.kv_bytes),
    ] {
        if let Some(asked) = asked.filter(|asked| *asked > most) {
            report.problem(
                "limits",
                format!("{name} = {asked} is more than a host gives: it gets {most}"),
                format!("write {name} = {most} or less under [limits] in provider.toml"),
            );
        }
    }
}

/// Every pointer leads to a property that accounts can have.
pub fn pointers(manifest: &Manifest, schema: &Value, report: &mut Report) {
    let mut pointers = BTreeSet::new();
    for rule in &manifest.egress {
        pointers.insert(("egress", rule.host.as_str()));
        if let PortRule::Pointer(text) = &rule.port {
            pointers.insert(("egress", text.as_str()));
        }
    }
    for rule in &manifest.secrets.placements {
        pointers.extend(rule.hosts.iter().map(|host| ("secrets", host.as_str())));
    }
    for (check, whole) in pointers {
        let Some(pointer) = whole.strip_prefix(POINTER).filter(|it| it.starts_with('/')) else {
            continue;
        };
        match target(schema, pointer) {
            Target::Property | Target::Unsaid => {}
            Target::Secret(name) => report.problem(
                check,
                format!(
                    "`{whole}` leads to a property whose value is moved into the secret `{name}`: it grants \
                     nothing"
                ),
                format!("point to a property without `{}`", super::check::SECRET),
            ),
            Target::Nothing(known) => report.problem(
                check,
                format!(
                    "`{whole}` leads to a property that the schema of the configuration does not have: it \
                     grants nothing"
                ),
                match known {
                    Some(known) => format!("`{known}` was perhaps meant"),
                    None => "name a property that `describe` gives in config-schema".to_owned(),
                },
            ),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Target<'a> {
    Property,
    /// The property's value stands in this secret.
    Secret(&'a str),
    /// The schema does not say it by properties.
    Unsaid,
    /// Nowhere, and the whole pointer that was perhaps meant.
    Nothing(Option<String>),
}

fn target<'a>(schema: &'a Value, pointer: &str) -> Target<'a> {
    let (mut at, mut passed) = (schema, String::from(POINTER));
    for step in pointer.split('/').skip(1) {
        let name = step.replace("~1", "/").replace("~0", "~");
        let properties = at.get("properties").and_then(Value::as_object);
        let Some(property) = properties.and_then(|known| known.get(&name)) else {
            let more = at.get("additionalProperties");
            let open = more.is_some_and(|more| *more != Value::Bool(false));
            if open || OPEN.iter().any(|key| at.get(*key).is_some()) {
                return Target::Unsaid;
            }
            let known = properties.into_iter().flat_map(|known| known.keys());
            let meant = nearest(&name, known.map(String::as_str));
            return Target::Nothing(meant.map(|meant| format!("{passed}/{meant}")));
        };
        passed = format!("{passed}/{step}");
        at = property;
    }
    match at.get(super::check::SECRET).and_then(Value::as_str) {
        Some(secret) => Target::Secret(secret),
        None => Target::Property,
    }
}

#[cfg(test)]
mod tests;
