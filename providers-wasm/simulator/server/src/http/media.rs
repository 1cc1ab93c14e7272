//! Media over HTTP, streamed.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use hyper::{Request, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};

use super::Failed;
use super::answer::{Body, json};
use crate::channel::Channel;
use crate::limits::MEDIA_BYTES;
use crate::media::{generated, not_kept, too_large};
use crate::model::Medium;
use crate::protocol::Fault;

const CHUNK: u64 = 64 * 1024;

pub(super) async fn upload(
    channel: &Channel,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failed> {
    let mime = request.headers().get(CONTENT_TYPE);
    let mime = mime.and_then(|mime| mime.to_str().ok());
    let mime = mime.unwrap_or("application/octet-stream").to_owned();
    let id = channel.medium_id();
    let kept = store(channel, &id, request.into_body()).await;
    let (path, size, sha256) = kept.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => too_large(),
        _ => not_kept(&error),
    })?;
    let medium = Medium {
        id,
        size,
        mime,
        filename: None,
        sha256,
    };
    channel.media.keep(medium.clone(), Some(path));
    Ok(json(&medium))
}

async fn store(
    channel: &Channel,
    id: &str,
    mut body: Incoming,
) -> io::Result<(PathBuf, u64, String)> {
    let path = channel.media.path(id)?;
    let mut file = File::create(&path).await?;
    let (mut size, mut digest) = (0, Sha256::new());
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        size += bytes.len() as u64;
        if size > MEDIA_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        digest.update(&bytes);
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    Ok((path, size, hex::encode(digest.finalize())))
}

pub(super) async fn download(
    channel: &Channel,
    id: &str,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Failed> {
    let kept = channel.media.get(id)?;
    let size = kept.medium.size;
    let range = request.headers().get(RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    let (start, end) = match range {
        Some(range) => part(range, size)
            .ok_or_else(|| Fault::new("invalid", "this range is not in the medium"))?,
        None => (0, size),
    };
    let body = match kept.file {
        Some(path) => stored(path, start, end).await,
        None => Ok(made_up(start, end)),
    };
    let body = body.map_err(|error| Fault::new("unavailable", error.to_string()))?;
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
    if let Ok(mime) = HeaderValue::from_str(&kept.medium.mime) {
        headers.insert(CONTENT_TYPE, mime);
    }
    if range.is_some() {
        let part = format!("bytes {start}-{}/{size}", end - 1);
        if let Ok(part) = HeaderValue::from_str(&part) {
            headers.insert(CONTENT_RANGE, part);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Start and end of `bytes=a-b`, `bytes=a-` or `bytes=-n`; one range only.
fn part(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (from, to) {
        ("", last) => (size.checked_sub(last.parse().ok()?)?, size),
        (from, "") => (from.parse().ok()?, size),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.checked_add(1)?),
    };
    (start < end && end <= size).then_some((start, end))
}

async fn stored(path: PathBuf, start: u64, end: u64) -> io::Result<Body> {
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::Start(start)).await?;
    let chunks = stream::try_unfold((file, end - start), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; left.min(CHUNK) as usize];
        file.read_exact(&mut chunk).await?;
        let left = left - chunk.len() as u64;
        Ok(Some((Frame::data(Bytes::from(chunk)), (file, left))))
    });
    Ok(StreamBody::new(chunks).boxed_unsync())
}

fn made_up(start: u64, end: u64) -> Body {
    let chunks = stream::unfold(start, move |at| async move {
        let length = (end - at).min(CHUNK);
        let chunk = Bytes::from(generated(at, length as usize));
        (length > 0).then(|| (Ok(Frame::data(chunk)), at + length))
    });
    StreamBody::new(chunks).boxed_unsync()
}
