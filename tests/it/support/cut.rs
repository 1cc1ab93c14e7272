//! A wire between the host and a PostgreSQL server that can be cut where it hurts most: when a
//! COMMIT was made and its answer is on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A `Query` message: its letter, its length in four bytes, the text and a zero.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

pub struct Wire {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Every so-manieth COMMIT loses its answer; 0: none.
    every: AtomicU64,
    commits: AtomicU64,
    cut: AtomicU64,
    /// Nothing is passed on any more, and nothing is closed: the other side has vanished.
    silent: AtomicBool,
}

impl Wire {
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                        let _ = pass(client, server, state).await;
                    }
                });
            }
        });
        Self { port, state }
    }

    pub fn cut_every(&self, commits: u64) {
        self.state.every.store(commits, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub fn cuts(&self) -> u64 {
        self.state.cut.load(Ordering::SeqCst)
    }

    pub fn set_silent(&self, silent: bool) {
        self.state.silent.store(silent, Ordering::SeqCst);
    }
}

/// Until one side ends or the wire is cut. Those that were passed in silence stay silent for ever,
/// as after a failover to another machine.
async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    state: Arc<State>,
) -> std::io::Result<()> {
    let (mut up, mut down) = ([0; 65_536], [0; 65_536]);
    loop {
        let (sent, length) = tokio::select! {
            length = client.read(&mut up) => (true, length?),
            length = server.read(&mut down) => (false, length?),
        };
        if length == 0 {
            return Ok(());
        }
        if state.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if !sent {
            client.write_all(&down[..length]).await?;
            continue;
        }
        server.write_all(&up[..length]).await?;
        let every = state.every.load(Ordering::SeqCst);
        if !up[..length].ends_with(COMMIT) || every == 0 {
            continue;
        }
        if state.commits.fetch_add(1, Ordering::SeqCst) % every == every - 1 {
            // Its answer is here, so it was made.
            let answer = server.read(&mut down).await?;
            assert!(answer > 0, "the server ended a connection in its COMMIT");
            state.cut.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
    }
}
