//! SQLite: WAL, synchronous=FULL, one connection that writes and a few that read.
//!
//! Owns every SQL statement of the SQLite backend. Must never retry by itself (the writer does),
//! and never bind a confidential value that is not sealed.
//!
//! **What is plain in the database**: ids; workspaces (name, status, metadata); of accounts their
//! name, provider, region, status, auth mode, metadata, `provider_account_ref`, auth status,
//! provider digest, sizes and times; names of kv entries, secrets and timers, and when timers are
//! due; of events their type, account and times; of sends their state and times; names, prefixes
//! and SHA-256 of API keys; component bytes; of endpoints their state, its reason, event names,
//! account names, retry policy; of deliveries which event went where when, the HTTP status and the
//! latency. Everything else is sealed (`seal.rs`), or a keyed hash where it is only looked up
//! (dedupe keys, idempotency keys, the channel's message ids).

mod accounts;
pub mod backup;
mod belongings;
mod commit;
mod endpoints;
mod error;
#[cfg(test)]
pub(in crate::storage) mod faults;
mod keys;
mod log;
mod maintain;
mod open;
mod providers;
mod restore;
mod rotation;
mod rows;
mod sends;
mod state;
mod workspaces;

pub use super::operator::KeySource;

use self::keys::Keyring;
use super::seal::TokenSealer;
use super::{
    AccountUpdate, ApiKey, DurableTimer, Lease, Page, ProviderVersion, Retention, Rotation, SecretWrite, StorageError,
    Store, Workspace, Write, Written,
};
use crate::domain::account::Account;
use crate::domain::endpoint::{Attempt, Detour, Endpoint, EndpointState};
use crate::domain::event::LoggedEvent;
use crate::domain::send::{Send, SendState};
use crate::domain::{
    AccountId, EndpointId, EventId, PartitionId, SendId, Timestamp, WorkspaceId,
};
use async_trait::async_trait;
use sqlx::Sqlite;
use sqlx::SqlitePool;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePoolOptions;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::sync::Mutex;

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    pub path: PathBuf,
    pub key: KeySource,
    /// How long a statement waits for another process's lock. Short: the writer retries.
    pub busy_timeout: Duration,
    /// Connections that read.
    pub readers: u32,
    /// The database refuses to grow beyond this many pages of 4 KiB, as on a full disk.
    pub max_pages: u32,
    /// How long what is over is kept.
    pub retention: Retention,
}

impl SqliteSettings {
    /// `anyport.db` in a directory, with `operator.key` beside it.
    pub fn in_directory(directory: &Path) -> Self {
        Self::new(
            directory.join("anyport.db"),
            KeySource::File(directory.join("operator.key")),
        )
    }

    pub fn new(path: PathBuf, key: KeySource) -> Self {
        Self {
            path,
            key,
            busy_timeout: open::BUSY_TIMEOUT,
            readers: 4,
            // SQLite's own limit.
            max_pages: 4_294_967_294,
            retention: Retention::default(),
        }
    }
}

/// All durable state in one SQLite file.
pub struct SqliteStore {
    settings: SqliteSettings,
    tokens: TokenSealer,
    keys: Keyring,
    write: Mutex<state::WriteState>,
    readers: SqlitePool,
    max_pages: AtomicU32,
    #[cfg(test)]
    pub(in crate::storage) faults: faults::Faults,
    /// Held as long as the store lives.
    _lock: File,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.settings.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database, and makes it (and the operator's key file) when it is not there yet.
    /// The directory must exist. Refuses with [`StorageError::Unusable`] what is in use by another
    /// host, foreign, newer, or sealed with another operator key.
    pub async fn open(settings: SqliteSettings) -> Result<Self, StorageError> {
        let lock = open::lock(&settings.path)?;
        open::survive_file_size_limit();
        open::create_private(&settings.path)?;
        let prepared = open::prepare(&settings).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(settings.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(false)
            .connect_lazy_with(open::reader_options(&settings));
        Ok(Self {
            keys: prepared.keys,
            tokens: prepared.tokens,
            write: Mutex::new(state::WriteState::new(prepared.connection)),
            readers,
            max_pages: AtomicU32::new(settings.max_pages),
            #[cfg(test)]
            faults: faults::Faults::default(),
            settings,
            _lock: lock,
        })
    }

    /// Seals what clients carry around, such as reply tokens.
    pub fn token_sealer(&self) -> TokenSealer {
        self.tokens.clone()
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>, StorageError> {
        Ok(self.readers.acquire().await?)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn claim(&self) -> Result<Vec<Lease>, StorageError> {
        self.claim_partitions().await
    }

    async fn commit(&self, group: &[Write], retry: bool) -> Result<Vec<Written>, StorageError> {
        self.commit_group(group, retry).await
    }

    async fn withdraw_sends(&self, ids: &[SendId]) -> Result<(), StorageError> {
        self.delete_recorded_sends(ids).await
    }

    async fn maintain(&self) -> Result<bool, StorageError> {
        self.prune().await
    }

    async fn begin_key_rotation(&self) -> Result<(), StorageError> {
        self.begin_rotation().await
    }

    async fn go_on_rotating_keys(&self) -> Result<Rotation, StorageError> {
        self.go_on_rotating().await
    }

    async fn read_events(
        &self,
        workspace: &WorkspaceId,
        partition: PartitionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<LoggedEvent>, StorageError> {
        self.events_after(workspace, partition, after, limit).await
    }

    async fn event(
        &self,
        partition: PartitionId,
        offset: u64,
    ) -> Result<Option<LoggedEvent>, StorageError> {
        self.event_at(partition, offset).await
    }

    async fn event_by_id(
        &self,
        workspace: &WorkspaceId,
        id: &EventId,
    ) -> Result<Option<(PartitionId, LoggedEvent)>, StorageError> {
        self.event_named(workspace, id).await
    }

    async fn heads(&self) -> Result<Vec<u64>, StorageError> {
        self.partition_heads().await
    }

    async fn tails(&self) -> Result<Vec<u64>, StorageError> {
        self.partition_tails().await
    }

    async fn restored(&self) -> Result<Option<Timestamp>, StorageError> {
        self.restore_mark().await
    }

    async fn mark_restored(&self, at: Timestamp) -> Result<(), StorageError> {
        self.write_restore_mark(at).await
    }

    async fn resume_restored(&self) -> Result<Vec<AccountId>, StorageError> {
        self.remove_restore_mark().await
    }

    async fn create_account(
        &self,
        account: &Account,
        secrets: &[SecretWrite],
    ) -> Result<(), StorageError> {
        self.insert_account(account, secrets).await
    }

    async fn account(
        &self,
        workspace: &WorkspaceId,
        id: &AccountId,
    ) -> Result<Option<Account>, StorageError> {
        self.find_account(workspace, id).await
    }

    async fn accounts(&self, workspace: &WorkspaceId) -> Result<Vec<Account>, StorageError> {
        self.list_accounts(Some(workspace)).await
    }

    async fn all_accounts(&self) -> Result<Vec<Account>, StorageError> {
        self.list_accounts(None).await
    }

    async fn update_account(
        &self,
        id: &AccountId,
        update: &AccountUpdate,
        secrets: &[SecretWrite],
    ) -> Result<Account, StorageError> {
        self.change_account(id, update, secrets).await
    }

    async fn begin_deletion(&self, id: &AccountId) -> Result<(), StorageError> {
        self.mark_deleting(id).await
    }

    async fn deletions(&self) -> Result<Vec<AccountId>, StorageError> {
        self.list_deleting().await
    }

    async fn delete_account(&self, id: &AccountId) -> Result<(), StorageError> {
        self.destroy_account(id).await
    }

    async fn kv_get(&self, id: &AccountId, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.read_kv(id, key).await
    }

    async fn kv_scan(
        &self,
        id: &AccountId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        self.scan_kv(id, prefix, after, limit).await
    }

    async fn secrets(&self, id: &AccountId) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        self.read_secrets(id).await
    }

    async fn timers(&self, id: &AccountId) -> Result<Vec<(String, DurableTimer)>, StorageError> {
        self.read_timers(id).await
    }

    async fn send(
        &self,
        workspace: &WorkspaceId,
        id: &SendId,
    ) -> Result<Option<Send>, StorageError> {
        self.find_send(workspace, id).await
    }

    async fn send_by_message(
        &self,
        workspace: &WorkspaceId,
        account: &AccountId,
        message: &str,
    ) -> Result<Option<Send>, StorageError> {
        self.find_send_by_message(workspace, account, message).await
    }

    async fn sends(
        &self,
        workspace: &WorkspaceId,
        account: Option<&AccountId>,
        state: Option<SendState>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Send>, StorageError> {
        self.list_sends(workspace, account, state, cursor, limit)
            .await
    }

    async fn unsettled_sends(&self, account: &AccountId) -> Result<Vec<Send>, StorageError> {
        self.list_unsettled(account).await
    }

    async fn idempotent(
        &self,
        workspace: &WorkspaceId,
        key: &str,
    ) -> Result<Option<(Send, [u8; 32])>, StorageError> {
        self.find_idempotent(workspace, key).await
    }

    async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, StorageError> {
        self.find_workspace(id).await
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, StorageError> {
        self.list_workspaces().await
    }

    async fn put_workspace(&self, workspace: &Workspace) -> Result<(), StorageError> {
        self.write_workspace(workspace).await
    }

    async fn put_api_key(&self, key: &ApiKey) -> Result<(), StorageError> {
        self.write_api_key(key).await
    }

    async fn api_key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StorageError> {
        self.find_api_key(hash).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StorageError> {
        self.list_api_keys().await
    }

    async fn put_provider(
        &self,
        version: &ProviderVersion,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        self.write_provider(version, bytes).await
    }

    async fn provider_bytes(&self, digest: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.read_provider_bytes(digest).await
    }

    async fn provider_versions(&self) -> Result<Vec<ProviderVersion>, StorageError> {
        self.list_provider_versions().await
    }

    async fn set_current_provider(&self, provider: &str, digest: &str) -> Result<(), StorageError> {
        self.write_current_provider(provider, digest).await
    }

    async fn current_providers(&self) -> Result<Vec<(String, String)>, StorageError> {
        self.list_current_providers().await
    }

    async fn create_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        self.insert_endpoint(endpoint).await
    }

    async fn endpoint(
        &self,
        workspace: &WorkspaceId,
        id: &EndpointId,
    ) -> Result<Option<Endpoint>, StorageError> {
        self.find_endpoint(workspace, id).await
    }

    async fn endpoints(&self, workspace: &WorkspaceId) -> Result<Vec<Endpoint>, StorageError> {
        self.list_endpoints(Some(workspace)).await
    }

    async fn all_endpoints(&self) -> Result<Vec<Endpoint>, StorageError> {
        self.list_endpoints(None).await
    }

    async fn put_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        self.change_endpoint(endpoint).await
    }

    async fn set_endpoint_state(
        &self,
        id: &EndpointId,
        state: EndpointState,
        reason: Option<&str>,
    ) -> Result<(), StorageError> {
        self.change_endpoint_state(id, state, reason).await
    }

    async fn delete_endpoint(&self, id: &EndpointId) -> Result<(), StorageError> {
        self.destroy_endpoint(id).await
    }

    async fn cursors(&self, id: &EndpointId) -> Result<Vec<u64>, StorageError> {
        self.read_cursors(id).await
    }

    async fn detours(&self, id: &EndpointId) -> Result<Vec<Detour>, StorageError> {
        self.read_detours(id, false).await
    }

    async fn parked(&self, id: &EndpointId) -> Result<Vec<Detour>, StorageError> {
        self.read_detours(id, true).await
    }

    async fn attempts(
        &self,
        id: &EndpointId,
        event: Option<&EventId>,
        limit: u32,
    ) -> Result<Vec<Attempt>, StorageError> {
        self.read_attempts(id, event, limit).await
    }
}
