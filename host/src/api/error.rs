//! What a client is told when something is refused or fails: the mapping of refusals, failures of
//! providers and trouble with storage to the codes of [`codes`](super::codes).
//!
//! A message for the client and a text for the log are different fields.

use super::codes::{self, Code};
use crate::domain::command::Unanswered;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::storage::{Conflict, StorageError};
use crate::supervisor::control::Refusal;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// An answer that is an error. Becomes the envelope in `envelope::wrap`.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub code: Code,
    pub message: String,
    /// Seconds.
    pub retry_after: Option<u64>,
    pub details: Box<Details>,
    /// Only for the log.
    pub log: Option<String>,
    /// The answer repeats that of an earlier request with the same idempotency key.
    pub replayed: bool,
    /// Methods that the route takes, with commas between.
    pub allow: Option<Box<str>>,
}

/// Keys of our own in the error object.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Serialize)]
pub struct Details {
    /// Our id of the send that the error is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The contract's error code of the provider's failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The channel's own code, unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_code: Option<String>,
    /// The field of the request that broke a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The limit of the provider that the request broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<BrokenLimit>,
    /// Where reading the log can begin without missing anything that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_cursor: Option<String>,
    /// Of a host that is not ready: what was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<super::health::Check>,
}

/// As `describe` declares it.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct BrokenLimit {
    pub feature: String,
    pub name: &'static str,
    pub value: serde_json::Value,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            details: Box::default(),
            log: None,
            replayed: false,
            allow: None,
        }
    }

    /// A field of the request breaks a rule: `to.type`, `must be one of …`.
    pub fn field(field: impl Into<String>, rule: impl AsRef<str>) -> Self {
        let field = field.into();
        let mut error = Self::new(
            codes::INVALID_REQUEST,
            format!("{field}: {}", rule.as_ref()),
        );
        error.details.field = Some(field);
        error
    }

    pub fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// A fault of the host's own.
    pub fn internal(log: impl Into<String>) -> Self {
        let mut error = Self::new(codes::INTERNAL_ERROR, "something failed inside the host");
        error.log = Some(log.into());
        error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        super::envelope::unrendered_error(self)
    }
}

/// Which of the published codes an operation uses where they differ.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Any failure without a code of its own.
    pub failed: Code,
    /// The account (or endpoint) of the path or body does not exist.
    pub missing: Code,
    /// The provider has no such capability.
    pub unsupported: Code,
    /// The provider says that the channel does not know what was named.
    pub not_found: Code,
}

impl Operation {
    /// Operations that read or write the account itself.
    pub const fn of_account(failed: Code) -> Self {
        Self {
            failed,
            missing: codes::NOT_FOUND,
            unsupported: codes::UNSUPPORTED_ACTION,
            not_found: failed,
        }
    }

    /// Operations that need the account's runtime.
    pub const fn of_runtime(failed: Code) -> Self {
        Self {
            failed,
            missing: codes::ACCOUNT_BINDING_NOT_FOUND,
            unsupported: codes::UNSUPPORTED_ACTION,
            not_found: failed,
        }
    }

    /// Commands that say with 404 that the channel does not know what was named, and so also that
    /// there is no such account.
    pub const fn of_command(failed: Code, not_found: Code) -> Self {
        Self {
            failed,
            missing: codes::NOT_FOUND,
            unsupported: codes::UNSUPPORTED_BY_PROVIDER,
            not_found,
        }
    }

    /// Commands for which the contract has no 404 where they list or make something.
    pub const fn of_list(failed: Code) -> Self {
        Self {
            failed,
            missing: codes::ACCOUNT_BINDING_NOT_FOUND,
            unsupported: codes::UNSUPPORTED_BY_PROVIDER,
            // The client named it, so it is the client's to mend.
            not_found: codes::INVALID_REQUEST,
        }
    }

    /// Actions on a message.
    pub const fn of_message(failed: Code) -> Self {
        Self {
            failed,
            missing: codes::ACCOUNT_BINDING_NOT_FOUND,
            unsupported: codes::UNSUPPORTED_BY_PROVIDER,
            not_found: codes::NOT_FOUND,
        }
    }

    pub const SEND: Self = Self {
        failed: codes::SEND_MESSAGE_FAILED,
        missing: codes::ACCOUNT_BINDING_NOT_FOUND,
        unsupported: codes::UNSUPPORTED_BY_PROVIDER,
        not_found: codes::CONVERSATION_NOT_FOUND,
    };

    /// Operations that the contract does not have.
    pub const OWN: Self = Self {
        failed: codes::INTERNAL_ERROR,
        missing: codes::NOT_FOUND,
        unsupported: codes::UNSUPPORTED_BY_PROVIDER,
        not_found: codes::NOT_FOUND,
    };

    /// The code of a provider's failure that the channel did not act on. What it may have acted
    /// on is always [`codes::SEND_OUTCOME_UNKNOWN`].
    pub fn code_of(&self, failure: FailureCode) -> Code {
        match failure {
            FailureCode::Unauthenticated => codes::ACCOUNT_BINDING_NOT_FOUND,
            FailureCode::Forbidden => self.failed,
            FailureCode::NotFound => self.not_found,
            FailureCode::Invalid => codes::INVALID_REQUEST,
            FailureCode::Unsupported => self.unsupported,
            FailureCode::RateLimited => codes::RATE_LIMITED,
            FailureCode::Unavailable => codes::PROVIDER_UNAVAILABLE,
            FailureCode::Denied => codes::DENIED_BY_POLICY,
            FailureCode::QuotaExceeded => codes::QUOTA_EXCEEDED,
            FailureCode::Conflict => codes::CONFLICT,
            FailureCode::Internal => self.failed,
        }
    }

    /// The codes of `storage` for what an operation only reads.
    pub fn reads(&self) -> [Code; 2] {
        [self.failed, codes::STORAGE_UNAVAILABLE]
    }

    /// The codes of `refusal`, beside those that only sends have.
    pub fn acts(&self) -> Vec<Code> {
        let mut all = vec![
            codes::PROVIDER_ADAPTER_NOT_FOUND,
            self.unsupported,
            codes::UNSUPPORTED_PROVIDER_AUTH_MODE,
            codes::INVALID_REQUEST,
            self.missing,
            codes::OWNER_ELSEWHERE,
            codes::ACCOUNT_ALREADY_AUTHORIZED,
            codes::ACCOUNT_BINDING_NOT_FOUND,
            codes::RATE_LIMITED,
        ];
        all.extend(FailureCode::ALL.map(|failure| self.code_of(failure)));
        all.extend(self.reads());
        all
    }

    pub fn failure(&self, failure: &Failure, certainty: Certainty) -> ApiError {
        let code = match certainty {
            Certainty::NotDone => self.code_of(failure.code),
            Certainty::MaybeDone => codes::SEND_OUTCOME_UNKNOWN,
        };
        let mut error = ApiError::new(code, failure.message.clone());
        error.details.reason = Some(failure.code.as_str());
        error.details.channel_code = failure.channel_code.clone();
        error.retry_after = match (failure.retry_after_ms, code) {
            (Some(ms), _) => Some(u64::from(ms.div_ceil(1000)).max(1)),
            (None, codes::RATE_LIMITED) => Some(1),
            _ => None,
        };
        error
    }

    pub fn storage(&self, error: StorageError) -> ApiError {
        match error {
            StorageError::Unavailable(log) => {
                let mut error = ApiError::new(
                    codes::STORAGE_UNAVAILABLE,
                    "the database does not take it now; nothing was changed",
                )
                .retry_after(1);
                error.log = Some(log);
                error
            }
            StorageError::Conflict(Conflict::Quota) => ApiError::new(
                codes::WORKSPACE_ACCOUNT_QUOTA_EXCEEDED,
                Conflict::Quota.to_string(),
            ),
            StorageError::Conflict(Conflict::DuplicateIdentity) => ApiError::new(
                codes::DUPLICATE_PROVIDER_ACCOUNT,
                Conflict::DuplicateIdentity.to_string(),
            ),
            StorageError::Conflict(Conflict::NotFound) => self.missing(),
            StorageError::Conflict(Conflict::NextKeyMissing) => {
                ApiError::new(codes::CONFLICT, Conflict::NextKeyMissing.to_string())
            }
            StorageError::Conflict(Conflict::HasAccounts) => {
                ApiError::new(codes::CONFLICT, Conflict::HasAccounts.to_string())
            }
            StorageError::Unusable(log) => {
                let mut error = ApiError::new(self.failed, "the database cannot be used");
                error.log = Some(log);
                error
            }
        }
    }

    /// A question can be asked again, whatever became of it; of an action that the provider had,
    /// nobody can say whether it is done.
    fn unanswered(&self, query: bool, why: Unanswered) -> ApiError {
        let unknown = |message: &str| {
            ApiError::new(
                codes::OUTCOME_UNKNOWN,
                format!("the channel may have done it and nobody can say ({message})"),
            )
        };
        match why {
            Unanswered::Failed {
                failure,
                certainty: Certainty::MaybeDone,
            } if !query => {
                let mut error = unknown(&failure.message);
                error.details.reason = Some(failure.code.as_str());
                error.details.channel_code = failure.channel_code;
                error
            }
            Unanswered::Failed { failure, .. } => {
                let mut error = self.failure(&failure, Certainty::NotDone);
                if error.code == codes::PROVIDER_UNAVAILABLE {
                    error.retry_after = error.retry_after.or(Some(1));
                }
                error
            }
            Unanswered::TooLate { called: true } if query => ApiError::new(
                codes::PROVIDER_TIMEOUT,
                "the provider did not answer in time; ask again",
            )
            .retry_after(1),
            Unanswered::TooLate { called: true } => unknown("the provider did not answer in time"),
            Unanswered::TooLate { called: false } => ApiError::new(
                codes::PROVIDER_UNAVAILABLE,
                "the account did not get to it in time; nothing was done",
            )
            .retry_after(1),
            Unanswered::Gone {
                called: true,
                reason,
            } if !query => unknown(&reason),
            Unanswered::Gone { reason, .. } => ApiError::new(
                codes::PROVIDER_UNAVAILABLE,
                format!("{reason}; nothing was done, ask again"),
            )
            .retry_after(1),
        }
    }

    /// What the path or body names does not exist (in this workspace).
    pub fn missing(&self) -> ApiError {
        ApiError::new(self.missing, "account_id: there is no such account")
    }

    /// For an account that exists.
    pub fn refusal(&self, refusal: Refusal) -> ApiError {
        let text = refusal.to_string();
        match refusal {
            Refusal::UnknownProvider(name) => ApiError::new(
                codes::PROVIDER_ADAPTER_NOT_FOUND,
                format!("provider `{name}` is not installed on this host"),
            ),
            Refusal::Unsupported(_) => ApiError::new(self.unsupported, text),
            Refusal::UnsupportedAuthMode(_) => {
                ApiError::new(codes::UNSUPPORTED_PROVIDER_AUTH_MODE, text)
            }
            Refusal::Invalid { field, rule } => ApiError::field(field, rule),
            Refusal::UnknownAccount => self.missing(),
            Refusal::OwnerElsewhere => ApiError::new(
                codes::OWNER_ELSEWHERE,
                "another host runs this account; nothing was changed, ask there or try again",
            )
            .retry_after(2),
            Refusal::AlreadyAuthorized => ApiError::new(codes::ACCOUNT_ALREADY_AUTHORIZED, text),
            Refusal::NotAuthorized | Refusal::Stopped => {
                ApiError::new(codes::ACCOUNT_BINDING_NOT_FOUND, text)
            }
            Refusal::KeyReused => ApiError::new(codes::IDEMPOTENCY_KEY_REUSED, text),
            Refusal::InFlight => ApiError::new(codes::IDEMPOTENCY_IN_FLIGHT, text).retry_after(1),
            Refusal::Overloaded => ApiError::new(codes::RATE_LIMITED, text).retry_after(1),
            Refusal::TooManyCommands => ApiError::new(codes::RATE_LIMITED, text).retry_after(1),
            Refusal::Unanswered { query, why } => self.unanswered(query, why),
            Refusal::Failed(failure) => self.failure(&failure, Certainty::NotDone),
            Refusal::Storage(error) => self.storage(error),
        }
    }
}
