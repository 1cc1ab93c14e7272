//! A provider that traps, errs, panics, loops, allocates and floods, beside a healthy account:
//! the neighbour does not notice, and on an open connection no line is lost.

use crate::support::arrivals::{Arrivals, Event};
use crate::support::process::{Client, Home};
use crate::support::traffic::{Channel, configuration, message_id, traffic};
use crate::support::{PATIENCE, eventually, guests};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const EVENTS: [&str; 3] = [
    "message.received",
    "account.input.skipped",
    "provider.line.skipped",
];
const SECRET: &str = "correct-horse-battery-staple";
/// Lines before and after the command.
const AROUND: usize = 8;

/// What becomes of the line that is the command.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It arrives, if not at first.
    Arrives,
    /// It kills twice and is left out, visibly.
    LeftOut,
    Either,
}

const COMMANDS: [(&str, Fate); 9] = [
    ("!trap-once", Fate::Arrives),
    ("!trap-always", Fate::LeftOut),
    ("!err because", Fate::LeftOut),
    ("!panic because", Fate::LeftOut),
    ("!loop", Fate::LeftOut),
    ("!alloc", Fate::LeftOut),
    ("!recursion", Fate::LeftOut),
    ("!secret", Fate::LeftOut),
    // Left out or not: its lines are, beyond the budget.
    ("!logflood 2000", Fate::Either),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evil_guest_beside_a_healthy_one() {
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let home = Home::new(&configuration(channel.address(), 60));
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    Client::new(&host.base, &keys.operator)
        .install(guests::evil())
        .await;
    client.endpoint(&sink.url(), &EVENTS).await;

    let neighbour = client.simulator_account("simulator", "ada").await;
    channel
        .control
        .start_traffic(None, traffic())
        .await
        .unwrap();
    let mut evil = Vec::new();
    for (command, fate) in COMMANDS {
        let server = LineServer::start(script(command)).await;
        let account = evil_account(&client, &server, json!({})).await;
        evil.push((command, fate, account, server));
    }

    for (command, fate, account, server) in &evil {
        let what = format!("all lines around {command}");
        sink.wait_until(&what, |arrived| {
            let received = arrived.of("message.received", account).count();
            let skipped = arrived.of("provider.line.skipped", account).count();
            received + skipped == 2 * AROUND + 1
        })
        .await;
        let mut wanted = script(command);
        let arrived = sink.look();
        let left_out = arrived.of("account.input.skipped", account).count();
        match fate {
            Fate::Arrives => assert_eq!(left_out, 0, "{command}"),
            Fate::LeftOut => assert_eq!(left_out, 1, "{command}"),
            Fate::Either => assert!(left_out <= 1, "{command}"),
        }
        if left_out == 1 {
            let skipped = arrived.of("account.input.skipped", account).next().unwrap();
            assert_eq!(skipped.text("subject"), format!("line-{}", AROUND + 1));
            assert!(!skipped.text("reason").is_empty(), "{skipped:?}");
            wanted.retain(|line| line != command);
        }
        let got: Vec<String> = arrived
            .of("message.received", account)
            .map(|event| event.body["text"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(got, wanted, "{command}");
        assert_eq!(server.connections(), 1, "{command} cost the connection");
    }

    // The neighbour: everything, in order, on its one connection, and never struck.
    channel
        .control
        .wait_for(None, PATIENCE, |counted| counted.generated >= 150)
        .await
        .unwrap();
    channel.control.stop_traffic(None).await.unwrap();
    let all = channel.control.counters().await.unwrap().generated;
    sink.wait_until("all of the neighbour's messages", |arrived| {
        arrived.of("message.received", &neighbour).count() as u64 == all
    })
    .await;
    in_order(sink.look().of("message.received", &neighbour));
    assert_eq!(channel.logins().await, 1);
    let log = home.log();
    let struck = |account: &str| {
        log.lines()
            .filter(|line| line.contains("the provider failed") && line.contains(account))
            .count()
    };
    assert_eq!(struck(&neighbour), 0);
    for (command, fate, account, _) in &evil {
        match fate {
            Fate::Arrives => assert_eq!(struck(account), 1, "{command}"),
            Fate::LeftOut => assert_eq!(struck(account), 2, "{command}"),
            Fate::Either => assert!(struck(account) <= 2, "{command}"),
        }
    }
    assert!(!log.contains(SECRET), "a secret stands in the log");
    println!(
        "{all} messages of the neighbour; {} evil accounts",
        evil.len()
    );
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_keeps_failing_is_in_error() {
    let sink = Arrivals::start().await;
    let home = Home::new("[network]\nallow = [\"127.0.0.0/8\"]\n");
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    Client::new(&host.base, &keys.operator)
        .install(guests::evil())
        .await;
    client.endpoint(&sink.url(), &EVENTS).await;

    // Each instance manages one call and traps in the next.
    let lines: Vec<String> = (0..5).map(|number| format!("line {number}")).collect();
    let server = LineServer::start(lines.clone()).await;
    let account = evil_account(&client, &server, json!({"trap_on_call": 2})).await;
    let path = format!("/v1/accounts/{account}");
    let shown = eventually("the status is error", async || {
        let shown = client.get(&path).await.expect(200)["data"].clone();
        (shown["runtime_status"] == "error").then_some(shown)
    })
    .await;
    let reason = shown["runtime_error"].as_str().unwrap();
    assert!(
        reason.contains("panicked or reached unreachable code"),
        "{shown:#}"
    );
    // And still goes on, later each time.
    sink.wait_until("all lines", |arrived| {
        arrived.of("message.received", &account).count() == lines.len()
    })
    .await;
    let got: Vec<String> = sink
        .look()
        .of("message.received", &account)
        .map(|event| event.body["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(got, lines);
    assert_eq!(server.connections(), 1);
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_kills_twice_has_failed() {
    let home = Home::new("[network]\nallow = [\"127.0.0.0/8\"]\n");
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    Client::new(&host.base, &keys.operator)
        .install(guests::evil())
        .await;
    let mut server = LineServer::start(Vec::new()).await;
    let account = evil_account(&client, &server, json!({})).await;
    let send = async |text: &str| {
        let body = json!({
            "account_id": account,
            "to": {"id": "lines", "type": "user"},
            "message": {"type": "text", "text": text},
        });
        client.post("/v1/messages", body).await
    };
    send("before").await.expect(200);
    let refused = send("!trap").await.expect(500);
    assert_eq!(
        refused["error"]["code"], "send_message_failed",
        "{refused:#}"
    );
    let id = refused["error"]["message_id"].as_str().unwrap();
    let kept = client.get(&format!("/v1/messages/{id}")).await.expect(200);
    assert_eq!(kept["data"]["state"], "failed", "{kept:#}");
    assert!(kept["data"]["dispatched_at"].is_null(), "{kept:#}");
    send("after").await.expect(200);
    assert_eq!(server.read.recv().await.unwrap(), "before");
    assert_eq!(server.read.recv().await.unwrap(), "after");
    assert_eq!(server.connections(), 1);
    host.kill().await;
}

/// Numbered lines around a command.
fn script(command: &str) -> Vec<String> {
    let mut lines: Vec<String> = (0..2 * AROUND)
        .map(|number| format!("line {number}"))
        .collect();
    lines.insert(AROUND, command.to_owned());
    lines
}

fn in_order<'a>(events: impl Iterator<Item = &'a Event>) {
    let mut before = std::collections::HashMap::new();
    for event in events {
        let sequence: u64 = message_id(&event.body)
            .rsplit('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let conversation = event.body["data"]["conversation"]["id"].as_str().unwrap();
        let last = before.insert(conversation, sequence).unwrap_or(0);
        assert!(last < sequence, "{sequence} after {last}");
    }
}

async fn evil_account(client: &Client, server: &LineServer, config: Value) -> String {
    let mut config = config;
    config["server"] = "127.0.0.1".into();
    config["port"] = server.port.into();
    let account = json!({"provider": "evil", "auth_mode": "password", "provider_data": config});
    let made = client.post("/v1/accounts", account).await.expect(201);
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/accounts/{id}/auth/start");
    let state = client
        .post(&path, json!({"password": SECRET}))
        .await
        .expect(200);
    assert_eq!(state["data"]["status"], "authorized", "{state:#}");
    id
}

/// A server that says its lines to every connection and hands out what it reads.
pub struct LineServer {
    pub port: u16,
    connections: Arc<AtomicU32>,
    pub read: mpsc::UnboundedReceiver<String>,
    serving: JoinHandle<()>,
}

impl LineServer {
    pub async fn start(lines: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicU32::new(0));
        let (hand_out, read) = mpsc::unbounded_channel();
        let count = connections.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (reader, mut writer) = stream.into_split();
                let (lines, hand_out) = (lines.clone(), hand_out.clone());
                tokio::spawn(async move {
                    for line in lines {
                        let line = format!("{line}\r\n");
                        if writer.write_all(line.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                    let mut reading = BufReader::new(reader).lines();
                    while let Ok(Some(line)) = reading.next_line().await {
                        let _ = hand_out.send(line);
                    }
                });
            }
        });
        Self {
            port,
            connections,
            read,
            serving,
        }
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for LineServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
