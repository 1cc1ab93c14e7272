use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use anyport_simulator::model::{Body, Content};
use anyport_simulator::protocol::{Accepted, ClientFrame, Fault, ServerFrame};
use anyport_simulator::transfer::Fetch;
use anyport_simulator::webhook::{Delivery, REQUEST_ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use anyport_simulator::{
    Behaviour, ControlClient, RequestFault, SignedRequest, Simulator, Traffic, generated,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::{Client as Socket, PATIENCE, outgoing, start};

/// Takes webhooks, and answers as it is told; 200 when it is told nothing.
struct Receiver {
    url: String,
    got: watch::Receiver<Vec<(Delivery, bool)>>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
}

const SECRET: &str = "it-is-secret";

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, got) = watch::channel(Vec::new());
        let statuses = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, answers) = (Arc::new(sender), Arc::clone(&statuses));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, answers) = (Arc::clone(&sender), Arc::clone(&answers));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (sender, answers) = (Arc::clone(&sender), Arc::clone(&answers));
                    async move {
                        let header = |name: &str| {
                            let value = request.headers().get(name).unwrap();
                            value.to_str().unwrap().to_owned()
                        };
                        let timestamp = header(TIMESTAMP_HEADER).parse().unwrap();
                        let signature = header(SIGNATURE_HEADER);
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let text = String::from_utf8(body.to_vec()).unwrap();
                        let good = SignedRequest::signed("", SECRET.as_bytes(), timestamp, &text);
                        let delivery = serde_json::from_slice(&body).unwrap();
                        let status = answers.lock().unwrap().pop_front().unwrap_or(200);
                        sender.send_modify(|got| got.push((delivery, good.signature == signature)));
                        let mut response = Response::new(Full::<Bytes>::default());
                        *response.status_mut() = StatusCode::from_u16(status).unwrap();
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(async move {
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, got, statuses }
    }

    fn answer(&self, statuses: &[u16]) {
        self.statuses.lock().unwrap().extend(statuses);
    }

    /// The first so many requests.
    async fn requests(&mut self, count: usize) -> Vec<(Delivery, bool)> {
        let waited = self.got.wait_for(|got| got.len() >= count);
        let got = tokio::time::timeout(PATIENCE, waited).await.unwrap();
        got.unwrap().clone()
    }
}

fn texts(delivery: &Delivery) -> Vec<(&str, String)> {
    let mut all = Vec::new();
    for entry in &delivery.entry {
        for event in &entry.events {
            match &event.body {
                Body::Message(message) => {
                    all.push((entry.user.as_str(), message.content.summary()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    all
}

#[tokio::test]
async fn events_are_posted_signed_until_they_are_taken() {
    let (_simulator, mut control) = start(Behaviour::default()).await;
    let mut receiver = Receiver::start().await;
    receiver.answer(&[503, 500, 302]);
    let url = Some(receiver.url.clone());
    control
        .set_webhook(Some("ada"), url.as_deref(), SECRET)
        .await
        .unwrap();
    control.inject_text("ada", "bob", "one").await.unwrap();
    let got = receiver.requests(4).await;
    for (delivery, signed) in &got[..4] {
        assert!(signed);
        assert_eq!(texts(delivery), [("user:ada", "one".to_owned())]);
        assert_eq!(delivery, &got[0].0, "the same at every redelivery");
    }
    let counters = control
        .wait_for(Some("ada"), PATIENCE, |seen| seen.acknowledged == 1)
        .await
        .unwrap();
    assert_eq!((counters.delivered, counters.redelivered), (1, 3));
    let statuses: Vec<_> = control
        .deliveries()
        .await
        .unwrap()
        .iter()
        .map(|record| (record.status, record.again))
        .collect();
    let wanted = [
        (Some(503), 0),
        (Some(500), 1),
        (Some(302), 1),
        (Some(200), 1),
    ];
    assert_eq!(statuses, wanted);
}

#[tokio::test]
async fn one_address_serves_all_users_of_the_app_in_their_order() {
    let (_simulator, mut control) = start(Behaviour::default()).await;
    let mut receiver = Receiver::start().await;
    // Refused together, they are tried one by one.
    receiver.answer(&[503]);
    for text in ["1", "2"] {
        for user in ["ada", "bob"] {
            control.inject_text(user, "eve", text).await.unwrap();
        }
    }
    let url = Some(receiver.url.clone());
    control
        .set_webhook(None, url.as_deref(), SECRET)
        .await
        .unwrap();
    control
        .wait_for(None, PATIENCE, |seen| seen.acknowledged == 4)
        .await
        .unwrap();
    let got = receiver.requests(3).await;
    assert_eq!(got[0].0.entry.len(), 2);
    assert!(
        got[1..]
            .iter()
            .all(|(delivery, _)| delivery.entry.len() == 1)
    );
    let mut taken: Vec<_> = got[1..]
        .iter()
        .flat_map(|(delivery, _)| texts(delivery))
        .collect();
    // Stable: the order of each user stays as it was.
    taken.sort_by(|one, other| one.0.cmp(other.0));
    let wanted = [
        ("user:ada", "1"),
        ("user:ada", "2"),
        ("user:bob", "1"),
        ("user:bob", "2"),
    ];
    assert_eq!(taken, wanted.map(|(user, text)| (user, text.to_owned())));
    // A user that comes later has it, too.
    control.inject_text("eve", "ada", "3").await.unwrap();
    control
        .wait_for(Some("eve"), PATIENCE, |seen| seen.acknowledged == 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn traffic_comes_by_webhook_in_order() {
    let (_simulator, mut control) = start(Behaviour::default()).await;
    let mut receiver = Receiver::start().await;
    receiver.answer(&[200, 503, 200, 503, 503]);
    let url = Some(receiver.url.clone());
    control
        .set_webhook(Some("ada"), url.as_deref(), SECRET)
        .await
        .unwrap();
    let traffic = Traffic {
        rate: 500.0,
        count: Some(100),
        ..Traffic::default()
    };
    control.start_traffic(Some("ada"), traffic).await.unwrap();
    control
        .wait_for(Some("ada"), PATIENCE, |seen| seen.acknowledged == 100)
        .await
        .unwrap();
    let mut seen = Vec::new();
    for (delivery, _) in receiver.requests(1).await {
        for event in &delivery.entry[0].events {
            if !seen.contains(&event.id) {
                seen.push(event.id.clone());
            }
        }
    }
    let wanted: Vec<_> = (1..=100).map(|number| format!("t-{number}")).collect();
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn the_last_delivery_can_be_posted_again_and_altered() {
    let (_simulator, mut control) = start(Behaviour::default()).await;
    let mut receiver = Receiver::start().await;
    let url = Some(receiver.url.clone());
    control
        .set_webhook(Some("ada"), url.as_deref(), SECRET)
        .await
        .unwrap();
    assert_eq!(control.last_delivery(Some("ada")).await.unwrap(), None);
    control.inject_text("ada", "bob", "one").await.unwrap();
    receiver.requests(1).await;
    let last = control.last_delivery(Some("ada")).await.unwrap().unwrap();
    assert_eq!(last.post().await.unwrap(), 200);
    let altered = SignedRequest {
        body: last.body.replace("one", "two"),
        ..last
    };
    altered.post().await.unwrap();
    let signed: Vec<_> = receiver
        .requests(3)
        .await
        .iter()
        .map(|(_, signed)| *signed)
        .collect();
    assert_eq!(signed, [true, true, false]);
    assert!(
        control
            .set_webhook(None, Some("ftp://x"), "")
            .await
            .is_err()
    );
}

struct Api {
    base: String,
    token: String,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

impl Api {
    async fn start(simulator: &Simulator, control: &mut ControlClient) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = simulator.serve_http(listener).unwrap();
        Self {
            base: format!("http://{address}"),
            token: control.token("ada").await.unwrap(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// None: the connection ended instead of an answer.
    async fn call(
        &self,
        method: Method,
        path: &str,
        id: &str,
        body: Bytes,
    ) -> Option<(u16, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header(REQUEST_ID_HEADER, id)
            .body(Full::new(body))
            .unwrap();
        let answer = self.client.request(request).await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some((status, body))
    }

    async fn post(&self, path: &str, id: &str, body: Value) -> Option<(u16, Value)> {
        let body = Bytes::from(body.to_string());
        let (status, body) = self.call(Method::POST, path, id, body).await?;
        Some((status, serde_json::from_slice(&body).unwrap()))
    }
}

fn message(text: &str) -> Value {
    serde_json::to_value(outgoing("", "bob", text)).unwrap()
}

#[tokio::test]
async fn messages_are_sent_over_http_once() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let mut api = Api::start(&simulator, &mut control).await;
    let in_path = format!("/bot{}/messages", api.token);
    let mut made = Vec::new();
    for path in ["/v1/messages", in_path.as_str()] {
        let (status, body) = api.post(path, "a", message("hello")).await.unwrap();
        assert_eq!(status, 200, "{body}");
        made.push(serde_json::from_value::<Accepted>(body).unwrap());
    }
    assert!(!made[0].repeated && made[1].repeated);
    assert_eq!(made[0].message, made[1].message);

    control.lose_answers("ada", 1).await.unwrap();
    assert_eq!(api.post("/v1/messages", "b", message("lost")).await, None);
    let again = api
        .post("/v1/messages", "b", message("lost"))
        .await
        .unwrap();
    assert_eq!(again.1["repeated"], true);

    let limited = Fault {
        retry_after_ms: Some(1_500),
        ..Fault::new("rate-limited", "slow down")
    };
    control.refuse("ada", 1, limited).await.unwrap();
    let (status, body) = api.post("/v1/messages", "c", message("x")).await.unwrap();
    assert_eq!((status, &body["retry_after_ms"]), (429, &json!(1_500)));
    let (status, _) = api.post("/v1/messages", "", message("x")).await.unwrap();
    assert_eq!(status, 400, "a request has a name");
    let journal = control.journal(Some("ada")).await.unwrap();
    let texts: Vec<_> = journal.iter().map(|record| record.text.as_str()).collect();
    assert_eq!(texts, ["hello", "hello", "lost", "lost", "x"]);

    control.revoke_sessions("ada").await.unwrap();
    let (status, _) = api.post("/v1/messages", "d", message("x")).await.unwrap();
    assert_eq!(status, 401, "the token is not good any more");
    api.token = "616461-0".to_owned();
    assert_eq!(
        api.call(Method::GET, "/v1/me", "e", Bytes::new())
            .await
            .unwrap()
            .0,
        401
    );
}

#[tokio::test]
async fn requests_are_answered_over_http() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let api = Api::start(&simulator, &mut control).await;
    let groups = json!({"groups": {"page": {"limit": 10}}});
    let (status, body) = api.post("/v1/requests", "a", groups.clone()).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["conversations"]["items"][0]["id"], "group:lab");
    control
        .fail_requests("ada", 1, None, RequestFault::Drop {})
        .await
        .unwrap();
    assert_eq!(api.post("/v1/requests", "b", groups).await, None);
    let nowhere = json!({"group": {"id": "group:none"}});
    let (status, body) = api.post("/v1/requests", "c", nowhere).await.unwrap();
    assert_eq!((status, &body["code"]), (404, &json!("not-found")));
}

#[tokio::test]
async fn media_go_up_and_down() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let api = Api::start(&simulator, &mut control).await;
    let bytes = Bytes::from(generated(7, 300_000));
    let (status, answer) = api
        .call(Method::POST, "/v1/media", "a", bytes.clone())
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((status, &answer["size"]), (200, &json!(300_000)));
    let digest = hex::encode(Sha256::digest(&bytes));
    let id = answer["id"].as_str().unwrap();
    assert_eq!(control.medium(id).await.unwrap().unwrap().sha256, digest);
    let path = format!("/v1/media/{id}");
    let (_, back) = api
        .call(Method::GET, &path, "b", Bytes::new())
        .await
        .unwrap();
    assert!(back == bytes);
    // It is there on the socket, too.
    let (mut client, _) = Socket::signed_in(&simulator, "ada").await;
    let (medium, offset, length) = (id.to_owned(), 299_999, 10);
    client
        .say(&ClientFrame::Fetch(Fetch {
            medium,
            offset,
            length,
        }))
        .await;
    match client.hear().await {
        ServerFrame::Piece(piece) => assert_eq!(piece.data, &bytes[299_999..]),
        other => panic!("{other:?}"),
    }

    let made_up = control.make_up_medium(200_000, "video/mp4").await.unwrap();
    let path = format!("/v1/media/{}", made_up.id);
    let (_, back) = api
        .call(Method::GET, &path, "c", Bytes::new())
        .await
        .unwrap();
    assert!(back == generated(0, 200_000));
    for (range, wanted) in [
        ("bytes=5-9", Some((5, 5))),
        ("bytes=199990-", Some((199_990, 10))),
        ("bytes=-3", Some((199_997, 3))),
        ("bytes=5-200000", None),
        ("bytes=9-5", None),
    ] {
        let request = Request::get(format!("{}{path}", api.base))
            .header("authorization", format!("Bearer {}", api.token))
            .header("range", range)
            .body(Full::default())
            .unwrap();
        let answer = api.client.request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        match wanted {
            Some((offset, length)) => {
                assert_eq!(status, 206, "{range}");
                assert!(body == generated(offset, length), "{range}");
            }
            None => assert_eq!(status, 400, "{range}"),
        }
    }
}

#[tokio::test]
async fn an_echo_comes_by_webhook() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let api = Api::start(&simulator, &mut control).await;
    let mut receiver = Receiver::start().await;
    let body = json!({"url": receiver.url, "secret": SECRET});
    let body = Bytes::from(body.to_string());
    let set = api.call(Method::PUT, "/v1/webhook", "w", body).await;
    assert_eq!(set.unwrap().0, 200);
    let mut echo = outgoing("", "echo", "hello");
    echo.content = Content::text("hello?");
    let echo = serde_json::to_value(echo).unwrap();
    api.post("/v1/messages", "a", echo).await.unwrap();
    let got = receiver.requests(1).await;
    assert_eq!(texts(&got[0].0), [("user:ada", "hello?".to_owned())]);
}

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[tokio::test]
async fn a_large_medium_is_never_in_memory() {
    const CHUNK: u64 = 64 * 1024;
    let proves = std::env::var_os("ANYPORT_PROVE").is_some();
    let size = if proves { 200_000_000 } else { 40_000_000 };
    let (simulator, mut control) = start(Behaviour::default()).await;
    let api = Api::start(&simulator, &mut control).await;
    let before = peak_memory();

    let parts = futures::stream::unfold(0, move |at: u64| async move {
        let length = CHUNK.min(size - at);
        let chunk = Bytes::from(vec![at as u8; length as usize]);
        (length > 0).then(|| (Ok::<_, Infallible>(Frame::data(chunk)), at + length))
    });
    let client: Client<_, _> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::post(format!("{}/v1/media", api.base))
        .header("authorization", format!("Bearer {}", api.token))
        .body(StreamBody::new(Box::pin(parts)))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["size"], size);

    let made_up = control.make_up_medium(size, "video/mp4").await.unwrap();
    for id in [answer["id"].as_str().unwrap(), &made_up.id] {
        let request = Request::get(format!("{}/v1/media/{id}", api.base))
            .header("authorization", format!("Bearer {}", api.token))
            .body(Full::default())
            .unwrap();
        let mut body = api.client.request(request).await.unwrap().into_body();
        let mut came = 0;
        while let Some(frame) = body.frame().await {
            came += frame
                .unwrap()
                .into_data()
                .map_or(0, |data| data.len() as u64);
        }
        assert_eq!(came, size);
    }
    let grown = peak_memory() - before;
    assert!(grown < size / 2, "{grown} bytes for a medium of {size}");
}
