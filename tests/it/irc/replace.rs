//! A provider is replaced while both sides talk.

use super::servers::{Ngircd, Peer, Server, ngircd};
use super::{Account, World, prove, said, text};
use crate::support::{eventually, sink};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

const CHANNEL: &str = "#talk";
const REPLACEMENTS: usize = 10;

/// The same code under another digest: a custom section more.
pub fn new_version(component: &[u8], number: usize) -> Vec<u8> {
    let name = b"test:version";
    let data = format!("{number:08}");
    let mut section = vec![0, (1 + name.len() + data.len()) as u8, name.len() as u8];
    section.extend_from_slice(name);
    section.extend_from_slice(data.as_bytes());
    [component, &section].concat()
}

/// How many times this nick has registered with the server.
pub fn registrations(server: &Server, nick: &str) -> usize {
    let user = format!("User \"{nick}!");
    server
        .log()
        .lines()
        .filter(|line| line.contains(&user) && line.contains(" registered ("))
        .count()
}

fn connections(server: &Server) -> usize {
    server.log().matches("Accepted connection").count()
}

/// Puts a component into the providers directory, in one step.
pub fn drop_in(world: &World, file: &str, component: &[u8]) {
    let directory: PathBuf = world.host.data().join("providers");
    let hidden = directory.join(format!(".{file}"));
    std::fs::write(&hidden, component).unwrap();
    std::fs::rename(hidden, directory.join(file)).unwrap();
}

/// Waits until the provider's current version is this, and the account runs it.
pub async fn runs(world: &World, account: &Account<'_>, digest_before: &str) -> String {
    eventually("the new version running", async || {
        let provider = world.provider().await;
        let digest = text(&provider["digest"]).to_owned();
        let settled = digest != digest_before
            && provider["other_versions"] == json!([])
            && account.show().await["provider_digest"] == digest.as_str();
        settled.then_some(digest)
    })
    .await
}

/// Numbered lines so far, and the first thing that was wrong with their numbers.
type Count = (usize, Option<String>);

/// A raw client that says numbered lines without end, at most `AHEAD` before the sink has them,
/// and counts the numbered lines it hears.
struct Talker {
    heard: watch::Receiver<Count>,
    said: Arc<Mutex<usize>>,
    thread: std::thread::JoinHandle<Peer>,
    stop: Arc<AtomicBool>,
}

const AHEAD: usize = 30;

impl Talker {
    fn start(mut peer: Peer, arrived: watch::Receiver<Count>) -> Self {
        let (tell, heard) = watch::channel(Count::default());
        let said_so_far = Arc::new(Mutex::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (counter, stopped) = (said_so_far.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut seen = peer.lines.len();
            loop {
                if !stopped.load(Ordering::Relaxed) {
                    let mut number = counter.lock().unwrap();
                    // Not much more than it hears, so that both directions have their share.
                    let most = 4 * tell.borrow().0 + AHEAD;
                    while *number < most.min(arrived.borrow().0 + AHEAD) {
                        peer.send(&format!("PRIVMSG {CHANNEL} :in {number}"));
                        *number += 1;
                    }
                }
                peer.poll();
                for line in &peer.lines[seen..] {
                    let Some(body) = said(line, CHANNEL) else {
                        continue;
                    };
                    let body = String::from_utf8_lossy(body).into_owned();
                    if body == "end" {
                        return peer;
                    }
                    tell.send_modify(|(count, problem)| {
                        if body != format!("out {count}") && problem.is_none() {
                            *problem = Some(format!("{body:?} came as number {count}"));
                        }
                        *count += 1;
                    });
                }
                seen = peer.lines.len();
            }
        });
        Self {
            heard,
            said: said_so_far,
            thread,
            stop,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_while_both_talk() {
    let Some(server) = ngircd(&Ngircd::default()) else {
        return;
    };
    // Lines in each direction between two replacements.
    let between = if prove() { 500 } else { 25 };
    let world = World::start().await;
    let account = world
        .account(
            server.port,
            "anyport",
            // Slow enough for sends to wait for their turn in the provider.
            json!({"channels": [CHANNEL], "flood-burst": 2, "flood-interval-ms": 10}),
        )
        .await;
    let mut peer = server.peer("ada");
    peer.join(CHANNEL);
    account.sign_in().await;
    account.joined(CHANNEL).await;
    let component = world.component().await;
    let mut digest = text(&world.provider().await["digest"]).to_owned();
    let connections_before = connections(&server);

    let (arrive, arrived) = watch::channel(Count::default());
    let talker = Talker::start(peer, arrived.clone());
    let heard = talker.heard.clone();
    let ending = AtomicBool::new(false);

    // In: what comes to the sink, in its order.
    world.sink.answer_with(move |received| {
        let event = received.json();
        if event["type"] == "message.received" {
            let body = text(&event["data"]["message"]["text"]);
            arrive.send_modify(|(count, problem)| {
                if body != format!("in {count}") && problem.is_none() {
                    *problem = Some(format!("{body:?} came as number {count}"));
                }
                *count += 1;
            });
        }
        sink::Answer::Status(http::StatusCode::OK)
    });
    // Out: one after the other, at most AHEAD before they are heard.
    let mut ids = Vec::new();
    let sending = async {
        let mut heard = talker.heard.clone();
        while !ending.load(Ordering::Relaxed) {
            let number = ids.len();
            let waited = async {
                heard
                    .wait_for(|(count, _)| count + AHEAD > number)
                    .await
                    .map(|_| ())
            };
            tokio::time::timeout(crate::support::PATIENCE, waited)
                .await
                .unwrap_or_else(|_| {
                    panic!("nothing more is heard after {:?}", talker.heard.borrow())
                })
                .unwrap();
            let answer = account.send_async(CHANNEL, &format!("out {number}")).await;
            assert!(
                matches!(answer.status.as_u16(), 200 | 202),
                "{:#}",
                answer.body
            );
            ids.push(text(&answer.body["data"]["id"]).to_owned());
        }
    };
    let replacing = async {
        for number in 1..=REPLACEMENTS {
            let (to, from) = (arrived.borrow().0 + between, heard.borrow().0 + between);
            more(&arrived, "lines at the sink", |(count, _)| *count >= to).await;
            more(&heard, "lines at the peer", |(count, _)| *count >= from).await;
            let bytes = new_version(&component, number);
            if number % 2 == 1 {
                let installed = world.upload(bytes).await.expect(201);
                assert_eq!(installed["data"]["provider"], "irc");
                assert_eq!(installed["data"]["accounts"], 1);
                assert_ne!(installed["data"]["digest"], digest.as_str());
            } else {
                drop_in(&world, "irc.wasm", &bytes);
            }
            digest = runs(&world, &account, &digest).await;
        }
        let (to, from) = (arrived.borrow().0 + between, heard.borrow().0 + between);
        more(&arrived, "lines at the sink", |(count, _)| *count >= to).await;
        more(&heard, "lines at the peer", |(count, _)| *count >= from).await;
        talker.stop.store(true, Ordering::Relaxed);
        ending.store(true, Ordering::Relaxed);
    };
    tokio::join!(sending, replacing);

    let last = account.sent(CHANNEL, "end").await;
    assert_eq!(last["state"], "sent");
    let peer = talker.thread.join().unwrap();
    let (count, problem) = talker.heard.borrow().clone();
    assert_eq!((count, problem), (ids.len(), None), "at the peer");
    let total_in = *talker.said.lock().unwrap();
    more(&arrived, "lines at the sink", |(count, _)| {
        *count >= total_in
    })
    .await;
    assert_eq!(*arrived.borrow(), (total_in, None), "at the sink");
    for id in &ids {
        account.send_is(id, "sent").await;
    }
    // The log says the same as the sink: nothing lost, doubled or out of order.
    let logged = account.events("message.received").await;
    assert_eq!(logged.len(), total_in);
    assert_eq!(account.events("message.sent").await.len(), ids.len() + 1);
    drop(peer);

    assert_eq!(registrations(&server, "anyport"), 1, "{}", server.log());
    assert_eq!(connections(&server), connections_before, "{}", server.log());
    let provider = world.provider().await;
    assert_eq!(provider["digest"], digest.as_str());
    assert_eq!(provider["last_refusal"], Value::Null);
    let statuses = account.told_statuses().await;
    assert_eq!(
        statuses
            .iter()
            .filter(|status| *status == "running")
            .count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(statuses.last().unwrap(), "running");
    eprintln!(
        "replaced {REPLACEMENTS} times: {total_in} lines in, {} lines out, one connection",
        ids.len()
    );
    world.host.stop().await;
}

async fn more<T>(watched: &watch::Receiver<T>, what: &str, holds: impl FnMut(&T) -> bool) {
    let mut watched = watched.clone();
    let waited = tokio::time::timeout(crate::support::PATIENCE, watched.wait_for(holds)).await;
    waited
        .unwrap_or_else(|_| panic!("waited in vain for more {what}"))
        .unwrap();
}
