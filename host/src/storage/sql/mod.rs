//! All statements, for both databases, and [`SqlStore`], which runs them.
//!
//! A statement is written once, in words that SQLite and PostgreSQL understand (`query.rs`,
//! `rows.rs`); what only one of them needs asks `Connection::is_postgres`. How each is opened, what
//! its connections are told and what its errors mean stand in `storage/sqlite` and
//! `storage/postgres`. Must never retry by itself (the writers do), and never bind a confidential
//! value that is not sealed.
//!
//! **What is plain in the database**: ids; workspaces (name, status, metadata); of accounts their
//! name, provider, region, status, auth mode, metadata, `provider_account_ref`, auth status,
//! provider digest, sizes and times; names of kv entries, secrets and timers, and when timers are
//! due; of events their type, account and times; of sends their state and times; names, prefixes,
//! permissions, times and SHA-256 of API keys; what accounts used a day; names of the operator's
//! settings; component bytes; of endpoints their state, its reason, event names,
//! account names, retry policy; of deliveries which event went where when, the HTTP status and the
//! latency. Everything else is sealed (`seal.rs`), or a keyed hash where it is only looked up
//! (dedupe keys, idempotency keys, the channel's message ids).

mod accounts;
mod belongings;
mod blobs;
mod commit;
mod connection;
mod endpoints;
mod error;
#[cfg(test)]
pub(in crate::storage) mod faults;
mod keys;
mod log;
mod maintain;
mod ownership;
mod providers;
mod query;
mod restore;
mod rotation;
mod rows;
mod sends;
mod settings;
mod shared;
mod state;
mod usage;
mod value;
mod workspaces;

pub(in crate::storage) use connection::{Backend, Connection};
pub(in crate::storage) use error::damaged;
pub(in crate::storage) use query::query;
pub(in crate::storage) use restore::mark as mark_restored;
pub(in crate::storage) use rows::insert_rows;
pub(in crate::storage) use value::{Row, Value};

use self::keys::Keyring;
use super::key::Wrapping;
use super::lease::{HandOver, HostRow, Notice};
use super::seal::{DataKey, TokenSealer};
use super::{
    AccountUpdate, ApiKey, DurableTimer, Lease, Page, ProviderVersion, Retention, Rotation,
    SecretWrite, StorageError, Store, StoredRequest, Workspace, Write, Written,
};
use crate::domain::account::Account;
use crate::domain::endpoint::{Attempt, Detour, Endpoint, EndpointState};
use crate::domain::event::LoggedEvent;
use crate::domain::id::ApiKeyId;
use crate::domain::send::{Send, SendState};
use crate::domain::usage::DailyUsage;
use crate::domain::{
    AccountId, EndpointId, EventId, PartitionId, SecretBytes, SendId, Timestamp, WorkspaceId,
};
use async_trait::async_trait;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// All durable state, in a SQLite file or on a PostgreSQL server.
pub struct SqlStore {
    backend: Backend,
    keys: Keyring,
    tokens: TokenSealer,
    retention: Retention,
    writers: Vec<Mutex<state::WriterState>>,
    #[cfg(test)]
    pub(in crate::storage) faults: faults::Faults,
}

impl std::fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.backend {
            Backend::Sqlite(files) => files.fmt(f),
            Backend::Postgres(server) => server.fmt(f),
        }
    }
}

impl SqlStore {
    /// On a database whose schema is there. `tokens`: the key of tokens, if it has none yet.
    pub(in crate::storage) async fn new(
        backend: Backend,
        wrapping: Wrapping,
        tokens: &DataKey,
        retention: Retention,
        writers: usize,
    ) -> Result<Self, StorageError> {
        let mut store = Self {
            keys: Keyring::new(wrapping),
            tokens: tokens.token_sealer(),
            retention,
            backend,
            writers: (0..writers)
                .map(|_| Mutex::new(state::WriterState::new()))
                .collect(),
            #[cfg(test)]
            faults: faults::Faults::default(),
        };
        let present = store.keys.tokens(&mut store.reader().await?).await?;
        store.tokens = match present {
            Some(sealer) => sealer,
            None => store.make_tokens(tokens).await?,
        };
        Ok(store)
    }

    async fn make_tokens(&self, first: &DataKey) -> Result<TokenSealer, StorageError> {
        let mut transaction = self.begin().await?;
        let connection = &mut transaction.connection;
        let result = self.keys.make_tokens(connection, first).await;
        transaction.end(result).await
    }

    /// Seals what clients carry around, such as reply tokens.
    pub fn token_sealer(&self) -> TokenSealer {
        self.tokens.clone()
    }

    /// At the end of a process: nothing is asked of the store any more. SQLite's last connection,
    /// the one that writes, leaves no write-ahead log behind.
    pub async fn close(&self) {
        if let Backend::Sqlite(files) = &self.backend {
            files.readers.close().await;
        }
        for writer in &self.writers {
            writer.lock().await.close().await;
        }
        if let Backend::Postgres(server) = &self.backend {
            server.leases.leave();
        }
    }

    /// Host and port of the database's server; none for SQLite and for socket files. Nobody may be
    /// let there.
    pub fn address(&self) -> Option<(String, u16)> {
        match &self.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(server) => server.address(),
        }
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn acquire(&self) -> Result<Vec<Lease>, StorageError> {
        self.acquire_partitions().await
    }

    async fn renew(&self) -> Result<Vec<Lease>, StorageError> {
        self.held_partitions().await
    }

    async fn release(&self) -> Result<(), StorageError> {
        self.release_partitions().await
    }

    fn lease_length(&self) -> Option<Duration> {
        self.leases_hold()
    }

    async fn hosts(&self) -> Result<Vec<HostRow>, StorageError> {
        self.list_hosts().await
    }

    async fn notify(&self, notice: &Notice) -> Result<(), StorageError> {
        self.tell(notice).await
    }

    fn notices(&self) -> Option<mpsc::UnboundedReceiver<Notice>> {
        self.hear()
    }

    async fn hand_overs(&self) -> Result<Vec<HandOver>, StorageError> {
        self.list_hand_overs().await
    }

    async fn end_hand_overs(&self, sends: &[SendId]) -> Result<(), StorageError> {
        self.delete_hand_overs(sends).await
    }

    fn writers(&self) -> usize {
        self.writers.len()
    }

    async fn commit(
        &self,
        writer: usize,
        group: &[Write],
        retry: bool,
    ) -> Result<Vec<Written>, StorageError> {
        self.commit_group(writer, group, retry).await
    }

    async fn withdraw_sends(&self, writer: usize, ids: &[SendId]) -> Result<(), StorageError> {
        self.delete_recorded_sends(writer, ids).await
    }

    async fn maintain(&self, writer: usize) -> Result<bool, StorageError> {
        self.prune(writer).await
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

    async fn secrets(&self, id: &AccountId) -> Result<Vec<(String, SecretBytes)>, StorageError> {
        self.read_secrets(id).await
    }

    async fn timers(&self, id: &AccountId) -> Result<Vec<(String, DurableTimer)>, StorageError> {
        self.read_timers(id).await
    }

    async fn requests(&self, id: &AccountId) -> Result<Vec<StoredRequest>, StorageError> {
        self.read_requests(id).await
    }

    async fn accounts_by_ref(
        &self,
        provider: &str,
        reference: &str,
    ) -> Result<Vec<Account>, StorageError> {
        self.read_accounts_by_ref(provider, reference).await
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

    async fn api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StorageError> {
        self.read_api_key(id).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StorageError> {
        self.list_api_keys().await
    }

    async fn touch_api_keys(&self, used: &[(ApiKeyId, Timestamp)]) -> Result<(), StorageError> {
        self.write_last_uses(used).await
    }

    async fn delete_workspace(&self, id: &WorkspaceId) -> Result<(), StorageError> {
        self.destroy_workspace(id).await
    }

    async fn put_setting(&self, name: &str, value: Option<&[u8]>) -> Result<(), StorageError> {
        self.write_setting(name, value).await
    }

    async fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        self.list_settings().await
    }

    async fn add_usage(&self, usage: &[DailyUsage]) -> Result<(), StorageError> {
        self.write_usage(usage).await
    }

    async fn usage(
        &self,
        workspace: Option<&WorkspaceId>,
        from: u32,
        to: u32,
    ) -> Result<Vec<DailyUsage>, StorageError> {
        self.read_usage(workspace, from, to).await
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
