//! Opens a connection: a handle whose calls never block, and a task that owns the socket (`link`).
//!
//! All reports of a connection come from its task, in order; also a refusal, so that `open` may be
//! called with a lock held that the sink takes. A report that is under way on the task while
//! another thread calls `close` may still arrive: the two sides share no lock. The sink has to
//! know a connection that it closed.
//!
//! Memory of an idle connection: about 2 KiB for the task with its socket, the outbox and the
//! handle, plus what the kernel keeps (buffers only while bytes are in them). There is no read or
//! write buffer: bytes are read onto the stack and copied to the heap only when there are any.
//! TLS adds the state of rustls and its 4 KiB record buffer; both ends of a connection in one
//! process, with the test's own queue, were measured at 16 KiB together.

use super::dial::{DEFAULT_TIMEOUT, Dialer};
use super::egress::Admission;
use super::framing::Decoder;
use super::link::{Link, overflow};
use super::outbox::Outbox;
use super::stream::Stream;
use crate::domain::account::Proxy;
use crate::domain::error::Failure;
use crate::runtime::port::{Connection, ConnectionSink, ConnectionSpec, Report, Transport};
use crate::telemetry::metrics;
use socket2::{SockRef, TcpKeepalive};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Instant;

const LONGEST_CONNECT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct OpenConnection {
    outbox: Arc<Outbox>,
}

/// Starts the connection's task. A refused admission is reported from there, like every failure.
pub(super) fn open(
    runtime: &Handle,
    dialer: Dialer,
    spec: ConnectionSpec,
    admitted: Result<Admission, Failure>,
    proxy: Option<Proxy>,
    sink: Arc<dyn ConnectionSink>,
    metrics: &metrics::Network,
) -> OpenConnection {
    let outbox = Arc::new(Outbox::default());
    // In a box of its own, which is given back as soon as the connection is up.
    let opening = Box::pin(dial(
        outbox.clone(),
        sink.clone(),
        dialer,
        spec,
        admitted,
        proxy,
        metrics.clone(),
    ));
    runtime.spawn(run(outbox.clone(), sink, opening));
    OpenConnection { outbox }
}

impl Connection for OpenConnection {
    fn send(&self, bytes: Vec<u8>, token: Option<u64>) {
        self.outbox.send(bytes, token);
    }

    fn start_tls(&self, server_name: String) {
        self.outbox.start_tls(server_name);
    }

    fn close(&self) {
        self.outbox.close();
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.outbox.abandon();
    }
}

/// A link that comes about.
type Opening = Pin<Box<dyn Future<Output = Result<(Link, metrics::Open), Failure>> + Send>>;

async fn run(outbox: Arc<Outbox>, sink: Arc<dyn ConnectionSink>, opening: Opening) {
    let opened = tokio::select! {
        biased;
        () = outbox.useless() => Err(overflow()),
        opened = opening => opened,
    };
    let reason = match opened {
        Ok((mut link, _open)) => link.serve().await,
        Err(failure) => failure,
    };
    if let Some(undelivered) = outbox.finish() {
        sink.report(Report::Closed {
            code: None,
            reason,
            undelivered,
        });
    }
}

/// Counts what came of it.
async fn dial(
    outbox: Arc<Outbox>,
    sink: Arc<dyn ConnectionSink>,
    dialer: Dialer,
    spec: ConnectionSpec,
    admitted: Result<Admission, Failure>,
    proxy: Option<Proxy>,
    metrics: metrics::Network,
) -> Result<(Link, metrics::Open), Failure> {
    let link = link(outbox, sink, dialer, spec, admitted, proxy).await;
    metrics.dialed(if link.is_ok() { "opened" } else { "failed" });
    Ok((link?, metrics.opened()))
}

async fn link(
    outbox: Arc<Outbox>,
    sink: Arc<dyn ConnectionSink>,
    dialer: Dialer,
    spec: ConnectionSpec,
    admitted: Result<Admission, Failure>,
    proxy: Option<Proxy>,
) -> Result<Link, Failure> {
    let admission = admitted?;
    let decoder = Decoder::new(spec.framing, spec.max_frame_bytes)?;
    let limit = spec
        .connect_timeout_ms
        .map_or(DEFAULT_TIMEOUT, |ms| Duration::from_millis(ms.into()))
        .min(LONGEST_CONNECT);
    let deadline = Instant::now() + limit;
    let dialer = dialer.with_timeout(limit);
    let (Transport::Tcp { host, port } | Transport::Tls { host, port }) = &spec.transport;
    let tcp = dialer.connect(host, *port, proxy.as_ref()).await?;
    if let Some(interval) = spec.ping_interval_ms {
        keep_alive(&tcp, Duration::from_millis(interval.into()));
    }
    let stream = match spec.transport {
        Transport::Tcp { .. } => Stream::Plain(tcp),
        Transport::Tls { .. } => {
            Stream::Tls(Box::new(dialer.handshake(host, tcp, deadline).await?))
        }
    };
    let tls = admission.may_start_tls.then_some((dialer, limit));
    Ok(Link::new(outbox, sink, spec.framing, decoder, stream, tls))
}

fn keep_alive(tcp: &TcpStream, interval: Duration) {
    let interval = interval.max(Duration::from_secs(1));
    let settings = TcpKeepalive::new()
        .with_time(interval)
        .with_interval(interval);
    if let Err(error) = SockRef::from(tcp).set_tcp_keepalive(&settings) {
        tracing::debug!(%error, "TCP keep-alive could not be set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl ConnectionSink for Nobody {
        fn report(&self, _: Report) {}
    }

    #[test]
    fn the_task_is_small() {
        let outbox = Arc::new(Outbox::default());
        let opening = Box::pin(async { unreachable!("never polled") });
        let task = run(outbox, Arc::new(Nobody), opening);
        let bytes = size_of_val(&task) + size_of::<Outbox>();
        assert!(bytes <= 2048, "{bytes} bytes for every connection");
    }
}
