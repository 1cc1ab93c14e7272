//! The border of the pure core: what it reads while it works (`Port`), what comes in
//! (`Input`) and what it asks for (`Action`). It must never know the host.

use anyport_sdk::account::Link;
use anyport_sdk::events::Emission;
use anyport_sdk::log::Level;
use anyport_sdk::model::Identity;
use anyport_sdk::replies::{Certainty, SentMessage};
use anyport_sdk::types::{Error, ErrorCode};

/// Reads and writes that answer at once. Writes belong to the turn.
pub trait Port {
    fn random(&mut self, length: u32) -> Vec<u8>;
    fn get(&mut self, key: &str) -> Option<Vec<u8>>;
    fn put(&mut self, key: &str, value: Vec<u8>);
    fn remove(&mut self, key: &str);
    /// At most 256 keys that begin with `prefix`, after the key `after`, with their values;
    /// and whether there are more.
    fn scan(&mut self, prefix: &str, after: Option<&str>) -> (Vec<(String, Vec<u8>)>, bool);
    fn reveal(&mut self, secret: &str) -> Result<Option<Vec<u8>>, Error>;
    /// What this turn works on; counts at once, even if the turn fails.
    fn subject(&mut self, key: &str);
}

/// What a turn brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Opened,
    Frame(Vec<u8>),
    Closed { reason: Error, undelivered: u32 },
    Timer { label: String, context: Vec<u8> },
    Reconnect,
    Stopping,
    Begin { request: String, method: String },
    Cancel { request: String },
    SignOut { request: String },
    Send { request: String, message: Outgoing },
}

/// A message to send, as far as IRC can say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    pub conversation: String,
    /// None: another kind of content.
    pub text: Option<String>,
    /// The `reply-context` of the message that it answers; empty if that has none.
    pub reply_to: Option<String>,
    pub in_thread: bool,
    /// Send it as NOTICE.
    pub notice: bool,
}

/// What a turn asks for, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Connect {
        host: String,
        port: u16,
        tls: bool,
    },
    Line(String),
    Close,
    SetTimer {
        label: &'static str,
        at: u64,
        context: Vec<u8>,
    },
    CancelTimer(&'static str),
    Emit(Box<Emission>),
    Link(Link, Option<Error>),
    Identity(Identity),
    SignedOut(Error),
    SignInSucceeded(Identity),
    SignInFailed(Error),
    Reply {
        request: String,
        reply: Reply,
    },
    Log {
        level: Level,
        message: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Deferred,
    Dispatched,
    Done,
    Sent(SentMessage),
    Failed(Error, Certainty),
}

/// One turn: its time, its port and what has been asked for so far.
pub struct Turn<'a> {
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    pub port: &'a mut dyn Port,
    pub actions: Vec<Action>,
}

impl<'a> Turn<'a> {
    pub fn new(now: u64, port: &'a mut dyn Port) -> Self {
        Self {
            now,
            port,
            actions: Vec::new(),
        }
    }

    pub fn ask(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub fn reply(&mut self, request: &str, reply: Reply) {
        self.ask(Action::Reply {
            request: request.to_owned(),
            reply,
        });
    }

    pub fn refuse(&mut self, request: &str, error: Error) {
        self.reply(request, Reply::Failed(error, Certainty::NotDone));
    }

    pub fn timer(&mut self, label: &'static str, after_ms: u64, context: &str) {
        self.ask(Action::SetTimer {
            label,
            at: self.now + after_ms,
            context: context.as_bytes().to_vec(),
        });
    }

    pub fn log(&mut self, level: Level, message: impl Into<String>) {
        self.ask(Action::Log {
            level,
            message: message.into(),
        });
    }
}

/// An error for the client.
pub fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error {
        code,
        message: message.into(),
        channel_code: None,
        retry_after_ms: None,
        detail: None,
    }
}

/// An error with the channel's own code.
pub fn channel_error(
    code: ErrorCode,
    message: impl Into<String>,
    channel_code: impl Into<String>,
) -> Error {
    Error {
        channel_code: Some(channel_code.into()),
        ..error(code, message)
    }
}
