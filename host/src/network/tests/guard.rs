use super::super::guard::{Refusal, refusal};
use super::*;
use std::net::{IpAddr, SocketAddr};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn only_global_unicast_is_global() {
    for (rule, addresses) in [
        (
            "metadata",
            "169.254.169.254 168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 fd20:ce::254",
        ),
        ("this network", "0.0.0.0 0.1.2.3 0.255.255.255"),
        ("loopback", "127.0.0.1 127.255.255.255 ::1"),
        (
            "private",
            "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255",
        ),
        ("link-local", "169.254.0.0 169.254.255.255 fe80::1 febf::1"),
        ("carrier-grade", "100.64.0.0 100.127.255.255"),
        (
            "protocol assignments",
            "192.0.0.0 192.0.0.255 2001:1::1 2001:20::1 2001:1ff::1",
        ),
        (
            "documentation",
            "192.0.2.1 198.51.100.7 203.0.113.255 2001:db8::1 3fff::1 3fff:fff::1",
        ),
        ("6to4", "192.88.99.1 2002:7f00:1:: 2002:808:808::1"),
        ("benchmarking", "198.18.0.0 198.19.255.255"),
        ("broadcast", "255.255.255.255"),
        (
            "reserved",
            "240.0.0.0 255.255.255.254 4000::1 1000::1 8000::1 fe00::1 100:1::1",
        ),
        ("multicast", "224.0.0.1 239.255.255.255 ff02::1"),
        ("unspecified", "::"),
        (
            "IPv4-mapped",
            "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:169.254.169.254",
        ),
        ("IPv4-compatible", "::127.0.0.1 ::8.8.8.8 ::2"),
        ("IPv4-translated", "::ffff:0:127.0.0.1"),
        (
            "NAT64",
            "64:ff9b::127.0.0.1 64:ff9b::8.8.8.8 64:ff9b:1::1 64:ff9b:1:ffff::8.8.8.8",
        ),
        ("discard", "100::1 100:0:0:1::1"),
        ("Teredo", "2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        ("SRv6", "5f00::1"),
        ("unique local", "fc00::1 fdff::1"),
        ("site-local", "fec0::1"),
        ("ISATAP", "2a00::5efe:7f00:1 2a00::200:5efe:10.0.0.1"),
    ] {
        for address in addresses.split(' ') {
            let Some(Refusal(text)) = refusal(ip(address)) else {
                panic!("{address} should be refused");
            };
            assert!(text.contains(rule), "{address}: {text}");
        }
    }
    for address in "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 126.255.255.255 128.0.0.0 100.63.255.255 100.128.0.0 \
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 \
        198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2001:200::1 2001:4860:4860::8888 2003::1 \
        2620:4f:8000::1 3ffe::1 2a00:1450::1"
        .split_whitespace()
    {
        assert_eq!(refusal(ip(address)), None, "{address}");
    }
}

fn policy(allow: &[&str], allow_loopback: bool) -> AddressPolicy {
    AddressPolicy {
        allow: allow.iter().map(|range| range.parse().unwrap()).collect(),
        allow_loopback,
        ..AddressPolicy::default()
    }
}

fn passes(policy: &AddressPolicy, address: &str) -> bool {
    policy.check(SocketAddr::new(ip(address), 443)).is_ok()
}

#[test]
fn what_the_operator_allows_passes() {
    let lan = policy(&["10.1.0.0/16", "fd12::/16", "169.254.0.0/16"], false);
    for (address, expected) in [
        ("10.1.2.3", true),
        ("10.2.0.1", false),
        ("fd12::1", true),
        ("fd13::1", false),
        ("127.0.0.1", false),
        ("::ffff:10.1.2.3", false),
        ("169.254.1.1", true),
        ("169.254.169.254", false),
        ("1.1.1.1", true),
    ] {
        assert_eq!(passes(&lan, address), expected, "{address}");
    }
    assert!(passes(
        &policy(&["169.254.169.254/32"], false),
        "169.254.169.254"
    ));
    // An allowed IPv6 form opens nothing that its IPv4 address would not.
    let carried = policy(&["::/0"], false);
    for (address, expected) in [
        ("64:ff9b::8.8.8.8", true),
        ("64:ff9b::10.0.0.1", false),
        ("64:ff9b::169.254.169.254", false),
        ("::ffff:127.0.0.1", false),
        ("2002:a00:1::", false),
        ("2002:808:808::", true),
    ] {
        assert_eq!(passes(&carried, address), expected, "{address}");
    }
}

#[test]
fn loopback_never_opens_the_hosts_own_ports() {
    let policy = policy(&["0.0.0.0/0", "::/0"], true);
    let check = |text: &str| policy.check(text.parse().unwrap());
    assert_eq!(check("127.0.0.1:19000"), Ok(()));
    // Known only after the listener was bound; clones share it.
    policy.clone().own.add_port(19000);
    policy.own.add_address("10.9.9.9:5432".parse().unwrap());
    for refused in [
        "127.0.0.1:19000",
        "127.9.9.9:19000",
        "[::1]:19000",
        "0.0.0.0:19000",
        "[::]:19000",
        "[::ffff:127.0.0.1]:19000",
        "[64:ff9b::127.0.0.1]:19000",
        "10.9.9.9:5432",
        "[::ffff:10.9.9.9]:5432",
    ] {
        assert_eq!(
            check(refused),
            Err(Refusal("a port of this host itself")),
            "{refused}"
        );
    }
    for open in [
        "127.0.0.1:19001",
        "10.9.9.9:5433",
        "10.9.9.8:5432",
        "1.1.1.1:19000",
    ] {
        assert_eq!(check(open), Ok(()), "{open}");
    }
}

#[tokio::test]
async fn odd_forms_are_what_the_resolver_makes_of_them() {
    let closed = policy(&[], false);
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "localhost",
        "[::1]",
        "0",
        "::ffff:7f00:1",
    ] {
        let error = closed.resolve(host, 80).await.unwrap_err();
        // A resolver may also know no such form, which is as good.
        assert!(
            matches!(error.problem, DialProblem::Denied | DialProblem::Unresolved),
            "{host}: {error}"
        );
    }
    let error = closed.resolve("127.0.0.1", 80).await.unwrap_err();
    assert_eq!(
        Failure::from(error).to_string(),
        "denied: 127.0.0.1 leads to a loopback address, which may not be connected to"
    );
    let open = policy(&[], true);
    assert_eq!(
        open.resolve("127.1", 80).await.unwrap(),
        ["127.0.0.1:80".parse().unwrap()]
    );
    assert_eq!(
        open.resolve("x", 0).await.unwrap_err().problem,
        DialProblem::Invalid
    );
    let unknown = open.resolve("no-such-name.invalid", 80).await.unwrap_err();
    assert_eq!(unknown.problem, DialProblem::Unresolved);
    assert_eq!(
        unknown.message,
        "the name no-such-name.invalid could not be resolved"
    );
}

#[test]
fn the_operators_rules_count_at_once_and_denial_wins() {
    use crate::domain::policy::AddressRules;
    let policy = policy(&["10.0.0.0/8"], true);
    assert!(passes(&policy, "10.1.0.1") && !passes(&policy, "192.168.0.1"));
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    policy.rules.set(AddressRules {
        allow: networks(&["192.168.0.0/16", "169.254.0.0/16"]),
        deny: networks(&["10.1.0.0/16", "1.1.1.1/32", "127.0.0.9/32"]),
    });
    for (address, expected) in [
        ("192.168.0.1", true),
        ("10.2.0.1", true),
        // Denied although the configuration, or nothing at all, stands against it.
        ("10.1.0.1", false),
        ("1.1.1.1", false),
        ("127.0.0.9", false),
        ("::ffff:10.1.0.1", false),
        ("64:ff9b::101:101", false),
        ("127.0.0.1", true),
        // A range does not open a metadata address, whoever names it.
        ("169.254.169.254", false),
    ] {
        assert_eq!(passes(&policy, address), expected, "{address}");
    }
    policy.rules.set(AddressRules::default());
    assert!(passes(&policy, "10.1.0.1") && !passes(&policy, "192.168.0.1"));
}
