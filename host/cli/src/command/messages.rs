//! `anyport messages`.

use super::send::ending;
use crate::api::Call;
use crate::failure::Outcome;
use crate::options::Options;
use crate::output::Output;
use crate::session::{Session, list, text, words};
use crate::table::{Cell, Fields, Table};
use crate::text::local_time;
use clap::{Args, Subcommand};
use serde_json::Value;

#[derive(Args, Debug)]
pub struct Messages {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Sends, newest first
    List(List),
    /// One send; the exit code says how it ended
    Show {
        /// Our id (msg_…), or the channel's with --account
        message: String,
        /// The account that sent it
        #[arg(long)]
        account: Option<String>,
    },
}

#[derive(Args, Debug)]
struct List {
    /// recorded, dispatched, sent, failed or unknown
    #[arg(long)]
    state: Option<String>,
    #[arg(long, help = "Only those of this account")]
    account: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The next_cursor of the page before
    #[arg(long)]
    cursor: Option<String>,
}

impl Messages {
    pub async fn run(&self, session: &Session) -> Outcome {
        match &self.action {
            Action::List(list) => list.run(session).await,
            Action::Show { message, account } => {
                let mut call = Call::get(&["messages", message]);
                if let Some(account) = account {
                    call = call.query("account_id", session.account_id(account).await?);
                }
                let answer = session.answer(call, show).await?;
                match ending(&answer.value()?) {
                    // What it is was said; only the code is left to say.
                    Some(ended) => ended,
                    None => Ok(()),
                }
            }
        }
    }
}

impl List {
    async fn run(&self, session: &Session) -> Outcome {
        let mut call = Call::get(&["messages"])
            .query("limit", self.limit.to_string())
            .query("state", self.state.clone().unwrap_or_default())
            .query("cursor", self.cursor.clone().unwrap_or_default());
        if let Some(account) = &self.account {
            call = call.query("account_id", session.account_id(account).await?);
        }
        session.answer(call, show_page).await?;
        Ok(())
    }
}

fn show_page(output: &Output, page: &Value) -> Outcome {
    let mut table = Table::new(&["ID", "RECORDED", "STATE", "TO", "CHANNEL ID", "WHY"]);
    for send in list(&page["items"]) {
        table.row([
            Cell::text(text(send, "id")),
            Cell::text(local_time(text(send, "recorded_at"))),
            Cell::state(text(send, "state")),
            Cell::text(text(&send["to"], "id")),
            Cell::text(words(send, "message_ids")),
            Cell::text(text(&send["error"], "code")),
        ]);
    }
    if table.is_empty() {
        output.note("No such sends.");
        return Ok(());
    }
    output.table(&table)?;
    if page["has_more"] == true {
        let next = text(page, "next_cursor");
        output.note(&format!("\nThere are more: --cursor {next}"));
    }
    Ok(())
}

fn show(output: &Output, send: &Value) -> Outcome {
    let mut fields = Fields::default();
    fields.text("id", text(send, "id"));
    fields.state("state", text(send, "state"));
    fields.text("account", text(send, "account_id"));
    let to = &send["to"];
    fields.text("to", format!("{} ({})", text(to, "id"), text(to, "type")));
    fields.text("type", text(send, "type"));
    fields.text("channel ids", words(send, "message_ids"));
    fields.text("conversation", text(send, "conversation_id"));
    for (name, field) in [
        ("recorded", "recorded_at"),
        ("dispatched", "dispatched_at"),
        ("settled", "settled_at"),
        ("sent", "sent_at"),
    ] {
        let at = text(send, field);
        if !at.is_empty() {
            fields.add(name, Cell::text(local_time(at)));
        }
    }
    output.table(fields.table())
}
