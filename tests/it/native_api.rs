//! Questions and actions through REST to a real guest: what it answers, when, and how badly; and
//! what a client is told when there is no answer.

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Answer, Host};
use anyport::api::access::OPERATIONS;
use anyport::app::config::Config;
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

struct World {
    host: Host,
    account: String,
    /// Takes the account's connection and says nothing.
    _server: TcpListener,
}

impl World {
    async fn start(adjust: impl Fn(&mut Config) + 'static) -> Self {
        let host = Host::start_with(adjust).await;
        let upload = host
            .as_operator(Method::POST, "/v1/providers")
            .header("content-type", "application/wasm")
            .body(guests::evil());
        host.send(upload).await.expect(201);
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let account = json!({"provider": "evil", "auth_mode": "password",
                             "provider_data": {"server": "127.0.0.1", "port": port}});
        let made = host.post("/v1/accounts", account).await.expect(201);
        let account = made["data"]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/accounts/{account}/auth/start");
        let state = host.post(&path, json!({"password": "sesame"})).await;
        assert_eq!(state.expect(200)["data"]["status"], "authorized");
        Self {
            host,
            account,
            _server: server,
        }
    }

    async fn get(&self, rest: &str) -> Answer {
        let path = format!("/v1/accounts/{}/{rest}", self.account);
        self.host.get(&path).await
    }

    async fn post(&self, rest: &str, body: Value) -> Answer {
        let path = format!("/v1/accounts/{}/{rest}", self.account);
        self.host.post(&path, body).await
    }

    async fn info(&self, conversation: &str) -> Answer {
        self.get(&format!(
            "conversations/info?conversation_id={conversation}"
        ))
        .await
    }

    /// Asked by somebody else, who waits for the answer.
    fn asked(&self, conversation: &str) -> tokio::task::JoinHandle<Answer> {
        let rest = format!("conversations/info?conversation_id={conversation}");
        let path = format!("/v1/accounts/{}/{rest}", self.account);
        let request = self.host.request(Method::GET, &path);
        tokio::spawn(async move {
            loop {
                let request = request.try_clone().unwrap();
                let response = request.send().await.unwrap();
                // Its place was another one's, for a moment.
                if response.status() == 429 {
                    continue;
                }
                return Answer {
                    status: response.status(),
                    headers: response.headers().clone(),
                    body: response.json().await.unwrap(),
                };
            }
        })
    }

    /// Both of the places that there are, taken for as long as the provider is silent.
    async fn two_that_wait(&self) -> [tokio::task::JoinHandle<Answer>; 2] {
        let asked = [self.asked("!silent"), self.asked("!silent")];
        while self.info("1").await.status != 429 {}
        asked
    }

    async fn read(&self, conversation: &str) -> Answer {
        let body = json!({"conversation_id": conversation});
        self.post("conversations/read", body).await
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    let found = answer.body["error"]["code"].as_str().unwrap_or("none");
    let found = (answer.status.as_u16(), found);
    assert_eq!(found, (status, code), "{:#}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_answers() {
    let world = World::start(|_| {}).await;
    let found = world.info("1").await.expect(200);
    assert_eq!(found["data"]["conversation_id"], "1");
    assert_eq!(found["data"]["type"], "group");
    // In a later turn, and only the first answer counts.
    let later = world.info("!later-answer").await.expect(200);
    assert_eq!(later["data"]["title"], "Conversation 1");
    refused(&world.info("!unknown").await, 404, "conversation_not_found");
    assert_eq!(world.read("1").await.expect(200)["data"]["ok"], true);

    // All pages, each no larger than the provider makes them.
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world
            .get(&format!("conversations?limit=50&cursor={cursor}"))
            .await
            .expect(200);
        let items = page["data"]["items"].as_array().unwrap();
        assert!(items.len() <= 2, "{page:#}");
        ids.extend(items.iter().map(|it| it["conversation_id"].to_string()));
        cursor = page["data"]["next_cursor"].as_str().unwrap().to_owned();
        if page["data"]["has_more"] == false {
            break;
        }
    }
    assert_eq!(ids, ["\"0\"", "\"1\"", "\"2\"", "\"3\"", "\"4\""]);

    // What it does not name, it is not asked; nor beyond its limits.
    let members = world.get("conversations/members?conversation_id=1").await;
    refused(&members, 501, "unsupported_by_provider");
    let long = json!({"conversation_id": "1", "duration": 61});
    let long = world.post("conversations/mute", long).await;
    refused(&long, 400, "invalid_request");
    assert_eq!(long.body["error"]["limit"]["value"], 60);
    let capabilities = world.get("capabilities").await.expect(200);
    let listed = json!({"name": "conversations.list", "limits": {"max-items": 2}});
    let features = capabilities["data"]["features"].as_array().unwrap();
    assert!(features.contains(&listed), "{capabilities:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_answers_badly_is_called_twice_and_then_the_client_is_told() {
    let world = World::start(|_| {}).await;
    for (conversation, phrase) in [
        ("!wrong-kind", "answered by `replies.with-conversation`"),
        ("!bad-answer", "one of user, group, channel, not `club`"),
        ("!trap", "the provider failed twice on this"),
    ] {
        let answer = world.info(conversation).await;
        refused(&answer, 500, "get_conversation_failed");
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(phrase), "{message}");
        // The next instance is as good as the one before.
        world.info("1").await.expect(200);
        // Strikes in a row would put the account into error.
        let path = format!("/v1/accounts/{}/runtime/start", world.account);
        world.host.post(&path, json!({})).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_does_not_answer() {
    let world = World::start(|config| config.runtime.command_timeout_s = 1).await;
    let answer = world.info("!silent").await;
    refused(&answer, 504, "provider_timeout");
    assert_eq!(answer.headers["retry-after"], "1");
    // Of an action nobody knows whether it is done.
    let answer = world.read("!silent").await;
    refused(&answer, 504, "outcome_unknown");
    assert!(!answer.headers.contains_key("retry-after"));
    world.info("1").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_instance_was_asked_is_asked_again_by_the_client() {
    let world = World::start(|config| config.runtime.open_commands = 2).await;
    let asked = world.two_that_wait().await;
    refused(&world.info("1").await, 429, "rate_limited");
    let stopped = format!("/v1/accounts/{}/runtime/stop", world.account);
    world.host.post(&stopped, json!({})).await.expect(200);
    for asked in asked {
        let answer = asked.await.unwrap();
        refused(&answer, 503, "provider_unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    refused(&world.info("1").await, 409, "account_binding_not_found");
    let started = format!("/v1/accounts/{}/runtime/start", world.account);
    world.host.post(&started, json!({})).await.expect(200);
    eventually("the runtime is up", async || {
        (world.info("1").await.status == 200).then_some(())
    })
    .await;

    // The same when it dies of something else.
    let asked = world.two_that_wait().await;
    let message = json!({"account_id": world.account, "to": {"id": "1", "type": "user"},
                         "message": {"type": "text", "text": "!trap"}});
    let killed = world.host.post("/v1/messages", message).await;
    refused(&killed, 500, "send_message_failed");
    for asked in asked {
        refused(&asked.await.unwrap(), 503, "provider_unavailable");
    }
    world.info("1").await.expect(200);
}

/// Every operation that asks the provider, with a channel that has none of them: said before its
/// account has signed in, and before any guest is called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_only_sends() {
    let host = Host::start().await;
    let new = json!({"provider": "irc", "provider_data": {
        "server": "irc.example.org", "port": 6697, "nick": "harbor"}});
    let made = host.post("/v1/accounts", new).await.expect(201);
    let account = made["data"]["id"].as_str().unwrap();
    let capabilities = host
        .get(&format!("/v1/accounts/{account}/capabilities"))
        .await
        .expect(200);
    let features = capabilities["data"]["features"].as_array().unwrap();
    assert!(
        features
            .iter()
            .any(|feature| feature["name"] == "send.text")
    );

    // What any of them may need.
    let mut body = json!({
        "account_id": account, "conversation_id": "#lab", "contact_id": "ada", "group_id": "#lab",
        "label_id": "label", "member_id": "ada", "message_id": "m1", "name": "Lab", "note": "",
        "kind": "typing", "bio": "", "content": "new", "conversation_ids": ["#lab"],
        "contact_ids": ["ada"], "member_ids": ["ada"], "enabled": true, "online": true,
        "pinned": true, "to": {"id": "#lab", "type": "group"}});
    let query = "conversation_id=%23lab&contact_id=ada&group_id=%23lab&address=ada";
    let mut asked = 0;
    for operation in OPERATIONS {
        let below = operation.path.strip_prefix("/v1/accounts/{account_id}/");
        let family = below.and_then(|below| below.split('/').next());
        let families = ["conversations", "contacts", "groups", "profile", "commands"];
        let of_account = family.is_some_and(|family| families.contains(&family));
        let of_message = operation.path.starts_with("/v1/messages/") && operation.method == "POST";
        if !of_account && !of_message {
            continue;
        }
        asked += 1;
        let path = operation.path.replace("{account_id}", account);
        let path = format!("{}?{query}", path.replace("{name}", "wave"));
        let deciding = operation.path.ends_with("join-requests/update");
        body["action"] = if deciding { "approve" } else { "add" }.into();
        let request = host.request(operation.method.parse().unwrap(), &path);
        let answer = host.send(request.json(&body)).await;
        let found = answer.body["error"]["code"].as_str().unwrap_or("none");
        assert_eq!(
            (answer.status.as_u16(), found),
            (501, "unsupported_by_provider"),
            "{} {}: {:#}",
            operation.method,
            operation.path,
            answer.body
        );
    }
    // The 33 of the contract, and ours.
    assert_eq!(asked, 45);
    host.stop().await;
}
