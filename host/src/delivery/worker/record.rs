//! How a worker makes durable what it knows: progress in batches, one at a time, and the
//! endpoint's state.

use super::Worker;
use crate::delivery::{RETRY_STORAGE, Shared};
use crate::storage::{DeliveryProgress, Write, Written};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// Changes that are recorded without waiting for the interval.
const FLUSH_AT: usize = 256;

impl Worker {
    pub(super) fn start_flush(&mut self) {
        if self.progress.is_empty() && !self.window.has_moved() {
            return;
        }
        let at = *self
            .flush_at
            .get_or_insert_with(|| Instant::now() + self.shared.settings.flush_interval);
        let due = self.ending.is_some() || self.progress.len() >= FLUSH_AT || at <= Instant::now();
        if !due || self.flushing.is_some() {
            return;
        }
        self.flush_at = None;
        self.flushing_attempts = self.progress.attempts();
        let batch = self
            .progress
            .take(&self.config.endpoint.id, self.window.moved(), &self.epochs);
        self.flushing = Some(Box::pin(record(self.shared.clone(), batch)));
    }

    pub(super) fn start_save(&mut self) {
        if self.saving.is_some() {
            return;
        }
        let Some((state, reason)) = self.unsaved.take() else {
            return;
        };
        let (shared, config) = (self.shared.clone(), self.config.clone());
        self.saving = Some(Box::pin(async move {
            let endpoint = &config.endpoint.id;
            while let Err(error) = shared
                .store
                .set_endpoint_state(endpoint, state, reason.as_deref())
                .await
            {
                tracing::warn!(%endpoint, %error, "the endpoint's state cannot be saved, trying again");
                sleep(RETRY_STORAGE).await;
            }
        }));
    }
}

pub(super) enum Recorded {
    Done,
    /// Another host owns what the batch is about.
    Fenced,
}

/// Until storage has taken it. Nothing in a batch minds being recorded twice.
async fn record(shared: Arc<Shared>, batch: DeliveryProgress) -> Recorded {
    loop {
        let (done, wait) = oneshot::channel();
        let write = Write::Delivery(Box::new(batch.clone()));
        shared.writer.submit(
            write,
            Box::new(move |written| {
                let _ = done.send(written.map_err(|error| error.to_string()));
            }),
        );
        match wait.await {
            Ok(Ok(Written::Fenced)) => {
                shared.ownership.doubt();
                return Recorded::Fenced;
            }
            Ok(Ok(_)) => return Recorded::Done,
            Ok(Err(error)) => tracing::warn!(%error, "progress cannot be recorded, trying again"),
            Err(_) => tracing::warn!("the writer dropped a record of progress, trying again"),
        }
        sleep(RETRY_STORAGE).await;
    }
}
