//! POSTs of the host's own to a place that the operator named: traces to their receiver.
//!
//! Not under the address guard: nobody but the operator says where they go, and a collector on
//! loopback is the rule. Over HTTP/1.1 and one connection that is kept; redirects are not followed.

use super::dial::Dialer;
use super::guard::AddressPolicy;
use crate::telemetry::{self, Post};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::sync::Mutex;
use url::Url;

/// Of an answer.
const MOST_BYTES: usize = 64 * 1024;

pub struct Poster {
    dialer: Dialer,
    tls: bool,
    host: String,
    port: u16,
    authority: HeaderValue,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    kept: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Poster {
    /// `base`: as the operator gave it; `path` goes behind it. The error is for people and shows
    /// no header.
    pub fn new(
        dialer: &Dialer,
        base: &str,
        path: &str,
        headers: Vec<(String, String)>,
    ) -> Result<Self, String> {
        let url = Url::parse(base).map_err(|error| format!("the URL is not valid: {error}"))?;
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err("the URL names no host".to_owned()),
        };
        let written = url.host_str().unwrap_or_default();
        let authority = match url.port() {
            Some(port) => format!("{written}:{port}"),
            None => written.to_owned(),
        };
        let everywhere = AddressPolicy {
            allow: vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())],
            allow_loopback: true,
            ..AddressPolicy::default()
        };
        Ok(Self {
            dialer: dialer.clone().with_policy(everywhere),
            tls: url.scheme() == "https",
            port: url.port_or_known_default().unwrap_or(80),
            host,
            authority: HeaderValue::try_from(authority)
                .map_err(|_| "the URL names no host".to_owned())?,
            path: format!("{}{path}", url.path().trim_end_matches('/')),
            headers: headers
                .into_iter()
                .map(|(name, value)| {
                    let name = HeaderName::try_from(name);
                    let mut value = HeaderValue::try_from(value).ok()?;
                    value.set_sensitive(true);
                    Some((name.ok()?, value))
                })
                .collect::<Option<_>>()
                .ok_or("a header is not valid")?,
            kept: Mutex::new(None),
        })
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, concat!("anyport/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        request.headers_mut().extend(self.headers.iter().cloned());
        Ok(request)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let (host, port) = (self.host.as_str(), self.port);
        let sender = if self.tls {
            let stream = self.dialer.connect_tls(host, port).await;
            let stream = stream.map_err(|error| error.message)?;
            let (sender, connection) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            sender
        } else {
            let stream = self.dialer.connect_tcp(host, port).await;
            let stream = stream.map_err(|error| error.message)?;
            let (sender, connection) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            sender
        };
        Ok(sender)
    }

    /// Over the kept connection if it is still good, else over a new one.
    async fn exchange(&self, body: Bytes) -> Result<u16, String> {
        let mut kept = self.kept.lock().await;
        let mut usable = None;
        if let Some(mut sender) = kept.take()
            && sender.ready().await.is_ok()
        {
            usable = Some(sender);
        }
        let mut sender = match usable {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = self.request(body)?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| format!("the connection broke: {error}"))?;
        let status = answer.status().as_u16();
        if Limited::new(answer.into_body(), MOST_BYTES)
            .collect()
            .await
            .is_ok()
        {
            *kept = Some(sender);
        }
        Ok(status)
    }
}

#[async_trait]
impl Post for Poster {
    async fn post(&self, body: Vec<u8>) -> Result<(), telemetry::Refused> {
        let refused = |reason, again| Err(telemetry::Refused { reason, again });
        match self.exchange(Bytes::from(body)).await {
            Ok(200..=299) => Ok(()),
            // As the protocol names those that may be tried again.
            Ok(status @ (429 | 502..=504)) => refused(format!("it answered {status}"), true),
            Ok(status) => refused(format!("it answered {status}"), false),
            Err(reason) => refused(reason, true),
        }
    }
}
