//! Media that clients upload, look at, download and remove.

use super::super::Api;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::keys::Narrowed;
use super::super::media_content::serve;
use super::super::openapi::Doc;
use super::super::query::{PathText, Query};
use super::super::routes::Routes;
use crate::domain::Timestamp;
use crate::domain::media::{Blob, BlobError, BlobId, BlobOwner, is_mime};
use crate::media::{ByteStream, NewBlob};
use crate::storage::blobs::Removal;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::try_unfold;
use futures::{Stream, StreamExt as _};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

const OWN: Operation = Operation::OWN;
/// A body that stands still for so long has ended.
const IDLE: Duration = Duration::from_secs(30);
const NAME: usize = 255;
/// Fields of a form before the file.
const FIELDS: usize = 16;

pub fn routes() -> Routes {
    Routes::new()
        .post("/v1/media", upload)
        .doc(
            Doc::new("uploadMedia", "Upload a file for a message")
                .more(
                    "The body as it is, its type in `Content-Type`; or the field `file` of a form \
                     (`multipart/form-data`). It is streamed. One that ends early leaves nothing.",
                )
                .query(
                    "account_id",
                    "For sends of this account only.",
                    json!({"type": "string"}),
                )
                .query(
                    "file_name",
                    "What recipients see.",
                    json!({"type": "string", "maxLength": NAME}),
                )
                .bytes("application/octet-stream")
                .created::<MediaView>()
                .fails([codes::NOT_FOUND, codes::UNSUPPORTED_MEDIA_TYPE]),
        )
        .get("/v1/media/{media_id}", read)
        .doc(
            Doc::new("getMedia", "Read what is known of a medium")
                .ok::<MediaView>()
                .fails([codes::NOT_FOUND]),
        )
        .get("/v1/media/{media_id}/content", content)
        .doc(served(Doc::new("downloadMedia", "Download a medium")))
        .delete("/v1/media/{media_id}", remove)
        .doc(
            Doc::new("deleteMedia", "Remove a medium")
                .more("Refused while a send that is not settled or an event refers to it.")
                .no_content()
                .fails([codes::NOT_FOUND, codes::CONFLICT]),
        )
        .about("Media", "Files of messages, in and out.")
}

/// An operation that `serve` answers.
pub fn served(doc: Doc) -> Doc {
    doc.more("Takes `Range` (one range of bytes), `If-Range` and `If-None-Match`.")
        .raw(&["*/*"])
        .with_headers(&["ETag"])
        .raw_with(206, &["*/*"])
        .with_headers(&["ETag"])
        .bare(304)
        .with_headers(&["ETag"])
        .fails([codes::NOT_FOUND, codes::RANGE_NOT_SATISFIABLE])
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Media")]
struct MediaView {
    id: String,
    /// What `message.file_key` takes: the id.
    file_key: String,
    size: u64,
    mime_type: String,
    /// As the first bytes look; null where they look like nothing known.
    detected_mime_type: Option<String>,
    file_name: Option<String>,
    /// Null until the host has counted it, which it has of all that clients upload.
    sha256: Option<String>,
    account_id: Option<String>,
    created_at: String,
    /// Kept at least until then, and longer while a send or an event refers to it.
    kept_until: String,
}

impl MediaView {
    fn of(blob: &Blob) -> Self {
        Self {
            id: blob.id.to_string(),
            file_key: blob.id.to_string(),
            size: blob.size,
            mime_type: mime_of(blob).to_owned(),
            detected_mime_type: blob.meta.sniffed.clone(),
            file_name: blob.meta.filename.clone(),
            sha256: blob.meta.sha256.clone(),
            account_id: blob.owner.account.as_ref().map(ToString::to_string),
            created_at: blob.created_at.rfc3339(),
            kept_until: blob.keep_until.rfc3339(),
        }
    }
}

pub fn mime_of(blob: &Blob) -> &str {
    let mime = blob.meta.mime.as_deref();
    mime.unwrap_or("application/octet-stream")
}

/// The body as it is, or the file of a form (`multipart/form-data`, field `file`).
async fn upload(
    State(api): State<Api>,
    caller: Narrowed,
    query: Query,
    request: Request,
) -> Answer {
    let account = match query.text("account_id") {
        Some(id) if !caller.sees(id) => return Err(OWN.missing()),
        Some(id) => Some(super::account(&api, &OWN, &caller.workspace, id).await?.id),
        None => caller.account.clone(),
    };
    let filename = query.text("file_name").map(file_name).transpose()?;
    let (kind, length) = (
        content_type(request.headers()),
        announced(request.headers()),
    );
    if length.is_some_and(|length| length > api.settings.media_bytes) {
        return Err(too_large(api.settings.media_bytes));
    }
    let owner = BlobOwner {
        workspace: caller.workspace,
        account,
    };
    let new = NewBlob {
        owner,
        mime: kind.clone().filter(|kind| is_mime(kind)),
        filename,
        max_bytes: None,
    };
    let (new, bytes) = if kind.as_deref() == Some("multipart/form-data") {
        form(request, new).await?
    } else {
        let body = request.into_body();
        (new, patient(Box::pin(body.into_data_stream())))
    };
    let blob = api
        .blobs
        .make(new, bytes)
        .await
        .map_err(|error| of_blob(&error))?;
    Reply::created(&MediaView::of(&blob))
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next()?.trim().to_ascii_lowercase())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn file_name(text: &str) -> Result<String, ApiError> {
    let wrong = |character: char| character.is_control() || matches!(character, '/' | '\\');
    if text.chars().count() > NAME || text.chars().any(wrong) {
        return Err(ApiError::field(
            "file_name",
            format!("must have at most {NAME} characters, without folders and control characters"),
        ));
    }
    Ok(text.to_owned())
}

/// The form's file, and what the form says of it. A field borrows its form, so a task reads both
/// and hands over piece by piece: it reads the next one when the one before was taken.
async fn form(mut request: Request, new: NewBlob) -> Result<(NewBlob, ByteStream), ApiError> {
    // The store counts.
    DefaultBodyLimit::disable().apply(&mut request);
    let form = Multipart::from_request(request, &())
        .await
        .map_err(|_| ApiError::field("Content-Type", "names no boundary of the form"))?;
    let (begun, beginning) = oneshot::channel();
    let (pieces, taken) = mpsc::channel(1);
    tokio::spawn(read_form(form, begun, pieces));
    let found = match beginning.await {
        Ok(found) => found?,
        Err(_) => return Err(ApiError::field("body", "is not a valid form")),
    };
    let name = found.name.filter(|name| !name.is_empty());
    let filename = match (new.filename, name) {
        (Some(name), _) => Some(name),
        (None, Some(name)) => Some(file_name(&name)?),
        (None, None) => None,
    };
    let new = NewBlob {
        mime: found.mime.filter(|mime| is_mime(mime)),
        filename,
        ..new
    };
    Ok((new, Box::pin(ReceiverStream::new(taken))))
}

/// What a form says of its file.
struct FormFile {
    mime: Option<String>,
    name: Option<String>,
}

async fn read_form(
    mut form: Multipart,
    begun: oneshot::Sender<Result<FormFile, ApiError>>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
) {
    let broken = || ApiError::field("body", "is not a valid form");
    for _ in 0..FIELDS {
        let mut field = match tokio::time::timeout(IDLE, form.next_field()).await {
            Err(_) => {
                let late = ApiError::new(codes::REQUEST_TIMEOUT, "body: did not arrive in time");
                let _ = begun.send(Err(late));
                return;
            }
            Ok(Err(_)) => {
                let _ = begun.send(Err(broken()));
                return;
            }
            Ok(Ok(None)) => break,
            Ok(Ok(Some(field))) => field,
        };
        if field.name() != Some("file") {
            continue;
        }
        let _ = begun.send(Ok(FormFile {
            mime: field.content_type().map(str::to_ascii_lowercase),
            name: field.file_name().map(str::to_owned),
        }));
        loop {
            let piece = match tokio::time::timeout(IDLE, field.chunk()).await {
                Err(_) => Err(stood_still()),
                Ok(Ok(None)) => return,
                Ok(Ok(Some(bytes))) => Ok(bytes),
                Ok(Err(_)) => Err(io::Error::other("the form ended early")),
            };
            let ends = piece.is_err();
            if pieces.send(piece).await.is_err() || ends {
                return;
            }
        }
    }
    let missing = ApiError::field("file", "is required (a file of the form)");
    let _ = begun.send(Err(missing));
}

fn stood_still() -> io::Error {
    io::Error::other(format!("nothing came for {} seconds", IDLE.as_secs()))
}

type Incoming = Pin<Box<dyn Stream<Item = Result<Bytes, axum::Error>> + Send>>;

/// Ends with an error when nothing comes for too long.
fn patient(body: Incoming) -> ByteStream {
    Box::pin(try_unfold(body, |mut body| async move {
        match tokio::time::timeout(IDLE, body.next()).await {
            Err(_) => Err(stood_still()),
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some((bytes, body))),
            Ok(Some(Err(_))) => Err(io::Error::other("the connection broke")),
        }
    }))
}

/// The blob, if the key may see it: one that is bound to an account sees what is that account's.
pub async fn find(api: &Api, key: &Narrowed, id: &str) -> Result<Blob, ApiError> {
    let id = BlobId::from_text(id);
    let found = api.blobs.stat(&key.workspace, &id).await;
    let blob = found.map_err(|error| of_blob(&error))?;
    let mine = key.account.is_none() || blob.owner.account == key.account;
    if mine { Ok(blob) } else { Err(missing()) }
}

async fn read(State(api): State<Api>, key: Narrowed, PathText(id): PathText) -> Answer {
    Reply::ok(&MediaView::of(&find(&api, &key, &id).await?))
}

async fn content(
    State(api): State<Api>,
    key: Narrowed,
    PathText(id): PathText,
    method: Method,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let blob = find(&api, &key, &id).await?;
    serve(&api, &blob, &method, &headers).await
}

async fn remove(State(api): State<Api>, key: Narrowed, PathText(id): PathText) -> Answer {
    let blob = find(&api, &key, &id).await?;
    match api.blob_rows.remove_blob(&key.workspace, &blob.id).await {
        Ok(Removal::Begun) => Reply::no_content(),
        Ok(Removal::Missing) => Err(missing()),
        Ok(Removal::InUse) => Err(ApiError::new(
            codes::CONFLICT,
            "media_id: a send that is not settled or an event that is kept refers to it",
        )),
        Err(error) => Err(OWN.storage(error)),
    }
}

pub fn missing() -> ApiError {
    ApiError::new(codes::NOT_FOUND, "media_id: there is no such medium")
}

fn too_large(limit: u64) -> ApiError {
    ApiError::new(
        codes::PAYLOAD_TOO_LARGE,
        format!("body: must have at most {limit} bytes"),
    )
}

pub fn of_blob(error: &BlobError) -> ApiError {
    match error {
        BlobError::NotFound => missing(),
        BlobError::TooLarge(limit) => too_large(*limit),
        BlobError::TypeRefused(mime) => ApiError::new(
            codes::UNSUPPORTED_MEDIA_TYPE,
            format!("body: media of type {mime} are not taken by this host"),
        ),
        BlobError::Cut(reason) => ApiError::field(
            "body",
            format!("ended before it was complete ({reason}); nothing of it is kept"),
        ),
        BlobError::Unavailable(log) => {
            let mut error = ApiError::new(
                codes::STORAGE_UNAVAILABLE,
                "the media store does not answer now; nothing was changed",
            )
            .retry_after(1);
            error.log = Some(log.clone());
            error
        }
    }
}

/// A medium that a send names: kept for as long as one that was just uploaded.
pub async fn for_send(
    api: &Api,
    key: &Narrowed,
    account: &crate::domain::AccountId,
    id: &BlobId,
) -> Result<Blob, ApiError> {
    let unknown = || ApiError::field("message.file_key", "there is no such medium");
    let blob = match find(api, key, id.as_str()).await {
        Ok(blob) => blob,
        Err(error) if error.code == codes::NOT_FOUND => return Err(unknown()),
        Err(error) => return Err(error),
    };
    if !blob.owner.lets(account) {
        return Err(unknown());
    }
    let until = Timestamp::now().plus_ms(api.settings.media_keep_ms);
    match api.blob_rows.keep_blob(&blob.id, until).await {
        Ok(true) => Ok(blob),
        Ok(false) => Err(unknown()),
        Err(error) => Err(OWN.storage(error)),
    }
}
