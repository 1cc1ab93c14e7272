//! The one writer: everything that waits goes into one transaction.
//!
//! Owns grouping and retry. Account commits are retried until the database takes them (their
//! accounts freeze meanwhile, and order is kept); a client's send is refused instead, since nobody
//! was promised anything yet.

use super::{StorageError, Write, Written};
use std::sync::Arc;

/// Called once, on the writer's thread, with what became of the write. Must not block.
pub type Done = Box<dyn FnOnce(Result<Written, StorageError>) + Send>;

/// A handle to the writer; clones share it.
#[derive(Clone)]
pub struct Writer {
    _inner: Arc<()>,
}

impl Writer {
    /// Queues a write. Those of one account are committed in the order of the calls.
    pub fn submit(&self, _write: Write, _done: Done) {}

    /// Changes whenever events were appended: what reads the log waits on it.
    pub fn log_changed(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }

    /// Is the database refusing writes right now, and why? `/v1/messages` answers 503 while it does.
    pub fn trouble(&self) -> Option<String> {
        None
    }
}
