//! The commands that the host's own process runs, and their flags.

use crate::app::backup::{BackupArgs, RestoreArgs};
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// Say what is wrong with this installation, in plain words. Changes nothing.
    Doctor(DoctorArgs),
    /// Show or check the configuration.
    Config(ConfigArgs),
    /// Print the description of the REST API (OpenAPI 3.1), as a host serves it at /openapi.json.
    Openapi,
    /// Ask a running host whether it is alive and ready.
    Health(HealthArgs),
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
    Client(Box<anyport_cli::Command>),
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
    /// The host's TOML file.
    #[arg(long, env = "ANYPORT_CONFIG")]
    pub config: Option<PathBuf>,
    /// The host's data directory, where the SQLite database is.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// What is set for one start.
#[derive(Args, Debug, Default, Clone)]
pub struct ServeArgs {
    /// A TOML file; see docs/operations.md.
    #[arg(long, env = "ANYPORT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the REST API listens.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where the database, its keys and the providers directory are.
    #[arg(long, value_name = "DIRECTORY")]
    pub data: Option<PathBuf>,
    /// Networks beyond the public ones that providers and webhooks may reach, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "NETWORKS")]
    pub allow: Vec<IpNet>,
    /// Any other setting, as runtime.guest_threads=4; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Args, Debug, Clone)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug, Clone)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Subcommand, Debug, Clone)]
pub enum ConfigCommand {
    /// What is in effect and where each value comes from. Prints no secret.
    Show {
        #[command(flatten)]
        serve: ServeArgs,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Is it right? Says nothing when it is.
    Check {
        #[command(flatten)]
        serve: ServeArgs,
    },
    /// Every setting with its default and what it is for, as a file to begin with.
    Default,
}

#[derive(Args, Debug, Clone)]
pub struct HealthArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Is it alive? Without: is it ready?
    #[arg(long)]
    pub live: bool,
    /// Seconds to wait for the answer.
    #[arg(long, default_value_t = 3)]
    pub timeout: u64,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}
