//! A message in, a message out.

use super::servers::{Ngircd, Peer, ngircd};
use super::{SECRET, World, said, signatures, text};
use serde_json::json;

const CHANNEL: &str = "#lobby";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_and_out_through_ngircd() {
    let password = "pass-of-the-server";
    let Some(server) = ngircd(&Ngircd {
        password: Some(password.into()),
        ..Ngircd::default()
    }) else {
        return;
    };
    let world = World::start().await;
    let account = world
        .account(
            server.port,
            "anyport",
            json!({"channels": [CHANNEL], "server-password": password}),
        )
        .await;
    account.sign_in().await;
    account.joined(CHANNEL).await;
    let shown = account.show().await;
    assert_eq!(shown["auth_status"], "authorized");
    assert!(!shown.to_string().contains(password));

    let mut peer = Peer::open(server.port);
    peer.send(&format!("PASS {password}"));
    peer.send("NICK Ada");
    peer.send("USER ada 0 * :Ada");
    peer.wait_for(" 001 ");
    peer.join(CHANNEL);

    // In, to the channel and to the account alone.
    let hello = "Hello, 世界 👋🏽 \u{1}bytes\u{2}";
    peer.send(&format!("PRIVMSG {CHANNEL} :{hello}"));
    let received = account.received(hello).await;
    signatures::verify(&received, SECRET);
    let event = received.json();
    assert_eq!(event["provider"], "irc");
    assert_eq!(event["data"]["conversation"]["id"], CHANNEL);
    assert_eq!(event["data"]["conversation"]["type"], "group");
    assert_eq!(event["data"]["sender"]["id"], "ada");
    assert_eq!(event["data"]["sender"]["name"], "Ada");
    assert_eq!(event["text"], hello, "the flat mirror");
    assert_eq!(received.header("x-device-event-id"), text(&event["id"]));
    peer.send("PRIVMSG anyport :just you");
    let event = account.received("just you").await.json();
    assert_eq!(event["data"]["conversation"]["id"], "ada");
    assert_eq!(event["data"]["conversation"]["type"], "user");

    // Out, byte for byte.
    for body in [
        "plain",
        "emoji 👩‍👩‍👧‍👦 🇺🇦 ✨ and umlauts äöü",
        ":starts with a colon",
        "  spaces  within  ",
    ] {
        let sent = account.sent(CHANNEL, body.trim_end()).await;
        assert_eq!(sent["status"], "accepted");
        assert_eq!(sent["message_ids"].as_array().unwrap().len(), 1);
        assert_eq!(
            hears(&mut peer, CHANNEL, body.trim_end().len()),
            body.trim_end().as_bytes()
        );
    }
    let sent = account.sent("Ada", "in private").await;
    assert_eq!(hears(&mut peer, "Ada", 10), b"in private");
    let found = world
        .host
        .get(&format!("/v1/messages/{}", text(&sent["id"])))
        .await
        .expect(200);
    assert_eq!(found["data"]["state"], "sent");
    assert_eq!(found["data"]["message_id"], sent["message_id"]);

    // 2,000 characters: words, then one long word of four-byte characters.
    let words: String = (0..)
        .flat_map(|n| format!("wörd{n} ").chars().collect::<Vec<_>>())
        .take(1999)
        .collect();
    let words = format!("{}.", words);
    let emojis = "🦀".repeat(2000);
    for body in [&words, &emojis] {
        assert_eq!(body.chars().count(), 2000);
        let sent = account.sent(CHANNEL, body).await;
        let pieces = sent["message_ids"].as_array().unwrap().len();
        assert!(pieces > 1, "{pieces}");
        let before = peer.lines.len();
        assert_eq!(
            String::from_utf8(hears(&mut peer, CHANNEL, body.len())).unwrap(),
            **body
        );
        let lines: Vec<_> = peer.lines[before..]
            .iter()
            .filter(|line| said(line, CHANNEL).is_some())
            .collect();
        assert_eq!(lines.len(), pieces, "an id for every piece");
        assert!(lines.iter().all(|line| line.len() <= 510));
    }

    // Two equal lines are two messages.
    for _ in 0..2 {
        peer.send(&format!("PRIVMSG {CHANNEL} :same"));
    }
    peer.send(&format!("PRIVMSG {CHANNEL} :after"));
    account.received("after").await;
    let same: Vec<_> = account
        .events("message.received")
        .await
        .into_iter()
        .filter(|event| event["data"]["message"]["text"] == "same")
        .collect();
    assert_eq!(same.len(), 2);
    assert_ne!(
        same[0]["data"]["message"]["id"],
        same[1]["data"]["message"]["id"]
    );

    // Refused by the channel: nobody has this nick; a channel that we are not in.
    let answer = account.send("nobody-there", "hello?").await;
    let error = answer.expect(404)["error"].clone();
    assert_eq!(error["code"], "conversation_not_found");
    assert_eq!(error["reason"], "not-found");
    assert_eq!(error["channel_code"], "401");
    let failed = account.send_is(text(&error["message_id"]), "failed").await;
    assert_eq!(failed["error"]["code"], "conversation_not_found");
    peer.join("#closed");
    peer.send("MODE #closed +n");
    peer.wait_for("MODE #closed");
    let answer = account.send("#closed", "let me in").await;
    let error = answer.expect(500)["error"].clone();
    assert_eq!(error["code"], "send_message_failed");
    assert_eq!(
        (&error["reason"], &error["channel_code"]),
        (&json!("forbidden"), &json!("404"))
    );

    // Refused by us: nothing is recorded.
    let answer = account.send(CHANNEL, &"x".repeat(4097)).await;
    assert_eq!(answer.expect(400)["error"]["code"], "invalid_request");
    let failed = account.events("message.failed").await;
    assert_eq!(failed.len(), 2, "{failed:#?}");

    assert_eq!(account.told_statuses().await.last().unwrap(), "running");
    world.host.stop().await;
}

/// What the peer hears in this conversation from now on, until it is so many bytes.
fn hears(peer: &mut Peer, target: &str, bytes: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < bytes {
        let line = peer.wait_for(&format!(" {target} "));
        heard.extend_from_slice(said(line.as_bytes(), target).unwrap_or_default());
    }
    heard
}
