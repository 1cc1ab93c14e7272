//! Who reaches the host, and whom the host may reach.

use super::Finding;
use crate::app::config::Config;
use crate::app::health::{Health, ask, reachable};
use crate::network::guard;
use ipnet::IpNet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(3);

pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = listening("listen", config.listen, true);
    if let Some(address) = config.metrics.listen {
        findings.extend(listening("metrics.listen", address, false));
        if !address.ip().is_loopback() {
            findings.push(Finding::warning(
                "metrics.listen",
                format!("{address} is not loopback, and asks for no key"),
                "whoever can reach it sees how much traffic there is, by provider",
                "let only the scraper's network reach it",
            ));
        }
    }
    if !config.listen.ip().is_loopback() {
        findings.push(Finding::note(
            "listen",
            format!(
                "{} is reachable from elsewhere and speaks plain HTTP: put TLS in front of it",
                config.listen
            ),
        ));
    }
    findings.extend(config.network.allow.iter().filter_map(allowed));
    if let Some(finding) = proxies(|name| std::env::var_os(name).is_some()) {
        findings.push(finding);
    }
    findings
}

/// Is the port free, or does a host of ours have it?
fn listening(check: &'static str, address: SocketAddr, api: bool) -> Vec<Finding> {
    if address.port() == 0 {
        return Vec::new();
    }
    match TcpListener::bind(address) {
        Ok(_) => return vec![Finding::ok(check, format!("{address} is free"))],
        Err(error) if error.kind() == ErrorKind::AddrInUse => {}
        Err(error) => {
            return vec![Finding::problem(
                check,
                format!("{address} cannot be listened on: {error}"),
                "the host cannot start",
                "choose an address of this machine; ports below 1024 need CAP_NET_BIND_SERVICE",
            )];
        }
    }
    let at = reachable(address);
    let alive = ask(at, "/livez", PATIENCE);
    if !matches!(&alive, Health::Ok(body) if is_ours(body, api)) {
        return vec![Finding::problem(
            check,
            format!("{address} is in use, and what answers there is no Anyport"),
            "the host cannot start",
            format!(
                "stop the other program (ss -ltnp 'sport = :{}'), or choose another port",
                address.port()
            ),
        )];
    }
    if !api {
        return vec![Finding::ok(check, format!("a host runs on {address}"))];
    }
    vec![match ask(at, "/readyz", PATIENCE) {
        Health::Ok(_) => Finding::ok(check, format!("a host runs on {address} and is ready")),
        Health::NotReady(reason) => Finding::warning(
            check,
            format!("a host runs on {address} and is not ready: {reason}"),
            "it refuses part of what clients ask",
            "see its log; it goes on by itself when the reason is gone",
        ),
        Health::Silent(reason) => Finding::problem(
            check,
            format!("a host runs on {address} and does not answer: {reason}"),
            "clients wait in vain",
            "see its log, and restart it: nothing is lost",
        ),
    }]
}

fn is_ours(body: &serde_json::Value, api: bool) -> bool {
    let status = if api {
        &body["data"]["status"]
    } else {
        &body["status"]
    };
    status == "ok"
}

/// What a range that the operator opened lets in beside what was meant.
fn allowed(network: &IpNet) -> Option<Finding> {
    const CHECK: &str = "network.allow";
    const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
    let why = "providers and webhook URLs of clients can then reach services of this machine and network that trust who can reach them";
    if network.prefix_len() == 0 {
        return Some(Finding::warning(
            CHECK,
            format!("{network} opens everything"),
            why,
            "name the networks that are meant",
        ));
    }
    if *network == IpNet::from(METADATA) {
        return Some(Finding::warning(
            CHECK,
            format!("{network} is a cloud's metadata address"),
            "whoever registers a webhook can then ask it for this machine's credentials",
            "take it off the list",
        ));
    }
    let first = network.network();
    if first.is_loopback() {
        return Some(Finding::warning(
            CHECK,
            format!("{network} opens this machine itself"),
            why,
            "fine for a receiver on this machine that belongs to you alone; else take it off the list",
        ));
    }
    if guard::refusal(first).is_none() && guard::refusal(network.broadcast()).is_none() {
        return Some(Finding::note(
            CHECK,
            format!("{network} is public and needs no permission"),
        ));
    }
    None
}

fn proxies(is_set: impl Fn(&str) -> bool) -> Option<Finding> {
    let names = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ];
    let set: Vec<_> = names.into_iter().filter(|name| is_set(name)).collect();
    (!set.is_empty()).then(|| {
        Finding::note(
            "proxy",
            format!(
                "{} is set, and the host does not use it: an account has a proxy of its own, and webhooks go directly",
                set.join(", ")
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::Severity;

    #[test]
    fn wide_and_odd_ranges_are_seen() {
        let of = |text: &str| allowed(&text.parse().unwrap()).map(|finding| finding.severity);
        assert_eq!(of("0.0.0.0/0"), Some(Severity::Warning));
        assert_eq!(of("::/0"), Some(Severity::Warning));
        assert_eq!(of("169.254.169.254/32"), Some(Severity::Warning));
        assert_eq!(of("127.0.0.0/8"), Some(Severity::Warning));
        assert_eq!(of("8.8.8.0/24"), Some(Severity::Note));
        assert_eq!(of("10.1.0.0/16"), None);
        assert_eq!(of("fd00::/8"), None);
    }

    #[test]
    fn proxies_of_the_environment_are_named() {
        assert_eq!(proxies(|_| false), None);
        let found = proxies(|name| name == "HTTPS_PROXY").unwrap();
        assert!(found.what.starts_with("HTTPS_PROXY is set"), "{found:?}");
    }

    #[test]
    fn a_port_of_somebody_else_is_a_problem() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            use std::io::Write as _;
            let (mut stream, _) = other.accept().unwrap();
            stream.write_all(b"220 mail.example.org\r\n").unwrap();
        });
        let found = listening("listen", address, true);
        answering.join().unwrap();
        assert_eq!(found[0].severity, Severity::Problem, "{found:?}");
        assert!(found[0].what.contains("no Anyport"), "{found:?}");
    }
}
