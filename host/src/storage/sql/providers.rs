//! Provider versions, their bytes, and which version new accounts get.

use super::SqlStore;
use super::connection::Connection;
use super::error::not_found;
use super::query::query;
use super::rows::{signed, time};
use crate::storage::{ProviderVersion, StorageError};

impl SqlStore {
    /// A digest that is there already keeps its row: bytes never change under a digest.
    pub(super) async fn write_provider(
        &self,
        version: &ProviderVersion,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = insert_provider(&mut transaction.connection, version, bytes).await;
        transaction.end(result).await
    }

    pub(super) async fn read_provider_bytes(
        &self,
        digest: &str,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let mut connection = self.reader().await?;
        let row = query("SELECT bytes FROM provider_version WHERE digest = ?")
            .bind(digest.to_owned())
            .fetch_optional(&mut connection)
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    /// Oldest first.
    pub(super) async fn list_provider_versions(
        &self,
    ) -> Result<Vec<ProviderVersion>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query(
            "SELECT digest, provider, version, installed_at FROM provider_version \
             ORDER BY installed_at, digest",
        )
        .fetch_all(&mut connection)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ProviderVersion {
                    digest: row.try_get(0)?,
                    provider: row.try_get(1)?,
                    version: row.try_get(2)?,
                    installed_at: time(row.try_get(3)?),
                })
            })
            .collect()
    }

    /// Refuses a digest that was not installed for this provider.
    pub(super) async fn write_current_provider(
        &self,
        provider: &str,
        digest: &str,
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = set_current(&mut transaction.connection, provider, digest).await;
        transaction.end(result).await
    }

    pub(super) async fn list_current_providers(
        &self,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query("SELECT provider, digest FROM current_provider ORDER BY provider")
            .fetch_all(&mut connection)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }
}

async fn insert_provider(
    connection: &mut Connection,
    version: &ProviderVersion,
    bytes: &[u8],
) -> Result<(), StorageError> {
    query(
        "INSERT INTO provider_version (digest, provider, version, installed_at, bytes) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(version.digest.clone())
    .bind(version.provider.clone())
    .bind(version.version.clone())
    .bind(signed(version.installed_at.0))
    .bind(bytes.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

async fn set_current(
    connection: &mut Connection,
    provider: &str,
    digest: &str,
) -> Result<(), StorageError> {
    let set = query(
        "INSERT INTO current_provider (provider, digest) \
         SELECT provider, digest FROM provider_version WHERE provider = ? AND digest = ? \
         ON CONFLICT (provider) DO UPDATE SET digest = excluded.digest",
    )
    .bind(provider.to_owned())
    .bind(digest.to_owned())
    .execute(connection)
    .await?
    .rows_affected();
    if set == 0 { Err(not_found()) } else { Ok(()) }
}
