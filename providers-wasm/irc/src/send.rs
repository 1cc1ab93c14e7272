//! One send: what a request asks for taken apart into lines, the lines that have left, and how
//! it ended. It must never know the sends beside it.

use std::collections::VecDeque;

use anyport_sdk::replies::{Certainty, SentMessage};
use anyport_sdk::types::{Error, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::port::{Outgoing, Reply, Turn, channel_error, error};
use crate::split;
use crate::state::{self, Link, MAX_NAME_BYTES};

/// Characters of one text.
pub const MAX_CHARS: usize = 4_096;
/// Lines of one text.
pub const MAX_LINES: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    pub request: String,
    pub target: String,
    pub notice: bool,
    pub reply_to: Option<String>,
    /// What has not left, line by line.
    pub rest: VecDeque<Piece>,
    /// The client was told that it waits.
    pub deferred: bool,
    /// Its number, once a line has left.
    pub number: u64,
    pub out: Vec<Left>,
    /// The `PING` has left.
    pub fenced: bool,
    pub refusal: Option<Refusal>,
    /// Which of the connection's frames was its first; not known after a fault.
    #[serde(default)]
    pub first_frame: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub text: String,
    /// CTCP ACTION.
    pub action: bool,
}

/// A line that has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Of the message; ours until the echo brings the channel's.
    pub id: String,
    pub from_channel: bool,
    /// Of its text, to know its echo by.
    pub hash: u64,
    pub echoed: bool,
    pub refused: bool,
    pub at: u64,
}

/// An error in a form that can be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    code: u8,
    message: String,
    channel_code: Option<String>,
}

const CODES: [ErrorCode; 11] = [
    ErrorCode::Internal,
    ErrorCode::Unauthenticated,
    ErrorCode::Forbidden,
    ErrorCode::NotFound,
    ErrorCode::Invalid,
    ErrorCode::Unsupported,
    ErrorCode::RateLimited,
    ErrorCode::Unavailable,
    ErrorCode::Denied,
    ErrorCode::QuotaExceeded,
    ErrorCode::Conflict,
];

impl Refusal {
    pub fn new(error: &Error) -> Self {
        let code = CODES
            .iter()
            .position(|code| *code == error.code)
            .unwrap_or(0);
        Self {
            code: code as u8,
            message: error.message.clone(),
            channel_code: error.channel_code.clone(),
        }
    }

    pub fn error(&self) -> Error {
        let code = CODES
            .get(usize::from(self.code))
            .copied()
            .unwrap_or(ErrorCode::Internal);
        match &self.channel_code {
            Some(channel_code) => channel_error(code, self.message.clone(), channel_code.clone()),
            None => error(code, self.message.clone()),
        }
    }
}

impl Send {
    /// Takes a request apart, or says why IRC cannot carry it.
    pub fn new(request: &str, message: &Outgoing) -> Result<Self, Error> {
        let Some(text) = &message.text else {
            return Err(error(ErrorCode::Unsupported, "IRC carries text only"));
        };
        if message.reply_to.as_ref().is_some_and(String::is_empty) {
            return Err(error(
                ErrorCode::Unsupported,
                "the quoted message has no id on the channel, so it cannot be quoted",
            ));
        }
        if message.in_thread {
            return Err(error(ErrorCode::Unsupported, "IRC has no threads"));
        }
        let target = &message.conversation;
        let forbidden = |character: char| character.is_control() || matches!(character, ' ' | ',');
        if target.is_empty()
            || target.len() > MAX_NAME_BYTES
            || target.starts_with([':', '$'])
            || target.contains(forbidden)
        {
            return Err(error(
                ErrorCode::Invalid,
                "the conversation is not the name of a channel or a nick",
            ));
        }
        if text.contains(['\0', '\u{1}']) {
            return Err(error(
                ErrorCode::Invalid,
                "the text has a control character that IRC cannot carry",
            ));
        }
        if text.chars().count() > MAX_CHARS {
            return Err(error(
                ErrorCode::Invalid,
                format!("the text is longer than {MAX_CHARS} characters"),
            ));
        }
        let mut rest: VecDeque<Piece> = split::lines(text)
            .map(|line| Piece {
                text: line.to_owned(),
                action: false,
            })
            .collect();
        if let Some(first) = rest.front_mut()
            && let Some(action) = first.text.strip_prefix("/me ")
        {
            *first = Piece {
                text: action.to_owned(),
                action: true,
            };
        }
        rest.retain(|piece| !piece.text.is_empty());
        if rest.is_empty() {
            return Err(error(ErrorCode::Invalid, "the text is empty"));
        }
        if rest.len() > MAX_LINES {
            return Err(error(
                ErrorCode::Invalid,
                format!("the text has more than {MAX_LINES} lines"),
            ));
        }
        Ok(Self {
            request: request.to_owned(),
            target: target.clone(),
            notice: message.notice,
            reply_to: message.reply_to.clone(),
            rest,
            deferred: false,
            number: 0,
            out: Vec::new(),
            fenced: false,
            refusal: None,
            first_frame: None,
        })
    }

    pub fn key(&self) -> String {
        format!("{}{:016x}", state::FLIGHTS, self.number)
    }

    pub fn verb(&self) -> &'static str {
        if self.notice { "NOTICE" } else { "PRIVMSG" }
    }

    /// The next line's text, cut so that the line fits as others get it; none when all has
    /// left. Cut late, since nick and host may change on the way.
    pub fn next_piece(&mut self, link: &Link) -> Option<Piece> {
        let verb = self.verb();
        let front = self.rest.front_mut()?;
        let around = ":".len()
            + link.source_len()
            + " ".len()
            + verb.len()
            + " ".len()
            + self.target.len()
            + " :".len();
        let action = if front.action {
            "\u{1}ACTION \u{1}".len()
        } else {
            0
        };
        let budget = link
            .isupport
            .linelen
            .saturating_sub(around + action + "\r\n".len())
            .max(16);
        let at = split::cut(&front.text, budget);
        let after = front.text.split_off(at);
        let piece = Piece {
            text: std::mem::replace(&mut front.text, after),
            action: front.action,
        };
        if front.text.is_empty() {
            self.rest.pop_front();
        }
        Some(piece)
    }

    pub(crate) fn weight(&self) -> usize {
        self.rest
            .iter()
            .map(|piece| weight(&piece.text) + 32)
            .sum::<usize>()
            + self.out.len() * 160
            + self.target.len()
            + 320
    }

    /// Tells how it ended, when the server has answered all of it.
    pub(crate) fn settle(&self, turn: &mut Turn) {
        let reply = match &self.refusal {
            Some(refusal) => {
                let none_passed = self.out.iter().all(|line| line.refused);
                Reply::Failed(
                    refusal.error(),
                    if none_passed {
                        Certainty::NotDone
                    } else {
                        Certainty::MaybeDone
                    },
                )
            }
            None => Reply::Sent(SentMessage {
                messages: self.out.iter().map(|line| line.id.clone()).collect(),
                conversation: None,
                sent_at: self.out.first().map_or(turn.now, |line| line.at),
                reply_context: self
                    .out
                    .first()
                    .filter(|line| line.from_channel)
                    .map(|line| line.id.clone()),
            }),
        };
        turn.reply(&self.request, reply);
        turn.port.remove(&self.key());
    }
}

/// Bytes of a text as JSON.
fn weight(text: &str) -> usize {
    text.chars()
        .map(|character| {
            if character.is_control() {
                6
            } else {
                character.len_utf8() + usize::from(matches!(character, '"' | '\\'))
            }
        })
        .sum()
}

/// The label of a line: the number of its send, and which line of it.
pub fn label(number: u64, index: usize) -> String {
    format!("{number:x}.{index}")
}

pub(crate) fn read_label(label: &str) -> Option<(u64, usize)> {
    let (number, index) = label.split_once('.')?;
    Some((u64::from_str_radix(number, 16).ok()?, index.parse().ok()?))
}
