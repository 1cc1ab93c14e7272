//! A host that is told to stop under traffic: nothing is lost or doubled, whether it may say
//! goodbye or is hurried.

use crate::support::arrivals::Arrivals;
use crate::support::process::{Client, Home};
use crate::support::traffic::{Channel, Senders, Story, configuration, traffic};
use rustix::process::Signal;
use tokio::sync::watch;

const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_ends_in_good_order() {
    stopped_under_traffic("", async |host| {
        host.signal(Signal::TERM);
        assert_eq!(host.exit_code().await, 0);
    })
    .await;
}

/// The first stop would drain for an hour; clients still get answers, and `/readyz` says why no
/// new ones should come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_stops_at_once() {
    stopped_under_traffic("[shutdown]\ndrain_s = 3600\n", async |host| {
        let client = Client::new(&host.base, "");
        client.get("/readyz").await.expect(200);
        host.signal(Signal::TERM);
        let leaving = async || {
            let answer = client.get("/readyz").await;
            (answer.status == 503).then_some(answer.body)
        };
        let body = crate::support::eventually("it says that it stops", leaving).await;
        assert_eq!(body["error"]["code"], "not_ready", "{body:#}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("shutting down"), "{message}");
        host.signal(Signal::INT);
        assert_eq!(host.exit_code().await, 128 + Signal::INT.as_raw());
    })
    .await;
}

async fn stopped_under_traffic(
    more: &str,
    stop: impl AsyncFn(crate::support::process::HostProcess),
) {
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let home = Home::new(&format!("{}{more}", configuration(channel.address(), 5)));
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
    for _ in 0..ROUNDS {
        senders.until_answered(senders.answered() + 20).await;
        stop(host).await;
        host = home.start().await;
        base.send_replace(host.base.clone());
    }
    senders.until_answered(senders.answered() + 20).await;
    let sends = senders.stop().await;
    channel.control.stop_traffic(None).await.unwrap();
    let client = Client::new(&host.base, &keys.workspace);
    let story = Story {
        accounts: accounts.into(),
        sends,
        client,
    };
    let numbers = story.holds(&mut channel, &sink).await;
    println!("{ROUNDS} stops: {numbers}");
    host.kill().await;
}
