//! The commands of `anyport` that speak REST to a running host. They know the API's words and no
//! more of the host: this crate must not depend on it, nor open its database.
//!
//! - [`Command`]: the commands, for the binary to take up among its own.
//! - [`run`]: runs one to its exit code.
//! - [`grouped`]: the help of the whole binary, by what one wants to do.

mod api;
mod command;
mod connection;
mod event_line;
mod failure;
mod forward;
mod help;
mod input;
mod options;
mod output;
mod pages;
mod position;
mod prompt;
mod qr;
mod session;
mod signals;
mod sse;
mod stream;
mod table;
mod text;
mod transport;
mod workshop;

pub use command::Command;
pub use help::grouped;
pub use workshop::{Finding, Report, Severity, Workshop};

use crate::failure::{Failure, Outcome, exit};
use crate::output::{ColorChoice, Output};
use crate::session::Session;
use std::process::ExitCode;

/// Variables of the environment that belong to these commands and not to the host's settings.
pub const VARIABLES: [&str; 6] = [
    "ANYPORT_CA",
    "ANYPORT_KEY",
    "ANYPORT_KEY_FILE",
    "ANYPORT_LISTEN_SECRET",
    "ANYPORT_PROFILE",
    "ANYPORT_URL",
];

/// `root`: the whole command line, of which completions and man pages are made. `workshop`: what
/// the process can do beside speaking to a host.
pub fn run(command: &Command, root: clap::Command, workshop: &dyn Workshop) -> ExitCode {
    let Some(options) = command.options() else {
        let output = Output::new(false, ColorChoice::Auto);
        return end(&output, shell(command, root, &output));
    };
    let output = Output::new(options.json, options.color);
    if let Command::Providers(providers) = command
        && let Some(ended) = providers.run_here(&output, workshop)
    {
        return end(&output, ended);
    }
    let session = match Session::new(options, output) {
        Ok(session) => session,
        Err((output, failure)) => return end(&output, Err(failure)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(until_interrupted(command, &session)),
        Err(error) => Err(Failure::local(format!("nothing can be run: {error}"))),
    };
    end(&session.output, ended)
}

async fn until_interrupted(command: &Command, session: &Session) -> Outcome {
    if command.heeds_signals() {
        return command.run(session).await;
    }
    tokio::select! {
        biased;
        ended = command.run(session) => ended,
        () = signals::interrupted() => Err(Failure::Interrupted),
    }
}

fn shell(command: &Command, root: clap::Command, output: &Output) -> Outcome {
    let text = match command {
        Command::Completions(it) => it.text(root),
        Command::Man(it) => it.text(root)?,
        _ => Vec::new(),
    };
    if text.is_empty() {
        return Ok(());
    }
    output.bytes(text.trim_ascii_end())
}

fn end(output: &Output, ended: Outcome) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::from(exit::OK),
        Err(failure) => {
            failure.print(output);
            ExitCode::from(failure.exit_code())
        }
    }
}
