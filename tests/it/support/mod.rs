//! What the tests share: guests, a host in this process, a webhook receiver.

// Each story uses a part of it.
#![allow(dead_code)]

pub mod arrivals;
pub mod cut;
#[path = "../../../host/src/api/tests/described.rs"]
pub mod described;
pub mod guests;
pub mod host;
pub mod peer;
pub mod postgres;
pub mod process;
pub mod random;
pub mod relay;
pub mod sink;
pub mod traffic;

use described::Description;
use std::sync::LazyLock;
use std::time::Duration;

/// Every answer that [`host::Host`] gets is held against it.
pub static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| {
    let text = anyport::api::description().unwrap();
    Description::new(serde_json::from_slice(&text).unwrap())
});

/// The longest that a test waits for anything. Long, since nothing is measured by it: a test
/// that gets what it waits for never sees it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition gives something; for what can only be looked at again and again.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(found) => found,
        Err(_) => panic!("waited in vain for: {what}"),
    }
}

/// The full numbers of a story, for `just prove-…`; without it, what CI can afford.
pub fn proves() -> bool {
    std::env::var_os("ANYPORT_PROVE").is_some()
}

/// Shows the log of hosts in this process if `ANYPORT_LOG` says what of it.
pub fn show_log() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("ANYPORT_LOG") {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .try_init();
    }
}
