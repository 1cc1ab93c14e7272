//! One trace from the REST call, or from the frame that came in, through turns and commits to the
//! webhook, read by the protocol's own code. Also over a restart.

use crate::support::host::Host;
use crate::support::sink::Sink;
use http::{Method, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::{Value, json};
use std::net::TcpListener;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What a receiver of traces has got so far.
struct Collected(Vec<Span>);

impl Collected {
    fn of(collector: &Sink) -> Self {
        let mut spans = Vec::new();
        for request in collector.received() {
            assert_eq!(request.uri.path(), "/v1/traces");
            assert_eq!(request.header("content-type"), "application/x-protobuf");
            assert_eq!(request.header("x-tenant"), "sesame");
            let request = ExportTraceServiceRequest::decode(request.body).unwrap();
            for resource in request.resource_spans {
                let about = resource.resource.unwrap().attributes;
                let name = about
                    .iter()
                    .find(|pair| pair.key == "service.name")
                    .unwrap();
                let name = name.value.clone().unwrap().value.unwrap();
                assert_eq!(name, any_value::Value::StringValue("gate 7".into()));
                for scope in resource.scope_spans {
                    spans.extend(scope.spans);
                }
            }
        }
        Self(spans)
    }

    /// The chain from a span up to its root, by name, the root last.
    fn chain(&self, span: &Span) -> Vec<String> {
        let mut names = vec![span.name.clone()];
        let mut parent = span.parent_span_id.clone();
        while let Some(next) = self.0.iter().find(|other| other.span_id == parent) {
            assert_eq!(next.trace_id, span.trace_id, "{}", next.name);
            assert!(next.start_time_unix_nano <= next.end_time_unix_nano);
            names.push(next.name.clone());
            parent = next.parent_span_id.clone();
        }
        names
    }

    /// The attempt that a receiver was told of by this header.
    fn attempt(&self, traceparent: &str) -> Option<&Span> {
        let (trace, span) = ids(traceparent);
        let found = self.0.iter().find(|other| hex(&other.span_id) == span)?;
        assert_eq!(hex(&found.trace_id), trace);
        Some(found)
    }

    fn has(&self, trace: &str, name: &str) -> bool {
        let fits = |span: &Span| span.name == name && hex(&span.trace_id) == trace;
        self.0.iter().any(fits)
    }
}

fn ids(traceparent: &str) -> (String, String) {
    let parts: Vec<_> = traceparent.split('-').collect();
    assert_eq!(
        (parts.len(), parts[0], parts[3]),
        (4, "00", "01"),
        "{traceparent}"
    );
    (parts[1].to_owned(), parts[2].to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, name: &str) -> Option<Value> {
    let pair = span.attributes.iter().find(|pair| pair.key == name)?;
    match pair.value.clone()?.value? {
        any_value::Value::StringValue(text) => Some(text.into()),
        any_value::Value::IntValue(number) => Some(number.into()),
        other => panic!("{other:?}"),
    }
}

async fn account(host: &Host) -> String {
    let new =
        json!({"provider": "simulator", "auth_mode": "code", "provider_data": {"user": "ada"}});
    let made = host.post("/v1/accounts", new).await.expect(201);
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    let auth = format!("/v1/accounts/{id}/auth");
    host.post(&format!("{auth}/start"), json!({}))
        .await
        .expect(200);
    host.post(&format!("{auth}/code"), json!({"code": "123456"}))
        .await
        .expect(200);
    id
}

async fn send(host: &Host, account: &str) {
    let body = json!({
        "account_id": account,
        "to": {"id": "echo", "type": "user"},
        "message": {"type": "text", "text": "hello"},
    });
    let request = host
        .request(Method::POST, "/v1/messages")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&body);
    host.send(request).await.expect(200);
}

async fn traced(collector: &Sink) -> Host {
    let endpoint = collector.url("");
    Host::start_with(move |config| {
        config.otlp.endpoint = Some(endpoint.clone());
        config.otlp.service_name = "gate 7".into();
        config.otlp.headers = serde_json::from_value(json!("x-tenant=sesame")).unwrap();
    })
    .await
}

async fn endpoint(host: &Host, url: &str) {
    let endpoint = json!({
        "url": url,
        "subscribed_events": ["message.sent", "message.received"],
        "retry_policy": {"profile": "unifyport", "max_attempts": 1000},
    });
    host.post("/v1/webhook-endpoints", endpoint)
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_goes_from_the_call_to_the_webhook() {
    let collector = Sink::start().await;
    let sink = Sink::start().await;
    let host = traced(&collector).await;
    endpoint(&host, &sink.url("/hook")).await;
    let account = account(&host).await;
    send(&host, &account).await;
    let sent = sink.event("message.sent").await;
    let received = sink.event("message.received").await;
    host.stop().await;

    let spans = Collected::of(&collector);
    let attempt = spans.attempt(sent.header("traceparent")).unwrap();
    assert_eq!(hex(&attempt.trace_id), TRACE);
    assert_eq!(attempt.kind, SpanKind::Client as i32);
    assert_eq!(
        attribute(attempt, "http.response.status_code"),
        Some(200.into())
    );
    assert_eq!(
        attribute(attempt, "anyport.event.type"),
        Some("message.sent".into())
    );
    let chain = spans.chain(attempt);
    assert_eq!(chain, ["webhook", "turn send", "POST /v1/messages"]);
    for name in ["commit send", "commit"] {
        assert!(spans.has(TRACE, name), "{name} is missing");
    }
    let call = spans
        .0
        .iter()
        .find(|span| span.name == "POST /v1/messages")
        .unwrap();
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!(call.kind, SpanKind::Server as i32);
    assert_eq!(attribute(call, "http.route"), Some("/v1/messages".into()));
    assert_eq!(
        attribute(call, "http.response.status_code"),
        Some(200.into())
    );
    // The turn that settled it belongs there, too, and its event says so in itself.
    assert!(spans.has(TRACE, "turn frame"));
    assert_eq!(ids(sent.json()["traceparent"].as_str().unwrap()).0, TRACE);

    // The echo came in by itself: a frame begins a trace.
    let attempt = spans.attempt(received.header("traceparent")).unwrap();
    let chain = spans.chain(attempt);
    assert_eq!(chain[..2], ["webhook", "turn frame"]);
    let trace = hex(&attempt.trace_id);
    assert!(spans.has(&trace, "commit"));
    let all: Vec<_> = spans.0.iter().flat_map(|span| &span.attributes).collect();
    let all = format!("{all:?}");
    assert!(!all.contains("hello") && !all.contains("123456"), "{all}");
}

/// The attempt that succeeds is another process' than the turn, and still below it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_on_after_a_restart() {
    let collector = Sink::start().await;
    let sink = Sink::start().await;
    sink.answer(StatusCode::SERVICE_UNAVAILABLE);
    let host = traced(&collector).await;
    endpoint(&host, &sink.url("/hook")).await;
    let account = account(&host).await;
    send(&host, &account).await;
    let failed = sink.event("message.sent").await;
    let host = host.restart().await;
    let before = sink.received().len();
    sink.answer(StatusCode::OK);
    let all = sink
        .wait_until("the attempts after the restart", |all| {
            all[before..]
                .iter()
                .any(|one| one.json()["type"] == "message.sent")
        })
        .await;
    let mut after = all[before..].iter();
    let after = after
        .find(|one| one.json()["type"] == "message.sent")
        .unwrap();
    host.stop().await;

    assert_eq!(failed.body, after.body);
    let spans = Collected::of(&collector);
    let (first, last) = (failed.header("traceparent"), after.header("traceparent"));
    assert_ne!(first, last);
    for traceparent in [first, last] {
        let attempt = spans.attempt(traceparent).unwrap();
        assert_eq!(hex(&attempt.trace_id), TRACE);
        assert_eq!(
            spans.chain(attempt),
            ["webhook", "turn send", "POST /v1/messages"]
        );
    }
    let failed = spans.attempt(first).unwrap();
    assert_eq!(failed.status.clone().unwrap().message, "answered 503");
}

/// Without a receiver of traces nothing is made up, and a caller's context passes through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn untraced_a_callers_context_is_passed_on() {
    let sink = Sink::start().await;
    let host = Host::start().await;
    endpoint(&host, &sink.url("/hook")).await;
    let account = account(&host).await;
    send(&host, &account).await;
    let sent = sink.event("message.sent").await;
    assert_eq!(
        sent.header("traceparent"),
        format!("00-{TRACE}-{CALLER}-01")
    );
    sink.event("message.received").await;
    let body = json!({
        "account_id": account,
        "to": {"id": "somebody", "type": "user"},
        "message": {"type": "text", "text": "without"},
    });
    host.post("/v1/messages", body).await.expect(200);
    let sent = |one: &crate::support::sink::Received| one.json()["type"] == "message.sent";
    let all = sink
        .wait_until("the second message", |all| {
            all.iter().filter(|one| sent(one)).count() == 2
        })
        .await;
    let second = all.iter().rfind(|one| sent(one)).unwrap();
    assert!(!second.headers.contains_key("traceparent"));
    assert_eq!(second.json().get("traceparent"), None);
    host.stop().await;
}

/// A receiver that is away costs spans and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_receiver_of_traces_all_else_goes_on() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let host = Host::start_with(move |config| config.otlp.endpoint = Some(away.clone())).await;
    let account = account(&host).await;
    send(&host, &account).await;
    let metrics = host.running.metrics.clone();
    host.stop().await;
    let text = metrics.encode();
    let dropped = text
        .lines()
        .find_map(|line| line.strip_prefix("anyport_spans_dropped_total "));
    assert!(dropped.unwrap().parse::<u64>().unwrap() > 0, "{text}");
}
