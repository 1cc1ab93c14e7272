//! Bodies of requests: JSON objects and raw bytes, with limits of size and time.
//!
//! JSON is taken under any content type: what counts is that it parses.

use super::codes;
use super::error::ApiError;
use super::fields::Fields;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};
use std::time::Duration;

pub const JSON_LIMIT: usize = 256 * 1024;
const JSON_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that must be a JSON object.
pub struct JsonBody(pub Map<String, Value>);

/// What a body is read into.
pub trait Read: Sized {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError>;
}

/// A body that must be a JSON object, read.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: Read> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let JsonBody(map) = JsonBody::from_request(request, state).await?;
        T::read(&Fields::top(&map)).map(Self)
    }
}

/// A body that may be absent, empty, or a JSON object.
pub struct OptionalJsonBody(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        read_json(request)
            .await?
            .map(Self)
            .ok_or_else(|| ApiError::field("body", "is required (a JSON object)"))
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalJsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        Ok(Self(read_json(request).await?.unwrap_or_default()))
    }
}

async fn read_json(request: Request) -> Result<Option<Map<String, Value>>, ApiError> {
    let bytes = read(request, JSON_LIMIT, JSON_TIMEOUT).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        Ok(other) => Err(ApiError::field(
            "body",
            super::fields::must_be("a JSON object", &other),
        )),
        Err(error) => Err(ApiError::field(
            "body",
            format!("is not valid JSON: {error}"),
        )),
    }
}

/// The whole body, at most `limit` bytes.
pub async fn read(request: Request, limit: usize, timeout: Duration) -> Result<Bytes, ApiError> {
    let too_large = || {
        ApiError::new(
            codes::PAYLOAD_TOO_LARGE,
            format!("body: must have at most {limit} bytes"),
        )
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let body: Limited<axum::body::Body> = Limited::new(request.into_body(), limit);
    match tokio::time::timeout(timeout, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::field("body", "ended before it was complete")),
        Err(_) => Err(ApiError::new(
            codes::REQUEST_TIMEOUT,
            "body: did not arrive in time",
        )),
    }
}
