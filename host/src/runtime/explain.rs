//! What is wrong with a component, all of it and with how to mend it, as far as that can be read
//! from its bytes. For authors; whether a host takes it decides [`check`](super::check) alone.

use super::check::{CONTRACT, LIFECYCLE, REACTOR, SECTION, check_manifest, read_manifest};
use super::imports::{OFFERED, TYPES_ONLY};
use crate::domain::capability::Interface;
use crate::domain::manifest::Manifest;
use std::collections::BTreeSet;
use wasmparser::{Parser, Payload};

const PREFIX: &str = "anyport:provider/";
/// What a host gives a component of WASI, all of it closed but for the turn's clock, randomness
/// and output.
const WASI: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];
const BUILD: &str = "build it by `cargo build --target wasm32-wasip2 --release`; the component lies in \
                     target/wasm32-wasip2/release";

/// Where a project has the page of the manifest's keys: `anyport providers new` puts it there.
pub const KEYS: &str = "vendor/anyport/docs/manifest.md has every key";
/// What every provider exports, and what it may beside the interfaces of features.
const EXPORTED: [&str; 4] = ["lifecycle", "reactor", "sign-in", "ingress"];

/// One thing that a host would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// `bytes`, `manifest`, `contract`, `imports`, `exports`
    pub about: &'static str,
    pub what: String,
    /// How to mend it.
    pub todo: String,
}

/// What the bytes tell without being run.
#[derive(Debug, Default)]
pub struct Explained {
    pub complaints: Vec<Complaint>,
    pub manifest: Option<Manifest>,
    /// Interfaces of the contract that have functions, by their short names.
    pub imports: BTreeSet<String>,
    pub exports: BTreeSet<String>,
}

impl Explained {
    fn complain(&mut self, about: &'static str, what: impl Into<String>, todo: impl Into<String>) {
        self.complaints.push(Complaint {
            about,
            what: what.into(),
            todo: todo.into(),
        });
    }
}

pub fn explain(bytes: &[u8]) -> Explained {
    let mut explained = Explained::default();
    let Some(names) = names(bytes, &mut explained) else {
        return explained;
    };
    explain_manifest(bytes, &names, &mut explained);
    explain_versions(&names, &mut explained);
    explain_imports(&names, &mut explained);
    explain_exports(&names, &mut explained);
    explained
}

/// What stands in the component itself, not in those inside it.
#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
    manifests: Vec<Vec<u8>>,
}

fn names(bytes: &[u8], explained: &mut Explained) -> Option<Names> {
    if bytes.len() < 8 || &bytes[..4] != b"\0asm" {
        explained.complain("bytes", "this file is no WebAssembly", BUILD);
        return None;
    }
    if bytes[4..8] == [1, 0, 0, 0] {
        explained.complain(
            "bytes",
            "this is a core WebAssembly module, and a provider is a component",
            format!("{BUILD} (wasm32-unknown-unknown and wasm32-wasip1 make core modules; cargo-component \
                     makes components of the latter)"),
        );
        return None;
    }
    let (mut names, mut depth) = (Names::default(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        let read = payload.and_then(|payload| {
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::CustomSection(section) if section.name() == SECTION => {
                    names.manifests.push(section.data().to_vec());
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        names.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        names.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = read {
            explained.complain(
                "bytes",
                format!("the component cannot be read: {error}"),
                format!("the file is damaged or cut off; {BUILD}"),
            );
            return None;
        }
    }
    Some(names)
}

fn explain_manifest(bytes: &[u8], names: &Names, explained: &mut Explained) {
    let section = match &names.manifests[..] {
        [section] => section,
        [] => {
            return explained.complain(
                "manifest",
                format!("the component carries no manifest: custom section `{SECTION}` is missing"),
                "write `anyport_sdk::manifest!(\"../provider.toml\");` into src/lib.rs",
            );
        }
        _ => {
            return explained.complain(
                "manifest",
                format!(
                    "the component carries more than one manifest (custom section `{SECTION}`)"
                ),
                "call `anyport_sdk::manifest!` once",
            );
        }
    };
    let text = String::from_utf8_lossy(section);
    match toml::from_str::<Manifest>(&text) {
        Err(error) => {
            let (what, todo) = wrong_toml(&text, &error);
            explained.complain("manifest", what, todo);
        }
        Ok(manifest) => {
            for name in &manifest.imports {
                if !OFFERED.contains(&name.as_str()) {
                    let (what, todo) = unknown_import(name);
                    explained.complain("manifest", what, todo);
                }
            }
            // What is told already is left out of what is looked at for the rest.
            let mut rest = manifest.clone();
            rest.imports.retain(|name| OFFERED.contains(&name.as_str()));
            let checked = match rest.imports.len() == manifest.imports.len() {
                true => read_manifest(bytes).map(drop),
                false => check_manifest(&rest),
            };
            if let Err(refusal) = checked {
                let todo = format!("correct provider.toml; {KEYS}");
                explained.complain("manifest", refusal.0, todo);
            }
            explained.manifest = Some(manifest);
        }
    }
}

/// A name in `imports` that no host takes there, and what was perhaps meant.
fn unknown_import(name: &str) -> (String, String) {
    let features = Interface::ALL.map(Interface::as_str);
    if EXPORTED.contains(&name) || features.contains(&name) {
        return (
            format!("the manifest asks for `{name}`: that is exported, not imported"),
            format!(
                "take it out of `imports`; what the component exports stands after the colon of \
                 `anyport_sdk::export!`, here `{}`",
                trait_of(name)
            ),
        );
    }
    if name == "crypto" {
        return (
            "the manifest asks for `crypto`, which is not served yet".to_owned(),
            "take it out of `imports`; until then crates do it, inside the component".to_owned(),
        );
    }
    if TYPES_ONLY.contains(&name) {
        return (
            format!("the manifest asks for `{name}`, which has no functions to grant"),
            "take it out of `imports`".to_owned(),
        );
    }
    let todo = match nearest(name, OFFERED.iter().copied()) {
        Some(known) => format!("`{known}` was perhaps meant"),
        None => format!("take it out of `imports`; there are {}", OFFERED.join(", ")),
    };
    (
        format!("the manifest asks for anyport:provider/{name}, which this host does not offer"),
        todo,
    )
}

/// What a name with a slip was to be.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .map(|(_, known)| known)
}

/// `conversation-labels` → `ConversationLabels`, as the SDK calls it.
pub fn trait_of(interface: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    interface.split('-').map(capital).collect()
}

/// The line, and the key that was perhaps meant.
fn wrong_toml(text: &str, error: &toml::de::Error) -> (String, String) {
    let at = error.span().map_or_else(String::new, |span| {
        let before = &text[..text.floor_char_boundary(span.start)];
        format!(", line {}", before.matches('\n').count() + 1)
    });
    let message = error.message().trim();
    // serde names what it found first, then what it knows: "unknown field `a`, expected one of `b`".
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next().unwrap_or_default();
    let unknown = message.starts_with("unknown");
    let nearest = quoted
        .map(|known| (strsim::damerau_levenshtein(found, known), known))
        .min()
        .filter(|(distance, known)| unknown && *distance <= known.len().max(3) / 2);
    let todo = match nearest {
        Some((_, known)) => format!("`{known}` was perhaps meant; {KEYS}"),
        None if message.starts_with("missing field") => {
            format!("add `{found} = …` to provider.toml; {KEYS}")
        }
        None => format!("correct provider.toml; {KEYS}"),
    };
    (
        format!("provider.toml{at}: {}", message.replace('\n', " ")),
        todo,
    )
}

fn explain_versions(names: &Names, explained: &mut Explained) {
    let (major, minor) = CONTRACT;
    let mut other = BTreeSet::new();
    let of_contract = |name: &String| name.starts_with(PREFIX);
    for name in names
        .imports
        .iter()
        .chain(&names.exports)
        .filter(|name| of_contract(name))
    {
        let (_, version) = name.split_once('@').unwrap_or((name, ""));
        let served = semver::Version::parse(version)
            .is_ok_and(|version| (version.major, version.minor) == (major, minor));
        if !served {
            other.insert(match version {
                "" => "without a version".to_owned(),
                version => version.to_owned(),
            });
        }
    }
    for version in other {
        explained.complain(
            "contract",
            format!("the component speaks anyport:provider {version}, this anyport serves {major}.{minor}"),
            "build against the contract of the anyport that is to run it: `anyport providers new` writes it, \
             as vendor/anyport",
        );
    }
}

fn explain_imports(names: &Names, explained: &mut Explained) {
    let mut foreign = Vec::new();
    for name in &names.imports {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            if !WASI.iter().any(|given| name.starts_with(given)) {
                foreign.push(name.clone());
            }
            continue;
        };
        let (interface, _) = rest.split_once('@').unwrap_or((rest, ""));
        if !TYPES_ONLY.contains(&interface) {
            explained.imports.insert(interface.to_owned());
        }
    }
    for name in foreign {
        let todo = match name.starts_with("wasi:http/") {
            true => "ask the host instead: `http.submit`; the answer comes as a wake",
            false => {
                "leave out what needs it: a provider gets the contract's interfaces and closed WASI"
            }
        };
        explained.complain(
            "imports",
            format!("the component imports {name}, which no host gives"),
            todo,
        );
    }
    let offered = |name: &&String| OFFERED.contains(&name.as_str());
    let missing: Vec<String> = explained
        .imports
        .iter()
        .filter(|name| !offered(name))
        .cloned()
        .collect();
    for name in missing {
        let (what, todo) = match name.as_str() {
            "crypto" => (
                "the component imports `crypto`, which is not served yet".to_owned(),
                "until then crates do it, inside the component".to_owned(),
            ),
            _ => (
                format!("the component imports `{name}`, which this anyport does not offer"),
                format!(
                    "do not call `{name}`, or use an anyport that offers it; this one offers {}",
                    OFFERED.join(", ")
                ),
            ),
        };
        explained.complain("imports", what, todo);
    }
    let Some(manifest) = &explained.manifest else {
        return;
    };
    let granted = |name: &&String| manifest.imports.contains(name);
    let beyond: Vec<String> = explained
        .imports
        .iter()
        .filter(|name| !granted(name) && offered(name))
        .cloned()
        .collect();
    if beyond.is_empty() {
        return;
    }
    // No name that a host would refuse again.
    let all: Vec<String> = manifest
        .imports
        .iter()
        .filter(offered)
        .chain(&beyond)
        .map(|name| format!("\"{name}\""))
        .collect();
    let all = all.join(", ");
    let what = format!(
        "the component calls interfaces that its manifest does not ask for: {}",
        beyond.join(", ")
    );
    let todo = format!("do not call them, or write into provider.toml: imports = [{all}]");
    explained.complain("imports", what, todo);
}

fn explain_exports(names: &Names, explained: &mut Explained) {
    for name in &names.exports {
        if let Some(rest) = name.strip_prefix(PREFIX) {
            let (interface, _) = rest.split_once('@').unwrap_or((rest, ""));
            explained.exports.insert(interface.to_owned());
        }
    }
    for name in [LIFECYCLE, REACTOR] {
        let (interface, _) = name[PREFIX.len()..].split_once('@').unwrap_or((name, ""));
        if !explained.exports.contains(interface) {
            explained.complain(
                "exports",
                format!("the component does not export `{interface}`, which every provider does"),
                "implement `anyport_sdk::Provider` and write `anyport_sdk::export!(Name: SignIn, Messaging);`",
            );
        }
    }
    let Some(manifest) = &explained.manifest else {
        return;
    };
    match (explained.exports.contains("ingress"), manifest.ingress.is_empty()) {
        (false, false) => explained.complain(
            "exports",
            "the manifest has ingress routes, and the component does not export `ingress`",
            "implement `Ingress` and write it after the colon of `anyport_sdk::export!`, or take [[ingress]] \
             out of provider.toml",
        ),
        (true, true) => explained.complain(
            "exports",
            "the component exports `ingress`, and its manifest has no ingress route",
            "write an [[ingress]] with `route` and `verify` into provider.toml, or take `Ingress` out of \
             `anyport_sdk::export!`",
        ),
        _ => {}
    }
}

#[cfg(test)]
#[path = "explain/tests.rs"]
mod tests;
