//! `WebhookEndpointRequest`: reading it, all of it or a part.

use super::super::error::ApiError;
use super::super::fields::{self, Fields};
use crate::domain::Secret;
use crate::domain::endpoint::{Ordering, RetryProfile};
use crate::domain::event::{OWN_TYPES, PUBLISHED_TYPES, STATUS_ALIAS, is_provider_name};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// As read; what is absent is none.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "WebhookEndpointRequest", example = json!({
    "url": "https://hooks.example.net/anyport", "subscribed_events": ["message.received"],
    "signing_secret": "whsec_example_only_4f1d", "retry_policy": {"max_attempts": 3},
}))]
pub struct EndpointRequest {
    /// http or https, without user name, password and fragment.
    #[schemars(length(max = 2048), extend("format" = "uri"))]
    pub url: Option<String>,
    #[schemars(
        rename = "status",
        with = "Option<String>",
        extend("enum" = ["active", "inactive", "disabled", null])
    )]
    pub active: Option<bool>,
    /// Names, or `*`; empty: all published ones.
    #[schemars(length(max = 64))]
    pub subscribed_events: Option<Vec<String>>,
    /// Only events of these.
    #[schemars(length(max = 1000))]
    pub accounts: Option<Vec<String>>,
    /// Write-only; an empty string switches signing off.
    // `Some(None)`: an empty string.
    #[schemars(rename = "signing_secret", with = "Option<String>", length(max = 512))]
    pub secret: Option<Option<Secret>>,
    /// Milliseconds for which the secret before signs as well.
    #[schemars(
        rename = "signing_secret_overlap_ms",
        with = "Option<u64>",
        range(max = 604_800_000)
    )]
    pub overlap_ms: u64,
    #[schemars(rename = "retry_policy", with = "Option<RetryRequest>")]
    pub max_attempts: Option<u32>,
    #[schemars(skip)]
    pub profile: Option<RetryProfile>,
    #[schemars(skip)]
    pub timeout_ms: Option<u32>,
    pub ordering: Option<Ordering>,
}

/// `retry_policy`, for the description.
#[derive(JsonSchema)]
#[schemars(rename = "RetryPolicyRequest")]
#[expect(dead_code, reason = "only its schema is used")]
struct RetryRequest {
    /// Re-deliveries after the first; 0 delivers once.
    #[serde(default)]
    max_attempts: u32,
    profile: Option<RetryProfile>,
    #[schemars(range(min = 1_000, max = 60_000))]
    timeout_ms: Option<u32>,
}

impl EndpointRequest {
    pub fn read(body: &Map<String, Value>) -> Result<Self, ApiError> {
        let fields = Fields::top(body);
        let url = fields.text("url", 2048)?.map(str::to_owned);
        if let Some(url) = &url {
            check_url(url).map_err(|rule| fields.error("url", rule))?;
        }
        // `disabled` is what we show after we switched it off ourselves.
        let active = fields
            .choice("status", &["active", "inactive", "disabled"])?
            .map(|status| status == "active");
        let subscribed_events = fields.strings("subscribed_events", 64)?;
        for (index, name) in subscribed_events.iter().flatten().enumerate() {
            if !is_event_name(name) {
                return Err(fields.error(
                    &format!("subscribed_events[{index}]"),
                    format!("there is no event `{name}`"),
                ));
            }
        }
        let secret = fields
            .any_text("signing_secret", 512)?
            .map(|text| (!text.is_empty()).then(|| Secret::from(text)));
        let overlap_ms = fields
            .integer("signing_secret_overlap_ms", 0..=7 * 24 * 60 * 60 * 1000)?
            .unwrap_or(0);
        let ordering = fields
            .choice("ordering", &["account", "conversation", "none"])?
            .map(|ordering| match ordering {
                "account" => Ordering::Account,
                "conversation" => Ordering::Conversation,
                _ => Ordering::None,
            });
        let mut request = Self {
            url,
            active,
            subscribed_events,
            accounts: fields.strings("accounts", 1000)?,
            secret,
            overlap_ms,
            max_attempts: None,
            profile: None,
            timeout_ms: None,
            ordering,
        };
        if let Some(policy) = fields.object("retry_policy")? {
            request.read_policy(&policy)?;
        }
        Ok(request)
    }

    fn read_policy(&mut self, policy: &Fields<'_>) -> Result<(), ApiError> {
        // Also null is refused here: it is no integer.
        if policy.has("max_attempts") {
            let range = 0..=u64::from(u32::MAX);
            let number = policy.integer("max_attempts", range.clone())?;
            let number =
                number.ok_or_else(|| policy.error("max_attempts", fields::integer_rule(&range)))?;
            self.max_attempts = Some(number as u32);
        }
        self.profile = policy
            .choice("profile", &["standard", "unifyport"])?
            .map(|profile| match profile {
                "unifyport" => RetryProfile::Unifyport,
                _ => RetryProfile::Standard,
            });
        self.timeout_ms = policy
            .integer("timeout_ms", 1_000..=60_000)?
            .map(|timeout| timeout as u32);
        Ok(())
    }
}

/// `*`, a published type, one of ours, the older alias, or `provider.<name>`.
pub fn is_event_name(name: &str) -> bool {
    name == "*" || name == STATUS_ALIAS || is_event_type(name)
}

/// A type that the log knows.
pub fn is_event_type(name: &str) -> bool {
    PUBLISHED_TYPES.contains(&name)
        || OWN_TYPES.contains(&name)
        || name.strip_prefix("provider.").is_some_and(is_provider_name)
}

fn check_url(text: &str) -> Result<(), String> {
    let Ok(url) = url::Url::parse(text) else {
        return Err("must be an absolute http or https address".into());
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must be an absolute http or https address".into());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must name a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".into());
    }
    if url.fragment().is_some() {
        return Err("must not hold a fragment".into());
    }
    Ok(())
}

/// Of a list of types in a query: `message.received,message.sent`.
pub fn read_types(text: &str) -> Result<Vec<String>, ApiError> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            if is_event_type(name) || name == "*" {
                Ok(name.to_owned())
            } else {
                Err(ApiError::field(
                    "types",
                    format!("there is no event `{name}`"),
                ))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{check_url, is_event_name};

    #[test]
    fn addresses_of_receivers() {
        for good in [
            "https://hooks.example.net/a?b=c",
            "http://127.0.0.1:8080/",
            "http://[::1]/x",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "hooks.example.net",
            "/a",
            "ftp://example.net/",
            "https://user@example.net/",
            "https://user:pass@example.net/",
            "https://example.net/#a",
            "http://",
            "javascript:alert(1)",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_events() {
        for good in [
            "*",
            "message.received",
            "message.sent",
            "message.status.updated",
            "provider.call.offered",
        ] {
            assert!(is_event_name(good), "{good}");
        }
        for bad in [
            "",
            "message.recieved",
            "provider.",
            "provider.a b",
            "account.*",
        ] {
            assert!(!is_event_name(bad), "{bad}");
        }
    }
}
