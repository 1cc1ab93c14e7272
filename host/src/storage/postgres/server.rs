//! The server: how connections to it are made and set up, and the few that are shared.

use super::PostgresSettings;
use super::lease::Leases;
use super::link::Link;
use crate::storage::StorageError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Bound on making and setting up a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long somebody waits for one of the shared connections.
const TURN: Duration = Duration::from_secs(10);
/// A shared connection that was idle for so long is tried before it is used.
const TRUSTED: Duration = Duration::from_secs(1);

/// What every session is told. The bounds end what hangs on the server's side: statements, waits
/// for locks, transactions of a host that vanished or was stopped: these must be over before its
/// lease is, since whoever takes over waits for their rows. Every statement of ours goes to its rows by an
/// index and its plan is made once; without the rest of it, plans that were made while a table was
/// small would read the whole of it when it is large. What was committed is on the disk: a server
/// that is set up not to wait for its disk does so for us.
const SESSION: &str = "\
    SET search_path TO anyport; \
    SET standard_conforming_strings TO on; \
    SET statement_timeout TO '10s'; \
    SET lock_timeout TO '5s'; \
    SET idle_in_transaction_session_timeout TO '5s'; \
    SET tcp_keepalives_idle TO 5; \
    SET tcp_keepalives_interval TO 2; \
    SET tcp_keepalives_count TO 3; \
    SET tcp_user_timeout TO 15000; \
    SET enable_seqscan TO off; \
    SET jit TO off; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";
const WRITER: &str = "\
    SET plan_cache_mode TO force_generic_plan; \
    SET enable_hashjoin TO off; \
    SET enable_mergejoin TO off";

pub(in crate::storage) struct Server {
    pub leases: Leases,
    options: PgConnectOptions,
    shared: Arc<Shared>,
}

/// Never the user or the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Connections that are idle now, the last used one last.
pub(super) struct Shared {
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    permits: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn keep(&self, connection: PgConnection) {
        self.lock().push((connection, Instant::now()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    pub fn new(settings: &PostgresSettings) -> Result<Self, StorageError> {
        let shared = settings.shared.max(2);
        Ok(Self {
            leases: Leases::new(settings.identity.clone()),
            options: options(settings)?,
            shared: Arc::new(Shared {
                idle: Mutex::new(Vec::new()),
                permits: Arc::new(Semaphore::new(shared as usize)),
            }),
        })
    }

    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Host, port and database, for people.
    pub fn name(&self) -> String {
        let database = self.options.get_database();
        let host = match self.options.get_socket() {
            Some(path) => path.display().to_string(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        };
        format!(
            "PostgreSQL at {host}, database {}",
            database.unwrap_or(self.options.get_username())
        )
    }

    /// A connection of its own, set up for what is done once.
    pub async fn connect(&self) -> Result<Link, StorageError> {
        self.connect_with(SESSION).await
    }

    /// A connection of its own for a writer.
    pub async fn connect_writer(&self) -> Result<Link, StorageError> {
        self.connect_with(&format!("{SESSION}; {WRITER}")).await
    }

    async fn connect_with(&self, session: &str) -> Result<Link, StorageError> {
        let connect = async {
            let mut connection = self.options.connect().await?;
            connection
                .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(session.to_owned())))
                .await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match timeout(CONNECT, connect).await {
            Ok(connection) => Ok(Link::new(connection?)),
            Err(_) => Err(StorageError::Unavailable(format!(
                "{} did not answer within {} s",
                self.name(),
                CONNECT.as_secs()
            ))),
        }
    }

    /// One of the shared connections. It goes back when it is dropped.
    pub async fn shared(&self) -> Result<Link, StorageError> {
        let permit = match timeout(TURN, self.shared.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            _ => {
                return Err(StorageError::Unavailable(
                    "no connection to the database came free".to_owned(),
                ));
            }
        };
        loop {
            let Some((mut connection, since)) = self.shared.lock().pop() else {
                break;
            };
            let trusted = since.elapsed() < TRUSTED
                || matches!(timeout(CONNECT, connection.ping()).await, Ok(Ok(())));
            if trusted {
                return Ok(Link::new(connection).into_shared(self.shared.clone(), permit));
            }
            // The others are older: a server that was restarted has ended them, too.
            self.shared.lock().clear();
        }
        let link = self.connect_with(SESSION).await?;
        Ok(link.into_shared(self.shared.clone(), permit))
    }

    /// Where the server listens, as far as it is a port: `None` for a socket file.
    pub fn address(&self) -> Option<(String, u16)> {
        match self.options.get_socket() {
            Some(_) => None,
            None => Some((self.options.get_host().to_owned(), self.options.get_port())),
        }
    }
}

fn options(settings: &PostgresSettings) -> Result<PgConnectOptions, StorageError> {
    // The error's text may quote the address, and with it the password.
    let unreadable = |_| {
        StorageError::Unusable(
            "the address of the database is not of the form postgres://user:password@host:port/database"
                .to_owned(),
        )
    };
    let options = PgConnectOptions::from_str(settings.url.expose()).map_err(unreadable)?;
    Ok(options
        .application_name("anyport")
        .statement_cache_capacity(256)
        .disable_statement_logging())
}
