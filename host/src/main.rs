//! The binary: what it was asked to do.

use anyport::app::config::{Cli, Command};
use anyport::app::{backup, config, doctor, health, migrate, serve, workshop};
use clap::{CommandFactory, FromArgMatches};
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = anyport_cli::grouped(Cli::command());
    let cli =
        Cli::from_arg_matches(&root.clone().get_matches()).unwrap_or_else(|error| error.exit());
    let code = match cli.command {
        None => serve::serve(&cli.serve),
        Some(Command::Serve(args)) => serve::serve(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Config(args)) => config::show::run(&args),
        Some(Command::Openapi) => openapi(),
        Some(Command::Health(args)) => health::run(&args),
        Some(Command::Backup(args)) => run(backup::back_up(args)),
        Some(Command::Restore(args)) => run(backup::restore(args)),
        Some(Command::Migrate(args)) => run(migrate::run(args)),
        Some(Command::Simulator(args)) => run(anyport_simulator::run(args)),
        Some(Command::Client(command)) => {
            return anyport_cli::run(&command, root, &workshop::Bench);
        }
    };
    code.into()
}

/// A reader that closes the pipe early has what it wanted.
fn openapi() -> u8 {
    let written = anyport::api::description().map_err(std::io::Error::from);
    match written.and_then(|text| std::io::stdout().write_all(&text)) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("anyport: {error}");
            serve::FAILED
        }
        _ => serve::DONE,
    }
}

/// What needs no configuration; the exit code.
fn run(work: impl Future<Output = anyhow::Result<()>>) -> u8 {
    serve::log(&config::Config::default().log);
    let run = || tokio::runtime::Runtime::new()?.block_on(work);
    match run() {
        Ok(()) => serve::DONE,
        Err(error) => {
            eprintln!("anyport: {error:#}");
            serve::FAILED
        }
    }
}
