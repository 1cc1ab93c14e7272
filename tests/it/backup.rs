//! Backups of a host under traffic: each opens, holds a prefix of every partition's log and all
//! that was acknowledged before it began; and a host made of one waits until it is told to go on.

use crate::held::connect;
use crate::support::arrivals::Arrivals;
use crate::support::eventually;
use crate::support::process::{Client, Home};
use crate::support::proves;
use crate::support::traffic::{Channel, Senders, configuration, traffic};
use anyport::app::backup::{BackupArgs, RestoreArgs, back_up, restore};
use anyport::storage::key::KeySource;
use anyport::storage::sqlite::backup::check;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

fn args(home: &Home, to: &Path) -> BackupArgs {
    BackupArgs {
        to: to.to_owned(),
        with_key: true,
        force: false,
        config: Some(home.config()),
        data: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_under_traffic_are_whole_and_one_becomes_a_host() {
    let rounds = if proves() { 30 } else { 4 };
    let mut channel = Channel::start().await;
    let sink = Arrivals::start().await;
    let home = Home::new(&configuration(channel.address(), 60));
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    let operator = Client::new(&host.base, &keys.operator);
    let accounts = channel.accounts(&client, &operator, &sink).await;
    channel
        .control
        .start_traffic(None, traffic())
        .await
        .unwrap();
    let base = watch::Sender::new(host.base.clone());
    let senders = Senders::start(&accounts, &keys.workspace, &base, 4);

    let mut backups = Vec::new();
    let mut read = Reader::new(client.clone());
    for round in 0..rounds {
        let answered = senders.answered();
        senders.until_answered(answered + 10).await;
        read.on().await;
        let known = read.seen.clone();
        let told: Vec<String> = senders.ids();
        let file = home.data().join(format!("{round}.backup"));
        back_up(args(&home, &file)).await.unwrap();
        backups.push((file, known, told));
    }
    // One that is there is not replaced, and nothing half is left.
    let again = back_up(args(&home, &backups[0].0)).await;
    assert!(again.unwrap_err().to_string().contains("there already"));

    // Sends that nobody answers: dispatched, when the last backup is made.
    let silent = anyport_simulator::Behaviour {
        never_answer: true,
        ..anyport_simulator::Behaviour::default()
    };
    let user = &accounts[0].user;
    channel.control.configure(Some(user), silent).await.unwrap();
    let owed = dispatched(&client, &accounts[0].id).await;
    let last = home.data().join("last.backup");
    back_up(args(&home, &last)).await.unwrap();
    let answered = senders.answered();
    senders.until_answered(answered + 10).await;
    senders.stop().await;
    channel.control.stop_traffic(None).await.unwrap();
    read.on().await;
    let original_cursor = read.cursor.clone();
    host.kill().await;

    let original = log_of(&home.data().join("anyport.db")).await;
    for (file, known, told) in &backups {
        let key = KeySource::File(PathBuf::from(format!("{}.key", file.display())));
        check(file, &key).await.unwrap();
        let copy = log_of(file).await;
        for (partition, events) in &copy {
            let whole = &original[partition];
            assert_eq!(events[..], whole[..events.len()], "no prefix");
        }
        let ids: HashSet<&String> = copy.values().flatten().map(|(_, id)| id).collect();
        for id in known {
            assert!(ids.contains(id), "{id} was read before the backup began");
        }
        let sends = sends_of(file).await;
        for id in told {
            assert!(
                sends.contains(id),
                "{id} was answered before the backup began"
            );
        }
    }
    println!(
        "{rounds} backups; the last has {} events, {} were read before it",
        log_of(&backups[rounds - 1].0)
            .await
            .values()
            .flatten()
            .count(),
        backups[rounds - 1].1.len()
    );
    becomes_a_host(
        &mut channel,
        &last,
        &keys,
        &accounts[0].id,
        &owed,
        &original_cursor,
    )
    .await;
}

/// As an operator does it, on another machine.
async fn becomes_a_host(
    channel: &mut Channel,
    backup: &Path,
    keys: &crate::support::process::Keys,
    account: &str,
    owed: &str,
    original_cursor: &str,
) {
    let home = Home::new(&configuration(channel.address(), 60));
    let request = RestoreArgs {
        from: Some(backup.to_owned()),
        key: None,
        mark: false,
        config: Some(home.config()),
        data: None,
    };
    restore(request.clone()).await.unwrap();
    let again = restore(request).await.unwrap_err().to_string();
    assert!(again.contains("empty directory"), "{again}");
    let logins = channel.logins().await;
    let host = home.start().await;
    let client = Client::new(&host.base, &keys.workspace);
    let operator = Client::new(&host.base, &keys.operator);
    let ready = client.get("/readyz").await.expect(200);
    assert_eq!(ready["data"]["status"], "restored", "{ready:#}");
    let told = operator.get("/admin/v1/restore").await.expect(200);
    assert!(told["data"]["restored_at"].is_string(), "{told:#}");
    client.get("/admin/v1/restore").await.expect(403);
    eventually("every send is settled", async || {
        let open = [
            client.sends("recorded").await,
            client.sends("dispatched").await,
        ];
        open.iter().all(Vec::is_empty).then_some(())
    })
    .await;
    let unknown = client
        .get(&format!("/v1/messages/{owed}"))
        .await
        .expect(200);
    assert_eq!(unknown["data"]["state"], "unknown", "{unknown:#}");
    // Nobody has signed in, and nothing leaves.
    let shown = client.get("/v1/accounts").await.expect(200);
    for account in shown["data"].as_array().unwrap() {
        assert_eq!(account["runtime_status"], "stopped", "{account:#}");
    }
    let refused = send(&client, account, "too early").await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    assert_eq!(channel.logins().await, logins);
    // A cursor of the original's last moment is good here and shows what is new.
    let page = client
        .get(&format!("/v1/events?after={original_cursor}&limit=1000"))
        .await
        .expect(200);
    let events = page["data"]["items"].as_array().unwrap();
    let is_told =
        |event: &Value| event["type"] == "message.unknown" && event["data"]["send_id"] == owed;
    assert!(events.iter().any(is_told), "{page:#}");

    let behaviour = anyport_simulator::Behaviour::default();
    channel.control.configure(None, behaviour).await.unwrap();
    operator
        .post("/admin/v1/restore/resume", json!({}))
        .await
        .expect(200);
    let ready = client.get("/readyz").await.expect(200);
    assert_eq!(ready["data"]["status"], "ok", "{ready:#}");
    eventually("the accounts are up", async || {
        let shown = client.get("/v1/accounts").await.expect(200);
        let all = shown["data"].as_array().unwrap();
        let up = all
            .iter()
            .all(|account| account["runtime_status"] == "running");
        up.then_some(())
    })
    .await;
    send(&client, account, "from the copy").await.expect(200);
    host.kill().await;
}

async fn send(client: &Client, account: &str, text: &str) -> crate::support::host::Answer {
    let body = json!({
        "account_id": account,
        "to": {"id": "somebody", "type": "user"},
        "message": {"type": "text", "text": text},
    });
    client.post("/v1/messages", body).await
}

/// A send that has left and is not answered.
async fn dispatched(client: &Client, account: &str) -> String {
    let request = client
        .request(http::Method::POST, "/v1/messages")
        .header("Prefer", "respond-async")
        .json(&json!({
            "account_id": account,
            "to": {"id": "somebody", "type": "user"},
            "message": {"type": "text", "text": "nobody answers"},
        }));
    let answer = client.send(request).await;
    let id = answer.body["data"]["id"].as_str().unwrap().to_owned();
    eventually("it is dispatched", async || {
        let shown = client.get(&format!("/v1/messages/{id}")).await.expect(200);
        (shown["data"]["state"] == "dispatched").then_some(())
    })
    .await;
    id
}

/// Ids of the events that a client has read.
struct Reader {
    client: Client,
    cursor: String,
    seen: HashSet<String>,
}

impl Reader {
    fn new(client: Client) -> Self {
        Self {
            client,
            cursor: "earliest".to_owned(),
            seen: HashSet::new(),
        }
    }

    async fn on(&mut self) {
        loop {
            let path = format!("/v1/events?after={}&limit=1000", self.cursor);
            let page = self.client.get(&path).await.expect(200);
            let data = &page["data"];
            for event in data["items"].as_array().unwrap() {
                self.seen.insert(event["id"].as_str().unwrap().to_owned());
            }
            data["next_cursor"]
                .as_str()
                .unwrap()
                .clone_into(&mut self.cursor);
            if data["has_more"] != true {
                return;
            }
        }
    }
}

/// (offset, id) of all events by partition; the offsets have no gap.
async fn log_of(database: &Path) -> HashMap<i64, Vec<(i64, String)>> {
    let mut connection = connect(database).await;
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT position, id FROM event ORDER BY position")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let heads: Vec<(i64, i64)> = sqlx::query_as("SELECT id, head FROM partition")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut log: HashMap<i64, Vec<(i64, String)>> = HashMap::new();
    for (position, id) in rows {
        let events = log.entry(position >> 48).or_default();
        events.push((position & ((1 << 48) - 1), id));
        assert_eq!(events.len() as i64, events[events.len() - 1].0, "a gap");
    }
    for (partition, head) in heads {
        let events = log.entry(partition).or_default();
        assert_eq!(events.len() as i64, head, "an offset without its event");
    }
    log
}

async fn sends_of(database: &Path) -> HashSet<String> {
    let mut connection = connect(database).await;
    let ids: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM send")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    ids.iter()
        .map(|id| {
            let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("msg_{hex}")
        })
        .collect()
}
