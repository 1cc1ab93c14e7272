//! From bytes to a provider that may run: manifest, versions, grants, imports, shapes of the
//! exports, `describe`. Every refusal says in plain words what is wrong and where.

use super::engine::{Engine, digest_of};
use super::exports::Indices;
use super::guest::GuestState;
use super::imports::{OFFERED, TYPES_ONLY};
use super::instance::Instance;
use super::limits::{Limits, breach};
use crate::domain::capability::{self, Features, Interface};
use crate::domain::manifest::{EgressRule, Manifest, PlaceKind, PlacementRule};
use anyport_contract::exports::anyport::provider as guest;
use std::sync::Arc;
use wasmtime::component::{Component, InstancePre};

pub const LIFECYCLE: &str = "anyport:provider/lifecycle@0.1.0";
pub const REACTOR: &str = "anyport:provider/reactor@0.1.0";
pub const SIGN_IN: &str = "anyport:provider/sign-in@0.1.0";
pub const INGRESS: &str = "anyport:provider/ingress@0.1.0";

/// The contract that this host serves.
pub(super) const CONTRACT: (u64, u64) = (0, 1);
pub(super) const SECTION: &str = "anyport:manifest";
const MANIFEST_BYTES: usize = 256 * 1024;

/// A component that passed the check.
pub struct Provider {
    /// SHA-256 of the bytes, lower-case hex.
    pub digest: String,
    pub manifest: Arc<Manifest>,
    pub descriptor: Descriptor,
    /// What its accounts may use.
    pub limits: Limits,
    pub(super) loaded: Loaded,
}

/// What `describe` told.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    pub title: String,
    pub features: Vec<(String, Option<serde_json::Value>)>,
    pub sign_in_methods: Vec<(String, String, Option<serde_json::Value>)>,
    pub config_schema: serde_json::Value,
    pub state_version: u32,
    pub reads_state_versions: Vec<u32>,
}

/// A component in which everything is right that can be known without running it.
pub struct Unasked {
    digest: String,
    manifest: Manifest,
    limits: Limits,
    loaded: Loaded,
}

pub(super) struct Loaded {
    pub pre: InstancePre<GuestState>,
    pub lifecycle: guest::lifecycle::GuestIndices,
    pub reactor: guest::reactor::GuestIndices,
    pub sign_in: Option<guest::sign_in::GuestIndices>,
    pub exports: Arc<Indices>,
    pub ingress: Option<guest::ingress::GuestIndices>,
}

impl Provider {
    pub fn can_sign_in(&self) -> bool {
        self.loaded.sign_in.is_some()
    }

    pub fn can_send(&self) -> bool {
        self.loaded.exports.has(Interface::Messaging)
    }

    /// Can it get what an attachment's reference names?
    pub fn can_fetch_media(&self) -> bool {
        self.loaded.exports.has(Interface::Media)
    }

    pub fn has_feature(&self, name: &str) -> bool {
        Features(&self.descriptor.features).has(name)
    }
}

/// Why a component may not run, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(reason.into()))
}

impl Engine {
    /// Compiles and checks. Takes as long as compiling does; call it where that disturbs nobody.
    pub fn check(&self, bytes: &[u8]) -> Result<Provider, Refusal> {
        let provider = self.describe(self.prepare(bytes)?)?;
        check_features(&provider.descriptor, &provider.loaded.exports)?;
        check_ingress(provider.loaded.ingress.is_some(), &provider.manifest)?;
        Ok(provider)
    }

    /// The first half of [`Engine::check`], which takes so long.
    pub fn prepare(&self, bytes: &[u8]) -> Result<Unasked, Refusal> {
        let manifest = read_manifest(bytes)?;
        let digest = digest_of(bytes);
        let component = self.component(bytes, &digest).map_err(|error| {
            Refusal(format!(
                "the component cannot be compiled: {}",
                chain(&error)
            ))
        })?;
        check_versions_and_grants(self, &component, &manifest)?;
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| Refusal(chain(&error)))?;
        let loaded = indices(pre)?;
        let limits = Limits::granted(
            &manifest.limits,
            self.settings.limits,
            self.settings.ceiling,
        );
        Ok(Unasked {
            digest,
            manifest,
            limits,
            loaded,
        })
    }

    /// Runs it and asks what it is. Whether that fits together is for [`Engine::check`] alone.
    pub fn describe(&self, unasked: Unasked) -> Result<Provider, Refusal> {
        let Unasked {
            digest,
            manifest,
            limits,
            loaded,
        } = unasked;
        let mut instance = Instance::new(&loaded, &limits)
            .map_err(|fault| Refusal(format!("the component cannot run: {}", fault.message)))?;
        instance
            .check_exports()
            .map_err(|fault| Refusal(format!("the component cannot run: {}", fault.message)))?;
        let described = instance.describe(&limits).map_err(|fault| {
            tracing::warn!(
                provider = manifest.id,
                detail = fault.detail,
                "`describe` failed"
            );
            Refusal(format!("`describe` failed: {}", fault.message))
        })?;
        Ok(Provider {
            digest,
            manifest: Arc::new(manifest),
            descriptor: convert_descriptor(described)?,
            limits,
            loaded,
        })
    }
}

/// The texts of an error and its causes, outermost first.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    let texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    texts.join(": ")
}

/// Looks through the component and the modules in it for the manifest's section.
pub fn read_manifest(bytes: &[u8]) -> Result<Manifest, Refusal> {
    if bytes.len() < 8 || &bytes[..4] != b"\0asm" {
        return refuse("these bytes are no WebAssembly");
    }
    if bytes[4..8] == [1, 0, 0, 0] {
        return refuse(
            "this is a core WebAssembly module; a provider is a component (build for wasm32-wasip2)",
        );
    }
    let mut found = None;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(wasmparser::Payload::CustomSection(section)) if section.name() == SECTION => {
                if found.replace(section.data()).is_some() {
                    return refuse(format!(
                        "the component carries more than one manifest (custom section `{SECTION}`)"
                    ));
                }
            }
            Ok(_) => {}
            Err(error) => return refuse(format!("the component cannot be read: {error}")),
        }
    }
    let Some(section) = found else {
        return refuse(format!(
            "the component carries no manifest: custom section `{SECTION}` is missing"
        ));
    };
    if section.len() > MANIFEST_BYTES {
        return refuse(format!(
            "the manifest is longer than {MANIFEST_BYTES} bytes"
        ));
    }
    let text = std::str::from_utf8(section)
        .map_err(|error| Refusal(format!("the manifest is not UTF-8: {error}")))?;
    let manifest: Manifest = toml::from_str(text)
        .map_err(|error| Refusal(format!("the manifest is wrong: {}", error.message())))?;
    check_manifest(&manifest)?;
    Ok(manifest)
}

/// A version such as 0.1.0. The error is for people: the parser's own is not.
fn version(key: &str, text: &str) -> Result<semver::Version, Refusal> {
    semver::Version::parse(text).map_err(|_| {
        Refusal(format!(
            "the manifest's {key} `{text}` is wrong: it is three numbers with points, such as 0.1.0"
        ))
    })
}

/// The rules that no type holds.
pub(super) fn check_manifest(manifest: &Manifest) -> Result<(), Refusal> {
    for name in std::iter::once(&manifest.id).chain(&manifest.aliases) {
        let fits = !name.is_empty()
            && name.len() <= 64
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !fits {
            return refuse(format!(
                "the manifest's id `{name}` is wrong: lower-case letters, digits and hyphens, at most 64"
            ));
        }
    }
    version("version", &manifest.version)?;
    let contract = version("contract", &manifest.contract)?;
    if (contract.major, contract.minor) != CONTRACT {
        return refuse(format!(
            "the manifest is for anyport:provider {contract}, this host serves {}.{}",
            CONTRACT.0, CONTRACT.1
        ));
    }
    for interface in &manifest.imports {
        if !OFFERED.contains(&interface.as_str()) {
            return refuse(format!(
                "the manifest asks for `anyport:provider/{interface}`, which this host does not offer"
            ));
        }
    }
    for name in &manifest.secrets.reveal {
        if !manifest.secrets.names.contains(name) {
            return refuse(format!(
                "secrets.reveal names `{name}`, which is not in secrets.names"
            ));
        }
    }
    for rule in &manifest.egress {
        check_egress(rule).map_err(Refusal)?;
    }
    for rule in &manifest.secrets.placements {
        check_placement(rule, manifest).map_err(Refusal)?;
    }
    let mut routes = std::collections::BTreeSet::new();
    for route in &manifest.ingress {
        route.check().map_err(Refusal)?;
        if !routes.insert(&route.route) {
            return refuse(format!("ingress `{}` stands there twice", route.route));
        }
        for name in route.secrets() {
            if !manifest.secrets.names.iter().any(|known| known == name) {
                return refuse(format!(
                    "ingress `{}` uses the secret `{name}`, which is not in secrets.names",
                    route.route
                ));
            }
        }
    }
    Ok(())
}

fn check_egress(rule: &EgressRule) -> Result<(), String> {
    let at = |rest: String| Err(format!("egress to {}: {rest}", rule.host));
    let known = |name: &String| EgressRule::TRANSPORTS.contains(&name.as_str());
    if rule.transports.is_empty() || !rule.transports.iter().all(known) {
        return at("transports is one or more of tcp, tls, http, https".to_owned());
    }
    let upper = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase());
    if let Some(method) = rule.methods.iter().find(|name| !upper(name)) {
        return at(format!(
            "methods names `{method}`: HTTP methods are upper-case"
        ));
    }
    if let Some(path) = rule.paths.iter().find(|path| !path.starts_with('/')) {
        return at(format!("paths names `{path}`: a path begins with /"));
    }
    let http = |name: &String| name.starts_with("http");
    if (!rule.methods.is_empty() || !rule.paths.is_empty()) && !rule.transports.iter().all(http) {
        return at("methods and paths are only for http and https".to_owned());
    }
    Ok(())
}

fn check_placement(rule: &PlacementRule, manifest: &Manifest) -> Result<(), String> {
    let at = |rest: &str| Err(format!("secrets.placements of `{}`: {rest}", rule.secret));
    if !manifest.secrets.names.contains(&rule.secret) {
        return at("it is not in secrets.names");
    }
    if rule.hosts.is_empty() {
        return at("hosts says who may see it: at least one");
    }
    let known = |name: &String| name == "http" || name == "https";
    if rule.transports.is_empty() || !rule.transports.iter().all(known) {
        return at("transports is https, and http where it is meant");
    }
    let fits = match rule.place {
        PlaceKind::Header => {
            !rule.name.is_empty()
                && rule
                    .name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        }
        PlaceKind::Query | PlaceKind::FormField => !rule.name.is_empty(),
        PlaceKind::PathSegment => rule.name.parse::<u32>().is_ok(),
        PlaceKind::JsonPointer => crate::domain::ingress::is_pointer(&rule.name),
    };
    if !fits {
        return at(
            "name is a lower-case header, a parameter, a field, the number of a segment, or a JSON pointer",
        );
    }
    Ok(())
}

/// Routes and the export `ingress` go together.
fn check_ingress(exported: bool, manifest: &Manifest) -> Result<(), Refusal> {
    match (exported, manifest.ingress.is_empty()) {
        (false, false) => refuse(format!(
            "the manifest has ingress routes, and the component does not export {INGRESS}"
        )),
        (true, true) => refuse(format!(
            "the component exports {INGRESS}, and its manifest has no ingress route"
        )),
        _ => Ok(()),
    }
}

/// Every import and export of the contract is of a version that this host serves, and every
/// imported interface with functions is in the manifest.
fn check_versions_and_grants(
    engine: &Engine,
    component: &Component,
    manifest: &Manifest,
) -> Result<(), Refusal> {
    let kind = component.component_type();
    let imports = kind
        .imports(&engine.wasm)
        .map(|(name, _)| (name.to_owned(), true));
    let exports = kind
        .exports(&engine.wasm)
        .map(|(name, _)| (name.to_owned(), false));
    for (name, imported) in imports.chain(exports) {
        let Some(rest) = name.strip_prefix("anyport:provider/") else {
            continue;
        };
        let (interface, version) = rest.split_once('@').unwrap_or((rest, "none"));
        let served = semver::Version::parse(version)
            .is_ok_and(|version| (version.major, version.minor) == CONTRACT);
        if !served {
            return refuse(format!(
                "the component speaks {name}, this host speaks {}.{}.0",
                CONTRACT.0, CONTRACT.1
            ));
        }
        if !imported || TYPES_ONLY.contains(&interface) {
            continue;
        }
        if !OFFERED.contains(&interface) {
            return refuse(format!(
                "the component imports {name}, which this host does not offer"
            ));
        }
        if !manifest.imports.iter().any(|granted| granted == interface) {
            return refuse(format!(
                "the component imports {name}, which its manifest was not granted (add `{interface}` to `imports`)"
            ));
        }
    }
    Ok(())
}

fn indices(pre: InstancePre<GuestState>) -> Result<Loaded, Refusal> {
    fn shape<T>(loaded: wasmtime::Result<T>) -> Result<T, Refusal> {
        loaded.map_err(|error| Refusal(chain(&error)))
    }
    let has = |name: &str| pre.component().get_export_index(None, name).is_some();
    for name in [LIFECYCLE, REACTOR] {
        if !has(name) {
            return refuse(format!(
                "the component does not export {name}, which every provider does"
            ));
        }
    }
    let lifecycle = shape(guest::lifecycle::GuestIndices::new(&pre))?;
    let reactor = shape(guest::reactor::GuestIndices::new(&pre))?;
    let sign_in = if has(SIGN_IN) {
        Some(shape(guest::sign_in::GuestIndices::new(&pre))?)
    } else {
        None
    };
    let exports = Arc::new(shape(Indices::of(&pre, has))?);
    let ingress = if has(INGRESS) {
        Some(shape(guest::ingress::GuestIndices::new(&pre))?)
    } else {
        None
    };
    Ok(Loaded {
        pre,
        lifecycle,
        reactor,
        sign_in,
        exports,
        ingress,
    })
}

/// What an export of another shape is refused with.
pub(super) fn shape_of<T>(export: &str, loaded: wasmtime::Result<T>) -> wasmtime::Result<T> {
    loaded.or_else(|error| {
        breach(format!(
            "its export {export} has another shape than the contract's: {}",
            chain(&error)
        ))
    })
}

/// What is named can be called, and its limits are what the host takes them for.
fn check_features(descriptor: &Descriptor, exports: &Indices) -> Result<(), Refusal> {
    for (feature, limits) in &descriptor.features {
        if let Some(interface) = capability::interface_of(feature)
            && !exports.has(interface)
        {
            return refuse(format!(
                "`describe` names the feature `{feature}`, and the component does not export `{}`",
                interface.as_str()
            ));
        }
        if let Err(rule) = capability::check_limits(feature, limits.as_ref()) {
            return refuse(format!("`describe`: {rule}"));
        }
    }
    Ok(())
}

fn convert_descriptor(described: guest::lifecycle::Descriptor) -> Result<Descriptor, Refusal> {
    fn json(what: &str, text: &str) -> Result<serde_json::Value, Refusal> {
        serde_json::from_str(text)
            .map_err(|error| Refusal(format!("`describe`: {what} is not JSON: {error}")))
    }
    let config_schema = json("config-schema", &described.config_schema)?;
    if !config_schema.is_object() {
        return refuse("`describe`: config-schema is not a JSON object");
    }
    Ok(Descriptor {
        title: described.title,
        features: described
            .features
            .into_iter()
            .map(|feature| {
                let limits = feature
                    .limits
                    .as_deref()
                    .map(|text| json("a feature's limits", text))
                    .transpose()?;
                Ok((feature.name, limits))
            })
            .collect::<Result<_, Refusal>>()?,
        sign_in_methods: described
            .sign_in_methods
            .into_iter()
            .map(|method| {
                let inputs = method
                    .inputs
                    .as_deref()
                    .map(|text| json("a method's inputs", text))
                    .transpose()?;
                Ok((method.name, method.title, inputs))
            })
            .collect::<Result<_, Refusal>>()?,
        config_schema,
        state_version: described.state_version,
        reads_state_versions: described.reads_state_versions,
    })
}
