//! Constructors of records that have many optional fields. Each takes what has no sound
//! default and leaves the rest empty, to be set as fields.

use crate::connections::{Address, Framing, LengthPrefix, Spec, Transport};
use crate::events::{Emission, Event};
use crate::http_types::{Body, Request};
use crate::model::{
    Attachment, Contact, ContactCard, Content, Conversation, Identity, Location, Message, Text,
};
use crate::replies::SentMessage;
use crate::sign_in_steps::{Display, Question};
use crate::timers;
use crate::types::{Frame, Header};

impl Text {
    pub fn plain(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            format: "plain".to_owned(),
            mentions: Vec::new(),
        }
    }
}

impl Content {
    pub fn plain(body: impl Into<String>) -> Self {
        Self::Text(Text::plain(body))
    }
}

impl Message {
    /// In a conversation of kind `user`, from somebody else.
    pub fn new(
        id: impl Into<String>,
        conversation: impl Into<String>,
        sender: impl Into<String>,
        sent_at: u64,
        content: Content,
    ) -> Self {
        Self {
            id: id.into(),
            conversation: conversation.into(),
            conversation_kind: "user".to_owned(),
            conversation_title: None,
            sender: sender.into(),
            sender_name: None,
            from_me: false,
            sent_at,
            edited_at: None,
            content,
            quote: None,
            thread: None,
            reply_context: None,
            extra: None,
        }
    }
}

impl Attachment {
    /// `kind`: `image`, `video`, `audio`, `voice`, `document` or `sticker`.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            blob: None,
            reference: None,
            mime: None,
            filename: None,
            size: None,
            duration_ms: None,
            width: None,
            height: None,
            extra: None,
        }
    }
}

impl Location {
    /// Degrees, WGS 84.
    pub fn new(latitude: f64, longitude: f64) -> Self {
        Self {
            latitude,
            longitude,
            name: None,
            address: None,
        }
    }
}

impl ContactCard {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            phones: Vec::new(),
            emails: Vec::new(),
            organization: None,
            title: None,
        }
    }
}

impl Contact {
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            display_name: None,
            username: None,
            phone: None,
            avatar: None,
            aliases: Vec::new(),
            is_bot: None,
            is_blocked: None,
            extra: None,
        }
    }
}

impl Conversation {
    /// `kind`: `user`, `group` or `channel`.
    pub fn new(id: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: kind.into(),
            title: None,
            username: None,
            description: None,
            avatar: None,
            unread: None,
            members: None,
            is_pinned: None,
            is_muted: None,
            is_archived: None,
            created_at: None,
            last_message_at: None,
            last_message_text: None,
            extra: None,
        }
    }
}

impl Identity {
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            display_name: None,
            first_name: None,
            last_name: None,
            username: None,
            phone: None,
            avatar: None,
            bio: None,
            extra: None,
        }
    }
}

impl Emission {
    /// `key`: the same whenever the channel gives the same thing again.
    pub fn new(key: impl Into<String>, occurred_at: u64, event: Event) -> Self {
        Self {
            key: key.into(),
            conversation: None,
            occurred_at,
            event,
            raw: None,
        }
    }

    /// A message that was received, in the order of its conversation.
    pub fn of_message(key: impl Into<String>, message: Message) -> Self {
        Self {
            key: key.into(),
            conversation: Some(message.conversation.clone()),
            occurred_at: message.sent_at,
            event: Event::MessageReceived(message),
            raw: None,
        }
    }

    #[must_use]
    pub fn in_conversation(mut self, conversation: impl Into<String>) -> Self {
        self.conversation = Some(conversation.into());
        self
    }
}

impl SentMessage {
    /// `id`: what the channel calls it.
    pub fn new(id: impl Into<String>, sent_at: u64) -> Self {
        Self {
            messages: vec![id.into()],
            conversation: None,
            sent_at,
            reply_context: None,
        }
    }
}

impl Display {
    /// `kind`: `qr`, `code`, `url`, `image` or `notice`.
    pub fn new(kind: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            value: value.into(),
            hint: None,
            expires_at: None,
        }
    }
}

impl Question {
    /// A required one. `kind`: `phone`, `email`, `username`, `code`, `password`, `token`,
    /// `file`, `choice` or `text`.
    pub fn new(name: impl Into<String>, kind: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            title: title.into(),
            hint: None,
            required: true,
            choices: Vec::new(),
        }
    }
}

impl Spec {
    /// Frames of at most 1 MiB, no pings, the host's own connect timeout.
    pub fn new(transport: Transport, framing: Framing) -> Self {
        Self {
            transport,
            framing,
            max_frame_bytes: 1024 * 1024,
            ping_interval_ms: None,
            connect_timeout_ms: None,
        }
    }

    pub fn tcp(host: impl Into<String>, port: u16, framing: Framing) -> Self {
        Self::new(
            Transport::Tcp(Address {
                host: host.into(),
                port,
            }),
            framing,
        )
    }

    pub fn tls(host: impl Into<String>, port: u16, framing: Framing) -> Self {
        Self::new(
            Transport::Tls(Address {
                host: host.into(),
                port,
            }),
            framing,
        )
    }
}

impl LengthPrefix {
    /// Big-endian, the length of what follows, taken off and put on by the host.
    pub fn big_endian(width: u8) -> Self {
        Self {
            width,
            big_endian: true,
            adjust: 0,
            strip: true,
        }
    }
}

impl timers::Spec {
    /// A timer that does not survive a restart of the host.
    pub fn at(at: u64) -> Self {
        Self {
            at,
            durable: false,
            context: Vec::new(),
        }
    }
}

impl Request {
    /// No body, the host's own limits, not repeated by the host.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            secrets: Vec::new(),
            body: Body::Empty,
            timeout_ms: None,
            repeatable: false,
            max_bytes: None,
            to_blob: false,
            context: Vec::new(),
        }
    }

    /// May be sent again by the host after a lost connection or a crash.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            repeatable: true,
            ..Self::new("GET", url)
        }
    }

    pub fn post_json(url: impl Into<String>, json: impl Into<Vec<u8>>) -> Self {
        Self {
            headers: vec![Header::new("content-type", "application/json")],
            body: Body::Bytes(json.into()),
            ..Self::new("POST", url)
        }
    }
}

impl Header {
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl Frame {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
