//! A webhook receiver on a port of its own, which answers as it is told and keeps what it got.

use crate::delivery::{Dial, Stream};
use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// TCP without guard or TLS.
pub(crate) struct PlainDial;

#[async_trait]
impl Dial for PlainDial {
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Box<dyn Stream>, String> {
        assert!(!tls);
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|error| error.to_string())?;
        Ok(Box::new(stream))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub headers: HeaderMap,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub fn event(&self) -> &str {
        self.header("x-device-event-id")
    }
}

/// What to answer to the request with this number (from 0); None: never answer.
type Script = Box<dyn FnMut(usize, &Received) -> Option<Response> + Send>;

pub(crate) struct Sink {
    pub url: String,
    inner: Arc<Inner>,
}

struct Inner {
    script: Mutex<Script>,
    received: watch::Sender<Vec<Received>>,
}

impl Sink {
    pub async fn start(
        script: impl FnMut(usize, &Received) -> Option<Response> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::new(Inner {
            script: Mutex::new(Box::new(script)),
            received: watch::channel(Vec::new()).0,
        });
        let router = Router::new()
            .route("/hook", post(receive))
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url: format!("http://127.0.0.1:{port}/hook"),
            inner,
        }
    }

    /// Answers 200 to everything.
    pub async fn ok() -> Self {
        Self::start(|_, _| status(200)).await
    }

    pub fn answer(
        &self,
        script: impl FnMut(usize, &Received) -> Option<Response> + Send + 'static,
    ) {
        *self.inner.script.lock().unwrap() = Box::new(script);
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.received.borrow().clone()
    }

    /// The events' ids in the order of arrival, once there are `count`.
    pub async fn events(&self, count: usize) -> Vec<String> {
        let mut received = self.inner.received.subscribe();
        let wait = received.wait_for(|all| all.len() >= count);
        let all = tokio::time::timeout(std::time::Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("{} of {count} requests came", self.received().len()))
            .unwrap();
        all.iter().map(|one| one.event().to_owned()).collect()
    }
}

pub(crate) fn status(code: u16) -> Option<Response> {
    Some(StatusCode::from_u16(code).unwrap().into_response())
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let received = Received {
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let answer = {
        let mut script = inner.script.lock().unwrap();
        let number = inner.received.borrow().len();
        let answer = script(number, &received);
        inner.received.send_modify(|all| all.push(received));
        answer
    };
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}
