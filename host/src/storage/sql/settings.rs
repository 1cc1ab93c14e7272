//! What the operator says at run time, sealed with the installation's data key.

use super::SqlStore;
use super::connection::Connection;
use super::error::damaged;
use super::query::query;
use crate::storage::StorageError;
use crate::storage::seal::Kind;

impl SqlStore {
    pub(super) async fn write_setting(
        &self,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .write_setting_row(&mut transaction.connection, name, value)
            .await;
        transaction.end(result).await
    }

    async fn write_setting_row(
        &self,
        connection: &mut Connection,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        let statement = match value {
            None => query("DELETE FROM setting WHERE name = ?").bind(name.to_owned()),
            Some(value) => {
                let key = self.keys.ensure_installation(connection).await?;
                query(
                    "INSERT INTO setting (name, value_sealed) VALUES (?, ?) \
                     ON CONFLICT (name) DO UPDATE SET value_sealed = excluded.value_sealed",
                )
                .bind(name.to_owned())
                .bind(key.seal(Kind::Setting, name.as_bytes(), value))
            }
        };
        statement.execute(connection).await?;
        Ok(())
    }

    pub(super) async fn list_settings(&self) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query("SELECT name, value_sealed FROM setting ORDER BY name")
            .fetch_all(&mut connection)
            .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let key = self
            .keys
            .installation(&mut connection)
            .await?
            .ok_or_else(|| damaged("data key of the installation"))?;
        rows.iter()
            .map(|row| {
                let name: String = row.try_get(0)?;
                let value = key
                    .open(Kind::Setting, name.as_bytes(), row.try_get(1)?)
                    .ok_or_else(|| damaged("setting of the operator"))?;
                Ok((name, value))
            })
            .collect()
    }
}
