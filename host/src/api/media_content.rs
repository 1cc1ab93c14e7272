//! The bytes of a medium as an answer: whole or a range, for downloads and for what only a browser
//! shows safely. Streamed: what the client does not take is not read.

use super::Api;
use super::codes;
use super::envelope::unrendered_error;
use super::error::ApiError;
use super::v1::media::{mime_of, of_blob};
use crate::domain::media::Blob;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use percent::encode;
use sha2::{Digest, Sha256};
use std::ops::Range;

pub async fn serve(
    api: &Api,
    blob: &Blob,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let tag = entity_tag(blob);
    let mut response = Response::new(Body::empty());
    if names(headers, IF_NONE_MATCH, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        put(&mut response, ETAG, &tag);
        return Ok(response);
    }
    // A range of something else is not wanted.
    let unchanged = !headers.contains_key(IF_RANGE) || names(headers, IF_RANGE, &tag);
    let asked = headers
        .get(RANGE)
        .filter(|_| unchanged)
        .and_then(|value| value.to_str().ok());
    let range = match asked.map_or(Asked::Whole, |text| asked_range(text, blob.size)) {
        Asked::Whole => 0..blob.size,
        Asked::Part(range) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = range.end - 1;
            let text = format!("bytes {}-{last}/{}", range.start, blob.size);
            put(&mut response, CONTENT_RANGE, &text);
            range
        }
        Asked::Outside => {
            let error = ApiError::new(
                codes::RANGE_NOT_SATISFIABLE,
                format!("Range: the medium has {} bytes", blob.size),
            );
            let mut response = unrendered_error(error);
            put(
                &mut response,
                CONTENT_RANGE,
                &format!("bytes */{}", blob.size),
            );
            return Ok(response);
        }
    };
    put(&mut response, CONTENT_TYPE, mime_of(blob));
    put(&mut response, CONTENT_DISPOSITION, &disposition(blob));
    put(&mut response, ETAG, &tag);
    put(&mut response, ACCEPT_RANGES, "bytes");
    put(&mut response, CACHE_CONTROL, "private, max-age=3600");
    // Nothing that somebody else wrote runs in this host's name.
    put(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(
        &mut response,
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; sandbox",
    );
    let length = (range.end - range.start).to_string();
    put(&mut response, CONTENT_LENGTH, &length);
    if *method != Method::HEAD {
        let bytes = api.blobs.read(blob, range).await;
        *response.body_mut() = Body::from_stream(bytes.map_err(|error| of_blob(&error))?);
    }
    Ok(response)
}

fn put(response: &mut Response<Body>, name: axum::http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A blob never changes.
fn entity_tag(blob: &Blob) -> String {
    let hash = Sha256::digest(blob.id.as_str().as_bytes());
    format!("\"{}\"", hex::encode(&hash[..16]))
}

fn names(headers: &HeaderMap, name: axum::http::HeaderName, tag: &str) -> bool {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| {
            text.split(',').any(|one| {
                let one = one.trim();
                one == "*" || one.trim_start_matches("W/") == tag
            })
        })
}

#[derive(Debug, PartialEq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    /// Beyond the end.
    Outside,
}

/// Several ranges, and what is no range of bytes, are answered with the whole (RFC 9110, 14.2).
fn asked_range(text: &str, size: u64) -> Asked {
    let Some(spec) = text.trim().strip_prefix("bytes=") else {
        return Asked::Whole;
    };
    let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return Asked::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| text.parse::<u64>();
    let range = match (first.is_empty(), last.is_empty()) {
        (true, true) => return Asked::Whole,
        (true, false) => match number(last) {
            Ok(0) => return Asked::Outside,
            Ok(count) => size.saturating_sub(count)..size,
            Err(_) => return Asked::Whole,
        },
        (false, open) => match (number(first), number(last)) {
            (Ok(first), _) if open => first..size,
            (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
            _ => return Asked::Whole,
        },
    };
    if range.is_empty() {
        Asked::Outside
    } else {
        Asked::Part(range)
    }
}

/// Shown in place only where that is harmless.
fn disposition(blob: &Blob) -> String {
    let mime = mime_of(blob);
    let shown = matches!(
        mime,
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "image/avif"
    ) || mime.starts_with("audio/")
        || mime.starts_with("video/");
    let kind = if shown { "inline" } else { "attachment" };
    match &blob.meta.filename {
        Some(name) => format!("{kind}; filename*=UTF-8''{}", encode(name)),
        None => kind.to_owned(),
    }
}

/// RFC 8187.
mod percent {
    use std::fmt::Write as _;

    pub fn encode(text: &str) -> String {
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_clients_ask_for_them() {
        for (text, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-", Asked::Part(2..10)),
            ("bytes=2-100", Asked::Part(2..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-30", Asked::Part(0..10)),
            ("bytes=9-9", Asked::Part(9..10)),
            ("bytes=10-", Asked::Outside),
            ("bytes=10-12", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=3-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("items=0-1", Asked::Whole),
        ] {
            assert_eq!(asked_range(text, 10), expected, "{text}");
        }
        assert_eq!(asked_range("bytes=0-", 0), Asked::Outside);
    }

    #[test]
    fn names_in_headers() {
        assert_eq!(percent::encode("Ä b\".png"), "%C3%84%20b%22.png");
    }
}
