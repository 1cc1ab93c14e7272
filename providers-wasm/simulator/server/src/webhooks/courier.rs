//! Posts what waits to one address, until it gets its 2xx. Users whose delivery failed are tried on
//! their own, so that they hold up nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{DeliveryRecord, Hook};
use crate::channel::{Channel, now_ms};
use crate::inbox::Given;
use crate::user::User;
use crate::webhook::{SIGNATURE_HEADER, TIMESTAMP_HEADER};

const USERS: usize = 10;
const EVENTS: usize = 20;
/// Of one user's events in one request; one event always goes.
const BYTES: usize = 128 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);

type Posting = Client<HttpConnector, Full<Bytes>>;

/// How often in a row it failed for a user, and when it is tried again.
type Troubled = HashMap<String, (u32, Instant)>;

struct Parcel {
    user: Arc<User>,
    events: Vec<Given>,
}

pub(super) async fn run(channel: Arc<Channel>, hook: Arc<Hook>) {
    let client: Posting = Client::builder(TokioExecutor::new()).build_http();
    let mut troubled = Troubled::new();
    while !hook.is_closed() {
        let (parcels, due) = collect(&channel, &hook, &troubled);
        if parcels.is_empty() {
            tokio::select! {
                () = hook.wake.notified() => {}
                () = sleep_until(due), if due.is_some() => {}
            }
            continue;
        }
        let (alone, together): (Vec<_>, Vec<_>) = parcels
            .into_iter()
            .partition(|parcel| troubled.contains_key(&parcel.user.name));
        let mut batches: Vec<Vec<Parcel>> = alone.into_iter().map(|parcel| vec![parcel]).collect();
        let mut together = together.into_iter().peekable();
        while together.peek().is_some() {
            batches.push(together.by_ref().take(USERS).collect());
        }
        for batch in batches {
            let status = post(&client, &channel, &hook, &batch).await;
            settle(&channel, batch, status, &mut troubled);
        }
    }
}

/// What may go now, and when there may be more.
fn collect(
    channel: &Channel,
    hook: &Arc<Hook>,
    troubled: &Troubled,
) -> (Vec<Parcel>, Option<Instant>) {
    let users = match &hook.user {
        Some(name) => vec![channel.user(name)],
        None => channel.users(),
    };
    let now = Instant::now();
    let (mut parcels, mut due) = (Vec::new(), None::<Instant>);
    let mut wait_until = |at: Instant| due = Some(due.map_or(at, |due| due.min(at)));
    for user in users {
        if let Some((_, again_at)) = troubled.get(&user.name).filter(|(_, at)| *at > now) {
            wait_until(*again_at);
            continue;
        }
        let mut state = user.state();
        let mine = state
            .hook
            .as_ref()
            .is_some_and(|other| Arc::ptr_eq(other, hook));
        if !mine {
            continue;
        }
        let limit = channel.settings.backlog_limit;
        state.inbox.generate(now, now_ms(), limit);
        let events = state.inbox.give(&channel.epoch, EVENTS, BYTES, now);
        if let Some(at) = state.inbox.next_due() {
            wait_until(at);
        }
        drop(state);
        if !events.is_empty() {
            parcels.push(Parcel { user, events });
        }
    }
    (parcels, due)
}

/// The status; none where no answer came.
async fn post(client: &Posting, channel: &Channel, hook: &Hook, batch: &[Parcel]) -> Option<u16> {
    let body = body(batch);
    let signed = hook.sign(now_ms() / 1_000, &body);
    let request = Request::builder()
        .method(Method::POST)
        .uri(&hook.url)
        .header("content-type", "application/json")
        .header(TIMESTAMP_HEADER, signed.timestamp)
        .header(SIGNATURE_HEADER, signed.signature)
        .body(Full::new(body));
    let answered = async {
        let response = client.request(request.ok()?).await.ok()?;
        let status = response.status().as_u16();
        // Read to its end, or the connection cannot be used again.
        response.into_body().collect().await.ok()?;
        Some(status)
    };
    let status = tokio::time::timeout(PATIENCE, answered)
        .await
        .ok()
        .flatten();
    channel.deliveries.keep(DeliveryRecord {
        users: batch
            .iter()
            .map(|parcel| parcel.user.name.clone())
            .collect(),
        events: batch
            .iter()
            .flat_map(|parcel| &parcel.events)
            .map(|event| channel.event_id(event.sequence))
            .collect(),
        again: batch
            .iter()
            .flat_map(|parcel| &parcel.events)
            .filter(|event| event.again)
            .count() as u64,
        status,
    });
    status
}

fn settle(channel: &Channel, batch: Vec<Parcel>, status: Option<u16>, troubled: &mut Troubled) {
    let taken = status.is_some_and(|status| (200..300).contains(&status));
    for Parcel { user, events } in batch {
        if taken {
            troubled.remove(&user.name);
            let mut state = user.state();
            for event in events {
                state.inbox.acknowledge(event.sequence, &channel.latency);
            }
            continue;
        }
        let failures = troubled
            .get(&user.name)
            .map_or(0, |(failures, _)| *failures);
        let pause = (FIRST_PAUSE * (1 << failures.min(10))).min(LONGEST_PAUSE);
        troubled.insert(user.name.clone(), (failures + 1, Instant::now() + pause));
    }
}

/// JSON of a [`crate::webhook::Delivery`]; the events are JSON already.
fn body(batch: &[Parcel]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(br#"{"entry":["#);
    for (index, parcel) in batch.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        let user = serde_json::Value::from(parcel.user.id());
        out.put_slice(format!(r#"{{"user":{user},"events":["#).as_bytes());
        for (index, event) in parcel.events.iter().enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            out.put_slice(&event.json);
        }
        out.put_slice(b"]}");
    }
    out.put_slice(b"]}");
    out.freeze()
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}
