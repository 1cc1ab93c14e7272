//! An HTTP server that does what a request's path says, and hands out what it was asked.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

pub struct Peer {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    held: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Peer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (held, waits) = watch::channel(false);
        let all = asked.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, all.clone(), waits.clone()));
            }
        });
        Self {
            port,
            asked,
            held,
            serving,
        }
    }

    /// Requests whose path begins with `/hold` wait for their answer, or no more.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All that it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Those with this path, whatever the method.
    pub fn asked_for(&self, path: &str) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|one| one.line.split(' ').nth(1) == Some(path));
        asked
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    all: Arc<Mutex<Vec<Asked>>>,
    mut held: watch::Receiver<bool>,
) {
    while let Some(asked) = read(&mut stream).await {
        let path = asked.line.split(' ').nth(1).unwrap_or_default().to_owned();
        // Of the path only its end: what stands before it or behind it may be a secret.
        let end = path
            .split('?')
            .next()
            .and_then(|path| path.rsplit('/').next());
        let told = Value::from(end.unwrap_or_default());
        all.lock().unwrap().push(asked);
        if path.starts_with("/hold") {
            let _ = held.wait_for(|held| !held).await;
        }
        let answer = match path.split('?').next().unwrap_or_default() {
            "/cut" => {
                let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
                let _ = stream.write_all(half.as_bytes()).await;
                return;
            }
            "/huge" => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
                return;
            }
            "/moved" => {
                "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            "/busy" => "HTTP/1.1 429 Slow Down\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy"
                .to_owned(),
            _ => {
                let told = told.to_string();
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{told}",
                    told.len()
                )
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.ok()?;
        seen.push(byte);
    }
    let text = String::from_utf8(seen).ok()?;
    let mut lines = text.trim_end().lines();
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(Asked {
        line,
        headers,
        body,
    })
}
