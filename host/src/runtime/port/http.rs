//! What a turn and the rest of the host say to each other about HTTP requests. Implemented by
//! `network`, driven by `supervisor`.

use super::{Blobs, EgressGrant};
use crate::domain::account::Proxy;
use crate::domain::error::Failure;
use crate::domain::{AccountId, SecretBytes, WorkspaceId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// The contract's `http-types.request`. Shows nothing of itself: message contents are in it, and
/// names of people.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub secrets: Vec<Placement>,
    pub body: HttpBody,
    /// 30 s when absent.
    pub timeout_ms: Option<u32>,
    /// It may be sent again.
    pub repeatable: bool,
    /// 1 MiB when absent.
    pub max_bytes: Option<u64>,
    pub to_blob: bool,
    pub context: Bytes,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Where a secret goes: `before`, its value, `after`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub secret: String,
    pub place: Place,
    pub before: String,
    pub after: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Header(String),
    Query(String),
    /// Counted from 0.
    PathSegment(u32),
    FormField(String),
    JsonPointer(String),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpBody {
    Empty,
    Bytes(Bytes),
    Blob(String),
    Multipart(Vec<HttpPart>),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpPart {
    pub name: String,
    pub filename: Option<String>,
    pub mime: Option<String>,
    pub body: PartBody,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartBody {
    Bytes(Bytes),
    Blob(String),
}

/// Bytes that are written as base64 where the form is a text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD
            .decode(text)
            .map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

impl HttpRequest {
    /// What it weighs.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        let secrets: usize = self
            .secrets
            .iter()
            .map(|one| one.secret.len() + one.before.len() + one.after.len())
            .sum();
        let body = match &self.body {
            HttpBody::Empty | HttpBody::Blob(_) => 0,
            HttpBody::Bytes(bytes) => bytes.0.len(),
            HttpBody::Multipart(parts) => parts
                .iter()
                .map(|part| {
                    let body = match &part.body {
                        PartBody::Bytes(bytes) => bytes.0.len(),
                        PartBody::Blob(_) => 0,
                    };
                    let texts = [&part.filename, &part.mime];
                    let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
                    part.name.len() + texts + body
                })
                .sum(),
        };
        self.url.len() + headers + secrets + body + self.context.0.len()
    }

    /// As storage keeps it, with its label.
    pub fn encode(&self, label: &str) -> Vec<u8> {
        serde_json::to_vec(&(label, self)).unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Option<(String, Self)> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The contract's `reactor.response`.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// Names are lower-case; a value that is not UTF-8 was read as Latin-1.
    pub headers: Vec<(String, String)>,
    pub body: ResponseBody,
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq)]
pub enum ResponseBody {
    Bytes(Vec<u8>),
    Blob(String),
}

/// A request on its way, with all that the network has to know of its account.
pub struct OutgoingRequest {
    pub account: AccountId,
    pub workspace: WorkspaceId,
    /// Where the blobs are that its body names, and where its answer goes if it wants that.
    pub blobs: Arc<dyn Blobs>,
    pub request: Arc<HttpRequest>,
    /// The values that its placements name, as far as the account has them.
    pub secrets: Vec<(String, SecretBytes)>,
    pub grant: Arc<EgressGrant>,
    pub proxy: Option<Proxy>,
}

/// Takes the answer. Must not block.
pub trait HttpSink: Send + Sync + 'static {
    /// Once, unless the flight was dropped before.
    fn answered(&self, outcome: Result<HttpResponse, Failure>);
    /// May bytes leave now? Asked before the request is written.
    fn may_write(&self) -> bool {
        true
    }
}

/// A request on its way. Dropping it cancels it.
pub trait HttpFlight: Send + Sync {
    /// It goes on, and nobody waits for its answer.
    fn detach(self: Box<Self>);
}

/// Sends requests under grant, operator policy and address guard.
pub trait HttpClient: Send + Sync + 'static {
    /// Answers at once; refusal and failure come to the sink (`denied` when a policy refuses).
    fn send(&self, outgoing: OutgoingRequest, sink: Arc<dyn HttpSink>) -> Box<dyn HttpFlight>;
}
