//! Workspaces and API keys.

use super::SqlStore;
use super::connection::Connection;
use super::error::{damaged, not_found};
use super::query::query;
use super::rows::{from_json, signed, time, to_json_text, unsigned};
use super::state::lock_workspace;
use super::value::Row;
use crate::domain::id::ApiKeyId;
use crate::domain::key::{Permissions, PreviousHash, Rate};
use crate::domain::{AccountId, Timestamp, WorkspaceId};
use crate::storage::{ApiKey, Conflict, KeyKind, StorageError, Workspace};

macro_rules! select_key {
    ($condition:literal) => {
        concat!(
            "SELECT id, kind, workspace, name, prefix, hash, active, permissions, account, ",
            "created_at, last_used_at, expires_at, previous_hash, previous_until, ",
            "rate_per_second, rate_burst FROM api_key ",
            $condition
        )
    };
}

impl SqlStore {
    pub(super) async fn find_workspace(
        &self,
        id: &WorkspaceId,
    ) -> Result<Option<Workspace>, StorageError> {
        let mut connection = self.reader().await?;
        let row =
            query("SELECT id, name, status, metadata, account_quota FROM workspace WHERE id = ?")
                .bind(id.as_str())
                .fetch_optional(&mut connection)
                .await?;
        row.as_ref().map(workspace_of).transpose()
    }

    pub(super) async fn list_workspaces(&self) -> Result<Vec<Workspace>, StorageError> {
        let mut connection = self.reader().await?;
        let rows =
            query("SELECT id, name, status, metadata, account_quota FROM workspace ORDER BY id")
                .fetch_all(&mut connection)
                .await?;
        rows.iter().map(workspace_of).collect()
    }

    /// Makes the workspace's data key with it.
    pub(super) async fn write_workspace(&self, workspace: &Workspace) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .write_workspace_rows(&mut transaction.connection, workspace)
            .await;
        transaction.end(result).await
    }

    async fn write_workspace_rows(
        &self,
        connection: &mut Connection,
        workspace: &Workspace,
    ) -> Result<(), StorageError> {
        self.keys
            .ensure_workspace(connection, &workspace.id)
            .await?;
        query(
            "INSERT INTO workspace (id, name, status, metadata, account_quota) \
             VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
             status = excluded.status, metadata = excluded.metadata, \
             account_quota = excluded.account_quota",
        )
        .bind(workspace.id.as_str())
        .bind(workspace.name.clone())
        .bind(workspace.status.clone())
        .bind(to_json_text(&workspace.metadata)?)
        .bind(workspace.account_quota.map(signed))
        .execute(connection)
        .await?;
        Ok(())
    }

    pub(super) async fn write_api_key(&self, key: &ApiKey) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = write_api_key_row(&mut transaction.connection, key).await;
        transaction.end(result).await
    }

    pub(super) async fn find_api_key(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<ApiKey>, StorageError> {
        let mut connection = self.reader().await?;
        // By the present hash first: that one is unique.
        for statement in [
            select_key!("WHERE hash = ?"),
            select_key!("WHERE previous_hash = ?"),
        ] {
            let row = query(statement)
                .bind(hash.to_vec())
                .fetch_optional(&mut connection)
                .await?;
            if let Some(row) = row {
                return api_key_of(&row).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) async fn read_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StorageError> {
        let mut connection = self.reader().await?;
        let row = query(select_key!("WHERE id = ?"))
            .bind(id.as_str())
            .fetch_optional(&mut connection)
            .await?;
        row.as_ref().map(api_key_of).transpose()
    }

    pub(super) async fn list_api_keys(&self) -> Result<Vec<ApiKey>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query(select_key!("ORDER BY id"))
            .fetch_all(&mut connection)
            .await?;
        rows.iter().map(api_key_of).collect()
    }

    pub(super) async fn write_last_uses(
        &self,
        used: &[(ApiKeyId, Timestamp)],
    ) -> Result<(), StorageError> {
        if used.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        let result = touch_rows(&mut transaction.connection, used).await;
        transaction.end(result).await
    }

    pub(super) async fn destroy_workspace(&self, id: &WorkspaceId) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .delete_workspace_rows(&mut transaction.connection, id)
            .await;
        transaction.end(result).await?;
        self.keys.forget_workspace(id);
        Ok(())
    }

    async fn delete_workspace_rows(
        &self,
        connection: &mut Connection,
        id: &WorkspaceId,
    ) -> Result<(), StorageError> {
        // So that none is made meanwhile.
        lock_workspace(connection, id).await?;
        let accounts =
            query("SELECT 1 FROM account WHERE workspace = ? AND deleted_at IS NULL LIMIT 1")
                .bind(id.as_str())
                .fetch_optional(connection)
                .await?;
        if accounts.is_some() {
            return Err(StorageError::Conflict(Conflict::HasAccounts));
        }
        let deleted = query("DELETE FROM workspace WHERE id = ?")
            .bind(id.as_str())
            .execute(connection)
            .await?
            .rows_affected();
        if deleted == 0 {
            return Err(not_found());
        }
        query("DELETE FROM api_key WHERE workspace = ?")
            .bind(id.as_str())
            .execute(connection)
            .await?;
        query("UPDATE blob SET state = 'dying' WHERE workspace = ?")
            .bind(id.as_str())
            .execute(connection)
            .await?;
        self.keys.delete_workspace(connection, id).await
    }
}

async fn touch_rows(
    connection: &mut Connection,
    used: &[(ApiKeyId, Timestamp)],
) -> Result<(), StorageError> {
    for (id, at) in used {
        query(
            "UPDATE api_key SET last_used_at = ? WHERE id = ? \
             AND (last_used_at IS NULL OR last_used_at < ?)",
        )
        .bind(signed(at.0))
        .bind(id.as_str())
        .bind(signed(at.0))
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// `last_used_at` is not among what a conflict replaces.
async fn write_api_key_row(connection: &mut Connection, key: &ApiKey) -> Result<(), StorageError> {
    query(
        "INSERT INTO api_key (id, kind, workspace, name, prefix, hash, active, permissions, \
         account, created_at, expires_at, previous_hash, previous_until, rate_per_second, \
         rate_burst, last_used_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET \
         kind = excluded.kind, workspace = excluded.workspace, name = excluded.name, \
         prefix = excluded.prefix, hash = excluded.hash, active = excluded.active, \
         permissions = excluded.permissions, account = excluded.account, \
         created_at = excluded.created_at, expires_at = excluded.expires_at, \
         previous_hash = excluded.previous_hash, previous_until = excluded.previous_until, \
         rate_per_second = excluded.rate_per_second, rate_burst = excluded.rate_burst",
    )
    .bind(key.id.as_str())
    .bind(kind_text(key.kind))
    .bind(key.workspace.as_ref().map(|id| id.as_str()))
    .bind(key.name.clone())
    .bind(key.prefix.clone())
    .bind(key.hash.to_vec())
    .bind(key.active)
    .bind(key.permissions.to_text())
    .bind(key.account.as_ref().map(|id| id.as_str()))
    .bind(signed(key.created_at.0))
    .bind(key.expires_at.map(|at| signed(at.0)))
    .bind(key.previous.as_ref().map(|previous| previous.hash.to_vec()))
    .bind(
        key.previous
            .as_ref()
            .map(|previous| signed(previous.until.0)),
    )
    .bind(key.rate.map(|rate| i64::from(rate.per_second)))
    .bind(key.rate.map(|rate| i64::from(rate.burst)))
    .bind(key.last_used_at.map(|at| signed(at.0)))
    .execute(connection)
    .await?;
    Ok(())
}

fn workspace_of(row: &Row) -> Result<Workspace, StorageError> {
    let metadata: String = row.try_get(3)?;
    Ok(Workspace {
        id: WorkspaceId::from_text(row.try_get::<String, _>(0)?),
        name: row.try_get(1)?,
        status: row.try_get(2)?,
        metadata: from_json(metadata.as_bytes(), "metadata of a workspace")?,
        account_quota: row.try_get::<Option<i64>, _>(4)?.map(unsigned),
    })
}

fn api_key_of(row: &Row) -> Result<ApiKey, StorageError> {
    let kind = match row.try_get::<String, _>(1)?.as_str() {
        "workspace" => KeyKind::Workspace,
        "operator" => KeyKind::Operator,
        _ => return Err(damaged("kind of an API key")),
    };
    let hash =
        |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| damaged("hash of an API key"));
    let previous = match (
        row.try_get::<Option<&[u8]>, _>(12)?,
        row.try_get::<Option<i64>, _>(13)?,
    ) {
        (Some(bytes), Some(until)) => Some(PreviousHash {
            hash: hash(bytes)?,
            until: time(until),
        }),
        _ => None,
    };
    let rate = match (
        row.try_get::<Option<u32>, _>(14)?,
        row.try_get::<Option<u32>, _>(15)?,
    ) {
        (Some(per_second), Some(burst)) => Some(Rate { per_second, burst }),
        _ => None,
    };
    Ok(ApiKey {
        id: ApiKeyId::from_text(row.try_get::<String, _>(0)?),
        kind,
        workspace: row
            .try_get::<Option<String>, _>(2)?
            .map(WorkspaceId::from_text),
        name: row.try_get(3)?,
        prefix: row.try_get(4)?,
        hash: hash(row.try_get(5)?)?,
        active: row.try_get(6)?,
        permissions: Permissions::from_text(&row.try_get::<String, _>(7)?)
            .ok_or_else(|| damaged("permissions of an API key"))?,
        account: row
            .try_get::<Option<String>, _>(8)?
            .map(AccountId::from_text),
        created_at: time(row.try_get(9)?),
        last_used_at: row.try_get::<Option<i64>, _>(10)?.map(time),
        expires_at: row.try_get::<Option<i64>, _>(11)?.map(time),
        previous,
        rate,
    })
}

fn kind_text(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Workspace => "workspace",
        KeyKind::Operator => "operator",
    }
}
