//! What clients name by address: one GET under the address guard, as a stream.
//!
//! Every hop is looked up, checked and connected to anew, so that neither a second DNS answer nor
//! a redirect leads where the guard does not let. The body is read only as fast as it is taken,
//! and one that stands still ends. No cookies, no credentials, no proxies of the environment.

use super::dial::Dialer;
use super::error::{DialError, DialProblem};
use crate::domain::error::{Failure, FailureCode};
use crate::domain::media::is_mime;
use crate::runtime::port::{ByteStream, Fetched, Fetcher};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::try_unfold;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use url::{Host, Url};

const REDIRECTS: usize = 3;
/// For the answer's headers, and then for each piece of its body.
const PATIENCE: Duration = Duration::from_secs(30);
const HEADER_BYTES: usize = 64 * 1024;
const NAME_CHARS: usize = 255;

pub struct MediaFetcher {
    dialer: Dialer,
}

impl MediaFetcher {
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer }
    }

    async fn get(&self, url: &Url) -> Result<(Response<Incoming>, Driver), Failure> {
        let invalid = |what: &str| Failure::new(FailureCode::Invalid, what);
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(invalid("the address is not http:// or https://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("the address names a user or password"));
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(invalid("the address names no host")),
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let request = request(url)?;
        if tls {
            let stream = self.dialer.connect_tls(&host, port).await;
            exchange(stream.map_err(of_dial)?, request).await
        } else {
            let stream = self.dialer.connect_tcp(&host, port).await;
            exchange(stream.map_err(of_dial)?, request).await
        }
    }
}

#[async_trait]
impl Fetcher for MediaFetcher {
    async fn fetch(&self, url: &str) -> Result<Fetched, Failure> {
        let mut url = Url::parse(url).map_err(|error| {
            Failure::new(
                FailureCode::Invalid,
                format!("the address is not valid: {error}"),
            )
        })?;
        for _ in 0..=REDIRECTS {
            let (response, driver) = self.get(&url).await?;
            let status = response.status();
            if !status.is_redirection() {
                if status != StatusCode::OK {
                    return Err(of_status(status));
                }
                let headers = response.headers();
                return Ok(Fetched {
                    mime: mime_of(headers),
                    filename: filename_of(headers).or_else(|| last_segment(&url)),
                    bytes: body(response.into_body(), driver),
                });
            }
            let to = response.headers().get(LOCATION);
            let to = to.and_then(|to| to.to_str().ok());
            url = to.and_then(|to| url.join(to).ok()).ok_or_else(|| {
                Failure::new(FailureCode::Unavailable, "the address redirects to nowhere")
            })?;
        }
        Err(Failure::new(
            FailureCode::Unavailable,
            format!("the address redirects more than {REDIRECTS} times"),
        ))
    }
}

fn request(url: &Url) -> Result<Request<Empty<Bytes>>, Failure> {
    let written = url.host_str().unwrap_or_default();
    let authority = match url.port() {
        Some(port) => format!("{written}:{port}"),
        None => written.to_owned(),
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(HOST, authority)
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, concat!("anyport/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|_| Failure::new(FailureCode::Invalid, "the address cannot be asked for"))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<(Response<Incoming>, Driver), Failure> {
    let broken =
        |_: hyper::Error| Failure::new(FailureCode::Unavailable, "the address did not answer");
    let asking = async {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let driver = Driver(tokio::spawn(async move {
            // How it ended is told to whoever reads the answer.
            let _ = connection.await;
        }));
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok((response, driver))
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| {
        Err(Failure::new(
            FailureCode::Unavailable,
            "the address did not answer in time",
        ))
    })
}

/// Ends the connection with it.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn body(body: Incoming, driver: Driver) -> ByteStream {
    Box::pin(try_unfold((body, driver), |(mut body, driver)| async {
        loop {
            let frame = match timeout(PATIENCE, body.frame()).await {
                Err(_) => return Err(io::Error::other("the address stopped sending")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => {
                    return Err(io::Error::other("the connection broke"));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some((data, (body, driver))));
            }
        }
    }))
}

fn of_dial(error: DialError) -> Failure {
    let code = match error.problem {
        DialProblem::Denied => FailureCode::Denied,
        DialProblem::Invalid => FailureCode::Invalid,
        _ => FailureCode::Unavailable,
    };
    Failure::new(
        code,
        format!("the address cannot be reached: {}", error.message),
    )
}

fn of_status(status: StatusCode) -> Failure {
    let code = match status.as_u16() {
        408 | 429 | 500.. => FailureCode::Unavailable,
        _ => FailureCode::Invalid,
    };
    Failure::new(code, format!("the address answered {}", status.as_u16()))
}

pub(super) fn mime_of(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let mime = text.split(';').next()?.trim().to_ascii_lowercase();
    is_mime(&mime).then_some(mime)
}

pub(super) fn filename_of(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_DISPOSITION)?.to_str().ok()?;
    let value = text.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("filename")).then(|| value.trim().trim_matches('"'))
    })?;
    clean(value)
}

fn last_segment(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    let decoded = url::form_urlencoded::parse(format!("n={}", last.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())?;
    clean(&decoded)
}

/// A name without folders and without what no file name has.
fn clean(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last
        .chars()
        .filter(|character| !character.is_control())
        .take(NAME_CHARS)
        .collect();
    (!name.is_empty() && name != "." && name != "..").then_some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let name = |url: &str| last_segment(&Url::parse(url).unwrap());
        assert_eq!(name("https://a/x/men%20u.png?q=1").unwrap(), "men u.png");
        assert_eq!(name("https://a/a+b%2Fc").unwrap(), "c");
        assert_eq!(name("https://a/"), None);
        let mut headers = HeaderMap::new();
        let value = "attachment; filename=\"../../etc/passwd\"";
        headers.insert(CONTENT_DISPOSITION, value.parse().unwrap());
        assert_eq!(filename_of(&headers).unwrap(), "passwd");
        headers.insert(CONTENT_TYPE, "Image/PNG; charset=x".parse().unwrap());
        assert_eq!(mime_of(&headers).unwrap(), "image/png");
    }
}
