//! What PostgreSQL's error codes mean.
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use crate::storage::StorageError;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// Classes of errors that waiting does not mend: data that does not fit (22), a broken constraint
/// (23), a statement that is none (42), a database of another shape.
const LASTING: [&str; 3] = ["22", "23", "42"];
/// Damage: data_corrupted, index_corrupted.
const DAMAGE: [&str; 2] = ["XX001", "XX002"];
/// insufficient_privilege, which the server's owner can mend while the host waits.
const PRIVILEGE: &str = "42501";

/// None: not one of PostgreSQL's, or one that lasts. Everything else passes: lost connections (08),
/// full disks and too many connections (53), restarts and cancelled statements (57), deadlocks and
/// serialization (40), locks (55), a failover to a standby that only reads (25), a server that does
/// not let us in (28, 3D), errors of the system (58) and of the server itself (XX).
pub(in crate::storage) fn meaning(error: &(dyn DatabaseError + 'static)) -> Option<StorageError> {
    let postgres = error.try_downcast_ref::<PgDatabaseError>()?;
    let code = postgres.code();
    if DAMAGE.contains(&code) {
        return Some(StorageError::Unusable(format!(
            "the database is damaged: {} ({code})",
            postgres.message()
        )));
    }
    if LASTING.iter().any(|class| code.starts_with(class)) && code != PRIVILEGE {
        return None;
    }
    Some(StorageError::Unavailable(format!(
        "{} ({code})",
        postgres.message()
    )))
}
