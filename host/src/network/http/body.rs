//! Bodies that leave: bytes of this host's memory, and media that come out of the store piece by
//! piece while they leave.

use super::compose::{Composed, Piece};
use crate::domain::error::{Failure, FailureCode};
use crate::domain::media::{Blob, BlobError, BlobId};
use crate::runtime::port::Blobs;
use crate::runtime::port::http::{HttpBody, OutgoingRequest, PartBody};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use std::io;
use std::sync::Arc;
use zeroize::Zeroizing;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;
pub type Outgoing = Request<Body>;

/// The blobs that a request's body names, which its account has to have.
pub async fn named(outgoing: &OutgoingRequest) -> Result<Vec<Blob>, Failure> {
    let mut found = Vec::new();
    for id in ids(&outgoing.request.body) {
        let id = BlobId::from_text(id);
        let blob = match outgoing.blobs.stat(&outgoing.workspace, &id).await {
            Ok(blob) if blob.owner.lets(&outgoing.account) => blob,
            Ok(_) | Err(BlobError::NotFound) => return Err(no_blob()),
            Err(error) => return Err(error.into()),
        };
        found.push(blob);
    }
    Ok(found)
}

fn ids(body: &HttpBody) -> Vec<&str> {
    match body {
        HttpBody::Empty | HttpBody::Bytes(_) => Vec::new(),
        HttpBody::Blob(id) => vec![id],
        HttpBody::Multipart(parts) => parts
            .iter()
            .filter_map(|part| match &part.body {
                PartBody::Bytes(_) => None,
                PartBody::Blob(id) => Some(id.as_str()),
            })
            .collect(),
    }
}

pub fn no_blob() -> Failure {
    Failure::new(
        FailureCode::Invalid,
        "the request's body names a blob that the account has not",
    )
}

/// The request as the client library takes it.
pub fn ready(composed: Composed, blobs: &Arc<dyn Blobs>) -> Outgoing {
    let Composed {
        method,
        path,
        mut headers,
        body,
    } = composed;
    let streamed = body.iter().any(|piece| matches!(piece, Piece::Blob(_)));
    let body = if streamed {
        // The library would send it without a length, which many servers refuse.
        let length: u64 = body.iter().map(Piece::length).sum();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        flowing(body, blobs.clone())
    } else {
        let full = Full::new(whole(body));
        full.map_err(|never| match never {}).boxed_unsync()
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = headers;
    request
}

fn flowing(pieces: Vec<Piece>, blobs: Arc<dyn Blobs>) -> Body {
    let frames = stream::iter(pieces)
        .flat_map(move |piece| match piece {
            Piece::Bytes(bytes) => stream::once(async { Ok(bytes) }).boxed(),
            Piece::Blob(blob) => {
                let blobs = blobs.clone();
                let open = async move {
                    let read = blobs.read(&blob, 0..blob.size).await;
                    read.map_err(io::Error::other)
                };
                stream::once(open).try_flatten().boxed()
            }
        })
        .map_ok(Frame::data);
    StreamBody::new(frames).boxed_unsync()
}

fn whole(pieces: Vec<Piece>) -> Bytes {
    let mut parts = pieces
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Blob(_) => None,
        })
        .collect::<Vec<_>>();
    if parts.len() == 1 {
        return parts.remove(0);
    }
    // A secret may be in one of them.
    let length = parts.iter().map(Bytes::len).sum();
    let mut whole = Zeroizing::new(Vec::with_capacity(length));
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    Bytes::from_owner(whole)
}
