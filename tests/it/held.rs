//! Another program holds the database under traffic: accounts freeze and go on. Nobody is struck,
//! nothing is dropped, lost or doubled, and clients are told what happens.

use crate::support::arrivals::Arrivals;
use crate::support::eventually;
use crate::support::host::Host;
use crate::support::process::Client;
use crate::support::traffic::{Account, Channel, Senders, Story, provider_configuration, traffic};
use crate::support::{proves, show_log};
use anyport::domain::AccountId;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_database_freezes_accounts_and_nothing_else() {
    show_log();
    let hold = Duration::from_secs(if proves() { 30 } else { 4 });
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let providers = provider_configuration(channel.address());
    let host = Host::start_with(move |config| {
        config.simulator.enabled = Some(false);
        config.provider.clone_from(&providers);
        // The story is about SQLite.
        config.database = None;
    })
    .await;
    let client = Client::new(&host.base, &host.key);
    let operator = Client::new(&host.base, &host.operator_key);
    let accounts = channel.accounts(&client, &operator, &sink).await;
    channel
        .control
        .start_traffic(None, traffic())
        .await
        .unwrap();
    let base = watch::Sender::new(host.base.clone());
    let senders = Senders::start(&accounts, &host.key, &base, 4);
    senders.until_answered(20).await;
    let before = lives(&host, &accounts);
    let logins = channel.logins().await;

    let mut holder = connect(&host.data().join("anyport.db")).await;
    sqlx::query("BEGIN EXCLUSIVE")
        .execute(&mut holder)
        .await
        .unwrap();
    let held = tokio::time::Instant::now();
    senders.until_refused(1).await;
    eventually("the host says that it is not ready", async || {
        (client.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    let acknowledged = channel.control.counters().await.unwrap().acknowledged;
    // Reads go on.
    for account in &accounts {
        let path = format!("/v1/accounts/{}", account.id);
        let seen = client.get(&path).await.expect(200);
        assert_eq!(seen["data"]["runtime_status"], "running", "{seen:#}");
    }
    client.get("/v1/messages?limit=5").await.expect(200);
    client.get("/v1/events?limit=5").await.expect(200);
    // How long it is held is the story.
    tokio::time::sleep_until(held + hold).await;
    let meanwhile = channel.control.counters().await.unwrap().acknowledged;
    assert_eq!(meanwhile, acknowledged, "acknowledged without a commit");
    senders.until_refused(10).await;
    let answered = senders.answered();
    holder.close().await.unwrap();

    senders.until_answered(answered + 20).await;
    let sends = senders.stop().await;
    channel.control.stop_traffic(None).await.unwrap();
    assert_eq!(client.get("/readyz").await.status, 200);
    assert_eq!(lives(&host, &accounts), before);
    assert_eq!(channel.logins().await, logins, "a connection was dropped");
    let story = Story {
        accounts: accounts.into(),
        sends,
        client,
    };
    let numbers = story.holds(&mut channel, &sink).await;
    println!("held for {} s: {numbers}", hold.as_secs());
    host.stop().await;
}

/// (instances since the start, strikes) of each account.
pub fn lives(host: &Host, accounts: &[Account]) -> Vec<(u64, u32)> {
    accounts
        .iter()
        .map(|account| {
            let id = AccountId::from_text(&account.id);
            let live = host.running.supervisor.live(&id).unwrap();
            (live.instances, live.strikes)
        })
        .collect()
}

/// A program of somebody else's on our database.
pub async fn connect(database: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .busy_timeout(Duration::from_secs(20));
    SqliteConnection::connect_with(&options).await.unwrap()
}
