//! The database that is moved to: made, taken up again, and marked as finished.

use super::tables::Table;
use crate::storage::StorageError;
use crate::storage::postgres::{self, PostgresSettings, Server};
use crate::storage::sql::{Connection, query};
use std::time::Duration;

pub(super) struct Target {
    pub connection: Connection,
}

/// Held by the one migration into a database. "Anyport" and one.
const MIGRATION_LOCK: i64 = 0x0041_6e79_706f_7275;
/// A chunk or a count may take long.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Names in `meta`.
pub(super) const UNFINISHED: &str = "migrating";
pub(super) const REACHED: &str = "migrated:";

impl Target {
    /// Refuses a database in which another installation lives, or this one already.
    /// `marks`: what else the source says of itself in `meta`.
    pub async fn open(
        settings: &PostgresSettings,
        identity: &[u8],
        marks: &[(String, Vec<u8>)],
    ) -> Result<Self, StorageError> {
        let server = Server::new(settings)?;
        let name = server.name();
        let mut connection = Connection::from(server.connect().await?);
        connection.set_bound(PATIENCE);
        connection
            .run("SET statement_timeout TO 0; SET idle_in_transaction_session_timeout TO 0")
            .await?;
        let locked: i64 =
            query("SELECT (CASE WHEN pg_try_advisory_lock(?) THEN 1 ELSE 0 END)::bigint")
                .bind(MIGRATION_LOCK)
                .fetch_one(&mut connection)
                .await?
                .try_get(0)?;
        if locked == 0 {
            return Err(StorageError::Unusable(format!(
                "another migration into {name} is running"
            )));
        }
        connection.run("BEGIN").await?;
        let refused = |why: &str| Err(StorageError::Unusable(format!("{name} {why}")));
        match postgres::read_marks(&mut connection, &name).await? {
            Some(marks) if marks.operator_check != identity => {
                return refused("holds another installation; nothing was changed");
            }
            Some(marks) if !marks.unfinished => {
                return refused("holds this installation already; nothing was changed");
            }
            Some(marks) => postgres::apply_migrations(&mut connection, marks.version).await?,
            None => {
                connection
                    .run("CREATE SCHEMA IF NOT EXISTS anyport")
                    .await?;
                postgres::apply_migrations(&mut connection, 0).await?;
                let own = [("operator_check", identity), (UNFINISHED, b"".as_slice())];
                let marks = marks
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_slice()));
                for (name, value) in own.into_iter().chain(marks) {
                    query("INSERT INTO meta (name, value) VALUES (?, ?)")
                        .bind(name)
                        .bind(value.to_vec())
                        .execute(&mut connection)
                        .await?;
                }
            }
        }
        connection.run("COMMIT").await?;
        Ok(Self { connection })
    }

    /// From now on hosts may start on it.
    pub async fn finish(mut self, tables: &[Table]) -> Result<(), StorageError> {
        let connection = &mut self.connection;
        connection.run("BEGIN").await?;
        for table in tables {
            let Some(counted) = table.counted else {
                continue;
            };
            let column = &table.columns[counted];
            query(format!(
                "SELECT setval(pg_get_serial_sequence('anyport.' || quote_ident(?), ?), \
                 coalesce((SELECT max({column}) FROM \"{table}\"), 0) + 1, false)",
                column = column.quoted(),
                table = table.name
            ))
            .bind(table.name.as_str())
            .bind(column.name.as_str())
            .execute(connection)
            .await?;
        }
        query("DELETE FROM meta WHERE name = ? OR name LIKE ?")
            .bind(UNFINISHED)
            .bind(format!("{REACHED}%"))
            .execute(connection)
            .await?;
        connection.run("COMMIT; ANALYZE").await
    }
}
