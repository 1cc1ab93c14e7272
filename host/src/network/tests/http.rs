//! Requests against peers that are good, slow, cut off, endless, redirecting and not who they say.

use super::secured::Authority;
use super::*;
use crate::domain::error::FailureCode;
use crate::domain::manifest::PlaceKind;
use crate::domain::media::{Blob, BlobError, BlobId};
use crate::domain::{AccountId, SecretBytes, WorkspaceId};
use crate::runtime::port::http::{
    Bytes, HttpBody, HttpClient, HttpFlight, HttpRequest, HttpResponse, HttpSink, OutgoingRequest,
    Place, Placement, ResponseBody,
};
use crate::runtime::port::{Blobs, ByteStream, GrantedPlacement, NewBlob};
use async_trait::async_trait;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

type Outcome = Result<HttpResponse, Failure>;

struct Once(mpsc::UnboundedSender<Outcome>, AtomicBool);

impl HttpSink for Once {
    fn answered(&self, outcome: Outcome) {
        self.0.send(outcome).ok();
    }
    fn may_write(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

pub struct Asking {
    pub flight: Box<dyn HttpFlight>,
    sink: Arc<Once>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
}

impl Asking {
    pub async fn outcome(&mut self) -> Outcome {
        soon(self.outcomes.recv()).await.expect("an outcome")
    }

    pub async fn body(&mut self) -> String {
        let response = self.outcome().await.unwrap();
        match response.body {
            ResponseBody::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            ResponseBody::Blob(blob) => panic!("a blob {blob}"),
        }
    }

    pub async fn failure(&mut self) -> Failure {
        self.outcome().await.expect_err("it fails")
    }
}

pub fn get(url: String) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        url,
        headers: Vec::new(),
        secrets: Vec::new(),
        body: HttpBody::Empty,
        timeout_ms: None,
        repeatable: false,
        max_bytes: None,
        to_blob: false,
        context: Bytes::default(),
    }
}

pub fn grant(host: &str, port: u16) -> EgressGrant {
    EgressGrant {
        provider: "test".into(),
        rules: vec![GrantedDestination {
            host: host.into(),
            port,
            http: true,
            https: true,
            ..GrantedDestination::default()
        }],
        placements: vec![GrantedPlacement {
            secret: "token".into(),
            place: PlaceKind::Header,
            name: "authorization".into(),
            hosts: vec!["127.0.0.1".into()],
            http: true,
            https: false,
        }],
    }
}

struct NoBlobs;

#[async_trait]
impl Blobs for NoBlobs {
    async fn stat(&self, _: &WorkspaceId, _: &BlobId) -> Result<Blob, BlobError> {
        Err(BlobError::NotFound)
    }
    async fn read(&self, _: &Blob, _: Range<u64>) -> Result<ByteStream, BlobError> {
        Err(BlobError::NotFound)
    }
    async fn make(&self, _: NewBlob, _: ByteStream) -> Result<Blob, BlobError> {
        Err(BlobError::NotFound)
    }
}

fn ask_with(
    network: &Network,
    request: HttpRequest,
    grant: EgressGrant,
    proxy: Option<Proxy>,
    leased: bool,
) -> Asking {
    let outgoing = OutgoingRequest {
        account: AccountId::from_text("acc_1"),
        workspace: WorkspaceId::from_text("ws_1"),
        blobs: Arc::new(NoBlobs),
        request: Arc::new(request),
        secrets: vec![("token".into(), SecretBytes::from(&b"hunter2"[..]))],
        grant: Arc::new(grant),
        proxy,
    };
    ask_for(network, outgoing, leased)
}

pub fn ask_for(network: &Network, outgoing: OutgoingRequest, leased: bool) -> Asking {
    let (sender, outcomes) = mpsc::unbounded_channel();
    let sink = Arc::new(Once(sender, AtomicBool::new(leased)));
    Asking {
        flight: network.send(outgoing, sink.clone()),
        sink,
        outcomes,
    }
}

pub fn ask(network: &Network, request: HttpRequest, proxy: Option<Proxy>) -> Asking {
    let url = url::Url::parse(&request.url).unwrap();
    let host = url.host_str().unwrap().to_owned();
    let port = url.port_or_known_default().unwrap();
    ask_with(network, request, grant(&host, port), proxy, true)
}

/// A whole request, head and body as text.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut seen = Vec::new();
    loop {
        let mut byte = [0];
        if soon(stream.read(&mut byte)).await.unwrap_or(0) == 0 {
            return String::from_utf8(seen).unwrap();
        }
        seen.push(byte[0]);
        if let Some(head) = seen.strip_suffix(b"\r\n\r\n") {
            let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |text| text.parse().unwrap());
            let mut body = vec![0; length];
            soon(stream.read_exact(&mut body)).await.unwrap();
            seen.extend(body);
            return String::from_utf8(seen).unwrap();
        }
    }
}

pub async fn answer(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn a_request_leaves_and_its_answer_comes() {
    let (network, (listener, port)) = (network(), listener().await);
    let mut request = get(format!("http://127.0.0.1:{port}/a/b?c=d"));
    request.method = "PUT".into();
    request.headers = vec![("X-One".into(), "1".into())];
    request.body = HttpBody::Bytes(Bytes(b"hello".to_vec()));
    request.secrets = vec![Placement {
        secret: "token".into(),
        place: Place::Header("authorization".into()),
        before: "Bearer ".into(),
        after: String::new(),
    }];
    let mut asking = ask(&network, request.clone(), None);
    let mut server = accept(&listener).await;
    let seen = read_request(&mut server).await;
    assert!(seen.starts_with("PUT /a/b?c=d HTTP/1.1\r\n"), "{seen}");
    for line in [
        &format!("host: 127.0.0.1:{port}"),
        "x-one: 1",
        "authorization: Bearer hunter2",
        "content-length: 5",
    ] {
        assert!(seen.contains(&format!("{line}\r\n")), "{line} in {seen}");
    }
    assert!(seen.ends_with("\r\n\r\nhello"));
    let text = "HTTP/1.1 503 Busy\r\nX-Two: caf\u{e9}\r\ncontent-length: 2\r\n\r\nno";
    // As Latin-1.
    let bytes: Vec<u8> = text.chars().map(|character| character as u8).collect();
    server.write_all(&bytes).await.unwrap();
    let response = asking.outcome().await.unwrap();
    assert_eq!(response.status, 503);
    assert!(response.headers.contains(&("x-two".into(), "café".into())));
    assert!(response.body == ResponseBody::Bytes(b"no".to_vec()));

    // The connection is kept, and used again.
    let mut again = ask(
        &network,
        get(format!("http://127.0.0.1:{port}/again")),
        None,
    );
    assert!(read_request(&mut server).await.starts_with("GET /again "));
    answer(&mut server, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await;
    assert_eq!(again.body().await, "1");

    // A redirect is an answer.
    let mut moved = ask(&network, get(format!("http://127.0.0.1:{port}/old")), None);
    read_request(&mut server).await;
    let text = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    answer(&mut server, text).await;
    let response = moved.outcome().await.unwrap();
    assert_eq!(response.status, 302);

    // Where the secret may not stand, nothing leaves.
    let mut elsewhere = request.clone();
    elsewhere.secrets[0].place = Place::Header("x-other".into());
    let failure = ask(&network, elsewhere, None).failure().await;
    assert_eq!(failure.code, FailureCode::Denied, "{failure}");
    request.url = format!("https://127.0.0.1:{port}/");
    let failure = ask(&network, request, None).failure().await;
    assert_eq!(
        failure.code,
        FailureCode::Denied,
        "over https it is not granted: {failure}"
    );
}

#[tokio::test]
async fn a_kept_connection_that_died_costs_nothing() {
    let (network, (listener, port)) = (network(), listener().await);
    let url = format!("http://127.0.0.1:{port}/");
    let mut first = ask(&network, get(url.clone()), None);
    let mut server = accept(&listener).await;
    read_request(&mut server).await;
    answer(&mut server, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await;
    assert_eq!(first.body().await, "1");
    drop(server);
    // Whether the end was seen before or not: it was never sent, or may be sent again.
    let mut request = get(url);
    request.repeatable = true;
    let mut second = ask(&network, request, None);
    let mut server = accept(&listener).await;
    read_request(&mut server).await;
    answer(&mut server, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2").await;
    assert_eq!(second.body().await, "2");
}

#[tokio::test]
async fn what_breaks_off_says_that_it_may_have_been_done() {
    let (network, (listener, port)) = (network(), listener().await);
    let url = format!("http://127.0.0.1:{port}/hidden?hidden=1");
    for (sent, expected) in [
        ("", "broke; it may have acted on the request"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
            "broke off",
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            "broke; it may have acted on the request",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz",
            "broke off",
        ),
    ] {
        let mut asking = ask(&network, get(url.clone()), None);
        let mut server = accept(&listener).await;
        read_request(&mut server).await;
        answer(&mut server, sent).await;
        drop(server);
        let failure = asking.failure().await;
        assert_eq!(failure.code, FailureCode::Unavailable);
        assert!(failure.message.contains(expected), "{failure}");
        assert!(!format!("{failure:?}").contains("hidden"), "{failure:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_cut() {
    let (network, (listener, port)) = (network(), listener().await);
    for announced in [true, false] {
        let mut request = get(format!("http://127.0.0.1:{port}/"));
        request.max_bytes = Some(100_000);
        let mut asking = ask(&network, request, None);
        let mut server = accept(&listener).await;
        read_request(&mut server).await;
        if announced {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n";
            answer(&mut server, head).await;
        } else {
            answer(
                &mut server,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .await;
            let chunk = format!("{:x}\r\n{}\r\n", 1000, "x".repeat(1000));
            // Without an end: the host hangs up.
            while server.write_all(chunk.as_bytes()).await.is_ok() {}
        }
        let failure = asking.failure().await;
        assert_eq!(failure.code, FailureCode::QuotaExceeded);
        assert!(
            failure.message.contains("is longer than 100000 bytes"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn who_does_not_answer_is_given_up_and_who_is_not_asked_any_more_too() {
    let (network, (listener, port)) = (network(), listener().await);
    let mut request = get(format!("http://127.0.0.1:{port}/"));
    request.timeout_ms = Some(50);
    let mut asking = ask(&network, request.clone(), None);
    let mut server = accept(&listener).await;
    let failure = asking.failure().await;
    assert_eq!(failure.code, FailureCode::Unavailable);
    assert!(
        failure.message.contains("did not answer in time"),
        "{failure}"
    );
    read_request(&mut server).await;
    assert_eq!(
        soon(server.read(&mut [0])).await.unwrap_or(0),
        0,
        "it hung up"
    );

    request.timeout_ms = None;
    let Asking {
        flight,
        mut outcomes,
        sink,
    } = ask(&network, request.clone(), None);
    let mut server = accept(&listener).await;
    read_request(&mut server).await;
    drop((flight, sink));
    assert_eq!(
        soon(server.read(&mut [0])).await.unwrap_or(0),
        0,
        "it hung up"
    );
    assert!(soon(outcomes.recv()).await.is_none(), "nobody was told");

    // One that goes on without anybody.
    let asking = ask(&network, request, None);
    asking.flight.detach();
    let mut server = accept(&listener).await;
    read_request(&mut server).await;
    answer(&mut server, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
}

#[tokio::test]
async fn nothing_leaves_without_the_lease() {
    let (network, (listener, port)) = (network(), listener().await);
    let request = get(format!("http://127.0.0.1:{port}/"));
    let mut asking = ask_with(&network, request, grant("127.0.0.1", port), None, false);
    // Some other request, sent later, is there before it.
    let mut other = ask(
        &network,
        get(format!("http://127.0.0.1:{port}/other")),
        None,
    );
    let mut server = accept(&listener).await;
    assert!(read_request(&mut server).await.starts_with("GET /other "));
    answer(&mut server, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1").await;
    assert_eq!(other.body().await, "1");
    asking.sink.1.store(true, Ordering::Relaxed);
    assert!(read_request(&mut server).await.starts_with("GET / "));
    answer(&mut server, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2").await;
    assert_eq!(asking.body().await, "2");
}

#[tokio::test]
async fn policy_is_asked_before_anything_else() {
    let (network, (_listener, port)) = (network(), listener().await);
    let url = format!("http://127.0.0.1:{port}/open/../closed");
    let mut limited = grant("127.0.0.1", port);
    limited.rules[0].paths = vec!["/open".into()];
    let mut asking = ask_with(&network, get(url.clone()), limited, None, true);
    let failure = asking.failure().await;
    assert_eq!(
        failure.to_string(),
        "denied: the manifest grants paths of 127.0.0.1 that begin with /open; this one does not"
    );
    let mut asking = ask_with(
        &network,
        get(url.clone()),
        EgressGrant::default(),
        None,
        true,
    );
    assert_eq!(
        asking.failure().await.to_string(),
        format!("denied: 127.0.0.1:{port} over http is not granted by the manifest")
    );
    network.own_ports().add_port(port);
    let failure = ask(&network, get(url.clone()), None).failure().await;
    assert_eq!(
        failure.to_string(),
        "denied: 127.0.0.1 leads to a port of this host itself, which may not be connected to"
    );
    let denies = r#"{"egress": {"deny": [{"host": "127.0.0.1"}]}}"#;
    network.apply(serde_json::from_str(denies).unwrap());
    let failure = ask(&network, get(url), None).failure().await;
    assert!(
        failure.message.ends_with("the operator's policy"),
        "{failure}"
    );
}

#[tokio::test]
async fn over_tls_the_other_side_is_who_it_says() {
    let authority = Authority::new();
    let (listener, port) = listener().await;
    let url = format!("https://localhost:{port}/secret-path");
    let trusting = authority.network();
    let mut asking = ask(&trusting, get(url.clone()), None);
    let mut server = soon(authority.acceptor(|_| ()).accept(accept(&listener).await))
        .await
        .unwrap();
    assert!(
        read_request(&mut server)
            .await
            .starts_with("GET /secret-path ")
    );
    answer(
        &mut server,
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    assert_eq!(asking.body().await, "ok");

    // One whose issuer is not trusted.
    let stranger = network();
    let mut asking = ask(&stranger, get(url), None);
    let accepted = authority.acceptor(|_| ()).accept(accept(&listener).await);
    assert!(soon(accepted).await.is_err());
    let failure = asking.failure().await;
    assert_eq!(
        failure.to_string(),
        "unavailable: TLS with localhost failed: the certificate's issuer is not trusted"
    );
    assert!(!format!("{failure:?}").contains("secret-path"));
}
