//! The HTTP API: sends, requests and media, for accounts whose events come by webhook. The token
//! stands in a header (`/v1/…` with `Authorization: Bearer`) or in the path (`/bot<token>/…`).

mod answer;
mod media;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::channel::Channel;
use crate::protocol::{Fault, MAX_FRAME_BYTES, Outgoing};
use crate::request::Ask;
use crate::requests::{self, RequestFault};
use crate::sends::{self, Taken};
use crate::user::User;
use crate::webhook::REQUEST_ID_HEADER;
use answer::{Body, done, json, refusal};

/// The connection ends instead of an answer.
#[derive(Debug)]
pub(crate) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the connection ends instead of an answer")
    }
}

impl std::error::Error for Dropped {}

enum Failed {
    Fault(Fault),
    Dropped,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(crate) async fn accept(
    listener: TcpListener,
    channel: Arc<Channel>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let channel = Arc::clone(&channel);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&channel), request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(error = %error, "an HTTP connection ended");
            }
        });
    }
}

async fn answer(
    channel: Arc<Channel>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    match route(&channel, request).await {
        Ok(response) => Ok(response),
        Err(Failed::Fault(fault)) => Ok(refusal(&fault)),
        Err(Failed::Dropped) => Err(Dropped),
    }
}

async fn route(
    channel: &Arc<Channel>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failed> {
    let path = request.uri().path().to_owned();
    let mut segments = path.trim_start_matches('/').split('/');
    let token = match segments.next() {
        Some("v1") => request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer ")),
        Some(first) => first.strip_prefix("bot"),
        None => None,
    };
    let user = token
        .and_then(|token| channel.user_of_token(token))
        .ok_or_else(|| Fault::new("unauthenticated", "the token is not known"))?;
    let rest: Vec<&str> = segments.collect();
    match (request.method(), rest.as_slice()) {
        (&Method::GET, ["me"]) => Ok(json(&user.profile())),
        (&Method::POST, ["messages"]) => send(channel, &user, request).await,
        (&Method::POST, ["requests"]) => ask(channel, &user, request).await,
        (&Method::PUT, ["webhook"]) => set_webhook(channel, &user, request).await,
        (&Method::POST, ["media"]) => media::upload(channel, request).await,
        (&Method::GET, ["media", id]) => media::download(channel, id, &request).await,
        _ => Err(Fault::new("not-found", "there is nothing here").into()),
    }
}

fn request_id(request: &Request<Incoming>) -> Result<String, Fault> {
    let id = request.headers().get(REQUEST_ID_HEADER);
    id.and_then(|id| id.to_str().ok())
        .filter(|id| (1..=128).contains(&id.len()))
        .map(str::to_owned)
        .ok_or_else(|| {
            let message =
                format!("`{REQUEST_ID_HEADER}` names the request, in 1 to 128 characters");
            Fault::new("invalid", message)
        })
}

async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Fault> {
    let body = Limited::new(request.into_body(), MAX_FRAME_BYTES as usize);
    let bytes: Bytes = body
        .collect()
        .await
        .map_err(|error| Fault::new("invalid", format!("the body cannot be read: {error}")))?
        .to_bytes();
    serde_json::from_slice(&bytes)
        .map_err(|error| Fault::new("invalid", format!("the body does not fit: {error}")))
}

/// A body is an [`Outgoing`] without its token, which the header has.
async fn send(
    channel: &Channel,
    user: &User,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failed> {
    let token = request_id(&request)?;
    let sent = Outgoing {
        token,
        ..read(request).await?
    };
    let (taken, delay) = {
        let mut state = user.state();
        let delay = channel.behaviour_of(&state).answer_delay_ms;
        let taken = sends::send(channel, user, &mut state, sent, 0);
        state.notify();
        (taken, delay)
    };
    pause(delay).await;
    match taken? {
        Taken::Answer(accepted) => Ok(json(&accepted)),
        Taken::Drop => Err(Failed::Dropped),
        Taken::NoAnswer => std::future::pending().await,
    }
}

async fn ask(
    channel: &Channel,
    user: &User,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failed> {
    let id = request_id(&request)?;
    let ask: Ask = read(request).await?;
    let (outcome, fault, behaviour) = {
        let mut state = user.state();
        let behaviour = channel.behaviour_of(&state);
        let (outcome, fault) = requests::take(channel, user, &mut state, &id, ask);
        state.notify();
        (outcome, fault, behaviour)
    };
    pause(behaviour.answer_delay_ms).await;
    match fault {
        Some(RequestFault::Drop {}) => return Err(Failed::Dropped),
        Some(RequestFault::Late(ms)) => pause(ms).await,
        Some(RequestFault::NoAnswer {}) => std::future::pending().await,
        _ if behaviour.never_answer => std::future::pending().await,
        _ => {}
    }
    Ok(json(&outcome?))
}

async fn pause(ms: u32) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(u64::from(ms))).await;
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    /// None: no more webhooks.
    url: Option<String>,
    /// What they are signed with.
    #[serde(default)]
    secret: String,
}

async fn set_webhook(
    channel: &Arc<Channel>,
    user: &User,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failed> {
    let Webhook { url, secret } = read(request).await?;
    channel.set_hook(Some(&user.name), url, secret.into_bytes())?;
    Ok(done())
}
