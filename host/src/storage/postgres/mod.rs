//! PostgreSQL, 14 and newer: opening, its connections, its bounds on time, its errors.
//!
//! Statements that both databases understand are written once, in `storage/sql`; here stands what
//! only PostgreSQL needs. Everything of ours is in the schema `anyport`, so that a database may be
//! shared with other programs. What is plain and what is sealed is the same as in SQLite.

mod error;
mod lease;
mod link;
mod notices;
mod open;
mod server;
pub(in crate::storage) mod text;
mod url;

pub(in crate::storage) use error::meaning;
pub(in crate::storage) use lease::LENGTH;
pub(in crate::storage) use link::Link;
pub(in crate::storage) use notices::{listen, tell};
pub(in crate::storage) use open::{apply_migrations, read_marks};

pub(in crate::storage) use server::Server;
pub use url::{DatabaseUrl, UrlError};

use crate::storage::instance::Identity;
use crate::storage::key::KeySource;
use crate::storage::sql::{Backend, SqlStore};
use crate::storage::{Retention, StorageError};

/// How a database on a PostgreSQL server is opened.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    pub url: DatabaseUrl,
    pub key: KeySource,
    /// Which of the hosts on this database it is.
    pub identity: Identity,
    /// Writers that commit at once, each with a connection of its own.
    pub writers: usize,
    /// Connections for everything else, at most.
    pub shared: u32,
    /// How long what is over is kept.
    pub retention: Retention,
}

impl PostgresSettings {
    pub fn new(url: DatabaseUrl, key: KeySource) -> Self {
        Self {
            url,
            key,
            identity: Identity::of_instance(uuid::Uuid::new_v4().to_string()),
            writers: 3,
            shared: 10,
            retention: Retention::default(),
        }
    }

    /// Opens the database, and makes our schema (and the operator's key file) when it is not there
    /// yet. Refuses with [`StorageError::Unusable`] what is foreign, newer, older than PostgreSQL
    /// 14, half migrated, or sealed with another operator key.
    pub async fn open(self) -> Result<SqlStore, StorageError> {
        let server = Server::new(&self)?;
        let (wrapping, tokens) = open::prepare(&server, &self.key).await?;
        let writers = self.writers.clamp(1, 64);
        let backend = Backend::Postgres(Box::new(server));
        SqlStore::new(backend, wrapping, &tokens, self.retention, writers).await
    }
}
