//! `anyport signin`: walks the sign-in's steps until it is done, failed or given up.
//!
//! The host leads; this shows what it shows and answers what it asks. Whoever leaves in the
//! middle (a signal, no answer) leaves no flow behind.

use super::signin_answers::Answers;
use crate::api::{Answer, Call};
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::output::Tone;
use crate::qr;
use crate::session::{Session, list, text};
use crate::signals;
use crate::text::{local_time, printable};
use clap::Args;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How often it is looked whether something has changed.
const POLL: Duration = Duration::from_millis(1000);
/// How long the host waits for what follows from a call.
const HOST_WAITS: Duration = Duration::from_secs(10);
/// How long whoever leaves waits for the flow to be cancelled.
const GOODBYE: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub struct Signin {
    /// Its id (acc_…), or a name that only one account has
    account: String,
    /// Instead of the account's own way: qr, code, session, or another of the provider
    #[arg(long, value_name = "WAY")]
    method: Option<String>,
    /// The answer to a question of this name, so that it is not asked; may be repeated
    #[arg(long = "answer", value_name = "NAME=TEXT")]
    answers: Vec<String>,
    /// A session from elsewhere as a file (- for standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "method")]
    session: Option<String>,
    #[command(flatten)]
    pub options: Options,
}

/// A sign-in under way.
struct Flow<'a> {
    session: &'a Session,
    account: String,
    answers: Answers,
    /// What was drawn or printed last.
    shown: Value,
}

impl Signin {
    pub async fn run(&self, session: &Session) -> Outcome {
        let account = session.account_id(&self.account).await?;
        let answers = Answers::new(&self.answers, session.output.json())?;
        let start = self.start(session, &account, &answers).await?;
        let mut flow = Flow {
            session,
            account,
            answers,
            shown: Value::Null,
        };
        let ended = tokio::select! {
            ended = flow.walk(start) => ended,
            () = signals::interrupted() => {
                // After what the terminal itself shows of Ctrl-C.
                session.output.note("");
                Err(Failure::Interrupted)
            }
        };
        match ended {
            Ok(()) => Ok(()),
            Err(failure) => {
                // A flow that has failed is over; every other way out leaves none behind.
                if !matches!(failure, Failure::Failed(_) | Failure::Unreachable(_)) {
                    flow.cancel().await;
                }
                Err(failure)
            }
        }
    }

    /// The call that begins it.
    async fn start(&self, session: &Session, account: &str, answers: &Answers) -> Outcome<Call> {
        let auth = |path: &[&str], body: &Map<String, Value>| {
            let path: Vec<&str> = ["accounts", account, "auth"]
                .iter()
                .chain(path)
                .copied()
                .collect();
            Call::post(&path, body).host_waits(HOST_WAITS)
        };
        let mut given = answers.given();
        if let Some(file) = &self.session {
            let content = crate::input::read(file).await?;
            given.insert("session".to_owned(), json!(content.trim()));
            return Ok(auth(&["session"], &given));
        }
        match self.method.as_deref() {
            None => Ok(auth(&["start"], &given)),
            Some("qr" | "qrcode" | "qr_code") => Ok(auth(&["qr", "start"], &given)),
            Some(other) => {
                // The API begins by the account's own way only.
                let body = json!({"auth_mode": other});
                session
                    .api
                    .call(Call::patch(&["accounts", account], &body))
                    .await?;
                Ok(auth(&["start"], &given))
            }
        }
    }
}

impl Flow<'_> {
    async fn walk(&mut self, start: Call) -> Outcome {
        let mut state = self.look(start).await?;
        loop {
            self.show(&state)?;
            match text(&state, "status") {
                "authorized" => return self.done().await,
                "failed" => return Err(Failure::Failed(why(&state))),
                _ => {}
            }
            let questions = list(&state["auth_fields"]).to_vec();
            let nothing =
                questions.is_empty() && state["auth_payload"].as_object().is_none_or(Map::is_empty);
            if nothing && text(&state, "expires_at").is_empty() {
                return Err(Failure::Failed("the sign-in was cancelled".to_owned()));
            }
            state = if questions.is_empty() {
                self.changed(&state).await?
            } else {
                self.ask(&state, &questions).await?
            };
        }
    }

    /// The state after a call; printed for programs.
    async fn look(&mut self, call: Call) -> Outcome<Value> {
        let answer = self.session.api.call(call).await?;
        self.take(&answer)
    }

    fn take(&mut self, answer: &Answer) -> Outcome<Value> {
        let state = answer.value()?;
        if self.session.output.json() && state != self.shown {
            self.session.output.bytes(&answer.json())?;
            self.shown = state.clone();
        }
        Ok(state)
    }

    /// Waits until the state is another one.
    async fn changed(&mut self, state: &Value) -> Outcome<Value> {
        loop {
            tokio::time::sleep(POLL).await;
            let call = Call::get(&["accounts", &self.account, "auth"]);
            let new = self.look(call).await?;
            if new != *state {
                return Ok(new);
            }
        }
    }

    async fn ask(&mut self, state: &Value, questions: &[Value]) -> Outcome<Value> {
        let mut body = Map::new();
        for question in questions {
            if let Some(answer) = self.answers.to(question, &self.session.output).await? {
                body.insert(text(question, "name").to_owned(), json!(answer));
            }
        }
        let password = text(state, "status") == "awaiting_password";
        let route = if password { "password" } else { "code" };
        let call = Call::post(&["accounts", &self.account, "auth", route], &body);
        match self.look(call.host_waits(HOST_WAITS)).await {
            // A wrong form of answer changes nothing: a person may try again.
            Err(Failure::Refused(refusal))
                if refusal.error.field.is_some() && self.answers.may_ask_again() =>
            {
                let output = &self.session.output;
                let message = printable(&refusal.error.message);
                output.note(&output.paint_error(Tone::Bad, &message));
                Ok(state.clone())
            }
            other => other,
        }
    }

    /// What a person is to see; questions are asked elsewhere.
    fn show(&mut self, state: &Value) -> Outcome {
        let output = &self.session.output;
        if output.json() || *state == self.shown {
            return Ok(());
        }
        let problem = why(state);
        if !problem.is_empty() && text(state, "status") != "failed" {
            let problem = printable(&problem);
            output.line(&output.paint(Tone::Warning, &problem))?;
        }
        let payload = &state["auth_payload"];
        if self.shown["auth_payload"] != *payload {
            self.show_payload(payload)?;
            let until = text(state, "expires_at");
            let any = payload.as_object().is_some_and(|map| !map.is_empty());
            if any && !until.is_empty() {
                let until = format!("Waiting; it is good until {}.", local_time(until));
                output.line(&output.paint(Tone::Faint, &until))?;
            }
        }
        self.shown = state.clone();
        Ok(())
    }

    fn show_payload(&self, payload: &Value) -> Outcome {
        let output = &self.session.output;
        let (code, url) = (text(payload, "qr_code"), text(payload, "url"));
        if !code.is_empty() {
            self.draw(code, "Scan this with the channel's app:")?;
        }
        if !url.is_empty() {
            if code.is_empty() {
                self.draw(url, "Open this address, or scan it:")?;
            }
            output.line(&printable(url))?;
        }
        for (key, words) in [
            ("verify_code", "Type this code on the phone:"),
            ("pin", "Confirm this number there:"),
            ("notice", ""),
        ] {
            let value = printable(text(payload, key));
            if !value.is_empty() {
                let value = output.paint(Tone::Heading, &value);
                output.line(format!("{words} {value}").trim_start())?;
            }
        }
        for (key, value) in payload.as_object().into_iter().flatten() {
            let known = ["qr_code", "url", "verify_code", "pin", "notice"];
            if let Some(value) = value.as_str()
                && !known.contains(&key.as_str())
            {
                output.line(&format!("{}: {}", printable(key), printable(value)))?;
            }
        }
        Ok(())
    }

    fn draw(&self, code: &str, words: &str) -> Outcome {
        let output = &self.session.output;
        let lines = qr::lines(code, output.colour());
        let room = output.columns();
        match lines {
            Some(lines) if room.is_none_or(|room| qr::columns(&lines) <= room) => {
                output.line(words)?;
                lines.iter().try_for_each(|line| output.line(line))
            }
            Some(_) => {
                output.line("The terminal is too narrow for the QR code; its content is:")?;
                output.line(&printable(code))
            }
            None => {
                output.line("This is too long for a QR code; it is:")?;
                output.line(&printable(code))
            }
        }
    }

    async fn done(&self) -> Outcome {
        let output = &self.session.output;
        if output.json() {
            return Ok(());
        }
        let call = Call::get(&["accounts", &self.account]);
        let account = self.session.api.call(call).await?.value()?;
        let profile = &account["provider_profile"];
        let who = [
            text(profile, "display_name"),
            text(profile, "username"),
            text(&account, "provider_account_ref"),
        ]
        .into_iter()
        .find(|name| !name.is_empty())
        .map_or_else(String::new, |name| format!(" as {}", printable(name)));
        let line = format!("{} is signed in{who}.", self.account);
        output.line(&output.paint(Tone::Good, &line))
    }

    /// Best effort: the flow ends by itself, too.
    async fn cancel(&self) {
        let output = &self.session.output;
        match tokio::time::timeout(GOODBYE, self.try_cancel()).await {
            Ok(Ok(true)) => output.note("The sign-in was cancelled."),
            Ok(Ok(false)) => {}
            _ => output.note("The sign-in could not be cancelled; it ends by itself."),
        }
    }

    /// Was there one to cancel? Of an account that is signed in, cancel would end the session.
    async fn try_cancel(&self) -> Outcome<bool> {
        let call = Call::get(&["accounts", &self.account, "auth"]);
        let state = self.session.api.call(call).await?.value()?;
        let waits = !text(&state, "expires_at").is_empty();
        if text(&state, "status") == "authorized" || !waits {
            return Ok(false);
        }
        let call = Call::post(&["accounts", &self.account, "auth", "cancel"], &json!({}));
        self.session.api.call(call).await?;
        Ok(true)
    }
}

/// In words, the provider's before the code; empty when nothing is wrong.
fn why(state: &Value) -> String {
    match (text(state, "last_error_message"), text(state, "last_error")) {
        ("", "") if text(state, "status") == "failed" => "the sign-in failed".to_owned(),
        ("", code) => code.to_owned(),
        (message, "") => message.to_owned(),
        (message, code) => format!("{message} ({code})"),
    }
}
