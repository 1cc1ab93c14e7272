//! Media over HTTP, streamed: what is uploaded lies in a file, and what control makes up is never
//! anywhere as a whole.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use hyper::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};

use super::Failed;
use super::answer::{Body, json};
use crate::channel::Channel;
use crate::limits::MEDIA_BYTES;
use crate::protocol::Fault;

const CHUNK: u64 = 64 * 1024;

/// What the channel has of a medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Medium {
    pub id: String,
    pub size: u64,
    pub mime: String,
    /// In hexadecimal; empty for what control made up.
    pub sha256: String,
}

#[derive(Default)]
pub(crate) struct Media {
    directory: OnceLock<TempDir>,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Clone)]
struct Kept {
    medium: Medium,
    /// None: made up.
    file: Option<PathBuf>,
}

impl Media {
    fn directory(&self) -> io::Result<PathBuf> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory.path().to_owned());
        }
        let made = TempDir::new()?;
        Ok(self.directory.get_or_init(|| made).path().to_owned())
    }

    fn keep(&self, medium: Medium, file: Option<PathBuf>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(medium.id.clone(), Kept { medium, file });
    }

    fn get(&self, id: &str) -> Option<Kept> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(id).cloned()
    }

    pub(crate) fn medium(&self, id: &str) -> Option<Medium> {
        self.get(id).map(|kept| kept.medium)
    }

    /// So many bytes, which are [`generated`] as they are asked for.
    pub(crate) fn make_up(&self, id: String, size: u64, mime: String) -> Medium {
        let medium = Medium {
            id,
            size,
            mime,
            sha256: String::new(),
        };
        self.keep(medium.clone(), None);
        medium
    }
}

/// What stands at this offset of a medium that control made up.
pub fn generated(offset: u64, length: usize) -> Vec<u8> {
    (offset..)
        .take(length)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 9)) as u8)
        .collect()
}

pub(super) async fn upload(
    channel: &Channel,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failed> {
    let mime = request.headers().get(CONTENT_TYPE);
    let mime = mime.and_then(|mime| mime.to_str().ok());
    let mime = mime.unwrap_or("application/octet-stream").to_owned();
    let id = format!("f-{}-{}", channel.epoch, channel.next_arrival());
    let kept = store(channel, &id, request.into_body()).await;
    let (path, size, sha256) = kept.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => Fault::new(
            "invalid",
            format!("a medium has at most {MEDIA_BYTES} bytes"),
        ),
        _ => Fault::new("unavailable", format!("the medium was not kept: {error}")),
    })?;
    let medium = Medium {
        id,
        size,
        mime,
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
    let path = channel.media.directory()?.join(id);
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
    let kept = channel.media.get(id);
    let kept = kept.ok_or_else(|| Fault::new("not-found", "there is no such medium"))?;
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
