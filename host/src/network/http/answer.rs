//! Answers that come in: a bounded number of bytes into memory, or a medium into the store.

use super::super::fetch::{filename_of, mime_of};
use super::exchange::{place, unavailable};
use super::target::Target;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::header_text;
use crate::domain::media::{BlobError, BlobOwner};
use crate::runtime::port::http::{HttpResponse, ResponseBody};
use crate::runtime::port::{Blobs, NewBlob};
use futures::TryStreamExt as _;
use http::{HeaderMap, Response};
use http_body_util::{BodyDataStream, BodyExt as _};
use hyper::body::Incoming;
use std::io;

/// Of an answer that stays in memory, where its request names no limit.
const DEFAULT_BYTES: u64 = 1 << 20;
/// Of one that its request wants in the store and that is no success.
const REFUSAL_BYTES: u64 = 1 << 20;

/// Where an answer goes, and how long it may be.
pub struct Wanted<'w> {
    /// None: what holds for its place.
    pub max_bytes: Option<u64>,
    /// A success goes there.
    pub store: Option<(&'w dyn Blobs, &'w BlobOwner)>,
}

pub async fn read(
    response: Response<Incoming>,
    target: &Target,
    wanted: &Wanted<'_>,
) -> Result<HttpResponse, Failure> {
    let (head, body) = response.into_parts();
    let body = match wanted.store {
        Some((blobs, owner)) if head.status.is_success() => {
            let max = wanted.max_bytes;
            store(&head.headers, body, target, blobs, owner, max).await?
        }
        Some(_) => bytes(body, target, REFUSAL_BYTES).await?,
        None => {
            let max = wanted.max_bytes.unwrap_or(DEFAULT_BYTES);
            bytes(body, target, max).await?
        }
    };
    Ok(HttpResponse {
        status: head.status.as_u16(),
        headers: pairs(&head.headers),
        body,
    })
}

async fn bytes(mut body: Incoming, target: &Target, most: u64) -> Result<ResponseBody, Failure> {
    let announced = hyper::body::Body::size_hint(&body).lower();
    if announced > most {
        return Err(too_long(target, most));
    }
    let mut bytes = Vec::with_capacity(announced.min(64 * 1024) as usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| cut(target))?.into_data() else {
            continue;
        };
        if (bytes.len() + data.len()) as u64 > most {
            return Err(too_long(target, most));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(ResponseBody::Bytes(bytes))
}

async fn store(
    headers: &HeaderMap,
    body: Incoming,
    target: &Target,
    blobs: &dyn Blobs,
    owner: &BlobOwner,
    max_bytes: Option<u64>,
) -> Result<ResponseBody, Failure> {
    let announced = hyper::body::Body::size_hint(&body).lower();
    if let Some(most) = max_bytes
        && announced > most
    {
        return Err(too_long(target, most));
    }
    let new = NewBlob {
        owner: owner.clone(),
        mime: mime_of(headers),
        filename: filename_of(headers),
        max_bytes,
    };
    let stream = BodyDataStream::new(body).map_err(io::Error::other);
    match blobs.make(new, Box::pin(stream)).await {
        Ok(blob) => Ok(ResponseBody::Blob(blob.id.to_string())),
        Err(BlobError::TooLarge(most)) => Err(too_long(target, most)),
        Err(BlobError::Cut(_)) => Err(cut(target)),
        Err(error) => Err(error.into()),
    }
}

fn too_long(target: &Target, most: u64) -> Failure {
    Failure::new(
        FailureCode::QuotaExceeded,
        format!(
            "the answer of {} is longer than {most} bytes (`max-bytes` of the request, or of the \
             media store)",
            place(target)
        ),
    )
}

fn cut(target: &Target) -> Failure {
    unavailable(format!("the answer of {} broke off", place(target)))
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), header_text(value.as_bytes())))
        .collect()
}
