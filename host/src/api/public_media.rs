//! `GET /media/{token}`: what stands in events and what channels are given, without a key. The
//! token is the right to the bytes: 256 bits that nobody can guess, or sealed by this host. Whatever is wrong with
//! a token, the answer is the same.

use super::Api;
use super::codes;
use super::error::{ApiError, Operation};
use super::media_content::serve;
use super::openapi::Doc;
use super::query::PathText;
use super::routes::Routes;
use super::v1::media::{of_blob, served};
use crate::domain::Timestamp;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::media::{Blob, BlobError, BlobId};
use crate::storage::blobs::StoredAttachment;
use crate::supervisor::control::Refusal;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub const PATH: &str = "/media/{token}";

/// A provider may take so long, as long as one request of its may; then it is asked anew. Who asks is
/// put off sooner, and finds the medium when he comes again.
const LONGEST_FETCH: Duration = Duration::from_secs(10 * 60);

pub fn routes() -> Routes {
    Routes::new()
        .get(PATH, get)
        .doc(
            served(Doc::new("getSharedMedia", "Get a medium by its address")).fails([
                codes::MEDIA_GONE,
                codes::MEDIA_FETCH_FAILED,
                codes::PROVIDER_UNAVAILABLE,
                codes::OWNER_ELSEWHERE,
                codes::STORAGE_UNAVAILABLE,
            ]),
        )
        .about(
            "Shared Media",
            "Addresses that events and channels are given; the token is the right.",
        )
}

type Fetch = Shared<BoxFuture<'static, Result<BlobId, ApiError>>>;

/// Attachments that are on their way from their channels: one fetch for all who ask.
#[derive(Default)]
pub struct Fetches(Mutex<HashMap<[u8; 32], Fetch>>);

async fn get(
    State(api): State<Api>,
    PathText(token): PathText,
    method: Method,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let blob = if let Some((id, until)) = api.reply_tokens.open_blob_token(&token) {
        if until <= Timestamp::now() {
            return Err(unknown());
        }
        let found = api.blob_rows.blob(None, &id).await;
        let found = found.map_err(|error| Operation::OWN.storage(error))?;
        found.ok_or_else(unknown)?.blob
    } else {
        attachment(&api, &token).await?
    };
    serve(&api, &blob, &method, &headers).await
}

fn unknown() -> ApiError {
    ApiError::new(codes::NOT_FOUND, "there is no such medium")
}

/// From the store, or from the channel if nobody asked before.
async fn attachment(api: &Api, token: &str) -> Result<Blob, ApiError> {
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let found = api.blob_rows.attachment(&hash).await;
    let found = found.map_err(|error| Operation::OWN.storage(error))?;
    let attachment = found.ok_or_else(unknown)?;
    if let Some(blob) = &attachment.blob {
        match of_account(api, &attachment, blob).await {
            Err(BlobError::NotFound) => {}
            found => return found.map_err(|error| of_blob(&error)),
        }
    }
    let id = fetch(api, hash, &attachment).await?;
    match of_account(api, &attachment, &id).await {
        Ok(blob) => Ok(blob),
        // The provider named something that is not the account's.
        Err(BlobError::NotFound) => Err(failed(
            "the provider gave a medium that its account has not",
        )),
        Err(error) => Err(of_blob(&error)),
    }
}

async fn of_account(
    api: &Api,
    attachment: &StoredAttachment,
    id: &BlobId,
) -> Result<Blob, BlobError> {
    let blob = api.blobs.stat(&attachment.workspace, id).await?;
    if blob.owner.lets(&attachment.account) {
        Ok(blob)
    } else {
        Err(BlobError::NotFound)
    }
}

async fn fetch(
    api: &Api,
    hash: [u8; 32],
    attachment: &StoredAttachment,
) -> Result<BlobId, ApiError> {
    let Some(reference) = attachment.source.reference.clone() else {
        return Err(gone("the medium is not kept any more"));
    };
    let waiting = {
        let mut fetches = (api.media_fetches.0)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let begin = || {
            let (api, account) = (api.clone(), attachment.account.clone());
            // In a task of its own: it goes on when the first who asked goes away.
            let task = tokio::spawn(async move {
                let got = api
                    .control
                    .fetch_media(&account, reference, LONGEST_FETCH)
                    .await;
                let result = match got {
                    Ok(blob) => match api.blob_rows.attach(&hash, &blob).await {
                        Ok(()) => Ok(blob),
                        Err(error) => Err(Operation::OWN.storage(error)),
                    },
                    Err(refusal) => Err(of_refusal(refusal)),
                };
                let mut fetches = (api.media_fetches.0)
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                fetches.remove(&hash);
                result
            });
            let done = async move {
                task.await
                    .unwrap_or_else(|error| Err(ApiError::internal(error.to_string())))
            };
            done.boxed().shared()
        };
        fetches.entry(hash).or_insert_with(begin).clone()
    };
    let wait = api.settings.media_wait;
    tokio::time::timeout(wait, waiting)
        .await
        .unwrap_or_else(|_| {
            let error = ApiError::new(
                codes::PROVIDER_UNAVAILABLE,
                "the medium is on its way from the channel",
            );
            Err(error.retry_after(10))
        })
}

fn of_refusal(refusal: Refusal) -> ApiError {
    let text = refusal.to_string();
    let later = |text: String| ApiError::new(codes::PROVIDER_UNAVAILABLE, text).retry_after(10);
    match refusal {
        Refusal::Failed(failure) => of_failure(failure),
        Refusal::NotAuthorized | Refusal::Stopped | Refusal::Overloaded => later(text),
        Refusal::Unsupported(_) | Refusal::UnknownProvider(_) => failed(&text),
        Refusal::UnknownAccount => unknown(),
        other => Operation::OWN.refusal(other),
    }
}

fn of_failure(failure: Failure) -> ApiError {
    match failure.code {
        FailureCode::NotFound => gone(&failure.message),
        FailureCode::Unavailable | FailureCode::RateLimited | FailureCode::Unauthenticated => {
            let ms = failure.retry_after_ms.unwrap_or(10_000);
            let error = ApiError::new(codes::PROVIDER_UNAVAILABLE, failure.message);
            error.retry_after(u64::from(ms.div_ceil(1000)))
        }
        _ => failed(&failure.message),
    }
}

fn gone(message: &str) -> ApiError {
    ApiError::new(codes::MEDIA_GONE, message)
}

fn failed(message: &str) -> ApiError {
    ApiError::new(codes::MEDIA_FETCH_FAILED, message)
}
