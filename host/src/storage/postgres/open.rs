//! Opening: the checks that this is a server and a schema of ours and no newer one, the operator's
//! key, and the schema itself.

use super::Server;
use crate::domain::PartitionId;
use crate::storage::StorageError;
use crate::storage::key::{KeyRow, KeySource, Wrapping};
use crate::storage::seal::DataKey;
use crate::storage::sql::{Connection, query};
use std::time::Duration;

/// Applied in order; `schema_version` in `meta` counts those a database has.
pub(in crate::storage) const MIGRATIONS: [&str; 7] = [
    include_str!("../../../migrations/postgres/0001_first.sql"),
    include_str!("../../../migrations/postgres/0002_ownership.sql"),
    include_str!("../../../migrations/postgres/0003_admin.sql"),
    include_str!("../../../migrations/postgres/0004_secrets.sql"),
    include_str!("../../../migrations/postgres/0005_media.sql"),
    include_str!("../../../migrations/postgres/0006_requests.sql"),
    include_str!("../../../migrations/postgres/0007_avatars.sql"),
];

/// PostgreSQL 14.
const OLDEST: i64 = 140_000;

/// Held by whoever looks at the schema or changes it, so that two hosts that start at once make it
/// once. "Anyport".
const SCHEMA_LOCK: i64 = 0x0041_6e79_706f_7274;

/// Making the schema may take long on a large database.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

fn unusable(text: String) -> StorageError {
    StorageError::Unusable(text)
}

/// What a schema of ours says about itself.
#[derive(Default)]
pub(in crate::storage) struct Marks {
    pub version: usize,
    pub operator_check: Vec<u8>,
    /// The operator's keys that it names, oldest first.
    pub keys: Vec<KeyRow>,
    /// `anyport migrate` writes into it and has not finished.
    pub unfinished: bool,
}

/// Checks and prepares the database; the keys that wrap its data keys, and what is to seal tokens
/// if nothing does yet.
pub(super) async fn prepare(
    server: &Server,
    source: &KeySource,
) -> Result<(Wrapping, DataKey), StorageError> {
    let mut connection = Connection::from(server.connect().await?);
    connection.set_bound(PATIENCE);
    connection
        .run("SET statement_timeout TO 0; SET lock_timeout TO '60s'; BEGIN")
        .await?;
    let keys = prepare_in(&mut connection, server, source).await?;
    connection.run("COMMIT").await?;
    Ok(keys)
}

async fn prepare_in(
    connection: &mut Connection,
    server: &Server,
    source: &KeySource,
) -> Result<(Wrapping, DataKey), StorageError> {
    let name = server.name();
    let marks = read_marks(connection, &name).await?;
    if marks.as_ref().is_some_and(|marks| marks.unfinished) {
        return Err(unusable(format!(
            "{name}: a migration into it is not finished; run `anyport migrate` again to finish it"
        )));
    }
    let tokens = source.token_key(marks.is_none());
    let (wrapping, first) = match &marks {
        Some(marks) => (Wrapping::open(source, &marks.keys, &name)?, None),
        None => {
            connection
                .run("CREATE SCHEMA IF NOT EXISTS anyport")
                .await?;
            let (wrapping, row) = Wrapping::create(source)?;
            (wrapping, Some(row))
        }
    };
    apply_migrations(connection, marks.as_ref().map_or(0, |marks| marks.version)).await?;
    if let Some(key) = first {
        found(connection, key).await?;
    }
    // Of processes that are long gone.
    connection
        .run("DELETE FROM writer WHERE used_at < now() - interval '30 days'")
        .await?;
    Ok((wrapping, tokens?))
}

/// In a transaction: takes the schema's lock until its end. None: there is no schema of ours yet.
pub(in crate::storage) async fn read_marks(
    connection: &mut Connection,
    name: &str,
) -> Result<Option<Marks>, StorageError> {
    let server: i64 = query("SELECT current_setting('server_version_num')::bigint")
        .fetch_one(connection)
        .await?
        .try_get(0)?;
    if server < OLDEST {
        return Err(unusable(format!(
            "{name} is a server of version {}; PostgreSQL 14 or newer is needed",
            server / 10_000
        )));
    }
    query("SELECT pg_advisory_xact_lock(?)")
        .bind(SCHEMA_LOCK)
        .execute(connection)
        .await?;
    let tables: i64 = query(
        "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('anyport') \
         AND relkind IN ('r', 'v', 'm', 'p', 'f')",
    )
    .fetch_one(connection)
    .await?
    .try_get(0)?;
    if tables == 0 {
        return Ok(None);
    }
    let foreign = || {
        unusable(format!(
            "{name} has a schema `anyport` that is not ours; nothing was changed"
        ))
    };
    // As text: a foreign table may have other columns.
    let ours: i64 = query(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('anyport.meta') \
         AND attname IN ('name', 'value') AND NOT attisdropped",
    )
    .fetch_one(connection)
    .await?
    .try_get(0)?;
    if ours != 2 {
        return Err(foreign());
    }
    let mut marks = Marks::default();
    let mut version = None;
    let (mut check, mut before, mut key_version) = (None, None, None);
    for row in query("SELECT name, value FROM meta")
        .fetch_all(connection)
        .await?
    {
        let value: Vec<u8> = row.try_get(1)?;
        match row.try_get::<String, _>(0)?.as_str() {
            "schema_version" => version = Some(value),
            "operator_check" => check = Some(value),
            "operator_check_before" => before = Some(value),
            "operator_version" => key_version = Some(value),
            "migrating" => marks.unfinished = true,
            _ => {}
        }
    }
    marks.version = version
        .and_then(|text| String::from_utf8(text).ok()?.parse().ok())
        .ok_or_else(foreign)?;
    marks.operator_check = check.clone().unwrap_or_default();
    marks.keys = KeyRow::of_meta(check, before, key_version)?;
    let known = MIGRATIONS.len();
    if marks.version > known {
        return Err(unusable(format!(
            "{name} was written by a newer version of Anyport (schema {}; this one knows up to \
             {known}); nothing was changed",
            marks.version
        )));
    }
    Ok(Some(marks))
}

/// Makes what a new installation starts with.
async fn found(connection: &mut Connection, key: KeyRow) -> Result<(), StorageError> {
    for partition in PartitionId::all() {
        query("INSERT INTO partition (id, epoch, head) VALUES (?, 0, 0)")
            .bind(i64::from(partition.0))
            .execute(connection)
            .await?;
    }
    query("INSERT INTO meta (name, value) VALUES ('operator_check', ?)")
        .bind(key.check_value)
        .execute(connection)
        .await?;
    Ok(())
}

/// Applies what is missing.
pub(in crate::storage) async fn apply_migrations(
    connection: &mut Connection,
    from: usize,
) -> Result<(), StorageError> {
    for migration in MIGRATIONS.iter().skip(from) {
        connection.run(migration).await?;
    }
    query(
        "INSERT INTO meta (name, value) VALUES ('schema_version', ?) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(MIGRATIONS.len().to_string().into_bytes())
    .execute(connection)
    .await?;
    Ok(())
}
