//! What operators are told and shown: metrics, their dashboard, the reference of settings, health.

use crate::support::guests;
use crate::support::host::Host;
use crate::support::process::Client;
use crate::support::sink::Sink;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

fn tree(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// (name, type) of everything in an exposition.
fn families(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pairs = lines.map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// What a query may name.
fn series(families: &[(String, String)]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, kind) in families {
        match kind.as_str() {
            "counter" => {
                names.insert(format!("{name}_total"));
            }
            "histogram" => {
                names.extend(["bucket", "sum", "count"].map(|end| format!("{name}_{end}")));
            }
            "info" => {
                names.insert(format!("{name}_info"));
            }
            _ => {
                names.insert(name.clone());
            }
        }
    }
    names
}

/// Words of a text that look like a metric of ours.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = words.filter(|word| word.starts_with("anyport_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_say_what_happened_and_name_nobody() {
    let sink = Sink::start().await;
    let host = Host::start_with(|config| {
        config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let endpoint = json!({"url": sink.url("/hook"), "subscribed_events": ["message.received"]});
    let endpoint = host
        .post("/v1/webhook-endpoints", endpoint)
        .await
        .expect(201);
    let new =
        json!({"provider": "simulator", "auth_mode": "code", "provider_data": {"user": "ada"}});
    let account = host.post("/v1/accounts", new).await.expect(201);
    let id = account["data"]["id"].as_str().unwrap();
    let auth = format!("/v1/accounts/{id}/auth");
    host.post(&format!("{auth}/start"), json!({}))
        .await
        .expect(200);
    host.post(&format!("{auth}/code"), json!({"code": "123456"}))
        .await
        .expect(200);
    let body = json!({
        "account_id": id,
        "to": {"id": "echo", "type": "user"},
        "message": {"type": "text", "text": "hello"},
    });
    host.post("/v1/messages", body).await.expect(200);
    sink.event("message.received").await;
    host.get("/v1/accounts/acc_unknown").await;

    // By the operator's key, and without one where only scrapers come.
    let metrics = host
        .send(host.as_operator(http::Method::GET, "/metrics"))
        .await;
    assert_eq!(metrics.status, 200);
    host.get("/metrics").await.expect(403);
    let management = format!("http://{}", host.running.management.unwrap());
    let get = async |path: &str| reqwest::get(format!("{management}{path}")).await.unwrap();
    let ready: Value = get("/readyz").await.json().await.unwrap();
    assert_eq!(ready["status"], "ok", "{ready:#}");
    let checks = ready["checks"].as_array().unwrap().iter();
    let checks: Vec<_> = checks
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(checks, ["process", "database", "leases", "providers"]);
    assert_eq!(get("/livez").await.status(), 200);
    assert_eq!(get("/v1/accounts").await.status(), 404);
    // A channel that cannot show who it is.
    let operator = Client::new(&host.base, &host.operator_key);
    operator.install(guests::evil()).await;
    let forged = host.request(http::Method::POST, "/ingress/apps/evil/shared");
    host.send(forged.body(r#"{"entry":[]}"#)).await.expect(403);
    let answer = get("/metrics").await;
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = crate::support::eventually("the attempt is counted", async || {
        let text = get("/metrics").await.text().await.unwrap();
        text.contains(r#"anyport_delivery_attempts_total{result="delivered"} 1"#)
            .then_some(text)
    })
    .await;

    let value = |series: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        let line = line.unwrap_or_else(|| panic!("no {series}\n{text}"));
        line.trim().parse().unwrap()
    };
    for (series, least) in [
        (
            r#"anyport_http_requests_total{route="/v1/messages",method="POST",status="200"}"#,
            1.0,
        ),
        (
            r#"anyport_http_request_duration_seconds_count{route="/v1/messages"}"#,
            1.0,
        ),
        (r#"anyport_turns_total{provider="simulator"}"#, 4.0),
        (
            r#"anyport_instances_started_total{provider="simulator"}"#,
            1.0,
        ),
        (
            r#"anyport_guest_cpu_seconds_total{provider="simulator"}"#,
            0.000_001,
        ),
        (
            r#"anyport_sends_total{provider="simulator",outcome="sent"}"#,
            1.0,
        ),
        ("anyport_send_duration_seconds_count", 1.0),
        ("anyport_commits_total", 3.0),
        ("anyport_commit_groups_total", 2.0),
        ("anyport_events_appended_total", 3.0),
        ("anyport_commit_duration_seconds_count", 2.0),
        (r#"anyport_accounts{state="running"}"#, 1.0),
        (r#"anyport_endpoints{state="enabled"}"#, 1.0),
        (r#"anyport_dials_total{result="opened"}"#, 1.0),
        ("anyport_connections", 1.0),
        ("anyport_partitions_owned", 64.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 10.0),
        ("process_cpu_seconds_total", 0.01),
    ]
    .into_iter()
    {
        assert!(value(series) >= least, "{series} is {}", value(series));
    }
    assert_eq!(value("anyport_writer_trouble"), 0.0);
    assert_eq!(value("anyport_standby"), 0.0);

    // Nobody's id, name, text or key is a label.
    for secret in [
        id,
        endpoint["data"]["id"].as_str().unwrap(),
        "acc_",
        "\"ada\"",
        "hello",
        &host.key,
    ] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    host.stop().await;

    let families = families(&text);
    the_page_lists_all(&families);
    the_dashboard_asks_for_what_there_is(&series(&families));
}

/// `docs/operations.md` has each metric with its type, and no other.
fn the_page_lists_all(families: &[(String, String)]) {
    let page = tree("docs/operations.md");
    let (_, section) = page
        .split_once("\n### Metrics\n")
        .expect("a section on metrics");
    let section = section.split("\n#").next().unwrap();
    let listed: BTreeSet<(String, String)> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
            let name = cells.next().unwrap().split('{').next().unwrap();
            (name.to_owned(), cells.next().unwrap().to_owned())
        })
        .collect();
    let known: BTreeSet<_> = series_of_page(families);
    let missing: Vec<_> = known.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&known).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not listed: {missing:?}; gone: {gone:?}"
    );
}

/// As people write them: counters with `_total`, histograms by their base.
fn series_of_page(families: &[(String, String)]) -> BTreeSet<(String, String)> {
    let shown = families.iter().map(|(name, kind)| {
        let name = match kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        };
        (name, kind.clone())
    });
    shown.collect()
}

fn the_dashboard_asks_for_what_there_is(series: &BTreeSet<String>) {
    fn queries(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(keys) => {
                for (key, value) in keys {
                    match value {
                        // A query of a variable is a call; of a data source it is its type.
                        Value::String(text)
                            if key == "expr" || (key == "query" && text.contains('(')) =>
                        {
                            into.push(text.clone())
                        }
                        value => queries(value, into),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| queries(value, into)),
            _ => {}
        }
    }
    let dashboard: Value =
        serde_json::from_str(&tree("host/packaging/grafana-dashboard.json")).unwrap();
    let mut all = Vec::new();
    queries(&dashboard, &mut all);
    assert!(all.len() > 20, "{all:?}");
    for query in &all {
        let names = named(query);
        assert!(!names.is_empty(), "{query}");
        for name in names {
            assert!(series.contains(&name), "`{name}` in `{query}` is no metric");
        }
    }
}

#[test]
fn the_page_has_every_setting_as_it_is() {
    let page = tree("docs/operations.md");
    let file = tree("host/config/default.toml");
    let shown = page
        .split("```toml\n")
        .skip(1)
        .any(|block| block.split("```").next() == Some(&file));
    assert!(
        shown,
        "docs/operations.md does not show host/config/default.toml as it is"
    );
}

#[test]
fn a_query_of_something_else_is_found() {
    let names =
        named("sum(rate(anyport_turns_total{provider=~\"$provider\"}[5m])) / process_threads");
    assert_eq!(
        names,
        ["anyport_turns_total", "process_threads"]
            .map(str::to_owned)
            .into()
    );
    let known = series(&[("anyport_turns".into(), "counter".into())]);
    assert!(known.contains("anyport_turns_total") && !known.contains("anyport_turns"));
}
