//! `anyport send`: one message, and how it ended.
//!
//! Every send has an Idempotency-Key, ours if none is given: when an answer is lost on the way,
//! the request is repeated under it, which sends nothing twice.

use crate::api::{Answer, Call};
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::output::{Output, Tone};
use crate::prompt;
use crate::session::{Session, text};
use crate::stream::passes;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The longest that the host waits in one request.
const HOST_WAITS_AT_MOST: u64 = 60;
const DEFAULT_WAIT: u64 = 10;
const POLL: Duration = Duration::from_millis(500);
/// Repeats of a request whose answer was lost.
const REPEATS: u32 = 4;
const BACK_OFF: Duration = Duration::from_millis(250);

#[derive(Args, Debug)]
pub struct Send {
    /// Its id (acc_…), or a name that only one account has
    account: String,
    /// The channel's id of the person, group or channel
    to: String,
    /// What to say; absent or `-`: standard input
    text: Option<String>,
    /// What TO is
    #[arg(long, value_enum, default_value_t, value_name = "TYPE")]
    to_type: To,
    /// Seconds to wait for the outcome; 0: only until the send is recorded
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_WAIT)]
    wait: u64,
    /// A repeat with the same key and message sends nothing, and shows what became of it
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The reply_token of the message that this answers
    #[arg(long, value_name = "TOKEN")]
    reply_to: Option<String>,
    /// Markdown or HTML, where the provider can do it
    #[arg(long, value_name = "MODE")]
    parse_mode: Option<String>,
    /// Instead of TEXT: a file with the `message` object of the API (- for standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    message: Option<String>,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum To {
    #[default]
    User,
    Group,
    Channel,
}

impl To {
    fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Channel => "channel",
        }
    }
}

impl Send {
    pub async fn run(&self, session: &Session) -> Outcome {
        let message = self.message().await?;
        let account = session.account_id(&self.account).await?;
        let mut body = json!({
            "account_id": account,
            "to": {"id": self.to, "type": self.to_type.as_str()},
            "message": message,
        });
        if let Some(token) = &self.reply_to {
            body["reply_to"] = json!({"reply_token": token});
        }
        if let Some(mode) = &self.parse_mode {
            body["provider_data"] = json!({"parse_mode": mode});
        }
        let key = match &self.idempotency_key {
            Some(key) => key.clone(),
            None => format!("cli-{}", uuid::Uuid::new_v4()),
        };
        tokio::select! {
            ended = self.send_and_wait(session, &body, &key) => ended,
            () = crate::signals::interrupted() => {
                session.output.note(&format!(
                    "\nThe send may be on its way; --idempotency-key '{key}' with the same message \
                     shows what became of it."
                ));
                Err(Failure::Interrupted)
            }
        }
    }

    async fn send_and_wait(&self, session: &Session, body: &Value, key: &str) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(self.wait);
        let answer = self.send(session, body, key).await?;
        let sent = answer.value()?;
        if self.wait == 0 || text(&sent, "state") == "sent" {
            return session.show(&answer, show_sent);
        }
        self.settled(session, text(&sent, "id"), deadline).await
    }

    async fn message(&self) -> Outcome<Value> {
        if let Some(file) = &self.message {
            let content = crate::input::read(file).await?;
            return serde_json::from_str(&content)
                .map_err(|error| Failure::usage(format!("{file}: is not JSON: {error}")));
        }
        let words = match self.text.as_deref() {
            Some("-") => prompt::rest().await?,
            Some(words) => words.to_owned(),
            None if prompt::is_terminal() => {
                return Err(Failure::usage(
                    "TEXT is missing; it may also come from standard input",
                ));
            }
            None => prompt::rest().await?,
        };
        // The line end is the shell's.
        let words = words.strip_suffix('\n').unwrap_or(&words);
        Ok(json!({"type": "text", "text": words}))
    }

    async fn send(&self, session: &Session, body: &Value, key: &str) -> Outcome<Answer> {
        let wait = self.wait.min(HOST_WAITS_AT_MOST);
        let prefer = match wait {
            0 => "respond-async".to_owned(),
            seconds => format!("wait={seconds}"),
        };
        let mut maybe_done = false;
        let mut repeats = 0;
        loop {
            let call = Call::post(&["messages"], body)
                .header("prefer", &prefer)?
                .header("idempotency-key", &quoted(key))?
                .host_waits(Duration::from_secs(wait));
            let failure = match session.api.call(call).await {
                Err(Failure::Unreachable(lost)) => {
                    maybe_done |= lost.maybe_done;
                    Failure::Unreachable(lost)
                }
                // The request whose answer was lost is being served still.
                Err(Failure::Refused(refusal))
                    if maybe_done && refusal.error.code == "idempotency_in_flight" =>
                {
                    Failure::Refused(refusal)
                }
                other => return other,
            };
            // What never arrived is no reason to go on trying; what may have is.
            if !maybe_done {
                return Err(failure);
            }
            if repeats == REPEATS {
                return Err(Failure::Unknown(format!(
                    "{failure}; the send may have been recorded: repeat it with \
                     --idempotency-key {key} to learn what became of it, which sends nothing twice"
                )));
            }
            tokio::time::sleep(BACK_OFF * 2u32.pow(repeats)).await;
            repeats += 1;
        }
    }

    /// Looks until the send is settled or the time is over.
    async fn settled(&self, session: &Session, id: &str, deadline: Instant) -> Outcome {
        let pending = |how: &str| {
            Failure::Pending(format!(
                "{id} {how} after {} s; `anyport messages show {id}` tells more",
                self.wait
            ))
        };
        loop {
            let over = Instant::now() >= deadline;
            match session.api.call(Call::get(&["messages", id])).await {
                Ok(answer) => {
                    let view = answer.value()?;
                    let settled = ending(&view);
                    if settled.is_some() || over {
                        session.show(&answer, show_sent)?;
                        let state = text(&view, "state");
                        return settled.unwrap_or_else(|| Err(pending(&format!("is {state}"))));
                    }
                }
                // It is recorded: a host that is away for a moment changes nothing of that.
                Err(failure) if passes(&failure) => {
                    if over {
                        return Err(pending(&format!("is recorded ({failure})")));
                    }
                }
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// How a send ended; none when it has not.
pub fn ending(view: &Value) -> Option<Outcome> {
    let why = || {
        let error = &view["error"];
        format!("{} ({})", text(error, "message"), text(error, "code"))
    };
    match text(view, "state") {
        "sent" => Some(Ok(())),
        "failed" => Some(Err(Failure::Failed(why()))),
        "unknown" => Some(Err(Failure::Unknown(why()))),
        _ => None,
    }
}

/// `sent  s-1  msg_…`: the state, the channel's id, ours.
fn show_sent(output: &Output, sent: &Value) -> Outcome {
    let state = text(sent, "state");
    let mut line = output.paint(Tone::of_state(state), state);
    for id in [text(sent, "message_id"), text(sent, "id")] {
        if !id.is_empty() && !line.ends_with(id) {
            line.push_str("  ");
            line.push_str(&crate::text::printable(id));
        }
    }
    output.line(&line)
}

/// A structured-field string.
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted() {
        assert_eq!(quoted(r#"a "b" \"#), r#""a \"b\" \\""#);
    }

    #[test]
    fn endings() {
        let code = |state: &str| {
            let view = json!({"state": state, "error": {"code": "c", "message": "m"}});
            ending(&view).map(|ending| ending.err().map_or(0, |failure| failure.exit_code()))
        };
        assert_eq!(code("sent"), Some(0));
        assert_eq!(code("failed"), Some(5));
        assert_eq!(code("unknown"), Some(6));
        assert_eq!(code("dispatched"), None);
    }
}
