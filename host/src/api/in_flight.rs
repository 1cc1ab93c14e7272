//! Requests with an idempotency key that this process is serving right now.

use super::codes;
use super::error::ApiError;
use crate::domain::WorkspaceId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

type Key = (WorkspaceId, String);

struct Entry {
    fingerprint: [u8; 32],
    /// Closes when the request is over.
    over: watch::Receiver<()>,
}

#[derive(Clone, Default)]
pub struct InFlight {
    entries: Arc<Mutex<HashMap<Key, Entry>>>,
}

/// The request of a key that is being served; the place is free when this is dropped.
pub struct Claim {
    entries: Arc<Mutex<HashMap<Key, Entry>>>,
    key: Key,
    _over: watch::Sender<()>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

impl InFlight {
    /// Waits until no other request with this key is served, until `deadline` at most.
    pub async fn claim(
        &self,
        workspace: &WorkspaceId,
        key: &str,
        fingerprint: [u8; 32],
        deadline: Instant,
    ) -> Result<Claim, ApiError> {
        let key = (workspace.clone(), key.to_owned());
        loop {
            let mut over = {
                let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
                match entries.get(&key) {
                    None => {
                        let (sender, receiver) = watch::channel(());
                        entries.insert(
                            key.clone(),
                            Entry {
                                fingerprint,
                                over: receiver,
                            },
                        );
                        return Ok(Claim {
                            entries: self.entries.clone(),
                            key,
                            _over: sender,
                        });
                    }
                    Some(entry) if entry.fingerprint != fingerprint => return Err(reused()),
                    Some(entry) => entry.over.clone(),
                }
            };
            // An error means that the sender is gone: the request is over.
            if tokio::time::timeout_at(deadline.into(), over.changed())
                .await
                .is_err()
            {
                return Err(ApiError::new(
                    codes::IDEMPOTENCY_IN_FLIGHT,
                    "Idempotency-Key: the first request with this key is still being served",
                )
                .retry_after(1));
            }
        }
    }
}

pub fn reused() -> ApiError {
    ApiError::new(
        codes::IDEMPOTENCY_KEY_REUSED,
        "Idempotency-Key: this key was used with another body",
    )
}
