//! What is written, a group at a time, and what comes back of it.

use super::blobs::BlobWrite;
use crate::domain::account::AccountPatch;
use crate::domain::endpoint::{Attempt, Detour};
use crate::domain::event::NewEvent;
use crate::domain::send::{Idempotency, Outgoing, Send, SendChange};
use crate::domain::{
    AccountId, EndpointId, PartitionId, SecretBytes, SendId, Timestamp, WorkspaceId,
};
use uuid::Uuid;

/// One unit of the group commit. Those of a group are applied in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Account(Box<AccountCommit>),
    RecordSend(Box<RecordSend>),
    Delivery(Box<DeliveryProgress>),
}

/// What a turn, or the host on behalf of an account, changes: all of it or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountCommit {
    pub account: AccountId,
    pub workspace: WorkspaceId,
    pub partition: PartitionId,
    pub epoch: u64,
    /// The turn's number. The commit takes `turn_seq` from `turn - 1` to `turn`. When it finds
    /// `turn` there already *and* this very commit is being retried after an error, it was
    /// committed before (a COMMIT whose answer was lost). None: the host's own change, which does
    /// not touch `turn_seq`.
    pub turn: Option<u64>,
    /// The account's clock, which never runs backwards, also not under the next owner.
    pub at: Timestamp,
    pub events: Vec<NewEvent>,
    pub kv: Vec<KvWrite>,
    pub secrets: Vec<SecretWrite>,
    pub timers: Vec<TimerWrite>,
    pub requests: Vec<RequestWrite>,
    pub sends: Vec<SendChange>,
    /// In order.
    pub blobs: Vec<BlobWrite>,
    pub patch: AccountPatch,
    /// Sum of key and value lengths after this commit, when kv changed.
    pub kv_bytes: Option<u64>,
}

#[derive(Clone, PartialEq)]
pub struct KvWrite {
    pub key: String,
    /// None removes.
    pub value: Option<Vec<u8>>,
}

impl std::fmt::Debug for KvWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "KvWrite({}, {} bytes)",
            self.key,
            self.value.as_ref().map_or(0, Vec::len)
        )
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SecretWrite {
    pub name: String,
    /// None removes.
    pub value: Option<SecretBytes>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TimerWrite {
    pub label: String,
    /// None: cancelled, or fired in this turn.
    pub timer: Option<DurableTimer>,
}

/// A change of an HTTP request that is not answered.
#[derive(Clone, PartialEq)]
pub enum RequestWrite {
    /// As its owner encodes it; it has not left this host.
    Put { id: Uuid, request: Vec<u8> },
    /// From now on it may have left.
    Started { id: Uuid },
    /// Answered, cancelled or replaced.
    Remove { id: Uuid },
}

impl RequestWrite {
    pub fn id(&self) -> Uuid {
        match self {
            Self::Put { id, .. } | Self::Started { id } | Self::Remove { id } => *id,
        }
    }
}

impl std::fmt::Debug for RequestWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self {
            Self::Put { .. } => "put",
            Self::Started { .. } => "started",
            Self::Remove { .. } => "remove",
        };
        write!(f, "RequestWrite({what} {})", self.id())
    }
}

/// A request that was not answered.
#[derive(Clone, PartialEq)]
pub struct StoredRequest {
    pub id: Uuid,
    /// It may have left.
    pub started: bool,
    pub request: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DurableTimer {
    pub at: Timestamp,
    pub context: Vec<u8>,
}

/// A client's send, made durable before anything is called.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordSend {
    pub id: SendId,
    pub workspace: WorkspaceId,
    pub account: AccountId,
    pub partition: PartitionId,
    /// None: by a host that does not own the partition. The send is handed over to its owner.
    pub epoch: Option<u64>,
    pub outgoing: Outgoing,
    pub at: Timestamp,
    pub idempotency: Option<Idempotency>,
}

/// A step of the delivery to one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeliveryProgress {
    /// Every partition that it is about, with the epoch under which it was learned. If one of
    /// them has another epoch by now, all of it is fenced.
    pub epochs: Vec<(PartitionId, u64)>,
    /// Every event of the partition up to and with this offset is delivered, not wanted, or a
    /// detour.
    pub cursors: Vec<(EndpointId, PartitionId, u64)>,
    /// Inserted or replaced, by (endpoint, partition, offset).
    pub detours: Vec<Detour>,
    pub done: Vec<(EndpointId, PartitionId, u64)>,
    pub attempts: Vec<Attempt>,
}

/// The answer to a [`Write`] that was committed.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    Account {
        /// Offset of each event of the commit, in order; none where its dedupe key was a repeat.
        offsets: Vec<Option<u64>>,
        /// Per `sends` entry: whether the state allowed it.
        sends: Vec<bool>,
    },
    Recorded,
    /// The idempotency key names this send already, with the same fingerprint.
    Repeated(Box<Send>),
    /// The idempotency key names a send with another fingerprint.
    KeyReused,
    Delivery,
    /// The partition's epoch is not the entry's, or `turn_seq` is neither `turn - 1` nor a lost
    /// COMMIT of this very turn. Nothing of this entry was applied; the rest of the group was.
    Fenced,
    /// The account is gone (deleted). Nothing of this entry was applied.
    Gone,
}
