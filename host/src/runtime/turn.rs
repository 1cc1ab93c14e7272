//! One turn: what the guest sees, what it asks for, and what of it is used up.

use super::ledger::{Ledger, MakingView};
use super::limits::{Breach, Limits, breach};
use super::normalize::{Normalized, ReplyTokens};
use super::port::ConnectionSpec;
use super::port::http::HttpRequest;
use crate::domain::account::Profile;
use crate::domain::command::Answer;
use crate::domain::error::{Certainty, Failure};
use crate::domain::ingress::IngressResponse;
use crate::domain::manifest::Manifest;
use crate::domain::media::BlobId;
use crate::domain::send::SentMessage;
use crate::domain::sign_in::{Display, Question};
use crate::domain::{AccountId, SecretBytes, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// What stays the same for all turns of an account.
pub struct AccountFacts {
    pub id: AccountId,
    pub manifest: Arc<Manifest>,
    pub limits: Limits,
    pub reply_tokens: Arc<dyn ReplyTokens + Send + Sync>,
}

pub struct Turn {
    pub now: Timestamp,
    pub ledger: Ledger,
    pub facts: Arc<AccountFacts>,
    pub effects: Effects,
    /// What the turn works on. Outlives a failure.
    pub subject: Option<String>,
    /// Names of secrets that the guest read. Outlives a failure.
    pub revealed: Vec<String>,
    /// Fails in the end, whatever the guest does: see [`FaultKind::Injected`](super::FaultKind).
    pub doomed: bool,
    /// What a person typed for this call; never logged.
    pub typed: Vec<SecretBytes>,
    /// Randomness that a test can give again; none: fresh from the operating system.
    pub seed: Option<[u8; 32]>,
    calls: u32,
    items: usize,
    bytes: usize,
    logged: u32,
    suppressed: u32,
}

/// All that a turn asks for. Nothing of it happens before the commit.
#[derive(Debug, Default)]
pub struct Effects {
    pub events: Vec<Normalized>,
    pub kv: BTreeMap<String, Option<Vec<u8>>>,
    pub secrets: BTreeMap<String, Option<SecretBytes>>,
    pub timers: Vec<TimerEffect>,
    pub network: Vec<NetworkEffect>,
    pub http: Vec<HttpEffect>,
    /// The answer to what the channel called for.
    pub ingress: Option<IngressResponse>,
    pub replies: Vec<Reply>,
    /// In order.
    pub blobs: Vec<BlobEffect>,
    pub link: Option<(Link, Option<Failure>)>,
    pub identity: Option<Profile>,
    pub signed_out: Option<Failure>,
    pub sign_in: Vec<SignInStep>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TimerEffect {
    pub label: String,
    /// None: cancelled.
    pub set: Option<super::ledger::TimerView>,
    /// What it replaces was durable.
    pub was_durable: bool,
}

#[derive(Clone, PartialEq)]
pub enum BlobEffect {
    Create {
        label: String,
        view: MakingView,
    },
    Append {
        id: BlobId,
        offset: u64,
        bytes: Vec<u8>,
    },
    Seal(MakingView),
    Discard(BlobId),
    /// It is handed out until then.
    Keep {
        id: BlobId,
        until: Timestamp,
    },
    /// After the commit; the answer comes as a wake.
    Read {
        label: String,
        generation: u64,
        blob: BlobId,
        offset: u64,
        length: u32,
    },
}

impl std::fmt::Debug for BlobEffect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create { view, .. } => write!(f, "Create({})", view.id),
            Self::Append { id, offset, bytes } => {
                write!(f, "Append({id}, {offset}, {} bytes)", bytes.len())
            }
            Self::Seal(view) => write!(f, "Seal({})", view.id),
            Self::Discard(id) => write!(f, "Discard({id})"),
            Self::Keep { id, until } => write!(f, "Keep({id}, {until:?})"),
            Self::Read { blob, offset, .. } => write!(f, "Read({blob}, {offset})"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum NetworkEffect {
    Open {
        label: String,
        generation: u64,
        spec: Arc<ConnectionSpec>,
    },
    Send {
        label: String,
        generation: u64,
        bytes: Vec<u8>,
    },
    StartTls {
        label: String,
        generation: u64,
        server_name: String,
    },
    Close {
        label: String,
        generation: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum HttpEffect {
    Submit {
        label: String,
        id: Uuid,
        request: Arc<HttpRequest>,
    },
    /// Cancelled, replaced, or answered in this turn.
    End { label: String, id: Uuid },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Connecting,
    Online,
    Degraded,
    Offline,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Deferred {
        request: String,
    },
    Dispatched {
        request: String,
    },
    Done {
        request: String,
    },
    Failed {
        request: String,
        failure: Failure,
        certainty: Certainty,
    },
    Sent {
        request: String,
        message: SentMessage,
    },
    /// What a command asked for.
    Answered {
        request: String,
        answer: Answer,
    },
    Media {
        request: String,
        blob: BlobId,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum SignInStep {
    Show(Vec<Display>),
    Ask {
        questions: Vec<Question>,
        problem: Option<Failure>,
    },
    Succeeded(Profile),
    Failed(Failure),
}

impl Effects {
    /// Does anything of it have to be in storage before the rest may happen?
    pub fn is_durable(&self) -> bool {
        !self.events.is_empty()
            || !self.kv.is_empty()
            || !self.secrets.is_empty()
            || !self.http.is_empty()
            || self.timers.iter().any(|timer| {
                timer.was_durable || timer.set.as_ref().is_some_and(|timer| timer.durable)
            })
            || (self.blobs.iter()).any(|effect| !matches!(effect, BlobEffect::Read { .. }))
            || self.identity.is_some()
            || self.signed_out.is_some()
            || self
                .sign_in
                .iter()
                .any(|step| matches!(step, SignInStep::Succeeded(_) | SignInStep::Failed(_)))
    }
}

impl Turn {
    pub fn new(now: Timestamp, ledger: Ledger, facts: Arc<AccountFacts>) -> Self {
        Self {
            now,
            ledger,
            facts,
            effects: Effects::default(),
            subject: None,
            revealed: Vec::new(),
            doomed: false,
            typed: Vec::new(),
            seed: None,
            calls: 0,
            items: 0,
            bytes: 0,
            logged: 0,
            suppressed: 0,
        }
    }

    pub fn count_call(&mut self) -> wasmtime::Result<()> {
        self.calls += 1;
        if self.calls > self.facts.limits.host_calls {
            return breach(format!(
                "it made more than {} host calls in one turn",
                self.facts.limits.host_calls
            ));
        }
        Ok(())
    }

    /// Counts something that the turn asks for.
    pub fn spend(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.items += 1;
        self.bytes += bytes;
        if self.items > self.facts.limits.output_items {
            return breach(format!(
                "it asked for more than {} things in one turn",
                self.facts.limits.output_items
            ));
        }
        if self.bytes > self.facts.limits.output_bytes {
            return breach(format!(
                "it put out more than {} bytes in one turn",
                self.facts.limits.output_bytes
            ));
        }
        Ok(())
    }

    /// May one more line be logged in this turn?
    pub fn may_log(&mut self) -> bool {
        self.logged += 1;
        if self.logged > self.facts.limits.log_lines {
            self.suppressed += 1;
            return false;
        }
        true
    }

    /// A text of the guest without the values of the account's secrets and without what a person
    /// typed, as far as these are text of at least 4 bytes. It keeps accidents out of the log; a
    /// guest that means to write a secret down finds another form for it.
    pub fn without_secrets(&self, text: &str) -> String {
        let typed = self.typed.iter().map(SecretBytes::expose);
        let mut values: Vec<&str> = self
            .ledger
            .secret_values()
            .chain(typed)
            .filter(|value| value.len() >= 4)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .filter(|value| text.contains(value))
            .collect();
        // One may be a part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let mut text = text.to_owned();
        for value in values {
            text = text.replace(value, "[secret]");
        }
        text
    }

    /// Log lines that were left out.
    pub fn suppressed(&self) -> u32 {
        self.suppressed
    }

    /// The rules that hold at the end of a turn. An account above its quota may still shrink.
    pub fn check_quota(&self) -> Result<(), Breach> {
        if self.ledger.kv_bytes > self.facts.limits.kv_bytes && self.ledger.kv_has_grown() {
            return Err(Breach(format!(
                "quota-exceeded: kv would hold {} bytes, the account's quota is {}",
                self.ledger.kv_bytes, self.facts.limits.kv_bytes
            )));
        }
        Ok(())
    }
}

/// A label of the contract: at most 128 bytes, not empty.
pub fn check_label(label: &str) -> wasmtime::Result<()> {
    if label.is_empty() || label.len() > 128 {
        return breach(format!(
            "a label has 1 to 128 bytes, this one has {}",
            label.len()
        ));
    }
    Ok(())
}
