//! Ids of a request: ours, and the client's own when it sent a usable one.

use crate::domain::id::RequestId;
use axum::http::{HeaderMap, HeaderName};

pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone, Debug)]
pub struct RequestIds {
    pub request: RequestId,
    /// Comes back as `client_request_id`.
    pub client: Option<String>,
}

impl RequestIds {
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            request: RequestId::generate(),
            client: headers
                .get(&HEADER)
                .and_then(|value| value.to_str().ok())
                .filter(|text| is_usable(text))
                .map(str::to_owned),
        }
    }
}

/// 1 to 128 characters of `[A-Za-z0-9_.:/-]`; anything else is ignored.
fn is_usable(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte))
}

#[cfg(test)]
mod tests {
    #[test]
    fn odd_client_ids_are_ignored() {
        assert!(super::is_usable("order:42/a.b-c_D"));
        assert!(super::is_usable(&"x".repeat(128)));
        for text in ["", "a b", "é", &"x".repeat(129), "a\"b"] {
            assert!(!super::is_usable(text), "{text}");
        }
    }
}
