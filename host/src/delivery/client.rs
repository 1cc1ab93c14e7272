//! HTTP/1.1 to one endpoint: POSTs and nothing else, over connections that are kept.
//!
//! How a connection comes about (names, address guard, TLS) is the dialer's. Never follows a
//! redirect, and reads no more of an answer than is kept.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

/// Of an answer's body.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// Servers close idle connections too; ours go first.
const MAX_IDLE: Duration = Duration::from_secs(20);
const MAX_IDLE_CONNECTIONS: usize = 32;
/// For the rest of an answer whose status is known already.
const BODY_PATIENCE: Duration = Duration::from_secs(2);
const MAX_HEADER_BYTES: usize = 64 * 1024;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to receivers, under the address guard.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// `host`: a name or an address, IPv6 without brackets. With `tls`, the stream is up and its
    /// peer verified for `host`; only `http/1.1` was offered. The error is for people.
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Box<dyn Stream>, String>;
}

/// May this be the URL of an endpoint? The error says what is wrong with it.
pub fn validate_url(text: &str) -> Result<(), String> {
    Target::parse(text).map(|_| ())
}

/// Where to POST to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    tls: bool,
    host: String,
    port: u16,
    /// For the Host header.
    authority: String,
    path_and_query: String,
}

impl Target {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > 2048 {
            return Err("the URL is longer than 2,048 characters".to_owned());
        }
        let url = Url::parse(text).map_err(|error| format!("the URL is not valid: {error}"))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(format!("the URL's scheme is `{other}`, not https or http")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL names a user or password".to_owned());
        }
        if url.fragment().is_some() {
            return Err("the URL has a fragment".to_owned());
        }
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err("the URL names no host".to_owned()),
        };
        let written = url.host_str().unwrap_or_default();
        Ok(Self {
            tls,
            host,
            port: url.port_or_known_default().unwrap_or(443),
            authority: match url.port() {
                Some(port) => format!("{written}:{port}"),
                None => written.to_owned(),
            },
            path_and_query: match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            },
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connect: Duration,
    /// From the start to the answer's status.
    pub total: Duration,
}

/// What one POST came to.
#[derive(Debug, Default)]
pub struct Answer {
    /// None: no answer came, and `error` says why.
    pub status: Option<u16>,
    pub retry_after: Option<String>,
    /// At most [`MAX_ANSWER_BYTES`].
    pub body: Vec<u8>,
    pub latency: Duration,
    pub error: Option<String>,
}

/// The connections to one target.
pub struct Client {
    dial: Arc<dyn Dial>,
    target: Target,
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    used_at: Instant,
}

/// Ends the connection with it, whatever it is doing.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    pub fn new(dial: Arc<dyn Dial>, target: Target) -> Self {
        Self {
            dial,
            target,
            idle: Mutex::default(),
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub async fn post(&self, headers: HeaderMap, body: Bytes, limits: Limits) -> Answer {
        let started = Instant::now();
        let deadline = started + limits.total;
        let exchange = self.exchange(headers, body, limits.connect);
        let mut answer = match timeout_at(deadline, exchange).await {
            Ok(Ok((response, connection))) => {
                let latency = started.elapsed();
                let mut answer = self.read(response, connection, deadline).await;
                answer.latency = latency;
                return answer;
            }
            Ok(Err(error)) => Answer {
                error: Some(error),
                ..Answer::default()
            },
            Err(_) => Answer {
                error: Some(format!("no answer within {} ms", limits.total.as_millis())),
                ..Answer::default()
            },
        };
        answer.latency = started.elapsed();
        answer
    }

    /// Up to the answer's headers. A kept connection may have been closed under us: then once
    /// more on a new one. (The receiver may see the event twice, under one id.)
    async fn exchange(
        &self,
        headers: HeaderMap,
        body: Bytes,
        connect: Duration,
    ) -> Result<(Response<Incoming>, Connection), String> {
        while let Some(mut connection) = self.take_idle() {
            if connection.sender.ready().await.is_err() {
                continue;
            }
            let request = self.request(headers.clone(), body.clone())?;
            if let Ok(response) = connection.sender.send_request(request).await {
                return Ok((response, connection));
            }
            break;
        }
        let mut connection = timeout(connect, self.open())
            .await
            .map_err(|_| format!("no connection within {} ms", connect.as_millis()))??;
        let request = self.request(headers, body)?;
        match connection.sender.send_request(request).await {
            Ok(response) => Ok((response, connection)),
            Err(error) => Err(format!("the connection broke: {}", causes(&error))),
        }
    }

    fn request(&self, headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.target.path_and_query)
            .header(HOST, &self.target.authority)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(
                USER_AGENT,
                HeaderValue::from_static(concat!("anyport/", env!("CARGO_PKG_VERSION"))),
            )
            .body(Full::new(body))
            .map_err(|error| format!("the request cannot be made: {error}"))?;
        request.headers_mut().extend(headers);
        Ok(request)
    }

    async fn open(&self) -> Result<Connection, String> {
        let Target {
            tls, host, port, ..
        } = &self.target;
        let stream = self.dial.connect(host, *port, *tls).await?;
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("the connection broke: {}", causes(&error)))?;
        let driver = tokio::spawn(async move {
            // How it ended is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Connection {
            sender,
            driver: Driver(driver),
            used_at: Instant::now(),
        })
    }

    /// The status counts, whatever becomes of the body. What is not read to its end ends with its
    /// connection.
    async fn read(
        &self,
        response: Response<Incoming>,
        connection: Connection,
        deadline: Instant,
    ) -> Answer {
        let mut answer = Answer {
            status: Some(response.status().as_u16()),
            retry_after: response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            ..Answer::default()
        };
        let deadline = deadline.min(Instant::now() + BODY_PATIENCE);
        let mut body = response.into_body();
        let complete = loop {
            match timeout_at(deadline, body.frame()).await {
                Ok(None) => break true,
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let room = MAX_ANSWER_BYTES - answer.body.len();
                    answer.body.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        break false;
                    }
                }
                Ok(Some(Err(_))) | Err(_) => break false,
            }
        };
        if complete {
            self.keep(connection);
        }
        answer
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let connection = idle.pop()?;
            if connection.used_at.elapsed() >= MAX_IDLE {
                // Those below it are older still.
                idle.clear();
                return None;
            }
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, mut connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_CONNECTIONS && !connection.driver.0.is_finished() {
            connection.used_at = Instant::now();
            idle.push(connection);
        }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
#[path = "client_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
