//! Would a host take this component, and if not, what is to be mended?

use super::{engine, manifest};
use crate::domain::capability;
use crate::domain::manifest::Resume;
use crate::runtime::Provider;
use crate::runtime::explain::{Explained, explain, nearest, trait_of};
use anyport_cli::{Report, Severity};
use serde_json::{Value, json};

/// What a host takes in one upload.
const LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// A provider in Rust that is built for release has some 100 to 500 KiB.
const LARGE_BYTES: usize = 4 * 1024 * 1024;
pub(super) const SECRET: &str = "x-anyport-secret";
/// Where a project has the page of features and limits.
const NAMES: &str = "vendor/anyport/docs/capabilities.md has the names";

/// The provider, if a host would run it.
pub fn check(bytes: &[u8]) -> (Report, Option<Provider>) {
    let mut report = Report::default();
    size(bytes, &mut report);
    let explained = explain(bytes);
    for complaint in &explained.complaints {
        report.problem(
            complaint.about,
            complaint.what.as_str(),
            complaint.todo.as_str(),
        );
    }
    let cannot_run = report.problems() > 0;
    if let Some(manifest) = &explained.manifest {
        report.provider = json!({"id": manifest.id, "version": manifest.version});
        manifest::check(manifest, &explained.imports, &mut report);
    }
    if cannot_run {
        return (report, None);
    }
    let Some(provider) = describe(bytes, &mut report) else {
        return (report, None);
    };
    tell(&provider, &explained, &mut report);
    imports(&provider, &explained, &mut report);
    schema(&provider, &mut report);
    features(&provider, &explained, &mut report);
    sign_in(&provider, &explained, &mut report);
    state(&provider, &mut report);
    let runs = report.problems() == 0;
    (report, runs.then_some(provider))
}

/// What it says it is; none: it cannot.
fn describe(bytes: &[u8], report: &mut Report) -> Option<Provider> {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(why) => {
            report.problem("host", why, "check on another machine");
            return None;
        }
    };
    let unasked = match engine.prepare(bytes) {
        Ok(unasked) => unasked,
        Err(refusal) => {
            let todo = "build it anew, against the contract and the SDK of this anyport: `anyport providers \
                        new` writes them, as vendor/anyport";
            report.problem("host", refusal.0, todo);
            return None;
        }
    };
    match engine.describe(unasked) {
        Ok(provider) => Some(provider),
        Err(refusal) => {
            let todo = "`describe` is asked before there is an account: it asks nothing of the host, does not \
                        panic, and gives JSON where the contract says JSON";
            report.problem("describe", refusal.0, todo);
            None
        }
    }
}

fn size(bytes: &[u8], report: &mut Report) {
    let kib = bytes.len().div_ceil(1024);
    if bytes.len() > LIMIT_BYTES {
        report.problem(
            "size",
            format!(
                "it has {kib} KiB, and a host takes at most {} MiB",
                LIMIT_BYTES >> 20
            ),
            "build for release, with `opt-level = \"s\"` and `lto = true`",
        );
    } else if bytes.len() > LARGE_BYTES {
        report.add(
            "size",
            Severity::Note,
            format!("it has {kib} KiB; it is compiled on every host that gets it"),
            "build for release, with `opt-level = \"s\"` and `lto = true`",
        );
    } else {
        report.ok("size", format!("{kib} KiB"));
    }
}

fn tell(provider: &Provider, explained: &Explained, report: &mut Report) {
    let manifest = &provider.manifest;
    let exports: Vec<&str> = explained.exports.iter().map(String::as_str).collect();
    let features: Vec<&str> = names(provider).collect();
    report.provider = json!({
        "id": manifest.id,
        "version": manifest.version,
        "title": provider.descriptor.title,
        "digest": provider.digest,
        "imports": explained.imports,
        "exports": exports,
        "features": features,
        "limits": {
            "memory_bytes": provider.limits.memory_bytes,
            "cpu_ms": provider.limits.cpu_ms,
            "kv_bytes": provider.limits.kv_bytes,
        },
    });
    report.ok(
        "manifest",
        format!(
            "{} {}, for anyport:provider {}",
            manifest.id, manifest.version, manifest.contract
        ),
    );
    report.ok("exports", exports.join(", "));
    report.ok("describe", "it asks nothing of the host, and answers");
}

fn imports(provider: &Provider, explained: &Explained, report: &mut Report) {
    let unused: Vec<&str> = provider
        .manifest
        .imports
        .iter()
        .filter(|name| !explained.imports.contains(*name))
        .map(String::as_str)
        .collect();
    if unused.is_empty() {
        return report.ok("imports", "what it calls is what the manifest asks for");
    }
    report.add(
        "imports",
        Severity::Note,
        format!(
            "the manifest asks for more than the component calls: {}",
            unused.join(", ")
        ),
        "an operator has to grant it; take out of provider.toml what is not to come",
    );
}

fn schema(provider: &Provider, report: &mut Report) {
    let schema = &provider.descriptor.config_schema;
    if let Err(error) = jsonschema::validator_for(schema) {
        return report.problem(
            "config-schema",
            format!("the schema of the configuration is no JSON Schema: {error}"),
            "correct what `describe` gives as config-schema; no account can be made with this",
        );
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let held = |name: &str| provider.manifest.secrets.names.iter().any(|it| it == name);
    let before = report.problems();
    for (property, rules) in properties.into_iter().flatten() {
        let secret = rules.get(SECRET).and_then(Value::as_str);
        if let Some(secret) = secret.filter(|secret| !held(secret)) {
            report.problem(
                "config-schema",
                format!(
                    "`{property}` goes into the secret `{secret}`, which the manifest does not name"
                ),
                format!("write \"{secret}\" into `names` of [secrets] in provider.toml"),
            );
        }
    }
    if report.problems() == before {
        report.ok("config-schema", "it is a JSON Schema");
    }
    manifest::pointers(&provider.manifest, schema, report);
}

fn names(provider: &Provider) -> impl Iterator<Item = &str> {
    provider
        .descriptor
        .features
        .iter()
        .map(|(name, _)| name.as_str())
}

fn features(provider: &Provider, explained: &Explained, report: &mut Report) {
    let before = report.findings.len();
    for (name, limits) in &provider.descriptor.features {
        match capability::interface_of(name) {
            Some(interface) if !explained.exports.contains(interface.as_str()) => report.problem(
                "features",
                format!(
                    "`describe` names `{name}`, and the component does not export `{}`",
                    interface.as_str()
                ),
                format!(
                    "implement `{}` and write it after the colon of `anyport_sdk::export!`, or do not name \
                     the feature",
                    trait_of(interface.as_str())
                ),
            ),
            Some(_) => {}
            None => {
                let known = capability::KNOWN.iter().map(|known| known.name);
                report.add(
                    "features",
                    Severity::Warning,
                    format!("`describe` names `{name}`, which this anyport does not know; it is shown to clients and never called"),
                    match nearest(name, known) {
                        Some(known) => format!("`{known}` was perhaps meant; {NAMES}"),
                        None => format!("{NAMES}; what only this channel has is a `command.<name>`"),
                    },
                );
            }
        }
        if let Err(rule) = capability::check_limits(name, limits.as_ref()) {
            let todo = "give it such a value; vendor/anyport/docs/capabilities.md has the limits";
            report.problem("features", rule, todo);
        }
        unknown_limits(name, limits.as_ref(), report);
    }
    for interface in capability::Interface::ALL.map(capability::Interface::as_str) {
        let named = names(provider)
            .filter_map(capability::interface_of)
            .any(|of| of.as_str() == interface);
        if explained.exports.contains(interface) && !named {
            report.add(
                "features",
                Severity::Warning,
                format!("it exports `{interface}`, and `describe` names no feature of it: it is never called"),
                format!("name what it can do; {NAMES}"),
            );
        }
    }
    if report.findings.len() == before {
        report.ok("features", names(provider).collect::<Vec<_>>().join(", "));
    }
}

fn sign_in(provider: &Provider, explained: &Explained, report: &mut Report) {
    let exported = explained.exports.contains("sign-in");
    let methods = &provider.descriptor.sign_in_methods;
    match (exported, methods.is_empty()) {
        // An account's first instance starts when somebody begins to sign in.
        (false, _) => report.problem(
            "sign-in",
            "it does not export `sign-in`: no account of it can be used",
            "implement `SignIn` and write it after the colon of `anyport_sdk::export!`; where the configuration \
             has the token, `begin` asks the channel who we are",
        ),
        (true, true) => report.problem(
            "sign-in",
            "it exports `sign-in`, and `describe` names no way to: nobody can sign in",
            "name at least one: `.sign_in(\"token\", \"…\")`",
        ),
        (true, false) => {
            let names: Vec<&str> = methods.iter().map(|(name, _, _)| name.as_str()).collect();
            report.ok("sign-in", names.join(", "));
        }
    }
}

/// Limits of a feature that nobody reads: of the channel's own kind, or a slip.
fn unknown_limits(feature: &str, limits: Option<&Value>, report: &mut Report) {
    let Some(known) = capability::KNOWN.iter().find(|it| it.name == feature) else {
        return;
    };
    let given = limits.and_then(Value::as_object);
    for limit in given.into_iter().flat_map(|given| given.keys()) {
        let names = || known.limits.iter().map(|limit| limit.name);
        if names().any(|name| name == limit) {
            continue;
        }
        let (severity, todo) = match nearest(limit, names()) {
            Some(name) => (
                Severity::Warning,
                format!("`{name}` was perhaps meant; {NAMES}"),
            ),
            None => (Severity::Note, NAMES.to_owned()),
        };
        report.add(
            "features",
            severity,
            format!("`{feature}` has no limit `{limit}`; it is shown to clients and never checked"),
            todo,
        );
    }
}

/// What an instance hands over, the next one of the same version reads.
fn state(provider: &Provider, report: &mut Report) {
    let descriptor = &provider.descriptor;
    let by_snapshot = provider.manifest.resume == Resume::Snapshot;
    if let Some(said) = unread(descriptor.state_version, &descriptor.reads_state_versions)
        && by_snapshot
    {
        report.problem(
            "state",
            said,
            "put STATE_VERSION into READS_STATE_VERSIONS: what is handed over is dropped otherwise",
        );
    }
}

fn unread(writes: u32, reads: &[u32]) -> Option<String> {
    if reads.contains(&writes) {
        return None;
    }
    let list: Vec<String> = reads.iter().map(u32::to_string).collect();
    let list = match list.is_empty() {
        true => "none".to_owned(),
        false => list.join(", "),
    };
    Some(format!("it writes state version {writes} and reads {list}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_version_that_is_not_read() {
        assert_eq!(unread(1, &[1]), None);
        assert_eq!(unread(2, &[2, 1]), None);
        let text = unread(2, &[1]).unwrap();
        assert_eq!(text, "it writes state version 2 and reads 1");
        let text = unread(2, &[]).unwrap();
        assert_eq!(text, "it writes state version 2 and reads none");
    }

    #[test]
    fn a_limit_with_a_slip_in_its_name() {
        let said = |feature: &str, limits: Value| {
            let mut report = Report::default();
            unknown_limits(feature, Some(&limits), &mut report);
            report.findings
        };
        assert_eq!(said("send.text", json!({"max-chars": 1})), []);
        assert_eq!(said("command.dance", json!({"input": {}})), []);
        let found = said("send.text", json!({"max-char": 1}));
        assert_eq!(found[0].severity, Severity::Warning);
        assert!(
            found[0]
                .what
                .contains("`send.text` has no limit `max-char`"),
            "{found:?}"
        );
        assert!(
            found[0].todo.starts_with("`max-chars` was perhaps meant"),
            "{found:?}"
        );
        let own = said("send.text", json!({"max-lines": 1}));
        assert_eq!((own[0].severity, &*own[0].todo), (Severity::Note, NAMES));
    }
}
