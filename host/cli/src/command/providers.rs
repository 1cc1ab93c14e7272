//! `anyport providers`.

use crate::api::Call;
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::output::{Output, Tone};
use crate::session::{Session, list, text, words};
use crate::table::{Cell, Table};
use crate::text::{local_time, printable};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A component is compiled before it is answered.
const COMPILING: Duration = Duration::from_secs(300);

#[derive(Args, Debug)]
pub struct Providers {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// What is installed, and what was refused last
    List,
    /// Install a component; its provider's accounts move to it. Takes the operator's key
    Install {
        /// The component (.wasm)
        file: PathBuf,
    },
}

impl Providers {
    pub async fn run(&self, session: &Session) -> Outcome {
        match &self.action {
            Action::List => {
                session.answer(Call::get(&["providers"]), show_list).await?;
                Ok(())
            }
            Action::Install { file } => install(session, file).await,
        }
    }
}

async fn install(session: &Session, file: &Path) -> Outcome {
    let component = std::fs::read(file)
        .map_err(|error| Failure::local(format!("{} cannot be read: {error}", file.display())))?;
    let call = Call::new(http::Method::POST, &["providers"])
        .with_operator_key()
        .body(component.into(), "application/wasm")
        .host_waits(COMPILING);
    session.answer(call, show_installed).await?;
    Ok(())
}

fn show_installed(output: &Output, installed: &Value) -> Outcome {
    let name = format!(
        "{} {}",
        text(installed, "provider"),
        text(installed, "version")
    );
    let digest = text(installed, "digest");
    let line = if installed["unchanged"] == true {
        format!("{name} was installed already")
    } else {
        let accounts = words(installed, "accounts");
        format!("{name} is installed; accounts that move to it: {accounts}")
    };
    output.line(&printable(&line))?;
    output.line(&output.paint(Tone::Faint, &printable(digest)))
}

fn show_list(output: &Output, providers: &Value) -> Outcome {
    let mut table = Table::new(&[
        "PROVIDER", "VERSION", "TITLE", "SIGN-IN", "ACCOUNTS", "DIGEST",
    ]);
    let mut refusals = Vec::new();
    for provider in list(providers) {
        let name = text(provider, "provider");
        if let Some(refusal) = provider.get("last_refusal").filter(|it| it.is_object()) {
            let of = if name.is_empty() { "a component" } else { name };
            refusals.push((of.to_owned(), refusal));
        }
        if name.is_empty() {
            continue;
        }
        let ways: Vec<&str> = list(&provider["sign_in_methods"])
            .iter()
            .map(|method| text(method, "auth_mode"))
            .collect();
        table.row([
            Cell::text(name),
            Cell::text(text(provider, "version")),
            Cell::text(text(provider, "title")),
            Cell::text(ways.join(", ")),
            Cell::text(words(provider, "accounts")),
            Cell::faint(crate::text::cut(text(provider, "digest"), 13)),
        ]);
    }
    if table.is_empty() {
        output.note("No providers are installed.");
    } else {
        output.table(&table)?;
    }
    for (of, refusal) in refusals {
        let line = format!(
            "\nRefused at {}: {} ({}): {}",
            local_time(text(refusal, "at")),
            printable(&of),
            printable(text(refusal, "source")),
            printable(text(refusal, "reason"))
        );
        output.note(&output.paint_error(Tone::Warning, &line));
    }
    Ok(())
}
