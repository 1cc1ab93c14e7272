//! Every operation against every kind of bad input: the documented status and code, a message
//! that names the field, and nothing changed.

use super::super::v1::providers::PUBLISHED_NAMES;
use super::Host;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

/// Method, path, and whether a body must be there.
const OPERATIONS: [(&str, &str, bool); 29] = [
    ("GET", "/v1/workspace", false),
    ("GET", "/v1/providers/harbor/regions", false),
    ("GET", "/v1/accounts", false),
    ("POST", "/v1/accounts", true),
    ("GET", "/v1/accounts/{a}", false),
    ("PATCH", "/v1/accounts/{a}", true),
    ("DELETE", "/v1/accounts/{a}", false),
    ("GET", "/v1/accounts/{a}/auth", false),
    ("POST", "/v1/accounts/{a}/auth/start", false),
    ("POST", "/v1/accounts/{a}/auth/qr/start", false),
    ("POST", "/v1/accounts/{a}/auth/qr/check", false),
    ("POST", "/v1/accounts/{a}/auth/code", false),
    ("POST", "/v1/accounts/{a}/auth/password", false),
    ("POST", "/v1/accounts/{a}/auth/session", false),
    ("POST", "/v1/accounts/{a}/auth/cancel", false),
    ("POST", "/v1/accounts/{a}/runtime/refresh", false),
    ("POST", "/v1/accounts/{a}/runtime/start", false),
    ("POST", "/v1/accounts/{a}/runtime/stop", false),
    ("POST", "/v1/accounts/{a}/runtime/reconnect", false),
    ("POST", "/v1/messages", true),
    ("GET", "/v1/messages", false),
    ("GET", "/v1/messages/msg_1", false),
    ("GET", "/v1/webhook-endpoints", false),
    ("POST", "/v1/webhook-endpoints", true),
    ("GET", "/v1/webhook-endpoints/{e}", false),
    ("PATCH", "/v1/webhook-endpoints/{e}", true),
    ("DELETE", "/v1/webhook-endpoints/{e}", false),
    ("POST", "/v1/webhook-endpoints/{e}/deactivate", false),
    ("GET", "/v1/events", false),
];

async fn prepared() -> (Host, String, String) {
    let host = Host::new();
    let account = host.account().await;
    let endpoint = host
        .post(
            "/v1/webhook-endpoints",
            json!({"url": "https://a.example/"}),
        )
        .await;
    let endpoint = endpoint.data()["id"].as_str().unwrap().to_owned();
    (host, account, endpoint)
}

#[tokio::test]
async fn keys() {
    let (host, account, endpoint) = prepared().await;
    let before = host.store.fingerprint();
    let inactive = {
        let (text, mut key) = super::mint_key(
            crate::storage::KeyKind::Workspace,
            Some(host.workspace.clone()),
            "off",
        )
        .unwrap();
        key.active = false;
        host.store.state().keys.push(key);
        text
    };
    for (method, path, _) in OPERATIONS {
        let path = path.replace("{a}", &account).replace("{e}", &endpoint);
        for (key, code) in [
            (None, "missing_api_key"),
            (Some(""), "missing_api_key"),
            (Some("dk_live_nothing"), "invalid_api_key"),
            (Some(inactive.as_str()), "invalid_api_key"),
            (Some(host.operator.as_str()), "invalid_api_key"),
        ] {
            let mut request = Request::builder().method(method).uri(&path);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let answered = host.send(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(
                (answered.status, answered.code()),
                (401, code),
                "{method} {path}"
            );
            assert!(answered.message().starts_with("X-Api-Key: "));
        }
    }
    assert_eq!(host.store.fingerprint(), before);
}

#[tokio::test]
async fn bodies() {
    let (host, account, endpoint) = prepared().await;
    let before = host.store.fingerprint();
    for (method, path, required) in OPERATIONS {
        if matches!(method, "GET" | "DELETE") {
            continue;
        }
        let path = path.replace("{a}", &account).replace("{e}", &endpoint);
        let send = |body: Vec<u8>, content_type: &'static str| {
            let request = host
                .request(method.parse().unwrap(), &path)
                .header("content-type", content_type)
                .body(Body::from(body))
                .unwrap();
            host.send(request)
        };
        for bad in [
            &b"{\"a\":"[..],
            b"nonsense",
            b"[]",
            b"\"text\"",
            b"3",
            b"{\"a\": \"\xff\"}",
            b"{} {}",
            b"{\"a\": NaN}",
        ] {
            let answered = send(bad.to_vec(), "application/json").await;
            assert_eq!(
                (answered.status, answered.code()),
                (400, "invalid_request"),
                "{method} {path} {}",
                String::from_utf8_lossy(bad)
            );
            assert!(
                answered.message().starts_with("body: "),
                "{}",
                answered.message()
            );
        }
        let answered = send(b"{\"a\":\n  x}".to_vec(), "application/json").await;
        assert!(
            answered.message().contains("line 2 column 3"),
            "{}",
            answered.message()
        );
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(256 * 1024)).into_bytes();
        let answered = send(large, "application/json").await;
        assert_eq!(
            (answered.status, answered.code()),
            (413, "payload_too_large")
        );
        if required {
            let answered = send(Vec::new(), "application/json").await;
            assert_eq!((answered.status, answered.code()), (400, "invalid_request"));
            assert_eq!(answered.message(), "body: is required (a JSON object)");
        }
    }
    assert_eq!(host.store.fingerprint(), before);
}

#[tokio::test]
async fn a_body_without_an_announced_length_is_limited_too() {
    let (host, ..) = prepared().await;
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 10_000]));
    let body = Body::from_stream(futures::stream::iter(chunks));
    let request = host
        .request(Method::POST, "/v1/messages")
        .body(body)
        .unwrap();
    let answered = host.send(request).await;
    assert_eq!(
        (answered.status, answered.code()),
        (413, "payload_too_large")
    );
}

#[tokio::test]
async fn unknown_ids() {
    let (host, ..) = prepared().await;
    let before = host.store.fingerprint();
    for (method, path, _) in OPERATIONS {
        if !path.contains('{') {
            continue;
        }
        let path = path
            .replace("{a}", "acc_unknown")
            .replace("{e}", "we_unknown");
        let body = (method != "GET").then(|| json!({"code": "1", "password": "1", "session": "1"}));
        let answered = host.call(method, &path, body).await;
        let expected = match (method, path.as_str()) {
            (_, path) if path.contains("/runtime/") => (409, "account_binding_not_found"),
            ("POST", path) if path.contains("/auth/") => (409, "account_binding_not_found"),
            ("PATCH", path) if path.contains("webhook") => (400, "update_webhook_endpoint_failed"),
            ("DELETE", path) if path.contains("webhook") => (400, "delete_webhook_endpoint_failed"),
            ("POST", path) if path.contains("webhook") => {
                (400, "deactivate_webhook_endpoint_failed")
            }
            _ => (404, "not_found"),
        };
        assert_eq!(
            (answered.status, answered.code()),
            expected,
            "{method} {path}"
        );
        let field = if path.contains("webhook") {
            "endpoint_id: "
        } else {
            "account_id: "
        };
        assert!(
            answered.message().starts_with(field),
            "{}",
            answered.message()
        );
    }
    assert_eq!(host.store.fingerprint(), before);
}

/// A change of the good body, what comes of it, and the field the message names.
type Row = (&'static str, Option<Value>, u16, &'static str, &'static str);

async fn check(host: &Host, method: &str, path: &str, good: &Value, rows: &[Row]) {
    let before = host.store.fingerprint();
    for (pointer, value, status, code, field) in rows {
        let mut body = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => parent.insert(name.to_owned(), value.clone()),
            None => parent.remove(name),
        };
        let answered = host.call(method, path, Some(body.clone())).await;
        assert_eq!(
            (answered.status, answered.code()),
            (*status, *code),
            "{path} {body}: {}",
            answered.body
        );
        let message = answered.message();
        assert!(
            message.starts_with(&format!("{field}: ")),
            "{message} should name {field}"
        );
        assert_eq!(host.store.fingerprint(), before, "{path} {body}");
    }
}

#[tokio::test]
async fn fields_of_an_account() {
    let (host, account, _) = prepared().await;
    let good = json!({"provider": "harbor", "region": "global", "provider_data": {"phone": "6591234567"},
                      "proxy": {"host": "p.example", "port": 1080}});
    let wrong = "invalid_request";
    let shared: Vec<Row> = vec![
        ("/provider", Some(json!(3)), 400, wrong, "provider"),
        ("/region", Some(json!([])), 400, wrong, "region"),
        ("/name", Some(json!(3)), 400, wrong, "name"),
        ("/name", Some(json!("x".repeat(201))), 400, wrong, "name"),
        ("/name", Some(json!("a\u{0}b")), 400, wrong, "name"),
        ("/status", Some(json!({})), 400, wrong, "status"),
        ("/auth_mode", Some(json!(1)), 400, wrong, "auth_mode"),
        (
            "/auth_mode",
            Some(json!("telepathy")),
            400,
            "unsupported_provider_auth_mode",
            "auth_mode",
        ),
        ("/metadata", Some(json!("x")), 400, wrong, "metadata"),
        (
            "/provider_account_ref",
            Some(json!(7)),
            400,
            wrong,
            "provider_account_ref",
        ),
        (
            "/provider_data",
            Some(json!([])),
            400,
            wrong,
            "provider_data",
        ),
        (
            "/provider_data/phone",
            Some(json!(6591234567u64)),
            400,
            wrong,
            "provider_data.phone",
        ),
        (
            "/provider_data/phone",
            Some(json!("call me")),
            400,
            wrong,
            "provider_data.phone",
        ),
        ("/proxy", Some(json!(5)), 400, wrong, "proxy"),
        ("/proxy", Some(json!("not json")), 400, wrong, "proxy"),
        ("/proxy/host", None, 400, wrong, "proxy.host"),
        ("/proxy/port", None, 400, wrong, "proxy.port"),
        ("/proxy/port", Some(json!(0)), 400, wrong, "proxy.port"),
        ("/proxy/port", Some(json!("1080")), 400, wrong, "proxy.port"),
        ("/proxy/type", Some(json!("ftp")), 400, wrong, "proxy.type"),
    ];
    check(&host, "POST", "/v1/accounts", &good, &shared).await;
    let path = format!("/v1/accounts/{account}");
    check(&host, "PATCH", &path, &good, &shared).await;
    let rows: Vec<Row> = vec![
        ("/provider", None, 400, wrong, "provider"),
        ("/provider", Some(json!("")), 400, wrong, "provider"),
        (
            "/provider",
            Some(json!("nothing_protocol")),
            400,
            "invalid_provider",
            "provider",
        ),
        (
            "/provider",
            Some(json!(PUBLISHED_NAMES[0])),
            409,
            "no_allocatable_server",
            "provider",
        ),
        (
            "/region",
            Some(json!("sg-1")),
            409,
            "no_allocatable_server",
            "region",
        ),
    ];
    check(&host, "POST", "/v1/accounts", &good, &rows).await;
    let mut by_code = good.clone();
    by_code["auth_mode"] = json!("code");
    let rows: Vec<Row> = vec![(
        "/provider_data/phone",
        None,
        400,
        "auth_mode_phone_required",
        "provider_data.phone",
    )];
    check(&host, "POST", "/v1/accounts", &by_code, &rows).await;
    let rows: Vec<Row> = vec![
        (
            "/provider",
            Some(json!(PUBLISHED_NAMES[0])),
            400,
            wrong,
            "provider",
        ),
        ("/region", Some(json!("sg-1")), 400, wrong, "region"),
    ];
    check(&host, "PATCH", &path, &good, &rows).await;
    for name in ["nothing_protocol", "nothing"] {
        let answered = host.get(&format!("/v1/providers/{name}/regions")).await;
        assert_eq!(
            (answered.status, answered.code()),
            (400, "invalid_provider")
        );
    }
}

#[tokio::test]
async fn fields_of_a_message() {
    let (host, account, _) = prepared().await;
    let good = json!({"account_id": account, "to": {"id": "c", "type": "user"},
                      "message": {"type": "text", "text": "hi"}, "provider_data": {},
                      "reply_to": {"reply_token": "x"}, "mentions": []});
    let wrong = "invalid_request";
    let rows: Vec<Row> = vec![
        ("/account_id", None, 400, wrong, "account_id"),
        ("/account_id", Some(json!(4)), 400, wrong, "account_id"),
        ("/account_id", Some(json!("")), 400, wrong, "account_id"),
        (
            "/account_id",
            Some(json!("acc_unknown")),
            409,
            "account_binding_not_found",
            "account_id",
        ),
        ("/to", None, 400, wrong, "to"),
        ("/to", Some(json!("c")), 400, wrong, "to"),
        ("/to/id", None, 400, wrong, "to.id"),
        ("/to/id", Some(json!(5)), 400, wrong, "to.id"),
        ("/to/type", None, 400, wrong, "to.type"),
        ("/to/type", Some(json!(true)), 400, wrong, "to.type"),
        (
            "/to/type",
            Some(json!("room")),
            400,
            "invalid_conversation_type",
            "to.type",
        ),
        ("/message", None, 400, wrong, "message"),
        ("/message", Some(json!([])), 400, wrong, "message"),
        ("/message/type", None, 400, wrong, "message.type"),
        ("/message/type", Some(json!(1)), 400, wrong, "message.type"),
        (
            "/message/type",
            Some(json!("smoke")),
            400,
            "unsupported_message_type",
            "message.type",
        ),
        ("/message/text", None, 400, wrong, "message.text"),
        ("/message/text", Some(json!("")), 400, wrong, "message.text"),
        (
            "/message/text",
            Some(json!(["hi"])),
            400,
            wrong,
            "message.text",
        ),
        (
            "/message",
            Some(json!({"type": "image"})),
            400,
            wrong,
            "message.url",
        ),
        (
            "/message",
            Some(json!({"type": "image", "url": 4})),
            400,
            wrong,
            "message.url",
        ),
        (
            "/message",
            Some(json!({"type": "contact"})),
            400,
            wrong,
            "message.contacts",
        ),
        (
            "/message",
            Some(json!({"type": "contact", "contacts": []})),
            400,
            wrong,
            "message.contacts",
        ),
        (
            "/message",
            Some(json!({"type": "contact", "contacts": [3]})),
            400,
            wrong,
            "message.contacts[0]",
        ),
        (
            "/message",
            Some(json!({"type": "contact", "contacts": [{}]})),
            400,
            wrong,
            "message.contacts[0].name",
        ),
        (
            "/message",
            Some(json!({"type": "contact", "contacts": [{"name": "n", "phones": [{}]}]})),
            400,
            wrong,
            "message.contacts[0].phones[0].number",
        ),
        (
            "/message",
            Some(json!({"type": "contact", "contacts": [{"name": "n", "emails": "e"}]})),
            400,
            wrong,
            "message.contacts[0].emails",
        ),
        (
            "/provider_data",
            Some(json!("x")),
            400,
            wrong,
            "provider_data",
        ),
        ("/reply_to", Some(json!("x")), 400, wrong, "reply_to"),
        (
            "/reply_to/reply_token",
            None,
            400,
            wrong,
            "reply_to.reply_token",
        ),
        (
            "/reply_to/reply_token",
            Some(json!(1)),
            400,
            wrong,
            "reply_to.reply_token",
        ),
        ("/mentions", Some(json!({})), 400, wrong, "mentions"),
        ("/mentions", Some(json!([{}])), 400, wrong, "mentions[0].id"),
    ];
    check(&host, "POST", "/v1/messages", &good, &rows).await;
    assert!(host.control.script().sends.is_empty());
    let request = host
        .request(Method::POST, "/v1/messages")
        .header("idempotency-key", "\"open")
        .body(Body::from(good.to_string()))
        .unwrap();
    let answered = host.send(request).await;
    assert_eq!((answered.status, answered.code()), (400, wrong));
    assert!(answered.message().starts_with("Idempotency-Key: "));
    for (query, field) in [
        ("state=lost", "state"),
        ("limit=-1", "limit"),
        ("cursor=%21", "cursor"),
        ("account_id=acc_x", "account_id"),
    ] {
        let answered = host.get(&format!("/v1/messages?{query}")).await;
        assert!(answered.status == 400 || answered.status == 404);
        assert!(
            answered.message().starts_with(&format!("{field}: ")),
            "{query}"
        );
    }
}

#[tokio::test]
async fn fields_of_an_endpoint() {
    let (host, _, endpoint) = prepared().await;
    let good = json!({"url": "https://a.example/", "retry_policy": {}});
    let wrong = "invalid_request";
    let shared: Vec<Row> = vec![
        ("/url", Some(json!(4)), 400, wrong, "url"),
        ("/url", Some(json!("a.example")), 400, wrong, "url"),
        ("/url", Some(json!("ftp://a.example/")), 400, wrong, "url"),
        (
            "/url",
            Some(json!("https://u:p@a.example/")),
            400,
            wrong,
            "url",
        ),
        ("/status", Some(json!("on")), 400, wrong, "status"),
        ("/status", Some(json!(1)), 400, wrong, "status"),
        (
            "/subscribed_events",
            Some(json!("*")),
            400,
            wrong,
            "subscribed_events",
        ),
        (
            "/subscribed_events",
            Some(json!(["*", "message.recieved"])),
            400,
            wrong,
            "subscribed_events[1]",
        ),
        (
            "/subscribed_events",
            Some(json!([4])),
            400,
            wrong,
            "subscribed_events[0]",
        ),
        (
            "/subscribed_events",
            Some(json!([""])),
            400,
            wrong,
            "subscribed_events[0]",
        ),
        (
            "/signing_secret",
            Some(json!(4)),
            400,
            wrong,
            "signing_secret",
        ),
        (
            "/signing_secret_overlap_ms",
            Some(json!(-1)),
            400,
            wrong,
            "signing_secret_overlap_ms",
        ),
        ("/ordering", Some(json!("strict")), 400, wrong, "ordering"),
        ("/accounts", Some(json!("acc_1")), 400, wrong, "accounts"),
        (
            "/accounts",
            Some(json!(["acc_1"])),
            400,
            wrong,
            "accounts[0]",
        ),
        ("/retry_policy", Some(json!(3)), 400, wrong, "retry_policy"),
        (
            "/retry_policy/max_attempts",
            Some(json!(-1)),
            400,
            wrong,
            "retry_policy.max_attempts",
        ),
        (
            "/retry_policy/max_attempts",
            Some(json!(2.5)),
            400,
            wrong,
            "retry_policy.max_attempts",
        ),
        (
            "/retry_policy/max_attempts",
            Some(json!(3.0)),
            400,
            wrong,
            "retry_policy.max_attempts",
        ),
        (
            "/retry_policy/max_attempts",
            Some(json!("3")),
            400,
            wrong,
            "retry_policy.max_attempts",
        ),
        (
            "/retry_policy/max_attempts",
            Some(json!(null)),
            400,
            wrong,
            "retry_policy.max_attempts",
        ),
        (
            "/retry_policy/profile",
            Some(json!("often")),
            400,
            wrong,
            "retry_policy.profile",
        ),
        (
            "/retry_policy/timeout_ms",
            Some(json!(999)),
            400,
            wrong,
            "retry_policy.timeout_ms",
        ),
        (
            "/retry_policy/timeout_ms",
            Some(json!(60001)),
            400,
            wrong,
            "retry_policy.timeout_ms",
        ),
    ];
    check(&host, "POST", "/v1/webhook-endpoints", &good, &shared).await;
    let path = format!("/v1/webhook-endpoints/{endpoint}");
    check(&host, "PATCH", &path, &good, &shared).await;
    let missing: Vec<Row> = vec![("/url", None, 400, wrong, "url")];
    check(&host, "POST", "/v1/webhook-endpoints", &good, &missing).await;
}
