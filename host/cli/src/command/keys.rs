//! `anyport keys`: API keys, and the master key that everything at rest is sealed with.

use crate::api::{Answer, Call};
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::options::Options;
use crate::output::{Output, Tone};
use crate::session::{Session, list, text, words};
use crate::table::{Cell, Fields, Table};
use crate::text::{local_time, printable};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Wrapping every key anew may take a while.
const ROTATING: Duration = Duration::from_secs(600);

#[derive(Args, Debug)]
pub struct Keys {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    pub options: Options,
}

/// Without either: those of the workspace that the key in use opens.
#[derive(Args, Debug)]
struct Whose {
    /// Keys of this workspace (takes the operator's key)
    #[arg(
        long,
        value_name = "ID",
        global = true,
        conflicts_with = "operators",
        help_heading = "Whose keys"
    )]
    workspace: Option<String>,
    /// Operators' keys (takes the operator's key)
    #[arg(long, global = true, help_heading = "Whose keys")]
    operators: bool,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// All keys, without their text, which nobody has
    List,
    /// Make a key; its text is shown this once
    Create {
        /// For people
        name: String,
        /// What it may do: all (the default), read or send; may be repeated
        #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
        scope: Vec<String>,
        /// Good for this account only
        #[arg(long)]
        account: Option<String>,
        /// When it ends, such as 2027-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// What its text begins with
        #[arg(long)]
        prefix: Option<String>,
        /// Requests a second that it may make (takes the operator's key)
        #[arg(long, value_name = "PER-SECOND", requires = "burst")]
        rate: Option<u32>,
        /// Requests at once, after a pause
        #[arg(long, value_name = "COUNT", requires = "rate")]
        burst: Option<u32>,
        #[command(flatten)]
        text: KeyText,
    },
    /// A new text for a key, shown this once
    Rotate {
        #[arg(id = "key_id", value_name = "KEY")]
        key: String,
        /// Seconds for which the text before stays good (7 days at most)
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        overlap: u64,
        #[command(flatten)]
        text: KeyText,
    },
    /// Switch a key off
    Revoke {
        #[arg(id = "key_id", value_name = "KEY")]
        key: String,
    },
    /// Switch a key on again
    Activate {
        #[arg(id = "key_id", value_name = "KEY")]
        key: String,
    },
    /// A new master key: what it seals is wrapped anew while the host runs. Takes the operator's key
    RotateMaster {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args, Debug)]
struct KeyText {
    /// Write the key's text into this new file (0600) instead of showing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Whose {
    fn call(&self, method: Method, below: &[&str]) -> Call {
        let at = |path: &[&str]| {
            let path: Vec<&str> = path.iter().chain(below).copied().collect();
            Call::new(method.clone(), &path)
        };
        match &self.workspace {
            Some(id) => at(&["workspaces", id, "api-keys"]).admin(),
            None if self.operators => at(&["operator-keys"]).admin(),
            None => at(&["api-keys"]),
        }
    }
}

impl Keys {
    pub async fn run(&self, session: &Session) -> Outcome {
        let whose = &self.whose;
        match &self.action {
            Action::List => {
                session
                    .answer(whose.call(Method::GET, &[]), show_list)
                    .await?;
            }
            Action::Create { text, .. } => {
                let body = self.action.body(session).await?;
                text.check()?;
                let call = whose.call(Method::POST, &[]).json(&body);
                text.show(session, &session.api.call(call).await?)?;
            }
            Action::Rotate { key, overlap, text } => {
                text.check()?;
                let body = json!({"overlap_ms": overlap.saturating_mul(1000)});
                let call = whose.call(Method::POST, &[key, "rotate"]).json(&body);
                text.show(session, &session.api.call(call).await?)?;
            }
            Action::Revoke { key } => set_status(session, whose, key, "inactive").await?,
            Action::Activate { key } => set_status(session, whose, key, "active").await?,
            Action::RotateMaster { yes } => {
                input::confirm(*yes, "Make a new master key and wrap everything anew?").await?;
                let call = Call::post(&["keys", "rotate-master"], &json!({}))
                    .admin()
                    .host_waits(ROTATING);
                session.answer(call, show_rotation).await?;
            }
        }
        Ok(())
    }
}

impl Action {
    async fn body(&self, session: &Session) -> Outcome<Map<String, Value>> {
        let mut body = Map::new();
        if let Self::Create {
            name,
            scope,
            account,
            expires,
            prefix,
            rate,
            burst,
            ..
        } = self
        {
            body.insert("name".to_owned(), json!(name));
            if !scope.is_empty() {
                body.insert("scopes".to_owned(), json!(scope));
            }
            if let Some(account) = account {
                let id = session.account_id(account).await?;
                body.insert("account_id".to_owned(), json!(id));
            }
            if let Some(expires) = expires {
                body.insert("expires_at".to_owned(), json!(expires));
            }
            if let Some(prefix) = prefix {
                body.insert("prefix".to_owned(), json!(prefix));
            }
            if let Some((per_second, burst)) = rate.zip(*burst) {
                let rate = json!({"per_second": per_second, "burst": burst});
                body.insert("rate_limit".to_owned(), rate);
            }
        }
        Ok(body)
    }
}

impl KeyText {
    /// Before there is a key that could not be kept.
    fn check(&self) -> Outcome {
        match &self.out {
            Some(path) if path.exists() => Err(Failure::usage(format!(
                "{} is there already; name a new file",
                path.display()
            ))),
            _ => Ok(()),
        }
    }

    fn show(&self, session: &Session, answer: &Answer) -> Outcome {
        let data = answer.value()?;
        let Some(path) = &self.out else {
            return session.show(answer, show_made);
        };
        write_new(path, text(&data, "api_key"))?;
        let output = &session.output;
        if output.json() {
            return output.line(&json!({"data": {"key": data["key"]}}).to_string());
        }
        show_key(output, &data["key"])?;
        output.note(&format!("\nIts text is in {}.", path.display()));
        Ok(())
    }
}

fn write_new(path: &Path, key: &str) -> Outcome {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{key}"))
        .map_err(|error| {
            Failure::local(format!(
                "the key was made, and {} cannot be written: {error}; rotate it for another text",
                path.display()
            ))
        })
}

async fn set_status(session: &Session, whose: &Whose, key: &str, status: &str) -> Outcome {
    let call = whose
        .call(Method::PATCH, &[key])
        .json(&json!({"status": status}));
    session.answer(call, show_key).await?;
    Ok(())
}

fn show_list(output: &Output, keys: &Value) -> Outcome {
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "PREFIX",
        "STATUS",
        "MAY",
        "LAST USED",
        "EXPIRES",
    ]);
    for key in list(keys) {
        table.row([
            Cell::text(text(key, "id")),
            Cell::text(text(key, "name")),
            Cell::text(text(key, "key_prefix")),
            Cell::state(text(key, "status")),
            Cell::text(may(key)),
            Cell::text(time(key, "last_used_at")),
            Cell::text(time(key, "expires_at")),
        ]);
    }
    if table.is_empty() {
        output.note("No keys.");
        return Ok(());
    }
    output.table(&table)
}

fn may(key: &Value) -> String {
    let scopes = words(key, "scopes");
    match text(key, "account_id") {
        "" => scopes,
        account => format!("{scopes} for {account}"),
    }
}

fn time(value: &Value, field: &str) -> String {
    match text(value, field) {
        "" => String::new(),
        at => local_time(at),
    }
}

fn show_key(output: &Output, key: &Value) -> Outcome {
    let mut fields = Fields::default();
    fields.text("id", text(key, "id"));
    fields.text("name", text(key, "name"));
    fields.text("prefix", text(key, "key_prefix"));
    fields.state("status", text(key, "status"));
    fields.text("may", may(key));
    fields.text("last used", time(key, "last_used_at"));
    fields.text("expires", time(key, "expires_at"));
    fields.text("text before good until", time(key, "previous_valid_until"));
    let rate = &key["rate_limit"];
    if rate.is_object() {
        let rate = format!("{} a second, {} at once", rate["per_second"], rate["burst"]);
        fields.text("rate", rate);
    }
    output.table(fields.table())
}

fn show_made(output: &Output, made: &Value) -> Outcome {
    show_key(output, &made["key"])?;
    output.line("")?;
    let key = output.paint(Tone::Heading, &printable(text(made, "api_key")));
    output.line(&format!("The key, shown this once: {key}"))
}

fn show_rotation(output: &Output, rotation: &Value) -> Outcome {
    output.line(&format!(
        "The master key is now version {}; keys wrapped anew: {}.",
        printable(&words(rotation, "version")),
        printable(&words(rotation, "keys_wrapped"))
    ))
}
