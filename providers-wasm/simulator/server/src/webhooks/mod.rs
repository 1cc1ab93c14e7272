//! Webhooks out: where events are posted, by whom, and what became of it. One courier per address;
//! per user the order is kept, and nothing is posted anew before what went before it got its 2xx.

mod courier;
mod sign;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::channel::Channel;

pub(crate) use sign::{hmac, signature};

/// Records of deliveries that are kept.
const RECORDS: usize = 20_000;

/// One address.
pub(crate) struct Hook {
    pub(crate) url: String,
    pub(crate) secret: Vec<u8>,
    /// None: of the app, for all users that have none of their own.
    pub(crate) user: Option<String>,
    pub(crate) wake: Notify,
    closed: AtomicBool,
    last: Mutex<Option<SignedRequest>>,
}

/// A request as it was posted. For tests that post it again or alter it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRequest {
    pub url: String,
    pub timestamp: u64,
    pub signature: String,
    pub body: String,
}

impl SignedRequest {
    pub fn signed(url: &str, secret: &[u8], timestamp: u64, body: &str) -> Self {
        Self {
            url: url.to_owned(),
            timestamp,
            signature: signature(secret, timestamp, body.as_bytes()),
            body: body.to_owned(),
        }
    }
}

/// One request to a webhook address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    pub users: Vec<String>,
    /// Ids.
    pub events: Vec<String>,
    /// Of these, so many had been posted before.
    pub again: u64,
    /// None: no answer came.
    pub status: Option<u16>,
}

impl Hook {
    pub(crate) fn new(url: String, secret: Vec<u8>, user: Option<String>) -> Self {
        Self {
            url,
            secret,
            user,
            wake: Notify::new(),
            closed: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }

    /// Another takes its place, or none.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.wake.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(crate) fn last(&self) -> Option<SignedRequest> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn sign(&self, timestamp: u64, body: &Bytes) -> SignedRequest {
        let body = String::from_utf8_lossy(body);
        let signed = SignedRequest::signed(&self.url, &self.secret, timestamp, &body);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(signed.clone());
        signed
    }
}

/// All that was posted, up to a limit.
#[derive(Default)]
pub(crate) struct Deliveries(Mutex<VecDeque<DeliveryRecord>>);

impl Deliveries {
    fn keep(&self, record: DeliveryRecord) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.push_back(record);
        if records.len() > RECORDS {
            records.pop_front();
        }
    }

    pub(crate) fn all(&self) -> Vec<DeliveryRecord> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().cloned().collect()
    }
}

/// Runs a courier for each address that there is, until the server stops.
pub(crate) async fn run(channel: Arc<Channel>, mut stopped: watch::Receiver<bool>) {
    let mut couriers = JoinSet::new();
    loop {
        for hook in channel.take_new_hooks() {
            couriers.spawn(courier::run(Arc::clone(&channel), hook));
        }
        tokio::select! {
            () = channel.hooks_changed.notified() => {}
            Some(_) = couriers.join_next() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}
