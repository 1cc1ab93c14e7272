//! Moving an installation from SQLite to PostgreSQL, offline: table by table, in chunks that are
//! committed together with how far they reach, so that a migration that was broken off goes on where
//! it was. The target says that it is unfinished until counts and digests of all tables have been
//! compared; no host starts on it before.
//!
//! Which tables and columns there are is what the target's catalog says, so a table that a later
//! schema brings needs nothing here. Sealed values are copied as they are: the operator's key stays
//! the same. Must never hold more than a chunk in memory, change the source, or write into a target
//! that holds another installation.

mod copy;
mod tables;
mod target;

use self::tables::Table;
use self::target::Target;
use super::StorageError;
use super::postgres::PostgresSettings;
use super::sql::{Connection, query};
use super::sqlite::SqliteSettings;

/// How far it is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many rows of a table are in the target now.
    Copied { table: String, rows: u64 },
    /// A table is the same in both, by count and digest.
    Checked { table: String, rows: u64 },
}

/// Moves everything. `told` hears of every chunk.
pub async fn migrate(
    from: SqliteSettings,
    to: PostgresSettings,
    mut told: impl FnMut(Progress) + Send,
) -> Result<(), StorageError> {
    let (mut source, _lock) = from.open_offline().await?;
    let identity = identity(&mut source).await?;
    let marks = marks(&mut source).await?;
    let mut target = Target::open(&to, &identity, &marks).await?;
    let tables = tables::shared(&mut source, &mut target.connection).await?;
    for table in &tables {
        let mut rows = copy::copied(&mut target, table).await?;
        while let Some(count) = copy::chunk(&mut source, &mut target, table, rows).await? {
            rows = count;
            told(Progress::Copied {
                table: table.name.clone(),
                rows,
            });
        }
    }
    for table in &tables {
        let rows = compare(&mut source, &mut target.connection, table).await?;
        told(Progress::Checked {
            table: table.name.clone(),
            rows,
        });
    }
    target.finish(&tables).await
}

/// Random bytes that every installation is made with.
async fn identity(source: &mut Connection) -> Result<Vec<u8>, StorageError> {
    query("SELECT value FROM meta WHERE name = 'operator_check'")
        .fetch_one(source)
        .await?
        .try_get(0)
}

/// What else the installation says of itself. The operator's key must be one: two are in force
/// while it is rotated.
async fn marks(source: &mut Connection) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
    let rows = query(
        "SELECT name, value FROM meta WHERE name IN \
         ('operator_version', 'operator_check_before', 'restored')",
    )
    .fetch_all(source)
    .await?;
    let mut marks = Vec::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        if name == "operator_check_before" {
            return Err(StorageError::Unusable(
                "the operator key is being rotated: start the host once more, let it end, and \
                 migrate then"
                    .to_owned(),
            ));
        }
        marks.push((name, row.try_get(1)?));
    }
    Ok(marks)
}

async fn compare(
    source: &mut Connection,
    target: &mut Connection,
    table: &Table,
) -> Result<u64, StorageError> {
    let there = copy::digest(source, table).await?;
    let here = copy::digest(target, table).await?;
    if there == here {
        return Ok(here.0);
    }
    Err(StorageError::Unusable(format!(
        "the table `{}` differs after it was copied ({} rows in SQLite, {} in PostgreSQL); the \
         target stays unfinished",
        table.name, there.0, here.0
    )))
}
