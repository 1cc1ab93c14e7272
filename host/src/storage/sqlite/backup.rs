//! A copy of the database of a host that may be running, and a database made of such a copy.
//!
//! The copy is one snapshot: everything that was acknowledged before it began, and of each
//! partition's log a prefix. It is read like any query, beside the host's writer, and holds that
//! up in nothing but the write-ahead log, which grows until the copy is done. What was deleted is
//! not in it. Must never change the database it copies, nor leave half a file under a file's name.

use super::{SqliteSettings, open};
use crate::domain::Timestamp;
use crate::storage::StorageError;
use crate::storage::key::{KeySource, Wrapping};
use crate::storage::sql::{Connection, mark_restored};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    pub bytes: u64,
    pub events: u64,
    pub accounts: u64,
    /// Operator keys that are needed to read it: two while a rotation goes on.
    pub operator_keys: usize,
}

fn unusable(text: String) -> StorageError {
    StorageError::Unusable(text)
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// Writes the copy to `to`; one that is there is replaced only if `replace` says so.
pub async fn back_up(database: &Path, to: &Path, replace: bool) -> Result<Copied, StorageError> {
    if !database.exists() {
        return Err(unusable(format!(
            "there is no database {}",
            database.display()
        )));
    }
    if to.exists() && !replace {
        return Err(unusable(format!(
            "{} is there already; nothing was written",
            to.display()
        )));
    }
    let partial = with(to, ".partial");
    let copied = copy(database, &partial).await;
    let placed = match copied {
        Ok(copied) => place(&partial, to, replace).map(|()| copied),
        Err(error) => Err(error),
    };
    if placed.is_err() {
        let _ = fs::remove_file(&partial);
    }
    placed
}

/// Into a new private file.
async fn copy(database: &Path, to: &Path) -> Result<Copied, StorageError> {
    let mut connection = reader(database).await?;
    if open::look_at(&mut connection, database).await?.is_none() {
        return Err(unusable(format!("{} is empty", database.display())));
    }
    let _ = fs::remove_file(to);
    open::create_private(to)?;
    let name = to
        .to_str()
        .ok_or_else(|| unusable(format!("{} is not text", to.display())))?;
    sqlx::query("VACUUM INTO ?")
        .bind(name.to_owned())
        .execute(&mut connection)
        .await?;
    connection.close().await?;

    let mut copy = reader(to).await?;
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM event), \
         (SELECT count(*) FROM account WHERE deleted_at IS NULL)",
    )
    .fetch_one(&mut copy)
    .await?;
    let found = open::look_at(&mut copy, to).await?;
    copy.close().await?;
    Ok(Copied {
        bytes: fs::metadata(to).map_err(|error| of_file(to, &error))?.len(),
        events: row.try_get::<i64, _>(0)?.unsigned_abs(),
        accounts: row.try_get::<i64, _>(1)?.unsigned_abs(),
        operator_keys: found.map_or(0, |found| found.keys.len()),
    })
}

async fn reader(database: &Path) -> Result<SqliteConnection, StorageError> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .read_only(true)
        .busy_timeout(Duration::from_secs(30))
        .disable_statement_logging()
        .pragma("cache_size", "-16384");
    Ok(SqliteConnection::connect_with(&options).await?)
}

fn of_file(path: &Path, error: &io::Error) -> StorageError {
    unusable(format!("{}: {error}", path.display()))
}

/// Durable under its name.
fn place(partial: &Path, to: &Path, replace: bool) -> Result<(), StorageError> {
    let placed = || {
        File::open(partial)?.sync_all()?;
        if replace {
            fs::rename(partial, to)?;
        } else {
            // Refuses what has come there meanwhile, as a rename does not.
            fs::hard_link(partial, to)?;
            fs::remove_file(partial)?;
        }
        let directory = to.parent().filter(|path| !path.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    };
    placed().map_err(|error| of_file(to, &error))
}

/// Is this a whole copy that the key opens? Changes nothing.
pub async fn check(copy: &Path, key: &KeySource) -> Result<(), StorageError> {
    let name = copy.display();
    if !copy.exists() {
        return Err(unusable(format!("there is no file {name}")));
    }
    let mut connection = reader(copy).await?;
    let found = open::look_at(&mut connection, copy)
        .await?
        .ok_or_else(|| unusable(format!("{name} is no backup: it is empty")))?;
    let integrity: String = sqlx::query("PRAGMA integrity_check(1)")
        .fetch_one(&mut connection)
        .await?
        .try_get(0)?;
    if integrity != "ok" {
        return Err(unusable(format!("{name} is damaged: {integrity}")));
    }
    let wrapping = Wrapping::open(key, &found.keys, &name.to_string())?;
    let rows = sqlx::query("SELECT owner, wrapped FROM data_key")
        .fetch_all(&mut connection)
        .await?;
    for row in rows {
        let owner: &str = row.try_get(0)?;
        if wrapping.unwrap(owner, row.try_get(1)?).is_none() {
            return Err(unusable(format!(
                "{name} is damaged: the data key of {owner} does not open"
            )));
        }
    }
    connection.close().await?;
    Ok(())
}

/// Makes the database of `settings` of a copy, marked as one. Refuses where a database is already
/// or a host runs. The database is there whole or not at all.
pub async fn restore(
    copy_file: &Path,
    settings: &SqliteSettings,
    at: Timestamp,
) -> Result<Copied, StorageError> {
    check(copy_file, &settings.key).await?;
    let _lock = open::lock(&settings.path)?;
    if settings.path.exists() {
        return Err(unusable(format!(
            "{} is there already: a restore needs an empty directory; nothing was changed",
            settings.path.display()
        )));
    }
    let partial = with(&settings.path, ".restoring");
    let restored = async {
        let copied = copy(copy_file, &partial).await?;
        mark(&partial, settings, at).await?;
        place(&partial, &settings.path, false)?;
        Ok(copied)
    };
    let restored = restored.await;
    if restored.is_err() {
        let _ = fs::remove_file(&partial);
    }
    restored
}

/// On a file that nobody else knows: no write-ahead log is needed.
async fn mark(
    partial: &Path,
    settings: &SqliteSettings,
    at: Timestamp,
) -> Result<(), StorageError> {
    let options = SqliteConnectOptions::new()
        .filename(partial)
        .foreign_keys(false)
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let found = open::look_at(&mut connection, partial)
        .await?
        .ok_or_else(|| unusable("the copy is empty".to_owned()))?;
    Wrapping::open(&settings.key, &found.keys, "the copy")?;
    if found.version < open::MIGRATIONS.len() as i64 {
        open::migrate(&mut connection, found.version, None).await?;
    }
    let mut connection = Connection::from(connection);
    connection.run("BEGIN IMMEDIATE").await?;
    mark_restored(&mut connection, at).await?;
    connection.run("COMMIT").await?;
    connection.close().await;
    Ok(())
}
