//! Events are kept for seconds, under traffic: who reads on gets everything, who comes too late is
//! told where he can begin, and a receiver that is behind is waited for.

use crate::support::arrivals::Arrivals;
use crate::support::eventually;
use crate::support::host::Host;
use crate::support::process::Client;
use crate::support::traffic::{Channel, message_id, provider_configuration, traffic};
use http::Method;
use serde_json::Value;
use std::collections::HashSet;

/// Two seconds.
const SHORT: f64 = 2.0 / 86_400.0;

/// (account, the channel's id of the message): the channel counts for each of its users.
type Named = (String, String);

fn named(event: &Value) -> Named {
    let account = event["account_id"].as_str().unwrap_or_default();
    (account.to_owned(), message_id(event).to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_on_misses_nothing_and_who_comes_late_is_told() {
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let providers = provider_configuration(channel.address());
    let host = Host::start_with(move |config| {
        config.simulator.enabled = Some(false);
        config.provider.clone_from(&providers);
        config.retention.events_days = SHORT;
        config.retention.backlog_days = 1.0;
        config.retention.attempts_days = SHORT;
    })
    .await;
    let client = Client::new(&host.base, &host.key);
    let operator = Client::new(&host.base, &host.operator_key);
    let accounts = channel.accounts(&client, &operator, &sink).await;
    let first = client.get("/v1/events?limit=1").await.expect(200);
    let old_cursor = first["data"]["next_cursor"].as_str().unwrap().to_owned();
    channel
        .control
        .start_traffic(None, traffic())
        .await
        .unwrap();

    // Reads all the time, over several times the retention.
    let mut seen = HashSet::new();
    let mut cursor = "earliest".to_owned();
    let read = async |cursor: &mut String, seen: &mut HashSet<Named>| {
        let path = format!("/v1/events?after={cursor}&limit=500&wait=1&types=message.received");
        let page = client.get(&path).await.expect(200);
        for event in page["data"]["items"].as_array().unwrap() {
            seen.insert(named(event));
        }
        page["data"]["next_cursor"]
            .as_str()
            .unwrap()
            .clone_into(cursor);
        page["data"]["has_more"] == true
    };
    let late = format!("/v1/events?after={old_cursor}&limit=10");
    let expired = eventually("the first events are not kept any more", async || {
        read(&mut cursor, &mut seen).await;
        let answer = client.get(&late).await;
        (answer.status == 410).then_some(answer)
    })
    .await;
    assert_eq!(expired.body["error"]["code"], "cursor_expired");
    let oldest = expired.body["error"]["oldest_cursor"].as_str().unwrap();
    // Good at once; the log goes on meanwhile, so that it may be too old again at some time.
    let page = client
        .get(&format!("/v1/events?after={oldest}&limit=10"))
        .await;
    assert!(page.status == 200 || page.status == 410, "{page:?}");
    // The stream says the same, by its query and by the header of one that comes again.
    let stream = "/v1/events/stream";
    let by_query = client.get(&format!("{stream}?after={old_cursor}")).await;
    assert_eq!(by_query.status, 410, "{by_query:?}");
    let request = client
        .request(Method::GET, stream)
        .header("Last-Event-ID", &old_cursor);
    let by_header = client.send(request).await;
    assert_eq!(by_header.status, 410, "{by_header:?}");
    const TAILS: &str = "SELECT CAST(sum(tail) AS bigint) FROM partition";
    let enough = host.number(TAILS).await + 150;
    eventually("more is removed", async || {
        read(&mut cursor, &mut seen).await;
        (host.number(TAILS).await >= enough).then_some(())
    })
    .await;

    // A receiver that is behind, for longer than events are kept, holds them and gets them all.
    sink.pause(true);
    let waiting = channel.control.counters().await.unwrap().generated + 60;
    channel
        .control
        .wait_for(None, crate::support::PATIENCE, |counted| {
            counted.acknowledged >= waiting
        })
        .await
        .unwrap();
    channel.control.stop_traffic(None).await.unwrap();
    // What was on its way when the traffic stopped belongs to it.
    channel
        .control
        .wait_for(None, crate::support::PATIENCE, |counted| {
            counted.unacknowledged == 0
        })
        .await
        .unwrap();
    sink.pause(false);
    let mut all = HashSet::new();
    for account in &accounts {
        for id in channel.control.acknowledged(&account.user).await.unwrap() {
            all.insert((account.id.clone(), format!("m-{id}")));
        }
    }
    sink.wait_until("every message at the receiver", |arrived| {
        arrived.of("message.received", "").count() >= all.len()
    })
    .await;
    eventually("everything removed", async || {
        read(&mut cursor, &mut seen).await;
        let events = host.number("SELECT count(*) FROM event").await;
        (events == 0).then_some(())
    })
    .await;
    // From the start means from what is kept.
    client.get("/v1/events?limit=10").await.expect(200);
    assert_eq!(seen, all, "a reader that read on missed something");
    let given: HashSet<Named> = sink
        .look()
        .of("message.received", "")
        .map(|event| named(&event.body))
        .collect();
    assert_eq!(given, all, "the receiver missed something");
    println!(
        "{} messages, {} removed",
        all.len(),
        host.number(TAILS).await
    );
    host.stop().await;
}
