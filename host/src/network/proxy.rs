//! An account's proxy: SOCKS5 (RFC 1928, 1929) and HTTP CONNECT (RFC 9110, 9.3.6) over a stream
//! that is already connected to the proxy.
//!
//! The proxy is told an address that was checked here, never a name (see `dial`). User name and
//! password appear in no error and no log.

use super::error::{DialError, DialProblem};
use crate::domain::Secret;
use crate::domain::account::{Proxy, ProxyKind};
use base64::Engine as _;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_socks::tcp::Socks5Stream;

/// A longer answer to CONNECT is refused.
const MOST_ANSWER_BYTES: usize = 8 * 1024;

/// Which addresses to ask the proxy for: one of each family, IPv4 first, as many proxies have no
/// IPv6.
pub fn candidates(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = |v4: bool| {
        addresses
            .iter()
            .find(move |address| address.is_ipv4() == v4)
    };
    [first(true), first(false)]
        .into_iter()
        .flatten()
        .copied()
        .collect()
}

/// Has the proxy connect to `target`. The stream then belongs to the destination, with nothing
/// read that the destination sent.
pub async fn tunnel(
    stream: TcpStream,
    proxy: &Proxy,
    target: SocketAddr,
) -> Result<TcpStream, DialError> {
    match proxy.kind {
        ProxyKind::Socks5 => socks5(stream, proxy, target).await,
        ProxyKind::Http => connect(stream, proxy, target).await,
    }
}

async fn socks5(
    stream: TcpStream,
    proxy: &Proxy,
    target: SocketAddr,
) -> Result<TcpStream, DialError> {
    let tunnel = match credentials(proxy) {
        None => Socks5Stream::connect_with_socket(stream, target).await,
        Some((username, password)) => {
            if [username, password]
                .iter()
                .any(|part| part.is_empty() || part.len() > 255)
            {
                return Err(DialError::new(
                    DialProblem::Invalid,
                    "SOCKS5 needs a user name and a password of 1 to 255 bytes each",
                ));
            }
            Socks5Stream::connect_with_password_and_socket(stream, target, username, password).await
        }
    };
    tunnel.map(Socks5Stream::into_inner).map_err(|error| {
        use tokio_socks::Error as Socks;
        let text = match error {
            Socks::PasswordAuthFailure(_) => "the proxy refused the user name or password",
            Socks::NoAcceptableAuthMethods | Socks::AuthorizationRequired => {
                "the proxy wants another way of signing in"
            }
            Socks::ConnectionNotAllowedByRuleset => "the proxy does not allow this destination",
            Socks::ConnectionRefused => "the destination refused the proxy's connection",
            Socks::NetworkUnreachable
            | Socks::HostUnreachable
            | Socks::TtlExpired
            | Socks::GeneralSocksServerFailure => "the proxy could not reach the destination",
            Socks::Io(_) | Socks::ProxyServerUnreachable => "the proxy broke off",
            _ => "the proxy's answer is not SOCKS5",
        };
        DialError::new(DialProblem::Proxy, text).with_detail(error)
    })
}

async fn connect(
    mut stream: TcpStream,
    proxy: &Proxy,
    target: SocketAddr,
) -> Result<TcpStream, DialError> {
    let broken = |error: std::io::Error| {
        DialError::new(DialProblem::Proxy, "the proxy broke off").with_detail(error)
    };
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((username, password)) = credentials(proxy) {
        if username.contains(':') {
            return Err(DialError::new(
                DialProblem::Invalid,
                "a user name with a colon cannot be sent to an HTTP proxy",
            ));
        }
        let token =
            base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
        request.push_str(&format!("Proxy-Authorization: Basic {token}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let head = read_head(&mut stream).await?;
    match status(&head) {
        Some(200..=299) => Ok(stream),
        Some(401 | 407) => Err(DialError::new(
            DialProblem::Proxy,
            "the proxy refused the user name or password",
        )),
        Some(status) => Err(DialError::new(
            DialProblem::Proxy,
            format!("the proxy answered CONNECT with status {status}"),
        )),
        None => Err(DialError::new(
            DialProblem::Proxy,
            "the proxy's answer is not HTTP",
        )),
    }
}

/// Reads up to the empty line and not a byte further: what follows is the destination's.
async fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>, DialError> {
    let broken = |error: std::io::Error| {
        DialError::new(DialProblem::Proxy, "the proxy broke off").with_detail(error)
    };
    let mut head = Vec::new();
    loop {
        let mut seen = [0; 1024];
        let count = stream.peek(&mut seen).await.map_err(broken)?;
        if count == 0 {
            return Err(DialError::new(DialProblem::Proxy, "the proxy broke off"));
        }
        let before = head.len();
        head.extend_from_slice(&seen[..count]);
        let from = before.saturating_sub(3);
        let end = head[from..]
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map(|at| from + at + 4);
        let taken = end.unwrap_or(head.len()) - before;
        stream
            .read_exact(&mut seen[..taken])
            .await
            .map_err(broken)?;
        if let Some(end) = end {
            head.truncate(end);
            return Ok(head);
        }
        if head.len() > MOST_ANSWER_BYTES {
            return Err(DialError::new(
                DialProblem::Proxy,
                "the proxy's answer to CONNECT is too long",
            ));
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let version = words.next()?;
    let status = words.next().filter(|status| status.len() == 3)?;
    version
        .starts_with("HTTP/1.")
        .then(|| status.parse().ok())?
}

fn credentials(proxy: &Proxy) -> Option<(&str, &str)> {
    let password = proxy.password.as_ref().map(Secret::expose);
    match (proxy.username.as_deref(), password) {
        (None | Some(""), None | Some("")) => None,
        (username, password) => Some((username.unwrap_or_default(), password.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407\r\n\r\n", Some(407)),
            ("HTTP/1.1 2000 x\r\n\r\n", None),
            ("SSH-2.0-OpenSSH\r\n\r\n", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[tokio::test]
    async fn the_destination_keeps_what_follows_the_head() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target: SocketAddr = "192.0.2.1:6667".parse().unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n:banner\r\n";
        for cut in 1..answer.len() {
            let client = TcpStream::connect(listener.local_addr().unwrap());
            let (client, accepted) = tokio::join!(client, listener.accept());
            let (mut server, _) = accepted.unwrap();
            server.set_nodelay(true).unwrap();
            let proxy = Proxy {
                kind: ProxyKind::Http,
                host: String::new(),
                port: 1,
                username: Some("me".into()),
                password: Some("secret".into()),
            };
            let serve = async {
                let mut request = vec![0; 1024];
                let count = server.read(&mut request).await.unwrap();
                server.write_all(&answer[..cut]).await.unwrap();
                tokio::task::yield_now().await;
                server.write_all(&answer[cut..]).await.unwrap();
                String::from_utf8(request[..count].to_vec()).unwrap()
            };
            let (stream, request) = tokio::join!(tunnel(client.unwrap(), &proxy, target), serve);
            assert_eq!(
                request,
                "CONNECT 192.0.2.1:6667 HTTP/1.1\r\nHost: 192.0.2.1:6667\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
            );
            let mut banner = [0; 9];
            stream.unwrap().read_exact(&mut banner).await.unwrap();
            assert_eq!(&banner, b":banner\r\n");
        }
    }
}
