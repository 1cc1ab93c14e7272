//! What an operator has granted a provider, and what a new version asks for beyond it.

use super::ingress::IngressRoute;
use super::manifest::{AskedLimits, EgressRule, Manifest, PlacementRule, PortRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Everything that a manifest asks the host for. Grants of several versions add up.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grant {
    /// Interfaces of the contract.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub imports: BTreeSet<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<EgressRule>,
    /// Names of secrets that accounts may hold.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<String>,
    /// Those of them that the guest may read.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub reveal: BTreeSet<String>,
    /// Where the host may put them into requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<PlacementRule>,
    /// Where the channel may call, and how that is verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<IngressRoute>,
    #[serde(skip_serializing_if = "asks_nothing")]
    pub limits: AskedLimits,
}

fn asks_nothing(limits: &AskedLimits) -> bool {
    *limits == AskedLimits::default()
}

impl Grant {
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            imports: manifest.imports.iter().cloned().collect(),
            egress: manifest.egress.clone(),
            secrets: manifest.secrets.names.iter().cloned().collect(),
            reveal: manifest.secrets.reveal.iter().cloned().collect(),
            placements: manifest.secrets.placements.clone(),
            ingress: manifest.ingress.clone(),
            limits: manifest.limits.clone(),
        }
    }

    /// What the manifest asks for beyond this; none: nothing.
    pub fn beyond(&self, manifest: &Manifest) -> Option<Self> {
        let asked = Self::of(manifest);
        let beyond = Self {
            imports: asked.imports.difference(&self.imports).cloned().collect(),
            egress: asked
                .egress
                .into_iter()
                .filter_map(|rule| self.beyond_egress(rule))
                .collect(),
            secrets: asked.secrets.difference(&self.secrets).cloned().collect(),
            reveal: asked.reveal.difference(&self.reveal).cloned().collect(),
            placements: missing(asked.placements, &self.placements),
            ingress: missing(asked.ingress, &self.ingress),
            limits: AskedLimits {
                memory_bytes: more(asked.limits.memory_bytes, self.limits.memory_bytes),
                cpu_ms: more(asked.limits.cpu_ms, self.limits.cpu_ms),
                kv_bytes: more(asked.limits.kv_bytes, self.limits.kv_bytes),
            },
        };
        (beyond != Self::default()).then_some(beyond)
    }

    /// The transports of a rule that no rule of the grant covers.
    fn beyond_egress(&self, mut rule: EgressRule) -> Option<EgressRule> {
        let covering = || {
            self.egress
                .iter()
                .filter(|granted| same_port(&granted.port, &rule.port))
                .filter(|granted| covers(&granted.host, &rule.host))
                .filter(|granted| {
                    within(&granted.methods, &rule.methods, |one, other| one == other)
                })
                .filter(|granted| {
                    within(&granted.paths, &rule.paths, |granted, asked| {
                        asked.starts_with(granted)
                    })
                })
        };
        let missing: Vec<String> = rule
            .transports
            .iter()
            .filter(|transport| !covering().any(|granted| granted.transports.contains(transport)))
            .cloned()
            .collect();
        rule.transports = missing;
        (!rule.transports.is_empty()).then_some(rule)
    }

    /// This and what the other has beyond it.
    pub fn extended(mut self, other: Self) -> Self {
        self.imports.extend(other.imports);
        for rule in other.egress {
            if !self.egress.contains(&rule) {
                self.egress.push(rule);
            }
        }
        self.secrets.extend(other.secrets);
        self.reveal.extend(other.reveal);
        let placements = missing(other.placements, &self.placements);
        self.placements.extend(placements);
        let ingress = missing(other.ingress, &self.ingress);
        self.ingress.extend(ingress);
        let (mine, theirs) = (self.limits, other.limits);
        self.limits = AskedLimits {
            memory_bytes: mine.memory_bytes.max(theirs.memory_bytes),
            cpu_ms: mine.cpu_ms.max(theirs.cpu_ms),
            kv_bytes: mine.kv_bytes.max(theirs.kv_bytes),
        };
        self
    }

    /// For a log and for people: `egress chat.example.org:6697 (tls); reveal password`.
    pub fn in_words(&self) -> String {
        let mut parts = Vec::new();
        let mut named = |what: &str, names: &BTreeSet<String>| {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                parts.push(format!("{what} {}", names.join(", ")));
            }
        };
        named("imports", &self.imports);
        named("secrets", &self.secrets);
        named("reveal", &self.reveal);
        for rule in &self.egress {
            let port = match &rule.port {
                PortRule::Number(port) => port.to_string(),
                PortRule::Pointer(pointer) => pointer.clone(),
            };
            let mut how = rule.transports.join(", ");
            for words in [&rule.methods, &rule.paths] {
                if !words.is_empty() {
                    how.push_str(&format!("; {}", words.join(", ")));
                }
            }
            parts.push(format!("egress {}:{port} ({how})", rule.host));
        }
        for rule in &self.placements {
            let (place, hosts) = (rule.place.as_str(), rule.hosts.join(", "));
            parts.push(format!(
                "secret {} in {place} {} to {hosts} ({})",
                rule.secret,
                rule.name,
                rule.transports.join(", ")
            ));
        }
        for route in &self.ingress {
            let (name, how) = (&route.route, route.verify.kind());
            parts.push(format!("ingress {name} (verified by {how})"));
        }
        let limits = [
            ("memory-bytes", self.limits.memory_bytes),
            ("cpu-ms", self.limits.cpu_ms.map(u64::from)),
            ("kv-bytes", self.limits.kv_bytes),
        ];
        for (name, limit) in limits {
            if let Some(limit) = limit {
                parts.push(format!("{name} {limit}"));
            }
        }
        parts.join("; ")
    }
}

fn more<T: Copy + PartialOrd>(asked: Option<T>, granted: Option<T>) -> Option<T> {
    asked.filter(|asked| granted.is_none_or(|granted| *asked > granted))
}

/// Those that are not granted as they are.
fn missing<T: PartialEq>(asked: Vec<T>, granted: &[T]) -> Vec<T> {
    asked
        .into_iter()
        .filter(|one| !granted.contains(one))
        .collect()
}

/// An empty list is everything.
fn within(granted: &[String], asked: &[String], covers: impl Fn(&str, &str) -> bool) -> bool {
    granted.is_empty()
        || (!asked.is_empty()
            && asked
                .iter()
                .all(|asked| granted.iter().any(|granted| covers(granted, asked))))
}

fn same_port(one: &PortRule, other: &PortRule) -> bool {
    one == other
}

fn covers(granted: &str, asked: &str) -> bool {
    if granted.eq_ignore_ascii_case(asked) {
        return true;
    }
    // What the configuration names is covered by itself alone.
    if asked.starts_with("config:") {
        return false;
    }
    granted.strip_prefix("*.").is_some_and(|stem| {
        let (asked, stem) = (asked.to_ascii_lowercase(), stem.to_ascii_lowercase());
        asked
            .strip_suffix(&stem)
            .and_then(|below| below.strip_suffix('.'))
            .is_some_and(|below| !below.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        let head = "id = \"a\"\ntitle = \"A\"\nversion = \"1.0.0\"\ncontract = \"0.1.0\"\n\
                    class = \"cursor\"\nresume = \"snapshot\"\n";
        toml::from_str(&format!("{head}{text}")).unwrap()
    }

    #[test]
    fn requests_and_routes_are_granted_as_they_are() {
        const HTTP: &str = "imports = [\"http\"]\n[[egress]]\nhost = \"api.example.org\"\n\
                            port = 443\ntransports = [\"https\"]\nmethods = [\"GET\"]\n\
                            paths = [\"/v1/\"]\n[secrets]\nnames = [\"token\"]\n\
                            [[secrets.placements]]\nsecret = \"token\"\nplace = \"header\"\n\
                            name = \"authorization\"\nhosts = [\"api.example.org\"]\n\
                            [[ingress]]\nroute = \"events\"\nverify = { kind = \"token\", \
                            header = \"x-token\", secret = \"token\" }\n";
        let grant = Grant::of(&manifest(HTTP));
        assert_eq!(grant.beyond(&manifest(HTTP)), None);
        for (what, with, words) in [
            (
                "[\"GET\"]",
                "[\"GET\", \"POST\"]",
                "egress api.example.org:443 (https; GET, POST; /v1/)",
            ),
            (
                "methods = [\"GET\"]\n",
                "",
                "egress api.example.org:443 (https; /v1/)",
            ),
            (
                "\"/v1/\"",
                "\"/\"",
                "egress api.example.org:443 (https; GET; /)",
            ),
            (
                "\"authorization\"",
                "\"x-other\"",
                "secret token in header x-other to api.example.org (https)",
            ),
            (
                "{ kind = \"token\", header = \"x-token\", secret = \"token\" }",
                "{ kind = \"none\" }",
                "ingress events (verified by none)",
            ),
        ] {
            assert!(HTTP.contains(what), "{what}");
            let asked = manifest(&HTTP.replace(what, with));
            let beyond = grant.beyond(&asked).unwrap();
            assert_eq!(beyond.in_words(), words);
            assert_eq!(
                grant.clone().extended(beyond).beyond(&asked),
                None,
                "{words}"
            );
        }
        let narrower = HTTP.replace("\"/v1/\"", "\"/v1/messages\"");
        assert_eq!(grant.beyond(&manifest(&narrower)), None);
    }

    const BASE: &str = "imports = [\"kv\"]\n[[egress]]\nhost = \"*.example.org\"\nport = 443\n\
                        transports = [\"tls\"]\n[secrets]\nnames = [\"token\"]\n\
                        [limits]\ncpu-ms = 200\n";

    #[test]
    fn only_what_is_more_is_beyond() {
        let grant = Grant::of(&manifest(BASE));
        assert_eq!(grant.beyond(&manifest(BASE)), None);
        assert_eq!(grant.beyond(&manifest("imports = []")), None);
        for (asked, words) in [
            (
                BASE.replace("[\"kv\"]", "[\"kv\", \"timers\"]"),
                "imports timers",
            ),
            (
                BASE.replace("*.example.org", "*.example.net"),
                "egress *.example.net:443 (tls)",
            ),
            (
                BASE.replace("*.example.org", "config:/server"),
                "egress config:/server:443 (tls)",
            ),
            (
                BASE.replace("[\"tls\"]", "[\"tls\", \"tcp\"]"),
                "egress *.example.org:443 (tcp)",
            ),
            (
                BASE.replace("port = 443", "port = 80"),
                "egress *.example.org:80 (tls)",
            ),
            (
                BASE.replace(
                    "names = [\"token\"]",
                    "names = [\"token\"]\nreveal = [\"token\"]",
                ),
                "reveal token",
            ),
            (BASE.replace("cpu-ms = 200", "cpu-ms = 201"), "cpu-ms 201"),
            (
                BASE.replace("cpu-ms = 200", "memory-bytes = 7"),
                "memory-bytes 7",
            ),
        ] {
            let asked = manifest(&asked);
            let beyond = grant.beyond(&asked).unwrap();
            assert_eq!(beyond.in_words(), words);
            let extended = grant.clone().extended(beyond);
            assert_eq!(extended.beyond(&asked), None, "{words}");
            assert_eq!(extended.beyond(&manifest(BASE)), None, "{words}");
        }
        for within in [
            BASE.replace("*.example.org", "a.b.EXAMPLE.org"),
            BASE.replace("cpu-ms = 200", "cpu-ms = 100"),
        ] {
            assert_eq!(grant.beyond(&manifest(&within)), None, "{within}");
        }
        // A wildcard does not cover the name itself.
        let stem = BASE.replace("*.example.org", "example.org");
        assert!(grant.beyond(&manifest(&stem)).is_some());
    }
}
