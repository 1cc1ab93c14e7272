//! What the channel did not sign, or signed long ago, is refused before the provider runs, and
//! counted; what comes twice is told once.

use super::{PROVIDER, Posting, SECRET};
use crate::support::eventually;
use crate::support::host::Host;
use crate::support::process::Client;
use crate::support::sink::Sink;

use anyport_simulator::SignedRequest;
use http::Method;
use serde_json::{Value, json};

/// The value of a series of `/metrics`, or the sum of all that begin so.
async fn counted(host: &Host, series: &str) -> f64 {
    let answer = host.send(host.as_operator(Method::GET, "/metrics")).await;
    let text = answer.body.as_str().unwrap().to_owned();
    text.lines()
        .filter(|line| line.starts_with(series))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum()
}

/// The texts of the messages that were told, when there are so many.
async fn told(sink: &Sink, count: usize) -> Vec<String> {
    let received = sink.wait_for(count).await;
    let text = |body: Value| body["data"]["message"]["text"].as_str().unwrap().to_owned();
    received
        .iter()
        .map(|request| text(request.json()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_old_and_altered_webhooks_are_refused_and_repeats_told_once() {
    crate::support::show_log();
    let mut posting = Posting::start().await;
    let host = posting.host().await;
    let client = Client::new(&host.base, &host.key);
    let operator = Client::new(&host.base, &host.operator_key);
    let sink = Sink::start().await;
    client
        .endpoint(&sink.url("/hook"), &["message.received"])
        .await;
    posting.accounts(&client, &operator).await;
    posting.post_to(Some(&host.base)).await;

    let mut wanted = Vec::new();
    for (user, of, route) in [("ada", Some("ada"), "events"), ("eve", None, "app")] {
        let control = &mut posting.channel.control;
        control
            .inject_text(user, "user:grace", "one")
            .await
            .unwrap();
        wanted.push("one");
        assert_eq!(told(&sink, wanted.len()).await, wanted);
        let last = control.last_delivery(of).await.unwrap().unwrap();
        eventually("the channel has its 2xx", async || {
            let counters = control.user_counters(user).await.unwrap();
            (counters.unacknowledged == 0).then_some(())
        })
        .await;

        let turns = counted(&host, "anyport_turns_total").await;
        let secret = SECRET.as_bytes();
        let (url, body) = (last.url.clone(), last.body.clone());
        let forged = SignedRequest::signed(&url, b"another secret", last.timestamp, &body);
        let altered = SignedRequest {
            body: body.replace("one", "two"),
            ..last.clone()
        };
        let newer = SignedRequest {
            timestamp: last.timestamp + 1,
            ..last.clone()
        };
        let old = SignedRequest::signed(&url, secret, last.timestamp - 3_600, &body);
        let of_the_future = SignedRequest::signed(&url, secret, last.timestamp + 3_600, &body);
        let mut refused = 0.0;
        for (request, outcome) in [
            (forged, "bad_signature"),
            (altered, "bad_signature"),
            (newer, "bad_signature"),
            (old, "stale"),
            (of_the_future, "stale"),
        ] {
            let series = format!(
                "anyport_ingress_requests_total{{provider=\"{PROVIDER}\",route=\"{route}\",outcome=\"{outcome}\"}}"
            );
            let before = counted(&host, &series).await;
            let status = request.post().await.unwrap();
            assert!(status == 401 || status == 403, "{status} for {outcome}");
            assert_eq!(counted(&host, &series).await, before + 1.0, "{outcome}");
            refused += 1.0;
        }
        assert_eq!(refused, 5.0);
        assert_eq!(counted(&host, "anyport_turns_total").await, turns);

        // The very same again is good, and says nothing new.
        assert_eq!(last.post().await.unwrap(), 200);
        control
            .inject_text(user, "user:grace", "three")
            .await
            .unwrap();
        wanted.push("three");
        assert_eq!(told(&sink, wanted.len()).await, wanted);
    }

    // An address that cannot be guessed, and a body that is too long.
    let control = &mut posting.channel.control;
    let last = control.last_delivery(Some("ada")).await.unwrap().unwrap();
    let (front, _) = last.url.rsplit_once('/').unwrap();
    let nowhere = SignedRequest {
        url: format!("{front}0/events"),
        ..last.clone()
    };
    assert_eq!(nowhere.post().await.unwrap(), 404);
    let long = SignedRequest::signed(
        &last.url,
        SECRET.as_bytes(),
        last.timestamp,
        &json!({"entry": [], "padding": "x".repeat(1024 * 1024)}).to_string(),
    );
    assert_eq!(long.post().await.unwrap(), 413);
    host.stop().await;
}

/// A send over HTTP, answered by the channel's own id, by a token in the header and in the path; one
/// that the channel refuses; and a token that is not good any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_leave_with_the_token_where_the_channel_wants_it() {
    crate::support::show_log();
    let mut posting = Posting::start().await;
    let host = posting.host().await;
    let client = Client::new(&host.base, &host.key);
    let operator = Client::new(&host.base, &host.operator_key);
    let accounts = posting.accounts(&client, &operator).await;
    let send = async |account: &str, text: &str| {
        let body = json!({
            "account_id": account,
            "to": {"id": "user:grace", "type": "user"},
            "message": {"type": "text", "text": text},
        });
        client.post("/v1/messages", body).await
    };
    for account in &accounts[..2] {
        let control = &mut posting.channel.control;
        let sent = send(&account.id, "hello").await.expect(200);
        let journal = control.journal(Some(&account.user)).await.unwrap();
        let made = journal[0].outcome.made().unwrap();
        assert_eq!(sent["data"]["message_id"], made, "{sent:#}");

        // Its answer is lost: sent again under its id, it is there once.
        control.lose_answers(&account.user, 1).await.unwrap();
        send(&account.id, "again").await.expect(200);
        let counters = control.user_counters(&account.user).await.unwrap();
        assert_eq!((counters.messages, counters.repeated), (2, 1));

        control.revoke_sessions(&account.user).await.unwrap();
        let refused = send(&account.id, "no").await;
        assert!(!refused.status.is_success(), "{:#}", refused.body);
        eventually("the account is signed out", async || {
            let path = format!("/v1/accounts/{}/auth", account.id);
            let state = client.get(&path).await.expect(200);
            (state["data"]["status"] != "authorized").then_some(())
        })
        .await;
    }
    host.stop().await;
}
