//! The event log as server-sent events. Ids are cursors, so that a client goes on where it was.

use super::super::Api;
use super::super::codes;
use super::super::cursor::Position;
use super::super::error::ApiError;
use super::super::keys::{self, Caller, Narrowed};
use super::super::log_reader::Filter;
use super::super::query::Query;
use super::events;
use crate::storage::StorageError;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use futures::StreamExt;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Events that are read at once; each batch is one chunk.
const BATCH: usize = 100;
/// Chunks that wait for the client.
const CHUNKS: usize = 4;

pub async fn stream(
    State(api): State<Api>,
    key: Narrowed,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, ApiError> {
    let last_event_id = headers
        .get("last-event-id")
        .map(|value| {
            value
                .to_str()
                .map_err(|_| ApiError::field("Last-Event-ID", "is not a cursor of this log"))
        })
        .transpose()?;
    let (position, filter) = events::begin(&api, &key, &query, last_event_id, "latest").await?;
    events::refuse_missed(&api, &position, &filter).await?;
    let permit = api.streams.clone().try_acquire_owned().map_err(|_| {
        ApiError::new(codes::TOO_MANY_STREAMS, "too many streams are open").retry_after(5)
    })?;
    let (chunks, receiver) = mpsc::channel(CHUNKS);
    tokio::spawn(async move {
        let _permit = permit;
        run(&api, &key, position, &filter, &chunks).await;
    });
    let body = ReceiverStream::new(receiver).map(Ok::<Bytes, Infallible>);
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// Ends when the client is gone or too slow, when its key is good no more, and when the host stops.
async fn run(
    api: &Api,
    key: &Narrowed,
    mut position: Position,
    filter: &Filter,
    chunks: &mpsc::Sender<Bytes>,
) {
    let mut stopping = api.stopping.clone();
    let patience = api.settings.stream_patience;
    let mut looked = Instant::now();
    // An id without data: a client that is cut off before its first event knows where it was.
    let mut chunk = b"retry: 1000\n".to_vec();
    push_id(&mut chunk, &position);
    chunk.push(b'\n');
    loop {
        let mut changes = api.reader.changes();
        let mut more = false;
        let read = async {
            let batch = api
                .reader
                .read(&key.workspace, &position, filter, BATCH)
                .await?;
            let missed = if batch.next == position {
                None
            } else {
                api.reader.missed(&position, filter).await?
            };
            Ok::<_, StorageError>((batch, missed))
        };
        match read.await {
            Ok((_, Some(_))) => {
                // The client comes again with its last id and is told.
                tracing::info!("a stream of events ends: what comes next is not kept any more");
                return;
            }
            Ok((batch, None)) => {
                for (partition, event) in batch.events {
                    position.set(partition, event.offset);
                    push_id(&mut chunk, &position);
                    push_field(&mut chunk, b"event", event.kind.as_bytes());
                    push_field(&mut chunk, b"data", &event.body);
                    chunk.push(b'\n');
                }
                position = batch.next;
                more = batch.more;
            }
            Err(error) => {
                tracing::warn!(%error, "a stream of events cannot read the log now");
                chunk.extend_from_slice(b": the database does not answer now\n\n");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        if !chunk.is_empty() {
            let bytes = Bytes::from(std::mem::take(&mut chunk));
            if chunks.send_timeout(bytes, patience).await.is_err() {
                return;
            }
        }
        if looked.elapsed() >= api.settings.heartbeat {
            looked = Instant::now();
            if !is_still_good(api, &key.caller).await {
                return;
            }
        }
        if more {
            continue;
        }
        let mut ended = false;
        tokio::select! {
            changed = changes.changed() => ended = changed.is_err(),
            _ = tokio::time::sleep(api.settings.heartbeat) => {
                chunk.extend_from_slice(b": heartbeat\n");
                push_id(&mut chunk, &position);
                chunk.push(b'\n');
            }
            _ = stopping.wait_for(|stopping| *stopping) => ended = true,
            _ = chunks.closed() => ended = true,
        }
        if ended {
            return;
        }
    }
}

/// Is the key that opened the stream still good? A database that does not answer says nothing
/// against it.
async fn is_still_good(api: &Api, caller: &Caller) -> bool {
    match keys::find(api, &caller.hash).await {
        Ok(Some(known)) => known.opens(&caller.hash),
        Ok(None) => false,
        Err(_) => true,
    }
}

fn push_id(chunk: &mut Vec<u8>, position: &Position) {
    push_field(chunk, b"id", position.encode().as_bytes());
}

/// One line per line of the value, as the format wants it.
fn push_field(chunk: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for line in value.split(|byte| matches!(byte, b'\n' | b'\r')) {
        chunk.extend_from_slice(name);
        chunk.extend_from_slice(b": ");
        chunk.extend_from_slice(line);
        chunk.push(b'\n');
    }
}
