//! Would a host take this component, and if not, what is to be mended?

use super::engine;
use crate::domain::capability;
use crate::runtime::Provider;
use crate::runtime::explain::{Explained, explain};
use anyport_cli::{Report, Severity};
use serde_json::{Value, json};

/// What a host takes in one upload.
const LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// A provider in Rust that is built for release has some 100 to 500 KiB.
const LARGE_BYTES: usize = 4 * 1024 * 1024;
const SECRET: &str = "x-anyport-secret";

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
    if let Some(manifest) = &explained.manifest {
        report.provider = json!({"id": manifest.id, "version": manifest.version});
    }
    if report.problems() > 0 {
        return (report, None);
    }
    let checked = engine().and_then(|engine| {
        let checked = engine.check(bytes);
        checked.map_err(|refusal| refusal.0)
    });
    let provider = match checked {
        Ok(provider) => provider,
        Err(refusal) => {
            report.problem(
                "host",
                refusal,
                "docs/adding-a-provider.md shows what each refusal comes from",
            );
            return (report, None);
        }
    };
    tell(&provider, &explained, &mut report);
    imports(&provider, &explained, &mut report);
    schema(&provider, &mut report);
    features(&provider, &explained, &mut report);
    sign_in(&provider, &explained, &mut report);
    let runs = report.problems() == 0;
    (report, runs.then_some(provider))
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
                    "export it (`anyport_sdk::export!(…: {})`), or do not name the feature",
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
                    nearest(name, known),
                );
            }
        }
        if let Err(rule) = capability::check_limits(name, limits.as_ref()) {
            report.problem(
                "features",
                rule,
                "docs/capabilities.md has the limits and their values",
            );
        }
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
                "name what it can do; docs/capabilities.md has the names",
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
        (false, false) => report.problem(
            "sign-in",
            "`describe` names ways to sign in, and the component does not export `sign-in`",
            "export it (`anyport_sdk::export!(…: SignIn)`), or do not name them",
        ),
        (true, true) => report.problem(
            "sign-in",
            "it exports `sign-in`, and `describe` names no way to: nobody can sign in",
            "name at least one method",
        ),
        (true, false) => {
            let names: Vec<&str> = methods.iter().map(|(name, _, _)| name.as_str()).collect();
            report.ok("sign-in", names.join(", "));
        }
        (false, true) => {}
    }
}

/// `conversation-labels` → `ConversationLabels`, as the SDK calls it.
fn trait_of(interface: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    interface.split('-').map(capital).collect()
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3);
    match nearest {
        Some((_, known)) => {
            format!("`{known}` was perhaps meant; docs/capabilities.md has the names")
        }
        None => {
            "docs/capabilities.md has the names; what only this channel has is a `command.<name>`"
                .to_owned()
        }
    }
}
