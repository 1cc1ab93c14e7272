//! What a version asks a host for, as the API shows it, in words: one line, in the order of the
//! manifest.

use crate::session::{list, text, words};
use serde_json::Value;

/// `imports http; egress api.example.org:443 (https); reveal token`.
pub fn in_words(asked: &Value) -> String {
    let mut parts = Vec::new();
    let mut named = |what: &str, names: String| {
        if !names.is_empty() {
            parts.push(format!("{what} {names}"));
        }
    };
    named("imports", words(asked, "imports"));
    named("secrets", words(asked, "secrets"));
    named("reveal", words(asked, "reveal"));
    for rule in list(&asked["egress"]) {
        let mut how = words(rule, "transports");
        for limit in ["methods", "paths"] {
            let limit = words(rule, limit);
            if !limit.is_empty() {
                how += &format!("; {limit}");
            }
        }
        let (host, port) = (text(rule, "host"), words(rule, "port"));
        named("egress", format!("{host}:{port} ({how})"));
    }
    for rule in list(&asked["placements"]) {
        named(
            "secret",
            format!(
                "{} in {} {} to {} ({})",
                text(rule, "secret"),
                text(rule, "place"),
                text(rule, "name"),
                words(rule, "hosts"),
                words(rule, "transports")
            ),
        );
    }
    for route in list(&asked["ingress"]) {
        let kind = text(&route["verify"], "kind");
        let route = text(route, "route");
        named("ingress", format!("{route} (verified by {kind})"));
    }
    for limit in ["memory-bytes", "cpu-ms", "kv-bytes"] {
        named(limit, words(&asked["limits"], limit));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_of_it_in_one_line() {
        let asked = json!({
            "imports": ["http", "kv"],
            "egress": [{"host": "api.example.org", "port": 443, "transports": ["https"],
                "methods": ["GET"], "paths": ["/v1/"]},
                {"host": "config:/server", "port": "config:/port", "transports": ["tcp", "tls"]}],
            "secrets": ["token"],
            "reveal": ["token"],
            "placements": [{"secret": "token", "place": "header", "name": "authorization",
                "hosts": ["api.example.org"], "transports": ["https"]}],
            "ingress": [{"route": "events", "verify": {"kind": "none"}}],
            "limits": {"cpu-ms": 500},
        });
        assert_eq!(
            in_words(&asked),
            "imports http, kv; secrets token; reveal token; egress api.example.org:443 (https; GET; /v1/); \
             egress config:/server:config:/port (tcp, tls); secret token in header authorization to \
             api.example.org (https); ingress events (verified by none); cpu-ms 500"
        );
        assert_eq!(in_words(&json!({})), "");
    }
}
