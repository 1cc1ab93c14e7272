//! One connection to the server, and the few that are shared by whoever reads or changes something
//! beside the writers. A statement that does not end within its bound gives its connection up: a
//! server that vanished says nothing, and TCP would wait for a quarter of an hour.

use super::server::Shared;
use crate::storage::StorageError;
use sqlx::PgConnection;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::error::Elapsed;

/// Longer than the server's own bound on a statement, which says more when it fires.
const BOUND: Duration = Duration::from_secs(15);

pub(in crate::storage) struct Link {
    /// None when it was given up.
    connection: Option<PgConnection>,
    /// A statement was begun and not seen to end, or a transaction is open: nobody else may have
    /// this connection.
    busy: bool,
    in_transaction: bool,
    bound: Duration,
    /// Where it goes back to.
    home: Option<(Arc<Shared>, OwnedSemaphorePermit)>,
}

impl Link {
    pub fn new(connection: PgConnection) -> Self {
        Self {
            connection: Some(connection),
            busy: false,
            in_transaction: false,
            bound: BOUND,
            home: None,
        }
    }

    /// It goes back there when it is dropped.
    pub(super) fn into_shared(mut self, shared: Arc<Shared>, permit: OwnedSemaphorePermit) -> Self {
        self.home = Some((shared, permit));
        self
    }

    /// For the statement that is about to be run, within this bound.
    pub fn start(&mut self) -> Result<(&mut PgConnection, Duration), StorageError> {
        self.busy = true;
        match &mut self.connection {
            Some(connection) => Ok((connection, self.bound)),
            None => Err(StorageError::Unavailable(
                "the connection to the database was given up".to_owned(),
            )),
        }
    }

    /// What the statement gave, or that it took too long. After an error of the server the
    /// connection can go on; after any other it cannot.
    pub fn finish<T>(
        &mut self,
        result: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, StorageError> {
        match result {
            Ok(Ok(value)) => {
                self.busy = false;
                Ok(value)
            }
            Ok(Err(error)) => {
                match &error {
                    sqlx::Error::Database(database) if !ends_session(&**database) => {
                        self.busy = false;
                    }
                    _ => self.connection = None,
                }
                Err(error.into())
            }
            Err(_) => {
                self.connection = None;
                Err(StorageError::Unavailable(format!(
                    "the database did not answer within {} s",
                    self.bound.as_secs()
                )))
            }
        }
    }

    pub fn set_bound(&mut self, bound: Duration) {
        self.bound = bound;
    }

    /// A transaction begins.
    pub fn enter(&mut self) {
        self.in_transaction = true;
    }

    /// It has ended on both sides.
    pub fn leave(&mut self) {
        self.in_transaction = false;
    }
}

/// FATAL and PANIC are the last that a connection says.
fn ends_session(error: &(dyn DatabaseError + 'static)) -> bool {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .is_none_or(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some((shared, _permit)) = self.home.take()
            && let Some(connection) = self.connection.take()
            && !self.busy
            && !self.in_transaction
        {
            shared.keep(connection);
        }
    }
}
