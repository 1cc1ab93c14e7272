//! `anyport providers`.

mod asked;
mod bench;
mod new;

use super::admin::{read_json, show_json};
use crate::api::Call;
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::output::{Output, Tone};
use crate::session::{Session, list, text, words};
use crate::table::{Cell, Table};
use crate::text::{local_time, printable};
use crate::workshop::Workshop;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A component is compiled before it is answered.
const COMPILING: Duration = Duration::from_secs(300);
/// Of a digest; enough to tell the versions of a provider apart.
const PREFIX_CHARS: usize = 12;

#[derive(Args, Debug)]
pub struct Providers {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Write a provider to begin with: a project of your own
    New(new::New),
    /// Say in plain words what is wrong with a component, and how to mend it. Asks no host
    Check(bench::Check),
    /// Run a component as a host does: start, replay, hand-over, limits. Asks no host
    Test(bench::Test),
    /// What is installed, and what was refused last
    List,
    /// Install a component; its provider's accounts move to it. Takes the operator's key
    Install {
        /// The component (.wasm)
        file: PathBuf,
        /// Grant by the same act what it asks for beyond what is granted
        #[arg(long)]
        approve: bool,
    },
    /// The versions of a provider and what they were granted. Takes the operator's key
    Show {
        /// Its name: the id of its manifest, as `anyport providers list` has it
        provider: String,
    },
    /// Grant what a version asks for beyond what is granted; it becomes current
    Approve {
        /// Its name: the id of its manifest, as `anyport providers list` has it
        provider: String,
        /// The version's digest, or its beginning
        digest: String,
        /// Only grant it
        #[arg(long)]
        not_current: bool,
    },
    /// Make a version current: new accounts get it, the others move to it
    Current {
        /// Its name: the id of its manifest, as `anyport providers list` has it
        provider: String,
        /// The version's digest, or its beginning
        digest: String,
    },
    /// Give one account a version of its own
    Assign {
        /// Its id (acc_…)
        account: String,
        /// The version's whole digest
        digest: String,
    },
    /// The operator's configuration of a provider, under that of its accounts
    Config {
        /// Its name: the id of its manifest, as `anyport providers list` has it
        provider: String,
        /// Merge this JSON file into it, key by key (- for standard input); null removes a key
        #[arg(long, value_name = "FILE")]
        file: Option<String>,
    },
}

impl Providers {
    /// Runs what asks no host; none: this one does.
    pub fn run_here(&self, output: &Output, workshop: &dyn Workshop) -> Option<Outcome> {
        Some(match &self.action {
            Action::New(it) => it.run(output),
            Action::Check(it) => it.run(output, workshop),
            Action::Test(it) => it.run(output, workshop),
            _ => return None,
        })
    }

    pub async fn run(&self, session: &Session) -> Outcome {
        match &self.action {
            Action::New(_) | Action::Check(_) | Action::Test(_) => {}
            Action::List => {
                session.answer(Call::get(&["providers"]), show_list).await?;
            }
            Action::Install { file, approve } => install(session, file, *approve).await?,
            Action::Show { provider } => {
                let call = Call::get(&["providers", provider]).admin();
                session.answer(call, show_versions).await?;
            }
            Action::Approve {
                provider,
                digest,
                not_current,
            } => {
                let digest = whole_digest(session, provider, digest).await?;
                let current = if *not_current { "false" } else { "true" };
                let path = ["providers", provider, "versions", &digest, "approve"];
                let call = Call::post(&path, &json!({})).query("make_current", current);
                session
                    .answer(call.admin().host_waits(COMPILING), show_moved)
                    .await?;
            }
            Action::Current { provider, digest } => {
                let digest = whole_digest(session, provider, digest).await?;
                let path = ["providers", provider, "versions", &digest, "current"];
                let call = Call::post(&path, &json!({}));
                session
                    .answer(call.admin().host_waits(COMPILING), show_moved)
                    .await?;
            }
            Action::Assign { account, digest } => {
                let call = Call::new(Method::PUT, &["accounts", account, "version"])
                    .json(&json!({"digest": digest}));
                let show = |output: &Output, _: &Value| {
                    output.line(&format!("{account} moves to {digest}."))
                };
                session
                    .answer(call.admin().host_waits(COMPILING), show)
                    .await?;
            }
            Action::Config { provider, file } => {
                let path = ["providers", provider, "config"];
                let call = match file {
                    None => Call::get(&path),
                    Some(file) => Call::patch(&path, &read_json(file).await?),
                };
                session.answer(call.admin(), show_json).await?;
            }
        }
        Ok(())
    }
}

async fn install(session: &Session, file: &Path, approve: bool) -> Outcome {
    let component = std::fs::read(file)
        .map_err(|error| Failure::local(format!("{} cannot be read: {error}", file.display())))?;
    let mut call = Call::new(Method::POST, &["providers"])
        .with_operator_key()
        .body(component.into(), "application/wasm")
        .host_waits(COMPILING);
    if approve {
        call = call.query("approve", "true");
    }
    let answer = session.api.call(call).await?;
    let installed = answer.value()?;
    let parked = parked(&installed);
    if parked.is_none() || session.output.json() {
        session.show(&answer, show_installed)?;
    }
    match parked {
        None => Ok(()),
        Some(why) => Err(Failure::Parked(why)),
    }
}

/// What to tell of a version that was taken and does not run; none: it runs.
fn parked(installed: &Value) -> Option<String> {
    let beyond = installed.get("parked").filter(|it| it.is_object())?;
    let provider = text(installed, "provider");
    Some(format!(
        "{provider} {} is kept and does NOT run: it asks for more than was granted: {}. \
         Grant it: anyport providers approve {provider} {}",
        text(installed, "version"),
        asked::in_words(beyond),
        prefix(text(installed, "digest"))
    ))
}

/// A digest's beginning, as the commands take it.
fn prefix(digest: &str) -> &str {
    digest.get(..PREFIX_CHARS).unwrap_or(digest)
}

/// The one version whose digest begins so.
async fn whole_digest(session: &Session, provider: &str, digest: &str) -> Outcome<String> {
    let call = Call::get(&["providers", provider]).admin();
    let versions = session.api.call(call).await?.value()?;
    let found: Vec<&str> = list(&versions["versions"])
        .iter()
        .map(|version| text(version, "digest"))
        .filter(|known| known.starts_with(digest))
        .collect();
    match found[..] {
        [whole] => Ok(whole.to_owned()),
        [] => Err(Failure::usage(format!(
            "{provider} has no version {digest}; `anyport providers show {provider}` has them"
        ))),
        _ => Err(Failure::usage(format!(
            "{digest} is the beginning of several digests"
        ))),
    }
}

fn show_versions(output: &Output, versions: &Value) -> Outcome {
    let mut table = Table::new(&["VERSION", "STATUS", "INSTALLED", "ACCOUNTS", "DIGEST"]);
    for version in list(&versions["versions"]) {
        table.row([
            Cell::text(text(version, "version")),
            match text(version, "status") {
                "current" => Cell::toned("current", Tone::Good),
                "parked" => Cell::toned("parked", Tone::Warning),
                other => Cell::text(other),
            },
            Cell::text(local_time(text(version, "installed_at"))),
            Cell::text(words(version, "accounts")),
            Cell::faint(text(version, "digest")),
        ]);
    }
    output.table(&table)?;
    output.line("\nGranted")?;
    show_json(output, &versions["granted"])?;
    for version in list(&versions["versions"]) {
        if version["beyond"].is_object() {
            output.line("")?;
            output.line(&printable(&asks_for_more(version)))?;
            show_json(output, &version["beyond"])?;
        }
    }
    Ok(())
}

/// Several versions may have the same number: the digest says which.
fn asks_for_more(version: &Value) -> String {
    format!(
        "Version {} ({}) asks for more",
        text(version, "version"),
        prefix(text(version, "digest"))
    )
}

fn show_moved(output: &Output, moved: &Value) -> Outcome {
    output.line(&format!(
        "{} {}; accounts that move to it: {}",
        printable(text(moved, "provider")),
        printable(text(moved, "digest")),
        printable(&words(moved, "accounts"))
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809";

    #[test]
    fn what_is_parked_does_not_run_however_often_it_was_installed() {
        let answer = |unchanged: bool| {
            json!({
                "provider": "vv", "version": "0.1.0", "digest": DIGEST, "accounts": 0,
                "unchanged": unchanged, "parked": {"imports": ["http"]},
            })
        };
        for unchanged in [false, true] {
            assert_eq!(
                parked(&answer(unchanged)).unwrap(),
                "vv 0.1.0 is kept and does NOT run: it asks for more than was granted: imports http. \
                 Grant it: anyport providers approve vv 1a2b3c4d5e6f"
            );
        }
        let mut runs = answer(true);
        runs.as_object_mut().unwrap().remove("parked");
        assert_eq!(parked(&runs), None);
    }

    #[test]
    fn what_asks_for_more_is_named_by_its_digest() {
        let version = json!({"version": "0.1.0", "digest": DIGEST});
        assert_eq!(
            asks_for_more(&version),
            "Version 0.1.0 (1a2b3c4d5e6f) asks for more"
        );
    }

    #[test]
    fn every_argument_has_its_help() {
        let command = Providers::augment_args(clap::Command::new("providers"));
        for action in command.get_subcommands() {
            for argument in action.get_arguments() {
                let (of, name) = (action.get_name(), argument.get_id());
                assert!(argument.get_help().is_some(), "{of}: {name} has no help");
            }
        }
    }
}
