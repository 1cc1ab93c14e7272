//! A channel that posts webhooks and takes sends over HTTP: the simulator's, by its provider without
//! connections. Some accounts have an address of their own, others share the app's; some have their
//! token in a header, others in the path.

mod killed;
mod refused;

use crate::support::guests;
use crate::support::host::Host;
use crate::support::process::Client;
use crate::support::traffic::{Account, Channel};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpListener;

pub const PROVIDER: &str = "simulator-webhook";
const SECRET: &str = "what-the-channel-signs-with";
/// (user, where its token stands, whether its events go to the app's address)
const USERS: [(&str, &str, bool); 4] = [
    ("ada", "header", false),
    ("bob", "path", false),
    ("eve", "header", true),
    ("joe", "path", true),
];

/// The channel with its HTTP API, and where the host takes its webhooks.
pub struct Posting {
    pub channel: Channel,
    /// Where accounts send to.
    pub http: SocketAddr,
    /// By user; none for the app's. Without the host's address, which changes.
    paths: Vec<(Option<String>, String)>,
}

impl Posting {
    pub async fn start() -> Self {
        let channel = Channel::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = channel.simulator.serve_http(listener).unwrap();
        Self {
            channel,
            http,
            paths: Vec::new(),
        }
    }

    /// A host that knows it.
    async fn host(&self) -> Host {
        let provider = self.provider();
        Host::start_with(move |config| {
            config.simulator.enabled = Some(false);
            config
                .provider
                .insert(PROVIDER.to_owned(), provider.clone());
        })
        .await
    }

    /// What an operator says of the provider.
    pub fn provider(&self) -> Value {
        json!({
            "server": self.http.ip().to_string(),
            "port": self.http.port(),
            "webhook_secret": SECRET,
        })
    }

    /// Signed in, one for each of [`USERS`].
    async fn accounts(&mut self, client: &Client, operator: &Client) -> Vec<Account> {
        operator.install(guests::simulator_webhook()).await;
        let mut accounts = Vec::new();
        for of in USERS {
            accounts.push(self.account(client, of).await);
        }
        accounts
    }

    /// `of`: as in [`USERS`].
    pub async fn account(&mut self, client: &Client, of: (&str, &str, bool)) -> Account {
        let (user, token_in, shared) = of;
        let account = json!({"provider": PROVIDER, "provider_data": {"token_in": token_in}});
        let made = client.post("/v1/accounts", account).await.expect(201);
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        let token = self.channel.control.token(user).await.unwrap();
        let path = format!("/v1/accounts/{id}/auth/session");
        let state = client
            .post(&path, json!({"token": token}))
            .await
            .expect(200);
        assert_eq!(state["data"]["status"], "authorized", "{state:#}");
        let seen = client.get(&format!("/v1/accounts/{id}")).await.expect(200);
        let scope = if shared { "app" } else { "path" };
        let address = seen["data"]["ingress"]
            .as_array()
            .and_then(|all| all.iter().find(|address| address["scope"] == scope))
            .unwrap_or_else(|| panic!("no address of scope {scope}: {seen:#}"));
        let of = (!shared).then(|| user.to_owned());
        let path = address["path"].as_str().unwrap().to_owned();
        if !self.paths.contains(&(of.clone(), path.clone())) {
            self.paths.push((of, path));
        }
        Account {
            id,
            user: user.to_owned(),
        }
    }

    /// The channel posts to this host from now on; none: nowhere, and keeps what it has.
    pub async fn post_to(&mut self, base: Option<&str>) {
        for (user, path) in &self.paths {
            let url = base.map(|base| format!("{base}{path}"));
            self.channel
                .control
                .set_webhook(user.as_deref(), url.as_deref(), SECRET)
                .await
                .unwrap();
        }
    }
}
