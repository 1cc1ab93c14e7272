//! The disk is full, in two ways: clients are told, nothing is half-written, and the host goes on
//! by itself when there is space again.

use crate::held::{connect, lives};
use crate::support::arrivals::Arrivals;
use crate::support::eventually;
use crate::support::host::Host;
use crate::support::process::{Client, Home};
use crate::support::traffic::{
    Channel, Senders, Story, configuration, provider_configuration, traffic,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::path::Path;
use tokio::sync::watch;

/// SQLite itself refuses to grow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_may_not_grow() {
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
    let database = host.data().join("anyport.db");
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

    let pages = number(&database, "PRAGMA page_count").await;
    let limit = u32::try_from(pages).unwrap() + 8;
    host.running.store.limit_pages(Some(limit)).await;
    senders.until_refused(10).await;
    assert_eq!(client.get("/readyz").await.status, 503);
    client.get("/v1/messages?limit=5").await.expect(200);
    is_whole(&database).await;
    let answered = senders.answered();
    host.running.store.limit_pages(None).await;

    senders.until_answered(answered + 20).await;
    let sends = senders.stop().await;
    channel.control.stop_traffic(None).await.unwrap();
    assert_eq!(lives(&host, &accounts), before);
    assert_eq!(channel.logins().await, logins, "a connection was dropped");
    let story = Story {
        accounts: accounts.into(),
        sends,
        client,
    };
    println!("full: {}", story.holds(&mut channel, &sink).await);
    is_whole(&database).await;
    host.stop().await;
}

/// The kernel refuses to let any file of the process grow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_may_not_grow() {
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let home = Home::new(&configuration(channel.address(), 60));
    let mut host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    let operator = Client::new(&host.base, &keys.operator);
    let accounts = channel.accounts(&client, &operator, &sink).await;
    channel
        .control
        .start_traffic(None, traffic())
        .await
        .unwrap();
    let base = watch::Sender::new(host.base.clone());
    let senders = Senders::start(&accounts, &keys.workspace, &base, 4);
    senders.until_answered(20).await;
    let logins = channel.logins().await;

    let database = home.data().join("anyport.db");
    limit_files(host.id(), Some(database.metadata().unwrap().len()));
    senders.until_refused(10).await;
    assert_eq!(client.get("/readyz").await.status, 503);
    client.get("/v1/messages?limit=5").await.expect(200);
    is_whole(&database).await;
    let answered = senders.answered();
    limit_files(host.id(), None);

    eventually("the host says that it is ready", async || {
        (client.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    senders.until_answered(answered + 20).await;
    let sends = senders.stop().await;
    channel.control.stop_traffic(None).await.unwrap();
    assert!(!host.has_ended(), "{}", home.tail());
    assert_eq!(channel.logins().await, logins, "a connection was dropped");
    assert!(
        !home.log().contains("the provider failed"),
        "{}",
        home.tail()
    );
    let story = Story {
        accounts: accounts.into(),
        sends,
        client,
    };
    println!("full: {}", story.holds(&mut channel, &sink).await);
    is_whole(&database).await;
    host.kill().await;
}

/// The soft limit of a running process.
fn limit_files(process: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(process.cast_signed());
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

async fn number(database: &Path, sql: &'static str) -> i64 {
    let mut connection = connect(database).await;
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// What is in the database fits together.
async fn is_whole(database: &Path) {
    let mut connection = connect(database).await;
    let integrity: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(integrity, "ok");
    // One statement each, so that it looks at one state of the database.
    for (what, sql) in [
        (
            "offsets without an event",
            "SELECT (SELECT sum(head) FROM partition) - (SELECT count(*) FROM event)",
        ),
        (
            "keys without a send",
            "SELECT count(*) FROM idempotency WHERE send NOT IN (SELECT id FROM send)",
        ),
        (
            "settled sends without a time",
            "SELECT count(*) FROM send \
             WHERE (settled_at IS NULL) = (state IN ('sent', 'failed', 'unknown'))",
        ),
    ] {
        let count: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(count, 0, "{what}");
    }
}
