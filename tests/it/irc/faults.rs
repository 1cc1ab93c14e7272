//! The channel goes away and comes back.

use super::servers::{Ngircd, Peer, ngircd};
use super::{World, text};
use serde_json::json;

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

/// A client that goes away in the middle of a send: nobody can say what became of it.
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
