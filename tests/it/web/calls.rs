//! In: what channels send to `/ingress`.

use super::*;
use http::Method;
use reqwest::{RequestBuilder, Response};
use ring::hmac;
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// As a channel would: with another implementation than the host's would be better, but the
/// recipes' own tests have vectors from others.
fn mac(message: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, APP_SECRET.as_bytes());
    hmac::sign(&key, message.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let all = u32::from_be_bytes(bits);
        for digit in 0..4 {
            if digit > chunk.len() {
                out.push('=');
            } else {
                out.push(DIGITS[(all >> (18 - 6 * digit)) as usize & 63].into());
            }
        }
    }
    out
}

struct Channel {
    base: String,
    client: reqwest::Client,
}

impl Channel {
    fn new(client: &Client) -> Self {
        Self {
            base: client.base.clone(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    fn post(&self, path: &str, body: &str) -> RequestBuilder {
        self.request(Method::POST, path).body(body.to_owned())
    }

    /// With the signature of the route `events`.
    fn signed(&self, path: &str, body: &str, at: u64) -> RequestBuilder {
        let signature = hex(mac(&format!("{at}.{body}")).as_ref());
        self.post(path, body)
            .header("x-timestamp", at.to_string())
            .header("x-signature", format!("sha256={signature}"))
    }
}

async fn sent(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    whole(response).await
}

async fn whole(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Where the account's route is called.
async fn path_of(account: &Account, route: &str) -> String {
    let shown = account.shown().await;
    let routes = shown["ingress"].as_array().expect("it has routes");
    let found = routes.iter().find(|one| one["route"] == route).unwrap();
    let path = found["path"].as_str().unwrap().to_owned();
    assert_eq!(found["url"], format!("https://hooks.example{path}"));
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_calls_and_is_answered_after_the_commit() {
    let (home, host, client, operator) = ready(CONFIG).await;
    let account = Account::new(&client, 1, "1").await;
    let channel = Channel::new(&client);
    let events = path_of(&account, "events").await;

    let body = r#"{"hello": 1}"#;
    let request = channel.signed(&format!("{events}/below?a=%20b"), body, now());
    let response = request.header("x-id", "one").send().await.unwrap();
    assert_eq!(response.headers()["x-from"], "the guest");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(whole(response).await, (200, "events took one".into()));
    // It is in the log when the answer is there.
    let told = account.told("call").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["method"], "POST");
    assert_eq!(told[0]["route"], "events");
    assert_eq!(told[0]["path"], "/below?a=%20b");
    assert_eq!(told[0]["body"], body);
    assert!(told[0]["headers"].to_string().contains("x-timestamp"));

    // The channel sends it again: dropped by its key.
    let again = channel.signed(&events, body, now()).header("x-id", "one");
    assert_eq!(sent(again).await.0, 200);
    assert_eq!(account.told("call").await.len(), 1);
    let refused = channel
        .signed(&events, "418", now())
        .header("x-status", "418");
    assert_eq!(sent(refused).await.0, 418);

    // Forged, altered, replayed, too long, and to nobody: before the guest.
    let before = account.told("call").await.len();
    let old = now() - 301;
    for (what, request, status) in [
        ("unsigned", channel.post(&events, body), 403),
        (
            "forged",
            channel
                .post(&events, body)
                .header("x-timestamp", now())
                .header("x-signature", format!("sha256={}", "00".repeat(32))),
            403,
        ),
        (
            "altered",
            channel.signed(&events, body, now()).body("{\"hello\": 2}"),
            403,
        ),
        ("replayed", channel.signed(&events, body, old), 403),
        ("early", channel.signed(&events, body, now() + 400), 403),
        (
            "long",
            channel.signed(&events, &"x".repeat(65_537), now()),
            413,
        ),
        ("other method", channel.request(Method::GET, &events), 405),
        (
            "other route",
            channel.signed(&events.replace("/events", "/nothing"), body, now()),
            404,
        ),
        (
            "shared by path",
            channel.signed(&events.replace("/events", "/shared"), body, now()),
            404,
        ),
        (
            "guessed",
            channel.signed(
                &format!("/ingress/{}/AAAAAAAAAAAAAAAAAAAAAA/events", account.id),
                body,
                now(),
            ),
            404,
        ),
        (
            "nobody's",
            channel.post("/ingress/acc_none/AAAA/events", body),
            404,
        ),
        (
            "not let",
            channel.post(&path_of(&account, "open").await, body),
            403,
        ),
    ] {
        let request = request.header("x-id", "one");
        let (got, text) = sent(request).await;
        assert_eq!(got, status, "{what}: {text}");
        if got >= 400 {
            assert!(text.contains("\"error\""), "{what}: {text}");
            for hidden in [APP_SECRET, TOKEN, "hello"] {
                assert!(!text.contains(hidden), "{what}: {text}");
            }
        }
    }
    assert_eq!(account.told("call").await.len(), before);

    // By a token, which the guest does not get.
    let shown = path_of(&account, "shown").await;
    let put = channel.request(Method::PUT, &shown).body("by token");
    assert_eq!(sent(put.header("x-token", TOKEN)).await.0, 200);
    let wrong = channel.post(&shown, "by token").header("x-token", "wrong");
    assert_eq!(sent(wrong).await.0, 403);
    let told = account.told("call").await;
    let last = told.last().unwrap();
    assert_eq!(last["method"], "PUT");
    assert!(!last.to_string().contains(TOKEN), "{last:#}");

    // Challenges are the host's.
    let asks = |token: &str| {
        let query = format!("?hub.mode=subscribe&hub.challenge=42&hub.verify_token={token}");
        channel.request(Method::GET, &format!("{events}{query}"))
    };
    assert_eq!(sent(asks(TOKEN)).await, (200, "42".into()));
    assert_eq!(sent(asks("wrong")).await.0, 403);

    // A guest that fails: 503, nothing happened, and the next one is taken.
    for command in ["!trap", "!err because"] {
        let killing = channel
            .signed(&events, command, now())
            .header("x-id", "killing");
        let response = killing.send().await.unwrap();
        assert_eq!(response.status(), 503, "{command}");
        assert!(response.headers().contains_key("retry-after"));
    }
    let fine = eventually("it is up again", async || {
        let request = channel
            .signed(&events, "fine", now())
            .header("x-id", "fine");
        let (status, text) = sent(request).await;
        (status != 503).then_some((status, text))
    })
    .await;
    assert_eq!(fine, (200, "events took fine".into()));
    let stopped = format!("/v1/accounts/{}/runtime/stop", account.id);
    client.post(&stopped, json!({})).await.expect(200);
    let request = channel.signed(&events, "stopped", now());
    assert_eq!(sent(request).await.0, 503);

    let metrics = operator
        .request(Method::GET, "/metrics")
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    for (outcome, route) in [
        ("answered", "events"),
        ("no_signature", "events"),
        ("bad_signature", "events"),
        ("stale", "events"),
        ("too_large", "events"),
        ("method", "events"),
        ("challenge", "events"),
        ("unavailable", "events"),
        ("not_allowed", "open"),
        ("unknown", "none"),
    ] {
        let provider = if route == "none" { "none" } else { "evil" };
        let line = format!(
            "anyport_ingress_requests_total{{provider=\"{provider}\",route=\"{route}\",outcome=\"{outcome}\"}}"
        );
        assert!(metrics.contains(&line), "no {line} in\n{metrics}");
    }
    let log = home.log();
    for hidden in [APP_SECRET, TOKEN, "hello"] {
        assert!(!log.contains(hidden), "{hidden} stands in the log");
    }
    assert!(log.contains("a channel's request was refused"));
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_serves_all_accounts_of_an_app() {
    let config = format!(
        "{CONFIG}[provider.evil]\napp_secret = {APP_SECRET:?}\n\
                          [ingress]\nunverified = [\"evil\"]\n"
    );
    let (_home, host, client, _operator) = ready(&config).await;
    let one = Account::new(&client, 1, "u1").await;
    let two = Account::new(&client, 1, "2").await;
    let channel = Channel::new(&client);
    let path = path_of(&one, "shared").await;
    assert_eq!(path, "/ingress/apps/evil/shared");
    let post = async |body: &str| {
        let signature = base64(mac(body).as_ref());
        sent(channel.post(&path, body).header("x-signature", signature)).await
    };
    let body = r#"{"app": 7, "entry": [{"user":"u1","n":1}, {"user":2,"n":2}, {"user":"u1","n":3}, {"user":"nobody"}]}"#;
    assert_eq!(post(body).await.0, 200);
    let (first, second) = (one.told("call").await, two.told("call").await);
    assert_eq!(
        first[0]["body"],
        r#"{"app": 7, "entry": [{"user":"u1","n":1},{"user":"u1","n":3}]}"#
    );
    assert_eq!(
        second[0]["body"],
        r#"{"app": 7, "entry": [{"user":2,"n":2}]}"#
    );
    assert_eq!((first.len(), second.len()), (1, 1));
    for (body, status) in [
        (r#"{"entry":[{"user":"nobody"}]}"#, 404),
        (r#"{"entry":[{}]}"#, 400),
        ("not json", 400),
    ] {
        assert_eq!(post(body).await.0, status, "{body}");
    }
    let unsigned = channel.post(&path, body);
    assert_eq!(sent(unsigned).await.0, 403);
    let asks = channel.request(Method::GET, &format!("{path}?crc=abc"));
    let expected = format!(r#"{{"answer":"sha256={}"}}"#, base64(mac("abc").as_ref()));
    assert_eq!(sent(asks).await, (200, expected));
    let forged = channel.request(Method::GET, &format!("{path}?crc=%7B%7D"));
    assert_eq!(sent(forged).await.0, 403);

    // Let go unverified, as the operator says.
    let open = path_of(&one, "open").await;
    assert_eq!(sent(channel.post(&open, "open")).await.0, 200);
    host.kill().await;
}
