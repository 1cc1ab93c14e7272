//! Sending, and what became of sends.

use super::super::Api;
use super::super::body::JsonBody;
use super::super::codes;
use super::super::envelope::{Answer, IDEMPOTENT_REPLAYED, PREFERENCE_APPLIED, Reply};
use super::super::error::{ApiError, Operation};
use super::super::in_flight;
use super::super::keys::Narrowed;
use super::super::prefer::{self, Preference};
use super::super::query::{PathText, Query};
use super::super::routes::Routes;
use super::message_request::SendRequest;
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
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

const SEND: Operation = Operation::SEND;
const KEY_LIFE_MS: u64 = 24 * 60 * 60 * 1000;

pub fn routes() -> Routes {
    Routes::new()
        .post("/v1/messages", send)
        .get("/v1/messages", list)
        .get("/v1/messages/{message_id}", read)
}

async fn send(
    State(api): State<Api>,
    caller: Narrowed,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Answer {
    let preference = Preference::of(&headers);
    let key = prefer::idempotency_key(&headers)?;
    let request = SendRequest::read(&body)?;
    if !caller.sees(&request.account_id) {
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
    request: SendRequest,
    idempotency: Option<Idempotency>,
    deadline: Instant,
) -> Result<Recorded, ApiError> {
    let workspace = caller.workspace.clone();
    let account = super::account(api, &SEND, &workspace, &request.account_id).await?;
    let info = api.control.learn_provider(&account.provider).await;
    let info = info.ok_or_else(|| {
        ApiError::new(
            codes::PROVIDER_ADAPTER_NOT_FOUND,
            format!(
                "provider `{}` is not installed on this host",
                account.provider
            ),
        )
    })?;
    let mut outgoing = request.outgoing(&account.id, &info, api.reply_tokens.as_ref())?;
    if let Content::Media { media, .. } = &mut outgoing.content {
        for medium in media {
            let MediumSource::Blob(id) = &medium.source else {
                continue;
            };
            let blob = super::media::for_send(api, caller, &account.id, id).await?;
            medium.size = Some(blob.size);
            medium.mime = medium.mime.take().or(blob.meta.mime);
            medium.filename = medium.filename.take().or(blob.meta.filename);
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

#[derive(Serialize)]
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
            SendState::parse(text).ok_or_else(|| {
                ApiError::field(
                    "state",
                    "must be one of recorded, dispatched, sent, failed, unknown",
                )
            })
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
