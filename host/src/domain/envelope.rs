//! The published envelope, serialized once, and the events that the host itself makes.
//!
//! The envelope is `{id, type, provider, account_id, occurred_at, data}` in this order; on
//! `message.received` the flat mirrors `event`, `from`, `text`, `timestamp`, `message_id` may
//! follow for receivers of the older flat form. Keys beyond the published ones are allowed
//! everywhere. Never reads a clock and never decides who gets an event.

use super::account::{AuthStatus, Profile, RuntimeStatus};
use super::endpoint::EndpointState;
use super::error::Failure;
use super::event::NewEvent;
use super::send::{Send, SendState, SentMessage};
use super::sign_in::{Flow, Step};
use super::{AccountId, EndpointId, EventId, SendId, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

/// What stands at the top of every envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamp<'a> {
    pub id: EventId,
    /// As the client called it.
    pub provider: &'a str,
    pub account: &'a AccountId,
    pub occurred_at: Timestamp,
}

impl<'a> Stamp<'a> {
    /// With a new id.
    pub fn new(provider: &'a str, account: &'a AccountId, occurred_at: Timestamp) -> Self {
        Self {
            id: EventId::generate(),
            provider,
            account,
            occurred_at,
        }
    }
}

/// The flat form of `message.received`, at the top level beside `data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrors {
    /// `+` and digits where the provider knows a phone number, else the sender's id.
    pub from: String,
    /// Empty where the message has none.
    pub text: String,
    pub sent_at: Timestamp,
    pub message_id: String,
}

/// The envelope's bytes: signed, stored and sent as they are.
pub fn envelope<D: Serialize + ?Sized>(
    stamp: &Stamp<'_>,
    kind: &str,
    data: &D,
    mirrors: Option<&Mirrors>,
) -> Vec<u8> {
    let envelope = Envelope {
        id: stamp.id.as_str(),
        kind,
        provider: stamp.provider,
        account_id: stamp.account.as_str(),
        occurred_at: stamp.occurred_at.rfc3339(),
        data,
        event: mirrors.map(|_| kind),
        from: mirrors.map(|mirrors| mirrors.from.as_str()),
        text: mirrors.map(|mirrors| mirrors.text.as_str()),
        timestamp: mirrors.map(|mirrors| mirrors.sent_at.unix_seconds()),
        message_id: mirrors.map(|mirrors| mirrors.message_id.as_str()),
    };
    // Serializing plain structs to memory cannot fail; an empty object would be visible at once.
    serde_json::to_vec(&envelope).unwrap_or_else(|_| b"{}".to_vec())
}

#[derive(Serialize)]
struct Envelope<'a, D: Serialize + ?Sized> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    provider: &'a str,
    account_id: &'a str,
    occurred_at: String,
    data: &'a D,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
}

/// What the `account.*` events tell of an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AccountFacts<'a> {
    pub auth_status: AuthStatus,
    pub runtime_status: RuntimeStatus,
    pub provider_account_ref: Option<&'a str>,
}

/// `{auth_status, runtime_status, account{provider_account_ref}, reason?, event}`; `reason` (ours)
/// is `{code, message, channel_code}` of what keeps the account from running.
pub fn account_status_updated(
    stamp: Stamp<'_>,
    facts: AccountFacts<'_>,
    reason: Option<&Failure>,
) -> NewEvent {
    let data = AccountData {
        auth_status: facts.auth_status.as_str(),
        runtime_status: facts.runtime_status.as_str(),
        account: facts.provider_account_ref.map(AccountBlock::of_ref),
        reason: reason.map(ErrorData::of),
        event: EventBlock::of("account_status"),
    };
    host_event(stamp, "account.status.updated", None, &data)
}

/// Says `ready` where REST says `running`.
pub fn account_started(stamp: Stamp<'_>, facts: AccountFacts<'_>) -> NewEvent {
    let data = AccountData {
        auth_status: facts.auth_status.as_str(),
        runtime_status: "ready",
        account: facts.provider_account_ref.map(AccountBlock::of_ref),
        reason: None,
        event: EventBlock::of("account_started"),
    };
    host_event(stamp, "account.started", None, &data)
}

/// `{auth_status, runtime_status, auth_payload{qr_code|url|pin|verify_code|notice}, auth_fields?,
/// expires_at?, event}`. `auth_fields` has the form that the REST state has.
pub fn auth_required(stamp: Stamp<'_>, flow: &Flow, runtime_status: RuntimeStatus) -> NewEvent {
    let mut payload = AuthPayload::default();
    let mut fields = Vec::new();
    let mut expires_at = None;
    match &flow.step {
        Step::Show(displays) => {
            for display in displays {
                let place = match display.kind.as_str() {
                    "qr" => &mut payload.qr_code,
                    "url" => &mut payload.url,
                    "pin" => &mut payload.pin,
                    "code" => &mut payload.verify_code,
                    "notice" => &mut payload.notice,
                    // A blob's id means nothing to a receiver.
                    _ => continue,
                };
                *place = Some(display.value.as_str());
                expires_at = expires_at.or(display.expires_at);
            }
        }
        Step::Ask { questions, .. } => {
            fields.extend(questions.iter().map(|question| AuthField {
                kind: &question.kind,
                required: question.required,
                label: &question.title,
                placeholder: question.hint.as_deref(),
            }));
        }
        _ => {}
    }
    let data = AuthRequiredData {
        auth_status: flow.status().as_str(),
        runtime_status: runtime_status.as_str(),
        auth_payload: payload,
        auth_fields: fields,
        expires_at: expires_at.map(Timestamp::rfc3339),
        event: EventBlock::of("account_auth_status"),
    };
    host_event(stamp, "account.auth.required", None, &data)
}

/// The profile's fields stand inside `data.account`; `status_message` is the profile's `bio`.
pub fn auth_succeeded(stamp: Stamp<'_>, facts: AccountFacts<'_>, profile: &Profile) -> NewEvent {
    let data = AccountData {
        auth_status: AuthStatus::Authorized.as_str(),
        runtime_status: facts.runtime_status.as_str(),
        account: Some(AccountBlock {
            provider_account_ref: facts.provider_account_ref,
            display_name: profile.display_name.as_deref(),
            username: profile.username.as_deref(),
            phone: profile.phone.as_deref(),
            status_message: profile.bio.as_deref(),
        }),
        reason: None,
        event: EventBlock::of("account_auth_status"),
    };
    host_event(stamp, "account.auth.succeeded", None, &data)
}

/// `last_error`: a word for machines (`logged_out`, a failure's code).
pub fn auth_failed(
    stamp: Stamp<'_>,
    runtime_status: RuntimeStatus,
    last_error: Option<&str>,
) -> NewEvent {
    let data = AuthFailedData {
        auth_status: AuthStatus::Failed.as_str(),
        runtime_status: runtime_status.as_str(),
        last_error,
        event: EventBlock::of("account_auth_status"),
    };
    host_event(stamp, "account.auth.failed", None, &data)
}

/// A send that came to its end, or whose unknown end became known.
#[derive(Clone, Copy, Debug)]
pub struct Settled<'a> {
    pub id: SendId,
    pub conversation: &'a str,
    pub conversation_kind: &'a str,
    pub state: SendState,
    pub sent: Option<&'a SentMessage>,
    pub failure: Option<&'a Failure>,
    /// The token to reply to what was sent.
    pub reply_token: Option<&'a str>,
}

impl<'a> Settled<'a> {
    pub fn of(send: &'a Send, reply_token: Option<&'a str>) -> Self {
        Self {
            id: send.id,
            conversation: &send.outgoing.conversation,
            conversation_kind: &send.outgoing.conversation_kind,
            state: send.state,
            sent: send.sent.as_ref(),
            failure: send.failure.as_ref(),
            reply_token,
        }
    }
}

/// `message.sent`, `message.failed` or `message.unknown`, our own types, of one shape:
/// `{send_id, conversation{id,type}, message?{id,ids,sent_at,reply_token?}, state,
/// error?{code,message,channel_code?}, event{kind}, chat_id}`. `send_id` is the `msg_…` that the
/// client was given; `message.ids` are the channel's, the first stands for all and is
/// `message.id`. A later `message.sent` or `message.failed` with the same `send_id` corrects a
/// `message.unknown`.
pub fn send_settled(stamp: Stamp<'_>, settled: Settled<'_>) -> NewEvent {
    let (kind, word) = match settled.state {
        SendState::Sent => ("message.sent", "message_sent"),
        SendState::Failed => ("message.failed", "message_failed"),
        _ => ("message.unknown", "message_unknown"),
    };
    let conversation = settled
        .sent
        .and_then(|sent| sent.conversation.as_deref())
        .unwrap_or(settled.conversation);
    let data = SettledData {
        send_id: settled.id.to_string(),
        conversation: SettledConversation {
            id: conversation,
            kind: settled.conversation_kind,
        },
        message: settled.sent.map(|sent| SettledMessage {
            id: sent.messages.first().map(String::as_str),
            ids: &sent.messages,
            sent_at: sent.sent_at.rfc3339(),
            reply_token: settled.reply_token,
        }),
        state: settled.state.as_str(),
        error: settled.failure.map(ErrorData::of),
        event: EventBlock::of(word),
        chat_id: conversation,
    };
    host_event(stamp, kind, Some(conversation), &data)
}

/// Something that came from the channel was left out because working on it killed the provider
/// twice: `{subject, reason, event}`.
pub fn input_skipped(stamp: Stamp<'_>, subject: &str, reason: &str) -> NewEvent {
    let data = InputSkippedData {
        subject,
        reason,
        event: EventBlock::of("account_input_skipped"),
    };
    host_event(stamp, "account.input.skipped", None, &data)
}

/// `{endpoint{id}, state, previous, reason?, event}`.
pub fn endpoint_state_changed(
    stamp: Stamp<'_>,
    endpoint: &EndpointId,
    previous: EndpointState,
    state: EndpointState,
    reason: Option<&str>,
) -> NewEvent {
    let data = EndpointStateData {
        endpoint: EndpointOfEvent {
            id: endpoint.as_str(),
        },
        state,
        previous,
        reason,
        event: EventBlock::of("endpoint_state_changed"),
    };
    host_event(stamp, "endpoint.state.changed", None, &data)
}

fn host_event<D: Serialize>(
    stamp: Stamp<'_>,
    kind: &str,
    conversation: Option<&str>,
    data: &D,
) -> NewEvent {
    NewEvent {
        body: envelope(&stamp, kind, data, None),
        kind: kind.to_owned(),
        dedupe_key: None,
        conversation: conversation.map(str::to_owned),
        occurred_at: stamp.occurred_at,
        id: stamp.id,
        attachments: Vec::new(),
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct EventBlock<'a> {
    kind: &'a str,
}

impl<'a> EventBlock<'a> {
    fn of(kind: &'a str) -> Self {
        Self { kind }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct ErrorData<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_code: Option<&'a str>,
}

impl<'a> ErrorData<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            code: failure.code.as_str(),
            message: &failure.message,
            channel_code: failure.channel_code.as_deref(),
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventAccountData")]
struct AccountData<'a> {
    auth_status: &'a str,
    runtime_status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ErrorData<'a>>,
    event: EventBlock<'a>,
}

#[derive(Default, JsonSchema, Serialize)]
#[schemars(inline)]
struct AccountBlock<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_account_ref: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
}

impl<'a> AccountBlock<'a> {
    fn of_ref(provider_account_ref: &'a str) -> Self {
        Self {
            provider_account_ref: Some(provider_account_ref),
            ..Self::default()
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventAuthRequiredData")]
struct AuthRequiredData<'a> {
    auth_status: &'a str,
    runtime_status: &'a str,
    auth_payload: AuthPayload<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    auth_fields: Vec<AuthField<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    event: EventBlock<'a>,
}

#[derive(Default, JsonSchema, Serialize)]
#[schemars(inline)]
struct AuthPayload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct AuthField<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    required: bool,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    placeholder: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventAuthFailedData")]
struct AuthFailedData<'a> {
    auth_status: &'a str,
    runtime_status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a str>,
    event: EventBlock<'a>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventSettledData")]
struct SettledData<'a> {
    send_id: String,
    conversation: SettledConversation<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<SettledMessage<'a>>,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorData<'a>>,
    event: EventBlock<'a>,
    chat_id: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct SettledConversation<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct SettledMessage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    ids: &'a [String],
    sent_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_token: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventInputSkippedData")]
struct InputSkippedData<'a> {
    subject: &'a str,
    reason: &'a str,
    event: EventBlock<'a>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventEndpointStateData")]
struct EndpointStateData<'a> {
    endpoint: EndpointOfEvent<'a>,
    state: EndpointState,
    previous: EndpointState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    event: EventBlock<'a>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(inline)]
struct EndpointOfEvent<'a> {
    id: &'a str,
}

/// The schema of `data` in each event that the host itself makes.
pub fn event_schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
    let account = generator.subschema_for::<AccountData<'_>>();
    let settled = generator.subschema_for::<SettledData<'_>>();
    let required = generator.subschema_for::<AuthRequiredData<'_>>();
    let failed = generator.subschema_for::<AuthFailedData<'_>>();
    let endpoint = generator.subschema_for::<EndpointStateData<'_>>();
    let skipped = generator.subschema_for::<InputSkippedData<'_>>();
    vec![
        ("account.status.updated", account.clone()),
        ("account.started", account.clone()),
        ("account.auth.required", required),
        ("account.auth.succeeded", account),
        ("account.auth.failed", failed),
        ("message.sent", settled.clone()),
        ("message.failed", settled.clone()),
        ("message.unknown", settled),
        ("endpoint.state.changed", endpoint),
        ("account.input.skipped", skipped),
    ]
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
