//! Requests in both directions, through the evil provider: what it asks for by HTTP leaves after
//! the commit and comes back as a turn, also after a crash, and no secret of it is ever in the
//! guest; what a channel sends is verified before the guest sees it, and has its 2xx after the
//! commit.

mod calls;
mod requests;

use crate::evil::LineServer;
use crate::support::eventually;
use crate::support::peer::Peer;
use crate::support::process::Client;
use http::Method;
use serde_json::{Value, json};

pub const TOKEN: &str = "tok-5ecret-0f-the-account";
pub const APP_SECRET: &str = "app-5ecret";

/// An account of the evil provider that is signed in, and the line server that it needs.
struct Account {
    client: Client,
    id: String,
    _lines: LineServer,
}

impl Account {
    async fn new(client: &Client, port: u16, reference: &str) -> Self {
        let lines = LineServer::start(Vec::new()).await;
        let account = json!({
            "provider": "evil",
            "auth_mode": "password",
            "provider_data": {
                "server": "127.0.0.1",
                "port": lines.port,
                "http_server": "127.0.0.1",
                "http_port": port,
                "limited_port": port,
                "token": TOKEN,
                "app_secret": APP_SECRET,
            },
        });
        let made = client.post("/v1/accounts", account).await.expect(201);
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/accounts/{id}/auth/start");
        let state = client.post(&path, json!({"password": "pa55word"})).await;
        assert_eq!(state.expect(200)["data"]["status"], "authorized");
        // The provider has said who it is; a shared address finds it by another name.
        let named = client
            .request(Method::PATCH, &format!("/v1/accounts/{id}"))
            .json(&json!({"provider_account_ref": reference}));
        client.send(named).await.expect(200);
        Self {
            client: client.clone(),
            id,
            _lines: lines,
        }
    }

    /// The guest runs a command.
    async fn run(&self, command: &str) {
        let body = json!({
            "account_id": self.id,
            "to": {"id": "lines", "type": "user"},
            "message": {"type": "text", "text": command},
        });
        self.client.post("/v1/messages", body).await.expect(200);
    }

    async fn submit(&self, label: &str, request: Value) {
        self.run(&format!("!http {label} {request}")).await;
    }

    /// What messages told, oldest first, by the first part of their ids.
    async fn told(&self, kind: &str) -> Vec<Value> {
        let path = format!("/v1/events?account_id={}&limit=1000", self.id);
        let events = self.client.get(&path).await.expect(200);
        let events = events["data"]["items"].as_array().unwrap().clone();
        events
            .iter()
            .filter(|event| event["type"] == "message.received")
            .filter_map(|event| {
                let (found, _) = event["message_id"].as_str()?.split_once('-')?;
                let text = event["text"].as_str()?;
                (found == kind).then(|| serde_json::from_str(text).unwrap())
            })
            .collect()
    }

    /// Waits for the answer to the request of this label.
    async fn answer(&self, label: &str) -> Value {
        eventually(&format!("the answer to {label}"), async || {
            let told = self.told("answer").await;
            told.into_iter().find(|answer| answer["label"] == label)
        })
        .await
    }

    async fn shown(&self) -> Value {
        let path = format!("/v1/accounts/{}", self.id);
        self.client.get(&path).await.expect(200)["data"].clone()
    }
}

/// A host of its own process with the evil provider.
const CONFIG: &str = "public_url = \"https://hooks.example/\"\n\
                      [network]\nallow = [\"127.0.0.0/8\"]\n";

async fn ready(
    config: &str,
) -> (
    crate::support::process::Home,
    crate::support::process::HostProcess,
    Client,
    Client,
) {
    let home = crate::support::process::Home::new(config);
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    let operator = Client::new(&host.base, &keys.operator);
    operator.install(crate::support::guests::evil()).await;
    (home, host, client, operator)
}

fn get(peer: &Peer, path: &str) -> Value {
    json!({"url": peer.url(path)})
}
