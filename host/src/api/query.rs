//! The query string and the path of a request.

use super::error::ApiError;
use super::fields;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The one variable segment of a path, percent-decoded.
pub struct PathText(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) if !text.contains('\0') => Ok(Self(text)),
            _ => Err(ApiError::field(
                "path",
                "is not valid percent-encoded UTF-8",
            )),
        }
    }
}

/// The two variable segments of a path, percent-decoded.
pub struct PathPair(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathPair {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((one, two))) if !one.contains('\0') && !two.contains('\0') => {
                Ok(Self(one, two))
            }
            _ => Err(ApiError::field(
                "path",
                "is not valid percent-encoded UTF-8",
            )),
        }
    }
}

/// The query. Of a name that comes twice the last value counts; an empty value is absent.
#[derive(Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let text = parts.uri.query().unwrap_or_default();
        Ok(Self(
            url::form_urlencoded::parse(text.as_bytes())
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        ))
    }
}

impl Query {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Bounded, for texts that go on to providers.
    pub fn bounded(&self, name: &str, max: usize) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        if text.contains('\0') {
            return Err(ApiError::field(
                name,
                "must not contain the character U+0000",
            ));
        }
        if text.chars().count() > max {
            return Err(ApiError::field(
                name,
                format!("must have at most {max} characters"),
            ));
        }
        Ok(Some(text))
    }

    pub fn required(&self, name: &str, max: usize) -> Result<&str, ApiError> {
        self.bounded(name, max)?
            .ok_or_else(|| ApiError::field(name, "is required in the query"))
    }

    pub fn integer(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .map(Some)
            .ok_or_else(|| ApiError::field(name, fields::integer_rule(&range)))
    }

    /// A page's size: at least 1; what is above `max` counts as `max`.
    pub fn limit(&self, default: u32, max: u32) -> Result<u32, ApiError> {
        let Some(text) = self.text("limit") else {
            return Ok(default);
        };
        let text = text.strip_prefix('+').unwrap_or(text);
        // Also what no integer of the machine's holds is above the maximum.
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ApiError::field(
                "limit",
                fields::integer_rule(&(1..=u64::MAX)),
            ));
        }
        match text.parse::<u64>() {
            Ok(0) => Err(ApiError::field(
                "limit",
                fields::integer_rule(&(1..=u64::MAX)),
            )),
            Ok(limit) => Ok(limit.min(u64::from(max)) as u32),
            Err(_) => Ok(max),
        }
    }
}
