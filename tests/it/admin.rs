//! What operators do while the host runs: workspaces, grants, versions, network policy,
//! configuration, usage, keys.

use crate::support::eventually;
use crate::support::host::{Answer, Host};
use http::Method;
use serde_json::{Value, json};

impl Host {
    async fn operate(&self, method: Method, path: &str, body: Value) -> Answer {
        let path = format!("/admin/v1/{path}");
        self.send(self.as_operator(method, &path).json(&body)).await
    }

    async fn look(&self, path: &str) -> Value {
        let path = format!("/admin/v1/{path}");
        self.send(self.as_operator(Method::GET, &path))
            .await
            .expect(200)["data"]
            .clone()
    }

    /// With a workspace's key.
    async fn with(&self, key: &str, method: Method, path: &str, body: Value) -> Answer {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}{path}", self.base);
        let request = client.request(method, url).header("X-Api-Key", key);
        self.send(request.json(&body)).await
    }

    /// Signed in; its id.
    async fn signed_in(&self, key: &str) -> String {
        let new = json!({"provider": "simulator", "auth_mode": "code",
                         "provider_data": {"user": "ada"}});
        let made = self
            .with(key, Method::POST, "/v1/accounts", new)
            .await
            .expect(201);
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        for (action, body) in [("start", json!({})), ("code", json!({"code": "123456"}))] {
            let path = format!("/v1/accounts/{id}/auth/{action}");
            self.with(key, Method::POST, &path, body).await.expect(200);
        }
        self.becomes(&id, "running").await;
        id
    }

    fn status(&self, account: &str) -> &'static str {
        let id = anyport::domain::AccountId::from_text(account);
        let live = self.running.supervisor.live(&id).unwrap();
        live.runtime.status.as_str()
    }

    async fn becomes(&self, account: &str, status: &str) {
        let what = format!("the account is {status}");
        eventually(&what, async || {
            (self.status(account) == status).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_comes_rests_and_goes() {
    let host = Host::start().await;
    let new = json!({"name": "Pier", "account_quota": 1, "metadata": {"team": "a"}});
    let made = host
        .operate(Method::POST, "workspaces", new)
        .await
        .expect(201);
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    let one = format!("workspaces/{id}");
    let keys = format!("{one}/api-keys");
    let key = host
        .operate(Method::POST, &keys, json!({"name": "first"}))
        .await
        .expect(201);
    let key = key["data"]["api_key"].as_str().unwrap().to_owned();
    let account = host.signed_in(&key).await;

    // Quota.
    let second = json!({"provider": "simulator"});
    let refused = host
        .with(&key, Method::POST, "/v1/accounts", second.clone())
        .await
        .expect(409);
    assert_eq!(refused["error"]["code"], "workspace_account_quota_exceeded");
    let raised = json!({"account_quota": null});
    let changed = host.operate(Method::PATCH, &one, raised).await.expect(200);
    assert_eq!(changed["data"]["account_quota"], Value::Null);
    assert_eq!(changed["data"]["name"], "Pier");
    assert_eq!(changed["data"]["accounts"], 1);

    // It rests: the key opens nothing and the account is stopped, over a restart, too.
    let off = json!({"status": "suspended"});
    host.operate(Method::PATCH, &one, off).await.expect(200);
    let refused = host
        .with(&key, Method::GET, "/v1/workspace", json!({}))
        .await;
    assert_eq!(refused.expect(401)["error"]["code"], "invalid_api_key");
    host.becomes(&account, "stopped").await;
    let host = host.restart().await;
    assert_ne!(host.status(&account), "running");
    let on = json!({"status": "active"});
    host.operate(Method::PATCH, &one, on).await.expect(200);
    host.becomes(&account, "running").await;
    host.with(&key, Method::GET, "/v1/workspace", json!({}))
        .await
        .expect(200);

    // One with accounts is not deleted.
    let refused = host
        .operate(Method::DELETE, &one, json!({}))
        .await
        .expect(409);
    assert_eq!(refused["error"]["code"], "conflict");
    let path = format!("/v1/accounts/{account}");
    host.with(&key, Method::DELETE, &path, json!({}))
        .await
        .expect(204);
    host.operate(Method::DELETE, &one, json!({}))
        .await
        .expect(204);
    let gone = host
        .with(&key, Method::GET, "/v1/workspace", json!({}))
        .await;
    assert_eq!(gone.expect(401)["error"]["code"], "invalid_api_key");
    host.operate(Method::PATCH, &one, json!({}))
        .await
        .expect(404);
    host.stop().await;
}

/// The simulator's component with a manifest that asks for twice the memory.
fn greedy() -> Vec<u8> {
    let (modest, greedy) = (b"memory-bytes = 16777216", b"memory-bytes = 33554432");
    let bundled = anyport::app::BUNDLED.iter();
    let (_, simulator) = bundled
        .copied()
        .find(|(id, _)| *id == "simulator")
        .expect("the host carries it");
    let mut bytes = simulator.to_vec();
    let at = bytes
        .windows(modest.len())
        .position(|window| window == modest)
        .expect("the manifest asks for memory");
    bytes[at..at + greedy.len()].copy_from_slice(greedy);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_asks_for_more_waits_for_an_operator() {
    let host = Host::start().await;
    let account = host.signed_in(&host.key.clone()).await;
    let before = host.look("providers/simulator").await;
    let first = before["versions"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(before["granted"]["limits"]["memory-bytes"], 16_777_216);

    let upload = async |path: &str| {
        let request = host.as_operator(Method::POST, path).body(greedy());
        host.send(request).await
    };
    for path in ["/v1/providers", "/admin/v1/providers"] {
        let parked = upload(path).await.expect(202);
        let asked = &parked["data"]["parked"];
        assert_eq!(asked, &json!({"limits": {"memory-bytes": 33_554_432}}));
    }
    let listed = host.look("providers/simulator").await;
    let versions = listed["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0]["status"], "parked");
    assert_eq!(versions[0]["beyond"]["limits"]["memory-bytes"], 33_554_432);
    assert_eq!(versions[1]["status"], "current");
    assert_eq!(versions[1]["accounts"], 1);
    let parked = versions[0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(host.status(&account), "running");

    // It runs nowhere until it is approved, whoever asks how; not after a restart either.
    let version = |action: &str| format!("providers/simulator/versions/{parked}/{action}");
    let assignment = format!("accounts/{account}/version");
    for (method, path) in [
        (Method::POST, version("current")),
        (Method::PUT, assignment.clone()),
    ] {
        let body = json!({"digest": parked});
        let refused = host.operate(method, &path, body).await.expect(409);
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("memory-bytes 33554432"), "{message}");
    }
    let host = host.restart().await;
    host.becomes(&account, "running").await;
    let digest = async |host: &Host| {
        let path = format!("/v1/accounts/{account}");
        host.get(&path).await.expect(200)["data"]["provider_digest"].clone()
    };
    assert_eq!(digest(&host).await, first.as_str());

    let approved = host
        .operate(Method::POST, &version("approve"), json!({}))
        .await
        .expect(200);
    assert_eq!(approved["data"]["accounts"], 1);
    assert_eq!(
        approved["data"]["approved"]["limits"]["memory-bytes"],
        33_554_432
    );
    eventually("the account runs the new version", async || {
        (digest(&host).await == parked.as_str()).then_some(())
    })
    .await;
    // One account goes back, the others and new ones stay.
    let body = json!({"digest": first});
    host.operate(Method::PUT, &assignment, body)
        .await
        .expect(200);
    assert_eq!(digest(&host).await, first.as_str());
    let listed = host.look("providers/simulator").await;
    assert_eq!(listed["granted"]["limits"]["memory-bytes"], 33_554_432);
    assert_eq!(listed["versions"][0]["status"], "current");
    assert_eq!(listed["versions"][1]["accounts"], 1);
    // And over a restart.
    let host = host.restart().await;
    host.becomes(&account, "running").await;
    assert_eq!(digest(&host).await, first.as_str());

    for path in [
        "providers/nothing/versions/ab/approve".to_owned(),
        "providers/simulator/versions/ab/current".to_owned(),
    ] {
        host.operate(Method::POST, &path, json!({}))
            .await
            .expect(404);
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_policy_changes_while_it_runs() {
    let host = Host::start().await;
    let account = host.signed_in(&host.key.clone()).await;
    let reconnect = async |host: &Host| {
        let path = format!("/v1/accounts/{account}/runtime/reconnect");
        host.post(&path, json!({})).await.expect(200);
    };
    let reason = async |host: &Host, words: &str| {
        eventually(words, async || {
            let path = format!("/v1/accounts/{account}");
            let shown = host.get(&path).await.expect(200);
            let error = shown["data"]["runtime_error"].as_str().unwrap().to_owned();
            error.contains(words).then_some(())
        })
        .await;
    };
    for (policy, words) in [
        (
            json!({"addresses": {"deny": ["127.0.0.0/8"]}}),
            "an address that the operator denies",
        ),
        (json!({"egress": {"allow": []}}), "the operator's policy"),
        (
            json!({"providers": {"simulator": {"deny": [{"host": "*"}]}}}),
            "the operator's policy",
        ),
    ] {
        host.operate(Method::PUT, "network", policy)
            .await
            .expect(200);
        reconnect(&host).await;
        reason(&host, words).await;
        // Another provider's policy is none of its business.
        let other = json!({"providers": {"irc": {"deny": [{"host": "*"}]}}});
        host.operate(Method::PUT, "network", other)
            .await
            .expect(200);
        reconnect(&host).await;
        host.becomes(&account, "running").await;
    }
    // It is kept.
    let policy = json!({"addresses": {"allow": [], "deny": ["127.0.0.0/8"]},
                        "egress": {"deny": []}, "providers": {}});
    let put = host
        .operate(Method::PUT, "network", policy.clone())
        .await
        .expect(200);
    assert_eq!(put["data"], policy);
    let host = host.restart().await;
    assert_eq!(host.look("network").await, policy);
    reason(&host, "an address that the operator denies").await;
    host.operate(Method::PUT, "network", json!({}))
        .await
        .expect(200);
    reconnect(&host).await;
    host.becomes(&account, "running").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_configuration_is_the_operators_and_sealed() {
    let channel = anyport_simulator::Simulator::start(
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        anyport_simulator::Settings::default(),
    )
    .unwrap();
    let address = channel.address();
    let host = Host::start_with(|config| {
        // Nothing listens there.
        let nowhere = json!({"server": "127.0.0.1", "port": 1});
        config.provider.insert("simulator".into(), nowhere);
    })
    .await;
    let path = "providers/simulator/config";
    let refused = host
        .operate(Method::PUT, path, json!({"port": "many"}))
        .await
        .expect(400);
    assert_eq!(refused["error"]["field"], "config.port");
    let set = host
        .operate(Method::PATCH, path, json!({"port": address.port()}))
        .await
        .expect(200);
    assert_eq!(set["data"]["config"], json!({"port": address.port()}));
    let account = host.signed_in(&host.key.clone()).await;

    // A change reaches the accounts that run.
    let nowhere = json!({"port": 1});
    host.operate(Method::PATCH, path, nowhere).await.expect(200);
    let reconnect = format!("/v1/accounts/{account}/runtime/reconnect");
    host.post(&reconnect, json!({})).await.expect(200);
    eventually("it is not there any more", async || {
        (host.status(&account) != "running").then_some(())
    })
    .await;
    let back = json!({"port": address.port()});
    host.operate(Method::PUT, path, back).await.expect(200);
    host.becomes(&account, "running").await;

    // A secret goes in and does not come out.
    const MARKER: &str = "marker-7f3a-of-a-secret";
    let secret = json!({"server": "irc.example.org", "server-password": MARKER});
    let path = "providers/irc/config";
    let set = host.operate(Method::PUT, path, secret).await.expect(200);
    let shown = host.look(path).await;
    assert_eq!(set["data"], shown);
    assert_eq!(shown["config"], json!({"server": "irc.example.org"}));
    assert_eq!(shown["secrets"], json!(["server-password"]));
    let directory = host.stop().await;
    let mut files = 0;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(MARKER.len())
                .any(|window| window == MARKER.as_bytes());
            assert!(!found, "{} holds the secret", path.display());
        }
    }
    assert!(files > 0);
    channel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_and_state_are_shown() {
    const SENDS: u64 = 7;
    let host = Host::start().await;
    let account = host.signed_in(&host.key.clone()).await;
    for _ in 0..SENDS {
        let message = json!({"account_id": account, "to": {"id": "echo", "type": "user"},
                             "message": {"type": "text", "text": "hello"}});
        host.post("/v1/messages", message).await.expect(200);
    }
    let state = host.look("state").await;
    assert_eq!(state["accounts"]["total"], 1);
    assert_eq!(state["accounts"]["by_runtime_status"]["running"], 1);
    assert_eq!(state["partitions"].as_array().unwrap().len(), 64);
    assert_eq!(state["storage"]["trouble"], Value::Null);
    assert!(state["storage"]["events"].as_u64().unwrap() >= SENDS);
    // Written down at the latest when it stops.
    let host = host.restart().await;
    host.becomes(&account, "running").await;
    let usage = host.look("usage").await;
    let workspaces = usage["workspaces"].as_array().unwrap();
    assert_eq!(workspaces.len(), 1);
    assert_eq!(workspaces[0]["sends"], SENDS);
    let used = &workspaces[0]["accounts"][0];
    assert_eq!(used["account_id"], account);
    assert_eq!(used["sends"], SENDS);
    for counter in ["turns", "cpu_us", "events", "bytes_in", "bytes_out"] {
        assert!(
            used[counter].as_u64().unwrap() >= SENDS,
            "{counter}: {used}"
        );
    }
    let nothing = host.look("usage?from=2020-01-01&to=2020-01-02").await;
    assert_eq!(nothing["workspaces"], json!([]));
    // The last use of a key was written down, too.
    let keys = host.get("/v1/api-keys").await.expect(200);
    assert!(keys["data"][0]["last_used_at"].is_string());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_keys_are_several_and_rotate() {
    let host = Host::start().await;
    let listed = host.look("operator-keys").await;
    let first = listed[0]["id"].as_str().unwrap().to_owned();
    let off = json!({"status": "inactive"});
    let path = format!("operator-keys/{first}");
    // Nobody could come in any more.
    let refused = host
        .operate(Method::PATCH, &path, off.clone())
        .await
        .expect(409);
    assert_eq!(refused["error"]["code"], "conflict");
    let second = host
        .operate(Method::POST, "operator-keys", json!({"name": "second"}))
        .await
        .expect(201);
    let second = second["data"]["api_key"].as_str().unwrap().to_owned();
    assert!(second.starts_with("op_live_"));
    let overlap = json!({"overlap_ms": 60_000});
    let rotate = format!("{path}/rotate");
    let turned = host
        .operate(Method::POST, &rotate, overlap)
        .await
        .expect(200);
    let third = turned["data"]["api_key"].as_str().unwrap();
    for key in [host.operator_key.as_str(), second.as_str(), third] {
        let answer = host
            .with(key, Method::GET, "/admin/v1/state", json!({}))
            .await;
        answer.expect(200);
    }
    let answer = host
        .with(&second, Method::PATCH, &format!("/admin/v1/{path}"), off)
        .await;
    answer.expect(200);
    for key in [host.operator_key.as_str(), third] {
        let answer = host
            .with(key, Method::GET, "/admin/v1/state", json!({}))
            .await;
        assert_eq!(answer.expect(401)["error"]["code"], "invalid_api_key");
    }
    host.stop().await;
}

/// Over the network, where a peer has an address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_refused() {
    let host = Host::start_with(|config| {
        config.limits.requests_per_second = 1;
        config.limits.burst = 3;
        config.limits.unauthenticated_per_second = 1;
        config.limits.unauthenticated_burst = 3;
    })
    .await;
    let statuses = async |key: &str| {
        let calls = (0..30).map(|_| host.with(key, Method::GET, "/v1/workspace", json!({})));
        let answers = futures::future::join_all(calls).await;
        let mut statuses: Vec<u16> = answers
            .iter()
            .map(|answer| answer.status.as_u16())
            .collect();
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    };
    assert_eq!(statuses(&host.key).await, [200, 429]);
    assert_eq!(statuses("dk_live_x").await, [401, 429]);
    // A key of its own rate, as an operator sets it, is bound by that alone.
    let operate = async |method: Method, path: &str, body: Value| {
        eventually("the operator's key has its turn", async || {
            let answer = host.operate(method.clone(), path, body.clone()).await;
            (answer.status.as_u16() != 429).then_some(answer)
        })
        .await
    };
    let listed = operate(Method::GET, "workspaces", json!({}))
        .await
        .expect(200);
    let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
    let keys = format!("workspaces/{id}/api-keys");
    let new = json!({"name": "fast", "rate_limit": {"per_second": 1000, "burst": 1000}});
    let made = operate(Method::POST, &keys, new).await.expect(201);
    assert_eq!(made["data"]["key"]["rate_limit"]["burst"], 1000);
    let fast = made["data"]["api_key"].as_str().unwrap();
    for _ in 0..10 {
        let answer = host
            .with(fast, Method::GET, "/v1/workspace", json!({}))
            .await;
        assert_eq!(answer.headers["ratelimit-limit"], "1000");
        answer.expect(200);
    }
    host.stop().await;
}
