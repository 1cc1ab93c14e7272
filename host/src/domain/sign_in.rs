//! Signing in, as one step machine for every channel. Lives in memory only.

use super::account::{AuthStatus, Profile};
use super::error::Failure;
use super::{SecretBytes, Timestamp};

/// One sign-in attempt of one account, owned by the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Opaque; a new one with each `begin`.
    pub id: String,
    /// Grows with every step.
    pub revision: u64,
    /// `qr`, `code`, `pairing-code`, `password`, `token`, `session`, …
    pub method: String,
    pub step: Step,
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `begin` was called, nothing shows yet.
    Started,
    Show(Vec<Display>),
    Ask {
        questions: Vec<Question>,
        problem: Option<Failure>,
    },
    Done(Profile),
    Failed(Failure),
    Cancelled,
}

/// Something to look at. `kind`: `qr`, `code`, `url`, `image`, `notice`, `pin`.
#[derive(Clone, Debug, PartialEq)]
pub struct Display {
    pub kind: String,
    pub value: String,
    pub hint: Option<String>,
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub name: String,
    /// `phone`, `email`, `username`, `code`, `password`, `token`, `file`, `choice`, `text`.
    pub kind: String,
    pub title: String,
    pub hint: Option<String>,
    pub required: bool,
    pub choices: Vec<String>,
}

/// An input of a person. Never stored, never logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub name: String,
    pub value: SecretBytes,
}

impl Flow {
    /// What the native API calls the state of this flow.
    pub fn status(&self) -> AuthStatus {
        match &self.step {
            Step::Started => match self.method.as_str() {
                "qr" => AuthStatus::AwaitingQrScan,
                "code" | "pairing-code" => AuthStatus::AwaitingCode,
                _ => AuthStatus::PendingAuth,
            },
            Step::Show(displays) => {
                if displays
                    .iter()
                    .any(|display| matches!(display.kind.as_str(), "qr" | "url" | "image"))
                {
                    AuthStatus::AwaitingQrScan
                } else {
                    AuthStatus::AwaitingCode
                }
            }
            Step::Ask { questions, .. } => {
                if questions.iter().any(|question| question.kind == "password") {
                    AuthStatus::AwaitingPassword
                } else {
                    AuthStatus::AwaitingCode
                }
            }
            Step::Done(_) => AuthStatus::Authorized,
            Step::Failed(_) => AuthStatus::Failed,
            Step::Cancelled => AuthStatus::PendingAuth,
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.step, Step::Done(_) | Step::Failed(_) | Step::Cancelled)
    }
}
