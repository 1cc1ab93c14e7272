use super::*;
use serde_json::json;

/// A manifest with these tables.
fn manifest(tables: &str) -> Manifest {
    let text = format!(
        "id = \"x\"\ntitle = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nclass = \"ack\"\n\
         resume = \"snapshot\"\nimports = []\n{tables}"
    );
    toml::from_str(&text).unwrap()
}

/// An egress rule.
fn to(host: &str, port: &str, transports: &str) -> String {
    format!("[[egress]]\nhost = \"{host}\"\nport = {port}\ntransports = [{transports}]\n")
}

/// A secret that may go there.
fn secret(host: &str, transports: &str) -> String {
    format!(
        "[secrets]\nnames = [\"token\"]\n[[secrets.placements]]\nsecret = \"token\"\nplace = \"header\"\n\
         name = \"authorization\"\nhosts = [\"{host}\"]\ntransports = [{transports}]\n"
    )
}

/// Every finding that is not ok, as `severity check: what -> todo`.
fn said(report: &Report) -> String {
    let lines = report.findings.iter().map(|it| {
        format!(
            "{:?} {}: {} -> {}\n",
            it.severity, it.check, it.what, it.todo
        )
    });
    lines.collect()
}

fn checked(tables: &str, imports: &[&str]) -> String {
    let imports = imports.iter().map(ToString::to_string).collect();
    let mut report = Report::default();
    check(&manifest(tables), &imports, &mut report);
    said(&report)
}

#[track_caller]
fn one(text: &str, phrase: &str) {
    assert!(text.contains(phrase), "no {phrase:?} in {text:?}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn hosts_and_ports_that_are_none() {
    for good in [
        "api.example.org",
        "*.example.org",
        "config:/host",
        "::1",
        "[::1]",
        "10.0.0.1",
    ] {
        assert_eq!(checked(&to(good, "443", "\"tls\""), &[]), "", "{good}");
    }
    for (host, phrase) in [
        (
            "config:host",
            "`config:host` is no pointer into the configuration: one begins with `config:/` -> write \"config:/host\"",
        ),
        (
            "https://api.example.org",
            "a host has no scheme and no path -> write \"api.example.org\"",
        ),
        (
            "https://api.example.org/v1/",
            "a host has no scheme and no path -> write \"api.example.org\"",
        ),
        ("api.example.org/v1", "a host has no scheme and no path"),
        (
            "api.example.org:443",
            "a host has no port -> write \"api.example.org\", and 443 as `port`",
        ),
        ("*", "grants nothing"),
        ("a.*.org", "grants nothing"),
        ("", "grants nothing"),
    ] {
        one(&checked(&to(host, "443", "\"tls\""), &[]), phrase);
    }
    for (port, phrase) in [
        ("\"config:port\"", "write \"config:/port\""),
        ("\"443\"", "write port = 443 without quotation marks"),
        ("0", "0 is no port"),
    ] {
        one(&checked(&to("a.example", port, "\"tls\""), &[]), phrase);
    }
}

#[test]
fn what_is_called_leads_somewhere() {
    for interface in ["http", "connections"] {
        let text = checked("", &[interface]);
        one(
            &text,
            &format!("it calls `{interface}`, and its manifest has no [[egress]]"),
        );
        assert!(text.starts_with("Problem egress: "), "{text}");
    }
    let https = to("a.example", "443", "\"https\"");
    assert_eq!(checked(&https, &["http", "kv"]), "");
    one(&checked(&https, &["connections"]), "with tcp or tls");
    assert_eq!(checked("", &["kv"]), "");
}

#[test]
fn a_secret_goes_where_a_request_may_go() {
    let placed = |egress: &str, how: &str, place: &str, over: &str| {
        checked(&(to(egress, "443", how) + &secret(place, over)), &[])
    };
    for (egress, how, place, over) in [
        ("a.example", "\"https\"", "A.example.", "\"https\""),
        ("*.example.org", "\"https\"", "api.example.org", "\"https\""),
        ("api.example.org", "\"https\"", "*.example.org", "\"https\""),
        ("config:/a", "\"http\"", "config:/a", "\"http\""),
        ("config:/a", "\"https\"", "a.example", "\"https\""),
        ("a.example", "\"http\", \"https\"", "a.example", "\"https\""),
    ] {
        assert_eq!(placed(egress, how, place, over), "", "{egress} {place}");
    }
    for (egress, how, place, over) in [
        ("a.example", "\"https\"", "b.example", "\"https\""),
        ("*.example.org", "\"https\"", "example.org", "\"https\""),
        ("a.example", "\"http\"", "a.example", "\"https\""),
        ("a.example", "\"tls\"", "a.example", "\"https\""),
        ("config:/a", "\"https\"", "config:/b", "\"https\""),
    ] {
        let text = placed(egress, how, place, over);
        one(&text, "the secret `token` may go to");
        assert!(text.starts_with("Problem secrets: "), "{text}");
    }
}

/// An operator can make it work, so it is no problem.
#[test]
fn a_route_that_nothing_verifies() {
    let text = checked(
        "[[ingress]]\nroute = \"a\"\nverify = { kind = \"none\" }",
        &[],
    );
    one(
        &text,
        "every request is answered with 403, unless the operator lists `x`",
    );
    assert!(text.starts_with("Warning ingress: "), "{text}");
}

#[test]
fn limits_above_what_a_host_gives() {
    let most = "[limits]\nmemory-bytes = 67108864\ncpu-ms = 1000\nkv-bytes = 268435456";
    assert_eq!(checked(most, &[]), "");
    for (limit, phrase) in [
        (
            "memory-bytes = 67108865",
            "write memory-bytes = 67108864 or less",
        ),
        (
            "cpu-ms = 5000",
            "cpu-ms = 5000 is more than a host gives: it gets 1000",
        ),
        ("kv-bytes = 268435457", "write kv-bytes = 268435456 or less"),
    ] {
        one(&checked(&format!("[limits]\n{limit}"), &[]), phrase);
    }
}

#[test]
fn pointers_lead_to_properties() {
    let schema = json!({
        "type": "object",
        "properties": {
            "server": {"type": "string"},
            "port": {"type": "integer"},
            "proxy": {"type": "object", "properties": {"host": {"type": "string"}}},
            "more": {"type": "object", "additionalProperties": true},
            "token": {"type": "string", "x-anyport-secret": "token"},
        },
    });
    let found = |host: &str, port: &str| {
        let mut report = Report::default();
        let tables = to(host, &format!("\"{port}\""), "\"tls\"");
        pointers(&manifest(&tables), &schema, &mut report);
        said(&report)
    };
    for good in [
        "config:/server",
        "config:/proxy/host",
        "config:/more/x",
        "a.example",
    ] {
        assert_eq!(found(good, "config:/port"), "", "{good}");
    }
    one(
        &found("config:/server", "config:/prt"),
        "`config:/prt` leads to a property that the schema of the configuration does not have: it grants nothing \
         -> `config:/port` was perhaps meant",
    );
    one(
        &found("config:/proxy/hst", "config:/port"),
        "-> `config:/proxy/host` was perhaps meant",
    );
    one(
        &found("config:/elsewhere", "config:/port"),
        "-> name a property that `describe` gives",
    );
    one(
        &found("config:/token", "config:/port"),
        "is moved into the secret `token`",
    );
    // What the schema leaves open or says in other words is not guessed at.
    for unsaid in [
        json!({"additionalProperties": {}}),
        json!({"$ref": "#/$defs/a"}),
    ] {
        assert_eq!(target(&unsaid, "/x"), Target::Unsaid);
    }
    assert_eq!(target(&json!({}), "/x"), Target::Nothing(None));

    let mut report = Report::default();
    let placed = manifest(&secret("config:/sever", "\"https\""));
    pointers(&placed, &schema, &mut report);
    one(&said(&report), "`config:/server` was perhaps meant");
}
