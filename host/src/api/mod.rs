//! The REST surface: envelope, keys, error codes, and the handlers of `v1`.
//!
//! Handlers read a request, ask `supervisor` and `storage`, and show what they say. No rule of a
//! channel stands here; what may be sent is the provider's `describe` and the supervisor's word.
//! `docs/api.md` describes every operation.

mod body;
pub mod codes;
mod cursor;
mod envelope;
mod error;
mod fields;
mod health;
mod in_flight;
mod keys;
mod log_reader;
mod prefer;
mod query;
mod request_id;
#[cfg(test)]
mod tests;
mod upkeep;
mod v1;

pub use keys::{hash_key, mint_key};
pub use upkeep::rotate_all;

use crate::domain::{AccountId, EndpointId};
use crate::storage::Store;
use crate::supervisor::control::Control;
use axum::Router;
use axum::http::Method;
use envelope::Answer;
use error::ApiError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// What the API is built on. `app` makes it.
pub struct ApiState {
    pub store: Arc<dyn Store>,
    pub control: Arc<dyn Control>,
    /// Changes whenever events were appended (`Writer::log_changed`).
    pub log: watch::Receiver<u64>,
    /// Becomes true when the host stops: streams and long polls end.
    pub stopping: watch::Receiver<bool>,
    /// Is called after each change of an endpoint (made, changed, deleted), so that delivery
    /// reads it anew.
    pub endpoint_changed: Arc<dyn Fn(&EndpointId) + Send + Sync>,
    /// Why the database refuses writes right now (`Writer::trouble`), for `/readyz`.
    pub trouble: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    pub reply_tokens: Arc<dyn ReplyTokens>,
    pub settings: Settings,
}

/// Makes and opens the tokens by which clients reply to a message: sealed, bound to the account.
pub trait ReplyTokens: Send + Sync + 'static {
    fn seal(&self, account: &AccountId, target: &ReplyTarget) -> String;
    fn open(&self, account: &AccountId, token: &str) -> OpenedToken;
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
        }
    }
}

/// Shared by all handlers.
struct Shared {
    store: Arc<dyn Store>,
    control: Arc<dyn Control>,
    stopping: watch::Receiver<bool>,
    endpoint_changed: Arc<dyn Fn(&EndpointId) + Send + Sync>,
    trouble: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    reply_tokens: Arc<dyn ReplyTokens>,
    settings: Settings,
    keys: keys::KeyCache,
    in_flight: in_flight::InFlight,
    reader: log_reader::LogReader,
    streams: Arc<Semaphore>,
    /// Changes of endpoints read, change and write; one at a time.
    endpoint_writes: tokio::sync::Mutex<()>,
}

type Api = Arc<Shared>;

/// All routes. `app` may merge others (ingress, own surfaces) before serving it.
pub fn router(state: ApiState) -> Router {
    let api: Api = Arc::new(Shared {
        reader: log_reader::LogReader::new(state.store.clone(), state.log),
        streams: Arc::new(Semaphore::new(state.settings.streams)),
        store: state.store,
        control: state.control,
        stopping: state.stopping,
        endpoint_changed: state.endpoint_changed,
        trouble: state.trouble,
        reply_tokens: state.reply_tokens,
        settings: state.settings,
        keys: keys::KeyCache::default(),
        in_flight: in_flight::InFlight::default(),
        endpoint_writes: tokio::sync::Mutex::new(()),
    });
    v1::routes()
        .merge(health::routes())
        .merge(upkeep::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_route)
        .layer(axum::middleware::from_fn(envelope::wrap))
        .with_state(api)
}

async fn unknown_route() -> Answer {
    Err(ApiError::new(codes::NOT_FOUND, "there is no such route"))
}

async fn method_not_allowed(method: Method) -> Answer {
    Err(ApiError::new(
        codes::METHOD_NOT_ALLOWED,
        format!("this route does not take {method}"),
    ))
}
