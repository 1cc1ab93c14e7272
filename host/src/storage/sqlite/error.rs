//! What an error of the database means to callers. Never holds a value that was bound or read.

use crate::storage::{Conflict, StorageError};
use sqlx::sqlite::SqliteError;

// Primary result codes, https://sqlite.org/rescode.html
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const NOTADB: i32 = 26;
/// Errors that may go away by themselves: BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL,
/// CANTOPEN, PROTOCOL.
const PASSING: [i32; 9] = [BUSY, LOCKED, 7, 8, 9, 10, 13, 14, 15];

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database
                    .try_downcast_ref::<SqliteError>()
                    .and_then(primary_code);
                match code {
                    Some(code) if PASSING.contains(&code) => {
                        Self::Unavailable(database.message().to_owned())
                    }
                    Some(CORRUPT | NOTADB) => Self::Unusable(format!(
                        "the database is damaged or is none: {}",
                        database.message()
                    )),
                    _ => Self::Unusable(format!(
                        "the database refused a statement: {}",
                        database.message()
                    )),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            _ => Self::Unusable(format!("the database answered unexpectedly: {error}")),
        }
    }
}

fn primary_code(error: &SqliteError) -> Option<i32> {
    use sqlx::error::DatabaseError as _;
    let extended: i32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Did another process hold the lock?
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|database| database.try_downcast_ref::<SqliteError>())
        .and_then(primary_code)
        .is_some_and(|code| code == BUSY || code == LOCKED)
}

/// A row that this version cannot have written, or that was sealed by another key.
pub(super) fn damaged(what: &str) -> StorageError {
    StorageError::Unusable(format!("the database holds an unreadable {what}"))
}

pub(super) fn not_found() -> StorageError {
    StorageError::Conflict(Conflict::NotFound)
}
