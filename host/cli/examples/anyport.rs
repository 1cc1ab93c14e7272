//! These commands without the host's own, which builds in seconds: for working on them.

use clap::{CommandFactory, Parser};

#[derive(Parser)]
#[command(name = "anyport", version)]
struct Cli {
    #[command(subcommand)]
    command: anyport_cli::Command,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let root = Cli::command();
    anyport_cli::run(&cli.command, root)
}
