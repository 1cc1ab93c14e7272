//! The operator's key is changed while sends go on and the host is killed now and then; an account
//! whose deletion was cut off by a crash goes for good.

use crate::support::arrivals::Arrivals;
use crate::support::eventually;
use crate::support::host::Host;
use crate::support::process::{Client, Home};
use crate::support::traffic::{Channel, Senders, Story, configuration, traffic};
use anyport::domain::AccountId;
use anyport::storage::Store;
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_key_changes_under_traffic() {
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let home = Home::new(&configuration(channel.address(), 5));
    let mut host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    let mut operator = Client::new(&host.base, &keys.operator);
    let accounts = channel.accounts(&client, &operator, &sink).await;
    channel
        .control
        .start_traffic(None, traffic())
        .await
        .unwrap();
    let base = watch::Sender::new(host.base.clone());
    let senders = Senders::start(&accounts, &keys.workspace, &base, 4);

    // A workspace's key does not do it.
    client
        .post("/admin/v1/keys/rotate-master", json!({}))
        .await
        .expect(403);
    let mut version = 1;
    for round in 0..4 {
        let answered = senders.answered();
        senders.until_answered(answered + 5).await;
        let request = operator
            .request(http::Method::POST, "/admin/v1/keys/rotate-master")
            .json(&json!({}));
        if round % 2 == 0 {
            let told = operator.send(request).await.expect(200);
            version += 1;
            assert_eq!(told["data"]["version"], version, "{told:#}");
        } else {
            // Killed in the middle, before or after: who knows.
            let asking = tokio::spawn(request.send());
            tokio::time::sleep(Duration::from_millis(5 * round)).await;
            host.kill().await;
            let _ = asking.await;
            host = home.start().await;
            base.send_replace(host.base.clone());
            operator.base.clone_from(&host.base);
            let told = operator
                .post("/admin/v1/keys/rotate-master", json!({}))
                .await
                .expect(200);
            let now = told["data"]["version"].as_i64().unwrap();
            assert!(now == version + 1 || now == version + 2, "{told:#}");
            version = now;
        }
        let data = home.data();
        assert!(data.join("operator.key").exists());
        assert!(!data.join("operator.key.next").exists());
    }
    let answered = senders.answered();
    senders.until_answered(answered + 10).await;
    host.kill().await;
    let host = home.start().await;
    base.send_replace(host.base.clone());
    let answered = senders.answered();
    senders.until_answered(answered + 10).await;
    let sends = senders.stop().await;
    channel.control.stop_traffic(None).await.unwrap();
    let story = Story {
        accounts: accounts.into(),
        sends,
        client: Client::new(&host.base, &keys.workspace),
    };
    let numbers = story.holds(&mut channel, &sink).await;
    println!("operator key of version {version}: {numbers}");
    assert!(!home.log().contains("unreadable"), "{}", home.tail());
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_a_crash_cut_off_is_taken_up_again() {
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let providers = crate::support::traffic::provider_configuration(channel.address());
    let host = Host::start_with(move |config| {
        config.simulator.enabled = Some(false);
        config.provider.clone_from(&providers);
    })
    .await;
    let client = Client::new(&host.base, &host.key);
    client
        .endpoint(&sink.url(), &["message.sent", "message.unknown"])
        .await;
    let gone = client.simulator_account("simulator", "ada").await;
    let stays = client.simulator_account("simulator", "bob").await;
    // The channel takes it and never says so.
    let silent = anyport_simulator::Behaviour {
        never_answer: true,
        ..anyport_simulator::Behaviour::default()
    };
    channel
        .control
        .configure(Some("ada"), silent)
        .await
        .unwrap();
    let send = json!({
        "account_id": gone,
        "to": {"id": "somebody", "type": "user"},
        "message": {"type": "text", "text": "owed"},
    });
    let request = client
        .request(http::Method::POST, "/v1/messages")
        .header("Prefer", "respond-async")
        .json(&send);
    let sent = client.send(request).await;
    let owed = sent.body["data"]["id"].as_str().unwrap().to_owned();
    // As far as a host comes that dies right behind the wish.
    let id = AccountId::from_text(&gone);
    host.running.store.begin_deletion(&id).await.unwrap();
    let host = host.restart().await;
    let client = Client::new(&host.base, &host.key);
    let path = format!("/v1/accounts/{gone}");
    eventually("the account is gone", async || {
        (client.get(&path).await.status == 404).then_some(())
    })
    .await;
    assert!(host.running.store.deletions().await.unwrap().is_empty());
    // What it owed was settled and told before its key went.
    sink.wait_until("the send that was owed", |arrived| {
        let told = ["message.unknown", "message.sent"].map(|kind| {
            arrived
                .of(kind, &gone)
                .any(|event| event.text("send_id") == owed)
        });
        told.contains(&true)
    })
    .await;
    client
        .get(&format!("/v1/accounts/{stays}"))
        .await
        .expect(200);
    let again = client
        .send(client.request(http::Method::DELETE, &path))
        .await;
    assert_eq!(again.status, 404, "{:#}", again.body);
    let stays = client
        .send(client.request(http::Method::DELETE, &format!("/v1/accounts/{stays}")))
        .await;
    assert_eq!(stays.status, 204, "{:#}", stays.body);
    host.stop().await;
}
