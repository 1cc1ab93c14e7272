//! The process of a host: configuration, log, signals, exit codes.

use super::config::{Config, LogConfig, LogFormat, ServeArgs};
use super::notify::Notify;
use anyhow::Context;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// All went well.
pub const DONE: u8 = 0;
/// It could not start, or what was asked for did not go well.
pub const FAILED: u8 = 1;
/// Wrong flags or a wrong configuration.
pub const WRONG: u8 = 2;
/// The graceful stop ran out of time; what was committed is kept, as always.
pub const STOPPED_LATE: u8 = 3;

/// Runs until it is told to stop; the exit code. A second signal ends the process at once, with 128 and the
/// signal's number: what was said yes to is in the database, as after `kill -9`.
pub fn serve(args: &ServeArgs) -> u8 {
    let config = match Config::load(args) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("anyport: {problems}");
            return WRONG;
        }
    };
    log(&config.log);
    let result = tokio::runtime::Runtime::new()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(run(config)));
    match result {
        Ok(true) => DONE,
        Ok(false) => STOPPED_LATE,
        Err(error) => {
            eprintln!("anyport: {error:#}");
            FAILED
        }
    }
}

async fn run(config: Config) -> anyhow::Result<bool> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let shutdown = signals()?;
    let alive = tokio::spawn(Notify::from_environment().stay_alive());
    let in_time = super::run(config, listener, shutdown).await;
    alive.abort();
    in_time
}

/// Ready with the first signal; the second one ends the process.
fn signals() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, asked) = oneshot::channel();
    tokio::spawn(async move {
        next(&mut terminate, &mut interrupt).await;
        let _ = first.send(());
        let signal = next(&mut terminate, &mut interrupt).await;
        tracing::warn!("a second signal: stopping at once");
        std::process::exit(128 + signal.as_raw_value());
    });
    Ok(async move {
        let _ = asked.await;
    })
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
    }
}

/// To standard error, for people or for programs.
pub fn log(config: &LogConfig) {
    // The configuration was checked.
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let result = match config.format {
        LogFormat::Pretty => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(colours)).try_init()
        }
        LogFormat::Json => registry
            .with(lines.json().flatten_event(true).with_current_span(false))
            .try_init(),
    };
    if let Err(error) = result {
        eprintln!("anyport: the log is somebody else's: {error}");
    }
}

/// How a stop spends its time: shares of the whole for requests, accounts, deliveries and the
/// writer; what is left is for traces and the rest.
pub(super) struct Patience {
    pub requests: Duration,
    pub accounts: Duration,
    pub deliveries: Duration,
    pub writer: Duration,
    pub traces: Duration,
    /// What is small, each.
    pub rest: Duration,
}

impl Patience {
    pub fn within(whole: Duration) -> Self {
        let share = |percent: u32| whole * percent / 100;
        Self {
            requests: share(25),
            accounts: share(25),
            deliveries: share(20),
            writer: share(15),
            traces: share(5),
            rest: share(5),
        }
    }
}
