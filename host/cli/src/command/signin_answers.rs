//! Where the answers to a sign-in's questions come from: those given beforehand, then a person
//! at the terminal, or the lines of standard input.
//!
//! For programs a line is a JSON object with the answers by name; else it is the answer itself.

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::prompt;
use crate::session::{list, text};
use crate::text::printable;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// `Debug` shows no answer.
#[derive(Debug)]
pub struct Answers {
    /// Each is used once: asked again, it was wrong.
    given: BTreeMap<String, SecretString>,
    json: bool,
}

impl Answers {
    pub fn new(given: &[String], json: bool) -> Outcome<Self> {
        let given = given
            .iter()
            .map(|pair| {
                let (name, value) = pair.split_once('=').ok_or_else(|| {
                    // Not repeated: it may be a password.
                    Failure::usage("--answer: must be NAME=TEXT")
                })?;
                Ok((name.to_owned(), SecretString::from(value)))
            })
            .collect::<Outcome<_>>()?;
        Ok(Self { given, json })
    }

    /// For the call that begins the sign-in: of these the host takes what the way needs.
    pub fn given(&self) -> Map<String, Value> {
        self.given
            .iter()
            .map(|(name, value)| (name.clone(), json!(value.expose_secret())))
            .collect()
    }

    /// Is there a person who can do better the next time?
    pub fn may_ask_again(&self) -> bool {
        !self.json && prompt::is_terminal()
    }

    /// None where the question may stay without an answer and does.
    pub async fn to(&mut self, question: &Value, output: &Output) -> Outcome<Option<String>> {
        let name = text(question, "name");
        if let Some(answer) = self.given.remove(name) {
            return Ok(Some(answer.expose_secret().to_owned()));
        }
        if self.json {
            self.read_object(name).await?;
            if let Some(answer) = self.given.remove(name) {
                return Ok(Some(answer.expose_secret().to_owned()));
            }
        } else if let Some(answer) = ask(question, output).await? {
            return Ok(Some(answer));
        }
        match question["required"].as_bool() {
            Some(false) => Ok(None),
            _ => Err(Failure::usage(format!(
                "the sign-in asks for `{name}` and there is no answer"
            ))),
        }
    }

    async fn read_object(&mut self, name: &str) -> Outcome {
        let Some(line) = prompt::line("", false).await? else {
            return Ok(());
        };
        let object: Map<String, Value> =
            serde_json::from_str(line.expose_secret()).map_err(|_| {
                Failure::usage(format!(
                    "standard input: a line must be a JSON object such as {{\"{name}\":\"…\"}}"
                ))
            })?;
        for (name, value) in object {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            self.given.insert(name, SecretString::from(value));
        }
        Ok(())
    }
}

/// Asks until there is an answer that can be one; none when there is nobody left to ask.
async fn ask(question: &Value, output: &Output) -> Outcome<Option<String>> {
    let kind = text(question, "type");
    let hidden = matches!(kind, "password" | "token");
    let choices: Vec<&str> = list(&question["choices"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for (index, choice) in choices.iter().enumerate() {
        output.note(&format!("  {}  {}", index + 1, printable(choice)));
    }
    let words = words_of(question);
    loop {
        let Some(line) = prompt::line(&words, hidden).await? else {
            return Ok(None);
        };
        let answer = line.expose_secret().trim_end_matches(['\r', '\n']);
        let answer = if hidden { answer } else { answer.trim() };
        if let Some(answer) = choose(answer, &choices) {
            return Ok(Some(answer));
        }
        if question["required"] == false && answer.is_empty() || !prompt::is_terminal() {
            return Ok(None);
        }
        if !choices.is_empty() {
            output.note("One of these, by its number or as it is written, please.");
        }
    }
}

/// `Code (the code is 123456): `
fn words_of(question: &Value) -> String {
    let label = [text(question, "label"), text(question, "name")]
        .into_iter()
        .find(|label| !label.is_empty())
        .unwrap_or("Answer");
    let hint = text(question, "placeholder");
    let optional = if question["required"] == false {
        ", may be left out"
    } else {
        ""
    };
    let hint = format!("{}{optional}", printable(hint));
    match hint.trim_start_matches(", ") {
        "" => format!("{}: ", printable(label)),
        hint => format!("{} ({hint}): ", printable(label)),
    }
}

fn choose(answer: &str, choices: &[&str]) -> Option<String> {
    if answer.is_empty() {
        return None;
    }
    if choices.is_empty() || choices.contains(&answer) {
        return Some(answer.to_owned());
    }
    let index: usize = answer.parse().ok()?;
    choices
        .get(index.checked_sub(1)?)
        .map(|choice| (*choice).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_in_words() {
        let question = json!({"label": "Code", "name": "code", "placeholder": "see\u{1b}[2J your phone", "required": true});
        assert_eq!(words_of(&question), "Code (see\\u{1b}[2J your phone): ");
        let question = json!({"label": "", "name": "nick", "placeholder": "", "required": false});
        assert_eq!(words_of(&question), "nick (may be left out): ");
    }

    #[test]
    fn choices_by_number_or_word() {
        let choices = ["sms", "call", "1"];
        assert_eq!(choose("2", &choices).as_deref(), Some("call"));
        assert_eq!(choose("sms", &choices).as_deref(), Some("sms"));
        assert_eq!(choose("1", &choices).as_deref(), Some("1"));
        for bad in ["", "0", "4", "fax"] {
            assert_eq!(choose(bad, &choices), None, "{bad}");
        }
        assert_eq!(choose("anything", &[]).as_deref(), Some("anything"));
    }

    #[test]
    fn debug_shows_no_answer() {
        let answers = Answers::new(&["password=marker".to_owned()], false).unwrap();
        assert!(!format!("{answers:?}").contains("marker"));
        let error = Answers::new(&["marker".to_owned()], false).unwrap_err();
        assert!(!error.to_string().contains("marker"));
    }
}
