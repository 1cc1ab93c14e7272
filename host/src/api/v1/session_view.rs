//! `AccountSession`: a sign-in as clients see it.

use crate::domain::Timestamp;
use crate::domain::account::{Account, AuthStatus};
use crate::domain::error::Failure;
use crate::domain::sign_in::{Flow, Question, Step};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

#[derive(JsonSchema, Serialize)]
#[schemars(example = json!({
    "account_id": "acc_7mZ2qK9t", "status": "awaiting_code", "auth_payload": {},
    "auth_fields": [{"type": "code", "required": true, "label": "Code", "placeholder": "123456", "name": "code"}],
    "expires_at": "2026-03-01T08:35:00Z", "last_error": "",
}))]
pub struct AccountSession {
    account_id: String,
    #[schemars(with = "AuthStatus")]
    status: &'static str,
    auth_fields: Vec<AuthField>,
    auth_payload: Map<String, Value>,
    /// RFC 3339; empty when nothing expires.
    expires_at: String,
    /// A word for machines, the channel's own where it has one; empty when there is none.
    last_error: String,
    /// Ours: the same for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    last_error_message: String,
}

#[derive(JsonSchema, Serialize)]
struct AuthField {
    /// `phone`, `email`, `username`, `code`, `password`, `token`, `file`, `choice`, `text`.
    r#type: String,
    required: bool,
    label: String,
    placeholder: String,
    /// Ours: the key under which the answer is sent.
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
}

impl From<&Question> for AuthField {
    fn from(question: &Question) -> Self {
        Self {
            r#type: question.kind.clone(),
            required: question.required,
            label: question.title.clone(),
            placeholder: question.hint.clone().unwrap_or_default(),
            name: question.name.clone(),
            choices: question.choices.clone(),
        }
    }
}

impl AccountSession {
    /// `flow`: the running or last one. What a running flow says counts; otherwise what storage
    /// keeps of the account does, since the session may have ended after the flow did.
    pub fn new(account: &Account, flow: Option<&Flow>) -> Self {
        let mut view = Self {
            account_id: account.id.to_string(),
            status: account.auth_status.durable().as_str(),
            auth_fields: Vec::new(),
            auth_payload: Map::new(),
            expires_at: String::new(),
            last_error: account.last_error.clone().unwrap_or_default(),
            last_error_message: String::new(),
        };
        let Some(flow) = flow else {
            return view;
        };
        match &flow.step {
            Step::Failed(failure) if account.auth_status != AuthStatus::Authorized => {
                view.status = AuthStatus::Failed.as_str();
                view.show_failure(failure);
            }
            Step::Done(_) | Step::Failed(_) | Step::Cancelled => {}
            running => view.show_running(flow, running),
        }
        view
    }

    fn show_failure(&mut self, failure: &Failure) {
        self.last_error = failure
            .channel_code
            .clone()
            .unwrap_or_else(|| failure.code.as_str().replace('-', "_"));
        self.last_error_message = failure.message.clone();
    }

    fn show_running(&mut self, flow: &Flow, step: &Step) {
        self.status = flow.status().as_str();
        self.last_error.clear();
        let mut expires_at = flow.expires_at;
        match step {
            Step::Show(displays) => {
                for display in displays {
                    let key = payload_key(&display.kind);
                    self.auth_payload
                        .insert(key.to_owned(), display.value.as_str().into());
                    if let Some(at) = display.expires_at {
                        expires_at = expires_at.min(at);
                    }
                }
            }
            Step::Ask { questions, problem } => {
                self.auth_fields = questions.iter().map(AuthField::from).collect();
                if let Some(problem) = problem {
                    self.show_failure(problem);
                }
            }
            _ => {}
        }
        if expires_at != Timestamp(u64::MAX) {
            self.expires_at = expires_at.rfc3339();
        }
    }
}

/// The published keys, where there is one.
fn payload_key(kind: &str) -> &str {
    match kind {
        "qr" => "qr_code",
        "code" => "verify_code",
        "image" => "url",
        other => other,
    }
}
