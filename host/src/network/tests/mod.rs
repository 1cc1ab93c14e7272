//! The network against real listeners on loopback. Every wait has an end, and none is a sleep.

mod guard;
mod http;
mod media;
mod plain;
mod proxied;
mod secured;

use super::*;
use crate::domain::error::Failure;
use crate::runtime::port::{Credit, Framing, GrantedDestination, Report, Transport};
use std::future::Future;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Longer than anything should take on a slow machine.
const LIMIT: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what)
        .await
        .expect("it should have happened by now")
}

struct Recorder(mpsc::UnboundedSender<Report>);

impl ConnectionSink for Recorder {
    fn report(&self, report: Report) {
        self.0.send(report).ok();
    }
}

/// A connection under test and what it reported.
struct Subject {
    connection: Box<dyn Connection>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Subject {
    fn open(network: &Network, spec: ConnectionSpec, proxy: Option<Proxy>) -> Self {
        let (Transport::Tcp { host, port } | Transport::Tls { host, port }) = &spec.transport;
        let grant = EgressGrant {
            provider: "test".into(),
            rules: vec![GrantedDestination {
                host: host.clone(),
                port: *port,
                tcp: true,
                tls: true,
                ..GrantedDestination::default()
            }],
            placements: Vec::new(),
        };
        Self::open_granted(network, spec, grant, proxy)
    }

    fn open_granted(
        network: &Network,
        spec: ConnectionSpec,
        grant: EgressGrant,
        proxy: Option<Proxy>,
    ) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let connection = network.open(spec, Arc::new(grant), proxy, Arc::new(Recorder(sender)));
        Self {
            connection,
            reports,
        }
    }

    fn send(&self, text: &str, token: u64) {
        self.connection.send(text.as_bytes().to_vec(), Some(token));
    }

    async fn next(&mut self) -> Report {
        soon(self.reports.recv()).await.expect("a report")
    }

    async fn opened(&mut self) {
        let report = self.next().await;
        assert!(matches!(report, Report::Opened), "{report:?}");
    }

    async fn frame(&mut self) -> (String, Credit) {
        match self.next().await {
            Report::Frame { bytes, credit } => (String::from_utf8(bytes).unwrap(), credit),
            other => panic!("{other:?}"),
        }
    }

    async fn flushed(&mut self) -> u64 {
        match self.next().await {
            Report::Flushed { token } => token,
            other => panic!("{other:?}"),
        }
    }

    /// The last report: why, and how many frames never left.
    async fn closed(&mut self) -> (Failure, u32) {
        match self.next().await {
            Report::Closed {
                reason,
                undelivered,
                ..
            } => {
                assert!(soon(self.reports.recv()).await.is_none(), "nothing follows");
                (reason, undelivered)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn closed_because(&mut self, expected: &str) {
        let (reason, _) = self.closed().await;
        assert_eq!(reason.to_string(), expected, "{:?}", reason.detail);
    }
}

fn network_with(extra_ca: Vec<PathBuf>) -> Arc<Network> {
    Network::new(NetworkSettings {
        policy: AddressPolicy {
            allow_loopback: true,
            ..AddressPolicy::default()
        },
        extra_ca,
        operator: OperatorEgress::default(),
        metrics: Default::default(),
    })
    .unwrap()
}

fn network() -> Arc<Network> {
    network_with(Vec::new())
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    soon(listener.accept()).await.unwrap().0
}

fn spec(transport: Transport) -> ConnectionSpec {
    ConnectionSpec {
        transport,
        framing: Framing::Line,
        max_frame_bytes: 512,
        ping_interval_ms: Some(30_000),
        connect_timeout_ms: None,
    }
}

fn tcp(port: u16) -> ConnectionSpec {
    spec(Transport::Tcp {
        host: "127.0.0.1".into(),
        port,
    })
}
