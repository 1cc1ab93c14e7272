//! Accepts connections and stops them again. One task per connection, nothing else runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::channel::Channel;
use crate::connection;
use crate::control::{self, ControlReply, ControlRequest};
use crate::http;
use crate::settings::{Settings, SimulatorArgs};
use crate::webhooks;

/// A server in this process. Dropped without [`Simulator::stop`], it stops as well, but
/// nobody waits for it.
pub struct Simulator {
    address: SocketAddr,
    channel: Arc<Channel>,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Simulator {
    /// Must be called inside a tokio runtime.
    pub fn start(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let channel = Arc::new(Channel::new(settings));
        let (stopping, stopped) = watch::channel(false);
        tokio::spawn(webhooks::run(Arc::clone(&channel), stopped.clone()));
        let task = tokio::spawn(accept(listener, Arc::clone(&channel), stopped));
        Ok(Self {
            address,
            channel,
            stopping,
            task,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The HTTP API on a listener of its own, until the simulator stops.
    pub fn serve_http(&self, listener: TcpListener) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        let stopped = self.stopping.subscribe();
        tokio::spawn(http::accept(listener, Arc::clone(&self.channel), stopped));
        Ok(address)
    }

    /// Control without a connection.
    pub fn call(&self, request: ControlRequest) -> ControlReply {
        control::handle(&self.channel, request)
    }

    /// Connections that are open, signed in or not.
    pub fn open_connections(&self) -> usize {
        self.channel.open_connections.load(Relaxed)
    }

    /// Says goodbye on every connection, closes them and waits until all are gone.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(error = %error, "the simulator's accept loop failed");
        }
    }
}

/// Serves until `shutdown` completes.
pub async fn serve(
    listener: TcpListener,
    http: Option<TcpListener>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let simulator = Simulator::start(listener, settings)?;
    if let Some(http) = http {
        simulator.serve_http(http)?;
    }
    shutdown.await;
    simulator.stop().await;
    Ok(())
}

/// `anyport simulator`: serves until Ctrl-C.
pub async fn run(args: SimulatorArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "the simulator listens");
    let http = match args.http {
        Some(address) => {
            let http = TcpListener::bind(address).await?;
            tracing::info!(address = %http.local_addr()?, "the simulator's HTTP API listens");
            Some(http)
        }
        None => None,
    };
    serve(listener, http, args.settings(), async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(error = %error, "cannot wait for Ctrl-C; stopping");
        }
    })
    .await?;
    Ok(())
}

async fn accept(listener: TcpListener, channel: Arc<Channel>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Also when the handle was dropped.
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: it passes.
                tracing::warn!(error = %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if channel.open_connections.load(Relaxed) >= channel.settings.max_connections {
            continue;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "cannot turn off delays on a connection");
        }
        channel.open_connections.fetch_add(1, Relaxed);
        connections.spawn(connection::run(
            Arc::clone(&channel),
            stream,
            stopped.clone(),
        ));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
