//! Request headers of `POST /v1/messages`: `Prefer` (RFC 7240) and `Idempotency-Key`.

use super::error::ApiError;
use axum::http::HeaderMap;
use std::time::Duration;

pub const DEFAULT_WAIT: Duration = Duration::from_secs(10);
const MAX_WAIT_SECONDS: u64 = 60;

/// How long to wait for the outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    pub wait: Duration,
    /// 202 instead of 200 when it is not settled by then.
    pub respond_async: bool,
    /// For `Preference-Applied`.
    pub applied: Option<String>,
}

impl Preference {
    /// Unknown preferences and values that make no sense are ignored, as the RFC asks.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut wait = None;
        let mut respond_async = false;
        let items = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','));
        for item in items {
            let item = item.split(';').next().unwrap_or_default();
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => respond_async = true,
                // Of a preference that comes twice the first counts.
                "wait" if wait.is_none() => {
                    let value = value.trim().trim_matches('"');
                    wait = value
                        .parse::<u64>()
                        .ok()
                        .map(|seconds| seconds.min(MAX_WAIT_SECONDS));
                }
                _ => {}
            }
        }
        let mut applied = Vec::new();
        if respond_async {
            applied.push("respond-async".to_owned());
        }
        if let Some(seconds) = wait {
            applied.push(format!("wait={seconds}"));
        }
        Self {
            wait: match (wait, respond_async) {
                (Some(seconds), _) => Duration::from_secs(seconds),
                (None, true) => Duration::ZERO,
                (None, false) => DEFAULT_WAIT,
            },
            respond_async,
            applied: (!applied.is_empty()).then(|| applied.join(", ")),
        }
    }
}

/// A structured-field string (`"…"`) or the bare characters; at most 255, printable.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let wrong = |rule: &str| Err(ApiError::field("Idempotency-Key", rule));
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return wrong("must come once");
    }
    let Ok(text) = value.to_str().map(str::trim) else {
        return wrong("must have printable ASCII characters only");
    };
    let key = match text.strip_prefix('"') {
        None => text.to_owned(),
        Some(quoted) => match unquote(quoted) {
            Some(key) => key,
            None => return wrong("is not a valid quoted string"),
        },
    };
    match key.len() {
        0 => wrong("must not be empty"),
        1..=255 => Ok(Some(key)),
        _ => wrong("must have at most 255 characters"),
    }
}

/// What stands after the opening quote of a structured-field string, up to its closing quote,
/// which must end the text.
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(key),
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => key.push(escaped),
                _ => return None,
            },
            other => key.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn preferences() {
        let of = |values: &[&str]| {
            let preference = Preference::of(&headers("prefer", values));
            (
                preference.wait.as_secs(),
                preference.respond_async,
                preference.applied.unwrap_or_default(),
            )
        };
        assert_eq!(of(&[]), (10, false, String::new()));
        assert_eq!(of(&["wait=3"]), (3, false, "wait=3".into()));
        assert_eq!(of(&["wait=900"]), (60, false, "wait=60".into()));
        assert_eq!(of(&["Respond-Async"]), (0, true, "respond-async".into()));
        assert_eq!(
            of(&["respond-async, foo; a=b", "wait=\"2\""]),
            (2, true, "respond-async, wait=2".into())
        );
        assert_eq!(of(&["wait=soon"]), (10, false, String::new()));
    }

    #[test]
    fn idempotency_keys() {
        let of = |values: &[&str]| {
            idempotency_key(&headers("idempotency-key", values)).map_err(|error| error.message)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["8e03"]), Ok(Some("8e03".into())));
        assert_eq!(of(&["\"8e03\""]), Ok(Some("8e03".into())));
        assert_eq!(of(&[r#""a \"b\" \\""#]), Ok(Some(r#"a "b" \"#.into())));
        for bad in [
            &["\"a"][..],
            &["\"a\";x=1"],
            &[""],
            &["a", "b"],
            &["\"\""],
            &["é"],
        ] {
            assert!(
                of(bad).unwrap_err().starts_with("Idempotency-Key: "),
                "{bad:?}"
            );
        }
        assert!(of(&[&"x".repeat(255)]).is_ok());
        assert!(of(&[&"x".repeat(256)]).is_err());
    }
}
