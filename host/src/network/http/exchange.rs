//! One request and its answer. A kept connection may have been closed under us: what is known not
//! to have been sent goes over a new one, and so does what may be repeated.

use super::compose::{Composed, Piece};
use super::pool::{Connection, Dial, Pool};
use super::target::Target;
use crate::domain::error::{Failure, FailureCode};
use crate::runtime::port::http::{HttpResponse, ResponseBody};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

pub struct Limits {
    pub deadline: Instant,
    /// Of the answer's body.
    pub bytes: u64,
}

type Outgoing = Request<Full<Bytes>>;

/// The request as the client library takes it.
pub fn ready(composed: Composed) -> Result<Outgoing, Failure> {
    let mut request = Request::new(Full::new(whole(composed.body)?));
    *request.method_mut() = composed.method;
    *request.uri_mut() = Uri::from(composed.path);
    *request.headers_mut() = composed.headers;
    Ok(request)
}

fn whole(pieces: Vec<Piece>) -> Result<Bytes, Failure> {
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => parts.push(bytes),
            Piece::Blob(_) => return Err(super::no_media("a body from a blob")),
        }
    }
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    // A secret may be in one of them.
    let length = parts.iter().map(Bytes::len).sum();
    let mut whole = Zeroizing::new(Vec::with_capacity(length));
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    Ok(Bytes::from_owner(whole))
}

pub async fn exchange(
    pool: &Pool,
    dial: &Dial<'_>,
    request: &(dyn Fn() -> Result<Outgoing, Failure> + Sync),
    repeatable: bool,
    limits: Limits,
) -> Result<HttpResponse, Failure> {
    let answer = async {
        let (response, connection) = send(pool, dial, request, repeatable).await?;
        read(response, dial.target, limits.bytes)
            .await
            .inspect(|_| pool.keep(connection))
    };
    timeout_at(limits.deadline, answer)
        .await
        .unwrap_or_else(|_| {
            Err(unavailable(format!(
                "{} did not answer in time; it may have acted on the request",
                place(dial.target)
            )))
        })
}

async fn send(
    pool: &Pool,
    dial: &Dial<'_>,
    request: &(dyn Fn() -> Result<Outgoing, Failure> + Sync),
    repeatable: bool,
) -> Result<(Response<Incoming>, Connection), Failure> {
    // Whatever is wrong with it is said before anything is dialed.
    let mut ready = Some(request()?);
    while let Some(mut connection) = pool.take() {
        if connection.sender.ready().await.is_err() {
            continue;
        }
        let next = match ready.take() {
            Some(request) => request,
            None => request()?,
        };
        match connection.sender.try_send_request(next).await {
            Ok(response) => return Ok((response, connection)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => ready = Some(unsent),
                None if repeatable => {}
                None => return Err(broken(dial.target, true)),
            },
        }
    }
    let mut connection = dial.connect().await?;
    let next = match ready.take() {
        Some(request) => request,
        None => request()?,
    };
    match connection.sender.try_send_request(next).await {
        Ok(response) => Ok((response, connection)),
        Err(mut error) => Err(broken(dial.target, error.take_message().is_none())),
    }
}

async fn read(
    response: Response<Incoming>,
    target: &Target,
    most: u64,
) -> Result<HttpResponse, Failure> {
    let too_long = || {
        Failure::new(
            FailureCode::QuotaExceeded,
            format!(
                "the answer of {} is longer than {most} bytes",
                place(target)
            ),
        )
    };
    let (head, mut body) = response.into_parts();
    let announced = hyper::body::Body::size_hint(&body).lower();
    if announced > most {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(announced.min(64 * 1024) as usize);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| unavailable(format!("the answer of {} broke off", place(target))))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if (bytes.len() + data.len()) as u64 > most {
            return Err(too_long());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(HttpResponse {
        status: head.status.as_u16(),
        headers: pairs(&head.headers),
        body: ResponseBody::Bytes(bytes),
    })
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let bytes = value.as_bytes();
            let value = match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => bytes.iter().copied().map(char::from).collect(),
            };
            (name.as_str().to_owned(), value)
        })
        .collect()
}

/// `maybe`: the other side may have acted on it.
pub fn broken(target: &Target, maybe: bool) -> Failure {
    let place = place(target);
    unavailable(if maybe {
        format!("the connection to {place} broke; it may have acted on the request")
    } else {
        format!("the connection to {place} broke before the request was sent")
    })
}

fn place(target: &Target) -> String {
    format!("{}:{}", target.host, target.port)
}

fn unavailable(message: String) -> Failure {
    Failure::new(FailureCode::Unavailable, message)
}
