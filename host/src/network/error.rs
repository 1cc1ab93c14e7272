//! Why the network could not start, and why a destination could not be dialed.
//!
//! Messages are for clients: they name the host that was asked for, never an address it leads to,
//! a proxy or a secret. What helps to find a cause goes into `detail`, for the log.

use super::guard::Refusal;
use crate::domain::error::{Failure, FailureCode};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("the certificate authorities in {path} could not be read: {problem}")]
    ExtraCa { path: PathBuf, problem: String },
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the network needs a tokio runtime to run its connections on")]
    NoRuntime,
}

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialProblem {
    /// The guard refuses the address.
    Denied,
    /// Not a host name or a port that could be dialed.
    Invalid,
    Unresolved,
    Refused,
    Unreachable,
    TimedOut,
    Tls,
    Proxy,
}

/// `message` is for clients and holds no address and no secret; `detail` is for the log.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DialError {
    pub problem: DialProblem,
    pub message: String,
    pub detail: Option<String>,
}

impl DialError {
    pub(super) fn new(problem: DialProblem, message: impl Into<String>) -> Self {
        Self {
            problem,
            message: message.into(),
            detail: None,
        }
    }

    pub(super) fn with_detail(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    pub(super) fn denied(host: &str, address: SocketAddr, refusal: Refusal) -> Self {
        Self::new(
            DialProblem::Denied,
            format!(
                "{host} leads to {}, which may not be connected to",
                refusal.0
            ),
        )
        .with_detail(address)
    }

    pub(super) fn unresolved(host: &str, detail: impl ToString) -> Self {
        Self::new(
            DialProblem::Unresolved,
            format!("the name {host} could not be resolved"),
        )
        .with_detail(detail)
    }

    pub(super) fn timed_out(what: &str, host: &str) -> Self {
        Self::new(
            DialProblem::TimedOut,
            format!("{what} took too long ({host})"),
        )
    }

    pub(super) fn from_io(host: &str, port: u16, address: SocketAddr, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let (problem, text) = match error.kind() {
            Kind::ConnectionRefused => (DialProblem::Refused, "refused the connection"),
            Kind::TimedOut => (DialProblem::TimedOut, "did not answer in time"),
            _ => (DialProblem::Unreachable, "could not be reached"),
        };
        Self::new(problem, format!("{host}:{port} {text}"))
            .with_detail(format!("{address}: {error}"))
    }

    /// The same failure, said of the proxy; where the proxy is stays in the detail.
    pub(super) fn of_proxy(self) -> Self {
        let what = match self.problem {
            DialProblem::Denied => "the proxy's address may not be connected to",
            DialProblem::Invalid => "the proxy's address is not valid",
            DialProblem::Unresolved => "the proxy's name could not be resolved",
            DialProblem::Refused => "the proxy refused the connection",
            _ => "the proxy could not be reached",
        };
        let problem = match self.problem {
            problem @ (DialProblem::Denied | DialProblem::Invalid) => problem,
            _ => DialProblem::Proxy,
        };
        let detail = format!("{}: {}", self.message, self.detail.unwrap_or_default());
        Self::new(problem, what).with_detail(detail)
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let code = match error.problem {
            DialProblem::Denied => FailureCode::Denied,
            DialProblem::Invalid => FailureCode::Invalid,
            _ => FailureCode::Unavailable,
        };
        let mut failure = Self::new(code, error.message);
        failure.detail = error.detail;
        failure
    }
}
