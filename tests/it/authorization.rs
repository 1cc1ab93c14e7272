//! Every operation with every kind of key, on a whole host with a real database. The operations
//! are those of the table in `api::access`, which the router is held against: a route that does
//! not stand there fails here, and is not served either.

use crate::support::host::{Answer, Host};
use anyport::api::access::{self, OPERATIONS, OneAccount, Operation, Who};
use anyport::api::{NewKey, unlisted_routes};
use anyport::domain::key::{Permission, Permissions};
use anyport::domain::{AccountId, Timestamp, WorkspaceId};
use anyport::storage::{KeyKind, Store};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn the_router_and_the_table_are_the_same() {
    assert_eq!(unlisted_routes(), Vec::<String>::new());
    for (index, operation) in OPERATIONS.iter().enumerate() {
        let same =
            |other: &Operation| other.method == operation.method && other.path == operation.path;
        assert!(!OPERATIONS[..index].iter().any(same), "{operation:?} twice");
        let named = [
            "{account_id}",
            "{key_id}",
            "{endpoint_id}",
            "{message_id}",
            "{media_id}",
        ];
        let names = named.iter().any(|part| operation.path.contains(part));
        let of_workspace = matches!(operation.who, Who::Workspace { .. });
        assert!(
            !(names && of_workspace) || operation.hidden.is_some(),
            "{operation:?} names something: what does one get who may not see it?"
        );
    }
    assert!(access::of("HEAD", "/v1/workspace").is_some());
}

/// A route that is made past `api/routes.rs` would not be compared with the table.
#[test]
fn routes_are_made_in_one_place() {
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/api");
    let mut directories = vec![api.clone()];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            if text.contains("axum::routing") || text.contains(".route(") {
                found.push(path.strip_prefix(&api).unwrap().to_owned());
            }
        }
    }
    assert_eq!(found, [Path::new("routes.rs")]);
}

/// What the first workspace has, and keys of every kind.
struct World {
    host: Host,
    workspace: WorkspaceId,
    account: String,
    other_account: String,
    endpoint: String,
    key_id: String,
    operator_key_id: String,
    message: String,
    medium: String,
    digest: String,
    /// (what it is, its text): good for nothing.
    dead: Vec<(&'static str, String)>,
    /// The same of operators.
    dead_operators: Vec<(&'static str, String)>,
    /// Of another workspace, and may do all there.
    foreign: String,
    read: String,
    send: String,
    /// May do all, with `other_account`.
    bound: String,
}

fn id(answer: &Value) -> String {
    answer["data"]["id"].as_str().unwrap().to_owned()
}

fn text(answer: &Value) -> String {
    answer["data"]["api_key"].as_str().unwrap().to_owned()
}

impl World {
    async fn start() -> Self {
        let host = Host::start_with(|config| {
            // Hundreds of requests without a good key come from here.
            config.limits.unauthenticated_per_second = 0;
        })
        .await;
        let keys = host.running.store.api_keys().await.unwrap();
        let of = |kind: KeyKind| keys.iter().find(|key| key.kind == kind).unwrap().clone();
        let workspace = of(KeyKind::Workspace).workspace.unwrap();
        let account = Self::account_of(&host).await;
        let auth = format!("/v1/accounts/{account}/auth");
        host.post(&format!("{auth}/start"), json!({}))
            .await
            .expect(200);
        let signed = host
            .post(&format!("{auth}/code"), json!({"code": "123456"}))
            .await
            .expect(200);
        assert_eq!(signed["data"]["status"], "authorized");
        let sent = host
            .post("/v1/messages", message(&account))
            .await
            .expect(200);
        let provider = host
            .send(host.as_operator(Method::GET, "/admin/v1/providers/simulator"))
            .await
            .expect(200);
        let mut world = Self {
            other_account: Self::account_of(&host).await,
            endpoint: Self::endpoint_of(&host).await,
            key_id: of(KeyKind::Workspace).id.to_string(),
            operator_key_id: of(KeyKind::Operator).id.to_string(),
            message: id(&sent),
            medium: Self::medium_of(&host).await,
            digest: provider["data"]["versions"][0]["digest"]
                .as_str()
                .unwrap()
                .to_owned(),
            host,
            workspace,
            account,
            dead: Vec::new(),
            dead_operators: Vec::new(),
            foreign: String::new(),
            read: String::new(),
            send: String::new(),
            bound: String::new(),
        };
        world.make_keys().await;
        world
    }

    async fn account_of(host: &Host) -> String {
        let new = json!({"provider": "simulator", "auth_mode": "code",
                         "provider_data": {"user": "ada"}});
        id(&host.post("/v1/accounts", new).await.expect(201))
    }

    async fn medium_of(host: &Host) -> String {
        let request = host.request(Method::POST, "/v1/media").body("some bytes");
        id(&host.send(request).await.expect(201))
    }

    async fn endpoint_of(host: &Host) -> String {
        let new = json!({"url": "http://127.0.0.1:9/hook", "status": "inactive"});
        id(&host.post("/v1/webhook-endpoints", new).await.expect(201))
    }

    /// (id, text)
    async fn key(&self, body: Value) -> (String, String) {
        let made = self.host.post("/v1/api-keys", body).await.expect(201);
        (
            made["data"]["key"]["id"].as_str().unwrap().to_owned(),
            text(&made),
        )
    }

    async fn operate(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.host.as_operator(method, path).json(&body);
        self.host.send(request).await
    }

    async fn new_workspace(&self) -> (String, String) {
        let made = self
            .operate(
                Method::POST,
                "/admin/v1/workspaces",
                json!({"name": "Other"}),
            )
            .await
            .expect(201);
        let path = format!("/admin/v1/workspaces/{}/api-keys", id(&made));
        let key = self
            .operate(Method::POST, &path, json!({"name": "first"}))
            .await
            .expect(201);
        (id(&made), text(&key))
    }

    async fn make_keys(&mut self) {
        self.read = self.key(json!({"name": "r", "scopes": ["read"]})).await.1;
        self.send = self.key(json!({"name": "s", "scopes": ["send"]})).await.1;
        let bound = json!({"name": "b", "account_id": self.other_account});
        self.bound = self.key(bound).await.1;
        self.foreign = self.new_workspace().await.1;

        let (off, inactive) = self.key(json!({"name": "off"})).await;
        let path = format!("/v1/api-keys/{off}");
        let request = self.host.request(Method::PATCH, &path);
        let body = json!({"status": "inactive"});
        self.host.send(request.json(&body)).await.expect(200);
        let (turned, before) = self.key(json!({"name": "turned"})).await;
        let path = format!("/v1/api-keys/{turned}/rotate");
        self.host
            .post(&path, json!({"name": "turned"}))
            .await
            .expect(200);
        let (suspended, suspended_key) = self.new_workspace().await;
        let path = format!("/admin/v1/workspaces/{suspended}");
        let body = json!({"status": "suspended"});
        self.operate(Method::PATCH, &path, body).await.expect(200);
        let (deleted, deleted_key) = self.new_workspace().await;
        let path = format!("/admin/v1/workspaces/{deleted}");
        self.operate(Method::DELETE, &path, json!({}))
            .await
            .expect(204);
        self.dead = vec![
            ("a wrong key", format!("dk_live_{}", "A".repeat(43))),
            ("an inactive key", inactive),
            ("an expired key", self.expired(KeyKind::Workspace).await),
            ("a key that was rotated", before),
            ("a key of a suspended workspace", suspended_key),
            ("a key of a deleted workspace", deleted_key),
        ];

        let new = |name: &str| json!({"name": name});
        let keys = "/admin/v1/operator-keys";
        let off = self
            .operate(Method::POST, keys, new("off"))
            .await
            .expect(201);
        let path = format!("{keys}/{}", off["data"]["key"]["id"].as_str().unwrap());
        let body = json!({"status": "inactive"});
        self.operate(Method::PATCH, &path, body).await.expect(200);
        self.dead_operators = vec![
            (
                "a wrong operator's key",
                format!("op_live_{}", "A".repeat(43)),
            ),
            ("an inactive operator's key", text(&off)),
            (
                "an expired operator's key",
                self.expired(KeyKind::Operator).await,
            ),
        ];
    }

    async fn expired(&self, kind: KeyKind) -> String {
        let workspace = (kind == KeyKind::Workspace).then(|| self.workspace.clone());
        let new = NewKey {
            kind,
            workspace,
            name: "expired".into(),
            prefix: "old".into(),
            permissions: Permissions::all(),
            account: None,
            expires_at: Some(Timestamp::now()),
            rate: None,
        };
        let (text, key) = new.mint().unwrap();
        self.host.running.store.put_api_key(&key).await.unwrap();
        text
    }

    /// The path of a request that names what the first workspace has.
    fn path(&self, operation: &Operation) -> String {
        let key = if operation.path.contains("operator-keys") {
            &self.operator_key_id
        } else {
            &self.key_id
        };
        let path = operation
            .path
            .replace("{account_id}", &self.account)
            .replace("{endpoint_id}", &self.endpoint)
            .replace("{key_id}", key)
            .replace("{message_id}", &self.message)
            .replace("{media_id}", &self.medium)
            .replace("{token}", "no-such-token")
            .replace("{provider}", "simulator")
            .replace("{digest}", &self.digest)
            .replace("{name}", "wave")
            .replace("{workspace_id}", self.workspace.as_str());
        // What is named in the query counts as named.
        let in_query = ["/v1/messages", "/v1/events", "/v1/events/stream"];
        if operation.method == "GET" && in_query.contains(&operation.path) {
            return format!("{path}?account_id={}", self.account);
        }
        if (operation.method, operation.path) == ("POST", "/v1/media") {
            return format!("{path}?account_id={}", self.account);
        }
        if operation.method == "GET" && asks_the_provider(operation) {
            let named = "conversation_id=echo&contact_id=ada&group_id=crew&address=ada";
            return format!("{path}?{named}");
        }
        path
    }

    fn body(&self, operation: &Operation) -> Value {
        match (operation.method, operation.path) {
            ("PATCH", "/v1/workspace") => json!({"name": "Changed", "status": "active"}),
            ("POST", "/v1/accounts") => json!({"provider": "simulator"}),
            ("POST", "/v1/messages") => message(&self.account),
            // Refused for what is missing in it, after the key was looked at.
            ("POST", path) if path.starts_with("/v1/messages/") => {
                let mut body = message(&self.account);
                for (name, value) in ABOUT_A_MESSAGE {
                    body[name] = value.into();
                }
                body["pinned"] = true.into();
                body
            }
            ("POST" | "PATCH", _) if asks_the_provider(operation) => {
                let mut body = json!({"conversation_ids": ["echo"], "contact_ids": ["ada"],
                                      "member_ids": ["ada"], "enabled": true, "online": true});
                for (name, value) in ABOUT_THE_CHANNEL {
                    body[name] = value.into();
                }
                body["action"] = action_of(operation.path).into();
                body
            }
            ("POST", "/v1/webhook-endpoints") => json!({"url": "http://127.0.0.1:9/new"}),
            ("PUT", "/admin/v1/accounts/{account_id}/version") => json!({"digest": self.digest}),
            // The good key stays good.
            ("PATCH", path) if path.contains("{key_id}") => json!({"status": "active"}),
            ("POST", path) if path.ends_with("-keys") => json!({"name": "new"}),
            ("POST", "/admin/v1/workspaces") => json!({"name": "New"}),
            _ => json!({}),
        }
    }

    async fn call(&self, operation: &Operation, path: &str, key: Option<&str>) -> Answer {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let method: Method = operation.method.parse().unwrap();
        let mut request = client.request(method, format!("{}{path}", self.host.base));
        if let Some(key) = key {
            request = request.header("X-Api-Key", key);
        }
        if operation.method != "GET" && operation.method != "DELETE" {
            request = request.json(&self.body(operation));
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = if is_json(&headers) {
            response.json().await.unwrap()
        } else {
            // A stream has no end.
            Value::Null
        };
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Everything that a refused request must not have changed.
    async fn everything(&self) -> String {
        let store = &self.host.running.store;
        let mut keys = store.api_keys().await.unwrap();
        keys.retain(|key| {
            key.workspace
                .as_ref()
                .is_none_or(|id| *id == self.workspace)
        });
        for key in &mut keys {
            key.last_used_at = None;
        }
        let workspace = &self.workspace;
        let mut accounts = store.accounts(workspace).await.unwrap();
        for account in &mut accounts {
            // The channel goes on talking.
            account.turn_seq = 0;
            account.kv_bytes = 0;
        }
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            keys,
            accounts,
            store.endpoints(workspace).await.unwrap(),
            store.workspace(workspace).await.unwrap(),
            store.settings().await.unwrap(),
            store.current_providers().await.unwrap(),
            store.sends(workspace, None, None, None, 100).await.unwrap(),
        )
    }

    /// The ids that nobody else may see.
    fn own_ids(&self) -> [&str; 5] {
        [
            &self.account,
            &self.endpoint,
            &self.key_id,
            &self.message,
            &self.medium,
        ]
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get("content-type")
        .is_some_and(|kind| kind == "application/json")
}

/// Is it answered by the account's provider?
fn asks_the_provider(operation: &Operation) -> bool {
    let below = operation.path.strip_prefix("/v1/accounts/{account_id}/");
    let family = below.and_then(|below| below.split('/').next());
    let families = ["conversations", "contacts", "groups", "profile", "commands"];
    family.is_some_and(|family| families.contains(&family))
}

/// The same, or an action on a message.
fn is_asked(operation: &Operation) -> bool {
    let of_a_message = operation.path.starts_with("/v1/messages/");
    asks_the_provider(operation) || (of_a_message && operation.method == "POST")
}

const ABOUT_A_MESSAGE: [(&str, &str); 3] = [
    ("conversation_id", "echo"),
    ("message_id", "m1"),
    ("content", "new"),
];

const ABOUT_THE_CHANNEL: [(&str, &str); 9] = [
    ("conversation_id", "echo"),
    ("contact_id", "ada"),
    ("group_id", "crew"),
    ("label_id", "label"),
    ("member_id", "ada"),
    ("name", "Crew"),
    ("note", "a note"),
    ("kind", "typing"),
    ("bio", "Hello"),
];

fn action_of(path: &str) -> &'static str {
    if path.ends_with("join-requests/update") {
        "approve"
    } else {
        "add"
    }
}

fn message(account: &str) -> Value {
    json!({"account_id": account, "to": {"id": "echo", "type": "user"},
           "message": {"type": "text", "text": "hello"}})
}

/// Answers that say that the key may not.
const REFUSALS: [&str; 4] = [
    "missing_api_key",
    "invalid_api_key",
    "insufficient_scope",
    "operator_key_required",
];

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, what: &str) {
    let found = answer.body["error"]["code"].as_str().unwrap_or("none");
    assert_eq!(
        (answer.status.as_u16(), found),
        (status, code),
        "{what}: {:#}",
        answer.body
    );
}

#[track_caller]
fn let_in(answer: &Answer, operation: &Operation, what: &str) {
    let code = answer.body["error"]["code"].as_str().unwrap_or("none");
    if is_asked(operation) {
        // What it says to that is for other tests.
        assert!(!REFUSALS.contains(&code), "{what}: {:#}", answer.body);
        assert_ne!(code, "internal_error", "{what}: {:#}", answer.body);
        return;
    }
    assert!(
        !REFUSALS.contains(&code) && answer.status.as_u16() < 500,
        "{what}: {:#}",
        answer.body
    );
    let hidden = operation.hidden.map(|code| code.name);
    // Some operations answer so for other reasons; those that are there answer with data.
    if operation.method == "GET" {
        assert_ne!(Some(code), hidden, "{what}: {:#}", answer.body);
        assert_eq!(answer.status, 200, "{what}: {:#}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_does_what_is_not_theirs() {
    let world = World::start().await;
    let before = world.everything().await;
    for operation in OPERATIONS {
        let path = world.path(operation);
        let call = async |key: Option<&str>| world.call(operation, &path, key).await;
        let what = |who: &str| format!("{} {} with {who}", operation.method, operation.path);
        if operation.path == "/media/{token}" {
            // The token is the right; without one of ours there is nothing.
            refused(&call(None).await, 404, "not_found", &what("no token"));
            continue;
        }
        // No route is there for what the path names: nobody is let in, and no key helps.
        if operation.who == Who::Channel {
            for key in [None, Some(world.host.key.as_str())] {
                refused(&call(key).await, 404, "not_found", &what("no proof"));
            }
            continue;
        }
        if operation.who == Who::Public {
            let_in(&call(None).await, operation, &what("no key"));
            continue;
        }
        refused(&call(None).await, 401, "missing_api_key", &what("no key"));
        refused(&call(Some("")).await, 401, "missing_api_key", &what("\"\""));
        for (who, key) in world.dead.iter().chain(&world.dead_operators) {
            let answer = call(Some(key)).await;
            refused(&answer, 401, "invalid_api_key", &what(who));
        }
        match operation.who {
            Who::Public | Who::Channel => {}
            Who::AnyKey => {
                for key in [&world.foreign, &world.read, &world.send, &world.bound] {
                    let_in(
                        &call(Some(key)).await,
                        operation,
                        &what("a workspace's key"),
                    );
                }
            }
            Who::Operator => {
                for key in [&world.host.key, &world.foreign, &world.read, &world.bound] {
                    let answer = call(Some(key)).await;
                    let what = what("a workspace's key");
                    refused(&answer, 403, "operator_key_required", &what);
                }
            }
            Who::Workspace {
                any_of,
                one_account,
            } => {
                let answer = call(Some(&world.host.operator_key)).await;
                refused(&answer, 401, "invalid_api_key", &what("an operator's key"));
                for (permission, key) in [
                    (Permission::Read, &world.read),
                    (Permission::Send, &world.send),
                ] {
                    let what = what(permission.as_str());
                    if any_of.contains(&permission) {
                        // What changes something is tried at the end.
                        if operation.method == "GET" {
                            let_in(&call(Some(key)).await, operation, &what);
                        }
                    } else {
                        refused(&call(Some(key)).await, 403, "insufficient_scope", &what);
                    }
                }

                let answer = call(Some(&world.bound)).await;
                let bound = what("a key that is bound to another account");
                match (one_account, operation.hidden) {
                    (OneAccount::Refused, _) => {
                        refused(&answer, 403, "insufficient_scope", &bound);
                    }
                    (OneAccount::Narrowed, Some(hidden)) => {
                        refused(&answer, hidden.status, hidden.name, &bound);
                    }
                    (OneAccount::Narrowed, None) => {
                        let_in(&answer, operation, &bound);
                        assert!(!answer.body.to_string().contains(&world.account), "{bound}");
                    }
                }

                let answer = call(Some(&world.foreign)).await;
                let foreign = what("another workspace's key");
                match operation.hidden {
                    Some(hidden) => refused(&answer, hidden.status, hidden.name, &foreign),
                    None => {
                        let_in(&answer, operation, &foreign);
                        let shown = answer.body.to_string();
                        for id in world.own_ids() {
                            assert!(!shown.contains(id), "{foreign} shows {id}");
                        }
                    }
                }
                // The same words as for what nobody has: nobody learns that it exists.
                if let Some(hidden) = operation.hidden {
                    let nothing = path
                        .replace(&world.account, "acc_nothing")
                        .replace(&world.endpoint, "we_nothing")
                        .replace(&world.key_id, "ak_nothing")
                        .replace(&world.medium, "med_nothing")
                        .replace(&world.message, "msg_00000000000070008000000000000000");
                    if nothing != path {
                        let none = world.call(operation, &nothing, Some(&world.foreign)).await;
                        refused(&none, hidden.status, hidden.name, &what("nothing"));
                        let message = |answer: &Answer| answer.body["error"]["message"].clone();
                        assert_eq!(message(&none), message(&answer), "{foreign}");
                    }
                }
            }
        }
    }
    assert_eq!(world.everything().await, before);
    world.host.stop().await;
}

/// Without this, a host that refuses everybody would pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_does_what_is_theirs() {
    let mut world = World::start().await;
    for operation in OPERATIONS {
        // What a channel may, no key decides (`web::calls`), nor what who has a token may (`media`).
        if operation.who == Who::Channel || operation.path == "/media/{token}" {
            continue;
        }
        let key = match operation.who {
            Who::Operator => world.host.operator_key.clone(),
            _ => world.host.key.clone(),
        };
        if operation.method == "DELETE" {
            // Something that nobody else needs.
            match operation.path {
                "/v1/accounts/{account_id}" => {
                    world.account = World::account_of(&world.host).await;
                }
                "/admin/v1/workspaces/{workspace_id}" => {
                    let made = world.new_workspace().await.0;
                    world.workspace = WorkspaceId::from_text(made);
                }
                _ => world.endpoint = World::endpoint_of(&world.host).await,
            }
        }
        // One whose text before is good for a while: the test goes on with it.
        if operation.path.ends_with("/rotate") {
            let path = world.path(operation);
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = client
                .post(format!("{}{path}", world.host.base))
                .header("X-Api-Key", &key)
                .json(&json!({"overlap_ms": 604_800_000}));
            world.host.send(request).await.expect(200);
            continue;
        }
        let answer = world
            .call(operation, &world.path(operation), Some(&key))
            .await;
        let what = format!("{} {}", operation.method, operation.path);
        if answer.status.as_u16() >= 500 && !is_asked(operation) {
            // The simulator has no QR code.
            refused(&answer, 500, "run_auth_action_failed", &what);
            continue;
        }
        let_in(&answer, operation, &what);
        if operation.method == "DELETE" {
            assert_eq!(answer.status, 204, "{what}");
            if operation.path.contains("{account_id}") {
                world.account = World::account_of(&world.host).await;
            }
            if operation.path.contains("{endpoint_id}") {
                world.endpoint = World::endpoint_of(&world.host).await;
            }
            if operation.path.contains("{media_id}") {
                world.medium = World::medium_of(&world.host).await;
            }
            if operation.path.contains("{workspace_id}") {
                let keys = world.host.running.store.api_keys().await.unwrap();
                let mine = keys.iter().find(|key| key.id.as_str() == world.key_id);
                world.workspace = mine.unwrap().workspace.clone().unwrap();
            }
        }
    }
    // Narrower keys do what they are for, and a bound one everything with its account.
    let own = AccountId::from_text(world.other_account.as_str());
    world.account = own.to_string();
    for operation in OPERATIONS {
        let Who::Workspace {
            any_of,
            one_account,
        } = operation.who
        else {
            continue;
        };
        let path = world.path(operation);
        let what = format!("{} {}", operation.method, operation.path);
        for (permission, key) in [
            (Permission::Read, &world.read),
            (Permission::Send, &world.send),
        ] {
            if any_of.contains(&permission) {
                let_in(
                    &world.call(operation, &path, Some(key)).await,
                    operation,
                    &what,
                );
            }
        }
        if one_account == OneAccount::Narrowed
            && operation.path.contains("{account_id}")
            && operation.method != "DELETE"
        {
            let answer = world.call(operation, &path, Some(&world.bound)).await;
            let code = answer.body["error"]["code"].as_str().unwrap_or("none");
            assert!(!REFUSALS.contains(&code), "{what}: {:#}", answer.body);
        }
    }
    world.host.stop().await;
}
