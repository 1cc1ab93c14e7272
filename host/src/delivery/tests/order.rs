//! Order per key, and who holds up whom.

use super::bench::Bench;
use super::endpoint;
use super::sink::{Sink, status};
use crate::domain::endpoint::{DetourState, Ordering};
use crate::storage::Store;

/// Those of one conversation, as names without `evt_`.
fn of<'a>(events: &'a [String], conversation: &str) -> Vec<&'a str> {
    events
        .iter()
        .filter_map(|id| id.strip_prefix("evt_"))
        .filter(|name| name.starts_with(conversation))
        .collect()
}

fn names(conversations: &str, count: usize) -> Vec<String> {
    (1..=count)
        .flat_map(|number| {
            conversations
                .chars()
                .map(move |letter| format!("{letter}{number}"))
        })
        .collect()
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn everything_arrives_once_and_in_order() {
    let bench = Bench::start().await;
    let sink = Sink::ok().await;
    let endpoint = endpoint(&sink.url);
    bench.append(&["a0"]).await;
    bench.add(&endpoint).await;
    let names = names("abcdefgh", 100);
    for some in names.chunks(50) {
        bench.append(&refs(some)).await;
    }
    let events = sink.events(names.len()).await;
    bench.quiet(&endpoint.id).await;
    assert_eq!(sink.received().len(), names.len(), "and a0 came before");
    for letter in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let expected: Vec<String> = (1..=100).map(|n| format!("{letter}{n}")).collect();
        assert_eq!(of(&events, letter), expected);
    }
    let received = &sink.received()[0];
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(
        received.header("x-device-timestamp"),
        "2026-03-01T08:30:00Z"
    );
    assert!(received.header("x-device-delivery-id").starts_with("dlv_"));
    for absent in ["x-device-signature", "webhook-id", "webhook-signature"] {
        assert!(!received.headers.contains_key(absent));
    }
    assert!(received.body.starts_with(r#"{"id":"evt_"#));
}

#[tokio::test]
async fn a_key_waits_for_its_retry_and_others_go_on() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, it| status(if it.event() == "evt_a1" { 500 } else { 200 })).await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench.append(&["a1", "a2", "b1", "a3"]).await;
    bench.lag(&endpoint.id, |lag| lag.detours == 3).await;
    bench.append(&["a4", "b2"]).await;
    let events = sink.events(3).await;
    assert_eq!(of(&events, "a"), ["a1"]);
    assert_eq!(of(&events, "b"), ["b1", "b2"]);

    let detours = bench.detours(&endpoint.id, 4).await;
    let shown: Vec<_> = detours
        .iter()
        .map(|it| (it.event.as_str(), it.state, it.attempts, it.key.as_str()))
        .collect();
    use DetourState::{Blocked, Waiting};
    assert_eq!(
        shown,
        [
            ("evt_a1", Waiting, 1, "acc_1/a"),
            ("evt_a2", Blocked, 0, "acc_1/a"),
            ("evt_a3", Blocked, 0, "acc_1/a"),
            ("evt_a4", Blocked, 0, "acc_1/a"),
        ]
    );
    assert_eq!(detours[0].last_error.as_deref(), Some("answered 500"));
    assert_eq!(detours[0].next_at.0, super::bench::START + 5_000);
    // The cursor is above all of them.
    let heads = bench.store.heads().await.unwrap();
    bench
        .storage(async || bench.store.cursors(&endpoint.id).await.unwrap() == heads)
        .await;

    sink.answer(|_, _| status(200));
    bench.clock.advance(5_000);
    let events = sink.events(7).await;
    assert_eq!(of(&events, "a"), ["a1", "a1", "a2", "a3", "a4"]);
    bench.detours(&endpoint.id, 0).await;
    bench.quiet(&endpoint.id).await;
}

#[tokio::test]
async fn an_event_given_up_is_parked_and_its_key_goes_on() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, it| status(if it.event() == "evt_a1" { 500 } else { 200 })).await;
    let mut endpoint = endpoint(&sink.url);
    endpoint.retry.max_attempts = Some(2);
    bench.add(&endpoint).await;
    bench.append(&["a1", "a2"]).await;
    for (delay, waiting) in [(5_000, 5_000), (300_000, 305_000)] {
        let at = super::bench::START + waiting;
        bench
            .storage(async || {
                let detours = bench.store.detours(&endpoint.id).await.unwrap();
                detours.first().is_some_and(|it| it.next_at.0 == at)
            })
            .await;
        bench.clock.advance(delay);
    }
    let events = sink.events(4).await;
    assert_eq!(of(&events, "a"), ["a1", "a1", "a1", "a2"]);
    bench.quiet(&endpoint.id).await;
    bench
        .storage(async || bench.attempts(&endpoint.id).await.len() == 4)
        .await;
    let parked = bench.store.parked(&endpoint.id).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].event.as_str(), "evt_a1");
    assert_eq!(
        (parked[0].attempts, parked[0].state),
        (3, DetourState::Parked)
    );
    let attempts = bench.attempts(&endpoint.id).await;
    let shown: Vec<_> = attempts
        .iter()
        .map(|it| (it.event.as_str(), it.number, it.status))
        .collect();
    assert_eq!(
        shown,
        [
            ("evt_a1", 1, Some(500)),
            ("evt_a1", 2, Some(500)),
            ("evt_a1", 3, Some(500)),
            ("evt_a2", 1, Some(200)),
        ]
    );
}

#[tokio::test]
async fn without_ordering_nothing_waits_for_anything() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, it| status(if it.event() == "evt_a1" { 500 } else { 200 })).await;
    let mut endpoint = endpoint(&sink.url);
    endpoint.ordering = Ordering::None;
    bench.add(&endpoint).await;
    bench.append(&["a1", "a2", "a3"]).await;
    sink.events(3).await;
    let detours = bench.detours(&endpoint.id, 1).await;
    assert_eq!(
        (detours[0].event.as_str(), detours[0].key.as_str()),
        ("evt_a1", "")
    );
}

#[tokio::test]
async fn ordered_by_account_every_conversation_waits() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, it| status(if it.event() == "evt_a1" { 500 } else { 200 })).await;
    let mut endpoint = endpoint(&sink.url);
    endpoint.ordering = Ordering::Account;
    bench.add(&endpoint).await;
    bench.append(&["a1", "b1"]).await;
    let detours = bench.detours(&endpoint.id, 2).await;
    assert!(detours.iter().all(|it| it.key == "acc_1"));
    sink.answer(|_, _| status(200));
    bench.clock.advance(5_000);
    assert_eq!(sink.events(3).await, ["evt_a1", "evt_a1", "evt_b1"]);
}

#[tokio::test]
async fn a_dead_endpoint_delays_nobody_else() {
    let bench = Bench::start().await;
    let silent = Sink::start(|_, _| None).await;
    let sink = Sink::ok().await;
    let dead = endpoint(&silent.url);
    let alive = endpoint(&sink.url);
    bench.add(&dead).await;
    bench.add(&alive).await;
    let names = names("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 10);
    bench.append(&refs(&names)).await;
    sink.events(names.len()).await;
    bench.quiet(&alive.id).await;
    bench.lag(&dead.id, |lag| lag.in_flight == 32).await;
    assert_eq!(silent.received().len(), 32, "the cap of one endpoint");
}

#[tokio::test]
async fn a_slow_key_holds_no_other() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, it| {
        if it.event() == "evt_a1" {
            None
        } else {
            status(200)
        }
    })
    .await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    // More than the lane keeps in memory; the rest becomes detours.
    let slow = names("a", 300);
    bench.append(&refs(&slow)).await;
    bench
        .lag(&endpoint.id, |lag| lag.detours == 300 - 256)
        .await;
    bench.append(&["b1"]).await;
    let mut events = sink.events(2).await;
    events.sort_unstable();
    assert_eq!(events, ["evt_a1", "evt_b1"]);
}
