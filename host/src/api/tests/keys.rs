//! A workspace's keys: made, switched off, rotated, bounded in time; and its own name and status.

use super::{Answered, Host};
use crate::domain::Timestamp;
use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

impl Host {
    /// With another key.
    async fn with_key(&self, key: &str, method: &str, path: &str, body: Value) -> Answered {
        let mut request = self.request(method.parse().unwrap(), path);
        request
            .headers_mut()
            .unwrap()
            .insert("x-api-key", key.parse().unwrap());
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    async fn opens(&self, key: &str) -> bool {
        let answered = self
            .with_key(key, "GET", "/v1/workspace", Value::Null)
            .await;
        assert!(answered.status == 200 || answered.code() == "invalid_api_key");
        answered.status == 200
    }

    async fn new_key(&self, body: Value) -> (String, String) {
        let answered = self.post("/v1/api-keys", body).await;
        assert_eq!(answered.status, 201, "{}", answered.body);
        let data = answered.data();
        (
            data["key"]["id"].as_str().unwrap().to_owned(),
            data["api_key"].as_str().unwrap().to_owned(),
        )
    }
}

#[tokio::test]
async fn a_key_is_made_listed_and_shown_once() {
    let host = Host::new();
    let answered = host
        .post("/v1/api-keys", json!({"name": "ci", "prefix": "team_a"}))
        .await;
    assert_eq!(answered.status, 201);
    let data = answered.data();
    let text = data["api_key"].as_str().unwrap();
    assert!(text.starts_with("team_a_") && text.len() == 50, "{text}");
    assert_eq!(data["key"]["key_prefix"], "team_a");
    assert_eq!(data["key"]["status"], "active");
    assert_eq!(data["key"]["scopes"], json!(["all"]));
    assert!(host.opens(text).await);
    let listed = host.get("/v1/api-keys").await;
    let keys = listed.data().as_array().unwrap();
    // The operators' stand elsewhere.
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[1]["name"], "ci");
    assert!(keys[1]["last_used_at"].is_string());
    assert!(!listed.body.to_string().contains(text));
    // A last use is no write; it is written down in one batch.
    assert_eq!(host.store.state().touches, 0);
    host.key_use.flush(&*host.store).await.unwrap();
    let state = host.store.state();
    assert_eq!(state.touches, 1);
    assert!(
        state
            .keys
            .iter()
            .filter(|key| key.last_used_at.is_some())
            .count()
            == 2
    );
}

#[tokio::test]
async fn a_key_is_switched_off_at_once() {
    let host = Host::new();
    let (id, text) = host.new_key(json!({"name": "ci"})).await;
    assert!(host.opens(&text).await);
    let path = format!("/v1/api-keys/{id}");
    for (status, opens) in [("inactive", false), ("active", true)] {
        let answered = host
            .call("PATCH", &path, Some(json!({"status": status})))
            .await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.data()["status"], status);
        assert_eq!(answered.data()["name"], "ci");
        assert_eq!(host.opens(&text).await, opens);
    }
    for (path, body, code) in [
        (path.as_str(), json!({"status": "gone"}), "invalid_request"),
        (path.as_str(), json!({}), "invalid_request"),
        (
            "/v1/api-keys/ak_none",
            json!({"status": "active"}),
            "update_api_key_failed",
        ),
    ] {
        let answered = host.call("PATCH", path, Some(body)).await;
        assert_eq!((answered.status, answered.code()), (400, code));
    }
}

#[tokio::test]
async fn a_key_is_rotated_with_and_without_overlap() {
    let host = Host::new();
    let (id, first) = host.new_key(json!({"name": "ci"})).await;
    let path = format!("/v1/api-keys/{id}/rotate");
    let text = |answered: &Answered| answered.data()["api_key"].as_str().unwrap().to_owned();

    let answered = host.post(&path, json!({"name": "ci 2"})).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.data()["key"]["id"], id);
    assert_eq!(answered.data()["key"]["name"], "ci 2");
    let second = text(&answered);
    assert!(!host.opens(&first).await && host.opens(&second).await);

    // Without a body the name stays.
    let answered = host.call("POST", &path, None).await;
    assert_eq!(answered.data()["key"]["name"], "ci 2");
    let third = text(&answered);
    let answered = host.post(&path, json!({"overlap_ms": 60_000})).await;
    let fourth = text(&answered);
    assert!(answered.data()["key"]["previous_valid_until"].is_string());
    assert!(!host.opens(&second).await);
    assert!(host.opens(&third).await && host.opens(&fourth).await);
    // The overlap ends.
    {
        let mut state = host.store.state();
        let key = state.keys.iter_mut().find(|key| key.id.as_str() == id);
        key.unwrap().previous.as_mut().unwrap().until = Timestamp::now();
    }
    host.post("/v1/api-keys", json!({"name": "any change"}))
        .await;
    assert!(!host.opens(&third).await && host.opens(&fourth).await);

    let answered = host.post("/v1/api-keys/ak_none/rotate", json!({})).await;
    assert_eq!(
        (answered.status, answered.code()),
        (400, "rotate_api_key_failed")
    );
    let answered = host
        .post(&path, json!({"overlap_ms": 604_800_001u64}))
        .await;
    assert_eq!(answered.body["error"]["field"], "overlap_ms");
}

#[tokio::test]
async fn what_is_wrong_with_a_new_key_is_named() {
    let host = Host::new();
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "a", "prefix": "a b"}), "prefix"),
        (json!({"name": "a", "prefix": "op_live"}), "prefix"),
        (json!({"name": "a", "scopes": []}), "scopes"),
        (json!({"name": "a", "scopes": ["write"]}), "scopes[0]"),
        (json!({"name": "a", "account_id": "acc_none"}), "account_id"),
        (json!({"name": "a", "expires_at": "soon"}), "expires_at"),
        (
            json!({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}),
            "expires_at",
        ),
    ] {
        let answered = host.post("/v1/api-keys", body).await;
        assert_eq!((answered.status, answered.code()), (400, "invalid_request"));
        assert_eq!(answered.body["error"]["field"], field);
    }
    let settings = super::Settings {
        keys_per_workspace: 2,
        ..super::Settings::default()
    };
    let host = Host::with(settings);
    let (id, _) = host.new_key(json!({"name": "second"})).await;
    let full = host.post("/v1/api-keys", json!({"name": "third"})).await;
    assert_eq!((full.status, full.code()), (400, "create_api_key_failed"));
    let off = Some(json!({"status": "inactive"}));
    host.call("PATCH", &format!("/v1/api-keys/{id}"), off).await;
    host.new_key(json!({"name": "third"})).await;
}

#[tokio::test]
async fn a_key_of_one_account_sees_that_account_only() {
    let host = Host::new();
    let (mine, other) = (host.account().await, host.account().await);
    let body = json!({"name": "a", "account_id": mine, "scopes": ["read", "send"]});
    let (_, key) = host.new_key(body).await;
    let get = async |path: String| host.with_key(&key, "GET", &path, Value::Null).await;
    let listed = get("/v1/accounts".into()).await;
    assert_eq!(listed.data().as_array().unwrap().len(), 1);
    assert_eq!(listed.data()[0]["id"], mine);
    assert_eq!(get(format!("/v1/accounts/{mine}")).await.status, 200);
    for path in [
        format!("/v1/accounts/{other}"),
        format!("/v1/events?account_id={other}"),
        format!("/v1/messages?account_id={other}"),
    ] {
        let answered = get(path).await;
        assert_eq!((answered.status, answered.code()), (404, "not_found"));
    }
    // Events of others are not in what it reads without a filter.
    for (id, text) in [(&mine, "mine"), (&other, "not mine")] {
        let account = {
            let state = host.store.state();
            let mut all = state.accounts.iter();
            all.find(|one| one.id.as_str() == id).unwrap().clone()
        };
        host.store.append(&account, "message.received", text);
    }
    let events = get("/v1/events".into()).await;
    let items = events.data()["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["data"], "mine");

    let message = |account: &str| {
        json!({"account_id": account, "to": {"id": "c", "type": "user"},
               "message": {"type": "text", "text": "hi"}})
    };
    for (account, status) in [(&mine, 200), (&other, 409)] {
        let answered = host
            .with_key(&key, "POST", "/v1/messages", message(account))
            .await;
        assert_eq!(answered.status, status, "{}", answered.body);
    }
    // The send of another account, by our id of it.
    let sent = host.post("/v1/messages", message(&other)).await;
    let id = sent.data()["id"].as_str().unwrap();
    assert_eq!(host.get(&format!("/v1/messages/{id}")).await.status, 200);
    let hidden = get(format!("/v1/messages/{id}")).await;
    assert_eq!((hidden.status, hidden.code()), (404, "not_found"));
}

#[tokio::test]
async fn a_workspace_changes_its_name_and_closes_itself() {
    let host = Host::new();
    let patch = async |body: Value| host.call("PATCH", "/v1/workspace", Some(body)).await;
    for (body, field) in [
        (json!({"status": "active"}), "name"),
        (json!({"name": "a"}), "status"),
        (json!({"name": "a", "status": "suspended"}), "status"),
        (
            json!({"name": "a", "status": "active", "metadata": {"n": 1}}),
            "metadata.n",
        ),
    ] {
        let answered = patch(body).await;
        assert_eq!((answered.status, answered.code()), (400, "invalid_request"));
        assert_eq!(answered.body["error"]["field"], field);
    }
    let answered = patch(json!({"name": "Pier", "status": "active"})).await;
    assert_eq!(
        answered.data(),
        &json!({"name": "Pier", "status": "active", "metadata": {"env": "prod"},
                "account_quota": 25, "account_quota_unlimited": false})
    );
    let answered = patch(json!({"name": "Pier", "status": "active", "metadata": {}})).await;
    assert_eq!(answered.data()["metadata"], json!({}));
    let answered = patch(json!({"name": "Pier", "status": "inactive"})).await;
    assert_eq!(answered.status, 200);
    let answered = host.get("/v1/workspace").await;
    assert_eq!((answered.status, answered.code()), (401, "invalid_api_key"));
}

/// A stream ends when its key is good no more.
#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let host = Host::with(super::Settings {
        heartbeat: std::time::Duration::from_millis(10),
        ..super::Settings::default()
    });
    let (id, text) = host.new_key(json!({"name": "ci"})).await;
    let mut request = host.request(Method::GET, "/v1/events/stream");
    request
        .headers_mut()
        .unwrap()
        .insert("x-api-key", text.parse().unwrap());
    let request = request.body(Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(host.router.clone(), request)
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let reading = tokio::spawn(http_body_util::BodyExt::collect(response.into_body()));
    let off = Some(json!({"status": "inactive"}));
    host.call("PATCH", &format!("/v1/api-keys/{id}"), off).await;
    // Ends by itself; the test would hang otherwise.
    assert!(reading.await.unwrap().is_ok());
}
