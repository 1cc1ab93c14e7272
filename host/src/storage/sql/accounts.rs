//! Accounts: made, read, changed, destroyed.

use super::SqlStore;
use super::commit::write_secret;
use super::connection::{Backend, Connection};
use super::error::{damaged, not_found};
use super::query::query;
use super::rows::{from_json, from_word, partition, signed, time, to_json, to_json_text, unsigned};
use super::state::{lock_partition, lock_workspace};
use super::value::Row;
use crate::domain::account::{Account, Profile, Proxy, ProxyKind};
use crate::domain::chat::Avatar;
use crate::domain::{AccountId, SecretBytes, Timestamp, WorkspaceId};
use crate::storage::seal::{DataKey, Kind};
use crate::storage::{AccountUpdate, Conflict, SecretWrite, StorageError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use zeroize::Zeroizing;

macro_rules! select_account {
    ($condition:literal) => {
        concat!(
            "SELECT account.id, account.workspace, account.partition, account.name, ",
            "account.provider, account.provider_alias, account.region, account.status, ",
            "account.auth_mode, account.metadata, account.config_sealed, account.proxy_sealed, ",
            "account.profile_sealed, account.last_error_sealed, account.provider_account_ref, ",
            "account.auth_status, account.wanted, account.provider_digest, account.turn_seq, ",
            "account.kv_bytes, account.created_at, account.clock_at, data_key.wrapped ",
            "FROM account JOIN data_key ON data_key.owner = 'account:' || account.id ",
            "WHERE account.deleted_at IS NULL ",
            $condition
        )
    };
}

/// A proxy as it is sealed.
#[derive(Serialize, Deserialize)]
struct SealedProxy<'a> {
    kind: ProxyKind,
    host: Cow<'a, str>,
    port: u16,
    username: Option<Cow<'a, str>>,
    password: Option<Cow<'a, str>>,
}

fn seal_proxy(key: &DataKey, proxy: &Proxy) -> Result<Vec<u8>, StorageError> {
    let password = proxy.password.as_ref();
    let plain = Zeroizing::new(to_json(&SealedProxy {
        kind: proxy.kind,
        host: Cow::Borrowed(&proxy.host),
        port: proxy.port,
        username: proxy.username.as_deref().map(Cow::Borrowed),
        password: password.map(|secret| Cow::Borrowed(secret.expose())),
    })?);
    Ok(key.seal(Kind::Proxy, b"", &plain))
}

impl SealedProxy<'_> {
    fn opened(self) -> Proxy {
        Proxy {
            kind: self.kind,
            host: self.host.into_owned(),
            port: self.port,
            username: self.username.map(Cow::into_owned),
            password: self.password.map(|text| text.into_owned().into()),
        }
    }
}

/// A profile as it is sealed: with its picture, which clients do not get like this.
#[derive(Serialize, Deserialize)]
struct SealedProfile<'a> {
    #[serde(flatten)]
    profile: Cow<'a, Profile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    avatar: Option<Cow<'a, Avatar>>,
}

pub(super) fn profile_json(profile: &Profile) -> Result<Vec<u8>, StorageError> {
    to_json(&SealedProfile {
        profile: Cow::Borrowed(profile),
        avatar: profile.avatar.as_ref().map(Cow::Borrowed),
    })
}

impl SealedProfile<'_> {
    fn opened(self) -> Profile {
        Profile {
            avatar: self.avatar.map(Cow::into_owned),
            ..self.profile.into_owned()
        }
    }
}

impl SqlStore {
    pub(super) async fn insert_account(
        &self,
        account: &Account,
        secrets: &[SecretWrite],
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .insert_account_rows(&mut transaction.connection, account, secrets)
            .await;
        transaction.end(result).await
    }

    async fn insert_account_rows(
        &self,
        connection: &mut Connection,
        account: &Account,
        secrets: &[SecretWrite],
    ) -> Result<(), StorageError> {
        lock_workspace(connection, &account.workspace).await?;
        let workspace = query(
            "SELECT account_quota, (SELECT count(*) FROM account \
             WHERE workspace = workspace.id AND deleted_at IS NULL) FROM workspace WHERE id = ?",
        )
        .bind(account.workspace.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or_else(not_found)?;
        let quota: Option<i64> = workspace.try_get(0)?;
        if quota.is_some_and(|quota| workspace.try_get(1).is_ok_and(|used: i64| used >= quota)) {
            return Err(StorageError::Conflict(Conflict::Quota));
        }
        refuse_double_identity(
            connection,
            &account.id,
            &account.workspace,
            &account.provider,
            account.provider_account_ref.as_deref(),
        )
        .await?;

        let key = self.keys.create_account(connection, &account.id).await?;
        let proxy = match &account.proxy {
            Some(proxy) => Some(seal_proxy(&key, proxy)?),
            None => None,
        };
        let last_error = account
            .last_error
            .as_ref()
            .map(|text| key.seal(Kind::LastError, b"", text.as_bytes()));
        query(
            "INSERT INTO account (id, workspace, partition, name, provider, provider_alias, \
             region, status, auth_mode, metadata, config_sealed, proxy_sealed, profile_sealed, \
             last_error_sealed, provider_account_ref, auth_status, wanted, provider_digest, \
             turn_seq, kv_bytes, created_at, clock_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(account.id.as_str())
        .bind(account.workspace.as_str())
        .bind(i64::from(account.partition.0))
        .bind(account.name.clone())
        .bind(account.provider.clone())
        .bind(account.provider_alias.clone())
        .bind(account.region.clone())
        .bind(account.status.clone())
        .bind(account.auth_mode.clone())
        .bind(to_json_text(&account.metadata)?)
        .bind(key.seal(Kind::Config, b"", &to_json(&account.config)?))
        .bind(proxy)
        .bind(key.seal(Kind::Profile, b"", &profile_json(&account.profile)?))
        .bind(last_error)
        .bind(account.provider_account_ref.clone())
        .bind(account.auth_status.durable().as_str())
        .bind(account.wanted)
        .bind(account.provider_digest.clone())
        .bind(signed(account.turn_seq))
        .bind(signed(account.kv_bytes))
        .bind(signed(account.created_at.0))
        .bind(signed(account.clock_at.0))
        .execute(connection)
        .await?;
        for secret in secrets {
            let value = secret.value.as_ref().map(SecretBytes::expose);
            write_secret(connection, &account.id, &key, &secret.name, value).await?;
        }
        Ok(())
    }

    pub(super) async fn find_account(
        &self,
        workspace: &WorkspaceId,
        id: &AccountId,
    ) -> Result<Option<Account>, StorageError> {
        let mut connection = self.reader().await?;
        let account = self.read_account(&mut connection, id).await?;
        Ok(account.filter(|account| account.workspace == *workspace))
    }

    async fn read_account(
        &self,
        connection: &mut Connection,
        id: &AccountId,
    ) -> Result<Option<Account>, StorageError> {
        let row = query(select_account!("AND account.id = ?"))
            .bind(id.as_str())
            .fetch_optional(connection)
            .await?;
        row.map(|row| self.account_of(&row)).transpose()
    }

    /// Of one workspace, or all; oldest first.
    pub(super) async fn list_accounts(
        &self,
        workspace: Option<&WorkspaceId>,
    ) -> Result<Vec<Account>, StorageError> {
        let mut connection = self.reader().await?;
        let query = match workspace {
            Some(workspace) => query(select_account!(
                "AND account.workspace = ? ORDER BY account.created_at, account.id"
            ))
            .bind(workspace.as_str()),
            None => query(select_account!("ORDER BY account.created_at, account.id")),
        };
        let rows = query.fetch_all(&mut connection).await?;
        rows.iter().map(|row| self.account_of(row)).collect()
    }

    /// Of whatever workspace.
    pub(super) async fn read_accounts_by_ref(
        &self,
        provider: &str,
        reference: &str,
    ) -> Result<Vec<Account>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query(select_account!(
            "AND account.provider_account_ref = ? AND account.provider = ? \
             AND account.deleting_at IS NULL ORDER BY account.id"
        ))
        .bind(reference.to_owned())
        .bind(provider.to_owned())
        .fetch_all(&mut connection)
        .await?;
        rows.iter().map(|row| self.account_of(row)).collect()
    }

    fn account_of(&self, row: &Row) -> Result<Account, StorageError> {
        let id = AccountId::from_text(row.try_get::<String, _>(0)?);
        let key = self
            .keys
            .unwrap_account(&id, row.try_get(1)?, row.try_get(22)?)?;
        let last_error = match row.try_get::<Option<&[u8]>, _>(13)? {
            Some(sealed) => Some(open_text(&key.key, Kind::LastError, sealed)?),
            None => None,
        };
        let metadata: String = row.try_get(9)?;
        Ok(Account {
            id,
            workspace: key.workspace,
            partition: partition(row.try_get(2)?)?,
            name: row.try_get(3)?,
            provider: row.try_get(4)?,
            provider_alias: row.try_get(5)?,
            region: row.try_get(6)?,
            status: row.try_get(7)?,
            auth_mode: row.try_get(8)?,
            metadata: from_json(metadata.as_bytes(), "metadata of an account")?,
            config: open_json(&key.key, Kind::Config, row.try_get(10)?)?
                .unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new())),
            proxy: open_json::<SealedProxy<'static>>(&key.key, Kind::Proxy, row.try_get(11)?)?
                .map(SealedProxy::opened),
            provider_account_ref: row.try_get(14)?,
            profile: open_json::<SealedProfile<'static>>(
                &key.key,
                Kind::Profile,
                row.try_get(12)?,
            )?
            .map(SealedProfile::opened)
            .unwrap_or_default(),
            auth_status: from_word(row.try_get(15)?, "auth status")?,
            last_error,
            wanted: row.try_get(16)?,
            provider_digest: row.try_get(17)?,
            turn_seq: unsigned(row.try_get(18)?),
            kv_bytes: unsigned(row.try_get(19)?),
            created_at: time(row.try_get(20)?),
            clock_at: time(row.try_get(21)?),
        })
    }

    pub(super) async fn change_account(
        &self,
        id: &AccountId,
        update: &AccountUpdate,
        secrets: &[SecretWrite],
    ) -> Result<Account, StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .change_account_rows(&mut transaction.connection, id, update, secrets)
            .await;
        transaction.end(result).await
    }

    async fn change_account_rows(
        &self,
        connection: &mut Connection,
        id: &AccountId,
        update: &AccountUpdate,
        secrets: &[SecretWrite],
    ) -> Result<Account, StorageError> {
        let mut before = self
            .read_account(connection, id)
            .await?
            .ok_or_else(not_found)?;
        if connection.is_postgres() {
            if update.provider_account_ref.is_some() {
                lock_workspace(connection, &before.workspace).await?;
            }
            lock_partition(connection, before.partition).await?;
            before = self
                .read_account(connection, id)
                .await?
                .ok_or_else(not_found)?;
        }
        let key = self
            .keys
            .account(connection, id)
            .await?
            .ok_or_else(not_found)?
            .key;
        if let Some(identity) = &update.provider_account_ref {
            refuse_double_identity(
                connection,
                id,
                &before.workspace,
                &before.provider,
                identity.as_deref(),
            )
            .await?;
        }
        let metadata = update.metadata.as_ref().map(to_json_text).transpose()?;
        let config = update.config.as_ref().map(to_json).transpose()?;
        let proxy = match &update.proxy {
            Some(Some(proxy)) => Some(seal_proxy(&key, proxy)?),
            _ => None,
        };
        query(
            "UPDATE account SET name = coalesce(?, name), status = coalesce(?, status), \
             auth_mode = coalesce(?, auth_mode), metadata = coalesce(?, metadata), \
             config_sealed = coalesce(?, config_sealed), \
             proxy_sealed = CASE WHEN ? = 1 THEN ? ELSE proxy_sealed END, \
             provider_account_ref = CASE WHEN ? = 1 THEN ? ELSE provider_account_ref END \
             WHERE id = ?",
        )
        .bind(update.name.clone())
        .bind(update.status.clone())
        .bind(update.auth_mode.clone())
        .bind(metadata)
        .bind(config.map(|config| key.seal(Kind::Config, b"", &config)))
        .bind(update.proxy.is_some())
        .bind(proxy)
        .bind(update.provider_account_ref.is_some())
        .bind(update.provider_account_ref.clone().flatten())
        .bind(id.as_str())
        .execute(connection)
        .await?;
        for secret in secrets {
            let value = secret.value.as_ref().map(SecretBytes::expose);
            write_secret(connection, id, &key, &secret.name, value).await?;
        }
        self.read_account(connection, id)
            .await?
            .ok_or_else(not_found)
    }

    pub(super) async fn mark_deleting(&self, id: &AccountId) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = query(
            "UPDATE account SET deleting_at = coalesce(deleting_at, ?) \
             WHERE id = ? AND deleted_at IS NULL",
        )
        .bind(signed(Timestamp::now().0))
        .bind(id.as_str())
        .execute(&mut transaction.connection)
        .await
        .and_then(|done| match done.rows_affected() {
            0 => Err(not_found()),
            _ => Ok(()),
        });
        transaction.end(result).await
    }

    pub(super) async fn list_deleting(&self) -> Result<Vec<AccountId>, StorageError> {
        let mut connection = self.reader().await?;
        let rows =
            query("SELECT id FROM account WHERE deleting_at IS NOT NULL AND deleted_at IS NULL")
                .fetch_all(&mut connection)
                .await?;
        rows.iter()
            .map(|row| Ok(AccountId::from_text(row.try_get::<String, _>(0)?)))
            .collect()
    }

    /// The row stays as a mark that the id was used; deleting it again is no error. What else it
    /// leaves cannot be read without its key, and `maintain` removes it.
    pub(super) async fn destroy_account(&self, id: &AccountId) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .destroy_account_rows(&mut transaction.connection, id)
            .await;
        transaction.end(result).await?;
        self.keys.forget_account(id);
        if matches!(self.backend, Backend::Sqlite(_)) {
            // Older pages of the write-ahead log may still hold the key.
            self.writer(0).lock().await.truncate_log().await;
        }
        Ok(())
    }

    async fn destroy_account_rows(
        &self,
        connection: &mut Connection,
        id: &AccountId,
    ) -> Result<(), StorageError> {
        let now = signed(Timestamp::now().0);
        let partition_of = query("SELECT partition FROM account WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(connection)
            .await?
            .ok_or_else(not_found)?;
        lock_partition(connection, partition(partition_of.try_get(0)?)?).await?;
        let found = query(
            "UPDATE account SET deleted_at = coalesce(deleted_at, ?), name = '', metadata = '{}', \
             config_sealed = NULL, proxy_sealed = NULL, profile_sealed = NULL, \
             last_error_sealed = NULL, provider_account_ref = NULL, wanted = 0, kv_bytes = 0 \
             WHERE id = ?",
        )
        .bind(now)
        .bind(id.as_str())
        .execute(connection)
        .await?
        .rows_affected();
        if found == 0 {
            return Err(not_found());
        }
        self.keys.delete_account(connection, id).await?;
        query(
            "UPDATE send SET settled_at = ?, \
             state = CASE state WHEN 'recorded' THEN 'failed' ELSE 'unknown' END \
             WHERE account = ? AND state IN ('recorded', 'dispatched')",
        )
        .bind(now)
        .bind(id.as_str())
        .execute(connection)
        .await?;
        Ok(())
    }
}

async fn refuse_double_identity(
    connection: &mut Connection,
    id: &AccountId,
    workspace: &WorkspaceId,
    provider: &str,
    identity: Option<&str>,
) -> Result<(), StorageError> {
    let Some(identity) = identity else {
        return Ok(());
    };
    let other = query(
        "SELECT 1 FROM account WHERE provider_account_ref = ? AND workspace = ? AND provider = ? \
         AND id <> ? AND deleted_at IS NULL",
    )
    .bind(identity.to_owned())
    .bind(workspace.as_str())
    .bind(provider.to_owned())
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    match other {
        Some(_) => Err(StorageError::Conflict(Conflict::DuplicateIdentity)),
        None => Ok(()),
    }
}

fn open_json<T: DeserializeOwned>(
    key: &DataKey,
    kind: Kind,
    sealed: Option<&[u8]>,
) -> Result<Option<T>, StorageError> {
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let plain = key
        .open(kind, b"", sealed)
        .ok_or_else(|| damaged("part of an account"))?;
    from_json(&plain, "part of an account").map(Some)
}

fn open_text(key: &DataKey, kind: Kind, sealed: &[u8]) -> Result<String, StorageError> {
    key.open(kind, b"", sealed)
        .and_then(|plain| String::from_utf8(plain).ok())
        .ok_or_else(|| damaged("part of an account"))
}
