//! Events as they come: at a terminal's end, and forwarded to a receiver as webhooks are.

use super::support::{Following, Host};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use standardwebhooks::Webhook;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;

#[derive(Clone, Default)]
struct Receiver {
    received: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    /// What to answer next; 200 when nothing is left.
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(
                async |State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes| {
                    receiver.received.lock().unwrap().push((headers, body));
                    let answer = receiver.answers.lock().unwrap().pop_front();
                    answer.unwrap_or(StatusCode::OK)
                },
            )
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn texts(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|(_, body)| {
                let event: Value = serde_json::from_slice(body).unwrap();
                event["data"]["message"]["text"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }
}

async fn say(host: &Host, text: &str) {
    host.run(&["send", "ada", "echo", text, "--wait", "60"])
        .await
        .expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn forwards_signed_in_order_until_taken() {
    let host = Host::start().await;
    host.account("ada").await;
    let receiver = Receiver::default();
    let url = receiver.start().await;
    let home = TempDir::new().unwrap();
    let state = home.path().join("position");
    let arguments = [
        "listen",
        "--forward-to",
        &url,
        "--type",
        "message.received",
        "--state",
        state.to_str().unwrap(),
        "--json",
    ];

    receiver
        .answers
        .lock()
        .unwrap()
        .extend([StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FOUND]);
    let mut listening = Following::start(host.anyport(&arguments));
    let secret = listening.json().await["signing_secret"]
        .as_str()
        .unwrap()
        .to_owned();
    say(&host, "one").await;
    say(&host, "two").await;
    let taken = |line: &Value| line["taken"] == true;
    let first = listening.json_where(taken).await;
    assert_eq!(
        (&first["attempt"], &first["status"]),
        (&Value::from(3), &Value::from(200))
    );
    let second = listening.json_where(taken).await;
    assert_eq!(second["attempt"], 1);
    // A redirect is none taken, and what waits behind an event waits.
    assert_eq!(receiver.texts(), ["one", "one", "one", "two"]);

    for (headers, body) in receiver.received.lock().unwrap().iter() {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        Webhook::new(&secret)
            .unwrap()
            .verify(body, headers)
            .unwrap();
        let event: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(text("x-device-event-id"), event["id"].as_str().unwrap());
        assert_eq!(text("webhook-id"), text("x-device-event-id"));
        assert!(text("x-device-delivery-id").starts_with("dlv_"));
        assert_eq!(text("content-type"), "application/json");
        let signed = device_signature(&secret, &text("x-device-timestamp"), body);
        assert_eq!(text("x-device-signature"), signed);
    }
    // Ended by Ctrl-C, it goes on where it was: nothing twice, nothing missed.
    assert_eq!(listening.interrupt().await, 0);
    say(&host, "three").await;
    let mut listening = Following::start(host.anyport(&arguments));
    let again = listening.json().await;
    assert_ne!(again["signing_secret"], secret.as_str());
    listening.json_where(taken).await;
    assert_eq!(receiver.texts(), ["one", "one", "one", "two", "three"]);

    // The host is away for a while.
    let host = host.restart().await;
    say(&host, "four").await;
    listening.json_where(taken).await;
    assert_eq!(receiver.texts().last().unwrap(), "four");
    assert_eq!(listening.interrupt().await, 0);

    // A secret of one's own; an event that nobody takes is given up when told so.
    receiver
        .answers
        .lock()
        .unwrap()
        .extend([StatusCode::NOT_FOUND; 2]);
    let mut command = host.anyport(&[
        "listen",
        "--forward-to",
        &url,
        "--type",
        "message.received",
        "--max-attempts",
        "2",
        "--json",
    ]);
    command.env("ANYPORT_LISTEN_SECRET", "plain text");
    let mut listening = Following::start(command);
    assert_eq!(listening.json().await["signing_secret"], "plain text");
    say(&host, "five").await;
    say(&host, "six").await;
    let last = listening.json_where(taken).await;
    assert_eq!(last["attempt"], 1);
    let texts = receiver.texts();
    assert_eq!(texts[texts.len() - 3..], ["five", "five", "six"]);
    let (headers, body) = receiver.received.lock().unwrap().last().unwrap().clone();
    Webhook::from_bytes(b"plain text".to_vec())
        .unwrap()
        .verify(&body, &headers)
        .unwrap();
}

/// Made by `ring`, which is none of what signs.
fn device_signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    use ring::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    hex::encode(context.sign().as_ref())
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_goes_on_over_restarts() {
    let host = Host::start().await;
    host.account("ada").await;
    say(&host, "before").await;
    let received = ["--type", "message.received", "--json"];
    let mut all = Following::start(
        host.anyport(&[&["events", "tail", "--after", "earliest"][..], &received].concat()),
    );
    let text = |event: Value| {
        event["data"]["message"]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(text(all.json().await), "before");
    say(&host, "now").await;
    assert_eq!(text(all.json().await), "now");
    let host = host.restart().await;
    say(&host, "after").await;
    assert_eq!(text(all.json().await), "after");
    assert_eq!(all.interrupt().await, 0);

    // For people; and a position in a file.
    let home = TempDir::new().unwrap();
    let state = home.path().join("position");
    let arguments = [
        "events",
        "tail",
        "--type",
        "message.received",
        "--after",
        "earliest",
        "--state",
        state.to_str().unwrap(),
    ];
    let mut people = Following::start(host.anyport(&arguments));
    assert!(people.line().await.contains(": before"));
    assert!(people.line().await.contains(": now"));
    assert!(people.line().await.contains(": after"));
    say(&host, "last").await;
    assert!(people.line().await.contains(": last"));
    assert_eq!(people.interrupt().await, 0);
    say(&host, "new").await;
    let mut people = Following::start(host.anyport(&arguments));
    assert!(people.line().await.contains(": new"));
    assert_eq!(people.interrupt().await, 0);
    host.run(&["events", "tail", "--after", "no cursor"])
        .await
        .expect(3);
}
