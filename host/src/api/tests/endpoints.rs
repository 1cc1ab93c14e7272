use super::Host;
use crate::domain::endpoint::EndpointState;
use serde_json::{Value, json};

const PATH: &str = "/v1/webhook-endpoints";

async fn create(host: &Host, body: Value) -> Value {
    let answered = host.post(PATH, body).await;
    assert_eq!(answered.status, 201, "{}", answered.body);
    answered.data().clone()
}

#[tokio::test]
async fn an_endpoint_is_made_changed_and_removed() {
    let host = Host::new();
    let made = create(
        &host,
        json!({"url": "https://hooks.example.net/a", "signing_secret": "s1"}),
    )
    .await;
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    assert_eq!(made["status"], "active");
    assert_eq!(made["signing_enabled"], true);
    assert_eq!(made["subscribed_events"], json!([]));
    assert_eq!(
        made["retry_policy"],
        json!({"profile": "standard", "timeout_ms": 15000})
    );
    assert_eq!(made["ordering"], "conversation");
    assert!(!made.to_string().contains("s1\""));

    let change = |body: Value| {
        let (host, path) = (&host, path.clone());
        async move {
            let answered = host.call("PATCH", &path, Some(body)).await;
            assert_eq!(answered.status, 200, "{}", answered.body);
            answered.data().clone()
        }
    };
    let changed = change(json!({"retry_policy": {"max_attempts": 0, "profile": "unifyport"},
                                "subscribed_events": ["*", "message.status.updated", "provider.call"]}))
        .await;
    assert_eq!(
        changed["retry_policy"],
        json!({"profile": "unifyport", "timeout_ms": 15000, "max_attempts": 0})
    );
    assert_eq!(changed["url"], "https://hooks.example.net/a");
    assert_eq!(changed["signing_enabled"], true);
    let changed = change(json!({"retry_policy": {"timeout_ms": 1000}})).await;
    assert_eq!(
        changed["retry_policy"],
        json!({"profile": "unifyport", "timeout_ms": 1000, "max_attempts": 0})
    );

    // The new secret signs at once unless an overlap is asked for.
    change(json!({"signing_secret": "s2"})).await;
    assert_eq!(host.store.state().endpoints[0].old_secret, None);
    change(json!({"signing_secret": "s3", "signing_secret_overlap_ms": 60000})).await;
    let old = host.store.state().endpoints[0].old_secret.clone().unwrap();
    assert_eq!(old.0.expose(), "s2");
    let changed = change(json!({"signing_secret": ""})).await;
    assert_eq!(changed["signing_enabled"], false);
    assert_eq!(host.store.state().endpoints[0].old_secret, None);

    let off = host.call("POST", &format!("{path}/deactivate"), None).await;
    assert_eq!(off.data()["status"], "inactive");
    host.store.state().endpoints[0].state = EndpointState::Disabled;
    assert_eq!(host.get(&path).await.data()["status"], "disabled");
    let changed = change(json!({"status": "active"})).await;
    assert_eq!(
        (&changed["status"], &changed["state"]),
        (&json!("active"), &json!("enabled"))
    );
    host.store.state().endpoints[0].state = EndpointState::Failing;
    let changed = change(json!({"status": "active"})).await;
    assert_eq!(
        (&changed["status"], &changed["state"]),
        (&json!("active"), &json!("failing"))
    );

    let seen = host.changed_endpoints.lock().unwrap().len();
    let gone = host.call("DELETE", &path, None).await;
    assert_eq!((gone.status, gone.body), (204, Value::Null));
    assert_eq!(host.changed_endpoints.lock().unwrap().len(), seen + 1);
    for (method, path, status, code) in [
        ("GET", path.clone(), 404, "not_found"),
        ("PATCH", path.clone(), 400, "update_webhook_endpoint_failed"),
        (
            "DELETE",
            path.clone(),
            400,
            "delete_webhook_endpoint_failed",
        ),
        (
            "POST",
            format!("{path}/deactivate"),
            400,
            "deactivate_webhook_endpoint_failed",
        ),
    ] {
        let body = (method == "PATCH").then(|| json!({}));
        let answered = host.call(method, &path, body).await;
        assert_eq!(
            (answered.status, answered.code()),
            (status, code),
            "{method}"
        );
        assert!(answered.message().starts_with("endpoint_id: "));
    }
    assert_eq!(host.changed_endpoints.lock().unwrap().len(), seen + 1);
}

#[tokio::test]
async fn a_filter_names_accounts_of_the_workspace() {
    let host = Host::new();
    let account = host.account().await;
    let body = |id: &str| json!({"url": "https://a.example/", "accounts": [id]});
    assert_eq!(
        create(&host, body(&account)).await["accounts"],
        json!([account])
    );
    let answered = host.post(PATH, body("acc_other")).await;
    assert_eq!(answered.status, 400);
    assert_eq!(answered.message(), "accounts[0]: there is no such account");
}

#[tokio::test]
async fn a_workspace_has_so_many_endpoints() {
    let host = Host::with(super::Settings {
        endpoints_per_workspace: 1,
        ..super::Settings::default()
    });
    let body = json!({"url": "https://a.example/"});
    create(&host, body.clone()).await;
    let answered = host.post(PATH, body).await;
    assert_eq!(
        (answered.status, answered.code()),
        (400, "create_webhook_endpoint_failed")
    );
}
