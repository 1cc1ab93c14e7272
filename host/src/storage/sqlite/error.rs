//! What SQLite's error codes mean. <https://sqlite.org/rescode.html>

use crate::storage::StorageError;
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const NOTADB: i32 = 26;
/// Errors that may go away by themselves: BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL,
/// CANTOPEN, PROTOCOL.
const PASSING: [i32; 9] = [BUSY, LOCKED, 7, 8, 9, 10, 13, 14, 15];

/// None: not one of SQLite's, or none that is known.
pub(in crate::storage) fn meaning(error: &(dyn DatabaseError + 'static)) -> Option<StorageError> {
    let sqlite = error.try_downcast_ref::<SqliteError>()?;
    match primary_code(sqlite)? {
        code if PASSING.contains(&code) => {
            Some(StorageError::Unavailable(error.message().to_owned()))
        }
        CORRUPT | NOTADB => Some(StorageError::Unusable(format!(
            "the database is damaged or is none: {}",
            error.message()
        ))),
        _ => None,
    }
}

fn primary_code(error: &SqliteError) -> Option<i32> {
    let extended: i32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Did another process hold the lock?
pub(in crate::storage) fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|database| database.try_downcast_ref::<SqliteError>())
        .and_then(primary_code)
        .is_some_and(|code| code == BUSY || code == LOCKED)
}
