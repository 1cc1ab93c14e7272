//! Opening: the lock file, the checks that this is our database and no newer one, the operator's
//! key, the schema, and the settings of every connection.

use super::SqliteSettings;
use crate::domain::PartitionId;
use crate::storage::key::{KeyRow, Wrapping};
use crate::storage::seal::DataKey;
use crate::storage::{StorageError, instance};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// "Anyo", in the header of every database of ours.
const APPLICATION_ID: i64 = 0x416e_796f;

/// Applied in order; `user_version` counts those a database has.
pub(super) const MIGRATIONS: [&str; 7] = [
    include_str!("../../../migrations/sqlite/0001_first.sql"),
    include_str!("../../../migrations/sqlite/0002_ownership.sql"),
    include_str!("../../../migrations/sqlite/0003_admin.sql"),
    include_str!("../../../migrations/sqlite/0004_secrets.sql"),
    include_str!("../../../migrations/sqlite/0005_media.sql"),
    include_str!("../../../migrations/sqlite/0006_requests.sql"),
    include_str!("../../../migrations/sqlite/0007_avatars.sql"),
];

/// The newest schema that this host knows.
pub(in crate::storage) fn known_version() -> i64 {
    MIGRATIONS.len() as i64
}

fn unusable(text: String) -> StorageError {
    StorageError::Unusable(text)
}

/// The process's claim to the database; released when it is dropped, also by `kill -9`.
pub(super) fn lock(database: &Path) -> Result<File, StorageError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    instance::lock(&PathBuf::from(path))
}

/// SQLite makes its files with the permissions of the database's.
pub(super) fn create_private(database: &Path) -> Result<(), StorageError> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(database)
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(format!(
            "the database {} cannot be created: {error}",
            database.display()
        ))),
    }
}

/// A write beyond the process's file size limit shall fail, not kill: with a handler for SIGXFSZ
/// it does. Tokio's handlers stay for good.
pub(super) fn survive_file_size_limit() {
    const SIGXFSZ: i32 = 25;
    let kind = tokio::signal::unix::SignalKind::from_raw(SIGXFSZ);
    if let Err(error) = tokio::signal::unix::signal(kind) {
        tracing::warn!(%error, "a file size limit may end the process");
    }
}

fn options(settings: &SqliteSettings) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&settings.path)
        .create_if_missing(false)
        .foreign_keys(false)
        .busy_timeout(settings.busy_timeout)
        .disable_statement_logging()
}

pub(super) fn reader_options(settings: &SqliteSettings) -> SqliteConnectOptions {
    options(settings)
        .pragma("query_only", "ON")
        .pragma("cache_size", "-4096")
        .row_buffer_size(256)
}

/// The one connection that writes.
pub(super) async fn connect_writer(
    settings: &SqliteSettings,
    max_pages: u32,
) -> Result<SqliteConnection, sqlx::Error> {
    let options = options(settings)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // What is deleted is overwritten wherever that costs no extra input or output: keys.
        .pragma("secure_delete", "FAST")
        // Pages; larger than the default so that a busy log is copied less often.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-16384")
        .pragma("max_page_count", max_pages.to_string())
        .statement_cache_capacity(256)
        .row_buffer_size(256)
        .thread_name(|_| "anyport-sqlite".to_owned());
    SqliteConnection::connect_with(&options).await
}

/// Checks and prepares the database; the keys that wrap its data keys, and what is to seal tokens
/// if nothing does yet.
pub(super) async fn prepare(
    settings: &SqliteSettings,
) -> Result<(Wrapping, DataKey), StorageError> {
    // Looked at before anything is written: a foreign file stays as it is.
    let mut look = SqliteConnection::connect_with(&options(settings)).await?;
    let found = look_at(&mut look, &settings.path).await?;
    look.close().await?;
    let name = settings.path.display().to_string();
    let (wrapping, first) = match &found {
        Some(found) => (Wrapping::open(&settings.key, &found.keys, &name)?, None),
        None => {
            let (wrapping, row) = Wrapping::create(&settings.key)?;
            (wrapping, Some(row))
        }
    };
    let version = found.as_ref().map_or(0, |found| found.version);
    if version < MIGRATIONS.len() as i64 {
        let mut connection = connect_writer(settings, settings.max_pages).await?;
        migrate(&mut connection, version, first).await?;
        connection.close().await?;
    }
    Ok((wrapping, settings.key.token_key(found.is_none())?))
}

/// What a database of ours says of itself.
pub(super) struct Found {
    pub version: i64,
    /// The operator's keys that it names, oldest first.
    pub keys: Vec<KeyRow>,
}

/// None: it is empty. Refuses another program's and a newer one. Reads only.
pub(super) async fn look_at(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Option<Found>, StorageError> {
    let name = path.display();
    let tables = number(connection, "SELECT count(*) FROM sqlite_master").await?;
    let application = number(connection, "PRAGMA application_id").await?;
    let version = number(connection, "PRAGMA user_version").await?;
    let known = MIGRATIONS.len() as i64;
    if (tables > 0 || application != 0) && application != APPLICATION_ID {
        return Err(unusable(format!(
            "{name} is a database of another program; nothing was changed"
        )));
    }
    if version > known {
        return Err(unusable(format!(
            "{name} was written by a newer version of Anyport (schema {version}; this one knows \
             up to {known}); nothing was changed"
        )));
    }
    if application == 0 {
        return Ok(None);
    }
    let mut value = async |name: &'static str| -> Result<Option<Vec<u8>>, StorageError> {
        let row = sqlx::query("SELECT value FROM meta WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *connection)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    };
    let keys = KeyRow::of_meta(
        value("operator_check").await?,
        value("operator_check_before").await?,
        value("operator_version").await?,
    )?;
    Ok(Some(Found { version, keys }))
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, StorageError> {
    Ok(sqlx::query(sql).fetch_one(connection).await?.try_get(0)?)
}

/// `first`: the operator's key of a new database.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    from: i64,
    first: Option<KeyRow>,
) -> Result<(), StorageError> {
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await?;
    for migration in MIGRATIONS.iter().skip(from as usize) {
        sqlx::raw_sql(*migration).execute(&mut *connection).await?;
    }
    if let Some(key) = first {
        for partition in PartitionId::all() {
            sqlx::query("INSERT INTO partition (id, epoch, head) VALUES (?, 0, 0)")
                .bind(i64::from(partition.0))
                .execute(&mut *connection)
                .await?;
        }
        // `last_group`: see `commit/mod.rs`.
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('operator_check', ?), ('last_group', x'')",
        )
        .bind(key.check_value)
        .execute(&mut *connection)
        .await?;
    }
    // Both stand in the database's header and belong to the transaction.
    let header = format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
        MIGRATIONS.len()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(header))
        .execute(&mut *connection)
        .await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(())
}

pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
