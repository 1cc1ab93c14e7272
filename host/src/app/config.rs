//! What an operator can set. Defaults ← TOML file ← environment (`ANYPORT_…`) ← flags; unknown
//! keys are refused.
//!
//! The defaults are `host/config/default.toml`, compiled in. A new setting is a line there and a
//! field here; a test holds the two together.

mod cli;
mod layers;
mod reading;
pub mod secret;
pub mod show;

pub use cli::{
    Cli, Command, ConfigArgs, ConfigCommand, DoctorArgs, HealthArgs, MigrateArgs, ServeArgs,
};
pub use layers::{Layers, Problems, Setting, Source};

use super::retention::RetentionConfig;
use crate::domain::key::Rate;
use crate::storage::postgres::DatabaseUrl;
use crate::supervisor::FaultInjection;
use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// All of it, with every default filled in. `Debug` shows nothing of the providers'.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    pub data: PathBuf,
    /// The operator's key; `operator.key` below `data` when absent.
    pub operator_key_file: Option<PathBuf>,
    /// `postgres://user:password@host/database`; SQLite in `data` when absent.
    #[serde(serialize_with = "secret::shown")]
    pub database: Option<SecretString>,
    /// How others reach this host.
    pub public_url: Option<String>,
    /// The inbox for components; `providers` below `data` when absent.
    pub providers: Option<PathBuf>,
    /// Where the host is reached from outside, for addresses that others are given.
    pub public_url: Option<String>,
    pub network: NetworkConfig,
    pub ingress: IngressConfig,
    pub runtime: RuntimeConfig,
    pub webhooks: WebhookConfig,
    pub media: MediaConfig,
    pub retention: RetentionConfig,
    pub log: LogConfig,
    pub metrics: MetricsConfig,
    pub otlp: OtlpConfig,
    pub shutdown: ShutdownConfig,
    pub limits: LimitsConfig,
    pub simulator: SimulatorConfig,
    /// Configuration of a provider under that of its accounts, by provider id.
    #[serde(default)]
    pub provider: BTreeMap<String, serde_json::Value>,
    /// Nothing was configured: somebody tries the host out.
    #[serde(skip)]
    pub trial: bool,
    /// For tests; no file can set it.
    #[serde(skip)]
    pub fault_injection: Option<FaultInjection>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Networks beyond the public ones that providers and webhooks may reach.
    pub allow: Vec<IpNet>,
    /// PEM files with certificate authorities beside the system's.
    pub extra_ca: Vec<PathBuf>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IngressConfig {
    /// Providers whose channels are believed without a proof.
    pub unverified: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    pub max_instances: u32,
    /// Threads on which guests run; as many as there are processors when absent.
    pub guest_threads: Option<usize>,
    /// Seconds until a dispatched send that is not settled is `unknown`.
    pub send_deadline_s: u64,
    /// Seconds until a question or an action that the provider does not answer has ended.
    pub command_timeout_s: u64,
    /// Of one account, at once.
    pub open_commands: u32,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Does `message.received` carry the flat mirrors at its top level?
    pub flat_mirrors: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MediaConfig {
    /// Of one medium.
    pub max_bytes: u64,
    /// Types that are taken; none: all.
    pub types: Vec<String>,
    /// `media` below `data` when absent.
    pub directory: Option<PathBuf>,
    pub s3: S3Config,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// A store of this kind is used if there is one.
    pub bucket: Option<String>,
    pub region: String,
    pub endpoint: Option<String>,
    pub access_key_id: Option<String>,
    #[serde(serialize_with = "secret::shown")]
    pub secret_access_key: Option<SecretString>,
}

impl S3Config {
    fn is_whole(&self) -> bool {
        let keys = self.access_key_id.is_some() && self.secret_access_key.is_some();
        self.bucket.is_none() || keys
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// A filter of `tracing`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Pretty,
    Json,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// A listener of its own for metrics and health, without a key.
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// The base URL of an OTLP/HTTP receiver.
    pub endpoint: Option<String>,
    /// `name=value`, separated by commas.
    #[serde(serialize_with = "secret::shown")]
    pub headers: Option<SecretString>,
    /// 0 to 1, of traces that begin here.
    pub sample_ratio: f64,
    pub service_name: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownConfig {
    /// Seconds for which requests are still taken.
    pub drain_s: u64,
    /// Seconds for all that follows.
    pub within_s: u64,
}

/// Requests; 0 a second is no limit.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Of one key that has no rate of its own.
    pub requests_per_second: u32,
    pub burst: u32,
    /// Of one address without a good key.
    pub unauthenticated_per_second: u32,
    pub unauthenticated_burst: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl LimitsConfig {
    pub fn limits(&self) -> crate::api::Limits {
        let rate = |per_second: u32, burst: u32| {
            (per_second > 0).then(|| Rate {
                per_second,
                burst: burst.max(1),
            })
        };
        crate::api::Limits {
            key: rate(self.requests_per_second, self.burst),
            peer: rate(self.unauthenticated_per_second, self.unauthenticated_burst),
            trusted_proxies: self.trusted_proxies.clone(),
        }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatorConfig {
    /// Run the simulator channel's server in this process, on loopback. On when nothing is
    /// configured, else off.
    pub enabled: Option<bool>,
    pub listen: SocketAddr,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("data", &self.data)
            .field("network", &self.network)
            .field("runtime", &self.runtime)
            .field("trial", &self.trial)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        layers::defaults().expect("the defaults that are compiled in are right; a test reads them")
    }
}

impl Config {
    /// From the file and flags of the arguments and this process' environment.
    pub fn load(args: &ServeArgs) -> Result<Self, Problems> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            // One that is no text cannot be ours.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::load_from(args, environment).map(|(config, _)| config)
    }

    /// The same with the environment given, and where each value comes from.
    pub fn load_from(
        args: &ServeArgs,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Layers), Problems> {
        let layers = Layers::read(args, environment)?;
        let mut config: Self = layers.config()?;
        config.trial = layers.is_trial();
        config.check(&layers)?;
        Ok((config, layers))
    }

    /// The rules that no type holds.
    fn check(&self, layers: &Layers) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let mut rule = |holds: bool, key: &str, rule: &str| {
            if !holds {
                problems.add(layers.wrong(key, rule));
            }
        };
        rule(
            self.public_url.as_deref().is_none_or(is_base_url),
            "public_url",
            "must be an http:// or https:// URL without user and query",
        );
        rule(
            self.runtime.max_instances >= 1,
            "runtime.max_instances",
            "must be at least 1",
        );
        rule(
            self.runtime
                .guest_threads
                .is_none_or(|threads| (1..=1024).contains(&threads)),
            "runtime.guest_threads",
            "must be 1 to 1024",
        );
        rule(
            (1..=86_400).contains(&self.runtime.send_deadline_s),
            "runtime.send_deadline_s",
            "must be 1 to 86400 seconds",
        );
        rule(
            (1..=600).contains(&self.runtime.command_timeout_s),
            "runtime.command_timeout_s",
            "must be 1 to 600 seconds",
        );
        rule(
            (1..=10_000).contains(&self.runtime.open_commands),
            "runtime.open_commands",
            "must be 1 to 10000",
        );
        rule(
            self.log
                .level
                .parse::<tracing_subscriber::EnvFilter>()
                .is_ok(),
            "log.level",
            "must be a filter such as \"info\" or \"info,provider=debug\"",
        );
        rule(
            (0.0..=1.0).contains(&self.otlp.sample_ratio),
            "otlp.sample_ratio",
            "must be 0 to 1",
        );
        rule(
            self.otlp.endpoint.as_deref().is_none_or(is_base_url),
            "otlp.endpoint",
            "must be an http:// or https:// URL without user and query",
        );
        rule(
            self.otlp
                .headers
                .as_ref()
                .is_none_or(|headers| secret::pairs(headers).is_some()),
            "otlp.headers",
            "must be name=value, separated by commas",
        );
        rule(
            self.shutdown.drain_s <= 3600,
            "shutdown.drain_s",
            "must be at most 3600 seconds",
        );
        rule(
            (5..=3600).contains(&self.shutdown.within_s),
            "shutdown.within_s",
            "must be 5 to 3600 seconds",
        );
        rule(
            self.public_url.as_deref().is_none_or(is_base_url),
            "public_url",
            "must be an http:// or https:// URL without user and query",
        );
        rule(
            self.media.max_bytes >= 1,
            "media.max_bytes",
            "must be at least 1",
        );
        let fits = |kind: &String| kind.split('/').count() == 2 && !kind.contains(' ');
        rule(
            self.media.types.iter().all(fits),
            "media.types",
            "must be types such as image/* or image/png",
        );
        rule(
            self.media.s3.is_whole(),
            "media.s3.bucket",
            "needs media.s3.access_key_id and media.s3.secret_access_key beside it",
        );
        let endpoint = self.media.s3.endpoint.as_deref();
        rule(
            endpoint.is_none_or(is_base_url),
            "media.s3.endpoint",
            "must be an http:// or https:// URL without user and query",
        );
        let database = self.database.as_ref().map(DatabaseUrl::try_from);
        if let Some(Err(error)) = database {
            rule(false, "database", &error.to_string());
        }
        let loopback = self.listen.ip().is_loopback();
        rule(
            loopback || !self.trial,
            "listen",
            "without a configuration the host listens on loopback only; write a configuration file (docs/operations.md) or set ANYPORT_ALLOW",
        );
        problems.none()
    }

    pub fn providers_directory(&self) -> PathBuf {
        self.providers
            .clone()
            .unwrap_or_else(|| self.data.join("providers"))
    }

    /// Without a slash at its end.
    pub fn public_url(&self) -> Option<String> {
        let url = self.public_url.as_deref()?;
        Some(url.trim_end_matches('/').to_owned())
    }

    pub fn runs_simulator(&self) -> bool {
        self.simulator.enabled.unwrap_or(self.trial)
    }
}

fn is_base_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
