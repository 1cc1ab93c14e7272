//! Two hosts on one database: one works, the other stands by. Whatever happens to the one that
//! works, the other goes on with all of it, nothing is lost, nothing leaves twice, and a host that
//! was stopped and woken up finds that it is nobody any more.

use crate::support::arrivals::Arrivals;
use crate::support::postgres::TestDatabase;
use crate::support::process::{Client, Home, HostProcess};
use crate::support::traffic::{Account, Channel, Senders, Story, configuration, traffic};
use crate::support::{PATIENCE, eventually, proves};
use anyport_simulator::{Counters, Traffic};
use http::Method;
use rustix::process::Signal;
use serde_json::json;
use std::time::Instant;
use tokio::sync::watch;

/// What happens to the host that works.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// `kill -9`; it is started again when the other one works.
    Killed,
    /// `kill -9`, and started again at once.
    Restarted,
    /// SIGSTOP until the other one works, then SIGCONT.
    Frozen,
    /// SIGTERM; it is started again when the other one works.
    Stopped,
}

/// Messages a second from the channel to each account: what comes while no host works has to be
/// caught up with afterwards.
const RATE: f64 = 10.0;
const FATES: [Fate; 4] = [Fate::Frozen, Fate::Restarted, Fate::Killed, Fate::Stopped];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_one_the_other_goes_on() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let rounds = if proves() { 10 } else { 1 };
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let mut config = configuration(channel.address(), 5);
    config.insert_str(0, &format!("database = {:?}\n", database.url));
    let homes = [Home::new(&config), Home::new(&config)];
    let first = homes[0].start().await;
    let keys = first.keys.clone().expect("a first start prints keys");
    homes[1].take_operator_key(&homes[0]);
    a_host_with_another_key_is_refused(&config).await;
    let second = homes[1].start().await;
    assert!(second.keys.is_none(), "a second host makes no keys");
    let client = Client::new(&first.base, &keys.workspace);
    let operator = Client::new(&first.base, &keys.operator);
    let accounts = channel.accounts(&client, &operator, &sink).await;
    let standby = Client::new(&second.base, &keys.workspace);
    a_standby_does_what_it_can(&standby, &accounts, &mut channel).await;

    channel
        .control
        .start_traffic(
            None,
            Traffic {
                rate: RATE,
                ..traffic()
            },
        )
        .await
        .unwrap();
    // Half of the clients ask one host, half of them the other, whoever works.
    let bases = [
        watch::Sender::new(first.base.clone()),
        watch::Sender::new(second.base.clone()),
    ];
    let senders = [
        Senders::start(&accounts, &keys.workspace, &bases[0], 2),
        Senders::start(&accounts, &keys.workspace, &bases[1], 2),
    ];
    let mut hosts = [Some(first), Some(second)];
    let mut active = 0;
    let mut story: Vec<String> = Vec::new();
    for round in 0..rounds {
        for fate in FATES {
            for senders in &senders {
                senders.until_answered(senders.answered() + 10).await;
            }
            let other = 1 - active;
            let host = hosts[active].take().expect("it runs");
            let began = Instant::now();
            let (host, took) = match fate {
                Fate::Killed | Fate::Stopped => {
                    match fate {
                        Fate::Killed => host.kill().await,
                        _ => host.terminate().await,
                    }
                    until_active(&hosts[other]).await;
                    let took = began.elapsed();
                    let host = homes[active].start().await;
                    until_standby(&host).await;
                    (host, took)
                }
                Fate::Restarted => {
                    let left = homes[active].count(TOOK_BACK);
                    host.kill().await;
                    let host = homes[active].start().await;
                    until_somebody_works(&host, &hosts[other]).await;
                    let took = began.elapsed();
                    if works(&host).await {
                        assert_eq!(homes[active].count(TOOK_BACK), left + 1);
                    }
                    (host, took)
                }
                Fate::Frozen => {
                    host.signal(Signal::STOP);
                    until_active(&hosts[other]).await;
                    let took = began.elapsed();
                    let let_go = homes[active].count(LET_GO);
                    host.signal(Signal::CONT);
                    until_standby(&host).await;
                    assert_eq!(homes[active].count(LET_GO), let_go + 1);
                    (host, took)
                }
            };
            story.push(format!("{fate:?} {} ms", took.as_millis()));
            bases[active].send_replace(host.base.clone());
            hosts[active] = Some(host);
            if works(hosts[other].as_ref().expect("it runs")).await {
                active = other;
            }
        }
        println!("round {}: {}", round + 1, story.join(", "));
        story.clear();
    }
    let mut sends = Vec::new();
    for senders in senders {
        senders.until_answered(senders.answered() + 10).await;
        sends.extend(senders.stop().await);
    }
    channel.control.stop_traffic(None).await.unwrap();
    // Much may have piled up while no host worked.
    let caught_up = |counted: &Counters| counted.unacknowledged == 0;
    channel
        .control
        .wait_for(None, PATIENCE * 5, caught_up)
        .await
        .unwrap();
    let host = hosts[active].take().expect("it runs");
    let story = Story {
        accounts: accounts.into(),
        sends,
        client: Client::new(&host.base, &keys.workspace),
    };
    let numbers = story.holds(&mut channel, &sink).await;
    println!("{numbers}");
    host.kill().await;
    for host in hosts.into_iter().flatten() {
        host.kill().await;
    }
}

const TOOK_BACK: &str = "took back what the former process of this host had";
const LET_GO: &str = "let go what this host does not own any more";

/// Is this the host that works?
async fn works(host: &HostProcess) -> bool {
    let client = Client::new(&host.base, "");
    let answer = client
        .try_send(client.request(Method::GET, "/readyz"))
        .await;
    answer.is_ok_and(|answer| answer.status == 200)
}

async fn until_active(host: &Option<HostProcess>) {
    let host = host.as_ref().expect("it runs");
    eventually("the other host works", async || {
        works(host).await.then_some(())
    })
    .await;
}

async fn until_somebody_works(one: &HostProcess, other: &Option<HostProcess>) {
    let other = other.as_ref().expect("it runs");
    eventually("one of the hosts works", async || {
        (works(one).await || works(other).await).then_some(())
    })
    .await;
}

async fn until_standby(host: &HostProcess) {
    let client = Client::new(&host.base, "");
    eventually("the host is a standby", async || {
        let answer = client.get("/readyz?standby=ok").await;
        (answer.status == 200 && answer.body["data"]["ownership"] == "standby").then_some(())
    })
    .await;
}

/// Reads and sends work anywhere; what needs the owner says so, and changes nothing.
async fn a_standby_does_what_it_can(standby: &Client, accounts: &[Account], channel: &mut Channel) {
    let ready = standby.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.body["error"]["code"], "standby", "{:#}", ready.body);

    let account = &accounts[0].id;
    let seen = standby
        .get(&format!("/v1/accounts/{account}"))
        .await
        .expect(200);
    assert_eq!(seen["data"]["status"], "active", "{seen:#}");
    for path in ["runtime/stop", "runtime/reconnect", "auth/cancel"] {
        let path = format!("/v1/accounts/{account}/{path}");
        let refused = standby.post(&path, json!({})).await;
        assert_eq!(refused.status, 503, "{path}: {:#}", refused.body);
        assert_eq!(refused.body["error"]["code"], "owner_elsewhere");
        assert!(refused.headers.contains_key("retry-after"));
    }
    let request = standby
        .request(Method::PATCH, &format!("/v1/accounts/{account}"))
        .json(&json!({"name": "another"}));
    assert_eq!(standby.send(request).await.status, 503);

    // Its receiver is told by the host that works.
    let sink = Arrivals::start().await;
    let endpoint = standby.endpoint(&sink.url(), &["message.sent"]).await;
    let body = json!({
        "account_id": account,
        "to": {"id": "somebody", "type": "user"},
        "message": {"type": "text", "text": "by way of the standby"},
    });
    let request = standby
        .request(Method::POST, "/v1/messages")
        .header("Prefer", "wait=30")
        .header("Idempotency-Key", "\"by way of the standby\"")
        .json(&body);
    let sent = standby.send(request).await.expect(200);
    assert_eq!(sent["data"]["state"], "sent", "{sent:#}");
    let id = sent["data"]["id"].as_str().unwrap().to_owned();
    let journal = channel.control.journal(None).await.unwrap();
    let made: Vec<_> = journal
        .iter()
        .filter(|record| record.text == "by way of the standby")
        .collect();
    assert_eq!(made.len(), 1, "{made:?}");
    sink.wait_until("the event of that send", |arrived| {
        arrived
            .of("message.sent", account)
            .any(|event| event.text("send_id") == id)
    })
    .await;
    let request = standby.request(Method::DELETE, &format!("/v1/webhook-endpoints/{endpoint}"));
    assert!(standby.send(request).await.status.is_success());
    // An account that is made here runs there.
    let made = standby
        .post(
            "/v1/accounts",
            json!({"provider": "simulator", "auth_mode": "code", "provider_data": {"user": "zoe"}}),
        )
        .await
        .expect(201);
    let made = made["data"]["id"].as_str().unwrap();
    let refused = standby
        .post(&format!("/v1/accounts/{made}/auth/start"), json!({}))
        .await;
    assert_eq!(refused.status, 503, "{:#}", refused.body);
}

async fn a_host_with_another_key_is_refused(config: &str) {
    let stranger = Home::new(config);
    stranger.make_operator_key();
    let refused = stranger.listening(stranger.spawn()).await;
    assert!(refused.is_none(), "it runs with another operator key");
    let why = "another operator key";
    assert!(stranger.log().contains(why), "{}", stranger.tail());
}

/// The host in the foreground of a restart: how long the same host needs, alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_host_takes_its_own_lease_back() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let config = format!(
        "database = {:?}\n[network]\nallow = [\"127.0.0.0/8\"]\n",
        database.url
    );
    let home = Home::new(&config);
    let host = home.start().await;
    // A second process on the same data is refused while the first one lives.
    let second = home.listening(home.spawn()).await;
    assert!(second.is_none(), "two processes on one data directory");
    let why = "another host is running";
    assert!(home.log().contains(why), "{}", home.tail());
    host.kill().await;
    let began = Instant::now();
    let host = home.start().await;
    let took = began.elapsed();
    assert!(works(&host).await, "{}", home.tail());
    assert_eq!(home.count(TOOK_BACK), 1, "{}", home.tail());
    println!("the same host works again after {} ms", took.as_millis());
    host.kill().await;
}
