//! Confidential values are given to a host that logs all it can, through good days and bad ones;
//! then their bytes are looked for wherever it leaves any: found nowhere.

mod search;

use crate::evil::LineServer;
use crate::support::arrivals::Arrivals;
use crate::support::eventually;
use crate::support::guests;
use crate::support::host::Answer;
use crate::support::peer::Peer;
use crate::support::postgres::Cluster;
use crate::support::process::{Client, Home};
use crate::support::traffic::Channel;
use anyport::app::backup::{BackupArgs, back_up};
use axum::Router;
use axum::http::StatusCode;
use http::Method;
use search::{Marker, Search, forms};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::Path;
use tokio::net::TcpListener;

/// Everything, but what translates a component, which would be gigabytes.
const FILTER: &str = "trace,cranelift_codegen=warn,cranelift_frontend=warn,regalloc2=warn,\
                      wasmtime=info,wasmtime_environ=warn,wasmtime_internal_cranelift=warn,\
                      wasmtime_internal_winch=warn,wasmtime_internal_cache=warn";

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
    placed: Marker,
    request: Marker,
    app_secret: Marker,
    called: Marker,
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
            placed: Marker::new("placed secret"),
            request: Marker::new("request"),
            app_secret: Marker::new("app secret"),
            called: Marker::new("called"),
        }
    }

    fn all(&self) -> [&Marker; 17] {
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
            &self.placed,
            &self.request,
            &self.app_secret,
            &self.called,
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

/// What a host leaves behind, and what is looked for in it.
struct Remains {
    home: Home,
    account: String,
    search: Search,
    errors: usize,
}

/// Files that are there to hold a key.
const KEYS: [&str; 3] = ["operator.key", "operator.key.v1", "anyport.toml"];

/// Good days and bad ones, and a crash. `database`: a line of the configuration.
async fn life(database: &str) -> Remains {
    let markers = Markers::new();
    let channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let (server, port) = (channel.address().ip(), channel.address().port());
    let home = Home::new(&format!(
        "{database}[network]\nallow = [\"127.0.0.0/8\"]\n[runtime]\nguest_threads = 2\n\
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
    let peer = Peer::start().await;
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
    let account = good_day(&client, &markers, &sink, &mut lines, &peer).await;
    bad_requests(&client, &operator, &markers, &account, &mut errors).await;
    failing_accounts(&client, &markers, &mut errors).await;
    let metrics = client.send(client.request(Method::GET, "/metrics")).await;
    operator
        .post("/admin/v1/keys/rotate-master", json!({}))
        .await
        .expect(200);
    if database.is_empty() {
        copy(&home, &home.data().join("of-a-running-host.backup")).await;
    }

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
    search.look("error answers", &errors.0);
    search.look("metrics", format!("{metrics:?}").as_bytes());
    Remains {
        home,
        account,
        search,
        errors: errors.1,
    }
}

impl Remains {
    /// `database`: where else it has left something, and what must be there.
    fn hold_nothing(mut self, database: &[(&str, &[u8])], directories: &[&Path], known: &[&str]) {
        let config = self.home.config();
        let root = config.parent().unwrap();
        // What is plain is found, so the search looks at the right places.
        let mut plain = Search::default();
        plain.add("account", &self.account);
        for search in [&mut self.search, &mut plain] {
            for directory in [&[root][..], directories].concat() {
                search.look_below(directory, &KEYS);
            }
            for (place, bytes) in database {
                search.look(place, bytes);
            }
        }
        let search = self.search;
        assert!(search.found.is_empty(), "{:#?}", search.found);
        let log = self.home.log();
        assert!(log.contains("TRACE") && log.contains("the provider failed"));
        for name in known {
            let found = plain.found.iter().any(|(place, ..)| place.contains(name));
            assert!(found, "{name}: {:?}", plain.found);
        }
        println!(
            "{} values in {} forms, {} bytes searched, {} error answers, {} bytes of log",
            search.cores.len(),
            forms("core").len(),
            search.bytes,
            self.errors,
            log.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confidential_values_are_found_nowhere() {
    let remains = life("").await;
    remains.hold_nothing(&[], &[], &["anyport.db", ".backup", "log"]);
}

/// Its files, its write-ahead log, its own log, and all rows as a dump would write them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_are_they_in_postgresql() {
    let Some(mut cluster) = Cluster::start().await else {
        return;
    };
    let remains = life(&format!("database = {:?}\n", cluster.url())).await;
    let rows = dump(&cluster.url()).await;
    cluster.stop().await;
    let database = [("dump", rows.as_bytes())];
    remains.hold_nothing(
        &database,
        &[cluster.directory()],
        &["dump", "base", "pg_wal"],
    );
}

/// Every row of every table as text; what is bytes, as hex.
async fn dump(url: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut rows = String::new();
    for table in tables {
        let sql = format!("SELECT t::text FROM {table} AS t");
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        rows += &format!("{table}\n{}\n", found.join("\n"));
    }
    rows
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
    peer: &Peer,
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
        "provider_data": {
            "server": "127.0.0.1",
            "port": lines.port,
            "http_server": "127.0.0.1",
            "http_port": peer.port,
            "token": markers.placed.word(),
            "app_secret": markers.app_secret.text(),
        },
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
    requests(client, markers, sink, peer, &id).await;
    calls(client, markers, &id).await;
    id
}

/// Requests that are answered, cut off, refused, and under way when the host ends.
async fn requests(client: &Client, markers: &Markers, sink: &Arrivals, peer: &Peer, id: &str) {
    peer.hold(true);
    for (number, path) in ["/fine", "/cut", "/busy", "/hold/on"]
        .into_iter()
        .enumerate()
    {
        let request = json!({
            "method": "POST",
            "url": format!("{}?q={}", peer.url(path), markers.request.word()),
            "headers": [["x-marker", markers.request.word()]],
            "body": markers.request.text(),
            "context": markers.request.word(),
            "secrets": [
                ["token", "header", "authorization", "Bearer ", ""],
                ["token", "query", "access_token", "", ""],
            ],
            "repeatable": true,
        });
        let send = json!({
            "account_id": id,
            "to": {"id": "lines", "type": "user"},
            "message": {"type": "text", "text": format!("!http marked-{number} {request}")},
        });
        client.post("/v1/messages", send).await.expect(200);
    }
    sink.wait_until("three answers", |arrived| {
        let all = arrived.of("message.received", id);
        all.filter(|event| {
            event.body["text"]
                .as_str()
                .is_some_and(|text| text.contains("marked-"))
        })
        .count()
            == 3
    })
    .await;
    eventually("the last one is under way", async || {
        let asked = peer.asked();
        asked
            .into_iter()
            .find(|asked| asked.line.contains("/hold/on"))
    })
    .await;
}

/// What a channel sends, with a good proof and with bad ones.
async fn calls(client: &Client, markers: &Markers, id: &str) {
    let shown = client.get(&format!("/v1/accounts/{id}")).await.expect(200);
    let routes = shown["data"]["ingress"].as_array().unwrap();
    let path = |name: &str| {
        let route = routes.iter().find(|route| route["route"] == name).unwrap();
        format!(
            "{}?q={}",
            route["path"].as_str().unwrap(),
            markers.called.word()
        )
    };
    let call = async |path: &str, token: &str, status: u16| {
        let request = client
            .request(Method::POST, path)
            .header("x-token", token)
            .header("x-signature", format!("sha256={}", markers.called.word()))
            .header("x-id", "called")
            .body(markers.called.text());
        let answer = client.send(request).await;
        assert_eq!(answer.status, status, "{path}");
    };
    call(&path("shown"), &markers.placed.word(), 200).await;
    call(&path("shown"), &markers.called.word(), 403).await;
    call(&path("events"), "", 403).await;
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
