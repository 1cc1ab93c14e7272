//! Every operation of the published contract, called once for an account whose provider has every
//! capability and once for one whose provider has few, and answered as the contract's list of
//! operations says: the success, with the keys of its schema, or the one refusal that is written down
//! in the table. `table` is the list, `schemas` what the data is held against.
//!
//! What an operation does is told by other tests; these only hold the answers together.

mod schemas;
#[path = "../../providers-wasm/irc/tests/servers/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the tests of `irc` have their own")]
mod servers;
mod table;

use crate::support::eventually;
use crate::support::host::{Answer, Host};
use crate::support::traffic::{Channel, provider_configuration};
use anyport::api::access::OPERATIONS;
use anyport_simulator::{Act, Behaviour};
use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use servers::{Ngircd, ngircd};
use std::collections::{BTreeMap, BTreeSet};
use table::{Irc, Row, TABLE};

const USER: &str = "ada";
/// Names of what this host gives ids to, and of what the channel does.
const OURS: [&str; 8] = [
    "account",
    "by_qr",
    "by_password",
    "by_session",
    "waiting",
    "key_id",
    "endpoint_id",
    "provider",
];
const OF_THE_CHANNEL: [&str; 3] = ["contact", "group", "made"];

/// What requests can name.
type Known = BTreeMap<&'static str, String>;

struct Story {
    host: Host,
    client: reqwest::Client,
    known: Known,
    /// Of the simulator; none: the provider is IRC.
    channel: Option<Channel>,
}

impl Story {
    async fn start(channel: Option<Channel>, known: &[(&'static str, &str)]) -> Self {
        let providers = channel
            .as_ref()
            .map(|channel| provider_configuration(channel.address()));
        let host = Host::start_with(move |config| {
            config.simulator.enabled = Some(false);
            config.provider = providers.clone().unwrap_or_default();
            // Each operation is asked for without a key.
            config.limits.unauthenticated_per_second = 0;
        })
        .await;
        let known = known.iter().map(|(name, value)| (*name, (*value).into()));
        Self {
            host,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            known: known.collect(),
            channel,
        }
    }

    /// An account that rows know under this name.
    async fn account(&mut self, name: &'static str, auth_mode: &str, provider_data: Value) {
        let new = json!({"provider": self.known["provider"], "auth_mode": auth_mode,
                         "provider_data": provider_data});
        let made = self.host.post("/v1/accounts", new).await.expect(201);
        let id = made["data"]["id"].as_str().unwrap();
        self.known.insert(name, id.to_owned());
    }

    fn request(&self, row: &Row, known: &Known, key: Option<&str>) -> RequestBuilder {
        let method: Method = row.method.parse().unwrap();
        let path = row.path.replace("{account_id}", &format!("<{}>", row.of));
        let path = filled(&path.replace('{', "<").replace('}', ">"), known);
        let encode = |value: &String| value.replace(':', "%3A").replace('#', "%23");
        let encoded = known.iter().map(|(name, value)| (*name, encode(value)));
        let query = filled(row.query, &encoded.collect());
        let address = format!("{}{path}?{query}", self.host.base);
        let request = self.client.request(method, address);
        let request = request.header("X-Request-Id", row.id);
        let request = match key {
            Some(key) => request.header("X-Api-Key", key),
            None => request,
        };
        match row.body {
            "" => request,
            body => request
                .header("Content-Type", "application/json")
                .body(filled(body, known)),
        }
    }

    /// The refusals that all operations have in common, then the call itself.
    async fn call(&mut self, row: &Row) {
        self.before(row).await;
        let (host, known) = (&self.host, &self.known);
        let no_key = host.send(self.request(row, known, None)).await;
        refused(row, &no_key, "401 missing_api_key");
        let wrong = Some("dk_live_nobodysKey");
        let wrong_key = host.send(self.request(row, known, wrong)).await;
        refused(row, &wrong_key, "401 invalid_api_key");
        let key = Some(self.host.key.as_str());
        if !row.body.is_empty() {
            let cut_off = self.request(row, known, key).body("{");
            refused(row, &host.send(cut_off).await, "400 invalid_request");
        }
        let few = self.channel.is_none();
        if !row.absent.is_empty() {
            let absent = without(known, &OURS);
            let absent = self.request(row, &absent, key);
            refused(row, &host.send(absent).await, row.absent);
        }
        if !row.unknown.is_empty() {
            let expected = match row.irc {
                Irc::Refused(expected) if few => expected,
                _ => row.unknown,
            };
            let unknown = without(known, &OF_THE_CHANNEL);
            let unknown = self.request(row, &unknown, key);
            refused(row, &host.send(unknown).await, expected);
        }

        let answer = host.send(self.request(row, known, key)).await;
        match row.irc {
            Irc::Refused(expected) if few => refused(row, &answer, expected),
            Irc::Shows(shows) if few => self.succeeded(row, &answer, shows),
            _ => self.succeeded(row, &answer, row.shows),
        }
    }

    fn succeeded(&mut self, row: &Row, answer: &Answer, shows: &str) {
        let (id, body) = (row.id, &answer.body);
        assert_eq!(answer.status.as_u16(), row.status, "{id}: {body:#}");
        if row.data.is_empty() {
            assert_eq!(*body, Value::Null, "{id}");
            assert!(answer.headers.contains_key("x-request-id"), "{id}");
            return;
        }
        named(row, answer);
        let data = &body["data"];
        assert_eq!(schemas::hold(row.data, data, id), Ok(()), "{data:#}");
        for (pointer, expected) in pairs(shows, "; ") {
            let expected = filled(expected, &self.known);
            let found = data.pointer(pointer).map(plain);
            assert_eq!(found, Some(expected), "{id} {pointer}: {data:#}");
        }
        for (name, pointer) in pairs(row.keeps, "; ") {
            let found = data.pointer(pointer).map(plain);
            self.known.insert(name, found.expect(id));
        }
    }

    /// What has to happen at the channel, or in other calls, for an operation to do something.
    async fn before(&mut self, row: &Row) {
        if row.id == "refreshAccountRuntime" {
            let runs = ("", "/runtime_status", "running");
            self.until("account", runs).await;
        }
        let Some(channel) = &mut self.channel else {
            return;
        };
        let control = &mut channel.control;
        match row.id {
            "checkAccountQrAuth" => {
                control.scan("bea").await.unwrap();
                let state = ("/auth", "/status", "authorized");
                self.until("by_qr", state).await;
            }
            "submitAccountAuthPassword" => self.begin("by_password", "awaiting_password").await,
            "cancelAccountAuth" => self.begin("waiting", "awaiting_code").await,
            "listConversations" => {
                let contact = &self.known["contact"];
                let heard = control.say(USER, contact, contact, "hello").await;
                self.known.insert("heard", heard.unwrap());
            }
            "listGroupJoinRequests" => {
                let group = self.known["made"].clone();
                let join = Act::Join { group };
                let stranger = &self.known["stranger"];
                control.act(USER, stranger, join).await.unwrap();
            }
            _ => {}
        }
    }

    async fn begin(&self, account: &str, status: &str) {
        let path = format!("/v1/accounts/{}/auth/start", self.known[account]);
        let state = self.host.post(&path, json!({})).await.expect(200);
        assert_eq!(state["data"]["status"], status, "{state:#}");
    }

    async fn until(&self, account: &str, (below, pointer, value): (&str, &str, &str)) {
        let path = format!("/v1/accounts/{}{below}", self.known[account]);
        eventually(&format!("{account} being {value}"), async || {
            let shown = self.host.get(&path).await.expect(200);
            (shown["data"].pointer(pointer)? == value).then_some(())
        })
        .await;
    }
}

/// `<name>` is what is known under this name.
fn filled(text: &str, known: &Known) -> String {
    let filled = known.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("<{name}>"), value)
    });
    assert!(!filled.contains('<'), "{filled}: nobody has made this");
    filled
}

/// The same, but for these, which are now what there is not.
fn without(known: &Known, names: &[&str]) -> Known {
    let changed = known.iter().map(|(name, value)| {
        let value = if names.contains(name) {
            "nobody"
        } else {
            value
        };
        (*name, value.to_owned())
    });
    changed.collect()
}

fn pairs<'a>(text: &'a str, between: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let parts = text.split(between).filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap())
}

/// A string as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The ids around data and errors.
fn named(row: &Row, answer: &Answer) {
    let (id, body) = (row.id, &answer.body);
    assert_eq!(body["client_request_id"], id, "{body:#}");
    let request_id = body["request_id"].as_str().unwrap_or_default();
    assert_ne!(request_id, "", "{id}: {body:#}");
    assert_eq!(answer.headers["x-request-id"], request_id, "{id}");
}

fn refused(row: &Row, answer: &Answer, expected: &str) {
    let body = &answer.body;
    let code = body["error"]["code"].as_str().unwrap_or("none");
    let found = format!("{} {code}", answer.status.as_u16());
    assert_eq!(found, expected, "{}: {body:#}", row.id);
    assert!(body["error"]["message"].is_string(), "{body:#}");
    named(row, answer);
}

async fn tell(story: &mut Story) {
    let mut called = BTreeSet::new();
    for row in TABLE {
        story.call(row).await;
        called.insert((row.method, row.path));
    }
    let served = OPERATIONS.iter().map(|known| (known.method, known.path));
    assert_eq!(called.len(), 64);
    assert!(called.is_subset(&served.collect()));
}

/// The table has the operations of the contract, each once, under the names that the description
/// of the API has them by.
#[test]
fn the_table_has_all_operations() {
    let description: Value = serde_json::from_slice(&anyport::api::description().unwrap()).unwrap();
    for row in TABLE {
        let described = &description["paths"][row.path][row.method.to_lowercase()];
        assert_eq!(described["operationId"], row.id, "{}", row.path);
    }
    let called: BTreeSet<_> = TABLE.iter().map(|row| (row.method, row.path)).collect();
    assert_eq!((TABLE.len(), called.len()), (64, 64));
    let paths: BTreeSet<&str> = called.iter().map(|(_, path)| *path).collect();
    assert_eq!(paths.len(), 55);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_has_everything() {
    let mut channel = Channel::start().await;
    // By the story and not by itself.
    let scanned = Behaviour {
        scan_after_ms: None,
        ..Behaviour::default()
    };
    let control = &mut channel.control;
    control.configure(Some("bea"), scanned).await.unwrap();
    let known = [
        ("provider", "simulator"),
        ("auth_mode", "code"),
        ("provider_data", r#"{"user": "ada"}"#),
        ("contact", "user:grace"),
        ("other_contact", "user:alan"),
        ("stranger", "user:eve"),
        ("group", "group:lab"),
        // `session/earlier/1/dee`, of an earlier run of the server.
        ("session", "c2Vzc2lvbi9lYXJsaWVyLzEvZGVl"),
    ];
    let mut story = Story::start(Some(channel), &known).await;
    for (name, auth_mode, user) in [
        ("by_qr", "qrcode", "bea"),
        ("by_password", "password", "cyd"),
        ("by_session", "session", "dee"),
        ("waiting", "code", "eva"),
    ] {
        story.account(name, auth_mode, json!({"user": user})).await;
    }
    tell(&mut story).await;
    story.host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_has_little() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    let _peer = server.peer("grace");
    let configuration = |nick: &str| {
        json!({
            "server": "127.0.0.1", "port": server.port, "tls": false, "nick": nick,
            "flood-burst": 1000, "flood-interval-ms": 1, "reconnect-ms": 50,
        })
    };
    let known = [
        ("provider", "irc"),
        ("auth_mode", "password"),
        ("provider_data", &configuration("anyport").to_string()),
        ("contact", "grace"),
        ("other_contact", "alan"),
        ("stranger", "eve"),
        ("group", "#lab"),
        ("session", "c2Vzc2lvbg=="),
        // What the simulator's rows make, and IRC does not.
        ("label", "label"),
        ("made", "#crew"),
        ("heard", "m1"),
    ];
    let mut story = Story::start(None, &known).await;
    for name in ["by_qr", "by_password", "by_session", "waiting"] {
        let nick = name.replace('_', "");
        let configuration = configuration(&nick);
        story.account(name, "password", configuration).await;
    }
    tell(&mut story).await;
    story.host.stop().await;
}
