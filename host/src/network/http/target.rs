//! Where a request goes: its URL, taken apart.

use crate::domain::error::{Failure, FailureCode};
use http::HeaderValue;
use url::Url;

const MOST_URL_BYTES: usize = 8 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub https: bool,
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// For the Host header.
    pub authority: HeaderValue,
    /// Percent-encoded and without `..`.
    pub path: String,
    pub query: Option<String>,
}

pub fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Invalid, message)
}

impl Target {
    /// The failure says nothing of the URL: a guest may have written a token into it.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.len() > MOST_URL_BYTES {
            return Err(invalid("the URL is longer than 8,192 bytes"));
        }
        let url =
            Url::parse(text).map_err(|error| invalid(format!("the URL is not valid: {error}")))?;
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(invalid("the URL's scheme is neither https nor http")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("the URL names a user or password"));
        }
        if url.fragment().is_some() {
            return Err(invalid("the URL has a fragment"));
        }
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(invalid("the URL names no host")),
        };
        let written = url.host_str().unwrap_or_default();
        let authority = match url.port() {
            Some(port) => format!("{written}:{port}"),
            None => written.to_owned(),
        };
        Ok(Self {
            https,
            host,
            port: url.port_or_known_default().unwrap_or(443),
            authority: HeaderValue::try_from(authority)
                .map_err(|_| invalid("the URL names no host"))?,
            path: url.path().to_owned(),
            query: url.query().map(str::to_owned),
        })
    }
}
