//! What happens to the account in a test: a TOML file that the author writes.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A script with nothing in it starts the provider and stops it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// The account's configuration.
    pub config: Value,
    pub secrets: BTreeMap<String, String>,
    /// What the channel says to what the provider says.
    #[serde(rename = "answer")]
    pub answers: Vec<Answer>,
    #[serde(rename = "step")]
    pub steps: Vec<RawStep>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// How the provider's frame begins.
    pub to: String,
    /// `{2}`: the second word of the provider's frame.
    pub frame: String,
}

/// As it stands in the file: one of the things that can happen, with what belongs to it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawStep {
    frame: Option<String>,
    bytes: Option<String>,
    label: Option<String>,
    send: Option<String>,
    to: Option<String>,
    close: Option<String>,
    timer: Option<String>,
    sign_in: Option<String>,
    submit: Option<bool>,
    answers: BTreeMap<String, String>,
    reconnect: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Frame {
        /// None: the only connection.
        label: Option<String>,
        bytes: Vec<u8>,
    },
    Send {
        to: String,
        text: String,
    },
    Close(String),
    Timer(String),
    SignIn {
        method: String,
        answers: BTreeMap<String, String>,
    },
    Submit(BTreeMap<String, String>),
    Reconnect,
}

const KINDS: &str = "frame, bytes, send, close, timer, sign-in, submit, reconnect";

impl Script {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            format!("line {line}: {}", error.message().replace('\n', " "))
        })?;
        if script.config.is_null() {
            script.config = Value::Object(serde_json::Map::new());
        }
        if !script.config.is_object() {
            return Err("config: must be a table".to_owned());
        }
        for (at, step) in script.steps.iter().enumerate() {
            step.read()
                .map_err(|rule| format!("step {}: {rule}", at + 1))?;
        }
        Ok(script)
    }

    /// With their numbers in the file.
    pub fn steps(&self) -> impl Iterator<Item = (usize, Step)> {
        let steps = self.steps.iter().enumerate();
        steps.filter_map(|(at, step)| Some((at + 1, step.read().ok()?)))
    }
}

impl RawStep {
    fn read(&self) -> Result<Step, String> {
        let label = self.label.clone();
        let mut found = Vec::new();
        if let Some(text) = &self.frame {
            let bytes = text.clone().into_bytes();
            found.push(Step::Frame { label, bytes });
        } else if let Some(text) = &self.bytes {
            let bytes =
                hex::decode(text).map_err(|_| "bytes: must be hexadecimal digits, two for each")?;
            found.push(Step::Frame { label, bytes });
        }
        if let Some(text) = &self.send {
            let to = self
                .to
                .clone()
                .ok_or("send: needs `to`, the conversation")?;
            let text = text.clone();
            found.push(Step::Send { to, text });
        }
        found.extend(self.close.clone().map(Step::Close));
        found.extend(self.timer.clone().map(Step::Timer));
        if let Some(method) = self.sign_in.clone() {
            let answers = self.answers.clone();
            found.push(Step::SignIn { method, answers });
        }
        if self.submit == Some(true) {
            found.push(Step::Submit(self.answers.clone()));
        }
        if self.reconnect == Some(true) {
            found.push(Step::Reconnect);
        }
        match <[Step; 1]>::try_from(found) {
            Ok([step]) => Ok(step),
            Err(found) if found.is_empty() => Err(format!("must be one of {KINDS}")),
            Err(_) => Err(format!(
                "is more than one of {KINDS}; a step is one thing that happens"
            )),
        }
    }
}

impl Step {
    /// For a report: what happened when it failed.
    pub fn in_words(&self) -> String {
        match self {
            Self::Frame { bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
                format!("frame {text:?}")
            }
            Self::Send { text, .. } => format!("send {text:?}"),
            Self::Close(label) => format!("`{label}` closes"),
            Self::Timer(label) => format!("timer `{label}`"),
            Self::SignIn { method, .. } => format!("sign-in by {method}"),
            Self::Submit(_) => "answers of a sign-in".to_owned(),
            Self::Reconnect => "reconnect".to_owned(),
        }
    }
}

impl Answer {
    /// What the channel says to this frame, if it says something.
    pub fn to_frame(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(frame).ok()?;
        let rest = text.strip_prefix(&self.to)?;
        if rest.starts_with(|next: char| !next.is_whitespace()) && !self.to.ends_with(' ') {
            return None;
        }
        let mut answer = self.frame.clone();
        for (at, word) in text.split_whitespace().enumerate() {
            answer = answer.replace(&format!("{{{}}}", at + 1), word);
        }
        Some(answer.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_is_wrong_says_where() {
        for (text, phrase) in [
            ("steps = 1", "line 1: unknown field `steps`"),
            (
                "[[step]]\nframe = 'a'\n\n[[step]]\nsned = 'a'",
                "line 5: unknown field `sned`",
            ),
            ("[[step]]\nsend = 'a'", "step 1: send: needs `to`"),
            ("[[step]]\n", "step 1: must be one of frame"),
            (
                "[[step]]\nframe = 'a'\ntimer = 'b'",
                "step 1: is more than one of",
            ),
            (
                "[[step]]\nbytes = 'xyz'",
                "step 1: bytes: must be hexadecimal",
            ),
            ("config = 3", "config: must be a table"),
            ("[config", "line 1: "),
        ] {
            let error = Script::parse(text).unwrap_err();
            assert!(error.contains(phrase), "{error}");
        }
    }

    #[test]
    fn answers_take_words() {
        let answer = Answer {
            to: "SAY".to_owned(),
            frame: "SAID {2} 17".to_owned(),
        };
        assert_eq!(
            answer.to_frame(b"SAY abc hello {2}"),
            Some(b"SAID abc 17".to_vec())
        );
        assert_eq!(answer.to_frame(b"SAYING abc"), None);
        assert_eq!(answer.to_frame(b"\xff"), None);
    }
}
