use super::super::v1::providers::PUBLISHED_NAMES;
use super::Host;
use serde_json::{Value, json};

/// Required fields of the contract's schemas, with their JSON types: `s` string, `b` boolean,
/// `i` integer, `o` object, `l` list.
const WORKSPACE: &str = "name:s status:s account_quota:i account_quota_unlimited:b";
const REGIONS: &str = "provider:s regions:l";
const REGION: &str = "region:s supported:b allocatable:b";
const ACCOUNT: &str = "id:s name:s provider:s region:s status:s runtime_status:s auth_mode:s \
                       capabilities:l metadata:o proxy:o provider_profile:o";
const SESSION: &str =
    "account_id:s status:s auth_fields:l auth_payload:o expires_at:s last_error:s";
const RUNTIME: &str = "account_id:s provider:s action:s operation_status:s runtime_status:s \
                       runtime_error:s";
const SENT: &str = "message_id:s account_id:s status:s";
const ENDPOINT: &str = "id:s url:s status:s subscribed_events:l signing_enabled:b retry_policy:o";

fn check(value: &Value, schema: &str) {
    for field in schema.split_whitespace() {
        let (name, kind) = field.split_once(':').unwrap();
        let found = &value[name];
        let fits = match kind {
            "s" => found.is_string(),
            "b" => found.is_boolean(),
            "i" => found.is_u64(),
            "o" => found.is_object(),
            _ => found.is_array(),
        };
        assert!(fits, "{name} of {value}");
    }
}

#[tokio::test]
async fn answers_have_the_contracts_shapes() {
    let host = Host::new();
    let id = host.account().await;
    let account = |rest: &str| format!("/v1/accounts/{id}{rest}");
    let endpoint = host
        .post(
            "/v1/webhook-endpoints",
            json!({"url": "https://a.example/", "status": "active"}),
        )
        .await;
    let endpoint = format!(
        "/v1/webhook-endpoints/{}",
        endpoint.data()["id"].as_str().unwrap()
    );
    let message = json!({"account_id": id, "to": {"id": "c", "type": "group"},
                         "message": {"type": "text", "text": "hi"}});
    let new = json!({"provider": "pier", "region": "", "name": "", "provider_data": {"phone": "6591234567"}});
    let not_installed = format!("/v1/providers/{}/regions", PUBLISHED_NAMES[0]);
    let rows: Vec<(&str, String, Option<Value>, u16, &str)> = vec![
        ("GET", "/v1/workspace".into(), None, 200, WORKSPACE),
        (
            "GET",
            "/v1/providers/harbor/regions".into(),
            None,
            200,
            REGIONS,
        ),
        ("GET", not_installed.clone(), None, 200, REGIONS),
        ("POST", "/v1/accounts".into(), Some(new), 201, ACCOUNT),
        ("GET", account(""), None, 200, ACCOUNT),
        (
            "PATCH",
            account(""),
            Some(json!({"name": "Night desk"})),
            200,
            ACCOUNT,
        ),
        ("GET", account("/auth"), None, 200, SESSION),
        ("POST", account("/auth/start"), None, 200, SESSION),
        (
            "POST",
            account("/auth/qr/start"),
            Some(json!({})),
            200,
            SESSION,
        ),
        ("POST", account("/auth/qr/check"), None, 200, SESSION),
        (
            "POST",
            account("/auth/code"),
            Some(json!({"code": "1"})),
            200,
            SESSION,
        ),
        (
            "POST",
            account("/auth/password"),
            Some(json!({"password": "1"})),
            200,
            SESSION,
        ),
        (
            "POST",
            account("/auth/session"),
            Some(json!({"session": "1"})),
            200,
            SESSION,
        ),
        ("POST", account("/auth/cancel"), None, 200, SESSION),
        ("POST", account("/runtime/refresh"), None, 200, RUNTIME),
        (
            "POST",
            account("/runtime/start"),
            Some(json!({})),
            200,
            RUNTIME,
        ),
        ("POST", account("/runtime/stop"), None, 200, RUNTIME),
        ("POST", account("/runtime/reconnect"), None, 200, RUNTIME),
        ("POST", "/v1/messages".into(), Some(message), 200, SENT),
        ("GET", endpoint.clone(), None, 200, ENDPOINT),
        (
            "PATCH",
            endpoint.clone(),
            Some(json!({"status": "active"})),
            200,
            ENDPOINT,
        ),
        (
            "POST",
            format!("{endpoint}/deactivate"),
            None,
            200,
            ENDPOINT,
        ),
    ];
    for (method, path, body, status, schema) in rows {
        let answered = host.call(method, &path, body).await;
        assert_eq!(
            answered.status, status,
            "{method} {path}: {}",
            answered.body
        );
        check(answered.data(), schema);
    }
    for (path, schema) in [
        ("/v1/accounts", ACCOUNT),
        ("/v1/webhook-endpoints", ENDPOINT),
    ] {
        let answered = host.get(path).await;
        assert_eq!(answered.status, 200);
        let list = answered.data().as_array().unwrap();
        assert!(!list.is_empty());
        list.iter().for_each(|item| check(item, schema));
    }
    let regions = host.get(&not_installed).await;
    let region = &regions.data()["regions"][0];
    check(region, REGION);
    assert_eq!(
        region,
        &json!({"region": "global", "supported": false, "allocatable": false})
    );
    for (action, word) in [("refresh", "refresh_status"), ("reconnect", "reconnect")] {
        let answered = host
            .call("POST", &account(&format!("/runtime/{action}")), None)
            .await;
        assert_eq!(answered.data()["action"], word);
        assert_eq!(answered.data()["operation_status"], "succeeded");
    }
    for path in [account(""), endpoint] {
        let gone = host.call("DELETE", &path, None).await;
        assert_eq!((gone.status, gone.body), (204, Value::Null));
    }
}

#[tokio::test]
async fn an_account_shows_what_was_given_but_no_secret() {
    let host = Host::new();
    let answered = host
        .post(
            "/v1/accounts",
            json!({"provider": "pier", "auth_mode": "QR_code", "metadata": {"team": "a"},
                   "provider_data": {"phone": "+65 9123 4567", "api_hash": "hash",
                     "proxy_config": "{\"host\":\"p.example\",\"port\":8080,\"user\":\"u\",\"password\":\"pw\"}"}}),
        )
        .await;
    assert_eq!(answered.status, 201, "{}", answered.body);
    let data = answered.data();
    assert_eq!(data["provider"], "pier");
    assert_eq!(data["auth_mode"], "qrcode");
    assert_eq!(data["region"], "global");
    assert_eq!(data["status"], "active");
    assert_eq!(
        data["proxy"],
        json!({"type": "http", "host": "p.example", "port": 8080, "username": "u"})
    );
    assert!(!data.to_string().contains("pw") && !data.to_string().contains("hash"));
    let stored = host.store.state().accounts[0].clone();
    assert_eq!(
        stored.config,
        json!({"phone": "6591234567", "api_hash": "hash"})
    );
    // An empty proxy takes it away.
    let path = format!("/v1/accounts/{}", stored.id);
    let answered = host.call("PATCH", &path, Some(json!({"proxy": {}}))).await;
    assert_eq!(answered.data()["proxy"], json!({}));
}

#[tokio::test]
async fn providers_are_listed_and_uploaded() {
    let host = Host::new();
    for key in [&host.key, &host.operator] {
        let request = axum::http::Request::get("/v1/providers").header("x-api-key", key);
        let answered = host
            .send(request.body(axum::body::Body::empty()).unwrap())
            .await;
        assert_eq!(answered.status, 200);
        let provider = &answered.data()[0];
        assert_eq!(provider["provider"], "harbor");
        assert_eq!(provider["class"], "cursor");
        assert_eq!(provider["sign_in_methods"][0]["auth_mode"], "qrcode");
        assert_eq!(provider["last_refusal"]["reason"], "wrong shape");
    }
    let upload = |key: String, bytes: Vec<u8>| {
        let host = &host;
        async move {
            let request = axum::http::Request::post("/v1/providers")
                .header("x-api-key", key)
                .header("content-type", "application/wasm")
                .body(axum::body::Body::from(bytes))
                .unwrap();
            host.send(request).await
        }
    };
    let good = b"\0asm rest".to_vec();
    let answered = upload(host.operator.clone(), good.clone()).await;
    assert_eq!(answered.status, 201);
    assert_eq!(answered.data()["version"], "0.2.0");
    let answered = upload(host.operator.clone(), b"no".to_vec()).await;
    assert_eq!(
        (answered.status, answered.code()),
        (400, "invalid_component")
    );
    assert_eq!(answered.message(), "body: not a component");
    let answered = upload(host.operator.clone(), vec![]).await;
    assert_eq!(
        (answered.status, answered.code()),
        (400, "invalid_component")
    );
    let answered = upload(host.key.clone(), good).await;
    assert_eq!(
        (answered.status, answered.code()),
        (403, "operator_key_required")
    );
}
