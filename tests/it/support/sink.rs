//! A webhook receiver: records what it gets, in order of arrival, and answers as it is told.

use super::PATIENCE;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// Panics where it is missing.
    pub fn header(&self, name: &str) -> &str {
        match self.headers.get(name).map(|value| value.to_str()) {
            Some(Ok(value)) => value,
            _ => panic!("no readable header {name} in {self:?}"),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {:?}", self.body))
    }
}

/// What the sink says to a request.
pub enum Answer {
    Status(StatusCode),
    Response(Response),
    /// Waits until the channel gives the word, or forever when its other end is gone.
    After(watch::Receiver<bool>, StatusCode),
}

type Answers = Box<dyn FnMut(&Received) -> Answer + Send>;

struct Shared {
    answers: Mutex<Answers>,
    received: watch::Sender<Vec<Received>>,
}

pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Sink {
    /// Answers 200 until told otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answers: Mutex::new(Box::new(|_| Answer::Status(StatusCode::OK))),
            received: watch::Sender::default(),
        });
        let router = Router::new().fallback(take).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            shared,
            serving,
        }
    }

    /// `path` with its slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asked for each request from now on, while it is recorded already.
    pub fn answer_with(&self, answers: impl FnMut(&Received) -> Answer + Send + 'static) {
        *self.shared.answers.lock().unwrap() = Box::new(answers);
    }

    pub fn answer(&self, status: StatusCode) {
        self.answer_with(move |_| Answer::Status(status));
    }

    /// All so far, in order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.borrow().clone()
    }

    /// Waits until the condition holds for what has arrived so far.
    pub async fn wait_until(
        &self,
        what: &str,
        mut holds: impl FnMut(&[Received]) -> bool,
    ) -> Vec<Received> {
        let mut received = self.shared.received.subscribe();
        let arrived = received.wait_for(|received| holds(received));
        match tokio::time::timeout(PATIENCE, arrived).await {
            Ok(received) => received.unwrap().clone(),
            Err(_) => panic!(
                "the sink waited in vain for: {what}; it has got {:#?}",
                self.received()
            ),
        }
    }

    /// Waits for this many requests.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_until(&format!("{count} requests"), |received| {
            received.len() >= count
        })
        .await
    }

    /// The first event of this type, from a body with `"type": kind`.
    pub async fn event(&self, kind: &str) -> Received {
        let is = |received: &Received| {
            serde_json::from_slice::<Value>(&received.body).is_ok_and(|body| body["type"] == kind)
        };
        let all = self
            .wait_until(kind, |received| received.iter().any(is))
            .await;
        all.into_iter().find(is).unwrap()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let received = Received {
        method,
        uri,
        headers,
        body,
    };
    shared
        .received
        .send_modify(|all| all.push(received.clone()));
    let answer = (shared.answers.lock().unwrap())(&received);
    match answer {
        Answer::Status(status) => status.into_response(),
        Answer::Response(response) => response,
        Answer::After(mut word, status) => {
            if word.wait_for(|given| *given).await.is_err() {
                std::future::pending::<()>().await;
            }
            status.into_response()
        }
    }
}
