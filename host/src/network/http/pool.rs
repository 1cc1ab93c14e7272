//! Connections that are kept: per account, destination and proxy, few and not for long.

use super::super::dial::Dialer;
use super::super::tls::TlsStream;
use super::body::Body;
use super::target::Target;
use crate::domain::AccountId;
use crate::domain::account::{Proxy, ProxyKind};
use crate::domain::error::Failure;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Servers close idle connections too; ours go first.
const IDLE: Duration = Duration::from_secs(20);
/// Between looks at them.
const SWEEP: Duration = Duration::from_secs(10);
const IDLE_PER_DESTINATION: usize = 4;
/// Destinations that something is kept for; beyond it, all of it is let go.
const DESTINATIONS: usize = 4096;
const HEAD_BYTES: usize = 64 * 1024;

/// Whose connections to where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    account: AccountId,
    https: bool,
    host: String,
    port: u16,
    /// Kind, host, port, user.
    proxy: Option<(bool, String, u16, Option<String>)>,
}

impl Key {
    pub fn new(account: &AccountId, target: &Target, proxy: Option<&Proxy>) -> Self {
        Self {
            account: account.clone(),
            https: target.https,
            host: target.host.clone(),
            port: target.port,
            proxy: proxy.map(|proxy| {
                (
                    proxy.kind == ProxyKind::Http,
                    proxy.host.clone(),
                    proxy.port,
                    proxy.username.clone(),
                )
            }),
        }
    }
}

/// All that is kept.
#[derive(Clone, Debug, Default)]
pub struct Pools(Arc<Mutex<HashMap<Key, Arc<Pool>>>>);

impl Pools {
    pub fn of(&self, key: Key) -> Arc<Pool> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key) {
            return pool.clone();
        }
        if pools.len() >= DESTINATIONS {
            pools.clear();
        }
        let pool = Arc::new(Pool::default());
        pools.insert(key, pool.clone());
        pool
    }

    /// Closes what is idle for too long, as long as these live.
    pub fn keep_tidy(&self, runtime: &Handle) {
        let weak = Arc::downgrade(&self.0);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(pools) = weak.upgrade() else {
                    return;
                };
                let mut pools = pools.lock().unwrap_or_else(PoisonError::into_inner);
                pools.retain(|_, pool| pool.sweep() || Arc::strong_count(pool) > 1);
            }
        });
    }
}

#[derive(Default)]
pub struct Pool(Mutex<Vec<Connection>>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

pub struct Connection {
    pub sender: SendRequest<Body>,
    driver: Driver,
    used_at: Instant,
}

/// Ends the connection with it, whatever it is doing.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How a connection comes about.
pub struct Dial<'d> {
    pub dialer: Dialer,
    pub proxy: Option<&'d Proxy>,
    pub target: &'d Target,
}

impl Pool {
    pub fn take(&self) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let connection = idle.pop()?;
            if connection.used_at.elapsed() < IDLE && !connection.sender.is_closed() {
                return Some(connection);
            }
        }
    }

    pub fn keep(&self, mut connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_PER_DESTINATION && !connection.driver.0.is_finished() {
            connection.used_at = Instant::now();
            idle.push(connection);
        }
    }

    /// False: nothing is kept.
    fn sweep(&self) -> bool {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|one| one.used_at.elapsed() < IDLE && !one.sender.is_closed());
        !idle.is_empty()
    }
}

impl Dial<'_> {
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let Target {
            https, host, port, ..
        } = self.target;
        let deadline = Instant::now() + self.dialer.timeout();
        let tcp = self.dialer.connect(host, *port, self.proxy).await?;
        let stream = if *https {
            Stream::Tls(Box::new(self.dialer.handshake(host, tcp, deadline).await?))
        } else {
            Stream::Plain(tcp)
        };
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| super::exchange::broken(self.target, false))?;
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
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
