//! The data keys of accounts and workspaces: made, wrapped into the database, unwrapped once and
//! kept in memory. Never hands out a key of an account that was deleted.

use super::connection::Connection;
use super::error::damaged;
use super::query::query;
use super::rows::Many;
use crate::domain::{AccountId, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::key::{KeyRow, Wrapping};
use crate::storage::seal::{DataKey, TOKENS, TokenSealer};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(super) struct Keyring {
    wrapping: Wrapping,
    cache: RwLock<Cache>,
    /// Counts deletions: what was read before one is not put into the cache after it.
    deletions: AtomicU64,
}

#[derive(Default)]
struct Cache {
    accounts: HashMap<AccountId, AccountKey>,
    workspaces: HashMap<WorkspaceId, Arc<DataKey>>,
    installation: Option<Arc<DataKey>>,
}

#[derive(Clone)]
pub(super) struct AccountKey {
    pub workspace: WorkspaceId,
    pub key: Arc<DataKey>,
}

/// Of what belongs to no workspace.
const INSTALLATION: &str = "installation";

fn account_owner(id: &AccountId) -> String {
    format!("account:{id}")
}

fn workspace_owner(id: &WorkspaceId) -> String {
    format!("workspace:{id}")
}

impl Keyring {
    pub fn new(wrapping: Wrapping) -> Self {
        Self {
            wrapping,
            cache: RwLock::default(),
            deletions: AtomicU64::new(0),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Cache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Cache> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a live account, else none.
    pub async fn account(
        &self,
        connection: &mut Connection,
        id: &AccountId,
    ) -> Result<Option<AccountKey>, StorageError> {
        Ok(self
            .accounts(connection, std::iter::once(id))
            .await?
            .remove(id))
    }

    /// Those of `ids` that are live.
    pub async fn accounts<'i>(
        &self,
        connection: &mut Connection,
        ids: impl Iterator<Item = &'i AccountId>,
    ) -> Result<HashMap<AccountId, AccountKey>, StorageError> {
        const FIND: Many = Many {
            before: "SELECT account.id, account.workspace, data_key.wrapped FROM account \
                     JOIN data_key ON data_key.owner = 'account:' || account.id \
                     WHERE account.deleted_at IS NULL AND account.id IN (",
            row: "?",
            after: ")",
        };
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let cache = self.read();
            for id in ids {
                match cache.accounts.get(id) {
                    Some(key) => {
                        found.insert(id.clone(), key.clone());
                    }
                    None => missing.push(id),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let deletions = self.deletions.load(Ordering::SeqCst);
        let rows = FIND
            .fetch(connection, missing.into_iter(), |statement, id| {
                statement.bind(id.as_str())
            })
            .await?;
        for row in rows {
            let id = AccountId::from_text(row.try_get::<String, _>(0)?);
            let key = self.unwrap_account(&id, row.try_get(1)?, row.try_get(2)?)?;
            self.remember(id.clone(), key.clone(), deletions);
            found.insert(id, key);
        }
        Ok(found)
    }

    /// From the columns of a row.
    pub fn unwrap_account(
        &self,
        id: &AccountId,
        workspace: String,
        wrapped: &[u8],
    ) -> Result<AccountKey, StorageError> {
        if let Some(key) = self.read().accounts.get(id) {
            return Ok(key.clone());
        }
        let key = self
            .wrapping
            .unwrap(&account_owner(id), wrapped)
            .ok_or_else(|| damaged("data key of an account"))?;
        Ok(AccountKey {
            workspace: WorkspaceId::from_text(workspace),
            key: Arc::new(key),
        })
    }

    fn remember(&self, id: AccountId, key: AccountKey, deletions: u64) {
        let mut cache = self.write();
        if self.deletions.load(Ordering::SeqCst) == deletions {
            cache.accounts.insert(id, key);
        }
    }

    /// Makes an account's key within the caller's transaction. Not cached: the transaction may
    /// still fail.
    pub async fn create_account(
        &self,
        connection: &mut Connection,
        id: &AccountId,
    ) -> Result<DataKey, StorageError> {
        let owner = account_owner(id);
        let key = DataKey::generate(&owner);
        self.insert(connection, owner, &key).await?;
        Ok(key)
    }

    async fn insert(
        &self,
        connection: &mut Connection,
        owner: String,
        key: &DataKey,
    ) -> Result<(), StorageError> {
        hold_version(connection).await?;
        let (version, wrapped) = self.wrapping.wrap(key);
        // Only under the newest operator key: a host that missed a rotation must not leave keys
        // that nobody else can open.
        if newest_version(connection).await? != version {
            return Err(rotated_elsewhere());
        }
        query(
            "INSERT INTO data_key (owner, wrapped, key_version) VALUES (?, ?, ?) \
             ON CONFLICT (owner) DO NOTHING",
        )
        .bind(owner)
        .bind(wrapped)
        .bind(version)
        .execute(connection)
        .await?;
        Ok(())
    }

    pub fn wrapping(&self) -> &Wrapping {
        &self.wrapping
    }

    /// What is wrapped, under the newest operator key.
    pub fn wrap_anew(&self, owner: &str, wrapped: &[u8]) -> Result<(i64, Vec<u8>), StorageError> {
        let key = self
            .wrapping
            .unwrap(owner, wrapped)
            .ok_or_else(|| damaged("data key"))?;
        Ok(self.wrapping.wrap(&key))
    }

    /// The sealer of tokens that clients carry; none: the installation has no key for it yet.
    pub async fn tokens(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<TokenSealer>, StorageError> {
        let row = query("SELECT wrapped FROM data_key WHERE owner = ?")
            .bind(TOKENS)
            .fetch_optional(connection)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key = self.wrapping.unwrap(TOKENS, row.try_get(0)?);
        let key = key.ok_or_else(|| damaged("data key of tokens"))?;
        Ok(Some(key.token_sealer()))
    }

    /// Gives it this key, unless another host was faster.
    pub async fn make_tokens(
        &self,
        connection: &mut Connection,
        first: &DataKey,
    ) -> Result<TokenSealer, StorageError> {
        self.insert(connection, TOKENS.to_owned(), first).await?;
        let made = self.tokens(connection).await?;
        made.ok_or_else(|| damaged("data key of tokens"))
    }

    /// Destroys it within the caller's transaction; [`Self::forget_account`] follows.
    pub async fn delete_account(
        &self,
        connection: &mut Connection,
        id: &AccountId,
    ) -> Result<(), StorageError> {
        query("DELETE FROM data_key WHERE owner = ?")
            .bind(account_owner(id))
            .execute(connection)
            .await?;
        Ok(())
    }

    pub fn forget_account(&self, id: &AccountId) {
        let mut cache = self.write();
        self.deletions.fetch_add(1, Ordering::SeqCst);
        cache.accounts.remove(id);
    }

    /// None: there is no such workspace.
    pub async fn workspace(
        &self,
        connection: &mut Connection,
        id: &WorkspaceId,
    ) -> Result<Option<Arc<DataKey>>, StorageError> {
        if let Some(key) = self.read().workspaces.get(id) {
            return Ok(Some(key.clone()));
        }
        let owner = workspace_owner(id);
        let row = query("SELECT wrapped FROM data_key WHERE owner = ?")
            .bind(owner.clone())
            .fetch_optional(connection)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key = self
            .wrapping
            .unwrap(&owner, row.try_get(0)?)
            .ok_or_else(|| damaged("data key of a workspace"))?;
        let key = Arc::new(key);
        self.write().workspaces.insert(id.clone(), key.clone());
        Ok(Some(key))
    }

    /// Makes a workspace's key within the caller's transaction, if it has none.
    pub async fn ensure_workspace(
        &self,
        connection: &mut Connection,
        id: &WorkspaceId,
    ) -> Result<(), StorageError> {
        let owner = workspace_owner(id);
        let present = query("SELECT 1 FROM data_key WHERE owner = ?")
            .bind(owner.clone())
            .fetch_optional(connection)
            .await?;
        if present.is_none() {
            let key = DataKey::generate(&owner);
            self.insert(connection, owner, &key).await?;
        }
        Ok(())
    }

    /// Destroys a workspace's key within the caller's transaction; [`Self::forget_workspace`]
    /// follows.
    pub async fn delete_workspace(
        &self,
        connection: &mut Connection,
        id: &WorkspaceId,
    ) -> Result<(), StorageError> {
        query("DELETE FROM data_key WHERE owner = ?")
            .bind(workspace_owner(id))
            .execute(connection)
            .await?;
        Ok(())
    }

    pub fn forget_workspace(&self, id: &WorkspaceId) {
        self.write().workspaces.remove(id);
    }

    /// None: nothing was ever sealed with it.
    pub async fn installation(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<Arc<DataKey>>, StorageError> {
        if let Some(key) = self.read().installation.clone() {
            return Ok(Some(key));
        }
        let key = self.read_installation(connection).await?;
        self.write().installation.clone_from(&key);
        Ok(key)
    }

    async fn read_installation(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<Arc<DataKey>>, StorageError> {
        let row = query("SELECT wrapped FROM data_key WHERE owner = ?")
            .bind(INSTALLATION)
            .fetch_optional(connection)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key = self
            .wrapping
            .unwrap(INSTALLATION, row.try_get(0)?)
            .ok_or_else(|| damaged("data key of the installation"))?;
        Ok(Some(Arc::new(key)))
    }

    /// Makes it within the caller's transaction, if there is none. One that was just made is not
    /// cached: the transaction may still fail.
    pub async fn ensure_installation(
        &self,
        connection: &mut Connection,
    ) -> Result<Arc<DataKey>, StorageError> {
        if let Some(key) = self.installation(connection).await? {
            return Ok(key);
        }
        let key = DataKey::generate(INSTALLATION);
        self.insert(connection, INSTALLATION.to_owned(), &key)
            .await?;
        Ok(Arc::new(key))
    }
}

/// Until the transaction ends, the operator's key stays the one that it is. SQLite has one writer.
async fn hold_version(connection: &mut Connection) -> Result<(), StorageError> {
    if connection.is_postgres() {
        query("SELECT name FROM meta WHERE name = 'operator_check' FOR SHARE")
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Of the operator's key that the database names last; 1 until the first rotation.
pub(super) async fn newest_version(connection: &mut Connection) -> Result<i64, StorageError> {
    let row = query("SELECT value FROM meta WHERE name = 'operator_version'")
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else {
        return Ok(1);
    };
    let text: Vec<u8> = row.try_get(0)?;
    KeyRow::version_of(&text).ok_or_else(|| damaged("version of the operator key"))
}

fn rotated_elsewhere() -> StorageError {
    StorageError::Unusable(
        "the operator key was rotated by another host; give this one the new key and start it again"
            .to_owned(),
    )
}
