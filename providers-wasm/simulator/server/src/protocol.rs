//! The frames of the simulator channel, as provider and server both read them.
//!
//! A frame is four bytes of length (big-endian) and that many bytes of JSON: one object
//! with one key that names the frame. This module holds shapes only; it must never do
//! input or output, since it is also compiled into the provider.

use serde::{Deserialize, Serialize};

use crate::model::{Avatar, Body, Content, Quote};
use crate::request::{Answer, Ask, Target};
use crate::transfer::{Fetch, Piece, Upload, Uploaded};

/// The longest frame that either side may send, in bytes without the prefix.
pub const MAX_FRAME_BYTES: u32 = 4 * 1024 * 1024;

/// The code that the server "sends" to everyone who signs in by code.
pub const SIGN_IN_CODE: &str = "123456";

/// The conversation whose texts come back.
pub const ECHO_CONVERSATION: &str = "echo";

/// What a provider says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack; a box per send would cost more"
)]
pub enum ClientFrame {
    /// First frame of an account that has a session. Saying it again on the same
    /// connection is harmless: the server answers `welcome` and sends nothing anew.
    Hello { user: String, session: String },
    /// First frame of an account that has none. A second one starts the flow anew.
    SignIn {
        user: String,
        method: SignInMethod,
        /// The password or the session, when the client gave it at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// The answer to a challenge.
    Answer { value: String },
    /// Ends a sign-in that is under way.
    Cancel {},
    /// A message. `token` is the client's own name for it; see [`Accepted::repeated`].
    Send(Outgoing),
    /// A message that is there goes to another conversation; answered as a send is.
    Forward(Forward),
    /// Anything else; answered by `answered` or `denied` under the same id.
    Ask { id: String, ask: Ask },
    /// A piece of a medium goes up; answered by `uploaded` or `upload_denied`.
    Upload(Upload),
    /// A piece of a medium is to come down; answered by `piece` or `fetch_denied`.
    Fetch(Fetch),
    /// The event with this id is safe at the client.
    Ack(String),
    /// Ends the session.
    SignOut {},
    /// The client is about to close.
    Bye {},
    /// Answered by `pong` with the same text.
    Ping(String),
    /// Turns the connection into a control connection; only as first frame.
    Control {},
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInMethod {
    Qr,
    Code,
    Password,
    Session,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Empty where the request around it has a name of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    pub conversation: String,
    pub content: Content,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
}

/// `token`: as in [`Outgoing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    pub token: String,
    pub target: Target,
    pub to: String,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack; a box per event would cost more"
)]
pub enum ServerFrame {
    /// Something that must be shown or asked during a sign-in.
    Challenge(Challenge),
    /// Signed in; the connection is online from here on.
    SignedIn {
        session: String,
        profile: Profile,
    },
    /// The session is good; the connection is online from here on.
    Welcome {
        profile: Profile,
    },
    /// The session or the sign-in was refused.
    Refused(Fault),
    /// The server ended the session.
    Revoked(Fault),
    SignedOut {},
    /// The sign-in that was under way is gone.
    Cancelled {},
    Accepted(Accepted),
    Rejected {
        token: String,
        error: Fault,
    },
    Answered {
        id: String,
        answer: Answer,
    },
    Denied {
        id: String,
        error: Fault,
    },
    Uploaded(Uploaded),
    UploadDenied {
        upload: String,
        error: Fault,
    },
    Piece(Piece),
    FetchDenied {
        medium: String,
        error: Fault,
    },
    Event(Event),
    Pong(String),
    /// The server is about to close.
    Bye {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    pub kind: ChallengeKind,
    /// The QR code's text; empty for the others.
    #[serde(default)]
    pub value: String,
    pub hint: String,
    /// Milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// What was wrong with the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeKind {
    Qr,
    Code,
    Password,
}

/// The person behind an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub id: String,
    pub name: String,
    pub username: String,
    pub phone: String,
    /// What the person says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Avatar>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    pub token: String,
    pub message: String,
    /// Milliseconds since the Unix epoch.
    pub sent_at: u64,
    /// The server had this token before and made no second message of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

/// Why the server refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A name of the contract's `error-code` (`rate-limited`, `forbidden`, …).
    pub code: String,
    pub message: String,
    /// The channel's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

impl Fault {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            channel_code: None,
            retry_after_ms: None,
        }
    }
}

/// Something that happened on the channel. Comes again at the next connection until it
/// was acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `<epoch>-<sequence>`; the same at every redelivery.
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    pub body: Body,
}
