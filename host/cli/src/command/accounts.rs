//! `anyport accounts`.

use crate::api::Call;
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::output::Output;
use crate::session::{Session, list, text, words};
use crate::table::{Cell, Fields, Table};
use crate::text::local_time;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

#[derive(Args, Debug)]
pub struct Accounts {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub options: Options,
}

/// ACCOUNT is an id (acc_…), or a name that only one account has.
#[derive(Subcommand, Debug)]
enum Action {
    /// All accounts of the workspace
    List,
    /// Make an account; `anyport signin` signs it in
    Create(Create),
    /// One account with all that is known of it
    Show { account: String },
    /// Change an account; what is not named stays
    Update(Update),
    /// Sign out at the channel and delete the account
    Delete {
        account: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Start the account's runtime
    Start { account: String },
    /// Stop it, until `start`
    Stop { account: String },
    /// Drop its connections and make them anew
    Restart { account: String },
    /// Is it signed in, does it run, and if not, why?
    Status { account: String },
    /// End the session at the channel; the account stays
    Signout { account: String },
}

#[derive(Args, Debug)]
struct Create {
    /// Which channel; `anyport providers list` shows them
    provider: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Update {
    account: String,
    /// `active`, or any other word: then it does not run
    #[arg(long)]
    status: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Common {
    /// For people; may stand for the id in commands
    #[arg(long)]
    name: Option<String>,
    /// How it signs in: qrcode, code, session, or another way of the provider
    #[arg(long, value_name = "MODE")]
    auth_mode: Option<String>,
    /// A value of the provider's configuration: KEY=TEXT, or KEY:=JSON; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The provider's configuration as a JSON file (- for standard input), for secrets too
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// A value of the metadata, which are yours, written alike; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// A proxy: http://host:port or socks5://host:port; "" takes it away
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// A file with `user:password` of the proxy
    #[arg(long, value_name = "FILE", requires = "proxy")]
    proxy_login: Option<String>,
}

impl Accounts {
    pub async fn run(&self, session: &Session) -> Outcome {
        match &self.action {
            Action::List => {
                session.answer(Call::get(&["accounts"]), show_list).await?;
            }
            Action::Create(create) => create.run(session).await?,
            Action::Update(update) => update.run(session).await?,
            Action::Show { account } => {
                let id = session.account_id(account).await?;
                session
                    .answer(Call::get(&["accounts", &id]), show_account)
                    .await?;
            }
            Action::Delete { account, yes } => delete(session, account, *yes).await?,
            Action::Start { account } => runtime(session, account, "start").await?,
            Action::Stop { account } => runtime(session, account, "stop").await?,
            Action::Restart { account } => runtime(session, account, "reconnect").await?,
            Action::Status { account } => runtime(session, account, "refresh").await?,
            Action::Signout { account } => signout(session, account).await?,
        }
        Ok(())
    }
}

impl Create {
    async fn run(&self, session: &Session) -> Outcome {
        let mut body = self.common.body().await?;
        body.insert("provider".to_owned(), json!(self.provider));
        let call = Call::post(&["accounts"], &body);
        let answer = session.answer(call, show_account).await?;
        if !session.output.json() {
            let id = text(&answer.value()?, "id").to_owned();
            session
                .output
                .note(&format!("\nSign it in: anyport signin {id}"));
        }
        Ok(())
    }
}

impl Update {
    async fn run(&self, session: &Session) -> Outcome {
        let id = session.account_id(&self.account).await?;
        let mut body = self.common.body().await?;
        if let Some(status) = &self.status {
            body.insert("status".to_owned(), json!(status));
        }
        if body.is_empty() {
            return Err(Failure::usage("nothing is named that is to be changed"));
        }
        let call = Call::patch(&["accounts", &id], &body);
        session.answer(call, show_account).await?;
        Ok(())
    }
}

impl Common {
    async fn body(&self) -> Outcome<Map<String, Value>> {
        let mut body = Map::new();
        if let Some(name) = &self.name {
            body.insert("name".to_owned(), json!(name));
        }
        if let Some(mode) = &self.auth_mode {
            body.insert("auth_mode".to_owned(), json!(mode));
        }
        let mut config = match &self.config {
            Some(file) => read_object(file).await?,
            None => Map::new(),
        };
        config.extend(pairs("--set", &self.set)?);
        if !config.is_empty() {
            body.insert("provider_data".to_owned(), Value::Object(config));
        }
        let metadata = pairs("--metadata", &self.metadata)?;
        if !metadata.is_empty() {
            body.insert("metadata".to_owned(), Value::Object(metadata));
        }
        if let Some(proxy) = &self.proxy {
            body.insert(
                "proxy".to_owned(),
                read_proxy(proxy, self.proxy_login.as_deref())?,
            );
        }
        Ok(body)
    }
}

async fn read_object(file: &str) -> Outcome<Map<String, Value>> {
    let text = crate::input::read(file).await?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{file}: is no JSON object: {error}")))
}

/// `KEY=TEXT` or `KEY:=JSON`.
pub fn pairs(flag: &str, pairs: &[String]) -> Outcome<Map<String, Value>> {
    let wrong = |pair: &str, why: &str| Failure::usage(format!("{flag}: `{pair}` {why}"));
    pairs
        .iter()
        .map(|pair| {
            let (key, text) = pair
                .split_once('=')
                .ok_or_else(|| wrong(pair, "is not KEY=TEXT or KEY:=JSON"))?;
            let (key, value) = match key.strip_suffix(':') {
                None => (key, json!(text)),
                Some(key) => {
                    let value = serde_json::from_str(text)
                        .map_err(|_| wrong(pair, "has no JSON after :="))?;
                    (key, value)
                }
            };
            if key.is_empty() {
                return Err(wrong(pair, "names no key"));
            }
            Ok((key.to_owned(), value))
        })
        .collect()
}

fn read_proxy(proxy: &str, login: Option<&str>) -> Outcome<Value> {
    if proxy.is_empty() {
        return Ok(json!({}));
    }
    let wrong = |why: &str| Failure::usage(format!("--proxy: {why}"));
    let url = url::Url::parse(proxy).map_err(|error| wrong(&error.to_string()))?;
    if url.password().is_some() {
        return Err(wrong("a password belongs into a file: --proxy-login"));
    }
    let host = url.host_str().ok_or_else(|| wrong("names no host"))?;
    let port = url
        .port_or_known_default()
        .ok_or_else(|| wrong("names no port"))?;
    let mut proxy = json!({"proxy_type": url.scheme(), "host": host, "port": port});
    if let Some(file) = login {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::local(format!("{file} cannot be read: {error}")))?;
        let (user, password) = text
            .trim()
            .split_once(':')
            .ok_or_else(|| Failure::usage(format!("{file}: is not user:password")))?;
        proxy["username"] = json!(user);
        proxy["password"] = json!(password);
    }
    Ok(proxy)
}

async fn delete(session: &Session, account: &str, yes: bool) -> Outcome {
    let id = session.account_id(account).await?;
    crate::input::confirm(
        yes,
        &format!("Delete the account {id} with all that is kept of it?"),
    )
    .await?;
    let show = |output: &Output, _: &Value| output.line(&format!("Deleted {id}."));
    session
        .answer(Call::delete(&["accounts", &id]), show)
        .await?;
    Ok(())
}

async fn runtime(session: &Session, account: &str, action: &str) -> Outcome {
    let id = session.account_id(account).await?;
    let call = Call::post(&["accounts", &id, "runtime", action], &json!({}))
        .host_waits(std::time::Duration::from_secs(60));
    let answer = session.api.call(call).await?;
    let result = answer.value()?;
    if session.output.json() || action != "refresh" {
        session.show(&answer, show_runtime)?;
    } else {
        let account = session.api.call(Call::get(&["accounts", &id])).await?;
        session.show(&account, |output, account| {
            show_status(output, account, &result)
        })?;
    }
    if text(&result, "operation_status") == "failed" {
        return Err(Failure::Failed(format!(
            "the account is in error: {}",
            text(&result, "runtime_error")
        )));
    }
    Ok(())
}

async fn signout(session: &Session, account: &str) -> Outcome {
    let id = session.account_id(account).await?;
    let call = Call::post(&["accounts", &id, "auth", "cancel"], &json!({}));
    let show = |output: &Output, state: &Value| {
        output.line(&format!("{id} is {}.", text(state, "status")))
    };
    session.answer(call, show).await?;
    Ok(())
}

fn show_list(output: &Output, accounts: &Value) -> Outcome {
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "PROVIDER",
        "SIGNED IN",
        "RUNTIME",
        "CHANNEL ID",
    ]);
    for account in list(accounts) {
        table.row([
            Cell::text(text(account, "id")),
            Cell::text(text(account, "name")),
            Cell::text(text(account, "provider")),
            Cell::state(text(account, "auth_status")),
            Cell::state(runtime_word(account)),
            Cell::text(text(account, "provider_account_ref")),
        ]);
    }
    if table.is_empty() {
        output.note("No accounts yet. `anyport accounts create PROVIDER` makes one.");
        return Ok(());
    }
    output.table(&table)
}

/// What keeps an account from running comes before how its runtime is.
fn runtime_word(account: &Value) -> &str {
    match text(account, "status") {
        "active" | "" => text(account, "runtime_status"),
        status => status,
    }
}

fn show_account(output: &Output, account: &Value) -> Outcome {
    let mut fields = Fields::default();
    fields.text("id", text(account, "id"));
    fields.text("name", text(account, "name"));
    fields.text("provider", text(account, "provider"));
    fields.state("status", text(account, "status"));
    fields.state("signed in", text(account, "auth_status"));
    fields.text("signs in by", text(account, "auth_mode"));
    fields.state("runtime", text(account, "runtime_status"));
    fields.text("why", text(account, "runtime_error"));
    fields.text("channel id", text(account, "provider_account_ref"));
    let profile = &account["provider_profile"];
    fields.text("display name", words(profile, "display_name"));
    fields.text("phone", words(profile, "phone"));
    fields.text("proxy", proxy(&account["proxy"]));
    fields.text("metadata", words(account, "metadata"));
    fields.text("capabilities", words(account, "capabilities"));
    fields.text("component", text(account, "provider_digest"));
    fields.text("made", local_time(text(account, "created_at")));
    output.table(fields.table())
}

fn proxy(proxy: &Value) -> String {
    let host = text(proxy, "host");
    if host.is_empty() {
        return String::new();
    }
    format!("{}://{host}:{}", text(proxy, "type"), proxy["port"])
}

fn show_runtime(output: &Output, result: &Value) -> Outcome {
    let mut fields = Fields::default();
    fields.text("account", text(result, "account_id"));
    fields.state("runtime", text(result, "runtime_status"));
    fields.text("why", text(result, "runtime_error"));
    output.table(fields.table())
}

fn show_status(output: &Output, account: &Value, result: &Value) -> Outcome {
    let mut fields = Fields::default();
    fields.text("account", text(account, "id"));
    fields.state("status", text(account, "status"));
    fields.state("signed in", text(account, "auth_status"));
    fields.state("runtime", text(result, "runtime_status"));
    fields.text("why", text(result, "runtime_error"));
    output.table(fields.table())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_text_or_json() {
        let texts = [
            "port:=6697",
            "phone=15550100",
            "channels:=[\"#a\"]",
            "x=a=b",
        ];
        let read = pairs("--set", &texts.map(str::to_owned)).unwrap();
        assert_eq!(
            Value::Object(read),
            json!({"port": 6697, "phone": "15550100", "channels": ["#a"], "x": "a=b"})
        );
        for bad in ["novalue", "=x", ":=1", "x:=word"] {
            assert!(pairs("--set", &[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn proxies() {
        assert_eq!(
            read_proxy("socks5://proxy.example:1080", None).unwrap(),
            json!({"proxy_type": "socks5", "host": "proxy.example", "port": 1080})
        );
        assert_eq!(read_proxy("", None).unwrap(), json!({}));
        let error = read_proxy("http://u:secret@h:1", None).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
