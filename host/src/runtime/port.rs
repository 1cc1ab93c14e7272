//! What a turn and the rest of the host say to each other about connections and about blobs.
//! Implemented by `network` and `media`, driven by `supervisor`.

pub mod http;

use crate::domain::WorkspaceId;
use crate::domain::account::Proxy;
use crate::domain::error::Failure;
use crate::domain::manifest::PlaceKind;
use crate::domain::media::{Blob, BlobError, BlobId, BlobOwner};
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

/// The contract's `connections.spec`, without the transports that this host does not offer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSpec {
    pub transport: Transport,
    pub framing: Framing,
    /// A longer frame closes the connection.
    pub max_frame_bytes: u32,
    /// TCP keep-alive.
    pub ping_interval_ms: Option<u32>,
    /// 10 s when absent.
    pub connect_timeout_ms: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Bytes as they come.
    Raw,
    /// Ends with LF or CR LF: comes without it, leaves with CR LF added.
    Line,
    LengthPrefix {
        /// 1 to 4 bytes.
        width: u8,
        big_endian: bool,
        /// What to add to the prefix to get the bytes that follow it.
        adjust: i32,
        strip: bool,
    },
}

/// Where one account may connect: the manifest's rules with the account's configuration filled
/// in. The operator's policy and the address guard belong to the network and come on top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressGrant {
    /// The provider's id: the operator may narrow each one's further.
    pub provider: String,
    pub rules: Vec<GrantedDestination>,
    pub placements: Vec<GrantedPlacement>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantedDestination {
    /// A name or address, compared without case; `*.example.org` stands for every name below it.
    pub host: String,
    pub port: u16,
    pub tcp: bool,
    pub tls: bool,
    pub http: bool,
    pub https: bool,
    /// Of requests; every one when empty.
    pub methods: Vec<String>,
    /// What the path of a request begins with; anything when empty.
    pub paths: Vec<String>,
}

/// Where a secret may stand in a request, and who may see it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedPlacement {
    pub secret: String,
    pub place: PlaceKind,
    pub name: String,
    pub hosts: Vec<String>,
    pub http: bool,
    pub https: bool,
}

/// A place in the account's bounded queue of frames. As long as it lives the frame counts as
/// waiting; when too many wait, the connection stops reading. Dropped with the turn's commit.
#[derive(Debug)]
pub struct Credit(#[allow(dead_code)] pub tokio::sync::OwnedSemaphorePermit);

/// What happens on a connection, in order.
#[derive(Debug)]
pub enum Report {
    /// It is up; a second time after `start_tls`.
    Opened,
    Frame {
        bytes: Vec<u8>,
        credit: Credit,
    },
    /// The last report. `undelivered`: frames that were sent and never left.
    Closed {
        code: Option<u16>,
        reason: Failure,
        undelivered: u32,
    },
    /// Everything up to and with the frame sent with this token was taken by the kernel.
    Flushed {
        token: u64,
    },
}

/// Takes a connection's reports. Must not block.
pub trait ConnectionSink: Send + Sync + 'static {
    fn report(&self, report: Report);
    /// May bytes leave now? Asked before every write; while not, they wait.
    fn may_write(&self) -> bool {
        true
    }
}

/// An open (or opening) connection. Calls never block; what was sent leaves in order.
/// Dropping it closes it without a report.
pub trait Connection: Send + Sync {
    /// `token` comes back as [`Report::Flushed`]. On a connection that is still opening, frames
    /// wait.
    fn send(&self, bytes: Vec<u8>, token: Option<u64>);
    /// Goes on as TLS after what was sent before. Input that was not handed over yet closes the
    /// connection.
    fn start_tls(&self, server_name: String);
    /// After what was sent before. No report follows any more, except `Flushed`.
    fn close(&self);
}

/// Opens connections under grant, operator policy and address guard.
pub trait Connector: Send + Sync + 'static {
    /// Answers at once; refusal and failure come as [`Report::Closed`] (`denied` when a policy
    /// refuses).
    fn open(
        &self,
        spec: ConnectionSpec,
        grant: Arc<EgressGrant>,
        proxy: Option<Proxy>,
        sink: Arc<dyn ConnectionSink>,
    ) -> Box<dyn Connection>;
}

/// Bytes on their way, in pieces; never more of them in memory than a few pieces. An error ends
/// them.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A blob to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBlob {
    pub owner: BlobOwner,
    /// None, or a type that says nothing (`application/octet-stream`): as the first bytes look.
    pub mime: Option<String>,
    pub filename: Option<String>,
    /// Within the operator's own limit.
    pub max_bytes: Option<u64>,
}

/// The media store. Every call may wait for a disk or for another server.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Of this workspace, and whole. Whether an account may have it says [`BlobOwner::lets`].
    async fn stat(&self, workspace: &WorkspaceId, id: &BlobId) -> Result<Blob, BlobError>;
    /// The bytes from `range.start` up to `range.end`, which is at most the blob's size. What is
    /// not taken is not read.
    async fn read(&self, blob: &Blob, range: Range<u64>) -> Result<ByteStream, BlobError>;
    /// Takes all of the bytes and keeps them; nothing stays of a stream that ends in an error or
    /// is not read to its end. The blob is durable when this returns.
    async fn make(&self, new: NewBlob, bytes: ByteStream) -> Result<Blob, BlobError>;
}

/// What an address that a client named leads to.
pub struct Fetched {
    /// As its server says.
    pub mime: Option<String>,
    pub filename: Option<String>,
    pub bytes: ByteStream,
}

/// Gets what clients name by address, under the address guard.
#[async_trait]
pub trait Fetcher: Send + Sync + 'static {
    /// Returns with the answer's headers. The failure is for the client: `denied` where a policy
    /// refuses, `not-found` where nothing is there, `unavailable` where another try may help.
    async fn fetch(&self, url: &str) -> Result<Fetched, Failure>;
}
