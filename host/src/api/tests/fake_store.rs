//! A store in memory, as far as the API uses it.

use crate::domain::account::Account;
use crate::domain::endpoint::{Attempt, Detour, Endpoint, EndpointState};
use crate::domain::event::LoggedEvent;
use crate::domain::id::ApiKeyId;
use crate::domain::send::{Send, SendState};
use crate::domain::usage::DailyUsage;
use crate::domain::{
    AccountId, EndpointId, EventId, PartitionId, SecretBytes, SendId, Timestamp, WorkspaceId,
};
use crate::storage::lease::{HandOver, HostRow};
use crate::storage::*;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

#[derive(Default)]
pub struct State {
    pub unavailable: bool,
    pub keys: Vec<ApiKey>,
    pub workspaces: Vec<Workspace>,
    pub accounts: Vec<Account>,
    pub sends: Vec<Send>,
    pub idempotent: HashMap<String, (SendId, [u8; 32])>,
    pub endpoints: Vec<Endpoint>,
    pub log: Vec<(PartitionId, LoggedEvent)>,
    /// Absent: 0.
    pub heads: HashMap<u8, u64>,
    /// How often `read_events` was asked for.
    pub reads: usize,
    /// How often last uses of keys were written.
    pub touches: usize,
}

#[derive(Default)]
pub struct FakeStore(Mutex<State>);

impl FakeStore {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = self.state();
        if state.unavailable {
            return Err(StorageError::Unavailable("held".into()));
        }
        Ok(state)
    }

    pub fn append(&self, account: &Account, kind: &str, text: &str) -> u64 {
        let mut state = self.state();
        let head = state.heads.entry(account.partition.0).or_default();
        *head += 1;
        let offset = *head;
        let id = EventId::generate();
        let event = LoggedEvent {
            offset,
            account: account.id.clone(),
            body: format!(r#"{{"id":"{id}","type":"{kind}","data":"{text}"}}"#).into_bytes(),
            id,
            kind: kind.into(),
            conversation: None,
            occurred_at: Timestamp(0),
            recorded_at: Timestamp(0),
        };
        state.log.push((account.partition, event));
        offset
    }

    /// Everything that a refused request must not have changed.
    pub fn fingerprint(&self) -> String {
        let state = self.state();
        format!(
            "{:?} {:?} {:?}",
            state.accounts,
            state.sends,
            state.endpoints.len()
        )
    }
}

fn absent<T>() -> Result<T, StorageError> {
    Err(StorageError::Unusable("not in the fake".into()))
}

#[async_trait]
impl Store for FakeStore {
    async fn acquire(&self) -> Result<Vec<Lease>, StorageError> {
        absent()
    }
    async fn renew(&self) -> Result<Vec<Lease>, StorageError> {
        absent()
    }
    async fn release(&self) -> Result<(), StorageError> {
        absent()
    }
    fn lease_length(&self) -> Option<Duration> {
        None
    }
    async fn hosts(&self) -> Result<Vec<HostRow>, StorageError> {
        absent()
    }
    async fn hand_overs(&self) -> Result<Vec<HandOver>, StorageError> {
        absent()
    }
    async fn end_hand_overs(&self, _: &[SendId]) -> Result<(), StorageError> {
        absent()
    }
    async fn commit(&self, _: usize, _: &[Write], _: bool) -> Result<Vec<Written>, StorageError> {
        absent()
    }
    async fn read_events(
        &self,
        workspace: &WorkspaceId,
        partition: PartitionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<LoggedEvent>, StorageError> {
        let mut state = self.open()?;
        state.reads += 1;
        let of: Vec<AccountId> = state
            .accounts
            .iter()
            .filter(|account| account.workspace == *workspace)
            .map(|account| account.id.clone())
            .collect();
        Ok(state
            .log
            .iter()
            .filter(|(of_partition, event)| {
                *of_partition == partition && event.offset > after && of.contains(&event.account)
            })
            .take(limit as usize)
            .map(|(_, event)| event.clone())
            .collect())
    }
    async fn event(&self, _: PartitionId, _: u64) -> Result<Option<LoggedEvent>, StorageError> {
        absent()
    }
    async fn heads(&self) -> Result<Vec<u64>, StorageError> {
        let state = self.open()?;
        let head = |partition: PartitionId| state.heads.get(&partition.0).copied();
        Ok(PartitionId::all()
            .map(|partition| head(partition).unwrap_or(0))
            .collect())
    }
    async fn create_account(&self, _: &Account, _: &[SecretWrite]) -> Result<(), StorageError> {
        absent()
    }
    async fn account(
        &self,
        workspace: &WorkspaceId,
        id: &AccountId,
    ) -> Result<Option<Account>, StorageError> {
        Ok(self
            .open()?
            .accounts
            .iter()
            .find(|account| account.workspace == *workspace && account.id == *id)
            .cloned())
    }
    async fn accounts(&self, workspace: &WorkspaceId) -> Result<Vec<Account>, StorageError> {
        let mut accounts = self.open()?.accounts.clone();
        accounts.retain(|account| account.workspace == *workspace);
        Ok(accounts)
    }
    async fn all_accounts(&self) -> Result<Vec<Account>, StorageError> {
        absent()
    }
    async fn update_account(
        &self,
        _: &AccountId,
        _: &AccountUpdate,
        _: &[SecretWrite],
    ) -> Result<Account, StorageError> {
        absent()
    }
    async fn delete_account(&self, _: &AccountId) -> Result<(), StorageError> {
        absent()
    }
    async fn kv_get(&self, _: &AccountId, _: &str) -> Result<Option<Vec<u8>>, StorageError> {
        absent()
    }
    async fn kv_scan(
        &self,
        _: &AccountId,
        _: &str,
        _: Option<&str>,
        _: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        absent()
    }
    async fn secrets(&self, _: &AccountId) -> Result<Vec<(String, SecretBytes)>, StorageError> {
        absent()
    }
    async fn timers(&self, _: &AccountId) -> Result<Vec<(String, DurableTimer)>, StorageError> {
        absent()
    }
    async fn send(&self, _: &WorkspaceId, id: &SendId) -> Result<Option<Send>, StorageError> {
        Ok(self
            .open()?
            .sends
            .iter()
            .find(|send| send.id == *id)
            .cloned())
    }
    async fn send_by_message(
        &self,
        _: &WorkspaceId,
        account: &AccountId,
        message: &str,
    ) -> Result<Option<Send>, StorageError> {
        let of = |send: &&Send| {
            send.account == *account
                && send
                    .sent
                    .as_ref()
                    .is_some_and(|sent| sent.messages.iter().any(|id| id == message))
        };
        Ok(self.open()?.sends.iter().find(of).cloned())
    }
    async fn sends(
        &self,
        _: &WorkspaceId,
        _: Option<&AccountId>,
        wanted: Option<SendState>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Send>, StorageError> {
        let skip = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let state = self.open()?;
        let all = state
            .sends
            .iter()
            .rev()
            .filter(|send| wanted.is_none_or(|wanted| send.state == wanted));
        let items: Vec<Send> = all
            .clone()
            .skip(skip)
            .take(limit as usize)
            .cloned()
            .collect();
        let end = skip + items.len();
        let next = (all.count() > end).then(|| end.to_string());
        Ok(Page { items, next })
    }
    async fn unsettled_sends(&self, _: &AccountId) -> Result<Vec<Send>, StorageError> {
        absent()
    }
    async fn idempotent(
        &self,
        _: &WorkspaceId,
        key: &str,
    ) -> Result<Option<(Send, [u8; 32])>, StorageError> {
        let state = self.open()?;
        let Some((id, fingerprint)) = state.idempotent.get(key) else {
            return Ok(None);
        };
        let send = state.sends.iter().find(|send| send.id == *id).cloned();
        Ok(send.map(|send| (send, *fingerprint)))
    }
    async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, StorageError> {
        let state = self.open()?;
        Ok(state.workspaces.iter().find(|one| one.id == *id).cloned())
    }
    async fn workspaces(&self) -> Result<Vec<Workspace>, StorageError> {
        absent()
    }
    async fn put_workspace(&self, workspace: &Workspace) -> Result<(), StorageError> {
        let mut state = self.open()?;
        state.workspaces.retain(|one| one.id != workspace.id);
        state.workspaces.push(workspace.clone());
        Ok(())
    }
    async fn delete_workspace(&self, _: &WorkspaceId) -> Result<(), StorageError> {
        absent()
    }
    async fn put_api_key(&self, key: &ApiKey) -> Result<(), StorageError> {
        let mut state = self.open()?;
        match state.keys.iter_mut().find(|one| one.id == key.id) {
            Some(known) => *known = key.clone(),
            None => state.keys.push(key.clone()),
        }
        Ok(())
    }
    async fn api_key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, StorageError> {
        let state = self.open()?;
        let is = |key: &&ApiKey| {
            let previous = key.previous.as_ref().map(|previous| previous.hash);
            key.hash == *hash || previous == Some(*hash)
        };
        Ok(state.keys.iter().find(is).cloned())
    }
    async fn api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StorageError> {
        let state = self.open()?;
        Ok(state.keys.iter().find(|key| key.id == *id).cloned())
    }
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StorageError> {
        Ok(self.open()?.keys.clone())
    }
    async fn touch_api_keys(&self, used: &[(ApiKeyId, Timestamp)]) -> Result<(), StorageError> {
        let mut state = self.open()?;
        state.touches += 1;
        for (id, at) in used {
            if let Some(key) = state.keys.iter_mut().find(|key| key.id == *id) {
                key.last_used_at = key.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }
    async fn put_setting(&self, _: &str, _: Option<&[u8]>) -> Result<(), StorageError> {
        absent()
    }
    async fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        absent()
    }
    async fn add_usage(&self, _: &[DailyUsage]) -> Result<(), StorageError> {
        absent()
    }
    async fn usage(
        &self,
        _: Option<&WorkspaceId>,
        _: u32,
        _: u32,
    ) -> Result<Vec<DailyUsage>, StorageError> {
        absent()
    }
    async fn put_provider(&self, _: &ProviderVersion, _: &[u8]) -> Result<(), StorageError> {
        absent()
    }
    async fn provider_bytes(&self, _: &str) -> Result<Option<Vec<u8>>, StorageError> {
        absent()
    }
    async fn provider_versions(&self) -> Result<Vec<ProviderVersion>, StorageError> {
        absent()
    }
    async fn set_current_provider(&self, _: &str, _: &str) -> Result<(), StorageError> {
        absent()
    }
    async fn current_providers(&self) -> Result<Vec<(String, String)>, StorageError> {
        absent()
    }
    async fn create_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        self.open()?.endpoints.push(endpoint.clone());
        Ok(())
    }
    async fn endpoint(
        &self,
        workspace: &WorkspaceId,
        id: &EndpointId,
    ) -> Result<Option<Endpoint>, StorageError> {
        let state = self.open()?;
        let mut all = state.endpoints.iter();
        Ok(all
            .find(|one| one.id == *id && one.workspace == *workspace)
            .cloned())
    }
    async fn endpoints(&self, _: &WorkspaceId) -> Result<Vec<Endpoint>, StorageError> {
        Ok(self.open()?.endpoints.clone())
    }
    async fn all_endpoints(&self) -> Result<Vec<Endpoint>, StorageError> {
        absent()
    }
    async fn put_endpoint(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        let mut state = self.open()?;
        let place = state.endpoints.iter_mut().find(|one| one.id == endpoint.id);
        *place.unwrap() = endpoint.clone();
        Ok(())
    }
    async fn set_endpoint_state(
        &self,
        _: &EndpointId,
        _: EndpointState,
        _: Option<&str>,
    ) -> Result<(), StorageError> {
        Ok(())
    }

    async fn delete_endpoint(&self, id: &EndpointId) -> Result<(), StorageError> {
        self.open()?.endpoints.retain(|one| one.id != *id);
        Ok(())
    }
    async fn cursors(&self, _: &EndpointId) -> Result<Vec<u64>, StorageError> {
        absent()
    }
    async fn detours(&self, _: &EndpointId) -> Result<Vec<Detour>, StorageError> {
        absent()
    }
    async fn attempts(
        &self,
        _: &EndpointId,
        _: Option<&EventId>,
        _: u32,
    ) -> Result<Vec<Attempt>, StorageError> {
        absent()
    }
}
