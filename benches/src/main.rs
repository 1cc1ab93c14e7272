//! The load program: starts host, simulator and load in processes of their own and measures the
//! host from outside. `anyport-bench send`, `anyport-bench idle`; tables come on standard output.

mod client;
mod idle;
mod parts;
mod send;

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Durable sends through the simulator: the provider as a component against the same handler
    /// in native code.
    Send(send::Args),
    /// Memory of the host with no accounts, and of each that is signed in and idle.
    Idle(idle::Args),
    /// A part of the above: the host.
    Host {
        #[arg(long)]
        kind: Kind,
        #[arg(long)]
        data: PathBuf,
    },
    /// A part of the above: the simulator's server.
    Simulator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Component,
    Native,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Native => "native",
        }
    }
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    match Cli::parse().command {
        Command::Host { kind, data } => parts::host(kind, data),
        Command::Simulator => parts::simulator(),
        Command::Send(args) => one_thread()?.block_on(send::run(args)),
        Command::Idle(args) => one_thread()?.block_on(idle::run(args)),
    }
}

/// Load is cheap to make; its threads should not be in the host's way.
fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
