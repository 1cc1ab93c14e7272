//! The binary: what it was asked to do.

use anyport::app::config::{Cli, Command};
use anyport::app::{config, doctor, health, serve};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = match cli.command {
        None => serve::serve(&cli.serve),
        Some(Command::Serve(args)) => serve::serve(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Config(args)) => config::show::run(&args),
        Some(Command::Health(args)) => health::run(&args),
        Some(Command::Simulator(args)) => simulator(args),
    };
    code.into()
}

fn simulator(args: anyport_simulator::SimulatorArgs) -> u8 {
    serve::log(&config::Config::default().log);
    let run = || tokio::runtime::Runtime::new()?.block_on(anyport_simulator::run(args));
    match run() {
        Ok(()) => serve::DONE,
        Err(error) => {
            eprintln!("anyport: {error:#}");
            serve::FAILED
        }
    }
}
