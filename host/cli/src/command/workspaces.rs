//! `anyport workspaces`: the own one for whoever has its key, all of them for operators.

use crate::api::Call;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::options::Options;
use crate::output::Output;
use crate::session::{Session, list, text, words};
use crate::table::{Cell, Fields, Table};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

#[derive(Args, Debug)]
pub struct Workspaces {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// All workspaces. Takes the operator's key
    List,
    /// The workspace that the key in use opens, or another. Another takes the operator's key
    Show { workspace: Option<String> },
    /// Make a workspace; `anyport keys create --workspace` makes its keys. Takes the operator's key
    Create {
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change a workspace; what is not named stays. Takes the operator's key
    Update {
        workspace: String,
        #[arg(long)]
        name: Option<String>,
        /// active, inactive or suspended
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a workspace that has no accounts any more. Takes the operator's key
    Delete {
        workspace: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args, Debug)]
struct Settings {
    /// Accounts that it may have; `none`: any number
    #[arg(long, value_name = "COUNT")]
    account_quota: Option<String>,
    /// A value of the metadata; may be repeated
    #[arg(long, value_name = "KEY=TEXT")]
    metadata: Vec<String>,
}

impl Settings {
    fn body(&self) -> Outcome<Map<String, Value>> {
        let mut body = Map::new();
        if let Some(quota) = &self.account_quota {
            let quota = match quota.as_str() {
                "none" => Value::Null,
                count => json!(count.parse::<u32>().map_err(|_| {
                    Failure::usage("--account-quota: must be a number, or none")
                })?),
            };
            body.insert("account_quota".to_owned(), quota);
        }
        let metadata = super::accounts::pairs("--metadata", &self.metadata)?;
        if !metadata.is_empty() {
            body.insert("metadata".to_owned(), Value::Object(metadata));
        }
        Ok(body)
    }
}

impl Workspaces {
    pub async fn run(&self, session: &Session) -> Outcome {
        let call = match &self.action {
            Action::List => {
                let call = Call::get(&["workspaces"]).admin();
                session.answer(call, show_list).await?;
                return Ok(());
            }
            Action::Show { workspace: None } => Call::get(&["workspace"]),
            Action::Show {
                workspace: Some(id),
            } => Call::get(&["workspaces", id]).admin(),
            Action::Create { name, settings } => {
                let mut body = settings.body()?;
                body.insert("name".to_owned(), json!(name));
                Call::post(&["workspaces"], &body).admin()
            }
            Action::Update {
                workspace,
                name,
                status,
                settings,
            } => {
                let mut body = settings.body()?;
                for (key, value) in [("name", name), ("status", status)] {
                    if let Some(value) = value {
                        body.insert(key.to_owned(), json!(value));
                    }
                }
                if body.is_empty() {
                    return Err(Failure::usage("nothing is named that is to be changed"));
                }
                Call::patch(&["workspaces", workspace], &body).admin()
            }
            Action::Delete { workspace, yes } => {
                let question = format!("Delete the workspace {workspace} with its keys?");
                input::confirm(*yes, &question).await?;
                let call = Call::delete(&["workspaces", workspace]).admin();
                let show =
                    |output: &Output, _: &Value| output.line(&format!("Deleted {workspace}."));
                session.answer(call, show).await?;
                return Ok(());
            }
        };
        session.answer(call, show).await?;
        Ok(())
    }
}

fn quota(workspace: &Value) -> String {
    if workspace["account_quota_unlimited"] == true || workspace["account_quota"].is_null() {
        return "any number".to_owned();
    }
    words(workspace, "account_quota")
}

fn show_list(output: &Output, workspaces: &Value) -> Outcome {
    let mut table = Table::new(&["ID", "NAME", "STATUS", "ACCOUNTS", "AT MOST"]);
    for workspace in list(workspaces) {
        table.row([
            Cell::text(text(workspace, "id")),
            Cell::text(text(workspace, "name")),
            Cell::state(text(workspace, "status")),
            Cell::text(words(workspace, "accounts")),
            Cell::text(quota(workspace)),
        ]);
    }
    output.table(&table)
}

fn show(output: &Output, workspace: &Value) -> Outcome {
    let mut fields = Fields::default();
    fields.text("id", text(workspace, "id"));
    fields.text("name", text(workspace, "name"));
    fields.state("status", text(workspace, "status"));
    fields.text("accounts", words(workspace, "accounts"));
    fields.text("at most", quota(workspace));
    fields.text("metadata", words(workspace, "metadata"));
    output.table(fields.table())
}
