//! Actions on a message that is there: edit, revoke, react, pin. And which message that is.

use super::super::Api;
use super::super::OpenedToken;
use super::super::body::{Body, Read};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::keys::Narrowed;
use super::super::openapi::Doc;
use super::super::routes::Routes;
use super::command_doc::does;
use super::subject::{ID, Subject};
use crate::domain::account::Account;
use crate::domain::capability;
use crate::domain::command::Command;
use crate::domain::send::{MessageRef, Send, SendState};
use crate::domain::{SendId, WorkspaceId};
use axum::extract::State;
use schemars::JsonSchema;

const EDIT: Operation = Operation::of_message(codes::EDIT_MESSAGE_FAILED);
const REVOKE: Operation = Operation::of_message(codes::REVOKE_MESSAGE_FAILED);
const REACT: Operation = Operation::of_message(codes::REACT_MESSAGE_FAILED);
const PIN: Operation = Operation::of_message(codes::PIN_MESSAGE_FAILED);

const TEXT: usize = 256 * 1024;
/// Of an emoji, which may be a long sequence or a name of the channel's own.
const EMOJI: usize = 64;

pub fn routes() -> Routes {
    Routes::new()
        .post("/v1/messages/edit", edit)
        .doc(acts::<MessageEditRequest>(
            "editMessage",
            "Change what a message says",
            &EDIT,
        ))
        .post("/v1/messages/revoke", revoke)
        .doc(acts::<MessageRevokeRequest>(
            "revokeMessage",
            "Take a message back",
            &REVOKE,
        ))
        .post("/v1/messages/reaction", react)
        .doc(acts::<MessageReactionRequest>(
            "reactMessage",
            "React to a message, or take it back",
            &REACT,
        ))
        .post("/v1/messages/pin", pin)
        .doc(acts::<MessagePinRequest>(
            "pinMessage",
            "Pin or unpin a message",
            &PIN,
        ))
        .about(
            "Message Actions",
            "What is done to messages that are there.",
        )
}

fn acts<B: JsonSchema>(id: &'static str, summary: &'static str, operation: &Operation) -> Doc {
    does::<B>(id, summary, operation).fails([codes::INVALID_REPLY_TOKEN])
}

/// `MessageTargetRequest` of the contract.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline)]
pub struct MessageTarget {
    #[schemars(length(min = 1, max = 512))]
    pub account_id: String,
    #[schemars(length(min = 1, max = 512))]
    pub conversation_id: String,
    /// The channel's, or ours (`msg_…`).
    #[schemars(length(min = 1, max = 512))]
    pub message_id: String,
    /// None: the account itself.
    #[schemars(length(max = 512))]
    pub sender_id: Option<String>,
    /// Our own: of that message, for channels that need more than its id.
    #[schemars(length(max = 8192))]
    pub reply_token: Option<String>,
}

impl MessageTarget {
    pub fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            account_id: fields.required_text("account_id", ID)?.to_owned(),
            conversation_id: fields.required_text("conversation_id", ID)?.to_owned(),
            message_id: fields.required_text("message_id", ID)?.to_owned(),
            sender_id: owned(fields.text("sender_id", ID)?),
            reply_token: owned(fields.text("reply_token", 8192)?),
        })
    }

    /// The channel's message. Of one that this host has sent, the host knows what else the channel
    /// needs.
    pub async fn find(
        &self,
        api: &Api,
        operation: &Operation,
        workspace: &WorkspaceId,
        account: &Account,
    ) -> Result<MessageRef, ApiError> {
        let mut target = MessageRef {
            sender: self.sender_id.clone(),
            ..MessageRef::of(self.conversation_id.clone(), self.message_id.clone())
        };
        let ours = SendId::from_public(&self.message_id);
        let send = match &ours {
            Some(id) => api.store.send(workspace, id).await,
            None => {
                let (store, id) = (&api.store, &self.message_id);
                store.send_by_message(workspace, &account.id, id).await
            }
        };
        let send = send.map_err(|error| operation.storage(error))?;
        let send = send.filter(|send| send.account == account.id);
        if ours.is_some() {
            let send = send.as_ref().ok_or_else(no_such_message)?;
            target.message = channels_id(send)?;
            let known = send
                .sent
                .as_ref()
                .and_then(|sent| sent.conversation.as_ref());
            if self.conversation_id != send.outgoing.conversation
                && known != Some(&self.conversation_id)
            {
                let rule = "is not the conversation of this message";
                return Err(ApiError::field("conversation_id", rule));
            }
        }
        target.reply_context = send
            .and_then(|send| send.sent)
            .and_then(|sent| sent.reply_context);
        if let Some(token) = &self.reply_token {
            self.open(api, account, token, &mut target)?;
        }
        Ok(target)
    }

    fn open(
        &self,
        api: &Api,
        account: &Account,
        token: &str,
        target: &mut MessageRef,
    ) -> Result<(), ApiError> {
        match api.reply_tokens.open(&account.id, token) {
            OpenedToken::Target(known)
                if known.message == target.message && known.conversation == target.conversation =>
            {
                target.reply_context = known.reply_context.or(target.reply_context.take());
                target.sender = target.sender.take().or(known.sender);
                Ok(())
            }
            _ => Err(
                ApiError::field("reply_token", "is not a reply token of this message")
                    .with_code(codes::INVALID_REPLY_TOKEN),
            ),
        }
    }
}

fn no_such_message() -> ApiError {
    ApiError::new(codes::NOT_FOUND, "message_id: there is no such message")
}

/// Of one of our sends, if the channel has it.
fn channels_id(send: &Send) -> Result<String, ApiError> {
    let message = send.sent.as_ref().and_then(|sent| sent.messages.first());
    match (send.state, message) {
        (SendState::Sent, Some(message)) => Ok(message.clone()),
        (SendState::Recorded | SendState::Dispatched, _) => Err(ApiError::new(
            codes::CONFLICT,
            "message_id: the channel has not accepted this message yet",
        )
        .retry_after(1)),
        _ => Err(no_such_message()),
    }
}

/// The account and the message, for a caller who may see them.
async fn subject(
    api: &Api,
    operation: &'static Operation,
    caller: &Narrowed,
    target: &MessageTarget,
    feature: &str,
) -> Result<(Subject, MessageRef), ApiError> {
    if !caller.sees(&target.account_id) {
        return Err(operation.missing());
    }
    let workspace = &caller.workspace;
    let subject = Subject::of(api, operation, workspace, &target.account_id).await?;
    subject.capable().needs(feature)?;
    let found = target
        .find(api, operation, workspace, &subject.account)
        .await?;
    Ok((subject, found))
}

#[derive(Debug, JsonSchema)]
pub struct MessageEditRequest {
    #[serde(flatten)]
    pub target: MessageTarget,
    #[schemars(length(min = 1, max = 262_144))]
    pub content: String,
}

impl Read for MessageEditRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            target: MessageTarget::read(fields)?,
            content: fields.required_text("content", TEXT)?.to_owned(),
        })
    }
}

async fn edit(
    State(api): State<Api>,
    caller: Narrowed,
    Body(request): Body<MessageEditRequest>,
) -> Answer {
    const FEATURE: &str = "message.edit";
    let (subject, target) = subject(&api, &EDIT, &caller, &request.target, FEATURE).await?;
    subject
        .capable()
        .chars(FEATURE, "content", &request.content)?;
    let command = Command::EditMessage {
        target,
        text: request.content,
        format: "plain".to_owned(),
    };
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema)]
pub struct MessageRevokeRequest {
    #[serde(flatten)]
    pub target: MessageTarget,
    /// Our own; true when absent.
    #[schemars(with = "Option<bool>")]
    pub for_everyone: bool,
}

impl Read for MessageRevokeRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            target: MessageTarget::read(fields)?,
            for_everyone: fields.boolean("for_everyone")?.unwrap_or(true),
        })
    }
}

async fn revoke(
    State(api): State<Api>,
    caller: Narrowed,
    Body(request): Body<MessageRevokeRequest>,
) -> Answer {
    let feature = "message.revoke";
    let (subject, target) = subject(&api, &REVOKE, &caller, &request.target, feature).await?;
    let command = Command::RevokeMessage {
        target,
        for_everyone: request.for_everyone,
    };
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema)]
pub struct MessageReactionRequest {
    #[serde(flatten)]
    pub target: MessageTarget,
    /// None, or empty: taken back.
    #[schemars(length(max = 64))]
    pub emoji: Option<String>,
}

impl Read for MessageReactionRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            target: MessageTarget::read(fields)?,
            emoji: fields.text("emoji", EMOJI)?.map(str::to_owned),
        })
    }
}

async fn react(
    State(api): State<Api>,
    caller: Narrowed,
    Body(request): Body<MessageReactionRequest>,
) -> Answer {
    const FEATURE: &str = "message.react";
    let (subject, target) = subject(&api, &REACT, &caller, &request.target, FEATURE).await?;
    if let Some(emoji) = &request.emoji {
        let limit = capability::EMOJIS;
        subject.capable().one_of(FEATURE, limit, "emoji", emoji)?;
    }
    let command = Command::React {
        target,
        emoji: request.emoji,
    };
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema)]
pub struct MessagePinRequest {
    #[serde(flatten)]
    pub target: MessageTarget,
    pub pinned: bool,
    pub duration_seconds: Option<u32>,
}

impl Read for MessagePinRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let most = u64::from(u32::MAX);
        let seconds = fields.integer("duration_seconds", 0..=most)?;
        Ok(Self {
            target: MessageTarget::read(fields)?,
            pinned: fields.required_boolean("pinned")?,
            duration_seconds: seconds.and_then(|seconds| u32::try_from(seconds).ok()),
        })
    }
}

async fn pin(
    State(api): State<Api>,
    caller: Narrowed,
    Body(request): Body<MessagePinRequest>,
) -> Answer {
    const FEATURE: &str = "message.pin";
    let (subject, target) = subject(&api, &PIN, &caller, &request.target, FEATURE).await?;
    let seconds = request.duration_seconds;
    subject
        .capable()
        .seconds(FEATURE, "duration_seconds", u64::from(seconds.unwrap_or(0)))?;
    let command = Command::PinMessage {
        target,
        pinned: request.pinned,
        seconds,
    };
    Reply::ok(&subject.act(command).await?)
}
