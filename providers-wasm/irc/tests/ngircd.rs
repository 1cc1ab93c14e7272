//! The session core against ngircd, a server without IRCv3, and a client of another make.

mod driver;
mod servers;

use anyport_sdk::replies::Certainty;
use anyport_sdk::types::ErrorCode;
use driver::{Driver, body};
use irc_provider::port::{Action, Input, Reply};
use serde_json::json;
use servers::{Ngircd, Server, ngircd};

fn config(server: &Server, nick: &str) -> serde_json::Value {
    json!({
        "server": "127.0.0.1", "port": server.port, "tls": false, "nick": nick, "channels": ["#one", "#two key"],
        "flood-burst": 50, "flood-interval-ms": 1, "reconnect-ms": 50, "keepalive-ms": 2_000,
    })
}

/// A driver that is signed in and in its channels, and a peer that is in them too.
fn pair(server: &Server) -> (Driver, servers::Peer) {
    let mut driver = Driver::new(&config(server, "anyport"), &[]);
    driver.sign_in();
    in_channels(&mut driver);
    let mut peer = server.peer("Peer[1]");
    peer.join("#one");
    (driver, peer)
}

fn in_channels(driver: &mut Driver) {
    for channel in ["#one", "#two"] {
        driver.event("our own join", |event| match event {
            anyport_sdk::events::Event::ConversationUpdated(conversation)
                if conversation.id == channel =>
            {
                Some(())
            }
            _ => None,
        });
    }
}

fn accepted(reply: Reply) -> Vec<String> {
    match reply {
        Reply::Sent(sent) => sent.messages,
        other => panic!("{other:?}"),
    }
}

fn refused(reply: Reply) -> (ErrorCode, String, Certainty) {
    match reply {
        Reply::Failed(error, certainty) => (
            error.code,
            error.channel_code.unwrap_or_default(),
            certainty,
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_both_ways() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let (mut driver, mut peer) = pair(&server);

    peer.send("PRIVMSG #one :hello anyport, how are you");
    let message = driver.message("hello anyport, how are you");
    assert_eq!(
        (
            message.conversation.as_str(),
            message.conversation_kind.as_str()
        ),
        ("#one", "group")
    );
    assert_eq!(
        (message.sender.as_str(), message.sender_name.as_deref()),
        ("peer[1]", Some("Peer[1]"))
    );
    assert!(!message.from_me);
    let anyport_sdk::model::Content::Text(text) = &message.content else {
        panic!("text")
    };
    assert_eq!(
        text.mentions[0].span.map(|span| (span.offset, span.length)),
        Some((6, 7))
    );

    peer.send("PRIVMSG anyport :\u{1}ACTION waves\u{1}");
    let message = driver.message("waves");
    assert_eq!(
        (
            message.conversation.as_str(),
            message.conversation_kind.as_str()
        ),
        ("peer[1]", "user")
    );
    assert_eq!(message.extra.as_deref(), Some(r#"{"action":true}"#));
    peer.send("NOTICE anyport :psst");
    assert_eq!(
        driver.message("psst").extra.as_deref(),
        Some(r#"{"notice":true}"#)
    );
    peer.send_bytes(b"PRIVMSG #one :caf\xe9");
    driver.message("café");
    // Two equal lines are two messages.
    peer.send("PRIVMSG #one :again");
    peer.send("PRIVMSG #one :again");
    driver.until("two messages", |driver| {
        (driver
            .messages()
            .iter()
            .filter(|message| body(message) == "again")
            .count()
            == 2)
            .then_some(())
    });

    let ids = accepted(driver.sent("#one", "first\r\n\r\nsecond"));
    assert_eq!(ids.len(), 2);
    assert!(peer.wait_for("PRIVMSG #one").ends_with(":first"));
    assert!(peer.wait_for("PRIVMSG #one").ends_with(":second"));
    accepted(driver.sent("peer[1]", "/me nods"));
    assert!(
        peer.wait_for("PRIVMSG Peer[1]")
            .ends_with(":\u{1}ACTION nods\u{1}")
    );

    peer.send("PRIVMSG anyport :\u{1}PING 123\u{1}");
    driver.until("an answer", |driver| {
        driver
            .actions
            .iter()
            .any(|action| matches!(action, Action::Line(line) if line.contains("PING 123")))
            .then_some(())
    });
    peer.wait_for("NOTICE Peer[1] :\u{1}PING 123\u{1}");
    driver.assert_no_doubles();
}

#[test]
fn channels_are_followed() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let (mut driver, mut peer) = pair(&server);
    assert_eq!(driver.group_change("joined").members, ["anyport"]);
    driver.until("the peer's join", |driver| {
        driver.events().iter().any(|emission| matches!(&emission.event, anyport_sdk::events::Event::GroupUpdated(change) if change.members == ["peer[1]"])).then_some(())
    });
    peer.send("NICK Other");
    let renamed = driver.event("the new nick", |event| match event {
        anyport_sdk::events::Event::ContactUpdated(contact) => Some(contact.clone()),
        _ => None,
    });
    assert_eq!(
        (renamed.id.as_str(), renamed.aliases),
        ("other", vec!["nick:peer[1]".to_owned()])
    );
    // The first in the channel is its operator: that is the account under test.
    driver.turn(Input::Frame(
        b":irc.ngircd.test NOTICE anyport :nothing".to_vec(),
    ));
    let mut second = server.peer("second");
    second.join("#three");
    second.send("TOPIC #three :ours");
    second.send("INVITE anyport #three");
    driver.event("the invitation", |event| matches!(event, anyport_sdk::events::Event::Custom(custom) if custom.name == "channel.invited").then_some(()));
    peer.send("QUIT :gone");
    let left = driver.group_change("left");
    assert_eq!(
        (left.conversation.as_str(), left.by.as_deref()),
        ("#one", Some("other"))
    );
    assert!(
        left.extra
            .is_some_and(|extra| extra.contains("\"quit\":true"))
    );
    driver.assert_no_doubles();
}

#[test]
fn operators_topics_modes_and_kicks() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let mut peer = server.peer("boss");
    peer.join("#one");
    let mut driver = Driver::new(&config(&server, "anyport"), &[]);
    driver.sign_in();
    in_channels(&mut driver);
    peer.send("TOPIC #one :what we talk about");
    assert_eq!(
        driver.group_change("info").extra.as_deref(),
        Some(r#"{"topic":"what we talk about"}"#)
    );
    peer.send("MODE #one +o anyport");
    let promoted = driver.group_change("promoted");
    assert_eq!(
        (promoted.by.as_deref(), promoted.members),
        (Some("boss"), vec!["anyport".to_owned()])
    );
    peer.send("MODE #one +mk-o secret anyport");
    assert_eq!(
        driver.group_change("demoted").extra.as_deref(),
        Some(r#"{"mode":"-o"}"#)
    );
    let settings = driver.group_change("settings").extra.expect("the modes");
    assert!(settings.contains("+m"), "{settings}");
    assert_eq!(
        refused(driver.sent("#one", "may I?")),
        (ErrorCode::Forbidden, "404".into(), Certainty::NotDone)
    );
    peer.send("KICK #one anyport :out");
    let removed = driver.group_change("removed");
    assert_eq!(
        (removed.by.as_deref(), removed.members),
        (Some("boss"), vec!["anyport".to_owned()])
    );
    driver.assert_no_doubles();
}

#[test]
fn errors_of_the_channel_settle_sends() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let (mut driver, _peer) = pair(&server);
    assert_eq!(
        refused(driver.sent("nobody", "hi")),
        (ErrorCode::NotFound, "401".into(), Certainty::NotDone)
    );
    let (code, _, certainty) = refused(driver.sent("#nowhere", "hi"));
    assert_eq!((code, certainty), (ErrorCode::NotFound, Certainty::NotDone));
    // An error belongs to the send it answers and to no other.
    let good = driver.send("#one", "fine");
    let bad = driver.send("nobody", "lost");
    let better = driver.send("#one", "fine too");
    accepted(driver.outcome(&good));
    refused(driver.outcome(&bad));
    accepted(driver.outcome(&better));
}

#[test]
fn long_texts_arrive_byte_for_byte() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let (mut driver, mut peer) = pair(&server);
    let words: String = (0..450).map(|number| format!("wörd{number} ")).collect();
    let unbroken = "漢字🇩🇪é".repeat(90);
    for text in [
        words,
        unbroken,
        "x".repeat(4_096),
        format!("/me {}", "dances and ".repeat(100)),
    ] {
        // ngircd drops the spaces that end a line; the last of a text are such.
        let text = text.trim_end();
        let pieces = accepted(driver.sent("#one", text)).len();
        let mut joined = String::new();
        for _ in 0..pieces {
            let line = peer.wait_for("PRIVMSG #one :");
            assert!(line.len() + 2 <= 512, "{} bytes", line.len() + 2);
            let piece = line
                .split_once("PRIVMSG #one :")
                .map_or("", |(_, piece)| piece);
            joined.push_str(
                piece
                    .trim_start_matches("\u{1}ACTION ")
                    .trim_end_matches('\u{1}'),
            );
        }
        assert_eq!(joined, text.trim_start_matches("/me "));
    }
}

#[test]
fn sends_are_paced_and_stay_in_order() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let mut settings = config(&server, "anyport");
    settings["flood-burst"] = json!(3);
    settings["flood-interval-ms"] = json!(40);
    let mut driver = Driver::new(&settings, &[]);
    driver.sign_in();
    in_channels(&mut driver);
    let mut peer = server.peer("peer");
    peer.join("#one");
    let begun = std::time::Instant::now();
    let requests: Vec<_> = (0..12)
        .map(|number| driver.send("#one", &format!("line {number}")))
        .collect();
    assert_eq!(driver.replies(&requests[2]), []);
    assert_eq!(driver.replies(&requests[3]), [Reply::Deferred]);
    // A snapshot and a fault in between change nothing; deferred sends come again by the host.
    assert!(driver.reload());
    for request in &requests {
        accepted(driver.outcome(request));
    }
    assert_eq!(
        &driver.replies(&requests[11])[..2],
        [Reply::Deferred, Reply::Dispatched]
    );
    assert!(begun.elapsed().as_millis() >= 9 * 40 - 50);
    for number in 0..12 {
        assert!(
            peer.wait_for("PRIVMSG #one")
                .ends_with(&format!(":line {number}"))
        );
    }
}

#[test]
fn faults_and_reloads_keep_the_connection() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let (mut driver, mut peer) = pair(&server);
    assert!(driver.reload());
    assert!(driver.fault());
    for number in 0..5 {
        peer.send(&format!("PRIVMSG #one :line {number}"));
        driver.fail_next_line();
    }
    let request = driver.send("#one", "in the air");
    // The instance that sent it is lost before the PONG comes.
    assert!(driver.fault());
    assert_eq!(accepted(driver.outcome(&request)).len(), 1);
    driver.message("line 4");
    let lines: Vec<_> = driver
        .messages()
        .iter()
        .map(|message| body(message).to_owned())
        .filter(|text| text.starts_with("line"))
        .collect();
    assert_eq!(lines, ["line 0", "line 1", "line 2", "line 3", "line 4"]);
    peer.send("QUIT");
    // Who was in the channel is known after the fault, too.
    assert_eq!(driver.group_change("left").members, ["peer[1]"]);
    assert_eq!(driver.connections, 1);
    driver.assert_no_doubles();
}

#[test]
fn a_lost_server_comes_back() {
    let Some(mut server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let (mut driver, peer) = pair(&server);
    drop(peer);
    server.stop();
    driver.until("the loss", |driver| {
        driver
            .actions
            .iter()
            .any(|action| {
                matches!(
                    action,
                    Action::Link(anyport_sdk::account::Link::Offline, Some(_))
                )
            })
            .then_some(())
    });
    let request = driver.send("#one", "when you are back");
    assert_eq!(driver.replies(&request), [Reply::Deferred]);
    server.start();
    accepted(driver.outcome(&request));
    assert!(driver.connections >= 2);
    driver.turn(Input::Reconnect);
    let connections = driver.connections;
    driver.until("the fresh link", |driver| {
        (driver.connections >= connections
            && driver.actions.iter().rev().find_map(|action| {
                if let Action::Link(link, _) = action {
                    Some(*link)
                } else {
                    None
                }
            }) == Some(anyport_sdk::account::Link::Online))
        .then_some(())
    });
    accepted(driver.sent("anyport", "to myself"));
}

#[test]
fn nicks_and_passwords() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let _taken = server.peer("anyport");
    let mut driver = Driver::new(&config(&server, "anyport"), &[]);
    driver.sign_in();
    let identity = driver.actions.iter().find_map(|action| {
        if let Action::SignInSucceeded(identity) = action {
            Some(identity.id.clone())
        } else {
            None
        }
    });
    assert_eq!(identity.as_deref(), Some("anyport_"));

    let Some(closed) = ngircd(&Ngircd {
        password: Some("geheim".into()),
        ..Ngircd::default()
    }) else {
        return;
    };
    let mut driver = Driver::new(
        &config(&closed, "anyport"),
        &[("server-password", "falsch")],
    );
    let failure = driver.sign_in_failure();
    assert_eq!(failure.code, ErrorCode::Unauthenticated, "{failure:?}");
    let mut driver = Driver::new(
        &config(&closed, "anyport"),
        &[("server-password", "geheim")],
    );
    driver.sign_in();

    let mut gone = config(&closed, "anyport");
    gone["port"] = json!(1);
    let failure = Driver::new(&gone, &[]).sign_in_failure();
    assert_eq!(failure.code, ErrorCode::Unavailable);
}

#[test]
fn the_nick_is_taken_back_and_changed() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let mut taken = server.peer("anyport");
    let mut settings = config(&server, "anyport");
    settings["keepalive-ms"] = json!(200);
    let mut driver = Driver::new(&settings, &[]);
    driver.sign_in();
    taken.send("QUIT");
    let is = |nick: &'static str| {
        move |driver: &Driver| {
            driver
                .actions
                .iter()
                .any(|action| matches!(action, Action::Identity(identity) if identity.id == nick))
                .then_some(())
        }
    };
    driver.until("the nick", is("anyport"));
    settings["nick"] = json!("newname");
    driver.config = settings.to_string();
    assert!(driver.reload(), "a new nick needs no new connection");
    driver.until("the new nick", is("newname"));
}

#[test]
fn signing_out_and_stopping() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let (mut driver, mut peer) = pair(&server);
    driver.turn(Input::SignOut {
        request: "out".into(),
    });
    assert_eq!(driver.reply("out"), Some(Reply::Done));
    assert!(
        driver
            .actions
            .iter()
            .any(|action| matches!(action, Action::SignedOut(_)))
    );
    assert!(!driver.memory.kv.contains_key("signed-in"));
    peer.wait_for("QUIT");
    assert_eq!(
        refused(driver.sent("#one", "hello?")).0,
        ErrorCode::Unauthenticated
    );
    driver.actions.clear();
    driver.sign_in();
    in_channels(&mut driver);
    peer.wait_for("JOIN");
    driver.turn(Input::Stopping);
    peer.wait_for("QUIT");
}

#[test]
fn a_silent_server_is_asked_and_given_up() {
    // A listener that never says anything after the welcome.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let quiet = std::thread::spawn(move || {
        use std::io::{BufRead, Write};
        let (mut stream, _) = listener.accept().expect("a client");
        stream
            .write_all(b":s 001 anyport :Welcome\r\n")
            .expect("sent");
        let lines = std::io::BufReader::new(stream.try_clone().expect("a handle")).lines();
        let seen: Vec<String> = lines.map_while(Result::ok).collect();
        seen
    });
    let settings = json!({ "server": "127.0.0.1", "port": port, "tls": false, "nick": "anyport", "keepalive-ms": 200, "reconnect-ms": 100_000 });
    let mut driver = Driver::new(&settings, &[]);
    driver.sign_in();
    let request = driver.send("someone", "are you there");
    let (code, _, certainty) = refused(driver.outcome(&request));
    assert_eq!(
        (code, certainty),
        (ErrorCode::Unavailable, Certainty::MaybeDone)
    );
    drop(driver);
    let seen = quiet.join().expect("the listener");
    assert!(
        seen.iter().any(|line| line.starts_with("PING :k")),
        "{seen:?}"
    );
}
