//! The whole host and a real IRC server: everything is asked for by REST, received by a webhook
//! sink, and looked at on the channel by a raw client that knows nothing of us.
//!
//! `ANYPORT_PROVE=1` runs the full numbers. Where a server is not installed, its tests say so
//! and end; under `CI=true` they fail.

mod faults;
mod ircv3;
mod messages;
mod refusals;
mod replace;
#[path = "../../../providers-wasm/irc/tests/servers/mod.rs"]
mod servers;
mod sign_in;
mod signatures;

use crate::support::eventually;
use crate::support::host::{Answer, Host};
use crate::support::sink::{Received, Sink};
use anyport::app::config::Config;
use http::Method;
use serde_json::{Value, json};

const SECRET: &str = "a signing secret of no special form";

/// The full numbers of what CI does a part of.
fn prove() -> bool {
    std::env::var_os("ANYPORT_PROVE").is_some_and(|value| value != "0")
}

/// A host and a sink that gets all published events, signed.
struct World {
    host: Host,
    sink: Sink,
}

impl World {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(adjust: impl Fn(&mut Config) + 'static) -> Self {
        let host = Host::start_with(move |config| {
            config.simulator.enabled = Some(false);
            adjust(config);
        })
        .await;
        let world = Self {
            host,
            sink: Sink::start().await,
        };
        let endpoint = json!({
            "url": world.sink.url("/hook"),
            "signing_secret": SECRET,
            "subscribed_events": ["*"],
        });
        world
            .host
            .post("/v1/webhook-endpoints", endpoint)
            .await
            .expect(201);
        world
    }

    /// An account that is not signed in. `over`: beside server, nick and a quick pace.
    async fn account(&self, port: u16, nick: &str, over: Value) -> Account<'_> {
        let mut config = json!({
            "server": "127.0.0.1", "port": port, "tls": false, "nick": nick,
            "flood-burst": 1000, "flood-interval-ms": 1, "reconnect-ms": 50,
        });
        for (key, value) in over.as_object().unwrap() {
            config[key] = value.clone();
        }
        let created = self
            .host
            .post(
                "/v1/accounts",
                json!({"provider": "irc", "name": nick, "provider_data": config}),
            )
            .await
            .expect(201);
        Account {
            world: self,
            id: text(&created["data"]["id"]).to_owned(),
        }
    }

    /// What `GET /v1/providers` says of this one.
    async fn provider(&self) -> Value {
        let listed = self.host.get("/v1/providers").await.expect(200);
        let all = listed["data"].as_array().unwrap();
        all.iter()
            .find(|provider| provider["provider"] == "irc")
            .unwrap()
            .clone()
    }

    async fn upload(&self, component: Vec<u8>) -> Answer {
        self.upload_to("/v1/providers", component).await
    }

    /// With the operator's consent to whatever its manifest asks for.
    async fn upload_approved(&self, component: Vec<u8>) -> Answer {
        self.upload_to("/v1/providers?approve=true", component)
            .await
    }

    async fn upload_to(&self, path: &str, component: Vec<u8>) -> Answer {
        let request = self
            .host
            .as_operator(Method::POST, path)
            .header("Content-Type", "application/wasm")
            .body(component);
        self.host.send(request).await
    }

    /// The bytes of the version that is current.
    async fn component(&self) -> Vec<u8> {
        use anyport::storage::Store;
        let digest = text(&self.provider().await["digest"]).to_owned();
        let stored = self.host.running.store.provider_bytes(&digest).await;
        stored.unwrap().unwrap()
    }
}

struct Account<'a> {
    world: &'a World,
    id: String,
}

impl Account<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/v1/accounts/{}{rest}", self.id)
    }

    async fn show(&self) -> Value {
        let shown = self.world.host.get(&self.path("")).await.expect(200);
        shown["data"].clone()
    }

    /// The answer of `auth/start`, which waits for what follows.
    async fn start_auth(&self) -> Value {
        let answer = self
            .world
            .host
            .post(&self.path("/auth/start"), json!({}))
            .await;
        answer.expect(200)["data"].clone()
    }

    async fn sign_in(&self) {
        let state = self.start_auth().await;
        assert_eq!(state["status"], "authorized", "{state:#}");
        self.is("running").await;
    }

    /// Waits until this is its `runtime_status`.
    async fn is(&self, status: &str) -> Value {
        let what = format!("runtime_status {status}");
        eventually(&what, async || {
            let shown = self.show().await;
            (shown["runtime_status"] == status).then_some(shown)
        })
        .await
    }

    /// Waits until it is in this channel.
    async fn joined(&self, channel: &str) {
        let joins = |received: &Received| {
            let event = received.json();
            event["account_id"] == self.id.as_str()
                && event["type"] == "conversation.updated"
                && event["data"]["conversation"]["id"] == channel
        };
        let what = format!("the account's own join of {channel}");
        self.world
            .sink
            .wait_until(&what, |all| all.iter().any(joins))
            .await;
    }

    fn message(&self, to: &str, body: &str) -> Value {
        let kind = if to.starts_with('#') { "group" } else { "user" };
        json!({
            "account_id": self.id,
            "to": {"id": to, "type": kind},
            "message": {"type": "text", "text": body},
        })
    }

    async fn send(&self, to: &str, body: &str) -> Answer {
        self.world
            .host
            .post("/v1/messages", self.message(to, body))
            .await
    }

    /// Sent, and the channel has accepted it.
    #[track_caller]
    fn sent<'a>(&'a self, to: &'a str, body: &'a str) -> impl Future<Output = Value> + use<'a> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.send(to, body).await;
            assert_eq!(answer.status, 200, "{caller}: {:#}", answer.body);
            let data = answer.body["data"].clone();
            assert_eq!(data["state"], "sent", "{caller}: {data:#}");
            data
        }
    }

    /// Does not wait for the channel.
    async fn send_async(&self, to: &str, body: &str) -> Answer {
        let request = self
            .world
            .host
            .request(Method::POST, "/v1/messages")
            .header("Prefer", "respond-async")
            .json(&self.message(to, body));
        self.world.host.send(request).await
    }

    /// The send with our id, once it is in this state.
    async fn send_is(&self, id: &str, state: &str) -> Value {
        eventually(&format!("the send being {state}"), async || {
            let looked = self
                .world
                .host
                .get(&format!("/v1/messages/{id}"))
                .await
                .expect(200);
            (looked["data"]["state"] == state).then(|| looked["data"].clone())
        })
        .await
    }

    /// Events of these types in the log, or all, oldest first.
    async fn events(&self, types: &str) -> Vec<Value> {
        let types = if types.is_empty() {
            String::new()
        } else {
            format!("&types={types}")
        };
        let mut all = Vec::new();
        let mut after = "earliest".to_owned();
        loop {
            let page = self
                .world
                .host
                .get(&format!(
                    "/v1/events?account_id={}{types}&limit=1000&after={after}",
                    self.id
                ))
                .await
                .expect(200);
            let data = &page["data"];
            all.extend(data["items"].as_array().unwrap().iter().cloned());
            after = text(&data["next_cursor"]).to_owned();
            if data["has_more"] != true {
                return all;
            }
        }
    }

    /// The runtime statuses that `account.status.updated` told so far.
    async fn told_statuses(&self) -> Vec<String> {
        let events = self.events("account.status.updated").await;
        events
            .iter()
            .map(|event| text(&event["data"]["runtime_status"]).to_owned())
            .collect()
    }

    /// Waits for a message with this text at the sink.
    async fn received(&self, body: &str) -> Received {
        let fits = |received: &Received| {
            let event = received.json();
            event["type"] == "message.received"
                && event["account_id"] == self.id.as_str()
                && event["data"]["message"]["text"] == body
        };
        let all = self
            .world
            .sink
            .wait_until(&format!("{body:?}"), |all| all.iter().any(fits))
            .await;
        all.into_iter().find(fits).unwrap()
    }
}

#[track_caller]
fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value:#}"))
}

/// The text of a `PRIVMSG` or `NOTICE` to this target, as it came.
fn said<'a>(line: &'a [u8], target: &str) -> Option<&'a [u8]> {
    let rest = match line.first() {
        Some(b'@') => &line[line.iter().position(|byte| *byte == b' ')? + 1..],
        _ => line,
    };
    let rest = &rest[rest.iter().position(|byte| *byte == b' ')? + 1..];
    ["PRIVMSG", "NOTICE"].iter().find_map(|verb| {
        rest.strip_prefix(format!("{verb} {target} ").as_bytes())
            .map(|text| text.strip_prefix(b":").unwrap_or(text))
    })
}

/// The tag of a line.
fn tag<'a>(line: &'a str, name: &str) -> &'a str {
    let tags = line
        .strip_prefix('@')
        .and_then(|line| line.split_once(' '))
        .map_or("", |(tags, _)| tags);
    tags.split(';')
        .find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or("")
}
