//! `kill -9` at any moment, under traffic both ways: what was said yes to is kept, nothing leaves
//! twice, and every send tells what became of it.

use crate::support::arrivals::Arrivals;
use crate::support::postgres::TestDatabase;
use crate::support::process::{Client, Home, HostProcess};
use crate::support::proves;
use crate::support::random::Random;
use crate::support::traffic::{Channel, Senders, Story, configuration, traffic};
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_lost_or_doubled() {
    let (home, host) = killed(Home::new).await;
    second_host_is_refused(&home, host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_on_postgres() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let (_home, host) = killed(|config| Home::on(database, config)).await;
    host.kill().await;
}

async fn killed(home: impl FnOnce(&str) -> Home) -> (Home, HostProcess) {
    let kills = if proves() { 200 } else { 8 };
    let seed = std::process::id().into();
    println!("{kills} kills, seed {seed}");
    let mut random = Random(seed);

    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let home = home(&configuration(channel.address(), 5));
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
    let mut while_starting = 0;
    for kill in 0..kills {
        // Most lives are short; some do what clients wait for, however slow the machine is.
        if random.below(4) == 0 {
            senders.until_answered(senders.answered() + 8).await;
        }
        tokio::time::sleep(Duration::from_millis(100 + random.below(1_500))).await;
        host.kill().await;
        // Now and then also while it comes up.
        if random.below(6) == 0 {
            let mut child = home.spawn();
            tokio::time::sleep(Duration::from_millis(random.below(1_500))).await;
            child.kill().await.unwrap();
            while_starting += 1;
        }
        host = home.start().await;
        base.send_replace(host.base.clone());
        if kill % 20 == 19 {
            println!("{} kills", kill + 1);
        }
    }
    let answered = senders.answered();
    senders.until_answered(answered + 20).await;
    let sends = senders.stop().await;
    channel.control.stop_traffic(None).await.unwrap();

    let client = Client::new(&host.base, &keys.workspace);
    let story = Story {
        accounts: accounts.into(),
        sends,
        client,
    };
    let numbers = story.holds(&mut channel, &sink).await;
    println!("{kills} kills, {while_starting} more while starting: {numbers}");
    (home, host)
}

/// While one host runs; the one after its death goes on at once.
async fn second_host_is_refused(home: &Home, mut host: HostProcess) {
    let second = home.listening(home.spawn()).await;
    assert!(second.is_none(), "two hosts run on one database");
    let why = "another host is running on this database";
    assert!(home.log().contains(why), "{}", home.tail());
    assert!(!host.has_ended());
    host.kill().await;
    home.start().await.kill().await;
}
