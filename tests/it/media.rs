//! Media from end to end: uploaded, downloaded by ranges, sent by key and by address, fetched from
//! the channel when somebody asks for an attachment, and never wholly in the host's memory.

use crate::evil::LineServer;
use crate::support::host::{Answer, Host};
use crate::support::process::{Client, Home};
use crate::support::{eventually, guests};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::stream;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and then some more of it";

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// Installs the provider and signs an account in at a server that says these lines.
async fn evil_account(host: &Host, server: &LineServer) -> String {
    let install = host
        .as_operator(Method::POST, "/v1/providers")
        .body(guests::evil().to_vec());
    assert!(host.send(install).await.status.is_success());
    let new = json!({"provider": "evil", "auth_mode": "password",
                     "provider_data": {"server": "127.0.0.1", "port": server.port}});
    let made = host.post("/v1/accounts", new).await.expect(201);
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/accounts/{id}/auth/start");
    let signed = host.post(&path, json!({"password": "sesame"})).await;
    assert_eq!(signed.expect(200)["data"]["status"], "authorized");
    id
}

async fn upload(host: &Host, bytes: &[u8], kind: &str) -> Value {
    let request = host
        .request(Method::POST, "/v1/media?file_name=m%C3%A4nu.png")
        .header("Content-Type", kind)
        .body(bytes.to_vec());
    host.send(request).await.expect(201)["data"].clone()
}

fn id(view: &Value) -> &str {
    view["id"].as_str().unwrap()
}

/// (status, headers, bytes)
async fn download(request: reqwest::RequestBuilder) -> (StatusCode, http::HeaderMap, Vec<u8>) {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.bytes().await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_uploaded_comes_back() {
    let host = Host::start().await;
    let view = upload(&host, PNG, "image/png").await;
    assert_eq!(view["size"], PNG.len());
    assert_eq!(view["mime_type"], "image/png");
    assert_eq!(view["detected_mime_type"], "image/png");
    assert_eq!(view["file_name"], "mänu.png");
    assert_eq!(view["file_key"], view["id"]);
    assert_eq!(view["sha256"].as_str().unwrap().len(), 64);
    let path = format!("/v1/media/{}", id(&view));
    assert_eq!(host.get(&path).await.expect(200)["data"], view);

    let content = format!("{path}/content");
    let get = || host.request(Method::GET, &content);
    let (status, headers, bytes) = download(get()).await;
    assert_eq!((status.as_u16(), bytes.as_slice()), (200, PNG));
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(
        headers["content-disposition"],
        "inline; filename*=UTF-8''m%C3%A4nu.png"
    );
    assert_eq!(headers["accept-ranges"], "bytes");
    let tag = headers["etag"].clone();
    let (status, headers, bytes) = download(get().header("Range", "bytes=4-9")).await;
    assert_eq!((status.as_u16(), bytes.as_slice()), (206, &PNG[4..10]));
    let whole = format!("bytes 4-9/{}", PNG.len());
    assert_eq!(headers["content-range"], whole.as_str());
    let (status, headers, _) = download(get().header("Range", "bytes=1000-")).await;
    assert_eq!(status, 416);
    assert_eq!(
        headers["content-range"],
        format!("bytes */{}", PNG.len()).as_str()
    );
    let stale = get()
        .header("Range", "bytes=4-9")
        .header("If-Range", "\"other\"");
    assert_eq!(download(stale).await.0, 200);
    assert_eq!(download(get().header("If-None-Match", tag)).await.0, 304);
    let head = host.request(Method::HEAD, &content);
    let (status, headers, bytes) = download(head).await;
    assert_eq!((status.as_u16(), bytes.len()), (200, 0));
    assert_eq!(headers["content-length"], PNG.len().to_string().as_str());

    let form = "--edge\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n\
                --edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.html\"\r\n\
                Content-Type: text/html\r\n\r\n<script>1</script>\r\n--edge--\r\n";
    let multipart = |form: &str| {
        host.request(Method::POST, "/v1/media")
            .header("Content-Type", "multipart/form-data; boundary=edge")
            .body(form.to_owned())
    };
    let page = host.send(multipart(form)).await.expect(201)["data"].clone();
    assert_eq!(
        (&page["size"], &page["file_name"]),
        (&json!(18), &json!("a.html"))
    );
    let shown = host.request(Method::GET, &format!("/v1/media/{}/content", id(&page)));
    let (_, headers, bytes) = download(shown).await;
    assert_eq!(bytes, b"<script>1</script>");
    // It never runs in this host's name.
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment"), "{disposition}");
    assert_eq!(
        headers["content-security-policy"],
        "default-src 'none'; sandbox"
    );
    for (form, field) in [
        (
            "--edge\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--edge--\r\n",
            "file",
        ),
        ("no form at all", "body"),
    ] {
        let refused = host.send(multipart(form)).await.expect(400);
        assert_eq!(refused["error"]["field"], field, "{refused:#}");
    }
    let named = host
        .request(Method::POST, "/v1/media?file_name=a%2Fb")
        .body("x");
    let refused = host.send(named).await.expect(400);
    assert_eq!(refused["error"]["field"], "file_name");

    host.delete(&path).await.expect(204);
    for path in [
        path.as_str(),
        &content,
        "/v1/media/med_0",
        "/media/none",
        "/media/b1.none",
    ] {
        let gone = host.get(path).await.expect(404);
        assert_eq!(gone["error"]["code"], "not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_and_what_is_cut_leaves_nothing() {
    let host = Host::start_with(|config| {
        config.media.max_bytes = 1000;
        config.media.types = vec!["image/*".into()];
    })
    .await;
    let post = |kind: &str, bytes: Vec<u8>| {
        host.request(Method::POST, "/v1/media")
            .header("Content-Type", kind)
            .body(bytes)
    };
    let text = host
        .send(post("text/plain", b"text".to_vec()))
        .await
        .expect(415);
    assert_eq!(text["error"]["code"], "unsupported_media_type");
    let large = [PNG, &[0; 1000]].concat();
    let refused = host
        .send(post("image/png", large.clone()))
        .await
        .expect(413);
    assert_eq!(refused["error"]["code"], "payload_too_large");
    // Without a length said before.
    let pieces = stream::iter(vec![Ok::<_, Infallible>(Bytes::from(large))]);
    let request = host
        .request(Method::POST, "/v1/media")
        .body(reqwest::Body::wrap_stream(pieces));
    host.send(request).await.expect(413);

    // One that says more than it gives, and goes away.
    let mut line = tokio::net::TcpStream::connect(host.running.address)
        .await
        .unwrap();
    let head = format!(
        "POST /v1/media HTTP/1.1\r\nHost: x\r\nX-Api-Key: {}\r\nContent-Type: image/png\r\n\
         Content-Length: 900\r\n\r\n",
        host.key
    );
    line.write_all(head.as_bytes()).await.unwrap();
    line.write_all(PNG).await.unwrap();
    line.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = line.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if !answer.is_empty() {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("ended before it was complete"), "{answer}");
    }
    let directory = host.data().join("media");
    eventually("nothing of them is left", async || {
        let entries = walk(&directory);
        entries.is_empty().then_some(())
    })
    .await;
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

/// A web server with files: `/file/<name>` when the gate is open, and some that fail.
struct Web {
    base: String,
    gate: watch::Sender<bool>,
    asked: Arc<AtomicU32>,
    serving: JoinHandle<()>,
}

impl Web {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (gate, waits) = watch::channel(true);
        let asked = Arc::new(AtomicU32::new(0));
        let state = (waits, asked.clone(), base.clone());
        let router = Router::new()
            .route("/{kind}/{name}", get(web))
            .with_state(state);
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            base,
            gate,
            asked,
            serving,
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type WebState = (watch::Receiver<bool>, Arc<AtomicU32>, String);

async fn web(
    State((mut waits, asked, base)): State<WebState>,
    Path((kind, name)): Path<(String, String)>,
) -> Response {
    asked.fetch_add(1, Ordering::SeqCst);
    let _ = waits.wait_for(|open| *open).await;
    match kind.as_str() {
        "file" => ([("content-type", "image/png")], PNG).into_response(),
        "large" => {
            let pieces = (0..32).map(|_| Ok::<_, Infallible>(Bytes::from(vec![1u8; 64 * 1024])));
            Body::from_stream(stream::iter(pieces)).into_response()
        }
        "moved" => (
            StatusCode::FOUND,
            [("location", format!("{base}/file/{name}"))],
        )
            .into_response(),
        "around" => (StatusCode::FOUND, [("location", "/around/x".to_owned())]).into_response(),
        "inside" => (
            StatusCode::FOUND,
            [("location", "http://169.254.169.254/latest".to_owned())],
        )
            .into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn image(account: &str, to: &str, source: Value) -> Value {
    let mut message = json!({"type": "image", "caption": "look"});
    for (name, value) in source.as_object().unwrap() {
        message[name] = value.clone();
    }
    json!({"account_id": account, "to": {"id": to, "type": "user"}, "message": message})
}

async fn events(host: &Host, account: &str) -> Vec<Value> {
    let path = format!("/v1/events?account_id={account}&limit=200");
    let page = host.get(&path).await.expect(200);
    page["data"]["items"].as_array().unwrap().clone()
}

/// Waits until a message with this text was received.
async fn received(host: &Host, account: &str, text: &str) {
    eventually(&format!("the message {text:?}"), async || {
        let events = events(host, account).await;
        events
            .iter()
            .any(|event| event.to_string().contains(text))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sent_by_key_and_by_address() {
    let host = Host::start_with(|config| config.media.max_bytes = 1 << 20).await;
    let server = LineServer::start(Vec::new()).await;
    let account = evil_account(&host, &server).await;
    let web = Web::start().await;
    let seen = |bytes: &[u8]| format!("read {} {} look", bytes.len(), sum(bytes));

    let view = upload(&host, PNG, "image/png").await;
    let send = image(&account, "a", json!({"file_key": id(&view)}));
    let sent = host.post("/v1/messages", send).await.expect(200);
    let channel_id = sent["data"]["message_id"].as_str().unwrap();
    let told = format!("file {} image/png mänu.png ", PNG.len());
    assert!(channel_id.starts_with(&told), "{channel_id}");
    received(&host, &account, &seen(PNG)).await;

    for path in ["file/menu%20a.png", "moved/menu%20a.png"] {
        let send = image(
            &account,
            "a",
            json!({"url": format!("{}/{path}", web.base)}),
        );
        let sent = host.post("/v1/messages", send).await.expect(200);
        let channel_id = sent["data"]["message_id"].as_str().unwrap();
        let told = format!("file {} image/png menu a.png ", PNG.len());
        assert!(channel_id.starts_with(&told), "{channel_id}");
    }

    let own = format!("{}/livez", host.base);
    for (url, status, code, part) in [
        (
            format!("{}/none/x", web.base),
            400,
            "invalid_request",
            "answered 404",
        ),
        (
            format!("{}/large/x", web.base),
            409,
            "quota_exceeded",
            "more than 1048576 bytes",
        ),
        (
            format!("{}/around/x", web.base),
            503,
            "provider_unavailable",
            "redirects more than",
        ),
        (
            format!("{}/inside/x", web.base),
            403,
            "denied_by_policy",
            "metadata address",
        ),
        (
            "http://10.1.2.3/x".to_owned(),
            403,
            "denied_by_policy",
            "a private address",
        ),
        (own, 403, "denied_by_policy", "a port of this host itself"),
        (
            "http://127.0.0.1:1/x".to_owned(),
            503,
            "provider_unavailable",
            "refused",
        ),
    ] {
        let send = image(&account, "a", json!({"file_url": url}));
        let refused = host.post("/v1/messages", send).await.expect(status);
        assert_eq!(refused["error"]["code"], code, "{refused:#}");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("message.url: ") && message.contains(part),
            "{message}"
        );
        let send = refused["error"]["message_id"].as_str().unwrap();
        let kept = host.get(&format!("/v1/messages/{send}")).await.expect(200);
        assert_eq!(kept["data"]["state"], "failed");
        assert!(kept["data"]["dispatched_at"].is_null(), "{kept:#}");
    }
    for (source, field) in [
        (json!({"url": "ftp://example.org/x"}), "message.url"),
        (
            json!({"url": "https://me:word@example.org/x"}),
            "message.url",
        ),
        (json!({"file_key": "med_nothing"}), "message.file_key"),
        (json!({}), "message.url"),
        (
            json!({"url": "https://example.org", "mime_type": "png"}),
            "message.mime_type",
        ),
    ] {
        let refused = host
            .post("/v1/messages", image(&account, "a", source))
            .await;
        assert_eq!(refused.expect(400)["error"]["field"], field);
    }
    let unsupported = json!({"account_id": account, "to": {"id": "a", "type": "user"},
                             "message": {"type": "sticker", "file_key": id(&view)}});
    host.post("/v1/messages", unsupported).await.expect(501);
}

async fn later(host: &Host, body: Value) -> String {
    let request = host
        .request(Method::POST, "/v1/messages")
        .header("Prefer", "respond-async")
        .json(&body);
    let answer: Answer = host.send(request).await;
    assert!(answer.status.is_success(), "{:#}", answer.body);
    answer.body["data"]["message_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn state(host: &Host, message: &str) -> String {
    let found = host
        .get(&format!("/v1/messages/{message}"))
        .await
        .expect(200);
    found["data"]["state"].as_str().unwrap().to_owned()
}

/// While a medium is on its way, its conversation waits and others do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_keeps_its_order() {
    let host = Host::start().await;
    let mut server = LineServer::start(Vec::new()).await;
    let account = evil_account(&host, &server).await;
    let web = Web::start().await;
    web.gate.send_replace(false);
    let text = |to: &str, text: &str| {
        json!({"account_id": account, "to": {"id": to, "type": "user"},
               "message": {"type": "text", "text": text}})
    };
    let first = later(
        &host,
        image(
            &account,
            "a",
            json!({"url": format!("{}/file/x", web.base)}),
        ),
    )
    .await;
    let behind = later(&host, text("a", "behind")).await;
    host.post("/v1/messages", text("b", "elsewhere"))
        .await
        .expect(200);
    assert_eq!(server.read.recv().await.unwrap(), "elsewhere");
    eventually("the address is asked", async || {
        (web.asked.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    assert_eq!(state(&host, &first).await, "recorded");
    assert_eq!(state(&host, &behind).await, "recorded");
    web.gate.send_replace(true);
    assert_eq!(server.read.recv().await.unwrap(), "behind");
    for message in [&first, &behind] {
        eventually("both are sent", async || {
            (state(&host, message).await == "sent").then_some(())
        })
        .await;
    }
    assert_eq!(web.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_come_from_the_channel_once() {
    let host = Host::start().await;
    let lines = [
        "!attach make 3 100000",
        "!attach gone",
        "!attach away",
        "!attach foreign med_nothing",
        "!attach-made some text",
        "!attach trap",
    ];
    let server = LineServer::start(lines.map(str::to_owned).to_vec()).await;
    let account = evil_account(&host, &server).await;
    let urls = eventually("every attachment has an address", async || {
        let urls: Vec<String> = events(&host, &account)
            .await
            .iter()
            .filter_map(|event| {
                let url = &event["data"]["message"]["attachments"][0]["url"];
                url.as_str().map(str::to_owned)
            })
            .collect();
        (urls.len() == lines.len()).then_some(urls)
    })
    .await;
    let before = events(&host, &account).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(
        urls[0].starts_with(&format!("{}/media/", host.base)),
        "{urls:?}"
    );

    // All who ask at once get the same, and its parts.
    let made: Vec<u8> = (0..3u8)
        .flat_map(|piece| vec![b'a' + piece; 100_000])
        .collect();
    let all = (0..4).map(|_| download(client.get(&urls[0])));
    for (status, headers, bytes) in futures::future::join_all(all).await {
        assert_eq!(status, 200);
        assert!(bytes == made, "{} bytes", bytes.len());
        assert_eq!(
            headers["content-disposition"],
            "attachment; filename*=UTF-8''made.bin"
        );
    }
    let part = client.get(&urls[0]).header("Range", "bytes=99999-100000");
    let (status, _, bytes) = download(part).await;
    assert_eq!((status.as_u16(), bytes.as_slice()), (206, b"ab".as_slice()));
    let error = async |url: &str| {
        let (status, headers, bytes) = download(client.get(url)).await;
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        let code = body["error"]["code"].as_str().unwrap().to_owned();
        (status.as_u16(), code, headers.contains_key("retry-after"))
    };
    assert_eq!(error(&urls[1]).await, (410, "media_gone".into(), false));
    assert_eq!(
        error(&urls[2]).await,
        (503, "provider_unavailable".into(), true)
    );
    assert_eq!(
        error(&urls[3]).await,
        (502, "media_fetch_failed".into(), false)
    );
    let (status, headers, bytes) = download(client.get(&urls[4])).await;
    assert_eq!(
        (status.as_u16(), bytes.as_slice()),
        (200, b"some text".as_slice())
    );
    assert_eq!(headers["content-type"], "text/plain");
    assert_eq!(
        error(&urls[5]).await,
        (502, "media_fetch_failed".into(), false)
    );
    let wrong = format!("{}x", urls[0]);
    assert_eq!(error(&wrong).await, (404, "not_found".into(), false));
    let after = events(&host, &account).await;
    assert_eq!(after[..before.len()], before);

    // What is sealed but not moved yet, what is moved, and after a restart: the same bytes.
    let path = urls[0].strip_prefix(&host.base).unwrap().to_owned();
    let now = anyport::domain::Timestamp::now();
    host.running.media.tidy_up(now).await.unwrap();
    let (_, _, bytes) = download(client.get(&urls[0])).await;
    assert!(bytes == made);
    let host = host.restart().await;
    let (status, _, bytes) = download(client.get(format!("{}{path}", host.base))).await;
    assert!(status == 200 && bytes == made);
    // The account goes, and all of it with it.
    host.delete(&format!("/v1/accounts/{account}"))
        .await
        .expect(204);
    let (status, _, _) = download(client.get(format!("{}{path}", host.base))).await;
    assert_eq!(status, 404);
}

const LOOPBACK: &str = "[network]\nallow = [\"127.0.0.0/8\"]\n";

/// A send whose medium was on its way when the host died is sent by the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_survives_a_crash() {
    let home = Home::new(LOOPBACK);
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    Client::new(&host.base, &keys.operator)
        .install(guests::evil())
        .await;
    let client = Client::new(&host.base, &keys.workspace);
    let server = LineServer::start(Vec::new()).await;
    let new = json!({"provider": "evil", "auth_mode": "password",
                     "provider_data": {"server": "127.0.0.1", "port": server.port}});
    let made = client.post("/v1/accounts", new).await.expect(201);
    let account = made["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/accounts/{account}/auth/start");
    client
        .post(&path, json!({"password": "sesame"}))
        .await
        .expect(200);
    let web = Web::start().await;
    web.gate.send_replace(false);
    let body = image(
        &account,
        "a",
        json!({"url": format!("{}/file/x.png", web.base)}),
    );
    let request = client
        .request(Method::POST, "/v1/messages")
        .header("Prefer", "respond-async")
        .json(&body);
    let answer = client.send(request).await.expect(202);
    let message = answer["data"]["message_id"].as_str().unwrap().to_owned();
    eventually("the address is asked", async || {
        (web.asked.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    host.kill().await;
    web.gate.send_replace(true);
    let host = home.start().await;
    let client = Client::new(&host.base, &keys.workspace);
    eventually("it is sent after all", async || {
        let found = client
            .get(&format!("/v1/messages/{message}"))
            .await
            .expect(200);
        (found["data"]["state"] == "sent").then_some(())
    })
    .await;
    host.kill().await;
}
