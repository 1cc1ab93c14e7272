//! The binary: reads what the operator set and runs the host, or the simulator channel.

use anyhow::Context;
use anyport::app::config::{Cli, Command, Config, ServeArgs};
use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let root = anyport_cli::grouped(Cli::command());
    let cli =
        Cli::from_arg_matches(&root.clone().get_matches()).unwrap_or_else(|error| error.exit());
    if let Some(Command::Client(command)) = &cli.command {
        return anyport_cli::run(command, root);
    }
    let filter = EnvFilter::try_from_env("ANYPORT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let result = tokio::runtime::Runtime::new()
        .context("no runtime")
        .and_then(|runtime| {
            runtime.block_on(async {
                match cli.command {
                    None => serve(cli.serve).await,
                    Some(Command::Serve(args)) => serve(args).await,
                    Some(Command::Backup(args)) => anyport::app::backup::back_up(args).await,
                    Some(Command::Restore(args)) => anyport::app::backup::restore(args).await,
                    Some(Command::Migrate(args)) => anyport::app::migrate::run(args).await,
                    Some(Command::Simulator(args)) => anyport_simulator::run(args).await,
                    Some(Command::Client(_)) => Ok(()),
                }
            })
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("anyport: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let config = Config::load(&args)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    anyport::app::run(config, listener, shutdown).await
}
