//! Confidential values are given to a host that logs all it can, through good days and bad ones;
//! then their bytes are looked for wherever it leaves any: found nowhere.

use crate::evil::LineServer;
use crate::support::arrivals::Arrivals;
use crate::support::guests;
use crate::support::host::Answer;
use crate::support::process::{Client, Home};
use crate::support::traffic::Channel;
use anyport::app::backup::{BackupArgs, back_up};
use axum::Router;
use axum::http::StatusCode;
use http::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use tokio::net::TcpListener;

/// Everything, but what translates a component, which would be gigabytes.
const FILTER: &str = "trace,cranelift_codegen=warn,cranelift_frontend=warn,regalloc2=warn,\
                      wasmtime=info,wasmtime_environ=warn,wasmtime_internal_cranelift=warn,\
                      wasmtime_internal_winch=warn,wasmtime_internal_cache=warn";

/// What is looked for: a core that survives every escaping, and around it what is escaped.
struct Marker {
    name: &'static str,
    core: String,
}

impl Marker {
    fn new(name: &'static str) -> Self {
        let random = std::process::id();
        let core: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        Self {
            name,
            core: format!("qz7{core}{random:08}x0k"),
        }
    }

    /// As it is given.
    fn text(&self) -> String {
        format!("ä\"{}/ +%ü", self.core)
    }

    /// Without what a protocol of words and lines cannot carry.
    fn word(&self) -> String {
        format!("{}-{}", self.core, self.core.to_uppercase())
    }
}

/// The forms in which a text may stand somewhere. JSON, URL and `Debug` leave letters and digits
/// alone, so that the core itself stands for these.
fn forms(core: &str) -> Vec<(&'static str, Vec<u8>)> {
    use std::fmt::Write as _;
    let bytes = core.as_bytes();
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
    }
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let mut forms = vec![
        ("plain", bytes.to_vec()),
        ("HEX", hex.to_uppercase().into_bytes()),
        ("hex", hex.into_bytes()),
        ("numbers", numbers.join(", ").into_bytes()),
        ("packed numbers", numbers.join(",").into_bytes()),
    ];
    // Wherever in a longer value it stands, and whatever stands around it.
    for shift in 0..3 {
        let padded = [&vec![0; shift], bytes].concat();
        let first = (shift * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for (name, digits) in [("base64", *b"+/"), ("base64url", *b"-_")] {
            forms.push((name, base64(&padded, digits)[first..last].to_vec()));
        }
    }
    forms
}

fn base64(bytes: &[u8], last: [u8; 2]) -> Vec<u8> {
    let digits: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(last)
        .collect();
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 3];
        bits[..chunk.len()].copy_from_slice(chunk);
        let all = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for digit in 0..=chunk.len() {
            out.push(digits[(all >> (18 - 6 * digit)) as usize & 63]);
        }
    }
    out
}

/// What was found: (where, what, in which form).
#[derive(Default)]
struct Search {
    cores: BTreeMap<String, String>,
    found: Vec<(String, String, &'static str)>,
    bytes: usize,
}

/// (whose, in which form, the bytes)
type Needle<'a> = (&'a str, &'static str, Vec<u8>);

impl Search {
    fn add(&mut self, name: &str, core: &str) {
        assert!(core.len() >= 12, "{name}");
        self.cores.insert(name.to_owned(), core.to_owned());
    }

    /// In one pass, whatever the number of forms.
    fn look(&mut self, place: &str, bytes: &[u8]) {
        self.bytes += bytes.len();
        let mut needles: HashMap<[u8; 4], Vec<Needle<'_>>> = HashMap::new();
        let mut begins = [false; 256];
        for (name, core) in &self.cores {
            for (form, needle) in forms(core) {
                let start = <[u8; 4]>::try_from(&needle[..4]).unwrap();
                begins[usize::from(start[0])] = true;
                needles.entry(start).or_default().push((name, form, needle));
            }
        }
        let mut found = BTreeSet::new();
        for (at, byte) in bytes.iter().enumerate() {
            if !begins[usize::from(*byte)] {
                continue;
            }
            let Some(start) = bytes[at..].first_chunk::<4>() else {
                break;
            };
            for (name, form, needle) in needles.get(start).into_iter().flatten() {
                if bytes[at..].starts_with(needle) {
                    found.insert(((*name).to_owned(), *form));
                }
            }
        }
        let place = |(name, form)| (place.to_owned(), name, form);
        self.found.extend(found.into_iter().map(place));
    }

    /// All files below, but those that are there to hold a key.
    fn look_below(&mut self, directory: &Path, except: &[&str]) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if except.contains(&name) {
                continue;
            }
            if path.is_dir() {
                self.look_below(&path, except);
            } else {
                self.look(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }
}

#[test]
fn the_search_finds_every_form() {
    let marker = Marker::new("credential");
    let text = marker.text();
    let json = serde_json::to_string(&json!({"a": text})).unwrap();
    let in_json = format!("{:?}", json);
    let mut url = url::form_urlencoded::Serializer::new(String::new());
    url.append_pair("a", &text);
    let url = url.finish();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let numbers = format!("{:?}", text.as_bytes());
    let packed = serde_json::to_string(text.as_bytes()).unwrap();
    for place in [
        text.clone(),
        json,
        in_json,
        url,
        hex.to_uppercase(),
        hex,
        numbers,
        packed,
    ] {
        assert!(finds(&marker, place.as_bytes()), "{place}");
    }
    for shift in 0..4 {
        let value = format!("{}{text} and more", "y".repeat(shift));
        for last in [*b"+/", *b"-_"] {
            let encoded = base64(value.as_bytes(), last);
            assert!(finds(&marker, &encoded), "{value}");
        }
    }
    assert!(!finds(&marker, b"qz7credential and other things"));
}

fn finds(marker: &Marker, bytes: &[u8]) -> bool {
    let mut search = Search::default();
    search.add(marker.name, &marker.core);
    search.look("here", bytes);
    !search.found.is_empty()
}

struct Markers {
    credential: Marker,
    kv: Marker,
    text_in: Marker,
    text_out: Marker,
    idempotency: Marker,
    webhook_secret: Marker,
    webhook_url: Marker,
    webhook_answer: Marker,
    proxy_password: Marker,
    password: Marker,
    code: Marker,
    operator_config: Marker,
    foreign_key: Marker,
}

impl Markers {
    fn new() -> Self {
        Self {
            credential: Marker::new("credential"),
            kv: Marker::new("kv"),
            text_in: Marker::new("text in"),
            text_out: Marker::new("text out"),
            idempotency: Marker::new("idempotency key"),
            webhook_secret: Marker::new("webhook secret"),
            webhook_url: Marker::new("webhook url"),
            webhook_answer: Marker::new("webhook answer"),
            proxy_password: Marker::new("proxy password"),
            password: Marker::new("password"),
            code: Marker::new("code"),
            operator_config: Marker::new("operator config"),
            foreign_key: Marker::new("foreign key"),
        }
    }

    fn all(&self) -> [&Marker; 13] {
        [
            &self.credential,
            &self.kv,
            &self.text_in,
            &self.text_out,
            &self.idempotency,
            &self.webhook_secret,
            &self.webhook_url,
            &self.webhook_answer,
            &self.proxy_password,
            &self.password,
            &self.code,
            &self.operator_config,
            &self.foreign_key,
        ]
    }
}

/// Answers with an error, and with what it should have kept to itself.
async fn bad_receiver(marker: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move || async move { (StatusCode::INTERNAL_SERVER_ERROR, marker) };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/hook")
}

/// The answers that were errors, as bytes.
#[derive(Default)]
struct Errors(Vec<u8>, usize);

impl Errors {
    fn keep(&mut self, answer: Answer) {
        assert!(
            !answer.status.is_success(),
            "{} {:#}",
            answer.status,
            answer.body
        );
        self.1 += 1;
        self.0
            .extend(format!("{:?}\n{}\n", answer.headers, answer.body).into_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confidential_values_are_found_nowhere() {
    let markers = Markers::new();
    let channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let (server, port) = (channel.address().ip(), channel.address().port());
    let home = Home::new(&format!(
        "[network]\nallow = [\"127.0.0.0/8\"]\n[runtime]\nguest_threads = 2\n\
         [provider.simulator]\nserver = \"{server}\"\nport = {port}\n\
         [provider.irc]\nserver-password = {:?}\n\
         [provider.evil]\napi_hash = {:?}\n",
        markers.operator_config.word(),
        markers.operator_config.text(),
    ))
    .logging(FILTER);
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    let operator = Client::new(&host.base, &keys.operator);
    operator.install(guests::evil()).await;

    let mut errors = Errors::default();
    let mut lines = LineServer::start(vec![
        markers.text_in.text(),
        format!("!put kept {}", markers.kv.word()),
        format!("!panic {}", markers.text_in.word()),
        "!secret-print".to_owned(),
        "!secret".to_owned(),
        format!("!err {}", markers.text_in.text()),
        "the last line".to_owned(),
    ])
    .await;
    let account = good_day(&client, &markers, &sink, &mut lines).await;
    bad_requests(&client, &operator, &markers, &account, &mut errors).await;
    failing_accounts(&client, &markers, &mut errors).await;
    let metrics = client.send(client.request(Method::GET, "/metrics")).await;
    operator
        .post("/admin/v1/keys/rotate-master", json!({}))
        .await
        .expect(200);
    let backup = home.data().join("of-a-running-host.backup");
    copy(&home, &backup).await;

    // It wrote what is looked for: the message can be read, and is sealed where it lies.
    let events = client.get("/v1/events?limit=1000").await.expect(200);
    assert!(events.to_string().contains(&markers.text_in.core));

    host.abort().await;
    let host = home.start().await;
    let client = Client::new(&host.base, &keys.workspace);
    after_the_crash(&client, &account, &markers).await;
    host.kill().await;

    let mut search = Search::default();
    for marker in markers.all() {
        search.add(marker.name, &marker.core);
    }
    // Keys have no letters of ours around them: without what all of them begin with.
    search.add("API key", &keys.workspace["dk_live_".len()..]);
    search.add("operator's API key", &keys.operator["op_live_".len()..]);
    for name in ["operator.key", "operator.key.v1"] {
        let text = std::fs::read_to_string(home.data().join(name)).unwrap();
        search.add(name, text.trim());
    }
    let root = home.config();
    let root = root.parent().unwrap();
    let except = ["operator.key", "operator.key.v1", "anyport.toml"];
    search.look_below(root, &except);
    let files = search.bytes;
    search.look("error answers", &errors.0);
    search.look("metrics", format!("{metrics:?}").as_bytes());
    assert!(search.found.is_empty(), "{:#?}", search.found);

    // What is plain is found, so the search looks at the right files.
    let log = home.log();
    assert!(log.contains("TRACE") && log.contains("the provider failed"));
    let mut plain = Search::default();
    plain.add("account", &account);
    plain.look_below(root, &except);
    for name in ["anyport.db", ".backup", "log"] {
        let found = plain.found.iter().any(|(place, ..)| place.ends_with(name));
        assert!(found, "{name}: {:?}", plain.found);
    }
    println!(
        "{} values in {} forms, {files} bytes of files, {} error answers, {} bytes of log",
        search.cores.len(),
        forms("core").len(),
        errors.1,
        log.len()
    );
}

async fn copy(home: &Home, to: &Path) {
    back_up(BackupArgs {
        to: to.to_owned(),
        with_key: false,
        force: false,
        config: Some(home.config()),
        data: None,
    })
    .await
    .unwrap();
}

/// An account signs in, sends and receives, and its guest fails on what it was told.
async fn good_day(
    client: &Client,
    markers: &Markers,
    sink: &Arrivals,
    lines: &mut LineServer,
) -> String {
    let receiver = bad_receiver(markers.webhook_answer.text()).await;
    for url in [&sink.url(), &receiver] {
        let endpoint = json!({
            "url": format!("{url}?token={}", markers.webhook_url.word()),
            "signing_secret": markers.webhook_secret.text(),
            "subscribed_events": ["message.received", "message.sent", "account.input.skipped"],
        });
        let made = client.post("/v1/webhook-endpoints", endpoint).await;
        let id = made.expect(201)["data"]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/webhook-endpoints/{id}");
        client.get(&path).await.expect(200);
    }
    let account = json!({
        "provider": "evil",
        "auth_mode": "password",
        "provider_data": {"server": "127.0.0.1", "port": lines.port},
    });
    let made = client.post("/v1/accounts", account).await.expect(201);
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    let state = client
        .post(
            &format!("/v1/accounts/{id}/auth/start"),
            json!({"password": markers.password.text()}),
        )
        .await
        .expect(200);
    assert_eq!(state["data"]["status"], "authorized", "{state:#}");
    sink.wait_until("the last line", |arrived| {
        arrived
            .of("message.received", &id)
            .any(|event| event.body["text"] == "the last line")
    })
    .await;
    let text = markers.text_out.text();
    let send = client
        .request(Method::POST, "/v1/messages")
        .header("Idempotency-Key", markers.idempotency.word())
        .json(&json!({
            "account_id": id,
            "to": {"id": "lines", "type": "user"},
            "message": {"type": "text", "text": text},
        }));
    client.send(send).await.expect(200);
    assert_eq!(lines.read.recv().await.unwrap(), text);
    id
}

/// Markers where they do not belong. What a caller wrote into a field that is no secret may be
/// named in the answer; what he wrote where a secret belongs never is.
async fn bad_requests(
    client: &Client,
    operator: &Client,
    markers: &Markers,
    account: &str,
    errors: &mut Errors,
) {
    let stranger = Client::new(&client.base, &markers.foreign_key.word());
    errors.keep(stranger.get("/v1/accounts").await);
    errors.keep(stranger.get("/v1/providers").await);
    for (path, body) in [
        (
            "/v1/webhook-endpoints".to_owned(),
            json!({"url": "https://example.org/", "signing_secret": [markers.webhook_secret.text()]}),
        ),
        (
            "/v1/webhook-endpoints".to_owned(),
            json!({"url": "ftp://example.org/", "signing_secret": markers.webhook_secret.text()}),
        ),
        (
            "/v1/webhook-endpoints".to_owned(),
            json!({"url": format!("http://10.0.0.1:1/?token={}", markers.webhook_url.word()), "subscribed_events": ["no.such"]}),
        ),
        (
            "/v1/accounts".to_owned(),
            json!({"provider": "irc", "auth_mode": "password", "provider_data": {"server-password": {"x": markers.credential.text()}}}),
        ),
        (
            "/v1/accounts".to_owned(),
            json!({"provider": "irc", "auth_mode": "password", "provider_data": {"port": 0, "sasl-password": markers.credential.word()}}),
        ),
        (
            "/v1/accounts".to_owned(),
            json!({"provider": "evil", "auth_mode": "password", "proxy": {"host": "127.0.0.1", "port": 0, "password": markers.proxy_password.text()}}),
        ),
        (
            "/v1/accounts".to_owned(),
            json!({"provider": "evil", "auth_mode": "password", "proxy": {"host": "127.0.0.1", "port": 9, "password": [markers.proxy_password.text()]}}),
        ),
        (
            "/v1/accounts".to_owned(),
            json!({"provider": "evil", "auth_mode": "password", "proxy": format!("http://u:{}@127.0.0.1", markers.proxy_password.word())}),
        ),
        (
            format!("/v1/accounts/{account}/auth/password"),
            json!({"password": markers.password.text()}),
        ),
        (
            format!("/v1/accounts/{account}/auth/password"),
            json!({"password": {"x": markers.password.text()}}),
        ),
        (
            format!("/v1/accounts/{account}/auth/code"),
            json!({"code": [markers.code.text()]}),
        ),
        (
            "/v1/messages".to_owned(),
            json!({"account_id": account, "to": {"id": "lines", "type": "user"}, "message": {"type": "text", "text": [markers.text_out.text()]}}),
        ),
    ] {
        errors.keep(client.post(&path, body).await);
    }
    // The guest fails on it, now or a little later.
    let text = format!("!err {}", markers.text_out.word());
    let send = json!({"account_id": account, "to": {"id": "lines", "type": "user"}, "message": {"type": "text", "text": text}});
    client.post("/v1/messages", send).await;
    for path in ["/v1/accounts", "/v1/messages", "/v1/webhook-endpoints"] {
        let body = format!("{{\"password\": \"{}\", ", markers.password.text());
        let request = client.request(Method::POST, path).body(body);
        errors.keep(client.send(request).await);
    }
    let component = markers.credential.text().repeat(100);
    let request = operator
        .request(Method::POST, "/v1/providers")
        .body(component);
    errors.keep(operator.send(request).await);
}

/// Nobody answers behind the proxy, and a code is wrong.
async fn failing_accounts(client: &Client, markers: &Markers, errors: &mut Errors) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().port();
    drop(listener);
    let account = json!({
        "provider": "irc",
        "auth_mode": "password",
        "provider_data": {
            "server": "127.0.0.1", "port": closed, "tls": false, "nick": "anyport",
            "sasl-username": "anyport", "sasl-password": markers.credential.word(),
        },
        "proxy": {
            "type": "socks5", "host": "127.0.0.1", "port": closed,
            "username": "u", "password": markers.proxy_password.text(),
        },
    });
    let made = client.post("/v1/accounts", account).await.expect(201);
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    let start = format!("/v1/accounts/{id}/auth/start");
    let _ = client.post(&start, json!({})).await;
    let path = format!("/v1/accounts/{id}");
    let shown = client.get(&path).await.expect(200);
    assert!(!shown.to_string().contains(&markers.proxy_password.core));
    let change =
        json!({"provider_data": {"server-password": markers.credential.word(), "port": "x"}});
    let request = client.request(Method::PATCH, &path).json(&change);
    errors.keep(client.send(request).await);

    let account =
        json!({"provider": "simulator", "auth_mode": "code", "provider_data": {"user": "ada"}});
    let made = client.post("/v1/accounts", account).await.expect(201);
    let auth = format!("/v1/accounts/{}/auth", made["data"]["id"].as_str().unwrap());
    client
        .post(&format!("{auth}/start"), json!({}))
        .await
        .expect(200);
    let answer = client
        .post(
            &format!("{auth}/code"),
            json!({"code": markers.code.text()}),
        )
        .await;
    assert_ne!(answer.body["data"]["status"], "authorized");
    assert!(!answer.body.to_string().contains(&markers.code.core));
}

/// What was sealed opens again. (The account fails again on what its server says at first.)
async fn after_the_crash(client: &Client, account: &str, markers: &Markers) {
    let shown = client.get(&format!("/v1/accounts/{account}")).await;
    shown.expect(200);
    let sends = Value::from(client.sends("sent").await).to_string();
    assert!(sends.contains(account), "{sends}");
    let events = client.get("/v1/events?limit=1000").await.expect(200);
    assert!(events.to_string().contains(&markers.text_in.core));
}
