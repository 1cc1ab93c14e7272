//! `anyport admin`: how the host stands and what it was used for, the network policy, and going
//! on after a restore. All of it takes the operator's key.

use crate::api::Call;
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::output::{Output, Tone};
use crate::session::{Session, list, text, words};
use crate::table::{Cell, Fields, Table};
use crate::text::{local_time, printable};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

#[derive(Args, Debug)]
pub struct Admin {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Accounts, deliveries, the database: how they stand, and what is in trouble
    State,
    /// What workspaces and accounts used
    Usage {
        /// The first day (UTC), such as 2026-03-01; 30 days ago when absent
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// The last day; today when absent
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
        /// Only this workspace
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
    },
    /// The network policy as JSON; with --file, replaced by that
    Network {
        /// The new policy (- for standard input)
        #[arg(long, value_name = "FILE")]
        file: Option<String>,
    },
    /// After a restore: does the host hold its accounts?
    Restored,
    /// After a restore: the original is gone for good, start the accounts
    Resume {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Admin {
    pub async fn run(&self, session: &Session) -> Outcome {
        match &self.action {
            Action::State => {
                let call = Call::get(&["state"]).admin();
                session.answer(call, show_state).await?;
            }
            Action::Usage {
                from,
                to,
                workspace,
            } => {
                let call = Call::get(&["usage"])
                    .query("from", from.clone().unwrap_or_default())
                    .query("to", to.clone().unwrap_or_default())
                    .query("workspace_id", workspace.clone().unwrap_or_default())
                    .admin();
                session.answer(call, show_usage).await?;
            }
            Action::Network { file } => {
                let call = match file {
                    None => Call::get(&["network"]),
                    Some(file) => {
                        let policy = read_json(file).await?;
                        Call::new(Method::PUT, &["network"]).json(&policy)
                    }
                };
                session.answer(call.admin(), show_json).await?;
            }
            Action::Restored => {
                let call = Call::get(&["restore"]).admin();
                session.answer(call, show_restored).await?;
            }
            Action::Resume { yes } => {
                crate::input::confirm(
                    *yes,
                    "Is the installation that the backup is of gone for good? Two that are signed \
                     in as the same accounts hurt each other. Start the accounts here?",
                )
                .await?;
                let call = Call::post(&["restore", "resume"], &json!({})).admin();
                let show = |output: &Output, resumed: &Value| {
                    let count = words(resumed, "accounts_started");
                    output.line(&format!("Accounts started: {}.", printable(&count)))
                };
                session.answer(call, show).await?;
            }
        }
        Ok(())
    }
}

pub async fn read_json(file: &str) -> Outcome<Value> {
    let content = crate::input::read(file).await?;
    serde_json::from_str(&content)
        .map_err(|error| Failure::usage(format!("{file}: is not JSON: {error}")))
}

/// What has no shorter form for people.
pub fn show_json(output: &Output, value: &Value) -> Outcome {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    // Indented JSON has line ends of its own; within texts they are escaped.
    text.lines()
        .try_for_each(|line| output.line(&printable(line)))
}

fn show_state(output: &Output, state: &Value) -> Outcome {
    let (accounts, endpoints) = (&state["accounts"], &state["endpoints"]);
    let mut fields = Fields::default();
    let by_status: Vec<String> = accounts["by_runtime_status"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    let total = |of: &Value| words(of, "total");
    let some = |detail: String| match detail.is_empty() {
        true => detail,
        false => format!(" ({detail})"),
    };
    fields.text("accounts", total(accounts) + &some(by_status.join(", ")));
    fields.text("open sends", words(accounts, "open_sends"));
    fields.text("endpoints", total(endpoints));
    fields.text("events logged", words(&state["storage"], "events"));
    match text(&state["storage"], "trouble") {
        "" => fields.state("database", "ok"),
        trouble => fields.add("database", Cell::toned(trouble, Tone::Bad)),
    }
    let partitions = list(&state["partitions"]).len();
    fields.text("partitions", partitions.to_string());
    output.table(fields.table())?;
    show_accounts(output, list(&accounts["in_trouble"]))?;
    show_endpoints(output, list(&endpoints["in_trouble"]))
}

fn show_accounts(output: &Output, accounts: &[Value]) -> Outcome {
    if accounts.is_empty() {
        return Ok(());
    }
    output.line("\nAccounts in trouble")?;
    let mut table = Table::new(&["ID", "PROVIDER", "RUNTIME", "STRIKES", "OPEN SENDS", "WHY"]);
    for account in accounts {
        table.row([
            Cell::text(text(account, "account_id")),
            Cell::text(text(account, "provider")),
            Cell::state(text(account, "runtime_status")),
            Cell::text(words(account, "strikes")),
            Cell::text(words(account, "open_sends")),
            Cell::text(text(account, "runtime_error")),
        ]);
    }
    output.table(&table)
}

fn show_endpoints(output: &Output, endpoints: &[Value]) -> Outcome {
    if endpoints.is_empty() {
        return Ok(());
    }
    output.line("\nEndpoints in trouble")?;
    let mut table = Table::new(&["ID", "STATE", "BEHIND", "WAITING", "IN FLIGHT", "WHY"]);
    for endpoint in endpoints {
        table.row([
            Cell::text(text(endpoint, "endpoint_id")),
            Cell::state(text(endpoint, "state")),
            Cell::text(words(endpoint, "behind")),
            Cell::text(words(endpoint, "waiting")),
            Cell::text(words(endpoint, "in_flight")),
            Cell::text(text(endpoint, "state_reason")),
        ]);
    }
    output.table(&table)
}

fn show_usage(output: &Output, usage: &Value) -> Outcome {
    output.line(&format!(
        "From {} to {} (UTC)",
        printable(text(usage, "from")),
        printable(text(usage, "to"))
    ))?;
    let mut table = Table::new(&[
        "WORKSPACE",
        "ACCOUNT",
        "SENDS",
        "EVENTS",
        "TURNS",
        "CPU S",
        "IN KIB",
        "OUT KIB",
    ]);
    for workspace in list(&usage["workspaces"]) {
        let id = text(workspace, "workspace_id");
        let row = |account: Cell, of: &Value| {
            let count = |field: &str| Cell::text(words(of, field));
            let scaled = |field: &str, by: f64| {
                let number = of[field].as_f64().unwrap_or(0.0);
                Cell::text(format!("{:.1}", number / by))
            };
            [
                Cell::text(id),
                account,
                count("sends"),
                count("events"),
                count("turns"),
                scaled("cpu_us", 1e6),
                scaled("bytes_in", 1024.0),
                scaled("bytes_out", 1024.0),
            ]
        };
        table.row(row(Cell::faint("all"), workspace));
        for account in list(&workspace["accounts"]) {
            table.row(row(Cell::text(text(account, "account_id")), account));
        }
    }
    if table.is_empty() {
        output.note("Nothing was used.");
        return Ok(());
    }
    output.table(&table)
}

fn show_restored(output: &Output, restored: &Value) -> Outcome {
    let at = text(restored, "restored_at");
    if at.is_empty() {
        return output.line("This installation is no restored one.");
    }
    output.line(&format!("Restored from a backup at {}.", local_time(at)))?;
    output.note("Its accounts are held. When the original is gone for good: anyport admin resume");
    Ok(())
}
