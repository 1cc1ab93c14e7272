//! The channel goes away and comes back.

use super::replace::{new_version, runs};
use super::servers::{Ngircd, Peer, ngircd};
use super::{World, prove, said, text};
use crate::support::{PATIENCE, eventually};
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

const CHANNEL: &str = "#storm";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_dies_and_comes_back() {
    let Some(mut server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let world = World::start().await;
    // It comes back when we say so.
    let account = world
        .account(
            server.port,
            "anyport",
            json!({"channels": [CHANNEL], "reconnect-ms": 300_000}),
        )
        .await;
    account.sign_in().await;
    account.joined(CHANNEL).await;
    let mut peer = server.peer("ada");
    peer.join(CHANNEL);
    account.sent(CHANNEL, "before the storm").await;
    peer.wait_for(":before the storm");

    server.stop();
    let shown = account.is("disconnected").await;
    assert_eq!(shown["auth_status"], "authorized");
    assert_ne!(text(&shown["runtime_error"]), "");
    let told = account.events("account.status.updated").await;
    let last = &told.last().unwrap()["data"];
    assert_eq!(last["runtime_status"], "disconnected");
    assert_eq!(last["reason"]["code"], "unavailable", "{last:#}");

    // What is sent meanwhile waits: recorded, and nothing has left.
    let mut waiting = Vec::new();
    for number in 0..3 {
        let answer = account
            .send_async(CHANNEL, &format!("waits {number}"))
            .await;
        let data = answer.expect(202)["data"].clone();
        assert_eq!(data["state"], "recorded", "{data:#}");
        waiting.push(text(&data["id"]).to_owned());
    }

    server.start();
    let mut peer = server.peer("ada");
    peer.join(CHANNEL);
    let answer = world
        .host
        .post(&account.path("/runtime/reconnect"), json!({}))
        .await;
    answer.expect(200);
    for (number, id) in waiting.iter().enumerate() {
        assert!(
            peer.wait_for(" PRIVMSG ")
                .ends_with(&format!(":waits {number}"))
        );
        account.send_is(id, "sent").await;
    }
    account.is("running").await;
    peer.send(&format!("PRIVMSG {CHANNEL} :back again"));
    account.received("back again").await;
    account.sent(CHANNEL, "after the storm").await;
    assert!(
        peer.wait_for(" PRIVMSG ").ends_with(":after the storm"),
        "once each"
    );

    // And by itself, over more than one death. The change needs no new connection.
    let change = json!({"provider_data": {"reconnect-ms": 50}});
    world
        .host
        .patch(&account.path(""), change)
        .await
        .expect(200);
    account.sent(CHANNEL, "configured anew").await;
    assert!(peer.wait_for(" PRIVMSG ").ends_with(":configured anew"));
    for round in 0..2 {
        server.stop();
        account.is("disconnected").await;
        if round == 1 {
            // Replaced while it waits for the next attempt.
            let digest = text(&world.provider().await["digest"]).to_owned();
            let bytes = new_version(&world.component().await, 1);
            world.upload(bytes).await.expect(201);
            runs(&world, &account, &digest).await;
        }
        let before = account.told_statuses().await.len();
        server.start();
        let mut peer = server.peer("ada");
        peer.join(CHANNEL);
        account.is("running").await;
        talk(&account, &mut peer, round).await;
        let told = account.told_statuses().await[before..].to_vec();
        assert_eq!(told.last().unwrap(), "running", "{told:?}");
    }
    assert_eq!(account.events("message.sent").await.len(), 8);
    assert_eq!(account.events("account.auth.failed").await.len(), 0);
    world.host.stop().await;
}

async fn talk(account: &super::Account<'_>, peer: &mut Peer, round: usize) {
    let (there, back) = (format!("there {round}"), format!("back {round}"));
    account.sent(CHANNEL, &there).await;
    peer.wait_for(&format!(":{there}"));
    peer.send(&format!("PRIVMSG {CHANNEL} :{back}"));
    account.received(&back).await;
}

/// Passes a port on, and can cut what goes through.
struct Relay {
    address: SocketAddr,
    through: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: JoinHandle<()>,
}

impl Relay {
    async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let through: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let passing = through.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let pass = tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
                passing.lock().unwrap().push(pass.abort_handle());
            }
        });
        Self {
            address,
            through,
            accepting,
        }
    }

    fn cut(&self) {
        for pass in self.through.lock().unwrap().drain(..) {
            pass.abort();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

/// Whatever the moment of the cut: what is `sent` was heard, what was not heard is not `sent`, and
/// nothing is heard twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_cut_under_traffic() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let cuts = if prove() { 100 } else { 8 };
    let world = World::start().await;
    let relay = Relay::start(server.port).await;
    // It comes back when we say so.
    let over = json!({"channels": [CHANNEL], "reconnect-ms": 300_000});
    let account = world.account(relay.address.port(), "anyport", over).await;
    let mut peer = server.peer("ada");
    peer.join(CHANNEL);
    account.sign_in().await;
    account.joined(CHANNEL).await;

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let listening = std::thread::spawn(move || {
        let (mut seen, mut heard, mut number) = (0, HashMap::new(), 0);
        loop {
            if !stopped.load(Ordering::Relaxed) {
                peer.send(&format!("PRIVMSG {CHANNEL} :in {number}"));
                number += 1;
            }
            peer.poll();
            for line in &peer.lines[seen..] {
                let Some(body) = said(line, CHANNEL) else {
                    continue;
                };
                let body = String::from_utf8_lossy(body).into_owned();
                if body == "end" {
                    return heard;
                }
                *heard.entry(body).or_insert(0) += 1;
            }
            seen = peer.lines.len();
        }
    });
    let mut ids = Vec::new();
    for cut in 0..cuts {
        account.is("running").await;
        say(&account, 10, &mut ids).await;
        // Each at another stage of what was just sent.
        if cut % 2 == 0 {
            let path = format!("/v1/messages/{}", ids[ids.len() - 1 - cut % 10]);
            eventually("it to have left", async || {
                let looked = world.host.get(&path).await.expect(200);
                (looked["data"]["state"] != "recorded").then_some(())
            })
            .await;
        }
        relay.cut();
        say(&account, 3, &mut ids).await;
        account.is("disconnected").await;
        let again = account.path("/runtime/reconnect");
        world.host.post(&again, json!({})).await.expect(200);
    }
    stop.store(true, Ordering::Relaxed);
    let mut states = HashMap::new();
    for (number, id) in ids.iter().enumerate() {
        let found = eventually("the send's end", async || {
            let looked = world
                .host
                .get(&format!("/v1/messages/{id}"))
                .await
                .expect(200);
            let state = text(&looked["data"]["state"]).to_owned();
            matches!(state.as_str(), "sent" | "failed" | "unknown").then_some(state)
        })
        .await;
        states.insert(format!("out {number}"), found);
    }
    account.is("running").await;
    account.sent(CHANNEL, "end").await;
    let heard = tokio::time::timeout(PATIENCE, async {
        tokio::task::spawn_blocking(move || listening.join().unwrap())
            .await
            .unwrap()
    })
    .await
    .expect("the end is heard");
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (body, state) in &states {
        *counts.entry(state).or_default() += 1;
        let times = heard.get(body).copied().unwrap_or(0);
        match state.as_str() {
            "sent" => assert_eq!(times, 1, "{body} is sent"),
            "failed" => assert_eq!(times, 0, "{body} has failed"),
            _ => assert!(times <= 1, "{body} is unknown and was heard {times} times"),
        }
    }
    assert!(
        heard.keys().all(|body| states.contains_key(body)),
        "{heard:?}"
    );

    // What came in came once and in order; what was said while the link was down is gone.
    let received = account.events("message.received").await;
    let numbers: Vec<usize> = received
        .iter()
        .filter_map(|event| {
            event["data"]["message"]["text"]
                .as_str()?
                .strip_prefix("in ")?
                .parse()
                .ok()
        })
        .collect();
    assert!(
        numbers.is_sorted_by(|earlier, later| earlier < later),
        "{numbers:?}"
    );
    let told = account.told_statuses().await;
    let away = told.iter().filter(|status| *status == "disconnected");
    assert_eq!(away.count(), cuts, "each loss is an event: {told:?}");
    eprintln!("cut {cuts} times: {counts:?}, {} lines in", numbers.len());
    world.host.stop().await;
}

/// Numbered lines to the channel, without waiting for them.
async fn say(account: &super::Account<'_>, count: usize, ids: &mut Vec<String>) {
    for _ in 0..count {
        let body = format!("out {}", ids.len());
        let answer = account.send_async(CHANNEL, &body).await;
        assert!(answer.status.is_success(), "{:#}", answer.body);
        ids.push(text(&answer.body["data"]["id"]).to_owned());
    }
}

/// A server that goes away in the middle of a send: nobody can say what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_in_a_send() {
    let world = World::start().await;
    // A server that greets, takes the message and closes instead of answering the PING.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (stream, _) = listener.accept().unwrap();
        let mut writer = stream.try_clone().unwrap();
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            if line.starts_with("USER ") {
                writer
                    .write_all(b":irc.test 001 anyport :Welcome anyport!any@host\r\n")
                    .unwrap();
            }
            if let Some(token) = line.strip_prefix("PING ") {
                if token.starts_with(":f") {
                    return;
                }
                writer
                    .write_all(format!(":irc.test PONG irc.test {token}\r\n").as_bytes())
                    .unwrap();
            }
        }
    });
    let account = world
        .account(port, "anyport", json!({"reconnect-ms": 300_000}))
        .await;
    account.sign_in().await;
    let error = account.send("ada", "into the void").await.expect(504)["error"].clone();
    assert_eq!(error["code"], "send_outcome_unknown");
    assert_eq!(error["reason"], "unavailable");
    server.join().unwrap();
    account.send_is(text(&error["message_id"]), "unknown").await;
    account.is("disconnected").await;
    assert_eq!(account.events("message.unknown").await.len(), 1);
    // It stays so, also over a restart: nothing is repeated.
    let id = account.id.clone();
    let host = world.host.restart().await;
    let listed = host.get("/v1/messages?state=unknown").await.expect(200);
    assert_eq!(listed["data"]["items"][0]["account_id"], id.as_str());
    host.stop().await;
}
