//! The description, and a page to read it with. Both without a key: they tell nothing of this host.
//!
//! The page is Scalar's, out of its crate, and asks nobody but this host: its policy forbids
//! everything else.

use super::super::Api;
use super::super::error::ApiError;
use super::super::routes::Routes;
use super::{Doc, document};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

const HTML: &str = include_str!("page.html");
const BEGIN: &str = include_str!("page.js");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A text that does not change while the process runs.
struct Text {
    kind: &'static str,
    etag: HeaderValue,
    bytes: Bytes,
}

impl Text {
    fn new(kind: &'static str, bytes: impl Into<Bytes>) -> Result<Self, ApiError> {
        let bytes = bytes.into();
        let tag = format!("\"{}\"", &hex::encode(Sha256::digest(&bytes))[..32]);
        let etag = HeaderValue::from_str(&tag)
            .map_err(|error| ApiError::internal(format!("no tag: {error}")))?;
        Ok(Self { kind, etag, bytes })
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let known = asked
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes());
        let fixed = [
            (ETAG, self.etag.clone()),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        if known {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        let more = [
            (CONTENT_TYPE, HeaderValue::from_static(self.kind)),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        (fixed, more, self.bytes.clone()).into_response()
    }
}

/// What is made at the first request and kept.
#[derive(Default)]
pub struct Texts {
    description: OnceLock<Text>,
    script: OnceLock<Text>,
}

pub fn routes() -> Routes {
    let text = |id: &'static str, summary: &'static str, kind: &'static str| {
        Doc::new(id, summary)
            .raw(&[kind])
            .with_headers(&["ETag"])
            .bare(304)
            .with_headers(&["ETag"])
            .header(
                "If-None-Match",
                "An `ETag` that the client has: 304 if it is still so.",
                json!({"type": "string"}),
            )
    };
    Routes::new()
        .get("/openapi.json", description)
        .doc(text(
            "getDescription",
            "This description",
            "application/json",
        ))
        .get("/docs", page)
        .doc(text(
            "getDocs",
            "A page to read this description with",
            "text/html",
        ))
        .get("/docs/begin.js", begin)
        .doc(text("getDocsBegin", "Part of the page", "text/javascript"))
        .get("/docs/scalar.js", script)
        .doc(text("getDocsScript", "Part of the page", "text/javascript"))
        .about(
            "Description",
            "The description of this API, and a page to read it with.",
        )
}

/// As `GET /openapi.json` answers it, and as `anyport openapi` prints it.
pub fn written() -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(&document(&super::super::all_routes()))?;
    text.push(b'\n');
    Ok(text)
}

async fn description(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let text = kept(&api.texts.description, || {
        let text =
            written().map_err(|error| ApiError::internal(format!("the description: {error}")))?;
        Text::new("application/json", text)
    })?;
    Ok(text.answer(&headers))
}

async fn script(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let text = kept(&api.texts.script, || {
        let script = scalar_api_reference::get_asset("scalar.js")
            .ok_or_else(|| ApiError::internal("Scalar's crate has no scalar.js"))?;
        Text::new("text/javascript; charset=utf-8", script)
    })?;
    Ok(text.answer(&headers))
}

/// Made by whoever comes first; should two come at once, the second one's is dropped.
fn kept(
    cell: &OnceLock<Text>,
    make: impl FnOnce() -> Result<Text, ApiError>,
) -> Result<&Text, ApiError> {
    if let Some(text) = cell.get() {
        return Ok(text);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}

async fn page(headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(Text::new("text/html; charset=utf-8", HTML)?.answer(&headers))
}

async fn begin(headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(Text::new("text/javascript; charset=utf-8", BEGIN)?.answer(&headers))
}
