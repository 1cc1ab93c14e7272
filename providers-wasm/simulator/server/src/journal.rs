//! What one user's provider sent, in the order it came, and which messages were made of
//! it. This is the truth that tests compare the host's words with.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::model::Content;
use crate::protocol::{Accepted, Fault, Outgoing};

/// One send frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRecord {
    /// Order of arrival over all users, from 1.
    pub n: u64,
    pub user: String,
    pub token: String,
    pub conversation: String,
    /// `text`, `media`, …
    pub kind: String,
    /// The text; for other kinds the content's JSON.
    pub text: String,
    /// The server's number of the connection it came on.
    pub connection: u64,
    /// Milliseconds since the Unix epoch.
    pub received_at: u64,
    pub outcome: SentOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SentOutcome {
    /// A message was made.
    Accepted {
        message: String,
    },
    /// The token was there before: no second message.
    Repeated {
        message: String,
    },
    /// The token was there before, and a second message was made of it: a double.
    Doubled {
        message: String,
        before: String,
    },
    Refused {
        code: String,
    },
}

impl SentOutcome {
    /// The message that exists on the channel because of this frame.
    pub fn made(&self) -> Option<&str> {
        match self {
            Self::Accepted { message } | Self::Doubled { message, .. } => Some(message),
            Self::Repeated { .. } | Self::Refused { .. } => None,
        }
    }
}

/// Where and when a frame came.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) n: u64,
    pub(crate) connection: u64,
    pub(crate) at_ms: u64,
}

#[derive(Default)]
pub(crate) struct Journal {
    records: VecDeque<SentRecord>,
    tokens: HashMap<String, (String, u64)>,
    token_order: VecDeque<String>,
    pub(crate) sends: u64,
    pub(crate) messages: u64,
    pub(crate) repeated: u64,
    pub(crate) doubled: u64,
    pub(crate) refused: u64,
}

pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) tokens: usize,
}

impl Journal {
    /// A message was made of this token.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.tokens.contains_key(token)
    }

    pub(crate) fn refuse(
        &mut self,
        user: &str,
        sent: &Outgoing,
        arrival: Arrival,
        fault: &Fault,
        limits: &Limits,
    ) {
        self.refused += 1;
        self.keep(
            user,
            sent,
            arrival,
            SentOutcome::Refused {
                code: fault.code.clone(),
            },
            limits,
        );
    }

    pub(crate) fn take(
        &mut self,
        user: &str,
        sent: &Outgoing,
        arrival: Arrival,
        epoch: &str,
        dedupe: bool,
        limits: &Limits,
    ) -> Accepted {
        let before = self.tokens.get(&sent.token).cloned();
        if let Some((message, sent_at)) = before.clone().filter(|_| dedupe) {
            self.repeated += 1;
            self.keep(
                user,
                sent,
                arrival,
                SentOutcome::Repeated {
                    message: message.clone(),
                },
                limits,
            );
            return Accepted {
                token: sent.token.clone(),
                message,
                sent_at,
                repeated: true,
            };
        }
        self.messages += 1;
        let message = format!("s-{epoch}-{}", arrival.n);
        let outcome = match before {
            None => SentOutcome::Accepted {
                message: message.clone(),
            },
            Some((before, _)) => {
                self.doubled += 1;
                SentOutcome::Doubled {
                    message: message.clone(),
                    before,
                }
            }
        };
        self.keep(user, sent, arrival, outcome, limits);
        if self
            .tokens
            .insert(sent.token.clone(), (message.clone(), arrival.at_ms))
            .is_none()
        {
            self.token_order.push_back(sent.token.clone());
            if self.token_order.len() > limits.tokens
                && let Some(oldest) = self.token_order.pop_front()
            {
                self.tokens.remove(&oldest);
            }
        }
        Accepted {
            token: sent.token.clone(),
            message,
            sent_at: arrival.at_ms,
            repeated: false,
        }
    }

    /// Records after number `after`, at most `limit`.
    pub(crate) fn after(&self, after: u64, limit: usize) -> impl Iterator<Item = &SentRecord> {
        let start = self.records.partition_point(|record| record.n <= after);
        self.records.range(start..).take(limit)
    }

    fn keep(
        &mut self,
        user: &str,
        sent: &Outgoing,
        arrival: Arrival,
        outcome: SentOutcome,
        limits: &Limits,
    ) {
        self.sends += 1;
        let (kind, text) = describe(&sent.content);
        self.records.push_back(SentRecord {
            n: arrival.n,
            user: user.to_owned(),
            token: sent.token.clone(),
            conversation: sent.conversation.clone(),
            kind: kind.to_owned(),
            text,
            connection: arrival.connection,
            received_at: arrival.at_ms,
            outcome,
        });
        while self.records.len() > limits.records {
            self.records.pop_front();
        }
    }
}

fn describe(content: &Content) -> (&'static str, String) {
    let kind = match content {
        Content::Text(text) => return ("text", text.body.clone()),
        Content::Media(_) => "media",
        Content::Location(_) => "location",
        Content::Contacts(_) => "contacts",
        Content::Interactive(_) => "interactive",
        Content::Custom(_) => "custom",
    };
    (kind, serde_json::to_string(content).unwrap_or_default())
}
