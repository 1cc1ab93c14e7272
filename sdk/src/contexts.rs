//! Contexts by type: what a provider gives a timer or a request to remember, written as JSON; and
//! what it reads of an HTTP answer.

use crate::http_types::{Place, Placement, Request};
use crate::provider::{Result, place};
use crate::reactor::{Answered, Fired, Response, ResponseBody};
use crate::timers;
use crate::types::{Error, ErrorCode, Header};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The contract's bound.
const CONTEXT_BYTES: usize = 4096;

fn write(context: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = serde_json::to_vec(context).map_err(|error| {
        Error::internal(format!("a context cannot be written: {}", place(&error)))
    })?;
    if bytes.len() > CONTEXT_BYTES {
        return Err(Error::internal(format!(
            "a context has at most {CONTEXT_BYTES} bytes, this one has {}",
            bytes.len()
        )));
    }
    Ok(bytes)
}

fn read<T: DeserializeOwned>(label: &str, context: &[u8]) -> Result<T> {
    serde_json::from_slice(context).map_err(|error| {
        Error::internal(format!(
            "the context of `{label}` cannot be read: {}",
            place(&error)
        ))
    })
}

impl timers::Spec {
    /// Survives a restart of the host.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Comes back with the wake ([`Fired::context_as`]).
    pub fn with_context(mut self, context: &impl Serialize) -> Result<Self> {
        self.context = write(context)?;
        Ok(self)
    }
}

impl Fired {
    pub fn context_as<T: DeserializeOwned>(&self) -> Result<T> {
        read(&self.name, &self.context)
    }
}

impl Request {
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// The host puts `before`, the secret and `after` into this place; a placement of the manifest
    /// has to allow it, for this host and transport (`https` alone, unless it says otherwise).
    #[must_use]
    pub fn with_secret(
        mut self,
        secret: impl Into<String>,
        place: Place,
        before: impl Into<String>,
        after: impl Into<String>,
    ) -> Self {
        self.secrets.push(Placement {
            secret: secret.into(),
            place,
            before: before.into(),
            after: after.into(),
        });
        self
    }

    /// `Authorization: Bearer …` with a secret that the guest never sees.
    #[must_use]
    pub fn with_bearer(self, secret: impl Into<String>) -> Self {
        self.with_secret(secret, Place::Header("authorization".into()), "Bearer ", "")
    }

    #[must_use]
    pub fn with_timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// Comes back with the answer ([`Answered::context_as`]).
    pub fn with_context(mut self, context: &impl Serialize) -> Result<Self> {
        self.context = write(context)?;
        Ok(self)
    }
}

impl Answered {
    /// Fails the turn if it cannot be read: of requests that an older version submitted, too.
    pub fn context_as<T: DeserializeOwned>(&self) -> Result<T> {
        read(&self.name, &self.context)
    }
}

impl Response {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, whatever the case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |header: &&Header| header.name.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|it| it.value.as_str())
    }

    /// The body; none if it lies in the media store.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.body {
            ResponseBody::Bytes(bytes) => Some(bytes),
            ResponseBody::Blob(_) => None,
        }
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let bytes = self.bytes().unwrap_or_default();
        serde_json::from_slice(bytes).map_err(|error| {
            Error::unavailable(format!(
                "the channel's answer cannot be read: {}",
                place(&error)
            ))
            .with_channel_code(self.status.to_string())
        })
    }

    /// What a status says in the contract's words; nothing for a success.
    pub fn error(&self) -> Option<Error> {
        let code = match self.status {
            200..300 => return None,
            401 => ErrorCode::Unauthenticated,
            403 => ErrorCode::Forbidden,
            404 | 410 => ErrorCode::NotFound,
            409 => ErrorCode::Conflict,
            429 => ErrorCode::RateLimited,
            400..500 => ErrorCode::Invalid,
            _ => ErrorCode::Unavailable,
        };
        let mut error = Error::new(code, format!("the channel answered {}", self.status))
            .with_channel_code(self.status.to_string());
        error.retry_after_ms = self
            .header("retry-after")
            .and_then(|value| value.trim().parse::<u32>().ok())
            .map(|seconds| seconds.saturating_mul(1000));
        Some(error)
    }
}
