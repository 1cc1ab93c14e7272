//! The session core against InspIRCd with Atheme: SASL, server-time, message ids, echoes and
//! labels.

mod driver;
mod servers;

use std::sync::OnceLock;

use anyport_sdk::events::Event;
use anyport_sdk::replies::{Certainty, SentMessage};
use anyport_sdk::types::ErrorCode;
use driver::{Driver, body};
use irc_provider::port::{Action, Input, Outgoing, Reply};
use serde_json::json;
use servers::{Peer, Server, inspircd};

const CAPS: &str = "message-tags server-time";

/// One server for all tests of this file, since linking services takes a while.
fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let server = inspircd()?;
        server.register_account("anyaccount", "geheim");
        // A static is never dropped: the servers are ended with the process.
        server.end_with_this_process();
        Some(server)
    });
    server.as_ref()
}

fn settings(server: &Server, nick: &str, channel: &str) -> serde_json::Value {
    json!({
        "server": "127.0.0.1", "port": server.port, "tls": false, "nick": nick, "channels": [channel],
        "flood-burst": 50, "flood-interval-ms": 1, "reconnect-ms": 50,
    })
}

/// A driver and a peer in a channel of their own.
fn pair(server: &Server, name: &str) -> (Driver, Peer, String) {
    let channel = format!("#{name}");
    let mut peer = Peer::connect(server.port, &format!("p{name}"), Some(CAPS));
    peer.join(&channel);
    let mut driver = Driver::new(&settings(server, &format!("d{name}"), &channel), &[]);
    driver.sign_in();
    driver.group_change("joined");
    (driver, peer, channel)
}

fn accepted(reply: Reply) -> SentMessage {
    match reply {
        Reply::Sent(sent) => sent,
        other => panic!("{other:?}"),
    }
}

fn tag<'a>(line: &'a str, name: &str) -> &'a str {
    let tags = line
        .strip_prefix('@')
        .and_then(|line| line.split_once(' '))
        .map_or("", |(tags, _)| tags);
    tags.split(';')
        .find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or("")
}

#[test]
fn sasl_plain() {
    let Some(server) = server() else { return };
    let mut with_account = settings(server, "sasl", "#sasl");
    with_account["sasl-username"] = json!("anyaccount");
    let mut driver = Driver::new(&with_account, &[("sasl-password", "geheim")]);
    driver.sign_in();
    let mut peer = server.peer("whoasks");
    peer.send("WHOIS sasl");
    assert!(peer.wait_for(" 330 ").contains("anyaccount"));

    let failure = Driver::new(&with_account, &[("sasl-password", "falsch")]).sign_in_failure();
    assert_eq!(
        (failure.code, failure.channel_code.as_deref()),
        (ErrorCode::Unauthenticated, Some("904"))
    );
    let failure = Driver::new(&with_account, &[]).sign_in_failure();
    assert_eq!(failure.code, ErrorCode::Unauthenticated);

    // A signed-in account whose password no longer holds is signed out, and does not hammer.
    driver
        .memory
        .secrets
        .insert("sasl-password".into(), b"falsch".to_vec());
    driver.turn(Input::Reconnect);
    driver.until("the end of the session", |driver| {
        driver
            .actions
            .iter()
            .any(|action| matches!(action, Action::SignedOut(_)))
            .then_some(())
    });
    assert!(!driver.memory.kv.contains_key("signed-in"));
}

#[test]
fn ids_and_times_of_the_channel() {
    let Some(server) = server() else { return };
    let (mut driver, mut peer, channel) = pair(server, "ids");
    peer.send(&format!("PRIVMSG {channel} :hello"));
    let message = driver.message("hello");
    assert!(
        message.id.contains('~') || message.id.len() > 8,
        "{}",
        message.id
    );
    assert_eq!(message.reply_context.as_deref(), Some(message.id.as_str()));
    assert!(message.sent_at.abs_diff(driver::now()) < 60_000);
    let emission = driver
        .events()
        .into_iter()
        .find(|emission| matches!(emission.event, Event::MessageReceived(_)))
        .cloned()
        .expect("it");
    assert_eq!(emission.key, format!("msgid:{}", message.id));

    let sent = accepted(driver.sent(&channel, "answer"));
    let line = peer.wait_for(&format!("PRIVMSG {channel} :answer"));
    assert_eq!(
        sent.messages,
        [tag(&line, "msgid")],
        "the id others see is the one the client gets"
    );
    assert_eq!(sent.reply_context.as_deref(), Some(tag(&line, "msgid")));
    // The echo is the answer to the send, and no message besides.
    assert!(
        driver
            .messages()
            .iter()
            .all(|message| body(message) != "answer")
    );
    driver.assert_no_doubles();
}

#[test]
fn quotes_typing_and_reactions() {
    let Some(server) = server() else { return };
    let (mut driver, mut peer, channel) = pair(server, "quotes");
    peer.send(&format!("PRIVMSG {channel} :question"));
    let question = driver.message("question");
    let message = Outgoing {
        conversation: channel.clone(),
        text: Some("answer".into()),
        reply_to: question.reply_context,
        ..Outgoing::default()
    };
    driver.turn(Input::Send {
        request: "q".into(),
        message,
    });
    let sent = accepted(driver.outcome("q"));
    let line = peer.wait_for("answer");
    assert_eq!(tag(&line, "+draft/reply"), question.id);
    peer.send(&format!(
        "@+draft/reply={} PRIVMSG {channel} :thanks",
        sent.messages[0]
    ));
    assert_eq!(
        driver.message("thanks").quote.map(|quote| quote.message),
        Some(sent.messages[0].clone())
    );
    peer.send(&format!("@+typing=active TAGMSG {channel}"));
    let activity = driver.event("typing", |event| match event {
        Event::Activity(activity) => Some(activity.clone()),
        _ => None,
    });
    assert!(activity.active && activity.by == "pquotes");
    peer.send(&format!(
        "@+draft/react=👍;+draft/reply={} TAGMSG {channel}",
        sent.messages[0]
    ));
    let emoji = driver.event("a reaction", |event| {
        if let Event::Reaction(reaction) = event {
            reaction.emoji.clone()
        } else {
            None
        }
    });
    assert_eq!(emoji, "👍");
}

#[test]
fn long_texts_arrive_byte_for_byte() {
    let Some(server) = server() else { return };
    let (mut driver, mut peer, channel) = pair(server, "long");
    let mut texts = vec![
        "wörd 漢字 ".repeat(300),
        "x".repeat(4_000),
        "👩‍👩‍👧🇩🇪".repeat(90),
    ];
    texts.push(format!("{}{}", "a ".repeat(500), " ".repeat(600)));
    for text in texts {
        let ids = accepted(driver.sent(&channel, &text)).messages;
        assert!(ids.len() > 1);
        let mut joined = String::new();
        for id in ids {
            let line = peer.wait_for(&format!("PRIVMSG {channel} :"));
            assert_eq!(tag(&line, "msgid"), id);
            let untagged = line.split_once(' ').map_or("", |(_, rest)| rest);
            assert!(untagged.len() + 2 <= 512, "{} bytes", untagged.len() + 2);
            joined.push_str(
                untagged
                    .split_once(&format!("PRIVMSG {channel} :"))
                    .map_or("", |(_, piece)| piece),
            );
        }
        assert_eq!(joined, text);
    }
}

#[test]
fn refusals_find_their_line_by_label() {
    let Some(server) = server() else { return };
    let (mut driver, mut peer, channel) = pair(server, "refusals");
    peer.send(&format!("MODE {channel} +C"));
    peer.wait_for("MODE");
    driver.group_change("settings");
    let before = driver.send(&channel, "fine");
    let bad = driver.send("nobodyhere", "hello?");
    let after = driver.send(&channel, "fine");
    accepted(driver.outcome(&before));
    let Reply::Failed(error, certainty) = driver.outcome(&bad) else {
        panic!("it cannot be delivered")
    };
    assert_eq!(
        (error.code, error.channel_code.as_deref(), certainty),
        (ErrorCode::NotFound, Some("401"), Certainty::NotDone)
    );
    accepted(driver.outcome(&after));
    peer.send(&format!("MODE {channel} +c"));
    driver.until("+c", |driver| {
        let set = |event: &Event| matches!(event, Event::GroupUpdated(change) if change.extra.as_deref().is_some_and(|extra| extra.contains("\"+c\"")));
        driver.events().iter().any(|emission| set(&emission.event)).then_some(())
    });
    // The second of three lines is refused: some of it is there, and the rest stays here.
    let Reply::Failed(error, certainty) = driver.sent(&channel, "one\n\u{3}04two\nthree") else {
        panic!("it cannot be delivered")
    };
    assert_eq!(
        (error.code, certainty),
        (ErrorCode::Forbidden, Certainty::MaybeDone)
    );
}

#[test]
fn faults_keep_ids_and_labels() {
    let Some(server) = server() else { return };
    let (mut driver, mut peer, channel) = pair(server, "faults");
    let request = driver.send(&channel, "in the air");
    assert!(driver.fault());
    let sent = accepted(driver.outcome(&request));
    assert_eq!(sent.messages, [tag(&peer.wait_for("in the air"), "msgid")]);
    let request = driver.send(&channel, "and again");
    assert!(driver.reload());
    let sent = accepted(driver.outcome(&request));
    assert_eq!(sent.messages, [tag(&peer.wait_for("and again"), "msgid")]);
    for number in 0..3 {
        peer.send(&format!("PRIVMSG {channel} :line {number}"));
        driver.fail_next_line();
        driver.message(&format!("line {number}"));
    }
    assert_eq!(driver.connections, 1);
    driver.assert_no_doubles();
}

#[test]
fn a_text_to_oneself() {
    let Some(server) = server() else { return };
    let (mut driver, _peer, _) = pair(server, "self");
    accepted(driver.sent("dself", "note to self"));
    let message = driver.message("note to self");
    assert!(message.from_me);
    assert_eq!(message.conversation, "dself");
    driver.assert_no_doubles();
}
