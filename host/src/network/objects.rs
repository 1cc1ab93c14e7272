//! How the media store reaches an S3-compatible server: HTTP/1.1 over the host's own dialing and
//! its trusted authorities.
//!
//! Not under the address guard: nobody but the operator says where the store is. Its credentials
//! are in the requests that come here; nothing of a request is logged or put into an error's text.

use super::dial::Dialer;
use super::guard::AddressPolicy;
use async_trait::async_trait;
use http::Uri;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Until the answer's headers; a part of some MiB goes up before.
const PATIENCE: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct ObjectClient {
    client: Client<Dial, HttpRequestBody>,
}

impl ObjectClient {
    /// With the dialer's authorities.
    pub fn new(dialer: &Dialer) -> Self {
        let everywhere = AddressPolicy {
            allow: vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())],
            allow_loopback: true,
            ..AddressPolicy::default()
        };
        let dial = Dial(dialer.clone().with_policy(everywhere));
        Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(hyper_util::rt::TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .build(dial),
        }
    }
}

impl HttpConnector for ObjectClient {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for ObjectClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let kind = if error.is_connect() {
                    HttpErrorKind::Connect
                } else {
                    HttpErrorKind::Request
                };
                return Err(HttpError::new(kind, error));
            }
            Err(late) => return Err(HttpError::new(HttpErrorKind::Timeout, late)),
        };
        let (parts, body) = answer.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

#[derive(Clone, Debug)]
struct Dial(Dialer);

impl tower::Service<Uri> for Dial {
    type Response = Dialed;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Dialed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move {
            let host = to.host().unwrap_or_default().to_owned();
            let tls = to.scheme_str() == Some("https");
            let port = to.port_u16().unwrap_or(if tls { 443 } else { 80 });
            let stream: Box<dyn Stream> = if tls {
                let stream = dialer.connect_tls(&host, port).await;
                Box::new(stream.map_err(|error| io::Error::other(error.message))?)
            } else {
                let stream = dialer.connect_tcp(&host, port).await;
                Box::new(stream.map_err(|error| io::Error::other(error.message))?)
            };
            Ok(Dialed(TokioIo::new(stream)))
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Dialed(TokioIo<Box<dyn Stream>>);

impl Connection for Dialed {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Dialed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
