//! `anyport events`.

use crate::api::Call;
use crate::event_line;
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::output::Output;
use crate::position::PositionFile;
use crate::session::{Session, list, text};
use crate::signals;
use crate::stream::{EventStream, Filter};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
pub struct Events {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Events as they come, until Ctrl-C
    Tail(Tail),
    /// A page of the log, the oldest first
    List(List),
}

#[derive(Args, Debug)]
struct Tail {
    #[command(flatten)]
    filter: Filter,
    /// Begin after this cursor, or at `earliest`; otherwise with what comes from now on
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Keep the position in this file, and go on there the next time
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    filter: Filter,
    /// The next_cursor of the page before, `earliest` or `latest`
    #[arg(long, value_name = "CURSOR", default_value = "earliest")]
    after: String,
    /// How many at most
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Seconds to wait for a first event (60 at most)
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

impl Events {
    pub async fn run(&self, session: &Session) -> Outcome {
        match &self.action {
            Action::Tail(tail) => tail.run(session).await,
            Action::List(list) => list.run(session).await,
        }
    }
}

impl Tail {
    async fn run(&self, session: &Session) -> Outcome {
        let filter = with_account_id(session, &self.filter).await?;
        let mut file = match &self.state {
            Some(path) => Some(PositionFile::open(path, session.api.base(), &filter)?),
            None => None,
        };
        let kept = file.as_ref().and_then(PositionFile::cursor);
        let mut stream = EventStream::new(&session.api, filter, kept.or(self.after.clone()));
        let output = &session.output;
        let mut interrupted = std::pin::pin!(signals::interrupted());
        loop {
            let message = tokio::select! {
                message = stream.next(output) => message?,
                () = &mut interrupted => return Ok(()),
            };
            if output.json() {
                output.line(&message.data)?;
            } else {
                let event = serde_json::from_str(&message.data)
                    .map_err(|error| Failure::Foreign(format!("an event is no JSON: {error}")))?;
                output.line(&event_line::of(&event, output))?;
            }
            // After it was shown: the next run may show it again, and never misses it.
            if let (Some(file), Some(position)) = (&mut file, stream.position()) {
                file.keep(position)?;
            }
        }
    }
}

impl List {
    async fn run(&self, session: &Session) -> Outcome {
        let filter = with_account_id(session, &self.filter).await?;
        let call = filter
            .on(Call::get(&["events"]))
            .query("after", self.after.clone())
            .query("limit", self.limit.to_string())
            .query("wait", self.wait.to_string())
            .host_waits(Duration::from_secs(self.wait.min(60)));
        session.answer(call, show_page).await?;
        Ok(())
    }
}

fn show_page(output: &Output, page: &Value) -> Outcome {
    for event in list(&page["items"]) {
        output.line(&event_line::of(event, output))?;
    }
    if list(&page["items"]).is_empty() {
        output.note("No events.");
    }
    let more = if page["has_more"] == true {
        "There are more"
    } else {
        "Go on from here with"
    };
    output.note(&format!("{more}: --after {}", text(page, "next_cursor")));
    Ok(())
}

/// The filter with the account's id in place of its name.
pub async fn with_account_id(session: &Session, filter: &Filter) -> Outcome<Filter> {
    let mut filter = filter.clone();
    if let Some(account) = &filter.account {
        filter.account = Some(session.account_id(account).await?);
    }
    Ok(filter)
}
