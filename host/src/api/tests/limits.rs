//! Requests that are too many, by key and by address.

use super::super::{Limits, Settings};
use super::{Answered, Host};
use crate::domain::key::Rate;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::json;
use std::net::SocketAddr;

/// Two requests, and no more: it never fills again.
const TWO: Rate = Rate {
    per_second: 0,
    burst: 2,
};

fn host(key: Option<Rate>, peer: Option<Rate>) -> Host {
    Host::with(Settings {
        limits: Limits {
            key,
            peer,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        },
        ..Settings::default()
    })
}

async fn from(host: &Host, peer: &str, key: Option<&str>, forwarded: Option<&str>) -> Answered {
    let address: SocketAddr = format!("{peer}:4000").parse().unwrap();
    let mut request = Request::builder()
        .uri("/v1/workspace")
        .extension(ConnectInfo(address));
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    host.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_key_has_its_rate() {
    let host = host(Some(TWO), None);
    for remaining in ["1", "0"] {
        let answered = host.get("/v1/workspace").await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.headers["ratelimit-limit"], "2");
        assert_eq!(answered.headers["ratelimit-remaining"], remaining);
        assert!(answered.headers.contains_key("ratelimit-reset"));
    }
    let answered = host.get("/v1/workspace").await;
    assert_eq!((answered.status, answered.code()), (429, "rate_limited"));
    assert!(answered.headers.contains_key("retry-after"));
    assert_eq!(answered.headers["ratelimit-remaining"], "0");
    // Another key has its own bucket, and a rate of its own if an operator gave it one.
    let mut other = super::mint_key(
        crate::storage::KeyKind::Workspace,
        Some(host.workspace.clone()),
        "other",
    )
    .unwrap();
    other.1.rate = Some(Rate {
        per_second: 1,
        burst: 9,
    });
    host.store.state().keys.push(other.1);
    let answered = from(&host, "192.0.2.1", Some(&other.0), None).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.headers["ratelimit-limit"], "9");
}

#[tokio::test]
async fn without_a_limit_there_are_no_headers() {
    let host = host(None, None);
    for _ in 0..20 {
        let answered = host.get("/v1/workspace").await;
        assert_eq!(answered.status, 200);
        assert!(!answered.headers.contains_key("ratelimit-limit"));
    }
}

#[tokio::test]
async fn an_address_without_a_good_key_has_its_rate() {
    let host = host(None, Some(TWO));
    assert_eq!(from(&host, "192.0.2.1", None, None).await.status, 401);
    let guess = from(&host, "192.0.2.1", Some("dk_live_guess"), None).await;
    assert_eq!(guess.status, 401);
    for key in [None, Some("dk_live_guess")] {
        let answered = from(&host, "192.0.2.1", key, None).await;
        assert_eq!((answered.status, answered.code()), (429, "rate_limited"));
        assert!(answered.headers.contains_key("retry-after"));
    }
    // Another address is another's; and a good key that is known goes on from here, too.
    let other = from(&host, "192.0.2.2", Some(&host.key), None).await;
    assert_eq!(other.status, 200);
    // Known for 2 s; on a machine that has no time for this test, again.
    loop {
        from(&host, "192.0.2.2", Some(&host.key), None).await;
        let known = from(&host, "192.0.2.1", Some(&host.key), None).await;
        if known.status == 200 {
            break;
        }
        assert_eq!(known.status, 429);
    }
    // What a trusted proxy says of its client counts, what anybody else says does not.
    for (peer, forwarded, status) in [
        ("10.0.0.1", "198.51.100.1", 401),
        ("10.0.0.1", "198.51.100.1", 401),
        ("10.0.0.1", "198.51.100.1", 429),
        ("10.0.0.1", "198.51.100.2", 401),
        ("192.0.2.1", "198.51.100.3", 429),
    ] {
        let answered = from(&host, peer, None, Some(forwarded)).await;
        assert_eq!(answered.status, status, "{peer} {forwarded}");
    }
}

/// Not one lookup in the database for who has guessed too often.
#[tokio::test]
async fn a_flood_of_guesses_does_not_reach_the_database() {
    let host = host(None, Some(TWO));
    for _ in 0..2 {
        from(&host, "192.0.2.1", Some("dk_live_guess"), None).await;
    }
    host.store.state().unavailable = true;
    for guess in 0..10 {
        let key = format!("dk_live_{guess}");
        let answered = from(&host, "192.0.2.1", Some(&key), None).await;
        assert_eq!(answered.status, 429);
    }
    let answered = from(&host, "192.0.2.9", Some("dk_live_x"), None).await;
    assert_eq!(answered.status, 503);
}

#[tokio::test]
async fn a_rate_is_the_operators_to_set() {
    let host = host(Some(TWO), None);
    let answered = host
        .post(
            "/v1/api-keys",
            json!({"name": "a", "rate_limit": {"per_second": 9, "burst": 9}}),
        )
        .await;
    assert_eq!(answered.status, 400);
    assert_eq!(
        answered.message(),
        "rate_limit: only an operator can set it"
    );
}
