//! Sending, and what became of sends.

use super::super::Api;
use super::super::body::{JsonBody, Read};
use super::super::capable::Capable;
use super::super::codes;
use super::super::envelope::{Answer, IDEMPOTENT_REPLAYED, PREFERENCE_APPLIED, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::{self, Fields};
use super::super::in_flight;
use super::super::keys::Narrowed;
use super::super::openapi::Doc;
use super::super::prefer::{self, Preference};
use super::super::query::{PathText, Query};
use super::super::routes::Routes;
use super::forward_request::MessageForwardRequest;
use super::message_request::SendRequest;
use super::message_schema::SendMessageRequest;
use super::message_view::{self, MessageView, SendResult};
use crate::domain::account::Account;
use crate::domain::send::{Content, Idempotency, MediumSource, Send, SendState};
use crate::domain::{AccountId, SendId, Timestamp, WorkspaceId};
use crate::storage::{Conflict, StorageError};
use crate::supervisor::control::NewSend;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

const SEND: Operation = Operation::SEND;
const KEY_LIFE_MS: u64 = 24 * 60 * 60 * 1000;

pub fn routes() -> Routes {
    Routes::new()
        .post("/v1/messages", send)
        .doc(send_doc())
        .post("/v1/messages/forward", forward)
        .doc(
            send_doc()
                .renamed("forwardMessage")
                .body::<MessageForwardRequest>()
                .fails([codes::NOT_FOUND]),
        )
        .get("/v1/messages", list)
        .doc(
            Doc::new("listMessages", "List sends, newest first")
                .query(
                    "state",
                    "Only those in this state.",
                    json!({"type": "string", "enum": SendState::NAMES}),
                )
                .query(
                    "account_id",
                    "Only those of this account.",
                    json!({"type": "string"}),
                )
                .query(
                    "cursor",
                    "A `next_cursor` of this list.",
                    json!({"type": "string"}),
                )
                .query(
                    "limit",
                    "What is above 200 counts as 200.",
                    json!({"type": "integer", "minimum": 1, "default": 50}),
                )
                .ok::<MessagePage>(),
        )
        .get("/v1/messages/{message_id}", read)
        .doc(
            Doc::new("getMessage", "Look up what became of a send")
                .query(
                    "account_id",
                    "Required with the channel's id of a message.",
                    json!({"type": "string"}),
                )
                .ok::<MessageView>(),
        )
        .about("Messages", "Sending, and what became of sends.")
}

fn send_doc() -> Doc {
    Doc::new("sendMessage", "Send a message")
        .more(
            "The send is durable before anything leaves the host; then the request waits for the \
             channel's own message id. **504 `send_outcome_unknown`** means that the channel may have \
             sent it: do not repeat it blindly.",
        )
        .header(
            "Idempotency-Key",
            "A repeat with this key and the same body sends nothing and answers the send's present \
             state. A quoted string (`\"order-42\"`) or the bare characters.",
            json!({"type": "string", "minLength": 1, "maxLength": 255}),
        )
        .header(
            "Prefer",
            "`wait=N` (seconds, 0 to 60), `respond-async` (RFC 7240). What is unknown is ignored.",
            json!({"type": "string", "examples": ["wait=30", "respond-async"]}),
        )
        .body::<SendMessageRequest>()
        .ok::<SendResult>()
        .with_headers(&["Idempotent-Replayed", "Preference-Applied"])
        .answers::<SendResult>(202)
        .with_headers(&["Idempotent-Replayed", "Preference-Applied"])
        .fails(SEND.acts())
        .fails([
            codes::INVALID_CONVERSATION_TYPE,
            codes::UNSUPPORTED_CONVERSATION_TYPE,
            codes::UNSUPPORTED_MESSAGE_TYPE,
            codes::INVALID_REPLY_TOKEN,
            codes::IDEMPOTENCY_IN_FLIGHT,
            codes::IDEMPOTENCY_KEY_REUSED,
            codes::SEND_OUTCOME_UNKNOWN,
        ])
}

/// What is to be sent.
enum Requested {
    Message(Box<SendRequest>),
    Forward(Box<MessageForwardRequest>),
}

impl Requested {
    fn account_id(&self) -> &str {
        match self {
            Self::Message(request) => &request.account_id,
            Self::Forward(request) => &request.target.account_id,
        }
    }
}

async fn send(
    State(api): State<Api>,
    caller: Narrowed,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Answer {
    let request = Requested::Message(Box::new(SendRequest::read(&body)?));
    take(api, caller, headers, body, request).await
}

async fn forward(
    State(api): State<Api>,
    caller: Narrowed,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Answer {
    let request = MessageForwardRequest::read(&Fields::top(&body))?;
    take(
        api,
        caller,
        headers,
        body,
        Requested::Forward(Box::new(request)),
    )
    .await
}

async fn take(
    api: Api,
    caller: Narrowed,
    headers: HeaderMap,
    body: Map<String, Value>,
    request: Requested,
) -> Answer {
    let preference = Preference::of(&headers);
    let key = prefer::idempotency_key(&headers)?;
    if !caller.sees(request.account_id()) {
        return Err(SEND.missing());
    }
    let workspace = caller.workspace.clone();
    let deadline = Instant::now() + preference.wait;

    let Some(key) = key else {
        let recorded = record(&api, &caller, request, None, deadline).await?;
        return answer(&api, recorded, &preference).await;
    };
    let fingerprint = fingerprint(&body);
    let _claim = api
        .in_flight
        .claim(&workspace, &key, fingerprint, deadline)
        .await?;
    // A repeat shows its send even where the account or the provider would refuse it by now.
    // Looked at before the send: while the database refuses, one that is in it may be one that its
    // client was refused, and will be taken back.
    let trouble = (api.trouble)();
    let earlier = api
        .store
        .idempotent(&workspace, &key)
        .await
        .map_err(|error| SEND.storage(error))?;
    if let (Some(trouble), Some((send, _))) = (trouble, &earlier)
        && send.state == SendState::Recorded
    {
        return Err(SEND.storage(StorageError::Unavailable(trouble)));
    }
    let recorded = match earlier {
        Some((_, other)) if other != fingerprint => return Err(in_flight::reused()),
        Some((send, _)) => Recorded {
            send: await_settled(&api, &workspace, send, deadline).await?,
            repeated: true,
            account: None,
        },
        None => {
            let idempotency = Idempotency {
                key,
                fingerprint,
                expires_at: Timestamp::now().plus_ms(KEY_LIFE_MS),
            };
            record(&api, &caller, request, Some(idempotency), deadline).await?
        }
    };
    answer(&api, recorded, &preference).await
}

/// What the answer tells of.
struct Recorded {
    send: Send,
    repeated: bool,
    /// None: not read yet.
    account: Option<Account>,
}

/// Checks the request against account and provider and hands it over. Nothing is kept of what is
/// refused here.
async fn record(
    api: &Api,
    caller: &Narrowed,
    request: Requested,
    idempotency: Option<Idempotency>,
    deadline: Instant,
) -> Result<Recorded, ApiError> {
    let workspace = caller.workspace.clone();
    let account = super::account(api, &SEND, &workspace, request.account_id()).await?;
    let info = super::subject::provider(api, &account).await?;
    let mut outgoing = match request {
        Requested::Message(request) => {
            request.outgoing(&account.id, &info, api.reply_tokens.as_ref())?
        }
        Requested::Forward(request) => request.outgoing(api, &workspace, &account, &info).await?,
    };
    if let Content::Media { media, .. } = &mut outgoing.content {
        for medium in media {
            let MediumSource::Blob(id) = &medium.source else {
                continue;
            };
            let blob = super::media::for_send(api, caller, &account.id, id).await?;
            medium.size = Some(blob.size);
            medium.mime = medium.mime.take().or(blob.meta.mime);
            medium.filename = medium.filename.take().or(blob.meta.filename);
            Capable::of(&info).medium(
                medium.kind.feature(),
                "message.file_key",
                blob.size,
                medium.mime.as_deref(),
            )?;
        }
    }
    let new = NewSend {
        workspace,
        account: account.id.clone(),
        outgoing,
        idempotency,
    };
    let answer = api
        .control
        .send(new, left(deadline))
        .await
        .map_err(|refusal| SEND.refusal(refusal))?;
    Ok(Recorded {
        send: answer.send,
        repeated: answer.repeated,
        account: Some(account),
    })
}

async fn await_settled(
    api: &Api,
    workspace: &WorkspaceId,
    send: Send,
    deadline: Instant,
) -> Result<Send, ApiError> {
    if send.state.is_settled() {
        return Ok(send);
    }
    let settled = api
        .control
        .await_settled(workspace, &send.id, left(deadline))
        .await
        .map_err(|error| SEND.storage(error))?;
    Ok(settled.unwrap_or(send))
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

async fn answer(api: &Api, recorded: Recorded, preference: &Preference) -> Answer {
    let Recorded {
        send,
        repeated,
        account,
    } = recorded;
    // The send is durable: a token that cannot be made now is no reason to say it failed.
    let token = message_view::reply_token(api, &send, account)
        .await
        .unwrap_or(None);
    let result = SendResult::of(&send, token).map_err(|mut error| {
        error.replayed = repeated;
        error
    })?;
    let status = if preference.respond_async && !send.state.is_settled() {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let mut reply = Reply::new(status, &result)?;
    if repeated {
        reply = reply.header(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(value) = preference
        .applied
        .as_deref()
        .and_then(|applied| HeaderValue::from_str(applied).ok())
    {
        reply = reply.header(PREFERENCE_APPLIED, value);
    }
    Ok(reply)
}

/// SHA-256 of the body with its keys sorted and without white space.
fn fingerprint(body: &Map<String, Value>) -> [u8; 32] {
    // The map is a sorted one, all the way down.
    Sha256::digest(Value::Object(body.clone()).to_string().as_bytes()).into()
}

async fn read(
    State(api): State<Api>,
    key: Narrowed,
    PathText(id): PathText,
    query: Query,
) -> Answer {
    let workspace = &key.workspace;
    let found = match (SendId::from_public(&id), query.text("account_id")) {
        (Some(id), _) => api.store.send(workspace, &id).await,
        (None, Some(account)) => {
            let account = AccountId::from_text(account);
            api.store.send_by_message(workspace, &account, &id).await
        }
        (None, None) => {
            return Err(ApiError::field(
                "account_id",
                "is required in the query unless the id is one of ours (msg_…)",
            ));
        }
    };
    let send = found
        .map_err(|error| Operation::OWN.storage(error))?
        .filter(|send| key.sees(send.account.as_str()))
        .ok_or_else(|| ApiError::new(codes::NOT_FOUND, "message_id: there is no such message"))?;
    Reply::ok(&MessageView::new(&send))
}

#[derive(JsonSchema, Serialize)]
struct MessagePage {
    items: Vec<MessageView>,
    has_more: bool,
    next_cursor: String,
}

async fn list(State(api): State<Api>, key: Narrowed, query: Query) -> Answer {
    let workspace = &key.workspace;
    let state = query
        .text("state")
        .map(|text| {
            SendState::parse(text)
                .ok_or_else(|| ApiError::field("state", fields::one_of(&SendState::NAMES)))
        })
        .transpose()?;
    let limit = query.limit(50, 200)?;
    let cursor = query
        .text("cursor")
        .map(|text| open_cursor(text).ok_or_else(foreign_cursor))
        .transpose()?;
    let account = match query.text("account_id") {
        Some(id) if !key.sees(id) => return Err(Operation::OWN.missing()),
        Some(id) => Some(
            super::account(&api, &Operation::OWN, workspace, id)
                .await?
                .id,
        ),
        None => key.account.clone(),
    };
    let page = api
        .store
        .sends(workspace, account.as_ref(), state, cursor.as_deref(), limit)
        .await
        .map_err(|error| match error {
            StorageError::Conflict(Conflict::NotFound) => foreign_cursor(),
            other => Operation::OWN.storage(other),
        })?;
    Reply::ok(&MessagePage {
        items: page.items.iter().map(MessageView::new).collect(),
        has_more: page.next.is_some(),
        next_cursor: page.next.map(|next| seal_cursor(&next)).unwrap_or_default(),
    })
}

fn foreign_cursor() -> ApiError {
    ApiError::field("cursor", "is not a next_cursor of this list")
}

/// Version and storage's own position, base64url.
fn seal_cursor(position: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("1{position}"))
}

fn open_cursor(text: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    text.strip_prefix('1').map(str::to_owned)
}
