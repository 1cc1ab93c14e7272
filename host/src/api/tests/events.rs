use super::Host;
use crate::domain::account::Account;
use axum::body::{Body, BodyDataStream};
use axum::http::Method;
use futures::StreamExt;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tower::ServiceExt;

async fn accounts(host: &Host, count: usize) -> Vec<Account> {
    for _ in 0..count {
        host.account().await;
    }
    host.store.state().accounts.clone()
}

fn texts(data: &Value) -> Vec<String> {
    let items = data["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["data"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pull_reads_everything_once_and_in_order() {
    let host = Host::new();
    let accounts = accounts(&host, 20).await;
    for number in 0..300 {
        let account = &accounts[number % accounts.len()];
        let index = number % accounts.len();
        host.store
            .append(account, "message.received", &format!("{index} {number:03}"));
    }
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    let mut after = "earliest".to_owned();
    let mut pages = 0;
    loop {
        let answered = host.get(&format!("/v1/events?after={after}&limit=7")).await;
        assert_eq!(answered.status, 200, "{}", answered.body);
        for text in texts(answered.data()) {
            let (account, number) = text.split_once(' ').unwrap();
            seen.entry(account.into()).or_default().push(number.into());
        }
        after = answered.data()["next_cursor"].as_str().unwrap().to_owned();
        pages += 1;
        if answered.data()["has_more"] == false {
            break;
        }
    }
    assert!(pages >= 300 / 7);
    assert_eq!(seen.len(), 20);
    for numbers in seen.values() {
        assert_eq!(numbers.len(), 15);
        assert!(numbers.is_sorted());
    }
    // Nothing moved: nothing is read.
    let reads = host.store.state().reads;
    let answered = host.get(&format!("/v1/events?after={after}")).await;
    assert!(texts(answered.data()).is_empty());
    assert_eq!(answered.data()["next_cursor"], after.as_str());
    assert_eq!(host.store.state().reads, reads);
}

#[tokio::test]
async fn filters() {
    let host = Host::new();
    let accounts = accounts(&host, 2).await;
    host.store.append(&accounts[0], "message.received", "a");
    host.store.append(&accounts[0], "message.sent", "b");
    host.store.append(&accounts[1], "message.sent", "c");
    let get = |query: String| {
        let host = &host;
        async move {
            let answered = host.get(&format!("/v1/events?{query}")).await;
            assert_eq!(answered.status, 200);
            let mut found = texts(answered.data());
            found.sort();
            found
        }
    };
    assert_eq!(get("types=message.sent".into()).await, ["b", "c"]);
    assert_eq!(get("types=*".into()).await, ["a", "b", "c"]);
    let id = &accounts[0].id;
    assert_eq!(get(format!("account_id={id}")).await, ["a", "b"]);
    assert_eq!(
        get(format!("account_id={id}&types=message.sent,message.read")).await,
        ["b"]
    );
    assert!(get("after=latest".into()).await.is_empty());
    for (query, field) in [
        ("after=x", "after"),
        ("types=message.nope", "types"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("wait=61", "wait"),
    ] {
        let answered = host.get(&format!("/v1/events?{query}")).await;
        assert_eq!(
            (answered.status, answered.code()),
            (400, "invalid_request"),
            "{query}"
        );
        assert_eq!(answered.body["error"]["field"], field);
    }
    let answered = host.get("/v1/events?account_id=acc_x").await;
    assert_eq!((answered.status, answered.code()), (404, "not_found"));
    // A cursor of a log that went further than this one.
    let answered = host.get("/v1/events").await;
    let cursor = answered.data()["next_cursor"].as_str().unwrap().to_owned();
    host.store.state().heads.clear();
    host.log.send_modify(|version| *version += 1);
    let answered = host.get(&format!("/v1/events?after={cursor}")).await;
    assert_eq!(answered.status, 400);
    assert!(answered.message().starts_with("after: "));
}

#[tokio::test]
async fn pull_waits_for_an_event() {
    let host = Host::new();
    let accounts = accounts(&host, 1).await;
    let wait = host.get("/v1/events?wait=30");
    let append = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        host.store.append(&accounts[0], "message.received", "late");
        host.log.send_modify(|version| *version += 1);
    };
    let (answered, ()) = tokio::join!(wait, append);
    assert_eq!(texts(answered.data()), ["late"]);
    // And ends at once when the host stops.
    let wait = host.get("/v1/events?after=latest&wait=30");
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        host.stopping.send_replace(true);
    };
    let (answered, ()) = tokio::join!(wait, stop);
    assert!(texts(answered.data()).is_empty());
}

struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(host: &Host, path: &str, last: Option<&str>) -> Self {
        let mut request = host
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = host.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(response.headers().contains_key("x-request-id"));
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next block, with its last id.
    async fn block(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let id = block.lines().find_map(|line| line.strip_prefix("id: "));
                let found = (block.to_owned(), id.unwrap_or_default().to_owned());
                self.text = rest.to_owned();
                return Some(found);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.body.next())
                .await
                .expect("something comes")?;
            self.text
                .push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was() {
    let host = Host::new();
    let accounts = accounts(&host, 3).await;
    host.store
        .append(&accounts[0], "message.received", "before");
    let mut stream = Stream::open(&host, "/v1/events", None).await;
    let (opening, start) = stream.block().await.unwrap();
    assert!(opening.starts_with("retry: 1000\nid: "));
    for (account, text) in [(0, "one"), (1, "two"), (2, "three")] {
        host.store
            .append(&accounts[account], "message.received", text);
        host.log.send_modify(|version| *version += 1);
        let (block, id) = stream.block().await.unwrap();
        assert!(
            block.contains("\nevent: message.received\ndata: {"),
            "{block}"
        );
        assert!(block.contains(text));
        assert!(!id.is_empty() && id != start);
        if text == "one" {
            let mut again = Stream::open(&host, "/v1/events/stream", Some(&id)).await;
            again.block().await.unwrap();
            host.store
                .append(&accounts[1], "message.received", "between");
            host.log.send_modify(|version| *version += 1);
            assert!(again.block().await.unwrap().0.contains("between"));
            assert!(stream.block().await.unwrap().0.contains("between"));
        }
    }
    let mut all = Stream::open(&host, "/v1/events/stream?after=earliest", None).await;
    all.block().await.unwrap();
    let mut found = Vec::new();
    for _ in 0..5 {
        found.push(all.block().await.unwrap().0);
    }
    assert!(found.iter().any(|block| block.contains("before")));
    // A stream ends with the host.
    host.stopping.send_replace(true);
    assert!(stream.block().await.is_none());
}

#[tokio::test]
async fn a_quiet_stream_beats_and_tells_where_it_is() {
    let host = Host::with(super::Settings {
        heartbeat: Duration::from_millis(20),
        streams: 1,
        ..super::Settings::default()
    });
    let accounts = accounts(&host, 1).await;
    let mut stream = Stream::open(&host, "/v1/events/stream?types=message.sent", None).await;
    let (_, start) = stream.block().await.unwrap();
    host.store
        .append(&accounts[0], "message.received", "not wanted");
    host.log.send_modify(|version| *version += 1);
    loop {
        let (block, id) = stream.block().await.unwrap();
        assert!(block.starts_with(": heartbeat"));
        if id != start {
            break;
        }
    }
    let answered = host.get("/v1/events/stream").await;
    assert_eq!(
        (answered.status, answered.code()),
        (503, "too_many_streams")
    );
    drop(stream);
    // The place is free again once the stream's task has seen it.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let request = host
            .request(Method::GET, "/v1/events/stream")
            .body(Body::empty())
            .unwrap();
        if host.router.clone().oneshot(request).await.unwrap().status() == 200 {
            return;
        }
    }
    panic!("the place of a dropped stream is not free");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let host = Host::with(super::Settings {
        stream_patience: Duration::from_millis(50),
        ..super::Settings::default()
    });
    let accounts = accounts(&host, 1).await;
    for _ in 0..2000 {
        host.store.append(&accounts[0], "message.received", "x");
    }
    let mut stream = Stream::open(&host, "/v1/events/stream?after=earliest", None).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut blocks = 0;
    while stream.block().await.is_some() {
        blocks += 1;
    }
    assert!(blocks < 1000, "{blocks}");
}
