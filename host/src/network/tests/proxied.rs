//! Against proxies that others wrote: microsocks and tinyproxy.

use super::*;
use crate::domain::account::ProxyKind;
use std::process::Stdio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// A running proxy; ends with the test.
struct Running {
    _child: Child,
    _directory: tempfile::TempDir,
    port: u16,
}

/// A port that was free a moment ago: neither program can be told to choose one.
async fn free_port() -> u16 {
    listener().await.1
}

async fn start(
    program: &str,
    arguments: impl FnOnce(u16, &std::path::Path) -> Vec<String>,
) -> Option<Running> {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().await;
    let child = Command::new(program)
        .args(arguments(port, directory.path()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(
                std::env::var_os("CI").is_none(),
                "{program} has to be installed under CI"
            );
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    soon(async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    Some(Running {
        _child: child,
        _directory: directory,
        port,
    })
}

async fn socks() -> Option<Running> {
    let with_user = |port: u16, _: &std::path::Path| {
        [
            "-i",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-u",
            "me",
            "-P",
            "s3cret-word",
        ]
        .map(ToOwned::to_owned)
        .to_vec()
    };
    start("microsocks", with_user).await
}

async fn http() -> Option<Running> {
    let configured = |port: u16, directory: &std::path::Path| {
        let path = directory.join("tinyproxy.conf");
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nBasicAuth me s3cret-word\nLogLevel Error\n"
        );
        std::fs::write(&path, text).unwrap();
        vec!["-d".to_owned(), "-c".to_owned(), path.display().to_string()]
    };
    start("tinyproxy", configured).await
}

fn proxy(kind: ProxyKind, port: u16, password: &str) -> Option<Proxy> {
    Some(Proxy {
        kind,
        host: "127.0.0.1".into(),
        port,
        username: Some("me".into()),
        password: Some(password.into()),
    })
}

async fn check(kind: ProxyKind, running: Running, unreachable: &str) {
    let (listener, port) = listener().await;
    let network = network();
    let mut subject = Subject::open(
        &network,
        tcp(port),
        proxy(kind, running.port, "s3cret-word"),
    );
    let mut server = accept(&listener).await;
    // The destination speaks first, as IRC servers do.
    server.write_all(b":banner\r\n").await.unwrap();
    subject.opened().await;
    assert_eq!(subject.frame().await.0, ":banner");
    subject.send("NICK a", 1);
    assert_eq!(subject.flushed().await, 1);
    let mut line = [0; 8];
    soon(server.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"NICK a\r\n");
    drop(server);
    subject
        .closed_because("unavailable: the other side closed the connection")
        .await;

    // A request goes the same way.
    let url = format!("http://127.0.0.1:{port}/through");
    let through = proxy(kind, running.port, "s3cret-word");
    let mut asking = super::http::ask(&network, super::http::get(url), through);
    let mut server = accept(&listener).await;
    let seen = super::http::read_request(&mut server).await;
    assert!(seen.starts_with("GET /through HTTP/1.1\r\n"), "{seen}");
    assert!(!seen.to_lowercase().contains("proxy"), "{seen}");
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    super::http::answer(&mut server, text).await;
    assert_eq!(asking.body().await, "ok");

    // A wrong password, which is named nowhere.
    let mut subject = Subject::open(&network, tcp(port), proxy(kind, running.port, "wr0ng-word"));
    let (reason, _) = subject.closed().await;
    assert_eq!(
        reason.to_string(),
        "unavailable: the proxy refused the user name or password"
    );
    assert!(!format!("{reason:?}").contains("wr0ng-word"));

    // Nobody listens at the destination.
    let closed = free_port().await;
    let mut subject = Subject::open(
        &network,
        tcp(closed),
        proxy(kind, running.port, "s3cret-word"),
    );
    subject.closed_because(unreachable).await;

    // The destination is guarded although the proxy would go there.
    network.own_ports().add_port(port);
    let mut subject = Subject::open(
        &network,
        tcp(port),
        proxy(kind, running.port, "s3cret-word"),
    );
    subject
        .closed_because(
            "denied: 127.0.0.1 leads to a port of this host itself, which may not be connected to",
        )
        .await;
}

#[tokio::test]
async fn through_microsocks() {
    if let Some(running) = socks().await {
        check(
            ProxyKind::Socks5,
            running,
            "unavailable: the destination refused the proxy's connection",
        )
        .await;
    }
}

#[tokio::test]
async fn through_tinyproxy() {
    if let Some(running) = http().await {
        check(
            ProxyKind::Http,
            running,
            "unavailable: the proxy answered CONNECT with status 500",
        )
        .await;
    }
}

#[tokio::test]
async fn the_proxy_itself_is_guarded() {
    let policy = AddressPolicy {
        allow: vec!["127.0.0.2/32".parse().unwrap()],
        ..AddressPolicy::default()
    };
    let network = Network::new(NetworkSettings {
        policy,
        ..NetworkSettings::default()
    })
    .unwrap();
    let (_listener, port) = listener().await;
    let spec = spec(Transport::Tcp {
        host: "127.0.0.2".into(),
        port: 19999,
    });
    let mut subject = Subject::open(&network, spec.clone(), proxy(ProxyKind::Http, port, "x"));
    subject
        .closed_because("denied: the proxy's address may not be connected to")
        .await;

    let closed = free_port().await;
    let mut subject = Subject::open(
        &self::network(),
        spec,
        proxy(ProxyKind::Socks5, closed, "x"),
    );
    subject
        .closed_because("unavailable: the proxy refused the connection")
        .await;
}
