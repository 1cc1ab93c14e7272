//! A wire between the host and its channel that counts what goes over it, and can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const NEVER: u64 = u64::MAX;

pub struct Relay {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    passed: AtomicU64,
    /// When so many bytes have passed, the connection that brings them ends.
    cut_at: AtomicU64,
    cuts: AtomicU64,
}

impl Relay {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            passed: AtomicU64::new(0),
            cut_at: AtomicU64::new(NEVER),
            cuts: AtomicU64::new(0),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else {
                        return;
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // Both directions end when one does.
                    tokio::select! {
                        () = pass(from_client, to_server, &state) => {}
                        () = pass(from_server, to_client, &state) => {}
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Both ways, since the beginning.
    pub fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::SeqCst)
    }

    /// Once, when so many more bytes have passed.
    pub fn cut_after(&self, bytes: u64) {
        let at = self.passed() + bytes;
        self.state.cut_at.store(at, Ordering::SeqCst);
    }

    pub fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let passed = state.passed.fetch_add(length as u64, Ordering::SeqCst) + length as u64;
        let at = state.cut_at.load(Ordering::SeqCst);
        if passed >= at
            && (state.cut_at)
                .compare_exchange(at, NEVER, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        {
            state.cuts.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
