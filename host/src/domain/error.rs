//! Why something failed, in the words of the contract. Knows no HTTP: `api::error` maps these to
//! statuses and published codes, in one table.

use serde::{Deserialize, Serialize};

/// The contract's `types.error-code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    Unauthenticated,
    Forbidden,
    NotFound,
    Invalid,
    Unsupported,
    RateLimited,
    Unavailable,
    Denied,
    QuotaExceeded,
    Conflict,
    Internal,
}

impl FailureCode {
    pub const ALL: [Self; 11] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Invalid,
        Self::Unsupported,
        Self::RateLimited,
        Self::Unavailable,
        Self::Denied,
        Self::QuotaExceeded,
        Self::Conflict,
        Self::Internal,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::QuotaExceeded => "quota-exceeded",
            Self::Conflict => "conflict",
            Self::Internal => "internal",
        }
    }
}

/// A failure that a client may see. `detail` is for the log only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub code: FailureCode,
    pub message: String,
    /// The channel's own code, unchanged.
    pub channel_code: Option<String>,
    pub retry_after_ms: Option<u32>,
    #[serde(skip)]
    pub detail: Option<String>,
}

impl Failure {
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            channel_code: None,
            retry_after_ms: None,
            detail: None,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

/// Did the channel act on it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    NotDone,
    MaybeDone,
}
