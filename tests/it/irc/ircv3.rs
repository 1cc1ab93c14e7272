//! InspIRCd with services: SASL, times and ids of the channel, echoes; and TLS.

use super::servers::{Inspircd, Peer, inspircd, inspircd_with};
use super::{World, said, tag, text};
use serde_json::json;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const CAPS: &str = "message-tags server-time";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sasl_times_ids_and_echoes() {
    let Some(server) = inspircd() else { return };
    let (password, wrong) = ("the-right-secret", "the-wrong-secret");
    let logs = Logs::watch(&[password, wrong]);
    server.register_account("anyaccount", password);
    let world = World::start().await;
    let channel = "#ids";
    let over =
        json!({"channels": [channel], "sasl-username": "anyaccount", "sasl-password": wrong});
    let account = world.account(server.port, "anyport", over).await;

    // Refused, and the secret is in nothing that anybody sees.
    let state = account.start_auth().await;
    assert_eq!(state["status"], "failed", "{state:#}");
    assert_eq!(state["last_error"], "904");
    assert!(
        text(&state["last_error_message"]).contains("SASL"),
        "{state:#}"
    );
    let change = json!({"provider_data": {"sasl-password": password}});
    world
        .host
        .patch(&account.path(""), change)
        .await
        .expect(200);
    account.sign_in().await;
    account.joined(channel).await;
    let mut peer = Peer::connect(server.port, "ada", Some(CAPS));
    peer.join(channel);
    peer.send("WHOIS anyport");
    assert!(peer.wait_for(" 330 ").contains("anyaccount"));

    // In: the channel's id and time. The peer's own echo has them, too.
    let mut other = Peer::connect(server.port, "ben", Some(CAPS));
    other.join(channel);
    peer.send(&format!("PRIVMSG {channel} :what time is it?"));
    let line = other.wait_for(":what time is it?");
    let event = account.received("what time is it?").await.json();
    assert_eq!(event["data"]["message"]["id"], tag(&line, "msgid"));
    assert_eq!(event["occurred_at"], tag(&line, "time"));
    assert_eq!(event["data"]["message"]["sent_at"], tag(&line, "time"));

    // Out: the id that others see, and no event beside the answer.
    let sent = account.sent(channel, "time to go").await;
    let line = peer.wait_for(":time to go");
    assert_eq!(sent["message_ids"], json!([tag(&line, "msgid")]));
    assert_eq!(sent["message_id"], tag(&line, "msgid"));
    let long = "long ".repeat(300);
    let sent = account.sent(channel, long.trim_end()).await;
    let mut pieces = (Vec::new(), Vec::new());
    while pieces.1.len() < long.trim_end().len() {
        let line = peer.wait_for(&format!("PRIVMSG {channel} "));
        pieces.0.push(tag(&line, "msgid").to_owned());
        pieces
            .1
            .extend_from_slice(said(line.as_bytes(), channel).unwrap());
    }
    assert_eq!(String::from_utf8(pieces.1).unwrap(), long.trim_end());
    assert_eq!(sent["message_ids"], json!(pieces.0));
    peer.send(&format!("PRIVMSG {channel} :last"));
    account.received("last").await;
    let mut received = account.events("message.received").await;
    // The services have things to say, too.
    received.retain(|event| event["data"]["conversation"]["id"] == channel);
    assert_eq!(received.len(), 2, "echoes are no messages: {received:#?}");
    assert_eq!(account.events("message.sent").await.len(), 2);

    let everything = format!(
        "{} {} {:?} {state}",
        account.show().await,
        world.host.get("/v1/providers").await.body,
        account.events("").await,
    );
    for secret in [password, wrong] {
        assert!(!everything.contains(secret));
        assert!(!stored_in_the_clear(&world, secret));
        assert_eq!(logs.with(secret), Vec::<String>::new());
    }
    assert!(logs.lines() > 0, "nothing was logged at all");
    world.host.stop().await;
}

/// The log of this process at its most talkative, looked through for words that must not be in
/// it.
struct Logs {
    found: Arc<Mutex<Vec<String>>>,
    lines: Arc<AtomicUsize>,
}

impl Logs {
    fn watch(words: &[&str]) -> Self {
        let found = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::new(AtomicUsize::new(0));
        let layer = Watch {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            found: found.clone(),
            lines: lines.clone(),
        };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber).unwrap();
        Self { found, lines }
    }

    fn with(&self, word: &str) -> Vec<String> {
        let found = self.found.lock().unwrap();
        found
            .iter()
            .filter(|line| line.contains(word))
            .cloned()
            .collect()
    }

    fn lines(&self) -> usize {
        self.lines.load(Ordering::Relaxed)
    }
}

struct Watch {
    words: Vec<String>,
    found: Arc<Mutex<Vec<String>>>,
    lines: Arc<AtomicUsize>,
}

impl<S: tracing::Subscriber> Layer<S> for Watch {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, "{}={value:?} ", field.name());
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.lines.fetch_add(1, Ordering::Relaxed);
        if self.words.iter().any(|word| text.0.contains(word)) {
            self.found.lock().unwrap().push(text.0);
        }
    }
}

/// Is it in a file of the host as it is?
fn stored_in_the_clear(world: &World, secret: &str) -> bool {
    let mut found = false;
    for entry in std::fs::read_dir(world.host.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            found |= bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_the_operators_authority() {
    let authority = Authority::new();
    let Some(server) = inspircd_with(&Inspircd {
        tls: Some((authority.certificate.clone(), authority.key.clone())),
    }) else {
        return;
    };
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &authority.ca).unwrap();
    let world = World::start_with(move |config| config.network.extra_ca = vec![file.clone()]).await;
    let channel = "#sealed";
    let over = json!({"tls": true, "server": "localhost", "channels": [channel]});
    let account = world.account(server.tls_port, "anyport", over).await;
    account.sign_in().await;
    account.joined(channel).await;
    let mut peer = server.peer("ada");
    peer.join(channel);
    account.sent(channel, "sealed 🔒").await;
    peer.wait_for(":sealed 🔒");
    peer.send(&format!("PRIVMSG {channel} :opened"));
    account.received("opened").await;
    peer.send("WHOIS anyport");
    peer.wait_for(" 671 ");

    // The certificate is for `localhost`, not for its address.
    let account = world
        .account(server.tls_port, "ben", json!({"tls": true}))
        .await;
    let state = account.start_auth().await;
    assert_eq!(state["status"], "failed", "{state:#}");
    let message = text(&state["last_error_message"]);
    assert!(message.contains("certificate"), "{message}");
    world.host.stop().await;

    // A host that was not told of the authority.
    let world = World::start().await;
    let over = json!({"tls": true, "server": "localhost"});
    let account = world.account(server.tls_port, "cleo", over).await;
    let state = account.start_auth().await;
    assert_eq!(state["status"], "failed", "{state:#}");
    assert_eq!(state["last_error"], "unavailable");
    world.host.stop().await;
}

/// A certificate authority of the test's own and a server's certificate, as PEM.
struct Authority {
    ca: String,
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        Self {
            ca: ca.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}
