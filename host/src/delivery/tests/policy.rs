//! Answers and what follows from them; the states of an endpoint.

use super::bench::{Bench, START};
use super::endpoint;
use super::sink::{Sink, status};
use crate::domain::endpoint::{EndpointState, RetryProfile};
use crate::storage::Store;
use axum::response::IntoResponse;

#[tokio::test]
async fn signed_as_libraries_verify() {
    let bench = Bench::start().await;
    let sink = Sink::ok().await;
    let mut endpoint = endpoint(&sink.url);
    endpoint.secret = Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
    bench.add(&endpoint).await;
    bench.append(&["a1"]).await;
    sink.events(1).await;
    let received = sink.received().remove(0);
    // The clock stands still in 2026, so the library cannot judge the time.
    let library = standardwebhooks::Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signature = library
        .sign("evt_a1", (START / 1000) as i64, received.body.as_bytes())
        .unwrap();
    assert_eq!(received.header("webhook-signature"), signature);
    assert_eq!(received.header("webhook-id"), "evt_a1");
    assert_eq!(received.header("webhook-timestamp"), "1772353800");
    assert_eq!(received.header("x-device-signature").len(), 64);
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, _| {
        Some(
            (
                axum::http::StatusCode::TOO_MANY_REQUESTS,
                [("retry-after", "90")],
            )
                .into_response(),
        )
    })
    .await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench.append(&["a1"]).await;
    let detours = bench.detours(&endpoint.id, 1).await;
    assert_eq!(detours[0].next_at.0, START + 90_000);
    sink.answer(|_, _| status(200));
    bench.clock.advance(89_999);
    // Something else goes through meanwhile, and a1 does not.
    bench.append(&["b1"]).await;
    assert_eq!(sink.events(2).await, ["evt_a1", "evt_b1"]);
    bench.clock.advance(1);
    assert_eq!(sink.events(3).await[2], "evt_a1");
}

#[tokio::test]
async fn a_redirect_is_a_failure() {
    let bench = Bench::start().await;
    let other = Sink::ok().await;
    let place = other.url.clone();
    let sink = Sink::start(move |_, _| {
        Some(
            (
                axum::http::StatusCode::FOUND,
                [("location", place.as_str())],
            )
                .into_response(),
        )
    })
    .await;
    let mut endpoint = endpoint(&sink.url);
    endpoint.retry.profile = RetryProfile::Unifyport;
    bench.add(&endpoint).await;
    bench.append(&["a1", "a2"]).await;
    // Neither is tried again under this profile, so the key goes on.
    assert_eq!(sink.events(2).await, ["evt_a1", "evt_a2"]);
    bench.quiet(&endpoint.id).await;
    bench
        .storage(async || bench.attempts(&endpoint.id).await.len() == 2)
        .await;
    let attempts = bench.attempts(&endpoint.id).await;
    assert_eq!(attempts[0].status, Some(302));
    assert_eq!(
        attempts[0].error.as_deref(),
        Some("answered 302; redirects are not followed")
    );
    assert_eq!(bench.store.parked(&endpoint.id).await.unwrap().len(), 2);
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn gone_disables_until_it_is_enabled_again() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, _| status(410)).await;
    let mut endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench.append(&["a1"]).await;
    bench.detours(&endpoint.id, 1).await;
    bench
        .storage(async || bench.endpoint(&endpoint.id).await.state == EndpointState::Disabled)
        .await;
    let reason = bench.endpoint(&endpoint.id).await.state_reason;
    assert!(reason.unwrap().contains("410"));
    bench.append(&["a2", "b1"]).await;
    bench.lag(&endpoint.id, |lag| lag.behind == 2).await;
    assert_eq!(sink.received().len(), 1);

    sink.answer(|_, _| status(200));
    endpoint.state = EndpointState::Enabled;
    bench.change(&endpoint).await;
    let events = sink.events(4).await;
    assert_eq!(
        events.iter().filter(|id| id.starts_with("evt_a")).count(),
        3
    );
    bench.quiet(&endpoint.id).await;
    assert_eq!(
        bench.endpoint(&endpoint.id).await.state,
        EndpointState::Enabled
    );
}

#[tokio::test]
async fn an_inactive_endpoint_gets_nothing_of_its_time() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, _| status(500)).await;
    let mut endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    bench.append(&["a1"]).await;
    bench.detours(&endpoint.id, 1).await;
    endpoint.state = EndpointState::Inactive;
    bench.change(&endpoint).await;
    sink.answer(|_, _| status(200));
    bench.append(&["a2", "b1"]).await;
    bench.clock.advance(3_600_000);
    endpoint.state = EndpointState::Enabled;
    bench.change(&endpoint).await;
    // What had waited for its retry goes on; what happened meanwhile is not sent.
    bench.quiet(&endpoint.id).await;
    bench.append(&["b2"]).await;
    assert_eq!(sink.events(3).await, ["evt_a1", "evt_a1", "evt_b2"]);
}

#[tokio::test]
async fn changes_and_deletion_take_effect_at_once() {
    let bench = Bench::start().await;
    let first = Sink::ok().await;
    let second = Sink::ok().await;
    let mut endpoint = endpoint(&first.url);
    endpoint.subscribed_events = vec!["message.read".into()];
    bench.add(&endpoint).await;
    bench.append(&["a1"]).await;
    bench.quiet(&endpoint.id).await;
    endpoint.subscribed_events = vec![];
    endpoint.url = second.url.clone();
    bench.change(&endpoint).await;
    bench.append(&["a2"]).await;
    assert_eq!(second.events(1).await, ["evt_a2"]);
    bench.store.delete_endpoint(&endpoint.id).await.unwrap();
    bench.delivery.reload(&endpoint.id).await;
    assert_eq!(bench.delivery.lag(&endpoint.id), None);
    assert!(first.received().is_empty());
}

#[tokio::test]
async fn the_breaker_opens_probes_and_closes() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, _| status(503)).await;
    let endpoint = endpoint(&sink.url);
    bench.add(&endpoint).await;
    let letters = ["a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1", "i1", "j1"];
    bench.append(&letters).await;
    sink.events(10).await;
    bench
        .lag(&endpoint.id, |lag| {
            lag.breaker_open && lag.in_flight == 0 && lag.state == EndpointState::Failing
        })
        .await;
    bench
        .storage(async || bench.endpoint(&endpoint.id).await.state == EndpointState::Failing)
        .await;
    let reason = bench.endpoint(&endpoint.id).await.state_reason;
    assert_eq!(
        reason.as_deref(),
        Some("failing since 2026-03-01T08:30:00Z: answered 503")
    );
    // Events wait, then one whose retry is due probes; its failure makes the pause longer.
    bench.append(&["k1", "l1"]).await;
    bench.clock.advance(5_000);
    sink.events(11).await;
    bench
        .lag(&endpoint.id, |lag| lag.breaker_open && lag.in_flight == 0)
        .await;
    assert_eq!(sink.received().len(), 11);
    sink.answer(|_, _| status(200));
    bench.clock.advance(9_999);
    bench
        .lag(&endpoint.id, |lag| lag.breaker_open && lag.in_flight == 0)
        .await;
    assert_eq!(sink.received().len(), 11);
    // The one that probed has its next try five minutes later.
    bench.clock.advance(290_001);
    let events = sink.events(11 + 12).await;
    assert_eq!(events[11..].len(), 12);
    bench.quiet(&endpoint.id).await;
    bench
        .storage(async || bench.endpoint(&endpoint.id).await.state == EndpointState::Enabled)
        .await;
}

#[tokio::test]
async fn five_days_without_success_disable() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, _| status(500)).await;
    let mut endpoint = endpoint(&sink.url);
    endpoint.retry.max_attempts = Some(1);
    bench.add(&endpoint).await;
    bench.append(&["a1"]).await;
    bench.detours(&endpoint.id, 1).await;
    bench.clock.advance(120 * 3_600_000);
    bench
        .storage(async || bench.endpoint(&endpoint.id).await.state == EndpointState::Disabled)
        .await;
    let reason = bench.endpoint(&endpoint.id).await.state_reason;
    assert!(
        reason
            .unwrap()
            .starts_with("failing since 2026-03-01T08:30:00Z")
    );
    bench.append(&["c1"]).await;
    bench.lag(&endpoint.id, |lag| lag.behind == 1).await;
    assert_eq!(sink.received().len(), 2);
}

#[tokio::test]
async fn the_alias_goes_beside_with_its_own_id() {
    let bench = Bench::start().await;
    let sink = Sink::start(|_, it| {
        let first_alias = it.event() == "evt_a1_status";
        status(if first_alias { 500 } else { 200 })
    })
    .await;
    let mut both = endpoint(&sink.url);
    both.subscribed_events = vec!["*".into(), "message.status.updated".into()];
    bench.add(&both).await;
    let other = Sink::ok().await;
    let mut only = endpoint(&other.url);
    only.subscribed_events = vec!["message.status.updated".into()];
    bench.add(&only).await;
    bench
        .append_kinds(&[
            ("a1".into(), "message.read"),
            ("a2".into(), "message.received"),
        ])
        .await;
    let detours = bench.detours(&both.id, 2).await;
    assert_eq!(detours[0].event.as_str(), "evt_a1_status");
    sink.answer(|_, _| status(200));
    bench.clock.advance(5_000);
    assert_eq!(
        sink.events(4).await,
        ["evt_a1", "evt_a1_status", "evt_a1_status", "evt_a2"]
    );
    bench.quiet(&both.id).await;
    let alias = &sink.received()[2];
    assert_eq!(
        alias.body,
        r#"{"id":"evt_a1_status","type":"message.status.updated","provider":"x","account_id":"acc_1","occurred_at":"2026-03-01T08:30:00Z","data":{"status":"read","n":"a1"}}"#
    );
    bench.quiet(&only.id).await;
    assert_eq!(other.events(1).await, ["evt_a1_status"]);
}
