//! A client of the REST API that costs little: one connection, one request at a time.

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Client {
    stream: TcpStream,
    address: String,
    key: String,
    input: Vec<u8>,
}

impl Client {
    pub async fn connect(address: &str, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address: address.to_owned(),
            key: key.to_owned(),
            input: Vec::with_capacity(16 * 1024),
        })
    }

    /// The body of a good answer.
    pub async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<&[u8]> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nX-Api-Key: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.input.clear();
        let (head, length) = loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("the host closed the connection");
            }
            if let Some(head) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.input[..head]).to_ascii_lowercase();
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"))
                    .and_then(|value| value.trim().parse::<usize>().ok());
                break (head + 4, length.context("an answer without its length")?);
            }
        };
        while self.input.len() < head + length {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("the host closed the connection");
            }
        }
        if !self.input.starts_with(b"HTTP/1.1 20") {
            bail!("{path}: {}", String::from_utf8_lossy(&self.input));
        }
        Ok(&self.input[head..])
    }

    async fn data(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut answer: Value = serde_json::from_slice(self.post(path, &body.to_string()).await?)?;
        Ok(answer["data"].take())
    }

    /// Makes an account at the simulator and signs it in; its id.
    pub async fn sign_in(&mut self, simulator: &str, user: &str) -> anyhow::Result<String> {
        let (server, port) = simulator.rsplit_once(':').context("an address")?;
        let account = serde_json::json!({
            "provider": "simulator",
            "auth_mode": "code",
            "provider_data": {"server": server, "port": port.parse::<u16>()?, "user": user},
        });
        let account = self.data("/v1/accounts", &account).await?;
        let id = account["id"]
            .as_str()
            .with_context(|| format!("no id: {account}"))?
            .to_owned();
        let auth = format!("/v1/accounts/{id}/auth");
        self.data(&format!("{auth}/start"), &serde_json::json!({}))
            .await?;
        let code = serde_json::json!({"code": "123456"});
        let state = self.data(&format!("{auth}/code"), &code).await?;
        if !state.to_string().contains("authorized") {
            bail!("`{user}` is not signed in: {state}");
        }
        Ok(id)
    }
}
