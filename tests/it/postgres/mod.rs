//! PostgreSQL goes away under traffic, in every way that it can: accounts freeze and go on, nothing
//! is lost or doubled, and the host needs no restart. Each story has a server of its own.

use crate::held::lives;
use crate::support::arrivals::Arrivals;
use crate::support::cut::Wire;
use crate::support::eventually;
use crate::support::host::Host;
use crate::support::postgres::{Cluster, TestDatabase, execute};
use crate::support::process::Client;
use crate::support::traffic::{Account, Channel, Senders, Story, provider_configuration, traffic};
use crate::support::{proves, show_log};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::sync::watch;

/// A host on a database, with traffic both ways.
struct World {
    host: Host,
    client: Client,
    channel: Channel,
    sink: Arrivals,
    accounts: Vec<Account>,
    senders: Senders,
    /// As it was when all ran.
    before: Vec<(u64, u32)>,
    logins: u64,
}

impl World {
    async fn start(url: String) -> Self {
        show_log();
        let mut channel = Channel::start().await;
        let sink = Arrivals::start().await;
        let providers = provider_configuration(channel.address());
        let host = Host::start_with(move |config| {
            config.simulator.enabled = Some(false);
            config.provider.clone_from(&providers);
            config.database = Some(url.clone().into());
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
        Self {
            host,
            client,
            channel,
            sink,
            accounts,
            senders,
            before,
            logins,
        }
    }

    /// Clients are told that the database is away.
    async fn is_refused(&self) {
        self.senders.until_refused(1).await;
        eventually("the host says that it is not ready", async || {
            (self.client.get("/readyz").await.status == 503).then_some(())
        })
        .await;
    }

    /// It goes on by itself, and nobody was hurt.
    async fn goes_on(&self) {
        let answered = self.senders.answered();
        self.senders.until_answered(answered + 20).await;
        eventually("the host says that it is ready", async || {
            (self.client.get("/readyz").await.status == 200).then_some(())
        })
        .await;
    }

    async fn ends(mut self, what: &str) {
        let sends = self.senders.stop().await;
        self.channel.control.stop_traffic(None).await.unwrap();
        assert_eq!(lives(&self.host, &self.accounts), self.before);
        let logins = self.channel.logins().await;
        assert_eq!(logins, self.logins, "a connection was dropped");
        let story = Story {
            accounts: self.accounts.into(),
            sends,
            client: self.client,
        };
        let numbers = story.holds(&mut self.channel, &self.sink).await;
        println!("{what}: {numbers}");
        self.host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_for_a_while() {
    let Some(mut cluster) = Cluster::start().await else {
        return;
    };
    let seconds = if proves() { 30 } else { 4 };
    let mut world = World::start(cluster.url()).await;
    cluster.stop().await;
    let stopped = tokio::time::Instant::now();
    world.is_refused().await;
    // What was under way when it stopped is told by now: a sign is that nothing more follows.
    let acknowledged = world.channel.control.counters().await.unwrap().acknowledged;
    // How long it is away is the story.
    tokio::time::sleep_until(stopped + Duration::from_secs(seconds)).await;
    let meanwhile = world.channel.control.counters().await.unwrap().acknowledged;
    assert_eq!(meanwhile, acknowledged, "acknowledged without a commit");
    cluster.resume().await;
    world.goes_on().await;
    world.ends(&format!("stopped for {seconds} s")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed() {
    let Some(mut cluster) = Cluster::start().await else {
        return;
    };
    let rounds = if proves() { 20 } else { 2 };
    let world = World::start(cluster.url()).await;
    for _ in 0..rounds {
        cluster.kill().await;
        world.is_refused().await;
        cluster.resume().await;
        world.goes_on().await;
        cluster.kill_backend().await;
        world.goes_on().await;
    }
    world
        .ends(&format!("killed {rounds} times, and a backend"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_lose_their_answer() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let cuts = if proves() { 300 } else { 15 };
    let wire = Wire::to(cluster.port).await;
    let world = World::start(cluster.url_at(wire.port)).await;
    wire.cut_every(7);
    eventually("answers were lost", async || {
        (wire.cuts() >= cuts).then_some(())
    })
    .await;
    wire.cut_every(0);
    world.goes_on().await;
    world.ends(&format!("{} answers lost", wire.cuts())).await;
}

/// A machine that vanishes closes no connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_any_more() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let wire = Wire::to(cluster.port).await;
    let world = World::start(cluster.url_at(wire.port)).await;
    wire.set_silent(true);
    world.is_refused().await;
    wire.set_silent(false);
    world.goes_on().await;
    world.ends("silent").await;
}

/// Everything is where it was in SQLite: the account is signed in, keys and cursors are good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_goes_on_after_its_data_was_moved() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let providers = provider_configuration(channel.address());
    let host = Host::start_with(move |config| {
        config.simulator.enabled = Some(false);
        config.provider.clone_from(&providers);
        // Until `Host::move_to` it is SQLite.
        if !config.data.join("moved").exists() {
            config.database = None;
        }
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
    let key = host.key.clone();
    std::fs::write(host.data().join("moved"), "").unwrap();
    let host = host.move_to(database).await;
    base.send_replace(host.base.clone());
    let answered = senders.answered();
    senders.until_answered(answered + 20).await;
    let sends = senders.stop().await;
    channel.control.stop_traffic(None).await.unwrap();
    let story = Story {
        accounts: accounts.into(),
        sends,
        client: Client::new(&host.base, &key),
    };
    println!("moved: {}", story.holds(&mut channel, &sink).await);
    host.stop().await;
}

/// Another program holds a table: reads go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_table_freezes_accounts_and_nothing_else() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let world = World::start(cluster.url()).await;
    let mut holder = PgConnection::connect(&cluster.url()).await.unwrap();
    // Both at once or neither: a commit that has one and wants the other would be a deadlock.
    eventually("no commit is under way", async || {
        execute(&mut holder, "BEGIN").await;
        let locking = "LOCK TABLE anyport.event, anyport.send IN SHARE MODE NOWAIT";
        let locked = sqlx::raw_sql(locking).execute(&mut holder).await;
        if locked.is_err() {
            execute(&mut holder, "ROLLBACK").await;
        }
        locked.ok()
    })
    .await;
    world.is_refused().await;
    for account in &world.accounts {
        let path = format!("/v1/accounts/{}", account.id);
        let seen = world.client.get(&path).await.expect(200);
        assert_eq!(seen["data"]["runtime_status"], "running", "{seen:#}");
    }
    world.client.get("/v1/messages?limit=5").await.expect(200);
    world.client.get("/v1/events?limit=5").await.expect(200);
    execute(&mut holder, "ROLLBACK").await;
    world.goes_on().await;
    world.ends("held").await;
}
