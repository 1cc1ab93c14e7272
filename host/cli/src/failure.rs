//! Why a command did not do what was asked, the exit code that says so, and what a person or a
//! program is shown. Never holds a key: what is shown comes from the host's answer and from us.

use crate::output::{Output, Tone};
use serde::Deserialize;
use serde_json::json;
use std::fmt;

/// The documented exit codes (docs/cli.md).
pub mod exit {
    pub const OK: u8 = 0;
    /// The host failed (5xx), or something on this machine did.
    pub const FAILURE: u8 = 1;
    pub const USAGE: u8 = 2;
    /// The API refused it (4xx); nothing was changed.
    pub const REFUSED: u8 = 3;
    pub const UNREACHABLE: u8 = 4;
    /// A send or a sign-in ended as failed.
    pub const FAILED: u8 = 5;
    /// Nobody can say whether it was sent.
    pub const UNKNOWN: u8 = 6;
    /// A send is not settled in the time given.
    pub const PENDING: u8 = 7;
    /// A version of a provider is kept, and does not run until an operator grants what it asks for.
    pub const PARKED: u8 = 8;
    pub const INTERRUPTED: u8 = 130;
}

#[derive(Debug)]
pub enum Failure {
    /// The arguments do not make sense together.
    Usage(String),
    /// Something on this machine: a file, the terminal.
    Local(String),
    /// The host said no, or failed.
    Refused(Box<Refusal>),
    /// No answer came.
    Unreachable(Unreachable),
    /// An answer came that is not this API's.
    Foreign(String),
    /// A send or sign-in ended as failed; the text says why.
    Failed(String),
    /// A send whose outcome nobody knows.
    Unknown(String),
    /// A send that is not settled yet.
    Pending(String),
    /// A version of a provider that waits for an operator.
    Parked(String),
    Interrupted,
    /// Whoever read our output has gone. Not an error.
    OutputClosed,
}

#[derive(Debug)]
pub struct Unreachable {
    pub url: String,
    pub reason: String,
    /// The request may have arrived.
    pub maybe_done: bool,
}

/// The error object of an answer, with what stands around it.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    pub status: u16,
    pub request_id: String,
    pub error: ErrorObject,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// Where the key that was used came from, in words.
    pub key_source: String,
    /// The whole answer.
    pub body: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorObject {
    pub code: String,
    pub message: String,
    pub field: Option<String>,
    pub reason: Option<String>,
    pub channel_code: Option<String>,
    pub message_id: Option<String>,
}

pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub fn local(text: impl Into<String>) -> Self {
        Self::Local(text.into())
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Local(_) | Self::Foreign(_) => exit::FAILURE,
            Self::Refused(refusal) => refusal.exit_code(),
            Self::Unreachable(_) => exit::UNREACHABLE,
            Self::Failed(_) => exit::FAILED,
            Self::Unknown(_) => exit::UNKNOWN,
            Self::Pending(_) => exit::PENDING,
            Self::Parked(_) => exit::PARKED,
            Self::Interrupted => exit::INTERRUPTED,
            Self::OutputClosed => exit::OK,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Usage(text)
            | Self::Local(text)
            | Self::Foreign(text)
            | Self::Failed(text)
            | Self::Unknown(text)
            | Self::Pending(text)
            | Self::Parked(text) => text.clone(),
            Self::Refused(refusal) if refusal.error.message.is_empty() => {
                format!("the host answered {}", refusal.status)
            }
            Self::Refused(refusal) => refusal.error.message.clone(),
            Self::Unreachable(it) => format!("{} cannot be reached: {}", it.url, it.reason),
            Self::Interrupted => "interrupted".to_owned(),
            Self::OutputClosed => String::new(),
        }
    }

    /// What to try. None where the message says it all.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::Unreachable(_) => Some(
                "is the host running there? `anyport serve` starts one; --url or ANYPORT_URL say \
                 where to look"
                    .to_owned(),
            ),
            Self::Unknown(_) => Some(
                "do not repeat it blindly; `anyport messages show` tells when more is known"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// On standard error: lines for people, one JSON document for programs.
    pub fn print(&self, output: &Output) {
        if matches!(self, Self::OutputClosed) {
            return;
        }
        if output.json() {
            output.error_line(&self.to_json());
            return;
        }
        if matches!(self, Self::Interrupted) {
            return;
        }
        let label = match self {
            Self::Unknown(_) => "unknown:",
            Self::Pending(_) => "pending:",
            Self::Parked(_) => "parked:",
            _ => "error:",
        };
        let tone = match self {
            Self::Unknown(_) | Self::Pending(_) | Self::Parked(_) => Tone::Warning,
            _ => Tone::Bad,
        };
        output.error_line(&format!(
            "{} {}",
            output.paint_error(tone, label),
            crate::text::printable(&self.message())
        ));
        if let Self::Refused(refusal) = self {
            for (name, value) in refusal.details() {
                let name = output.paint_error(Tone::Faint, &format!("{name:<8}"));
                output.error_line(&format!("  {name} {}", crate::text::printable(&value)));
            }
        }
        if let Some(hint) = self.hint() {
            let name = output.paint_error(Tone::Faint, "hint    ");
            output.error_line(&format!("  {name} {hint}"));
        }
    }

    /// The API's own answer where there is one; otherwise the same form.
    fn to_json(&self) -> String {
        if let Self::Refused(refusal) = self
            && !refusal.error.code.is_empty()
        {
            return refusal.body.clone();
        }
        let code = match self {
            Self::Usage(_) => "usage",
            Self::Local(_) => "local_error",
            Self::Refused(_) | Self::Foreign(_) => "foreign_answer",
            Self::Unreachable(_) => "unreachable",
            Self::Failed(_) => "failed",
            Self::Unknown(_) => "send_outcome_unknown",
            Self::Pending(_) => "pending",
            Self::Parked(_) => "parked",
            Self::Interrupted | Self::OutputClosed => "interrupted",
        };
        json!({"error": {"code": code, "message": self.message()}}).to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl Refusal {
    pub fn into_failure(self) -> Failure {
        Failure::Refused(Box::new(self))
    }

    fn exit_code(&self) -> u8 {
        match (&*self.error.code, self.status) {
            ("send_outcome_unknown", _) => exit::UNKNOWN,
            // The send exists, and this is how it ended.
            _ if self.error.message_id.is_some() => exit::FAILED,
            (_, 400..=499) => exit::REFUSED,
            _ => exit::FAILURE,
        }
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let error = &self.error;
        let mut details = Vec::new();
        if !error.code.is_empty() {
            details.push(("code", format!("{} ({})", error.code, self.status)));
        }
        for (name, value) in [
            ("field", &error.field),
            ("reason", &error.reason),
            ("channel", &error.channel_code),
            ("message", &error.message_id),
        ] {
            if let Some(value) = value {
                details.push((name, value.clone()));
            }
        }
        if let Some(seconds) = self.retry_after {
            details.push(("again in", format!("{seconds} s")));
        }
        if !self.request_id.is_empty() {
            details.push(("request", self.request_id.clone()));
        }
        details
    }

    fn hint(&self) -> Option<String> {
        let hint = match &*self.error.code {
            "missing_api_key" => {
                "set ANYPORT_KEY, or --key-file FILE; a trial's own key is found in its data \
                 directory (--data)"
                    .to_owned()
            }
            "invalid_api_key" => format!(
                "the key came from {}; is it active, and of this host?",
                self.key_source
            ),
            "operator_key_required" => {
                "give the operator's key (op_live_…) in ANYPORT_KEY or --key-file".to_owned()
            }
            "account_binding_not_found" => {
                "`anyport accounts list` shows the accounts, `anyport signin` signs one in"
                    .to_owned()
            }
            "account_already_authorized" => {
                "`anyport accounts signout` signs it out first".to_owned()
            }
            "invalid_provider" | "no_allocatable_server" => {
                "`anyport providers list` shows what is installed".to_owned()
            }
            "send_outcome_unknown" => {
                "do not repeat it blindly; `anyport messages show` tells when more is known"
                    .to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str, message_id: Option<&str>) -> Failure {
        Refusal {
            status,
            error: ErrorObject {
                code: code.to_owned(),
                message_id: message_id.map(str::to_owned),
                ..ErrorObject::default()
            },
            ..Refusal::default()
        }
        .into_failure()
    }

    #[test]
    fn exit_codes() {
        for (failure, expected) in [
            (refusal(404, "not_found", None), exit::REFUSED),
            (refusal(503, "storage_unavailable", None), exit::FAILURE),
            (
                refusal(500, "send_message_failed", Some("msg_1")),
                exit::FAILED,
            ),
            (
                refusal(404, "conversation_not_found", Some("msg_1")),
                exit::FAILED,
            ),
            (
                refusal(504, "send_outcome_unknown", Some("msg_1")),
                exit::UNKNOWN,
            ),
            (Failure::usage("x"), exit::USAGE),
            (Failure::Parked("x".to_owned()), exit::PARKED),
            (Failure::Interrupted, exit::INTERRUPTED),
            (Failure::OutputClosed, exit::OK),
        ] {
            assert_eq!(failure.exit_code(), expected, "{failure:?}");
        }
    }

    #[test]
    fn for_programs_it_is_json_of_one_form() {
        for failure in [
            Failure::usage("a \"quoted\"\nword"),
            Failure::Parked("it waits".to_owned()),
            refusal(502, "", None),
            Failure::Unreachable(Unreachable {
                url: "http://localhost:1".to_owned(),
                reason: "refused".to_owned(),
                maybe_done: false,
            }),
        ] {
            let text = failure.to_json();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value["error"]["code"].is_string(), "{text}");
            assert!(value["error"]["message"].is_string(), "{text}");
        }
    }
}
