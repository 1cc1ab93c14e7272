//! What tests and operators may ask of a running server, and the answers.
//!
//! Everything here works on state and wakes connections; it never touches a socket.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::counters::{Counters, LatencySummary};
use crate::journal::SentRecord;
use crate::model::{Body, Medium};
use crate::play::{self, Play};
use crate::protocol::Fault;
use crate::request::Answer;
use crate::requests::RequestRecord;
use crate::samples;
use crate::settings::{Behaviour, Traffic};
use crate::user::{Order, User, UserState};
use crate::webhook_control::{self, WebhookRequest};
use crate::webhooks::{DeliveryRecord, SignedRequest};

/// One request on a control connection; answered by one [`ControlReply`], in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlRequest {
    Users {},
    /// Of one user, or the sum over all.
    Counters {
        user: Option<String>,
    },
    Latency {},
    /// Forgets the latencies seen so far.
    ResetLatency {},
    /// Sends of one user or of all, by number of arrival.
    Journal {
        user: Option<String>,
        after: u64,
        limit: u32,
    },
    /// Ids of the events that were acknowledged.
    Acknowledged {
        user: String,
    },
    /// Ids of the events that wait or are on the wire.
    Unacknowledged {
        user: String,
    },
    Inject {
        user: String,
        body: Box<Body>,
    },
    /// A ready-made event; `kind` is one of [`samples::KINDS`].
    InjectSample {
        user: String,
        kind: String,
    },
    /// None: what all users without behaviour of their own do.
    Configure {
        user: Option<String>,
        behaviour: Behaviour,
    },
    Behaviour {
        user: Option<String>,
    },
    SetPassword {
        user: String,
        password: Option<String>,
    },
    /// None: for every user there is.
    StartTraffic {
        user: Option<String>,
        traffic: Traffic,
    },
    StopTraffic {
        user: Option<String>,
    },
    Refuse {
        user: String,
        count: u32,
        fault: Fault,
    },
    /// The next `count` sends are taken, and the connection closes instead of an answer.
    LoseAnswers {
        user: String,
        count: u32,
    },
    DropAfter {
        user: String,
        frames: u32,
    },
    SendGarbage {
        user: String,
        garbage: Garbage,
    },
    /// None: everybody's.
    DropConnections {
        user: Option<String>,
    },
    Scan {
        user: String,
    },
    RevokeSessions {
        user: String,
        fault: Option<Fault>,
    },
    /// About tokens, webhooks and media.
    Webhooks(WebhookRequest),
    /// About what the user sees of the channel.
    Play {
        user: String,
        play: Play,
    },
}

/// What is no frame of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// A whole frame that is not JSON.
    NotJson,
    /// JSON that is no frame.
    Unknown,
    /// A length of 4 GiB.
    HugeLength,
    /// Half a frame, then the connection closes.
    HalfFrame,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlReply {
    Done {},
    Users(Vec<String>),
    Counters(Counters),
    Latency(LatencySummary),
    Journal(Vec<SentRecord>),
    Events(Vec<String>),
    /// The id of the event that was made.
    Injected(String),
    Behaviour(Behaviour),
    /// How many connections or users it was done to.
    Count(u64),
    Answer(Answer),
    Token(String),
    Deliveries(Vec<DeliveryRecord>),
    SignedRequest(Option<SignedRequest>),
    Medium(Option<Medium>),
    Requests(Vec<RequestRecord>),
    Error(String),
}

pub(crate) fn handle(channel: &Channel, request: ControlRequest) -> ControlReply {
    use ControlRequest as Ask;
    match request {
        Ask::Webhooks(request) => webhook_control::handle(channel, request),
        Ask::Play { user, play } => play::play(channel, &user, play),
        Ask::Users {} => ControlReply::Users(
            channel
                .users()
                .iter()
                .map(|user| user.name.clone())
                .collect(),
        ),
        Ask::Counters { user } => ControlReply::Counters(counters(channel, user.as_deref())),
        Ask::Latency {} => ControlReply::Latency(channel.latency.summary()),
        Ask::ResetLatency {} => {
            channel.latency.reset();
            ControlReply::Done {}
        }
        Ask::Journal { user, after, limit } => {
            journal(channel, user.as_deref(), after, limit as usize)
        }
        Ask::Acknowledged { user } => {
            events(channel, &user, |state| state.inbox.acknowledged().collect())
        }
        Ask::Unacknowledged { user } => events(channel, &user, |state| {
            state.inbox.unacknowledged().collect()
        }),
        Ask::Inject { user, body } => inject(channel, &user, *body),
        Ask::InjectSample { user, kind } => match samples::sample(&kind) {
            Some(body) => inject(channel, &user, body),
            None => ControlReply::Error(format!(
                "there is no sample `{kind}`; there are {}",
                samples::KINDS.join(", ")
            )),
        },
        Ask::Configure {
            user: None,
            behaviour,
        } => {
            channel.set_behaviour(behaviour);
            for user in channel.users() {
                user.state().notify();
            }
            ControlReply::Done {}
        }
        Ask::Configure {
            user: Some(user),
            behaviour,
        } => change(channel, &user, |state| {
            state.behaviour = Some(Arc::new(behaviour));
        }),
        Ask::Behaviour { user } => {
            let behaviour = match user {
                None => channel.behaviour(),
                Some(user) => channel.behaviour_of(&channel.user(&user).state()),
            };
            ControlReply::Behaviour(Behaviour::clone(&behaviour))
        }
        Ask::SetPassword { user, password } => {
            change(channel, &user, |state| state.password = password)
        }
        Ask::StartTraffic { user, traffic } => for_each(channel, user.as_deref(), |state| {
            state.inbox.start(traffic.clone(), Instant::now());
        }),
        Ask::StopTraffic { user } => for_each(channel, user.as_deref(), |state| state.inbox.stop()),
        Ask::Refuse { user, count, fault } => change(channel, &user, |state| {
            state.faults.refuse = (count > 0).then_some((count, fault));
        }),
        Ask::LoseAnswers { user, count } => {
            change(channel, &user, |state| state.faults.lose_answers = count)
        }
        Ask::DropAfter { user, frames } => change(channel, &user, |state| {
            state.faults.drop_after = Some(frames)
        }),
        Ask::SendGarbage { user, garbage } => change(channel, &user, |state| {
            state.orders.push(Order::Garbage(garbage))
        }),
        Ask::DropConnections { user } => drop_connections(channel, user.as_deref()),
        Ask::Scan { user } => change(channel, &user, |state| state.scanned = true),
        Ask::RevokeSessions { user, fault } => change(channel, &user, |state| {
            state.end_sessions();
            let fault = fault.unwrap_or_else(|| {
                Fault::new("unauthenticated", "the session was ended on another device")
            });
            if state.online.is_some() {
                state.orders.push(Order::Revoked(fault));
            }
        }),
    }
}

fn counters(channel: &Channel, user: Option<&str>) -> Counters {
    match user {
        Some(user) => channel.user(user).counters(),
        None => channel
            .users()
            .iter()
            .fold(Counters::default(), |mut sum, user| {
                sum += user.counters();
                sum
            }),
    }
}

fn journal(channel: &Channel, user: Option<&str>, after: u64, limit: usize) -> ControlReply {
    let users = match user {
        Some(user) => vec![channel.user(user)],
        None => channel.users(),
    };
    let mut records: Vec<SentRecord> = Vec::new();
    for user in users {
        records.extend(user.state().journal.after(after, limit).cloned());
    }
    records.sort_by_key(|record| record.n);
    records.truncate(limit);
    ControlReply::Journal(records)
}

fn events(
    channel: &Channel,
    user: &str,
    pick: impl FnOnce(&UserState) -> Vec<u64>,
) -> ControlReply {
    let sequences = pick(&channel.user(user).state());
    ControlReply::Events(
        sequences
            .into_iter()
            .map(|sequence| channel.event_id(sequence))
            .collect(),
    )
}

fn inject(channel: &Channel, user: &str, body: Body) -> ControlReply {
    let user: Arc<User> = channel.user(user);
    let mut state = user.state();
    match channel.push_event(&user, &mut state, body) {
        Ok(id) => {
            state.notify();
            ControlReply::Injected(id)
        }
        Err(fault) => ControlReply::Error(fault.message),
    }
}

fn change(channel: &Channel, user: &str, change: impl FnOnce(&mut UserState)) -> ControlReply {
    let user = channel.user(user);
    let mut state = user.state();
    change(&mut state);
    state.notify();
    ControlReply::Done {}
}

fn for_each(
    channel: &Channel,
    user: Option<&str>,
    mut change: impl FnMut(&mut UserState),
) -> ControlReply {
    let users = match user {
        Some(user) => vec![channel.user(user)],
        None => channel.users(),
    };
    for user in &users {
        let mut state = user.state();
        change(&mut state);
        state.notify();
    }
    ControlReply::Count(users.len() as u64)
}

fn drop_connections(channel: &Channel, user: Option<&str>) -> ControlReply {
    let mut count = 0;
    for_each(channel, user, |state| {
        if state.online.is_some() || state.signing_in.is_some() {
            state.orders.push(Order::Close);
            count += 1;
        }
    });
    ControlReply::Count(count)
}
