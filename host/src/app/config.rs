//! What an operator can set. Defaults ← TOML file ← environment (`ANYPORT_…`) ← flags; unknown
//! keys are refused.

use super::backup::{BackupArgs, RestoreArgs};
use super::retention::RetentionConfig;
use crate::domain::key::Rate;
use crate::supervisor::FaultInjection;
use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Parser, Debug)]
#[command(
    name = "anyport",
    version,
    about = "One port, every channel: a self-hosted host for messaging providers"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the host (what happens without a command, too).
    Serve(ServeArgs),
    /// Copy the database of a host, which may be running, to a file.
    Backup(BackupArgs),
    /// Make an installation of a backup.
    Restore(RestoreArgs),
    /// Move a SQLite installation to PostgreSQL, while no host runs on it.
    Migrate(MigrateArgs),
    /// Run the simulator channel's own server.
    Simulator(anyport_simulator::SimulatorArgs),
    /// What speaks REST to a host that runs.
    #[command(flatten)]
    Client(anyport_cli::Command),
}

#[derive(Args, Debug, Clone)]
pub struct MigrateArgs {
    /// The database to move to: `postgres://user:password@host/database`. Better in the
    /// environment, since other users of the machine see arguments.
    #[arg(
        long,
        env = "ANYPORT_DATABASE",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub to: SecretString,
    /// Where the SQLite database and the operator's key are.
    #[arg(long, env = "ANYPORT_DATA", default_value = "anyport-data")]
    pub data: PathBuf,
}

#[derive(Args, Debug, Default, Clone)]
pub struct ServeArgs {
    /// A TOML file; see docs/operations.md.
    #[arg(long, env = "ANYPORT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the REST API listens.
    #[arg(long, env = "ANYPORT_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where the database, its keys and the providers directory are.
    #[arg(long, env = "ANYPORT_DATA")]
    pub data: Option<PathBuf>,
    /// Networks beyond the public ones that providers and webhooks may reach, comma-separated.
    #[arg(long, env = "ANYPORT_ALLOW", value_delimiter = ',')]
    pub allow: Vec<IpNet>,
}

/// All of it, with every default filled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
pub struct Config {
    pub listen: SocketAddr,
    pub data: PathBuf,
    /// The operator's key; `operator.key` below `data` when absent.
    pub operator_key_file: Option<PathBuf>,
    /// `postgres://user:password@host/database`; SQLite in `data` when absent.
    pub database: Option<SecretString>,
    /// The inbox for components; `providers` below `data` when absent.
    pub providers: Option<PathBuf>,
    pub network: NetworkConfig,
    pub runtime: RuntimeConfig,
    pub webhooks: WebhookConfig,
    pub retention: RetentionConfig,
    pub limits: LimitsConfig,
    pub simulator: SimulatorConfig,
    /// Configuration of a provider under that of its accounts, by provider id.
    pub provider: BTreeMap<String, serde_json::Value>,
    /// Nothing was configured: somebody tries the host out.
    #[serde(skip)]
    pub trial: bool,
    /// For tests; no file can set it.
    #[serde(skip)]
    pub fault_injection: Option<FaultInjection>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Networks beyond the public ones that providers and webhooks may reach.
    pub allow: Vec<IpNet>,
    /// PEM files with certificate authorities beside the system's.
    pub extra_ca: Vec<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    pub max_instances: u32,
    /// Threads on which guests run; as many as there are processors when absent.
    pub guest_threads: Option<usize>,
    /// Seconds until a dispatched send that is not settled is `unknown`.
    pub send_deadline_s: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Does `message.received` carry the flat mirrors at its top level?
    pub flat_mirrors: bool,
}

/// Requests; 0 a second is no limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
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

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            requests_per_second: 1_000,
            burst: 2_000,
            unauthenticated_per_second: 100,
            unauthenticated_burst: 200,
            trusted_proxies: Vec::new(),
        }
    }
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

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatorConfig {
    /// Run the simulator channel's server in this process, on loopback. On when nothing is
    /// configured, else off.
    pub enabled: Option<bool>,
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: PathBuf::from("anyport-data"),
            operator_key_file: None,
            database: None,
            providers: None,
            network: NetworkConfig::default(),
            runtime: RuntimeConfig::default(),
            webhooks: WebhookConfig::default(),
            retention: RetentionConfig::default(),
            limits: LimitsConfig::default(),
            simulator: SimulatorConfig::default(),
            provider: BTreeMap::new(),
            trial: false,
            fault_injection: None,
        }
    }
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            max_instances: 12_000,
            guest_threads: None,
            send_deadline_s: 300,
        }
    }
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { flat_mirrors: true }
    }
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            enabled: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

impl Config {
    pub fn load(args: &ServeArgs) -> anyhow::Result<Self> {
        let mut config = match &args.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        // Where it listens and keeps its data is no sign that somebody thought about the network.
        config.trial = args.config.is_none() && args.allow.is_empty();
        if let Some(listen) = args.listen {
            config.listen = listen;
        }
        // Not a flag: other users of the machine see those.
        if let Ok(database) = std::env::var("ANYPORT_DATABASE") {
            config.database = Some(database.into());
        }
        if let Some(data) = &args.data {
            config.data.clone_from(data);
        }
        config.network.allow.extend(&args.allow);
        if config.trial && !config.listen.ip().is_loopback() {
            bail!(
                "without a configuration the host listens on loopback only, not on {}; write a configuration file (docs/operations.md) or set ANYPORT_ALLOW",
                config.listen
            );
        }
        Ok(config)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the configuration {} cannot be read", path.display()))?;
        toml::from_str(&text).map_err(|error| {
            // Not the error's own text: it quotes the line, which may hold a password.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            anyhow::anyhow!(
                "the configuration {} is wrong: line {line}: {}",
                path.display(),
                error.message()
            )
        })
    }

    pub fn providers_directory(&self) -> PathBuf {
        self.providers
            .clone()
            .unwrap_or_else(|| self.data.join("providers"))
    }

    pub fn runs_simulator(&self) -> bool {
        self.simulator.enabled.unwrap_or(self.trial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_unknown_keys_and_reads_known_ones() {
        let error = toml::from_str::<Config>("listn = \"127.0.0.1:1\"").unwrap_err();
        assert!(error.message().contains("listn"), "{error}");
        let config: Config = toml::from_str(
            "[network]\nallow = [\"10.0.0.0/8\"]\n[provider.irc]\nserver = \"irc.example.org\"\n",
        )
        .unwrap();
        assert_eq!(config.network.allow.len(), 1);
        assert_eq!(config.provider["irc"]["server"], "irc.example.org");
    }

    #[test]
    fn no_password_is_shown() {
        let line = "database = \"postgres://me:hunter2@db.example.org/anyport\"";
        let config: Config = toml::from_str(line).unwrap();
        assert!(config.database.is_some());
        assert!(!format!("{config:?}").contains("hunter2"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anyport.toml");
        std::fs::write(&path, format!("\n{} oops", line)).unwrap();
        let args = ServeArgs {
            config: Some(path),
            ..ServeArgs::default()
        };
        let error = format!("{:#}", Config::load(&args).unwrap_err());
        assert!(
            error.contains("line 2") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn a_trial_stays_on_loopback() {
        let args = ServeArgs {
            listen: Some("0.0.0.0:80".parse().unwrap()),
            ..ServeArgs::default()
        };
        assert!(
            Config::load(&args)
                .unwrap_err()
                .to_string()
                .contains("loopback")
        );
        let args = ServeArgs {
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            ..args
        };
        assert!(!Config::load(&args).unwrap().trial);
    }
}
