//! Answers of the HTTP API.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::protocol::Fault;

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    let full = Full::new(bytes.into());
    full.map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).expect("answers are plain data");
    let mut response = Response::new(whole(bytes));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn done() -> Response<Body> {
    json(&serde_json::json!({"done": {}}))
}

/// The body is the fault; a rate limit says in the header, too, when to come back.
pub(super) fn refusal(fault: &Fault) -> Response<Body> {
    let mut response = json(fault);
    *response.status_mut() = match fault.code.as_str() {
        "unauthenticated" => StatusCode::UNAUTHORIZED,
        "forbidden" => StatusCode::FORBIDDEN,
        "not-found" => StatusCode::NOT_FOUND,
        "invalid" => StatusCode::BAD_REQUEST,
        "conflict" => StatusCode::CONFLICT,
        "rate-limited" => StatusCode::TOO_MANY_REQUESTS,
        "quota-exceeded" | "unsupported" => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    if let Some(ms) = fault.retry_after_ms {
        let seconds = HeaderValue::from(ms.div_ceil(1_000));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}
