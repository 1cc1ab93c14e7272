//! A send as clients see it.

use super::super::error::{ApiError, Operation};
use super::super::{Api, ReplyTarget};
use crate::domain::account::Account;
use crate::domain::error::Certainty;
use crate::domain::send::{Content, Send, SendState};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// `SendMessageResult`, with what we know beside it.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "SendMessageResult", example = json!({
    "message_id": "3EB0C0FFEE10", "account_id": "acc_7mZ2qK9t", "status": "accepted",
    "id": "msg_0197c2d4", "state": "sent", "message_ids": ["3EB0C0FFEE10"],
    "sent_at": "2026-03-01T08:30:00Z",
}))]
pub struct SendResult {
    /// The channel's first id; ours as long as it is not known.
    message_id: String,
    account_id: String,
    /// The contract's one value.
    #[schemars(extend("const" = "accepted"))]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_token: Option<String>,
    /// Ours, good in every later call.
    id: String,
    #[schemars(extend("enum" = ["recorded", "dispatched", "sent"]))]
    state: &'static str,
    message_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
}

impl SendResult {
    /// Of a send that has not failed; for the others the error that says so.
    pub fn of(send: &Send, reply_token: Option<String>) -> Result<Self, ApiError> {
        match send.state {
            SendState::Failed => Err(failed(send, Certainty::NotDone)),
            SendState::Unknown => Err(failed(send, Certainty::MaybeDone)),
            SendState::Recorded | SendState::Dispatched | SendState::Sent => {
                let message_ids = message_ids(send);
                Ok(Self {
                    message_id: message_id(send),
                    account_id: send.account.to_string(),
                    status: "accepted",
                    provider_ref: message_ids.first().cloned(),
                    reply_token,
                    id: send.id.to_string(),
                    state: send.state.as_str(),
                    message_ids,
                    sent_at: send.sent.as_ref().map(|sent| sent.sent_at.rfc3339()),
                })
            }
        }
    }
}

fn message_ids(send: &Send) -> Vec<String> {
    send.sent
        .as_ref()
        .map(|sent| sent.messages.clone())
        .unwrap_or_default()
}

fn message_id(send: &Send) -> String {
    send.sent
        .as_ref()
        .and_then(|sent| sent.messages.first().cloned())
        .unwrap_or_else(|| send.id.to_string())
}

/// The token to reply to what was sent, where the provider has replies.
pub async fn reply_token(
    api: &Api,
    send: &Send,
    account: Option<Account>,
) -> Result<Option<String>, ApiError> {
    let Some(sent) = &send.sent else {
        return Ok(None);
    };
    let account = match account {
        Some(account) => Some(account),
        None => api
            .store
            .account(&send.workspace, &send.account)
            .await
            .map_err(|error| Operation::SEND.storage(error))?,
    };
    let (Some(account), Some(message)) = (account, sent.messages.first()) else {
        return Ok(None);
    };
    let replies = api
        .control
        .provider(&account.provider)
        .is_some_and(|info| info.features.iter().any(|(name, _)| name == "send.reply"));
    Ok(replies.then(|| {
        let target = ReplyTarget {
            conversation: sent
                .conversation
                .clone()
                .unwrap_or_else(|| send.outgoing.conversation.clone()),
            message: message.clone(),
            sender: account.profile.id.clone(),
            reply_context: sent.reply_context.clone(),
        };
        api.reply_tokens.seal(&account.id, &target)
    }))
}

fn failed(send: &Send, certainty: Certainty) -> ApiError {
    let mut error = match &send.failure {
        Some(failure) => Operation::SEND.failure(failure, certainty),
        None => ApiError::new(
            match certainty {
                Certainty::NotDone => Operation::SEND.failed,
                Certainty::MaybeDone => super::super::codes::SEND_OUTCOME_UNKNOWN,
            },
            "the provider gave no reason",
        ),
    };
    if certainty == Certainty::MaybeDone {
        error.message = format!(
            "the channel may have sent it and nobody can say; do not repeat it blindly ({})",
            error.message
        );
        error.retry_after = None;
    }
    error.details.message_id = Some(send.id.to_string());
    error
}

/// A send as `GET /v1/messages` shows it. The content is not repeated.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Message", example = json!({
    "id": "msg_0197c2d4", "message_id": "3EB0C0FFEE10", "account_id": "acc_7mZ2qK9t", "state": "sent",
    "to": {"id": "15550100023", "type": "user"}, "type": "text", "message_ids": ["3EB0C0FFEE10"],
    "recorded_at": "2026-03-01T08:30:00Z", "sent_at": "2026-03-01T08:30:00Z",
}))]
pub struct MessageView {
    id: String,
    message_id: String,
    account_id: String,
    #[schemars(extend("enum" = SendState::NAMES))]
    state: &'static str,
    to: To,
    r#type: &'static str,
    message_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<String>,
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dispatched_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "MessageTo")]
struct To {
    id: String,
    r#type: String,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "MessageFailure")]
struct FailureView {
    /// As `POST /v1/messages` answers it.
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_code: Option<String>,
}

impl MessageView {
    pub fn new(send: &Send) -> Self {
        let error = match send.state {
            SendState::Failed => Some(failed(send, Certainty::NotDone)),
            SendState::Unknown => Some(failed(send, Certainty::MaybeDone)),
            _ => None,
        };
        Self {
            id: send.id.to_string(),
            message_id: message_id(send),
            account_id: send.account.to_string(),
            state: send.state.as_str(),
            to: To {
                id: send.outgoing.conversation.clone(),
                r#type: send.outgoing.conversation_kind.clone(),
            },
            r#type: match &send.outgoing.content {
                Content::Text { .. } => "text",
                Content::Media { media, .. } => media
                    .first()
                    .map_or("document", |medium| medium.kind.as_str()),
                Content::Contacts { .. } => "contact",
                Content::Forward { .. } => "forward",
            },
            message_ids: message_ids(send),
            conversation_id: send
                .sent
                .as_ref()
                .and_then(|sent| sent.conversation.clone()),
            recorded_at: send.recorded_at.rfc3339(),
            dispatched_at: send.dispatched_at.map(|at| at.rfc3339()),
            settled_at: send.settled_at.map(|at| at.rfc3339()),
            sent_at: send.sent.as_ref().map(|sent| sent.sent_at.rfc3339()),
            error: error.map(|error| FailureView {
                code: error.code.name,
                message: error.message,
                reason: error.details.reason,
                channel_code: error.details.channel_code,
            }),
        }
    }
}
