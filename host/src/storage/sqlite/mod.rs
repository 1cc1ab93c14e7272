//! SQLite: WAL, synchronous=FULL, one connection that writes and a few that read.
//!
//! Owns opening, the lock file and the settings of connections; statements stand in `storage/sql`.

mod error;
mod open;

pub(in crate::storage) use error::{is_busy, meaning};
pub(super) use open::known_version;

use crate::storage::StorageError;
use crate::storage::key::KeySource;
use crate::storage::sql::{Backend, Connection, SqlStore};
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection as _, SqliteConnection};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    pub path: PathBuf,
    pub key: KeySource,
    /// How long a statement waits for another process's lock. Short: the writer retries.
    pub busy_timeout: Duration,
    /// Connections that read.
    pub readers: u32,
    /// The database refuses to grow beyond this many pages of 4 KiB, as on a full disk.
    pub max_pages: u32,
}

impl SqliteSettings {
    /// `anyport.db` in a directory, with `operator.key` beside it.
    pub fn in_directory(directory: &Path) -> Self {
        Self::new(
            directory.join("anyport.db"),
            KeySource::File(directory.join("operator.key")),
        )
    }

    pub fn new(path: PathBuf, key: KeySource) -> Self {
        Self {
            path,
            key,
            busy_timeout: open::BUSY_TIMEOUT,
            readers: 4,
            // SQLite's own limit.
            max_pages: 4_294_967_294,
        }
    }

    /// Opens the database, and makes it (and the operator's key file) when it is not there yet.
    /// The directory must exist. Refuses with [`StorageError::Unusable`] what is in use by another
    /// host, foreign, newer, or sealed with another operator key.
    pub async fn open(self) -> Result<SqlStore, StorageError> {
        let lock = open::lock(&self.path)?;
        open::survive_file_size_limit();
        open::create_private(&self.path)?;
        let operator = open::prepare(&self).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(self.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(false)
            .connect_lazy_with(open::reader_options(&self));
        let files = Files {
            readers,
            max_pages: AtomicU32::new(self.max_pages),
            owns: AtomicBool::new(false),
            settings: self,
            _lock: lock,
        };
        Ok(SqlStore::new(Backend::Sqlite(files), operator, 1))
    }
}

impl SqliteSettings {
    /// A connection that reads a database that is there, and the claim to it: no host runs on it as
    /// long as that is held. Brings its schema to this version's.
    pub(in crate::storage) async fn open_offline(
        &self,
    ) -> Result<(Connection, File), StorageError> {
        if !self.path.exists() {
            return Err(StorageError::Unusable(format!(
                "there is no database {}",
                self.path.display()
            )));
        }
        let lock = open::lock(&self.path)?;
        open::prepare(self).await?;
        let options = open::reader_options(self);
        let connection = SqliteConnection::connect_with(&options).await?;
        Ok((connection.into(), lock))
    }
}

/// An open database.
pub(in crate::storage) struct Files {
    settings: SqliteSettings,
    pub readers: SqlitePool,
    max_pages: AtomicU32,
    /// All partitions are this process's.
    owns: AtomicBool,
    /// Held as long as the store lives.
    _lock: File,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SQLite at {}", self.settings.path.display())
    }
}

impl Files {
    pub async fn connect_writer(&self) -> Result<SqliteConnection, StorageError> {
        let max_pages = self.max_pages.load(Ordering::Relaxed);
        Ok(open::connect_writer(&self.settings, max_pages).await?)
    }

    /// Was it so before?
    pub fn own(&self, owns: bool) -> bool {
        self.owns.swap(owns, Ordering::Relaxed)
    }

    pub fn owns(&self) -> bool {
        self.owns.load(Ordering::Relaxed)
    }

    /// From the next connection on; none: as it was opened.
    pub fn limit_pages(&self, pages: Option<u32>) {
        let pages = pages.unwrap_or(self.settings.max_pages);
        self.max_pages.store(pages, Ordering::Relaxed);
    }
}
