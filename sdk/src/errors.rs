//! Constructors of errors and of what carries them. Knows no channel.

use crate::replies::{Certainty, Failure};
use crate::types::{Error, ErrorCode};

impl Error {
    /// `message` is for the client: no secrets, no personal data of third persons.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            channel_code: None,
            retry_after_ms: None,
            detail: None,
        }
    }

    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthenticated, message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unsupported, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// The channel's own code, unchanged.
    #[must_use]
    pub fn with_channel_code(mut self, code: impl Into<String>) -> Self {
        self.channel_code = Some(code.into());
        self
    }

    #[must_use]
    pub fn with_retry_after_ms(mut self, retry_after_ms: u32) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// For the operator's log only.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The channel did nothing: the request may be made again.
    pub fn not_done(self) -> Failure {
        Failure {
            error: self,
            certainty: Certainty::NotDone,
        }
    }

    /// The channel may have acted on it.
    pub fn maybe_done(self) -> Failure {
        Failure {
            error: self,
            certainty: Certainty::MaybeDone,
        }
    }
}

impl ErrorCode {
    /// By the name that the contract gives it (`rate-limited`).
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "unauthenticated" => Self::Unauthenticated,
            "forbidden" => Self::Forbidden,
            "not-found" => Self::NotFound,
            "invalid" => Self::Invalid,
            "unsupported" => Self::Unsupported,
            "rate-limited" => Self::RateLimited,
            "unavailable" => Self::Unavailable,
            "denied" => Self::Denied,
            "quota-exceeded" => Self::QuotaExceeded,
            "conflict" => Self::Conflict,
            "internal" => Self::Internal,
            _ => return None,
        })
    }
}
