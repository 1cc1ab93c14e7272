//! What an error of the database means to callers. Never holds a value that was bound or read.

use crate::storage::{Conflict, StorageError, postgres, sqlite};

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => sqlite::meaning(&**database)
                .or_else(|| postgres::meaning(&**database))
                .unwrap_or_else(|| {
                    Self::Unusable(format!(
                        "the database refused a statement: {}",
                        database.message()
                    ))
                }),
            // Broken off, or what a connection says that was broken off.
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            _ => Self::Unusable(format!("the database answered unexpectedly: {error}")),
        }
    }
}

/// A row that this version cannot have written, or that was sealed by another key.
pub(in crate::storage) fn damaged(what: &str) -> StorageError {
    StorageError::Unusable(format!("the database holds an unreadable {what}"))
}

pub(in crate::storage) fn not_found() -> StorageError {
    StorageError::Conflict(Conflict::NotFound)
}
