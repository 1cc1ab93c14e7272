//! `anyport health`: asks a running host whether it is ready, for container engines and scripts
//! that have no HTTP client.

use super::config::{Config, HealthArgs};
use super::serve::{DONE, FAILED, WRONG};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Of an answer.
const MOST_BYTES: u64 = 64 * 1024;

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    Ok(Value),
    /// It answers, and is not ready: why.
    NotReady(String),
    /// Nobody answers there.
    Silent(String),
}

/// `anyport health …`; the exit code.
pub fn run(args: &HealthArgs) -> u8 {
    let config = match Config::load(&args.serve) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("anyport: {problems}");
            return WRONG;
        }
    };
    let path = if args.live { "/livez" } else { "/readyz" };
    let address = config.metrics.listen.unwrap_or(config.listen);
    let health = ask(
        address,
        path,
        Duration::from_secs(args.timeout.clamp(1, 300)),
    );
    let (word, reason) = match &health {
        Health::Ok(_) => ("ok", String::new()),
        Health::NotReady(reason) => ("not ready", reason.clone()),
        Health::Silent(reason) => ("silent", reason.clone()),
    };
    let at = format!("http://{}{path}", reachable(address));
    if args.json {
        println!("{}", json!({"status": word, "url": at, "reason": reason}));
    } else if reason.is_empty() {
        println!("{word}: {at}");
    } else {
        println!("{word}: {at}: {reason}");
    }
    match health {
        Health::Ok(_) => DONE,
        _ => FAILED,
    }
}

/// Where to reach what listens there: everywhere means here.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// One GET over a connection of its own.
pub fn ask(address: SocketAddr, path: &str, patience: Duration) -> Health {
    match exchange(reachable(address), path, patience) {
        Ok((200, body)) => Health::Ok(body),
        Ok((status, body)) => {
            let message = body["error"]["message"].as_str().map(str::to_owned);
            Health::NotReady(message.unwrap_or_else(|| match reasons(&body["checks"]) {
                reasons if reasons.is_empty() => format!("it answered {status}"),
                reasons => reasons,
            }))
        }
        Err(error) => Health::Silent(error.to_string()),
    }
}

fn reasons(checks: &Value) -> String {
    let wrong = checks.as_array().into_iter().flatten();
    let each = wrong.filter(|check| check["ok"] == false).map(|check| {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        format!("{}: {}", text("name"), text("reason"))
    });
    each.collect::<Vec<_>>().join("; ")
}

fn exchange(address: SocketAddr, path: &str, patience: Duration) -> std::io::Result<(u16, Value)> {
    let deadline = Instant::now() + patience;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    };
    let mut stream = TcpStream::connect_timeout(&address, left())?;
    stream.set_write_timeout(Some(left()))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.set_read_timeout(Some(left()))?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let Some(status) = status else {
        let what = "what answers there is no HTTP server";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
    };
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
