//! What a crash repeats and what it never loses.

use super::bench::{Bench, START};
use super::endpoint;
use super::sink::{Sink, status};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_restart_repeats_nothing() {
    let mut bench = Bench::start().await;
    let sink = Sink::ok().await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench.append(&["a1", "b1", "a2"]).await;
    sink.events(3).await;
    bench.restart().await;
    bench.append(&["a3"]).await;
    let events = sink.events(4).await;
    bench.quiet(&endpoint.id).await;
    assert_eq!(sink.received().len(), 4);
    assert_eq!(events[3], "evt_a3");
    assert_eq!(bench.attempts(&endpoint.id).await.len(), 4);
}

#[tokio::test]
async fn a_crash_loses_nothing_and_keeps_the_order() {
    let mut bench = Bench::start().await;
    // The receiver falls silent in the middle.
    let sink = Sink::start(|number, _| if number < 150 { status(200) } else { None }).await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    let names: Vec<String> = (1..=50)
        .flat_map(|number| {
            "abcdef"
                .chars()
                .map(move |letter| format!("{letter}{number}"))
        })
        .collect();
    let refs: Vec<&str> = names.iter().map(String::as_str).collect();
    bench.append(&refs).await;
    sink.events(156).await;
    let before = sink.received().len();
    sink.answer(|_, _| status(200));
    bench.crash();
    bench.quiet(&endpoint.id).await;

    let received = sink.received();
    let all: BTreeSet<&str> = received.iter().map(|it| it.event()).collect();
    assert_eq!(all.len(), names.len());
    let again: Vec<&str> = received[before..].iter().map(|it| it.event()).collect();
    assert!(again.len() >= names.len() - 150);
    for letter in "abcdef".chars() {
        let prefix = format!("evt_{letter}");
        let numbers: Vec<u32> = again
            .iter()
            .filter_map(|id| id.strip_prefix(&prefix)?.parse().ok())
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(numbers.last(), Some(&50));
    }
}

#[tokio::test]
async fn detours_come_back_at_their_time_and_place() {
    let mut bench = Bench::start().await;
    // b1 pins the cursor, so that the detours of a lie above it.
    let sink = Sink::start(|_, it| match it.event() {
        "evt_b1" => None,
        "evt_a1" => status(503),
        _ => status(200),
    })
    .await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench.append(&["b1", "a1", "a2", "c1"]).await;
    sink.events(3).await;
    bench.detours(&endpoint.id, 2).await;
    bench
        .storage(async || bench.attempts(&endpoint.id).await.len() == 2)
        .await;
    sink.answer(|_, _| status(200));
    let before = sink.received().len();
    bench.crash();
    bench.append(&["a3"]).await;
    bench
        .lag(&endpoint.id, |lag| lag.detours == 3 && lag.in_flight == 0)
        .await;
    // b1 was never answered, and c1 lies above it: both again. a waits.
    let again: BTreeSet<String> = sink.events(before + 2).await.drain(before..).collect();
    assert_eq!(again, ["evt_b1", "evt_c1"].map(str::to_owned).into());
    assert_eq!(sink.received().len(), before + 2);

    bench.clock.advance(5_000);
    let mut events = sink.events(before + 5).await;
    assert_eq!(events.split_off(before + 2), ["evt_a1", "evt_a2", "evt_a3"]);
    bench.quiet(&endpoint.id).await;
    let attempts = bench.attempts(&endpoint.id).await;
    let second = attempts
        .iter()
        .find(|it| it.event.as_str() == "evt_a1" && it.status == Some(200));
    assert_eq!(
        second.map(|it| (it.number, it.at.0)),
        Some((2, START + 5_000))
    );
}

#[tokio::test]
async fn a_blocked_head_without_a_waiting_one_goes_at_once() {
    let mut bench = Bench::start().await;
    let sink = Sink::start(|number, _| if number == 0 { status(500) } else { None }).await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench.append(&["a1", "a2"]).await;
    bench.detours(&endpoint.id, 2).await;
    sink.answer(|_, it| (it.event() == "evt_a1").then(|| status(200)).flatten());
    bench.clock.advance(5_000);
    // a1 is through and a2 under way when the process dies.
    sink.events(3).await;
    bench.detours(&endpoint.id, 1).await;
    sink.answer(|_, _| status(200));
    bench.crash();
    assert_eq!(sink.events(4).await[2..], ["evt_a2", "evt_a2"]);
    bench.quiet(&endpoint.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_waits_for_what_is_in_flight() {
    let mut bench = Bench::start().await;
    let (arrive, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let sink = Sink::start(move |_, _| {
        arrive.send(()).ok();
        // Holds one of the two threads until the shutdown has been asked for.
        answered.recv().ok();
        status(200)
    })
    .await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench.append(&["a1"]).await;
    arrived.recv().await.unwrap();
    let delivery = bench.delivery.clone();
    let (asked, ask) = tokio::sync::oneshot::channel();
    let ended = tokio::spawn(async move {
        asked.send(()).ok();
        delivery.shutdown().await;
    });
    ask.await.unwrap();
    drop(answer);
    ended.await.unwrap();
    assert_eq!(bench.attempts(&endpoint.id).await.len(), 1);
    bench.crash();
    bench.quiet(&endpoint.id).await;
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn a_worker_that_dies_is_started_again() {
    let bench = Bench::start().await;
    let sink = Sink::ok().await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench
        .fault
        .store(true, std::sync::atomic::Ordering::Relaxed);
    bench.append(&["a1", "a2"]).await;
    assert_eq!(sink.events(3).await, ["evt_a1", "evt_a1", "evt_a2"]);
    bench.quiet(&endpoint.id).await;
}
