//! Sign-ins that fail say why; nothing is left half done.

use super::servers::{Ngircd, ngircd};
use super::{World, text};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_in_words() {
    let password = "pass-of-the-server";
    let Some(server) = ngircd(&Ngircd {
        password: Some(password.into()),
        ..Ngircd::default()
    }) else {
        return;
    };
    let world = World::start().await;

    // The wrong password, then the right one.
    let wrong = "not-the-password";
    let account = world
        .account(server.port, "ada", json!({"server-password": wrong}))
        .await;
    let state = account.start_auth().await;
    assert_eq!(state["status"], "failed", "{state:#}");
    assert!(
        text(&state["last_error_message"]).contains("password"),
        "{state:#}"
    );
    assert_ne!(text(&state["last_error"]), "");
    let failed = account.events("account.auth.failed").await;
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let sent = account.send("#any", "too early").await;
    assert_eq!(
        sent.expect(409)["error"]["code"],
        "account_binding_not_found"
    );
    let told = format!("{state} {failed:?} {}", account.show().await);
    assert!(!told.contains(wrong), "{told}");
    let change = json!({"provider_data": {"server-password": password}});
    world
        .host
        .patch(&account.path(""), change)
        .await
        .expect(200);
    assert_eq!(account.show().await["runtime_status"], "unknown");
    account.sign_in().await;
    assert_eq!(account.show().await["auth_status"], "authorized");
    let told = account.told_statuses().await;
    assert!(!told.iter().any(|status| status == "stopped"), "{told:?}");

    // Nobody listens.
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let account = world.account(port, "ben", json!({})).await;
    let state = account.start_auth().await;
    assert_eq!(state["status"], "failed", "{state:#}");
    assert_eq!(state["last_error"], "unavailable");
    assert!(
        text(&state["last_error_message"]).contains("refused the connection"),
        "{state:#}"
    );

    // TLS where none is spoken.
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = plain.local_addr().unwrap().port();
    let greeting = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b":irc.test NOTICE * :Hello\r\n").unwrap();
        stream.read_to_end(&mut Vec::new())
    });
    let account = world.account(port, "cleo", json!({"tls": true})).await;
    let state = account.start_auth().await;
    assert_eq!(state["status"], "failed", "{state:#}");
    assert_eq!(state["last_error"], "unavailable");
    assert!(
        text(&state["last_error_message"]).contains("TLS"),
        "{state:#}"
    );

    let _ = greeting.join().unwrap();

    // The host's own port is refused whatever is allowed.
    let own = world.host.running.address.port();
    let account = world.account(own, "dora", json!({})).await;
    let state = account.start_auth().await;
    assert_eq!(state["status"], "failed", "{state:#}");
    assert_eq!(state["last_error"], "denied");
    world.host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_host_refuses_loopback() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let world = World::start_with(|config| config.trial = false).await;
    let account = world.account(server.port, "ada", json!({})).await;
    let state = account.start_auth().await;
    assert_eq!(state["status"], "failed", "{state:#}");
    assert_eq!(state["last_error"], "denied");
    let message = text(&state["last_error_message"]);
    assert!(message.contains("may not be connected to"), "{message}");
    assert!(!server.log().contains("ada"), "{}", server.log());
    world.host.stop().await;

    let world = World::start_with(|config| {
        config.trial = false;
        config.network.allow = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let account = world.account(server.port, "ada", json!({})).await;
    account.sign_in().await;
    world.host.stop().await;
}
