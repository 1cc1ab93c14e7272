//! The REST surface: envelope, keys, error codes, and the handlers of `v1`.
//!
//! Handlers read a request, ask `supervisor` and `storage`, and show what they say. No rule of a
//! channel stands here; what may be sent is the provider's `describe` and the supervisor's word.
//! `docs/api.md` describes every operation.

pub mod access;
mod admin;
mod avatars;
mod body;
mod capable;
pub mod codes;
mod cursor;
mod envelope;
mod error;
mod fields;
mod gate;
pub mod health;
mod in_flight;
mod ingress;
mod key_requests;
mod key_schema;
mod keys;
mod limits;
mod log_reader;
mod media_content;
mod openapi;
mod page;
mod prefer;
mod public_media;
mod query;
mod request_id;
mod routes;
#[cfg(test)]
mod tests;
mod v1;
mod workspace_changes;

pub use admin::rotate_all;
pub use avatars::PictureAddress;
pub use ingress::{IngressState, IngressTokens};
pub use keys::{KeyUse, NewKey, hash_key, mint_key};
pub use limits::Limits;
pub use openapi::written as description;
pub use page::Sealer;

use crate::delivery::Lag;
use crate::domain::id::ApiKeyId;
use crate::domain::media::BlobId;
use crate::domain::{AccountId, EndpointId, Timestamp};
use crate::media::Blobs;
use crate::storage::blobs::BlobRows;
use crate::storage::{StorageError, Store};
use crate::supervisor::control::Control;
use crate::supervisor::operate::Operate;
use crate::telemetry::{Metrics, Tracer};
use async_trait::async_trait;
use axum::Router;
use envelope::Answer;
use error::ApiError;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Names of the operator's settings in storage; the second is followed by a provider's id.
pub const NETWORK_POLICY: &str = "network";
pub const PROVIDER_CONFIG: &str = "provider-config/";

/// How far an endpoint is behind.
pub type Lags = Arc<dyn Fn(&EndpointId) -> Option<Lag> + Send + Sync>;

/// What the API is built on. `app` makes it.
pub struct ApiState {
    pub store: Arc<dyn Store>,
    pub control: Arc<dyn Control>,
    pub operate: Arc<dyn Operate>,
    pub operator_settings: Arc<dyn OperatorSettings>,
    /// Written down by `app` from time to time, and at the end.
    pub key_use: Arc<KeyUse>,
    /// How far an endpoint is behind, as far as this host knows.
    pub lag: Lags,
    /// Changes whenever events were appended (`Writer::log_changed`).
    pub log: watch::Receiver<u64>,
    /// Becomes true when the host stops: streams and long polls end.
    pub stopping: watch::Receiver<bool>,
    /// Is called after each change of an endpoint (made, changed, deleted), so that delivery
    /// reads it anew.
    pub endpoint_changed: Arc<dyn Fn(&EndpointId) + Send + Sync>,
    /// Why the database refuses writes right now (`Writer::trouble`).
    pub trouble: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    pub operations: Operations,
    pub reply_tokens: Arc<dyn ReplyTokens>,
    pub sealer: Arc<dyn Sealer>,
    pub ingress: IngressState,
    pub blobs: Arc<dyn Blobs>,
    pub blob_rows: Arc<dyn BlobRows>,
    pub settings: Settings,
}

/// What the host tells of itself.
#[derive(Clone)]
pub struct Operations {
    pub readiness: Arc<dyn health::Readiness>,
    pub metrics: Arc<Metrics>,
    pub tracer: Tracer,
}

/// Puts what storage has of the operator's settings and of workspaces into effect. `app` also does
/// so every few seconds, for what another host has changed.
#[async_trait]
pub trait OperatorSettings: Send + Sync + 'static {
    async fn reload(&self) -> Result<(), StorageError>;
}

/// Makes and opens the tokens by which clients reply to a message: sealed, bound to the account.
pub trait ReplyTokens: Send + Sync + 'static {
    fn seal(&self, account: &AccountId, target: &ReplyTarget) -> String;
    fn open(&self, account: &AccountId, token: &str) -> OpenedToken;
    /// A public address of a blob: what it leads to, and until when. None: it is no such token.
    fn open_blob_token(&self, _token: &str) -> Option<(BlobId, Timestamp)> {
        None
    }
    /// Where a picture of this account can be had: the same for the same name, and not to be
    /// guessed. None: this host has no address to give.
    fn picture_address(&self, _account: &AccountId, _name: [&str; 2]) -> Option<PictureAddress> {
        None
    }
}

/// The message that a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTarget {
    pub conversation: String,
    pub message: String,
    pub sender: Option<String>,
    /// What the provider gave for replying to it.
    pub reply_context: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenedToken {
    Target(ReplyTarget),
    /// Not of the form of this host's tokens at all.
    Foreign,
    /// Of our form, but damaged, of another account, or of another installation.
    Invalid,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of an uploaded component.
    pub component_limit: usize,
    /// How long a sign-in call waits for what follows from it.
    pub sign_in_wait: Duration,
    /// Of a stream of events.
    pub heartbeat: Duration,
    /// A client of a stream that takes nothing for so long is dropped.
    pub stream_patience: Duration,
    pub streams: usize,
    pub endpoints_per_workspace: usize,
    pub keys_per_workspace: usize,
    /// Of an uploaded medium.
    pub media_bytes: u64,
    /// How long media that nothing refers to are kept.
    pub media_keep_ms: u64,
    /// How long a request waits for an attachment to come from its channel.
    pub media_wait: Duration,
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            component_limit: 64 * 1024 * 1024,
            sign_in_wait: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            stream_patience: Duration::from_secs(30),
            streams: 1024,
            endpoints_per_workspace: 100,
            keys_per_workspace: 100,
            media_bytes: 2 << 30,
            media_keep_ms: 7 * crate::storage::DAY_MS,
            media_wait: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }
}

/// Shared by all handlers.
struct Shared {
    store: Arc<dyn Store>,
    control: Arc<dyn Control>,
    operate: Arc<dyn Operate>,
    operator_settings: Arc<dyn OperatorSettings>,
    key_use: Arc<KeyUse>,
    lag: Lags,
    stopping: watch::Receiver<bool>,
    endpoint_changed: Arc<dyn Fn(&EndpointId) + Send + Sync>,
    trouble: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    operations: Operations,
    reply_tokens: Arc<dyn ReplyTokens>,
    sealer: Arc<dyn Sealer>,
    ingress: IngressState,
    blobs: Arc<dyn Blobs>,
    blob_rows: Arc<dyn BlobRows>,
    media_fetches: public_media::Fetches,
    settings: Settings,
    keys: keys::KeyCache,
    key_buckets: limits::Buckets<ApiKeyId>,
    peer_buckets: limits::Buckets<IpAddr>,
    in_flight: in_flight::InFlight,
    texts: openapi::Texts,
    reader: log_reader::LogReader,
    streams: Arc<Semaphore>,
    /// Changes of endpoints read, change and write; one at a time.
    endpoint_writes: tokio::sync::Mutex<()>,
    /// Changes of keys, workspaces and the operator's settings likewise.
    admin_writes: tokio::sync::Mutex<()>,
}

type Api = Arc<Shared>;

/// All routes. `app` may merge others (ingress, own surfaces) before serving it.
pub fn router(state: ApiState) -> Router {
    let api: Api = Arc::new(Shared {
        reader: log_reader::LogReader::new(state.store.clone(), state.log),
        streams: Arc::new(Semaphore::new(state.settings.streams)),
        store: state.store,
        control: state.control,
        operate: state.operate,
        operator_settings: state.operator_settings,
        key_use: state.key_use,
        lag: state.lag,
        stopping: state.stopping,
        endpoint_changed: state.endpoint_changed,
        trouble: state.trouble,
        operations: state.operations,
        reply_tokens: state.reply_tokens,
        sealer: state.sealer,
        ingress: state.ingress,
        blobs: state.blobs,
        blob_rows: state.blob_rows,
        media_fetches: public_media::Fetches::default(),
        settings: state.settings,
        keys: keys::KeyCache::default(),
        key_buckets: limits::Buckets::default(),
        peer_buckets: limits::Buckets::default(),
        in_flight: in_flight::InFlight::default(),
        texts: openapi::Texts::default(),
        endpoint_writes: tokio::sync::Mutex::new(()),
        admin_writes: tokio::sync::Mutex::new(()),
    });
    all_routes()
        .into_router()
        .fallback(unknown_route)
        .layer(axum::middleware::from_fn_with_state(
            api.clone(),
            gate::check,
        ))
        .layer(axum::middleware::from_fn_with_state(
            api.operations.clone(),
            envelope::wrap,
        ))
        .with_state(api)
}

fn all_routes() -> routes::Routes {
    v1::routes()
        .merge(admin::routes())
        .merge(health::routes())
        .merge(ingress::routes())
        .merge(openapi::routes())
        .merge(public_media::routes())
}

/// What is wrong between the routes and the table of [`access`]; empty when they are the same.
pub fn unlisted_routes() -> Vec<String> {
    all_routes().differences()
}

/// What is wrong with the description of the API; empty when every route is in it.
pub fn undescribed_routes() -> Vec<String> {
    openapi::problems(&all_routes())
}

async fn unknown_route() -> Answer {
    Err(ApiError::new(codes::NOT_FOUND, "there is no such route"))
}
