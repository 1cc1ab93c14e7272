use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

/// An authority of our own and a server with its certificate for `localhost`.
pub(super) struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            directory,
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn network(&self) -> Arc<Network> {
        network_with(vec![self.directory.path().join("ca.pem")])
    }

    pub(super) fn acceptor(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn named(name: &str, port: u16) -> ConnectionSpec {
    spec(Transport::Tls {
        host: name.into(),
        port,
    })
}

#[tokio::test]
async fn tls_with_an_authority_of_the_operator() {
    let authority = Authority::new();
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&authority.network(), named("localhost", port), None);
    subject.send("NICK a", 1);
    let mut server = soon(authority.acceptor(|_| ()).accept(accept(&listener).await))
        .await
        .unwrap();
    assert_eq!(server.get_ref().1.server_name(), Some("localhost"));
    subject.opened().await;
    assert_eq!(subject.flushed().await, 1);
    let mut line = [0; 8];
    soon(server.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"NICK a\r\n");
    server.write_all(b"one\r\ntw").await.unwrap();
    server.write_all(b"o\r\n").await.unwrap();
    server.flush().await.unwrap();
    let (one, two) = (subject.frame().await, subject.frame().await);
    assert_eq!((one.0.as_str(), two.0.as_str()), ("one", "two"));
    // More than rustls takes at once, in both directions.
    let big = "x".repeat(400);
    for token in 0..1000 {
        subject.send(&big, token);
    }
    let mut received = vec![0; 402 * 1000];
    soon(server.read_exact(&mut received)).await.unwrap();
    for token in 0..1000 {
        assert_eq!(subject.flushed().await, token);
    }
    soon(server.shutdown()).await.unwrap();
    subject
        .closed_because("unavailable: the other side closed the connection")
        .await;
}

#[tokio::test]
async fn certificates_are_verified() {
    let authority = Authority::new();
    let trusting = authority.network();
    let expired = authority.acceptor(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let good = authority.acceptor(|_| ());
    for (network, acceptor, name, problem) in [
        (
            &network(),
            &good,
            "localhost",
            "localhost failed: the certificate's issuer is not trusted",
        ),
        (
            &trusting,
            &expired,
            "localhost",
            "localhost failed: the certificate has expired",
        ),
        (
            &trusting,
            &good,
            "127.0.0.1",
            "127.0.0.1 failed: the certificate is for another name",
        ),
    ] {
        let (listener, port) = listener().await;
        let mut subject = Subject::open(network, named(name, port), None);
        subject.send("secret", 1);
        let server = acceptor.accept(accept(&listener).await);
        let (served, (reason, undelivered)) =
            soon(async { tokio::join!(server, subject.closed()) }).await;
        assert!(served.is_err());
        assert_eq!(
            reason.to_string(),
            format!("unavailable: TLS with {problem}")
        );
        assert_eq!(undelivered, 1);
    }
}

#[tokio::test]
async fn what_is_no_tls_is_said_to_be_none() {
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&network(), named("localhost", port), None);
    let mut server = accept(&listener).await;
    server
        .write_all(b":irc.example NOTICE * :hello\r\n")
        .await
        .unwrap();
    subject
        .closed_because(
            "unavailable: TLS with localhost failed: the other side does not speak TLS here",
        )
        .await;
}

#[tokio::test]
async fn a_silent_server_runs_into_the_timeout() {
    let (listener, port) = listener().await;
    let spec = ConnectionSpec {
        connect_timeout_ms: Some(50),
        ..named("localhost", port)
    };
    let mut subject = Subject::open(&network(), spec, None);
    let _server = accept(&listener).await;
    subject
        .closed_because("unavailable: the TLS handshake took too long (localhost)")
        .await;
}

#[tokio::test]
async fn start_tls_goes_on_protected() {
    let authority = Authority::new();
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&authority.network(), tcp(port), None);
    let mut server = accept(&listener).await;
    subject.opened().await;
    subject.send("STARTTLS", 1);
    let mut line = [0; 10];
    soon(server.read_exact(&mut line)).await.unwrap();
    server.write_all(b"go ahead\r\n").await.unwrap();
    assert_eq!(subject.flushed().await, 1);
    assert_eq!(subject.frame().await.0, "go ahead");
    subject.connection.start_tls("localhost".into());
    subject.send("PASS x", 2);
    let mut server = soon(authority.acceptor(|_| ()).accept(server))
        .await
        .unwrap();
    subject.opened().await;
    assert_eq!(subject.flushed().await, 2);
    let mut line = [0; 8];
    soon(server.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"PASS x\r\n");
}

#[tokio::test]
async fn what_came_in_unprotected_never_passes_for_protected() {
    let authority = Authority::new();
    let injected = "invalid: unprotected data came in that was not handed over before TLS began";
    // In the remainder, as a half frame in the same packet.
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&authority.network(), tcp(port), None);
    let mut server = accept(&listener).await;
    server.write_all(b"go ahead\r\nOK log").await.unwrap();
    subject.opened().await;
    assert_eq!(subject.frame().await.0, "go ahead");
    subject.connection.start_tls("localhost".into());
    subject.closed_because(injected).await;

    // In the kernel, not read yet.
    let mut subject = Subject::open(&authority.network(), tcp(port), None);
    let mut server = accept(&listener).await;
    subject.opened().await;
    server.write_all(b"OK logged in\r\n").await.unwrap();
    subject.connection.start_tls("localhost".into());
    subject.closed_because(injected).await;

    // While what was sent before has not left yet.
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(4096)
        .unwrap();
    let mut subject = Subject::open(&authority.network(), tcp(port), None);
    let mut server = accept(&listener).await;
    subject.opened().await;
    subject.connection.send(vec![b'x'; 7 * 1024 * 1024], None);
    subject.connection.start_tls("localhost".into());
    server.write_all(b"OK logged in\r\n").await.unwrap();
    subject.closed_because(injected).await;

    // As a frame for which there is no credit.
    let mut subject = Subject::open(&authority.network(), tcp(port), None);
    let mut server = accept(&listener).await;
    subject.opened().await;
    server.write_all(&b"x\r\n".repeat(64)).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(subject.frame().await);
    }
    server.write_all(b"OK logged in\r\n").await.unwrap();
    subject.connection.start_tls("localhost".into());
    subject.closed_because(injected).await;
}

#[tokio::test]
async fn start_tls_needs_its_grant() {
    let (listener, port) = listener().await;
    let grant = EgressGrant {
        provider: "test".into(),
        rules: vec![GrantedDestination {
            host: "127.0.0.1".into(),
            port,
            tcp: true,
            tls: false,
            ..GrantedDestination::default()
        }],
        placements: Vec::new(),
    };
    let mut subject = Subject::open_granted(&network(), tcp(port), grant, None);
    let _server = accept(&listener).await;
    subject.opened().await;
    subject.connection.start_tls("localhost".into());
    subject.send("PASS x", 1);
    let (reason, undelivered) = subject.closed().await;
    assert_eq!(
        reason.to_string(),
        "denied: TLS on this destination is not granted by the manifest"
    );
    assert_eq!(undelivered, 1);
}

#[tokio::test]
async fn the_dialer_serves_https_too() {
    let authority = Authority::new();
    let (listener, port) = listener().await;
    let dialer = authority.network().dialer();
    let acceptor = authority.acceptor(|_| ());
    let serve = async {
        let mut stream = acceptor.accept(accept(&listener).await).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let dial = async {
        let mut text = String::new();
        let mut stream = dialer.connect_tls("localhost", port).await.unwrap();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let ((), text) = soon(async { tokio::join!(serve, dial) }).await;
    assert_eq!(text, "hello");
    let error = Network::new(NetworkSettings::default())
        .unwrap()
        .dialer()
        .connect_tcp("localhost", port)
        .await
        .unwrap_err();
    assert_eq!(error.problem, DialProblem::Denied);
}

#[tokio::test]
async fn an_extra_authority_that_cannot_be_read_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    for path in [empty, directory.path().join("absent.pem")] {
        let error = Network::new(NetworkSettings {
            extra_ca: vec![path.clone()],
            ..NetworkSettings::default()
        })
        .unwrap_err();
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
}
