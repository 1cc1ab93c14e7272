//! Workspaces and API keys.

use super::SqlStore;
use super::connection::Connection;
use super::error::damaged;
use super::query::query;
use super::rows::{from_json, signed, to_json_text, unsigned};
use super::value::Row;
use crate::domain::WorkspaceId;
use crate::domain::id::ApiKeyId;
use crate::storage::{ApiKey, KeyKind, StorageError, Workspace};

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
        let row = query(
            "SELECT id, kind, workspace, name, prefix, hash, active FROM api_key WHERE hash = ?",
        )
        .bind(hash.to_vec())
        .fetch_optional(&mut connection)
        .await?;
        row.as_ref().map(api_key_of).transpose()
    }

    pub(super) async fn list_api_keys(&self) -> Result<Vec<ApiKey>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query(
            "SELECT id, kind, workspace, name, prefix, hash, active FROM api_key ORDER BY id",
        )
        .fetch_all(&mut connection)
        .await?;
        rows.iter().map(api_key_of).collect()
    }
}

async fn write_api_key_row(connection: &mut Connection, key: &ApiKey) -> Result<(), StorageError> {
    query(
        "INSERT INTO api_key (id, kind, workspace, name, prefix, hash, active) \
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, \
         workspace = excluded.workspace, name = excluded.name, prefix = excluded.prefix, \
         hash = excluded.hash, active = excluded.active",
    )
    .bind(key.id.as_str())
    .bind(kind_text(key.kind))
    .bind(key.workspace.as_ref().map(|id| id.as_str()))
    .bind(key.name.clone())
    .bind(key.prefix.clone())
    .bind(key.hash.to_vec())
    .bind(key.active)
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
    Ok(ApiKey {
        id: ApiKeyId::from_text(row.try_get::<String, _>(0)?),
        kind,
        workspace: row
            .try_get::<Option<String>, _>(2)?
            .map(WorkspaceId::from_text),
        name: row.try_get(3)?,
        prefix: row.try_get(4)?,
        hash: <[u8; 32]>::try_from(row.try_get::<&[u8], _>(5)?)
            .map_err(|_| damaged("hash of an API key"))?,
        active: row.try_get(6)?,
    })
}

fn kind_text(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Workspace => "workspace",
        KeyKind::Operator => "operator",
    }
}
