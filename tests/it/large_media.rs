//! Files larger than a provider's memory: uploaded, sent to the channel, sent back by it, downloaded
//! by range. Over both ways of the simulator channel: in pieces that pass through the guest, and by
//! HTTP requests whose bodies the guest only names. Both providers get 8 MiB of memory, which the
//! host enforces.

use crate::support::host::Host;
use crate::support::process::{Client, Home};
use crate::support::relay::Relay;
use crate::support::traffic::Channel;
use crate::support::{eventually, guests, proves};
use crate::webhook_channel::{self, Posting};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

const USER: &str = "ada";
const LOOPBACK: &str = "[network]\nallow = [\"127.0.0.0/8\"]\n";
const PIECE: u64 = 256 * 1024;
const SOCKET: &str = "simulator-nodedupe";
/// Longer than the largest of these files takes on a slow machine.
const LONG: Duration = Duration::from_secs(900);

#[derive(Clone, Copy, Debug)]
enum Way {
    Socket,
    Http,
}

/// The channel, and a wire to it.
struct Far {
    posting: Posting,
    relay: Relay,
}

impl Far {
    async fn start(way: Way) -> Self {
        let mut posting = Posting::start().await;
        let relay = Relay::to(match way {
            Way::Socket => posting.channel.address(),
            Way::Http => posting.http,
        })
        .await;
        posting.http = relay.address;
        Self { posting, relay }
    }

    fn channel(&mut self) -> &mut Channel {
        &mut self.posting.channel
    }

    /// What an operator says of both providers.
    fn providers(&self) -> [(&'static str, Value); 2] {
        let (server, port) = (self.relay.address.ip(), self.relay.address.port());
        [
            (SOCKET, json!({"server": server.to_string(), "port": port})),
            (webhook_channel::PROVIDER, self.posting.provider()),
        ]
    }

    /// An account that is signed in and hears from the channel.
    async fn account(&mut self, way: Way, client: &Client, operator: &Client) -> String {
        match way {
            Way::Socket => {
                let lean = with_less_memory(guests::simulator_no_dedupe());
                operator.install(&lean).await;
                client.simulator_account(SOCKET, USER).await
            }
            Way::Http => {
                let lean = with_less_memory(guests::simulator_webhook());
                operator.install(&lean).await;
                let of = (USER, "header", false);
                let account = self.posting.account(client, of).await;
                self.posting.post_to(Some(&client.base)).await;
                account.id
            }
        }
    }
}

/// The same component, whose manifest asks for 8 MiB in place of 16.
fn with_less_memory(component: &[u8]) -> Vec<u8> {
    let (much, less) = (b"memory-bytes = 16777216", b"memory-bytes = 8388608 ");
    let mut component = component.to_vec();
    let at = component
        .windows(much.len())
        .position(|window| window == much)
        .expect("the manifest says how much memory it wants");
    component[at..at + less.len()].copy_from_slice(less);
    component
}

/// What stands at this offset. No piece is like another.
fn byte(at: u64) -> u8 {
    ((at / PIECE).wrapping_mul(151) ^ at.wrapping_mul(31) ^ (at >> 11)) as u8
}

fn piece(from: u64, length: u64) -> Vec<u8> {
    (from..from + length).map(byte).collect()
}

fn sum(size: u64) -> String {
    let mut sum = Sha256::new();
    (0..size / PIECE).for_each(|number| sum.update(piece(number * PIECE, PIECE)));
    hex::encode(sum.finalize())
}

async fn upload(client: &Client, size: u64) -> String {
    let pieces = (0..size / PIECE).map(|number| {
        let bytes = piece(number * PIECE, PIECE);
        Ok::<_, Infallible>(Bytes::from(bytes))
    });
    let request = client
        .request(Method::POST, "/v1/media?file_name=long.bin")
        .timeout(LONG)
        .body(reqwest::Body::wrap_stream(stream::iter(pieces)));
    let made = client.send(request).await.expect(201);
    assert_eq!(made["data"]["size"], size);
    made["data"]["id"].as_str().unwrap().to_owned()
}

/// To the conversation that sends everything back; its id.
async fn send(client: &Client, account: &str, file: &str) -> String {
    let body = json!({
        "account_id": account,
        "to": {"id": "echo", "type": "user"},
        "message": {"type": "document", "file_key": file},
    });
    let request = client
        .request(Method::POST, "/v1/messages")
        .header("Prefer", "respond-async")
        .json(&body);
    let answer = client.send(request).await;
    assert!(answer.status.is_success(), "{:#}", answer.body);
    let id = &answer.body["data"]["message_id"];
    id.as_str().unwrap().to_owned()
}

async fn patiently<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let found = tokio::time::timeout(LONG, looking).await;
    found.unwrap_or_else(|_| panic!("{what} did not come to pass"))
}

async fn sent(client: &Client, message: &str) {
    patiently("the send ends", async || {
        let path = format!("/v1/messages/{message}");
        let found = client.get(&path).await.expect(200)["data"].clone();
        let state = found["state"].as_str().unwrap().to_owned();
        let open = ["recorded", "deferred", "dispatched"].contains(&state.as_str());
        assert!(open || state == "sent", "{found:#}");
        (!open).then_some(())
    })
    .await;
}

/// The address of what the channel sent back.
async fn echoed(client: &Client, account: &str) -> String {
    eventually("the file comes back", async || {
        let path = format!("/v1/events?account_id={account}&limit=200");
        let page = client.get(&path).await.expect(200);
        let items = page["data"]["items"].as_array().unwrap().clone();
        items.iter().find_map(|event| {
            let url = &event["data"]["message"]["attachments"][0]["url"];
            url.as_str().map(str::to_owned)
        })
    })
    .await
}

async fn part(client: &reqwest::Client, url: &str, from: u64, length: u64) -> Vec<u8> {
    let range = format!("bytes={from}-{}", from + length - 1);
    let bytes = patiently("the file is there", async || {
        let request = client.get(url).header("Range", &range).timeout(LONG);
        let response = request.send().await.unwrap();
        let status = response.status();
        // It is on its way from the channel.
        if status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(response.headers().contains_key("retry-after"));
            return None;
        }
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        Some(response.bytes().await.unwrap())
    })
    .await;
    bytes.to_vec()
}

/// Kilobytes, as the kernel counts them.
fn memory(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// 200 MB, and 12 MB in CI, which is still more than the providers have.
async fn a_large_file(way: Way) {
    const GROWTH_KB: u64 = 64 * 1024;
    let size = if proves() { 800 * PIECE } else { 48 * PIECE };
    let mut far = Far::start(way).await;
    let mut config = LOOPBACK.to_owned()
        + "[simulator]\nenabled = false\n[runtime]\nguest_threads = 2\nsend_deadline_s = 900\n";
    for (provider, settings) in far.providers() {
        config += &format!("[provider.{provider}]\n");
        for (name, value) in settings.as_object().unwrap() {
            config += &format!("{name} = {value}\n");
        }
    }
    let home = Home::new(&config);
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    let operator = Client::new(&host.base, &keys.operator);
    let account = far.account(way, &client, &operator).await;

    let file = upload(&client, size).await;
    // The peak begins anew.
    std::fs::write(format!("/proc/{}/clear_refs", host.id()), "5").unwrap();
    let before = memory(host.id(), "VmRSS:");
    let message = send(&client, &account, &file).await;
    sent(&client, &message).await;
    let up = memory(host.id(), "VmHWM:").saturating_sub(before);
    let url = echoed(&client, &account).await;
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    for (from, length) in [(0, 1), (size / 2 - 3, 70_000), (size - 10, 10)] {
        let got = part(&plain, &url, from, length).await;
        assert!(got == piece(from, length), "{length} bytes from {from}");
    }
    let whole = plain.get(&url).timeout(LONG).send().await.unwrap();
    let mut whole = whole.bytes_stream();
    let mut come = Sha256::new();
    while let Some(bytes) = whole.next().await {
        come.update(bytes.unwrap());
    }
    assert_eq!(hex::encode(come.finalize()), sum(size));
    let both = memory(host.id(), "VmHWM:").saturating_sub(before);
    println!("{way:?}: {size} bytes out: {up} KB more at the peak; out and in: {both} KB");
    assert!(both < GROWTH_KB, "{both} KB");
    assert!(!home.log().contains("out of memory"), "{}", home.tail());
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_through_a_guest() {
    a_large_file(Way::Socket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_past_a_guest() {
    a_large_file(Way::Http).await;
}

fn files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

/// The wire ends twice while a file goes out and once while it comes back.
async fn cut_in_between(way: Way) {
    const SIZE: u64 = 24 * PIECE;
    let mut far = Far::start(way).await;
    let providers = far.providers();
    let host = Host::start_with(move |config| {
        config.simulator.enabled = Some(false);
        config.provider = providers
            .clone()
            .map(|(name, settings)| (name.to_owned(), settings))
            .into();
    })
    .await;
    let client = Client::new(&host.base, &host.key);
    let operator = Client::new(&host.base, &host.operator_key);
    let account = far.account(way, &client, &operator).await;
    let file = upload(&client, SIZE).await;
    let before = far.relay.passed();
    far.relay.cut_after(SIZE / 3);
    let message = send(&client, &account, &file).await;
    patiently("the first cut", async || {
        (far.relay.cuts() == 1).then_some(())
    })
    .await;
    far.relay.cut_after(SIZE / 3);
    sent(&client, &message).await;
    assert_eq!(far.relay.cuts(), 2);
    let out = far.relay.passed() - before;
    let url = echoed(&client, &account).await;

    far.relay.cut_after(SIZE / 2);
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let got = part(&plain, &url, 0, SIZE).await;
    assert!(got == piece(0, SIZE), "{} bytes", got.len());
    assert_eq!(far.relay.cuts(), 3);
    println!("{way:?}: {out} bytes passed for {SIZE}");
    if matches!(way, Way::Socket) {
        // In base64, and no piece more often than it was lost.
        assert!(out < SIZE * 4 / 3 + SIZE / 3, "{out}");
    }
    let control = &mut far.channel().control;
    let sends = control.journal(Some(USER)).await.unwrap();
    let token = &sends.last().expect("the send came").token;
    let up = control.sent_media(USER, token).await.unwrap();
    let sums: Vec<_> = up.into_iter().map(|one| one.sha256).collect();
    assert_eq!(sums, [sum(SIZE)]);

    // What was begun and not ended leaves nothing; an upload goes when nobody needs it any more, and
    // what an event refers to with its account.
    let directory = host.data().join("media");
    let now = anyport::domain::Timestamp::now();
    eventually("what was uploaded and what came back", async || {
        host.running.media.tidy_up(now).await.unwrap();
        (files(&directory) == 2).then_some(())
    })
    .await;
    let later = now.plus_ms(90 * 24 * 3600 * 1000);
    host.running.media.tidy_up(later).await.unwrap();
    assert_eq!(files(&directory), 1);
    assert!(part(&plain, &url, 1, 2).await == piece(1, 2));
    host.delete(&format!("/v1/accounts/{account}"))
        .await
        .expect(204);
    eventually("nothing is left", async || {
        host.running.media.tidy_up(later).await.unwrap();
        (files(&directory) == 0).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_goes_on_where_its_link_was_cut() {
    cut_in_between(Way::Socket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_cut_is_made_again() {
    cut_in_between(Way::Http).await;
}

/// What a file of 200 MB (48 MB in CI) costs the host in memory, both ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_does_not_grow_the_host() {
    const PIECE: usize = 256 * 1024;
    const GROWTH_KB: u64 = 32 * 1024;
    let pieces = if proves() { 800 } else { 192 };
    let home = Home::new(LOOPBACK);
    let host = home.start().await;
    let keys = host.keys.clone().expect("a first start prints keys");
    let client = Client::new(&host.base, &keys.workspace);
    let pid = host.id();
    // The peak begins anew.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let before = memory(pid, "VmRSS:");
    let source = stream::iter(
        (0..pieces).map(|number| Ok::<_, Infallible>(Bytes::from(vec![number as u8; PIECE]))),
    );
    let request = client
        .request(Method::POST, "/v1/media")
        .timeout(std::time::Duration::from_secs(600))
        .body(reqwest::Body::wrap_stream(source));
    let made = client.send(request).await.expect(201);
    assert_eq!(made["data"]["size"], pieces * PIECE);
    let up = memory(pid, "VmHWM:").saturating_sub(before);
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let path = format!("/v1/media/{}/content", made["data"]["id"].as_str().unwrap());
    let request = client
        .request(Method::GET, &path)
        .timeout(std::time::Duration::from_secs(600));
    let mut bytes = request.send().await.unwrap().bytes_stream();
    let mut length = 0;
    while let Some(piece) = bytes.next().await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, pieces * PIECE);
    let down = memory(pid, "VmHWM:").saturating_sub(before);
    println!("{length} bytes: {up} KB more at the peak up, {down} KB down");
    assert!(
        up < GROWTH_KB && down < GROWTH_KB,
        "{up} KB up, {down} KB down"
    );
    host.kill().await;
}
