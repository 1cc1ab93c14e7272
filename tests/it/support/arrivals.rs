//! A webhook receiver for much traffic: keeps one copy of each event, counts repeats, and holds
//! them against the first.

use super::PATIENCE;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::StatusCode;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Default)]
pub struct Arrived {
    /// By event id.
    pub events: HashMap<String, Event>,
    /// Event ids in the order of their first arrival.
    pub order: Vec<String>,
    pub requests: u64,
    /// What must not be: an event that came again with other bytes.
    pub changed: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub bytes: Bytes,
    pub body: Value,
    pub times: u32,
}

impl Event {
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    pub fn account(&self) -> &str {
        self.body["account_id"].as_str().unwrap_or_default()
    }

    /// A field of `data`.
    pub fn text(&self, field: &str) -> &str {
        self.body["data"][field].as_str().unwrap_or_default()
    }
}

impl Arrived {
    /// Events of a kind and, if given, an account, in the order of their first arrival.
    pub fn of<'a>(&'a self, kind: &'a str, account: &'a str) -> impl Iterator<Item = &'a Event> {
        self.order
            .iter()
            .map(|id| &self.events[id])
            .filter(move |event| event.kind() == kind)
            .filter(move |event| account.is_empty() || event.account() == account)
    }

    fn take(&mut self, bytes: Bytes) {
        self.requests += 1;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let id = body["id"].as_str().unwrap_or_default().to_owned();
        match self.events.get_mut(&id) {
            Some(event) => {
                event.times += 1;
                if event.bytes != bytes {
                    self.changed.push(id);
                }
            }
            None => {
                self.order.push(id.clone());
                let event = Event {
                    bytes,
                    body,
                    times: 1,
                };
                self.events.insert(id, event);
            }
        }
    }
}

pub struct Arrivals {
    address: SocketAddr,
    arrived: Arc<Mutex<Arrived>>,
    serving: JoinHandle<()>,
    paused: watch::Sender<bool>,
}

impl Arrivals {
    pub async fn start() -> Self {
        let (paused, waits) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrived = Arc::new(Mutex::new(Arrived::default()));
        let router = Router::new()
            .fallback(
                async move |State(arrived): State<Arc<Mutex<Arrived>>>, bytes: Bytes| {
                    let _ = waits.clone().wait_for(|paused| !paused).await;
                    arrived.lock().unwrap().take(bytes);
                    StatusCode::OK
                },
            )
            .with_state(arrived.clone());
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            arrived,
            serving,
            paused,
        }
    }

    /// Lets every request wait for its answer, or no more.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn look(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap()
    }

    /// Waits until it holds; gives up after a while without any arrival.
    pub async fn wait_until(&self, what: &str, mut holds: impl FnMut(&Arrived) -> bool) {
        let mut seen = self.look().requests;
        let mut quiet = tokio::time::Instant::now();
        loop {
            let begun = tokio::time::Instant::now();
            let requests = {
                let arrived = self.look();
                if holds(&arrived) {
                    return;
                }
                arrived.requests
            };
            if requests != seen {
                (seen, quiet) = (requests, tokio::time::Instant::now());
            }
            assert!(
                quiet.elapsed() < PATIENCE,
                "nothing arrived for a long time, and waited in vain for: {what}"
            );
            // Looking through all that came should not be what the receiver is busy with.
            let pause = begun.elapsed() * 10;
            tokio::time::sleep(pause.max(std::time::Duration::from_millis(20))).await;
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
