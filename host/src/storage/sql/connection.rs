//! A connection to either database, and where it comes from.

use super::SqlStore;
use crate::storage::StorageError;
use crate::storage::postgres::{self, Link};
use crate::storage::sqlite;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};
use std::time::Duration;
use tokio::time::timeout;

/// The database that a store stands on.
pub(in crate::storage) enum Backend {
    Sqlite(sqlite::Files),
    Postgres(Box<postgres::Server>),
}

pub(in crate::storage) struct Connection(Kind);

/// A transaction could not begin.
pub(super) struct NotBegun {
    pub error: StorageError,
    /// Only a lock was in the way: the connection can be used again.
    pub usable: bool,
}

enum Kind {
    Sqlite(Box<SqliteConnection>),
    SqliteReader(PoolConnection<Sqlite>),
    Postgres(Link),
}

/// What runs a statement.
pub(in crate::storage) enum Database<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut Link),
}

impl From<SqliteConnection> for Connection {
    fn from(connection: SqliteConnection) -> Self {
        Self(Kind::Sqlite(Box::new(connection)))
    }
}

impl From<PoolConnection<Sqlite>> for Connection {
    fn from(connection: PoolConnection<Sqlite>) -> Self {
        Self(Kind::SqliteReader(connection))
    }
}

impl From<Link> for Connection {
    fn from(link: Link) -> Self {
        Self(Kind::Postgres(link))
    }
}

impl Connection {
    pub fn database(&mut self) -> Database<'_> {
        match &mut self.0 {
            Kind::Sqlite(connection) => Database::Sqlite(connection),
            Kind::SqliteReader(connection) => Database::Sqlite(connection),
            Kind::Postgres(link) => Database::Postgres(link),
        }
    }

    /// For what only PostgreSQL is asked.
    pub fn postgres(&mut self) -> Result<&mut Link, StorageError> {
        match &mut self.0 {
            Kind::Postgres(link) => Ok(link),
            _ => Err(StorageError::Unusable(
                "SQLite was asked for what only PostgreSQL does".to_owned(),
            )),
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.0, Kind::Postgres(_))
    }

    /// Statements without parameters and without rows: transactions, settings, schemas.
    pub async fn run(&mut self, sql: &str) -> Result<(), StorageError> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &mut self.0 {
            Kind::Sqlite(connection) => sql.execute(&mut **connection).await.map(|_| ())?,
            Kind::SqliteReader(connection) => sql.execute(&mut **connection).await.map(|_| ())?,
            Kind::Postgres(link) => {
                let (connection, bound) = link.start()?;
                let result = timeout(bound, sql.execute(connection)).await;
                link.finish(result)?;
            }
        }
        Ok(())
    }

    /// How long a statement may take until its connection is given up. SQLite has a bound of its
    /// own, which is on locks.
    pub fn set_bound(&mut self, bound: Duration) {
        if let Kind::Postgres(link) = &mut self.0 {
            link.set_bound(bound);
        }
    }

    pub(super) async fn begin(&mut self) -> Result<(), NotBegun> {
        let result = match &mut self.0 {
            Kind::Postgres(link) => {
                link.enter();
                self.run("BEGIN").await
            }
            Kind::Sqlite(connection) => {
                let sql = sqlx::raw_sql("BEGIN IMMEDIATE");
                match sql.execute(&mut **connection).await {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        let usable = sqlite::is_busy(&error);
                        let error = error.into();
                        return Err(NotBegun { error, usable });
                    }
                }
            }
            Kind::SqliteReader(_) => Err(StorageError::Unusable(
                "a connection that reads was asked to write".to_owned(),
            )),
        };
        result.map_err(|error| NotBegun {
            error,
            usable: false,
        })
    }

    pub(super) async fn commit(&mut self) -> Result<(), StorageError> {
        self.run("COMMIT").await?;
        self.leave();
        Ok(())
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), StorageError> {
        self.run("ROLLBACK").await?;
        self.leave();
        Ok(())
    }

    fn leave(&mut self) {
        if let Kind::Postgres(link) = &mut self.0 {
            link.leave();
        }
    }

    /// Ends it. SQLite is waited for, so that its lock is gone before the next one begins; the
    /// socket of a server is dropped, since a server that is away would not answer.
    pub(in crate::storage) async fn close(self) {
        use sqlx::Connection as _;
        if let Kind::Sqlite(connection) = self.0
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "a broken connection to the database did not close cleanly");
        }
    }
}

impl SqlStore {
    /// A connection that only reads.
    pub(in crate::storage) async fn reader(&self) -> Result<Connection, StorageError> {
        match &self.backend {
            Backend::Sqlite(files) => Ok(files.readers.acquire().await?.into()),
            Backend::Postgres(server) => Ok(server.shared().await?.into()),
        }
    }
}
