//! From a host name to a connected stream: one lookup, the address guard, the race of addresses,
//! the proxy, TLS. Also what webhook delivery connects with.
//!
//! Each call looks up and checks anew; nothing is cached, and only addresses that were checked in
//! the same call are connected to. With a proxy, the destination is looked up and checked here as
//! well and the proxy is given the checked *address*, never the name: what a proxy made of a name
//! could not be checked. The proxy's own address passes the same guard.

use super::error::{DialError, DialProblem};
use super::guard::AddressPolicy;
use super::proxy;
use super::tls::{TlsContext, TlsStream};
use crate::domain::account::Proxy;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// A next address is tried this long after the one before (RFC 8305, 8).
const STAGGER: Duration = Duration::from_millis(250);
/// More addresses of one name are not tried.
const MOST_ADDRESSES: usize = 16;
/// Lookups block a thread each, and a slow name server must not take the threads of others.
const MOST_LOOKUPS: usize = 64;

/// Connects under an address policy. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    policy: Arc<AddressPolicy>,
    tls: TlsContext,
    timeout: Duration,
}

impl Dialer {
    pub fn new(policy: AddressPolicy, tls: TlsContext) -> Self {
        Self {
            policy: Arc::new(policy),
            tls,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Bounds lookup, connect, proxy and TLS together.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same authorities under another policy.
    pub fn with_policy(mut self, policy: AddressPolicy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    pub fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    pub async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        self.connect(host, port, None).await
    }

    /// The certificate has to be valid for `host`.
    pub async fn connect_tls(&self, host: &str, port: u16) -> Result<TlsStream, DialError> {
        let deadline = Instant::now() + self.timeout;
        let tcp = self.connect(host, port, None).await?;
        self.handshake(host, tcp, deadline).await
    }

    pub(super) async fn handshake(
        &self,
        name: &str,
        tcp: TcpStream,
        deadline: Instant,
    ) -> Result<TlsStream, DialError> {
        within(
            deadline,
            "the TLS handshake",
            name,
            self.tls.handshake(name, tcp),
        )
        .await
    }

    pub(super) async fn connect(
        &self,
        host: &str,
        port: u16,
        via: Option<&Proxy>,
    ) -> Result<TcpStream, DialError> {
        let deadline = Instant::now() + self.timeout;
        let addresses = within(
            deadline,
            "the lookup of the name",
            host,
            self.policy.resolve(host, port),
        )
        .await?;
        match via {
            None => within(deadline, "connecting", host, race(host, port, addresses)).await,
            Some(proxy) => {
                let tunnel = self.tunnel(host, &addresses, proxy);
                within(deadline, "connecting through the proxy", host, tunnel).await
            }
        }
    }

    async fn tunnel(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        proxy: &Proxy,
    ) -> Result<TcpStream, DialError> {
        let mut failed = None;
        for address in proxy::candidates(addresses) {
            let proxies = self.policy.resolve(&proxy.host, proxy.port).await;
            let stream = race(
                &proxy.host,
                proxy.port,
                proxies.map_err(DialError::of_proxy)?,
            )
            .await;
            let stream = stream.map_err(DialError::of_proxy)?;
            match proxy::tunnel(stream, proxy, address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| DialError::unresolved(host, "no address")))
    }
}

async fn within<T>(
    deadline: Instant,
    what: &str,
    host: &str,
    work: impl Future<Output = Result<T, DialError>>,
) -> Result<T, DialError> {
    tokio::time::timeout_at(deadline, work)
        .await
        .unwrap_or_else(|_| Err(DialError::timed_out(what, host)))
}

/// The addresses of a name, unchecked: only [`AddressPolicy::resolve`] may call it.
pub(super) async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let name = dialable(host)?;
    if port == 0 {
        return Err(DialError::new(
            DialProblem::Invalid,
            "port 0 cannot be connected to",
        ));
    }
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    static LOOKUPS: LazyLock<Arc<Semaphore>> =
        LazyLock::new(|| Arc::new(Semaphore::new(MOST_LOOKUPS)));
    let lookup = LOOKUPS
        .clone()
        .acquire_owned()
        .await
        .map_err(|error| DialError::unresolved(host, error))?;
    let found = tokio::task::spawn_blocking(move || {
        // Held until the thread is free again, also when nobody waits for the answer any more.
        let _lookup = lookup;
        (name.as_str(), port).to_socket_addrs().map(Vec::from_iter)
    })
    .await
    .map_err(|error| DialError::unresolved(host, error))?
    .map_err(|error| DialError::unresolved(host, error))?;
    if found.is_empty() {
        return Err(DialError::unresolved(host, "no address"));
    }
    Ok(found)
}

/// The form of a host that the resolver and TLS take: no brackets, IDNs in ASCII.
pub(super) fn dialable(host: &str) -> Result<String, DialError> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let invalid = || DialError::new(DialProblem::Invalid, "the host is not a name or address");
    if bare.is_ascii() {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        let named = !bare.is_empty() && bare.len() <= 253 && bare.bytes().all(fits);
        return if named {
            Ok(bare.to_owned())
        } else {
            Err(invalid())
        };
    }
    match url::Host::parse(bare) {
        Ok(host) => Ok(host.to_string()),
        Err(_) => Err(invalid()),
    }
}

/// Connects to the first address that answers, the families in turn (RFC 8305).
async fn race(host: &str, port: u16, addresses: Vec<SocketAddr>) -> Result<TcpStream, DialError> {
    let mut waiting = in_turn(addresses).into_iter().take(MOST_ADDRESSES);
    let mut running = FuturesUnordered::new();
    let mut failed: Option<(SocketAddr, io::Error)> = None;
    loop {
        match waiting.next() {
            Some(address) => {
                running.push(async move { (address, TcpStream::connect(address).await) })
            }
            None if running.is_empty() => break,
            None => {}
        }
        let more = waiting.len() > 0;
        let stagger = tokio::time::sleep(STAGGER);
        tokio::pin!(stagger);
        tokio::select! {
            Some((address, result)) = running.next() => match result {
                Ok(stream) => {
                    stream.set_nodelay(true).ok();
                    return Ok(stream);
                }
                Err(error) => failed = failed.or(Some((address, error))),
            },
            () = &mut stagger, if more => {}
        }
    }
    Err(match failed {
        Some((address, error)) => DialError::from_io(host, port, address, &error),
        None => DialError::unresolved(host, "no address"),
    })
}

/// IPv6 and IPv4 alternate, in the resolver's order otherwise.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    loop {
        let before = ordered.len();
        ordered.extend(first.next());
        ordered.extend(second.next());
        if ordered.len() == before {
            return ordered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let of = |list: &[&str]| in_turn(list.iter().map(|text| address(text)).collect());
        assert_eq!(
            of(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"].map(address)
        );
        assert_eq!(
            of(&["1.1.1.1:1", "[::1]:1"]),
            ["1.1.1.1:1", "[::1]:1"].map(address)
        );
        assert_eq!(of(&[]), []);
    }

    #[test]
    fn hosts_that_can_be_dialed() {
        for (host, expected) in [
            ("irc.example.org", Some("irc.example.org")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("１２７.1", Some("127.0.0.1")),
            ("", None),
            ("a b", None),
            ("a\r\nHost: b", None),
            ("a/b", None),
            ("user@host", None),
            ("a\0b", None),
        ] {
            assert_eq!(dialable(host).ok().as_deref(), expected, "{host:?}");
        }
    }

    #[tokio::test]
    async fn a_later_address_answers_when_the_first_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bad = gone.local_addr().unwrap();
        drop(gone);
        let stream = race("test", good.port(), vec![bad, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let error = race("test", bad.port(), vec![bad, bad]).await.unwrap_err();
        assert_eq!(error.problem, DialProblem::Refused);
        assert_eq!(
            error.message,
            format!("test:{} refused the connection", bad.port())
        );
    }
}
