//! What waits for an account: signals, which are looked at before every turn, and inputs, each of
//! which becomes one turn, in order.

use super::commands::Place;
use super::control::SignInCall;
use crate::domain::SendId;
use crate::domain::account::Account;
use crate::domain::command::Command;
use crate::domain::error::Failure;
use crate::domain::ingress::{IngressRequest, IngressResponse};
use crate::domain::send::Outgoing;
use crate::runtime::Provider;
use crate::runtime::port::Credit;
use crate::runtime::port::http::HttpResponse;
use crate::storage::{StorageError, Written};
use crate::telemetry::TraceContext;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

#[derive(Default)]
pub struct Mailbox {
    pub signals: VecDeque<Signal>,
    pub inputs: VecDeque<Input>,
}

pub enum Signal {
    /// The commit of the oldest turn in flight, or of a change of the host's own.
    Committed {
        commit: u64,
        result: Result<Written, StorageError>,
    },
    /// Output up to this token was taken by the kernel.
    Flushed {
        token: u64,
    },
    /// Nothing comes from this connection any more; output that waits for its flush is lost.
    ConnectionGone {
        generation: u64,
    },
    /// There is room for a request among those of all accounts.
    HttpRoom {
        id: Uuid,
        permit: OwnedSemaphorePermit,
    },
    HttpAnswered {
        id: Uuid,
    },
    Due(Due),
    /// What a send names by address is in the media store, or cannot be had.
    Fetched {
        id: SendId,
        result: Result<Arc<Outgoing>, Failure>,
    },
    Order(Order),
    /// The lease had run out and holds again: what was held back may leave.
    Lease,
}

/// A deadline of the host's own.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// Start again after a fault.
    Restart,
    SendDeadlines,
    /// A send that the guest holds back has waited long enough.
    Deferred(SendId),
    /// Nothing but a look at what can be done.
    Look,
    FlowExpiry(String),
    /// The time limit of a command.
    Command(String),
    /// Strikes are forgotten.
    Forgive,
}

pub enum Order {
    /// After a restart or a takeover: as its row says.
    BringBack,
    Start {
        done: Option<oneshot::Sender<()>>,
    },
    /// `wanted`: what storage shall keep; a host that goes down leaves it as it is. `restart`: a
    /// start follows at once, so that nobody is told that the account is stopped.
    Stop {
        wanted: Option<bool>,
        restart: bool,
        done: Option<oneshot::Sender<()>>,
    },
    /// Another provider version, or another configuration of the same one.
    Replace {
        provider: Option<Arc<Provider>>,
        account: Option<Box<Account>>,
        done: Option<oneshot::Sender<Result<(), String>>>,
    },
    /// A send that another host has recorded.
    HandOver {
        id: SendId,
        outgoing: Arc<Outgoing>,
    },
    /// This host does not own the account any more.
    LetGo,
    /// The account's row changed in a way that its provider does not see.
    Renamed(Box<Account>),
}

/// One turn to be.
pub enum Input {
    Opened {
        label: String,
        generation: u64,
    },
    Frame {
        label: String,
        generation: u64,
        bytes: Arc<[u8]>,
        /// Its place in the connection's queue, taken until the commit.
        _credit: Credit,
    },
    Closed {
        label: String,
        generation: u64,
        code: Option<u16>,
        reason: Failure,
        undelivered: u32,
    },
    Timer {
        label: String,
        generation: u64,
    },
    Send {
        id: SendId,
        outgoing: Arc<Outgoing>,
        trace: Option<TraceContext>,
    },
    SignIn {
        request: String,
        call: SignInCall,
        trace: Option<TraceContext>,
    },
    Command {
        request: String,
        command: Arc<Command>,
        place: Place,
        trace: Option<TraceContext>,
    },
    /// The answer to a request.
    Http {
        label: String,
        id: Uuid,
        outcome: Result<Arc<HttpResponse>, Failure>,
        /// Its place among those of all accounts, taken until the commit.
        _room: Option<OwnedSemaphorePermit>,
    },
    /// The channel calls. Dropped without an answer, it is told to try again.
    Ingress {
        request: Arc<IngressRequest>,
        answer: Option<oneshot::Sender<IngressResponse>>,
        trace: Option<TraceContext>,
        /// Its place in the account's queue, taken until the commit.
        _room: OwnedSemaphorePermit,
    },
    /// What was read of a blob.
    Blob {
        label: String,
        generation: u64,
        outcome: Result<Arc<[u8]>, Failure>,
    },
    FetchMedia {
        request: String,
        reference: String,
    },
    Reconnect,
    Stopping,
}

impl Input {
    /// What a command is called by, for the rule that one which kills twice is given up.
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::Send { id, .. } => Some(format!("send {id}")),
            Self::SignIn { request, .. } => Some(format!("sign-in {request}")),
            Self::Command { request, .. } => Some(format!("command {request}")),
            Self::Timer { label, generation } => Some(format!("timer {label} {generation}")),
            Self::Http { label, id, .. } => Some(format!("http {label} {id}")),
            Self::Blob {
                label, generation, ..
            } => Some(format!("blob {label} {generation}")),
            Self::FetchMedia { request, .. } => Some(format!("media {request}")),
            Self::Reconnect => Some("reconnect".into()),
            Self::Stopping => Some("stopping".into()),
            _ => None,
        }
    }

    /// The trace of what led to it.
    pub fn trace(&self) -> Option<TraceContext> {
        match self {
            Self::Send { trace, .. }
            | Self::SignIn { trace, .. }
            | Self::Command { trace, .. }
            | Self::Ingress { trace, .. } => *trace,
            _ => None,
        }
    }

    /// What a turn of it is called in a trace.
    pub fn turn_name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "turn opened",
            Self::Frame { .. } => "turn frame",
            Self::Closed { .. } => "turn closed",
            Self::Timer { .. } => "turn timer",
            Self::Send { .. } => "turn send",
            Self::SignIn { .. } => "turn sign-in",
            Self::Command { .. } => "turn command",
            Self::Http { .. } => "turn http",
            Self::Ingress { .. } => "turn ingress",
            Self::Blob { .. } => "turn blob",
            Self::FetchMedia { .. } => "turn media",
            Self::Reconnect => "turn reconnect",
            Self::Stopping => "turn stopping",
        }
    }
}
