//! `anyport endpoints`: webhook endpoints.

use super::endpoint_body::Settings;
use crate::api::{Answer, Call};
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::options::Options;
use crate::output::{Output, Tone};
use crate::session::{Session, list, text, words};
use crate::table::{Cell, Fields, Table};
use crate::text::local_time;
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

#[derive(Args, Debug)]
pub struct Endpoints {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// All webhook endpoints of the workspace
    List,
    /// Register a receiver; its signing secret is made and shown this once
    Create {
        /// Where events are posted to
        #[arg(id = "receiver", value_name = "URL")]
        receiver: String,
        /// A file with the signing secret, instead of one made now (- for standard input)
        #[arg(long, value_name = "FILE", conflicts_with = "no_secret")]
        secret_file: Option<String>,
        /// Do not sign
        #[arg(long)]
        no_secret: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// One endpoint
    Show { endpoint: String },
    /// Change an endpoint; what is not named stays
    Update {
        endpoint: String,
        /// Another address that events are posted to
        #[arg(long = "to", value_name = "URL")]
        receiver: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Deliver again, also after the host has switched it off
    Activate { endpoint: String },
    /// Deliver nothing until `activate`
    Deactivate { endpoint: String },
    /// A new signing secret, shown this once
    RotateSecret {
        endpoint: String,
        /// Seconds for which the secret before signs as well
        #[arg(long, value_name = "SECONDS", default_value_t = 24 * 60 * 60)]
        overlap: u64,
        /// A file with the new secret, instead of one made now (- for standard input)
        #[arg(long, value_name = "FILE")]
        secret_file: Option<String>,
    },
    /// Delete an endpoint with all that waits for it
    Delete {
        endpoint: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

const ENDPOINTS: &str = "webhook-endpoints";

impl Endpoints {
    pub async fn run(&self, session: &Session) -> Outcome {
        match &self.action {
            Action::List => {
                session.answer(Call::get(&[ENDPOINTS]), show_list).await?;
            }
            Action::Create {
                receiver,
                secret_file,
                no_secret,
                settings,
            } => {
                let mut body = settings.body(session).await?;
                body.insert("url".to_owned(), json!(receiver));
                let secret = if *no_secret {
                    None
                } else {
                    let secret = input::secret(secret_file.as_deref()).await?;
                    body.insert("signing_secret".to_owned(), json!(secret.expose_secret()));
                    Some(secret)
                };
                let answer = session.api.call(Call::post(&[ENDPOINTS], &body)).await?;
                let made = secret.filter(|_| secret_file.is_none());
                show_with_secret(session, &answer, made.as_ref())?;
            }
            Action::Show { endpoint } => {
                session
                    .answer(Call::get(&[ENDPOINTS, endpoint]), show)
                    .await?;
            }
            Action::Update {
                endpoint,
                receiver,
                settings,
            } => {
                let mut body = settings.body(session).await?;
                if let Some(receiver) = receiver {
                    body.insert("url".to_owned(), json!(receiver));
                }
                if body.is_empty() {
                    return Err(Failure::usage("nothing is named that is to be changed"));
                }
                change(session, endpoint, &body).await?;
            }
            Action::Activate { endpoint } => {
                change(session, endpoint, &json!({"status": "active"})).await?;
            }
            Action::Deactivate { endpoint } => {
                let call = Call::post(&[ENDPOINTS, endpoint, "deactivate"], &json!({}));
                session.answer(call, show).await?;
            }
            Action::RotateSecret {
                endpoint,
                overlap,
                secret_file,
            } => {
                let secret = input::secret(secret_file.as_deref()).await?;
                let body = json!({
                    "signing_secret": secret.expose_secret(),
                    "signing_secret_overlap_ms": overlap.saturating_mul(1000),
                });
                let call = Call::patch(&[ENDPOINTS, endpoint], &body);
                let answer = session.api.call(call).await?;
                let made = Some(secret).filter(|_| secret_file.is_none());
                show_with_secret(session, &answer, made.as_ref())?;
            }
            Action::Delete { endpoint, yes } => {
                input::confirm(*yes, &format!("Delete the endpoint {endpoint}?")).await?;
                let show =
                    |output: &Output, _: &Value| output.line(&format!("Deleted {endpoint}."));
                session
                    .answer(Call::delete(&[ENDPOINTS, endpoint]), show)
                    .await?;
            }
        }
        Ok(())
    }
}

async fn change(session: &Session, endpoint: &str, body: &impl serde::Serialize) -> Outcome {
    let call = Call::patch(&[ENDPOINTS, endpoint], body);
    session.answer(call, show).await?;
    Ok(())
}

/// The API never shows a secret; one that was made here is shown beside its answer, for programs
/// as `signing_secret` before the answer's own keys.
fn show_with_secret(session: &Session, answer: &Answer, secret: Option<&SecretString>) -> Outcome {
    let Some(secret) = secret else {
        return session.show(answer, show);
    };
    let output = &session.output;
    if output.json() {
        let mut with: Map<String, Value> = serde_json::from_slice(&answer.json())
            .map_err(|error| Failure::Foreign(format!("the answer is no object: {error}")))?;
        with.insert("signing_secret".to_owned(), json!(secret.expose_secret()));
        return output.line(&Value::Object(with).to_string());
    }
    show(output, &answer.value()?)?;
    output.line("")?;
    let shown = output.paint(Tone::Heading, secret.expose_secret());
    output.line(&format!("Signing secret, shown this once: {shown}"))
}

fn show_list(output: &Output, endpoints: &Value) -> Outcome {
    let mut table = Table::new(&["ID", "STATE", "SIGNED", "URL", "EVENTS"]);
    for endpoint in list(endpoints) {
        table.row([
            Cell::text(text(endpoint, "id")),
            Cell::state(text(endpoint, "state")),
            Cell::text(yes_or_no(&endpoint["signing_enabled"])),
            Cell::text(text(endpoint, "url")),
            Cell::text(events(endpoint)),
        ]);
    }
    if table.is_empty() {
        output.note("No endpoints yet. `anyport endpoints create URL` registers one.");
        return Ok(());
    }
    output.table(&table)
}

fn show(output: &Output, endpoint: &Value) -> Outcome {
    let mut fields = Fields::default();
    fields.text("id", text(endpoint, "id"));
    fields.text("url", text(endpoint, "url"));
    fields.state("state", text(endpoint, "state"));
    fields.text("why", text(endpoint, "state_reason"));
    fields.text("events", events(endpoint));
    fields.text("accounts", words(endpoint, "accounts"));
    fields.text("signed", yes_or_no(&endpoint["signing_enabled"]));
    fields.text("ordering", text(endpoint, "ordering"));
    let retry = &endpoint["retry_policy"];
    fields.text("retries", words(retry, "profile"));
    fields.text("at most", words(retry, "max_attempts"));
    let timeout = words(retry, "timeout_ms");
    if !timeout.is_empty() {
        fields.text("timeout", format!("{timeout} ms"));
    }
    fields.text("made", local_time(text(endpoint, "created_at")));
    output.table(fields.table())
}

fn events(endpoint: &Value) -> String {
    match words(endpoint, "subscribed_events") {
        events if events.is_empty() || events == "*" => "all published".to_owned(),
        events => events,
    }
}

fn yes_or_no(value: &Value) -> &'static str {
    if value == true { "yes" } else { "no" }
}
