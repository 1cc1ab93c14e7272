//! Traffic both ways over the simulator channel, and what must be true of it in the end, whatever
//! happened to the host meanwhile.

use super::arrivals::{Arrivals, Arrived};
use super::process::Client;
use super::{PATIENCE, eventually, guests};
use anyport_simulator::{Behaviour, ControlClient, SentRecord, Settings, Simulator, Traffic};
use http::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub const EVENTS: [&str; 4] = [
    "message.received",
    "message.sent",
    "message.failed",
    "message.unknown",
];
/// A channel that drops repeats and one that keeps them, with the users of each.
const CHANNELS: [(&str, [&str; 2]); 2] = [
    ("simulator", ["ada", "bob"]),
    ("simulator-nodedupe", ["eve", "joe"]),
];

/// The simulator channel's server, which outlives hosts, with a control connection.
pub struct Channel {
    pub simulator: Simulator,
    pub control: ControlClient,
}

impl Channel {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, Settings::default()).unwrap();
        let control = ControlClient::connect(simulator.address()).await.unwrap();
        Self { simulator, control }
    }

    pub fn address(&self) -> SocketAddr {
        self.simulator.address()
    }

    /// Two accounts of each kind, signed in, and the receiver of their events.
    pub async fn accounts(
        &mut self,
        client: &Client,
        operator: &Client,
        sink: &Arrivals,
    ) -> Vec<Account> {
        operator.install(guests::simulator_no_dedupe()).await;
        client.endpoint(&sink.url(), &EVENTS).await;
        let mut accounts = Vec::new();
        for (provider, users) in CHANNELS {
            for user in users {
                let behaviour = Behaviour {
                    dedupe: provider == "simulator",
                    ..Behaviour::default()
                };
                self.control.configure(Some(user), behaviour).await.unwrap();
                accounts.push(Account {
                    id: client.simulator_account(provider, user).await,
                    user: user.to_owned(),
                });
            }
        }
        accounts
    }

    /// How often a connection of each user came online.
    pub async fn logins(&mut self) -> u64 {
        self.control.counters().await.unwrap().logins
    }
}

/// Messages that the channel sends by itself.
pub fn traffic() -> Traffic {
    Traffic {
        rate: 30.0,
        conversations: 3,
        ..Traffic::default()
    }
}

/// Where both providers find the channel, as an operator sets it.
pub fn provider_configuration(channel: SocketAddr) -> BTreeMap<String, Value> {
    let place = json!({"server": channel.ip().to_string(), "port": channel.port()});
    let of = |(provider, _): (&str, _)| (provider.to_owned(), place.clone());
    CHANNELS.map(of).into()
}

pub fn configuration(simulator: SocketAddr, send_deadline_s: u64) -> String {
    let (server, port) = (simulator.ip(), simulator.port());
    let mut text = format!(
        "[network]\nallow = [\"127.0.0.0/8\"]\n\
         [runtime]\nguest_threads = 2\nsend_deadline_s = {send_deadline_s}\n"
    );
    for (provider, _) in CHANNELS {
        text += &format!("[provider.{provider}]\nserver = \"{server}\"\nport = {port}\n");
    }
    text
}

pub struct Account {
    pub id: String,
    pub user: String,
}

/// A text that was given to `POST /v1/messages`, once or, with a key, until it was answered.
pub struct Sent {
    pub account: usize,
    pub text: String,
    pub keyed: bool,
    /// Ours, if an answer told it.
    pub id: Option<String>,
    /// The last status; none: no answer came.
    pub status: Option<u16>,
}

/// Clients that send all the time, with and without a key, and go on over restarts.
pub struct Senders {
    stopping: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    sends: Arc<Mutex<Vec<Sent>>>,
    /// Answers 503 `storage_unavailable`.
    refused: Arc<AtomicU64>,
}

impl Senders {
    pub fn start(
        accounts: &[Account],
        key: &str,
        base: &watch::Sender<String>,
        count: usize,
    ) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let sends = Arc::new(Mutex::new(Vec::new()));
        let refused = Arc::new(AtomicU64::new(0));
        let ids: Arc<[String]> = accounts.iter().map(|account| account.id.clone()).collect();
        let tasks = (0..count)
            .map(|number| {
                let sender = Sender {
                    number,
                    key: key.to_owned(),
                    base: base.subscribe(),
                    accounts: ids.clone(),
                    stopping: stopping.clone(),
                    sends: sends.clone(),
                    refused: refused.clone(),
                };
                tokio::spawn(sender.run())
            })
            .collect();
        Self {
            stopping,
            tasks,
            sends,
            refused,
        }
    }

    fn count(&self, fits: impl Fn(&Sent) -> bool) -> usize {
        let sends = self.sends.lock().unwrap();
        sends.iter().filter(|sent| fits(sent)).count()
    }

    pub fn answered(&self) -> usize {
        self.count(|sent| sent.id.is_some())
    }

    /// Our ids of those that were answered.
    pub fn ids(&self) -> Vec<String> {
        let sends = self.sends.lock().unwrap();
        sends.iter().filter_map(|sent| sent.id.clone()).collect()
    }

    /// Waits until so many sends were answered in all.
    pub async fn until_answered(&self, count: usize) {
        let what = format!("{count} answered sends");
        eventually(&what, async || (self.answered() >= count).then_some(())).await;
    }

    /// Waits until so many were refused because of the database.
    pub async fn until_refused(&self, count: u64) {
        let what = format!("{count} sends refused with 503");
        eventually(&what, async || {
            (self.refused.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
    }

    pub async fn stop(self) -> Vec<Sent> {
        self.stopping.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut self.sends.lock().unwrap())
    }
}

struct Sender {
    number: usize,
    key: String,
    base: watch::Receiver<String>,
    accounts: Arc<[String]>,
    stopping: Arc<AtomicBool>,
    sends: Arc<Mutex<Vec<Sent>>>,
    refused: Arc<AtomicU64>,
}

static TEXTS: AtomicU64 = AtomicU64::new(0);

impl Sender {
    async fn run(mut self) {
        let mut client = Client::new("", &self.key);
        let mut answered: Vec<(Value, String, String)> = Vec::new();
        let mut turn = self.number;
        while !self.stopping.load(Ordering::Relaxed) {
            turn += 1;
            let number = TEXTS.fetch_add(1, Ordering::Relaxed);
            let account = turn % self.accounts.len();
            let text = format!("text {number} of sender {}", self.number);
            let body = json!({
                "account_id": self.accounts[account],
                "to": {"id": "somebody", "type": "user"},
                "message": {"type": "text", "text": text},
            });
            // Not in step with the accounts.
            let key = (turn / self.accounts.len())
                .is_multiple_of(2)
                .then(|| format!("key-{number}"));
            let wait = if turn.is_multiple_of(3) {
                "respond-async"
            } else {
                "wait=2"
            };
            let mut sent = Sent {
                account,
                text,
                keyed: key.is_some(),
                id: None,
                status: None,
            };
            loop {
                client.base = self.base.borrow_and_update().clone();
                let mut request = client
                    .request(Method::POST, "/v1/messages")
                    .header("Prefer", wait)
                    .json(&body);
                if let Some(key) = &key {
                    request = request.header("Idempotency-Key", key);
                }
                let answer = client.try_send(request).await;
                if let Ok(answer) = &answer {
                    let status = answer.status.as_u16();
                    sent.status = Some(status);
                    sent.id = id_in(&answer.body);
                    let told = sent.id.is_some() || [503, 409, 429].contains(&status);
                    assert!(told, "{status} {:#}", answer.body);
                    if sent.id.is_none() {
                        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
                    }
                    if answer.body["error"]["code"] == "storage_unavailable" {
                        self.refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                if sent.id.is_some() || key.is_none() {
                    break;
                }
                // The same key again, until it is answered: also by the host after.
                self.until_it_may_go().await;
            }
            if let (Some(key), Some(id)) = (key, &sent.id) {
                answered.push((body, key, id.clone()));
            }
            if sent.id.is_none() {
                self.until_it_may_go().await;
            }
            self.sends.lock().unwrap().push(sent);
            if turn.is_multiple_of(7) && !answered.is_empty() {
                self.repeat(&client, &answered[turn % answered.len()]).await;
            }
        }
    }

    /// The next host, or a moment if this one refuses.
    async fn until_it_may_go(&mut self) {
        let _ = tokio::time::timeout(Duration::from_millis(50), self.base.changed()).await;
    }

    /// A key that was answered names the same send for ever.
    async fn repeat(&self, client: &Client, (body, key, id): &(Value, String, String)) {
        let request = client
            .request(Method::POST, "/v1/messages")
            .header("Prefer", "respond-async")
            .header("Idempotency-Key", key)
            .json(body);
        let Ok(answer) = client.try_send(request).await else {
            return;
        };
        if let Some(again) = id_in(&answer.body) {
            assert_eq!(again, *id, "{:#}", answer.body);
        }
    }
}

/// Our id of the send that an answer is about.
fn id_in(body: &Value) -> Option<String> {
    let id = body["data"]["id"]
        .as_str()
        .or_else(|| body["error"]["message_id"].as_str())?;
    Some(id.to_owned())
}

/// All that was done, to be held against what the channel and the receiver saw.
pub struct Story {
    pub accounts: Arc<[Account]>,
    pub sends: Vec<Sent>,
    pub client: Client,
}

impl Story {
    /// Waits until nothing is on its way any more.
    async fn settles(&self, control: &mut ControlClient, sink: &Arrivals) {
        drained(control).await;
        eventually("every send is settled", async || {
            for state in ["recorded", "dispatched"] {
                let path = format!("/v1/messages?state={state}&limit=1");
                let open = self.client.get(&path).await.expect(200);
                if !open["data"]["items"].as_array().unwrap().is_empty() {
                    return None;
                }
            }
            Some(())
        })
        .await;
        for account in self.accounts.iter() {
            let mut keys = HashSet::new();
            for id in control.acknowledged(&account.user).await.unwrap() {
                keys.insert(format!("m-{id}"));
            }
            let what = format!(
                "all {} events that {} acknowledged",
                keys.len(),
                account.user
            );
            sink.wait_until(&what, |arrived| {
                let got = arrived.of("message.received", &account.id);
                got.filter(|event| keys.contains(message_id(&event.body)))
                    .count()
                    == keys.len()
            })
            .await;
        }
    }

    /// Waits until all is settled and holds everything against everything; some numbers for
    /// people.
    pub async fn holds(&self, channel: &mut Channel, sink: &Arrivals) -> String {
        let control = &mut channel.control;
        self.settles(control, sink).await;
        let journal = control.journal(None).await.unwrap();
        let mut states: HashMap<String, Value> = HashMap::new();
        for state in ["recorded", "dispatched", "sent", "failed", "unknown"] {
            for send in self.client.sends(state).await {
                states.insert(send["id"].as_str().unwrap().to_owned(), send);
            }
        }
        // Their events come after their states.
        for state in ["sent", "failed", "unknown"] {
            let kind = format!("message.{state}");
            let wanted: HashSet<&str> = states
                .iter()
                .filter(|(_, send)| send["state"] == state)
                .map(|(id, _)| id.as_str())
                .collect();
            sink.wait_until(&format!("all {kind}"), |arrived| {
                let told: HashSet<&str> = arrived
                    .of(&kind, "")
                    .map(|event| event.text("send_id"))
                    .collect();
                wanted.is_subset(&told)
            })
            .await;
        }
        let made = self.check_journal(&journal, &states);
        self.check_answers(&made, &states);
        let received = self.check_received(&sink.look());
        check_settlements(&sink.look(), &states);
        let in_state = |state: &str| states.values().filter(|s| s["state"] == state).count();
        let repeats = sink.look().events.values().filter(|e| e.times > 1).count();
        let counters = control.counters().await.unwrap();
        format!(
            "{received} messages in ({} redelivered by the channel, {repeats} events delivered \
             again to the receiver), {} sends ({} without an answer): {} sent, {} failed, {} \
             unknown; {} messages made on the channel, {} repeats dropped there, {} doubled",
            counters.redelivered,
            states.len(),
            self.sends
                .iter()
                .filter(|sent| sent.status.is_none())
                .count(),
            in_state("sent"),
            in_state("failed"),
            in_state("unknown"),
            counters.messages,
            counters.repeated,
            counters.doubled,
        )
    }

    /// Nothing was made twice, and nothing that the host does not know. Messages by our id.
    fn check_journal<'j>(
        &self,
        journal: &'j [SentRecord],
        states: &HashMap<String, Value>,
    ) -> HashMap<String, &'j SentRecord> {
        let mut made: HashMap<String, &SentRecord> = HashMap::new();
        let mut texts: HashMap<&str, &SentRecord> = HashMap::new();
        for record in journal {
            if record.outcome.made().is_none() {
                continue;
            }
            let id = format!("msg_{}", record.token.replace('-', ""));
            assert!(
                states.contains_key(&id),
                "the host does not know {record:?}"
            );
            if let Some(first) = made.insert(id, record) {
                panic!("a send left twice: {first:?} and {record:?}");
            }
            if let Some(first) = texts.insert(&record.text, record) {
                panic!("a text left twice: {first:?} and {record:?}");
            }
        }
        made
    }

    fn check_answers(&self, made: &HashMap<String, &SentRecord>, states: &HashMap<String, Value>) {
        for sent in &self.sends {
            let Some(id) = &sent.id else { continue };
            let send = states
                .get(id)
                .unwrap_or_else(|| panic!("{id} was answered {:?} and is gone", sent.status));
            assert_eq!(send["account_id"], self.accounts[sent.account].id.as_str());
            if let Some(record) = made.get(id) {
                assert_eq!(record.text, sent.text);
            }
        }
        for (id, send) in states {
            let record = made.get(id);
            match send["state"].as_str().unwrap() {
                "sent" => assert!(record.is_some(), "not on the channel: {send:#}"),
                "failed" => assert!(record.is_none(), "{record:?} of {send:#}"),
                "unknown" => assert!(send["dispatched_at"].is_string(), "{send:#}"),
                other => panic!("{other}: {send:#}"),
            }
        }
    }

    /// One event id per message, in the order of the channel within a conversation.
    fn check_received(&self, arrived: &Arrived) -> usize {
        assert!(
            arrived.changed.is_empty(),
            "other bytes: {:?}",
            arrived.changed
        );
        let mut count = 0;
        for account in self.accounts.iter() {
            let mut seen = HashMap::new();
            let mut last: HashMap<&str, u64> = HashMap::new();
            for event in arrived.of("message.received", &account.id) {
                count += 1;
                let message = message_id(&event.body);
                if let Some(first) = seen.insert(message, &event.body) {
                    panic!("two events of one message: {first:#} and {:#}", event.body);
                }
                let sequence = message.rsplit('-').next().unwrap().parse().unwrap();
                let conversation = event.body["data"]["conversation"]["id"].as_str().unwrap();
                let before = last.insert(conversation, sequence).unwrap_or(0);
                assert!(
                    before < sequence,
                    "{sequence} after {before}: {:#}",
                    event.body
                );
            }
        }
        count
    }
}

/// Until the host has acknowledged all; gives up after a while without any progress.
async fn drained(control: &mut ControlClient) {
    let mut left = u64::MAX;
    loop {
        let before = left;
        let counters = control
            .wait_for(None, PATIENCE, |counted| counted.unacknowledged < before)
            .await
            .unwrap();
        left = counters.unacknowledged;
        if left == 0 {
            return;
        }
    }
}

/// Each settled send has its event, once; an unknown one may have been corrected.
fn check_settlements(arrived: &Arrived, states: &HashMap<String, Value>) {
    let mut told: HashMap<&str, Vec<&str>> = HashMap::new();
    for kind in ["message.sent", "message.failed", "message.unknown"] {
        for event in arrived.of(kind, "") {
            told.entry(event.text("send_id"))
                .or_default()
                .push(event.text("state"));
        }
    }
    for (id, mut said) in told {
        let state = states[id]["state"].as_str().unwrap();
        said.sort_unstable();
        let corrected = said == ["failed", "unknown"] || said == ["sent", "unknown"];
        assert!(
            said == [state] || (corrected && said.contains(&state) && state != "unknown"),
            "{id} is {state} and was told as {said:?}"
        );
    }
}

pub fn message_id(body: &Value) -> &str {
    body["message_id"].as_str().unwrap_or_default()
}
