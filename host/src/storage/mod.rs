//! Everything durable, behind one trait. All SQL stands below this module and nowhere else.
//!
//! Callers deal in plain values: the implementation seals what is confidential (secrets, kv,
//! configuration, contents of sends and events, endpoint secrets, proxies) with the account's or
//! workspace's data key before it reaches the database.

pub mod blobs;
pub mod chunks;
pub mod inspect;
pub mod instance;
pub mod keeper;
pub mod key;
pub mod lease;
pub mod migrate;
pub mod postgres;
pub mod seal;
pub mod sql;
pub mod sqlite;
pub mod writer;
mod writes;

#[cfg(test)]
pub(crate) mod tests;

use crate::domain::account::Account;
use crate::domain::endpoint::{Attempt, Detour, Endpoint, EndpointState};
use crate::domain::event::LoggedEvent;
use crate::domain::id::ApiKeyId;
use crate::domain::key::{Permissions, PreviousHash, Rate};
use crate::domain::send::{Send, SendState};
use crate::domain::usage::DailyUsage;
use crate::domain::{
    AccountId, EndpointId, EventId, PartitionId, SecretBytes, SendId, Timestamp, WorkspaceId,
};
use async_trait::async_trait;
pub use lease::Lease;
use lease::{HandOver, HostRow, Notice};
use std::time::Duration;
use tokio::sync::mpsc;
pub use writes::{
    AccountCommit, DeliveryProgress, DurableTimer, KvWrite, RecordSend, RequestWrite, SecretWrite,
    StoredRequest, TimerWrite, Write, Written,
};

/// Why storage could not do something. Its text never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Busy, locked, disconnected, full, or an I/O error: nothing was changed as far as is known,
    /// and trying again later may help.
    #[error("the database does not take it now: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Conflict(Conflict),
    /// Another program's database, a newer one, another operator key, or damage.
    #[error("{0}")]
    Unusable(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("the workspace's account quota is used up")]
    Quota,
    #[error("the workspace has an account with this provider identity")]
    DuplicateIdentity,
    #[error("it does not exist")]
    NotFound,
    /// The operator's key was given in the environment, and no other one to go over to.
    #[error(
        "there is no new operator key: start the host with ANYPORT_OPERATOR_KEY_NEXT beside the \
         present one"
    )]
    NextKeyMissing,
    #[error("the workspace still has accounts")]
    HasAccounts,
}

/// `status`: `active`, `inactive` (its owner's word) or `suspended` (the operator's); nothing but
/// `active` lets its keys open it and its accounts run. Metadata is a JSON object of strings.
#[derive(Clone, Debug, PartialEq)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub name: String,
    pub status: String,
    pub metadata: serde_json::Value,
    /// None: unlimited.
    pub account_quota: Option<u64>,
}

impl Workspace {
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Workspace,
    /// Of the admin surface; opens no workspace.
    Operator,
}

/// An API key as it is kept: never its text, only SHA-256 of it (keys are 256 random bits).
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub kind: KeyKind,
    /// None for an operator's key.
    pub workspace: Option<WorkspaceId>,
    pub name: String,
    /// For display.
    pub prefix: String,
    pub hash: [u8; 32],
    pub active: bool,
    /// Of an operator's key: all.
    pub permissions: Permissions,
    /// It reaches nothing but this account and what belongs to it.
    pub account: Option<AccountId>,
    pub created_at: Timestamp,
    /// Written late and in batches: older than the truth by about a minute.
    pub last_used_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// The text before the last rotation, as long as it is good.
    pub previous: Option<PreviousHash>,
    /// None: the host's default.
    pub rate: Option<Rate>,
}

impl ApiKey {
    /// Is a text with this hash good at this moment? The caller has looked the key up by it.
    pub fn opens(&self, hash: &[u8; 32], now: Timestamp) -> bool {
        use subtle::ConstantTimeEq;
        let is = |known: &[u8; 32]| bool::from(known.ct_eq(hash));
        let previous = self
            .previous
            .as_ref()
            .is_some_and(|previous| previous.until > now && is(&previous.hash));
        self.active
            && self.expires_at.is_none_or(|expires| expires > now)
            && (is(&self.hash) || previous)
    }
}

/// How long what is over is kept, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of events.
    pub events_ms: u64,
    /// How much longer, if an endpoint that is switched on has not got them yet.
    pub backlog_ms: u64,
    /// Of the log of webhook attempts.
    pub attempts_ms: u64,
    /// Of sends that are settled.
    pub sends_ms: u64,
    /// Of media that nothing refers to.
    pub media_ms: u64,
}

pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Default for Retention {
    fn default() -> Self {
        Self {
            events_ms: 30 * DAY_MS,
            backlog_ms: 7 * DAY_MS,
            attempts_ms: 30 * DAY_MS,
            sends_ms: 30 * DAY_MS,
            media_ms: 7 * DAY_MS,
        }
    }
}

/// How far a change of the operator's key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Version of the key in force, 1 for the first.
    pub version: i64,
    /// Data keys that this step wrapped anew.
    pub wrapped: u64,
    pub over: bool,
}

/// A provider version that was installed once.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderVersion {
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    pub provider: String,
    pub version: String,
    pub installed_at: Timestamp,
}

/// A page of a listing that clients walk; `next` is the position after the last item.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// A change of an endpoint; none leaves as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountUpdate {
    pub name: Option<String>,
    pub status: Option<String>,
    pub auth_mode: Option<String>,
    pub metadata: Option<serde_json::Value>,
    pub config: Option<serde_json::Value>,
    pub proxy: Option<Option<crate::domain::account::Proxy>>,
    pub provider_account_ref: Option<Option<String>>,
}

/// All durable state of one installation. Implementations retry nothing by themselves.
#[async_trait]
pub trait Store: std::marker::Send + Sync + 'static {
    // Ownership; `keeper` calls these, and nobody else.
    /// Takes every partition that no living host owns and raises its epoch in the same statement.
    /// Those that this process has already stay as they are and are not returned. A host that
    /// was started anew takes back at once what its dead process left.
    async fn acquire(&self) -> Result<Vec<Lease>, StorageError>;
    /// Prolongs the leases of this process; those that are still its own.
    async fn renew(&self) -> Result<Vec<Lease>, StorageError>;
    /// Gives all of them up, for whoever comes next.
    async fn release(&self) -> Result<(), StorageError>;
    /// How long a lease holds after it was asked for. None: as long as the process lives, since
    /// the database can have one host only.
    fn lease_length(&self) -> Option<Duration>;
    /// Hosts on this database, this one among them.
    async fn hosts(&self) -> Result<Vec<HostRow>, StorageError>;

    // Between hosts. Where there is one only, there is nothing to tell.
    /// Tells the other hosts.
    async fn notify(&self, _notice: &Notice) -> Result<(), StorageError> {
        Ok(())
    }
    /// What other hosts tell from now on. To be asked for once.
    fn notices(&self) -> Option<mpsc::UnboundedReceiver<Notice>> {
        None
    }
    /// Sends that hosts which do not own their accounts have recorded, oldest first.
    async fn hand_overs(&self) -> Result<Vec<HandOver>, StorageError>;
    /// Their owner has them.
    async fn end_hand_overs(&self, sends: &[SendId]) -> Result<(), StorageError>;

    // The hot path. One transaction; an error means that nothing of the group is known to be
    // committed and the caller retries the same group (`retry` true) or gives entries up.
    // Each writer, 0 to `writers() - 1`, has one caller: between an error and its retry comes no
    // other group of this writer, and a retried group holds the same entries in the same order, but
    // for sends that are left out. Writers commit at the same time; what belongs to one partition,
    // and the progress of one endpoint, goes through one of them always.
    async fn commit(
        &self,
        writer: usize,
        group: &[Write],
        retry: bool,
    ) -> Result<Vec<Written>, StorageError>;

    /// How many groups may be committed at once.
    fn writers(&self) -> usize {
        1
    }

    /// Takes back sends that are still `recorded`, with their idempotency keys: their clients were
    /// told that they were not taken, but a COMMIT whose answer was lost may have recorded them.
    /// They are this writer's. By default nothing: for stores whose errors leave nothing behind.
    async fn withdraw_sends(&self, _writer: usize, _ids: &[SendId]) -> Result<(), StorageError> {
        Ok(())
    }
    /// One bounded step of tidying (a few milliseconds); true when there may be more to do. The
    /// writer calls it when nothing waits.
    async fn maintain(&self, _writer: usize) -> Result<bool, StorageError> {
        Ok(false)
    }

    // The operator's key.
    /// Data keys are wrapped with a new operator's key from now on. Goes on with a rotation that
    /// is under way. Refuses with `NextKeyMissing`.
    async fn begin_key_rotation(&self) -> Result<(), StorageError> {
        Err(StorageError::Unusable(
            "this database rotates no keys".to_owned(),
        ))
    }
    /// One bounded step: wraps some keys anew, and retires the key before when none is left.
    /// Without a rotation it says that it is over.
    async fn go_on_rotating_keys(&self) -> Result<Rotation, StorageError> {
        Ok(Rotation::default())
    }

    // The log.
    /// Events after `after` in offset order, at most `limit` and about 1 MiB of bodies.
    /// Workspace of an event is its account's. Events of deleted accounts are skipped.
    async fn read_events(
        &self,
        workspace: &WorkspaceId,
        partition: PartitionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<LoggedEvent>, StorageError>;
    async fn event(
        &self,
        partition: PartitionId,
        offset: u64,
    ) -> Result<Option<LoggedEvent>, StorageError>;
    /// By its id, wherever it is in the log.
    async fn event_by_id(
        &self,
        _workspace: &WorkspaceId,
        _id: &EventId,
    ) -> Result<Option<(PartitionId, LoggedEvent)>, StorageError> {
        Ok(None)
    }
    /// Offset of the last event of each partition, 64 of them.
    async fn heads(&self) -> Result<Vec<u64>, StorageError>;
    /// Offset of the last event of each partition that retention has removed, 64 of them: who has
    /// read up to there or further has missed nothing.
    async fn tails(&self) -> Result<Vec<u64>, StorageError> {
        Ok(vec![0; usize::from(PartitionId::COUNT)])
    }

    // A database that is a copy of another installation's.
    /// When it was restored, until an operator says that this host may go on.
    async fn restored(&self) -> Result<Option<Timestamp>, StorageError> {
        Ok(None)
    }
    /// No account starts by itself, epochs and offsets go on well beyond the original's, and
    /// [`Self::restored`] tells. Nobody may be running on it.
    async fn mark_restored(&self, _at: Timestamp) -> Result<(), StorageError> {
        Err(StorageError::Unusable(
            "this database cannot be marked as restored".to_owned(),
        ))
    }
    /// Takes the mark away; the accounts that were up in the original and are to start now.
    async fn resume_restored(&self) -> Result<Vec<AccountId>, StorageError> {
        Ok(Vec::new())
    }

    // Accounts and what belongs to them.
    /// Refuses with `Quota` and `DuplicateIdentity`. Makes the account's data key. `secrets` and
    /// the account are written in one transaction.
    async fn create_account(
        &self,
        account: &Account,
        secrets: &[SecretWrite],
    ) -> Result<(), StorageError>;
    /// Of this workspace, else none.
    async fn account(
        &self,
        workspace: &WorkspaceId,
        id: &AccountId,
    ) -> Result<Option<Account>, StorageError>;
    async fn accounts(&self, workspace: &WorkspaceId) -> Result<Vec<Account>, StorageError>;
    /// Every account of every workspace.
    async fn all_accounts(&self) -> Result<Vec<Account>, StorageError>;
    async fn update_account(
        &self,
        id: &AccountId,
        update: &AccountUpdate,
        secrets: &[SecretWrite],
    ) -> Result<Account, StorageError>;
    /// The account is to go; what follows is taken up again after a crash.
    async fn begin_deletion(&self, _id: &AccountId) -> Result<(), StorageError> {
        Ok(())
    }
    /// Accounts that are to go and are still there.
    async fn deletions(&self) -> Result<Vec<AccountId>, StorageError> {
        Ok(Vec::new())
    }
    /// Destroys the account's data key, so that nothing of it can be read any more; `maintain`
    /// removes what is left. Sends that are not settled yet become `unknown` (dispatched) or
    /// `failed` (recorded).
    async fn delete_account(&self, id: &AccountId) -> Result<(), StorageError>;
    async fn kv_get(&self, id: &AccountId, key: &str) -> Result<Option<Vec<u8>>, StorageError>;
    /// In byte order of the keys after `after`, at most `limit`.
    async fn kv_scan(
        &self,
        id: &AccountId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, StorageError>;
    async fn secrets(&self, id: &AccountId) -> Result<Vec<(String, SecretBytes)>, StorageError>;
    async fn timers(&self, id: &AccountId) -> Result<Vec<(String, DurableTimer)>, StorageError>;
    /// Oldest first.
    async fn requests(&self, _id: &AccountId) -> Result<Vec<StoredRequest>, StorageError> {
        Ok(Vec::new())
    }
    /// Accounts of the provider with this `provider_account_ref`, of whatever workspace.
    async fn accounts_by_ref(
        &self,
        _provider: &str,
        _reference: &str,
    ) -> Result<Vec<Account>, StorageError> {
        Ok(Vec::new())
    }

    // Sends.
    async fn send(
        &self,
        workspace: &WorkspaceId,
        id: &SendId,
    ) -> Result<Option<Send>, StorageError>;
    /// The send of which `message` is the channel's id, if it was one of ours.
    async fn send_by_message(
        &self,
        workspace: &WorkspaceId,
        account: &AccountId,
        message: &str,
    ) -> Result<Option<Send>, StorageError>;
    /// Newest first; `cursor` from the page before.
    async fn sends(
        &self,
        workspace: &WorkspaceId,
        account: Option<&AccountId>,
        state: Option<SendState>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Send>, StorageError>;
    /// Recorded and dispatched ones of an account, oldest first.
    async fn unsettled_sends(&self, account: &AccountId) -> Result<Vec<Send>, StorageError>;
    /// The send that an idempotency key names, with its fingerprint.
    async fn idempotent(
        &self,
        workspace: &WorkspaceId,
        key: &str,
    ) -> Result<Option<(Send, [u8; 32])>, StorageError>;

    // Workspaces and keys.
    async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, StorageError>;
    async fn workspaces(&self) -> Result<Vec<Workspace>, StorageError>;
    async fn put_workspace(&self, workspace: &Workspace) -> Result<(), StorageError>;
    /// With its keys; its data key is destroyed. Refuses with `HasAccounts` while it has any.
    /// Endpoints are the caller's to delete before.
    async fn delete_workspace(&self, id: &WorkspaceId) -> Result<(), StorageError>;
    /// Inserts or replaces it, but for its last use.
    async fn put_api_key(&self, key: &ApiKey) -> Result<(), StorageError>;
    /// By its hash or the one before its rotation; whether it is still good is the caller's to see.
    async fn api_key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StorageError>;
    async fn api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StorageError>;
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StorageError>;
    /// Last uses; an earlier one than is known changes nothing, nor does a key that is gone.
    async fn touch_api_keys(&self, used: &[(ApiKeyId, Timestamp)]) -> Result<(), StorageError>;

    // What the operator says at run time, and what accounts use.
    /// Sealed with the installation's own data key, since some of it is confidential.
    async fn put_setting(&self, name: &str, value: Option<&[u8]>) -> Result<(), StorageError>;
    /// All of them, by name.
    async fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StorageError>;
    /// Adds to what is known of the account's day.
    async fn add_usage(&self, usage: &[DailyUsage]) -> Result<(), StorageError>;
    /// From the day `from` to and with the day `to`; by workspace, account and day.
    async fn usage(
        &self,
        workspace: Option<&WorkspaceId>,
        from: u32,
        to: u32,
    ) -> Result<Vec<DailyUsage>, StorageError>;

    // Providers.
    async fn put_provider(
        &self,
        version: &ProviderVersion,
        bytes: &[u8],
    ) -> Result<(), StorageError>;
    async fn provider_bytes(&self, digest: &str) -> Result<Option<Vec<u8>>, StorageError>;
    async fn provider_versions(&self) -> Result<Vec<ProviderVersion>, StorageError>;
    /// The version that new accounts of the provider get.
    async fn set_current_provider(&self, provider: &str, digest: &str) -> Result<(), StorageError>;
    async fn current_providers(&self) -> Result<Vec<(String, String)>, StorageError>;

    // Endpoints and deliveries.
    /// A new endpoint starts at the present heads of the log.
    async fn create_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError>;
    async fn endpoint(
        &self,
        workspace: &WorkspaceId,
        id: &EndpointId,
    ) -> Result<Option<Endpoint>, StorageError>;
    async fn endpoints(&self, workspace: &WorkspaceId) -> Result<Vec<Endpoint>, StorageError>;
    async fn all_endpoints(&self) -> Result<Vec<Endpoint>, StorageError>;
    async fn put_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError>;
    /// What deliveries have shown, in one step, so that it takes nothing back that the owner
    /// changes meanwhile. One that its owner switched off, or that is gone, stays as it is.
    async fn set_endpoint_state(
        &self,
        id: &EndpointId,
        state: EndpointState,
        reason: Option<&str>,
    ) -> Result<(), StorageError>;
    async fn delete_endpoint(&self, id: &EndpointId) -> Result<(), StorageError>;
    /// 64 offsets.
    async fn cursors(&self, id: &EndpointId) -> Result<Vec<u64>, StorageError>;
    /// Waiting and blocked ones, by partition and offset.
    async fn detours(&self, id: &EndpointId) -> Result<Vec<Detour>, StorageError>;
    /// Those that were given up, by partition and offset.
    async fn parked(&self, _id: &EndpointId) -> Result<Vec<Detour>, StorageError> {
        Ok(Vec::new())
    }
    /// Newest first, parked ones too.
    async fn attempts(
        &self,
        id: &EndpointId,
        event: Option<&EventId>,
        limit: u32,
    ) -> Result<Vec<Attempt>, StorageError>;
}
