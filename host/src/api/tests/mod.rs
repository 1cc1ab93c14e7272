//! The router against a scripted supervisor and a store in memory.

mod auth;
mod avatars;
mod bad_input;
mod commands;
mod described;
mod description;
mod docs;
mod endpoints;
mod events;
mod fake_control;
mod fake_store;
mod keys;
mod limits;
mod messages;
mod no_media;
mod public_media;
mod shapes;

use super::health::{Readiness, Report};
use super::{
    ApiState, IngressState, IngressTokens, KeyUse, OpenedToken, Operations, PictureAddress,
    ReplyTarget, ReplyTokens, Settings, mint_key, router,
};
use crate::domain::{AccountId, EndpointId, WorkspaceId};
use crate::storage::{KeyKind, Store as _, Workspace};
use crate::telemetry::{Metrics, Tracer};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use fake_control::FakeControl;
use fake_store::FakeStore;
use http_body_util::BodyExt;
use no_media::NoMedia;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tower::ServiceExt;

pub struct Host {
    pub router: Router,
    pub store: Arc<FakeStore>,
    pub control: Arc<FakeControl>,
    pub media: Arc<NoMedia>,
    pub log: watch::Sender<u64>,
    pub stopping: watch::Sender<bool>,
    pub changed_endpoints: Arc<Mutex<Vec<EndpointId>>>,
    pub key_use: Arc<KeyUse>,
    pub workspace: WorkspaceId,
    pub key: String,
    pub operator: String,
}

pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answered {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    pub fn data(&self) -> &Value {
        &self.body["data"]
    }
}

struct AsTheStore(Arc<FakeStore>);

#[async_trait::async_trait]
impl Readiness for AsTheStore {
    async fn look(&self) -> Report {
        let mut report = Report::default();
        let heads = self.0.heads().await;
        let result = heads.map(|_| None).map_err(|error| error.to_string());
        report.check("database", result);
        report
    }
}

struct Tokens;

impl IngressTokens for Tokens {
    fn of(&self, account: &AccountId) -> String {
        format!("token-of-{account}")
    }
}

impl ReplyTokens for Tokens {
    fn picture_address(
        &self,
        account: &AccountId,
        [kind, name]: [&str; 2],
    ) -> Option<PictureAddress> {
        let token = hex::encode(format!("{account} {kind} {name}"));
        let url = format!("https://anyport.test/media/{token}");
        Some(PictureAddress { token, url })
    }

    fn seal(&self, account: &AccountId, target: &ReplyTarget) -> String {
        format!("rt1.{account}.{}", target.message)
    }

    fn open(&self, account: &AccountId, token: &str) -> OpenedToken {
        let Some(rest) = token.strip_prefix("rt1.") else {
            return OpenedToken::Foreign;
        };
        match rest.strip_prefix(&format!("{account}.")) {
            Some(message) => OpenedToken::Target(ReplyTarget {
                conversation: "c1".into(),
                message: message.into(),
                sender: None,
                reply_context: Some(format!("context of {message}")),
            }),
            None => OpenedToken::Invalid,
        }
    }
}

impl super::Sealer for Tokens {
    fn seal_for(&self, purpose: &str, plain: &[u8]) -> String {
        format!("{purpose}.{}", hex::encode(plain))
    }

    fn open_for(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        hex::decode(sealed.strip_prefix(purpose)?.strip_prefix('.')?).ok()
    }
}

impl Host {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let store = Arc::new(FakeStore::default());
        let workspace = WorkspaceId::generate();
        let (key, stored) = mint_key(KeyKind::Workspace, Some(workspace.clone()), "test").unwrap();
        let (operator, operator_stored) = mint_key(KeyKind::Operator, None, "operator").unwrap();
        {
            let mut state = store.state();
            state.keys = vec![stored, operator_stored];
            state.workspaces = vec![Workspace {
                id: workspace.clone(),
                name: "Harbor Desk".into(),
                status: "active".into(),
                metadata: json!({"env": "prod"}),
                account_quota: Some(25),
            }];
        }
        let control = Arc::new(FakeControl::new(store.clone()));
        let (log, log_changed) = watch::channel(0);
        let (stopping, is_stopping) = watch::channel(false);
        let changed_endpoints = Arc::new(Mutex::new(Vec::new()));
        let changed = changed_endpoints.clone();
        let key_use = Arc::new(KeyUse::default());
        let media = Arc::new(NoMedia::default());
        let router = router(ApiState {
            store: store.clone(),
            control: control.clone(),
            operate: control.clone(),
            operator_settings: control.clone(),
            key_use: key_use.clone(),
            lag: Arc::new(|_| None),
            log: log_changed,
            stopping: is_stopping,
            endpoint_changed: Arc::new(move |id: &EndpointId| {
                changed.lock().unwrap().push(id.clone());
            }),
            trouble: Arc::new(|| None),
            operations: Operations {
                readiness: Arc::new(AsTheStore(store.clone())),
                metrics: Metrics::new(),
                tracer: Tracer::default(),
            },
            reply_tokens: Arc::new(Tokens),
            sealer: Arc::new(Tokens),
            ingress: IngressState {
                tokens: Arc::new(Tokens),
                public_url: None,
                reading: tokio::sync::Semaphore::new(1),
            },
            blobs: media.clone(),
            blob_rows: media.clone(),
            settings,
        });
        Self {
            router,
            store,
            control,
            media,
            log,
            stopping,
            changed_endpoints,
            key_use,
            workspace,
            key,
            operator,
        }
    }

    pub fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("x-api-key", &self.key)
    }

    pub async fn send(&self, request: Request<Body>) -> Answered {
        let (method, path) = (
            request.method().to_string(),
            request.uri().path().to_owned(),
        );
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = tokio::time::timeout(Duration::from_secs(20), body.collect())
            .await
            .expect("the answer ends")
            .unwrap()
            .to_bytes();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).expect("answers are JSON")
        };
        let answered = Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        };
        // What holds for every answer.
        let id = answered.headers["x-request-id"].to_str().unwrap();
        assert!(id.starts_with("req_"));
        if !answered.body.is_null() {
            assert_eq!(answered.body["request_id"], id);
            assert_eq!(answered.headers["content-type"], "application/json");
        }
        assert_eq!(answered.status >= 400, answered.body["error"].is_object());
        let mut body = answered.body.clone();
        if let Some(items) = body.pointer_mut("/data/items")
            && path == "/v1/events"
        {
            // The events of the store in memory are not whole ones.
            *items = json!([]);
        }
        let wrong = description::DESCRIPTION.wrong(&method, &path, answered.status, &body);
        assert_eq!(wrong, None);
        answered
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answered {
        let request = self.request(method.parse().unwrap(), path);
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.call("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answered {
        self.call("POST", path, Some(body)).await
    }

    /// An account of the test provider; its id.
    pub async fn account(&self) -> String {
        let answered = self
            .post(
                "/v1/accounts",
                json!({"provider": "harbor", "region": "global", "auth_mode": "code",
                       "provider_data": {"phone": "+1 555 0100"}}),
            )
            .await;
        assert_eq!(answered.status, 201, "{}", answered.body);
        answered.data()["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn every_answer_has_an_envelope() {
    let host = Host::new();
    let answered = host
        .send(
            host.request(Method::GET, "/v1/workspace")
                .header("x-request-id", "order:42")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.body["client_request_id"], "order:42");
    assert_eq!(
        answered.data(),
        &json!({"name": "Harbor Desk", "status": "active", "metadata": {"env": "prod"},
                "account_quota": 25, "account_quota_unlimited": false})
    );
    for (method, path, status, code) in [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/accounts/", 404, "not_found"),
        ("DELETE", "/v1/workspace", 405, "method_not_allowed"),
        ("GET", "/v1/accounts/%ff", 400, "invalid_request"),
    ] {
        let answered = host.call(method, path, None).await;
        assert_eq!((answered.status, answered.code()), (status, code), "{path}");
    }
    let answered = host.call("DELETE", "/v1/workspace", None).await;
    assert_eq!(answered.headers["allow"], "GET,HEAD,PATCH");
    assert_eq!(host.get("/livez").await.status, 200);
    assert_eq!(host.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_panic_is_a_500_with_an_envelope() {
    let host = Host::new();
    host.control.script().panics = true;
    let answered = host.get("/v1/providers").await;
    assert_eq!((answered.status, answered.code()), (500, "internal_error"));
}

#[tokio::test]
async fn without_the_database_it_is_503() {
    let host = Host::new();
    host.get("/v1/workspace").await;
    host.store.state().unavailable = true;
    for path in [
        "/v1/workspace",
        "/v1/accounts",
        "/v1/webhook-endpoints",
        "/v1/events",
    ] {
        let answered = host.get(path).await;
        assert_eq!(
            (answered.status, answered.code()),
            (503, "storage_unavailable"),
            "{path}"
        );
        assert_eq!(answered.headers["retry-after"], "1");
    }
    assert_eq!(host.get("/livez").await.status, 200);
    let answered = host.get("/readyz").await;
    assert_eq!((answered.status, answered.code()), (503, "not_ready"));
    assert_eq!(answered.headers["retry-after"], "1");
    assert_eq!(answered.body["error"]["checks"][0]["name"], "database");
}

#[tokio::test]
async fn metrics_take_the_operators_key_in_either_form() {
    let host = Host::new();
    host.get("/v1/workspace").await;
    host.call("BREW", "/v1/accounts/acc_7/nothing", None).await;
    let ask = async |header: &str, value: &str| {
        let request = Request::get("/metrics").header(header, value);
        let request = request.body(Body::empty()).unwrap();
        let answer = host.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    };
    assert_eq!(ask("accept", "*/*").await.0, 401);
    assert_eq!(ask("x-api-key", &host.key).await.0, 403);
    let bearer = |key: &str| format!("Bearer {key}");
    assert_eq!(ask("authorization", &bearer(&host.key)).await.0, 403);
    assert_eq!(ask("x-api-key", &host.operator).await.0, 200);
    let (status, text) = ask("authorization", &bearer(&host.operator)).await;
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        r#"anyport_http_requests_total{route="/v1/workspace",method="GET",status="200"} 1"#,
        r#"anyport_http_requests_total{route="none",method="OTHER",status="404"} 1"#,
        r#"anyport_api_errors_total{code="missing_api_key"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("acc_7"), "{text}");
}
