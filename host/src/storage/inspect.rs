//! A look at a database without opening it for work: whose it is, how old, whether it is whole and
//! fits the operator's key. Writes nothing into it, and takes no lock that a running host would
//! notice for longer than a moment.

use super::key::KeySource;
use super::postgres::{DatabaseUrl, PostgresSettings, Server, read_marks};
use super::seal::OperatorKey;
use super::sql::{Connection, query};
use super::sqlite::known_version;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// "Anyo", in the header of every database of ours.
const APPLICATION_ID: i64 = 0x416e_796f;
/// What is wrong with a damaged database, at most so many lines.
const LINES: usize = 5;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspection {
    /// A host has it open.
    pub in_use: bool,
    /// The last host on it did not end in good order, and none runs.
    pub unclean: bool,
    pub bytes: u64,
    pub whose: Whose,
    pub schema: i64,
    /// What SQLite's quick check found; nothing when it is whole.
    pub damage: Vec<String>,
    /// Does the operator's key open it? None: there was no key to try.
    pub key_fits: Option<bool>,
    /// Milliseconds since 1970 of the newest event in the log.
    pub newest_event_at: Option<u64>,
    pub accounts: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    Ours,
    /// There is a file, and nothing in it yet.
    #[default]
    Empty,
    /// Another program's.
    Foreign,
}

/// The newest schema that this host knows.
pub fn newest_schema() -> i64 {
    known_version()
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The error says why it cannot be looked at.
pub async fn inspect(database: &Path, key: Option<&OperatorKey>) -> Result<Inspection, String> {
    let metadata = std::fs::metadata(database).map_err(|error| error.to_string())?;
    let in_use = is_locked(&beside(database, ".lock"));
    let log = beside(database, "-wal");
    let has_log = std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let mut found = Inspection {
        in_use,
        unclean: has_log && !in_use,
        bytes: metadata.len(),
        ..Inspection::default()
    };
    if metadata.len() == 0 {
        return Ok(found);
    }
    let options = SqliteConnectOptions::new()
        .filename(database)
        .read_only(true)
        // Without a log nobody writes: SQLite then needs no file of its own beside it.
        .immutable(!has_log && !in_use)
        .busy_timeout(Duration::from_secs(2))
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| error.to_string())?;
    let looked = look(&mut connection, key, &mut found).await;
    let _ = connection.close().await;
    looked.map_err(|error| error.to_string())?;
    Ok(found)
}

async fn look(
    connection: &mut SqliteConnection,
    key: Option<&OperatorKey>,
    found: &mut Inspection,
) -> Result<(), sqlx::Error> {
    let application = number(connection, "PRAGMA application_id").await?;
    if application != APPLICATION_ID {
        let tables = number(connection, "SELECT count(*) FROM sqlite_master").await?;
        found.whose = if tables == 0 {
            Whose::Empty
        } else {
            Whose::Foreign
        };
        return Ok(());
    }
    found.whose = Whose::Ours;
    found.schema = number(connection, "PRAGMA user_version").await?;
    let lines = sqlx::query("PRAGMA quick_check")
        .fetch_all(&mut *connection)
        .await?;
    for line in lines.iter().take(LINES) {
        let line: String = line.try_get(0)?;
        if line != "ok" {
            found.damage.push(line);
        }
    }
    if found.schema > newest_schema() || !found.damage.is_empty() {
        return Ok(());
    }
    if let Some(key) = key {
        let check = sqlx::query("SELECT value FROM meta WHERE name = 'operator_check'")
            .fetch_optional(&mut *connection)
            .await?;
        let fits = match &check {
            Some(row) => key.wrapping_key().accepts(row.try_get(0)?),
            None => false,
        };
        found.key_fits = Some(fits);
    }
    let newest = sqlx::query("SELECT max(recorded_at) FROM event")
        .fetch_one(&mut *connection)
        .await?;
    let newest: Option<i64> = newest.try_get(0)?;
    found.newest_event_at = newest.and_then(|at| u64::try_from(at).ok());
    let accounts = "SELECT count(*) FROM account WHERE deleted_at IS NULL";
    found.accounts = number(connection, accounts).await?.unsigned_abs();
    Ok(())
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query(sql).fetch_one(connection).await?.try_get(0)
}

/// A host holds it as long as it runs. Taking it for a moment disturbs nobody: only a host that
/// starts in this very moment would be told that another one runs.
fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

/// What a PostgreSQL server says.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerInspection {
    /// Host, port and database, for people.
    pub name: String,
    /// None: there is no schema of ours yet.
    pub schema: Option<usize>,
    pub key_fits: Option<bool>,
    pub accounts: u64,
}

/// The error says why it cannot be used: not reachable, too old, foreign, newer.
pub async fn inspect_server(
    url: DatabaseUrl,
    key: Option<OperatorKey>,
) -> Result<ServerInspection, String> {
    let source = match &key {
        Some(key) => KeySource::Given(key.clone()),
        None => KeySource::File(PathBuf::new()),
    };
    let looked = async {
        let server = Server::new(&PostgresSettings::new(url, source))?;
        let mut connection = Connection::from(server.connect().await?);
        connection.run("BEGIN").await?;
        let name = server.name();
        let marks = read_marks(&mut connection, &name).await?;
        let mut found = ServerInspection {
            name,
            schema: marks.as_ref().map(|marks| marks.version),
            key_fits: None,
            accounts: 0,
        };
        if let Some(marks) = marks {
            let fits = |key: &OperatorKey| key.wrapping_key().accepts(&marks.operator_check);
            found.key_fits = key.as_ref().map(fits);
            let accounts = query("SELECT count(*) FROM account WHERE deleted_at IS NULL")
                .fetch_one(&mut connection)
                .await?;
            found.accounts = accounts.try_get::<i64, _>(0)?.unsigned_abs();
        }
        connection.run("ROLLBACK").await?;
        Ok::<_, super::StorageError>(found)
    };
    looked.await.map_err(|error| error.to_string())
}
