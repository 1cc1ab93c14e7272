//! One table from one database to the other, in the order of its key.

use super::tables::Table;
use super::target::{REACHED, Target};
use crate::storage::StorageError;
use crate::storage::sql::{Connection, Row, Value, damaged, insert_rows, query};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A chunk ends with the row that reaches one of these.
const ROWS: usize = 1_000;
const BYTES: usize = 4 * 1024 * 1024;

/// How far the copy of a table has come.
#[derive(Serialize, Deserialize)]
struct Reached {
    rows: u64,
    key: Vec<KeyValue>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeyValue {
    Text(String),
    Int(i64),
    /// In hex.
    Bytes(String),
}

impl KeyValue {
    fn of(value: &Value) -> Result<Self, StorageError> {
        match value {
            Value::Text(Some(text)) => Ok(Self::Text(text.clone())),
            Value::Int(Some(number)) => Ok(Self::Int(*number)),
            Value::Bytes(Some(bytes)) => Ok(Self::Bytes(hex::encode(bytes))),
            _ => Err(damaged("key of a row")),
        }
    }

    fn value(self) -> Result<Value, StorageError> {
        Ok(match self {
            Self::Text(text) => text.into(),
            Self::Int(number) => number.into(),
            Self::Bytes(text) => hex::decode(text)
                .map_err(|_| damaged("progress of a migration"))?
                .into(),
        })
    }
}

async fn reached(target: &mut Connection, table: &Table) -> Result<Option<Reached>, StorageError> {
    let row = query("SELECT value FROM meta WHERE name = ?")
        .bind(format!("{REACHED}{}", table.name))
        .fetch_optional(target)
        .await?;
    row.map(|row| {
        serde_json::from_slice(row.try_get(0)?).map_err(|_| damaged("progress of a migration"))
    })
    .transpose()
}

/// Rows of the table that are in the target.
pub(super) async fn copied(target: &mut Target, table: &Table) -> Result<u64, StorageError> {
    let reached = reached(&mut target.connection, table).await?;
    Ok(reached.map_or(0, |reached| reached.rows))
}

/// Copies what follows; how many rows are copied now. None: there is no more.
pub(super) async fn chunk(
    source: &mut Connection,
    target: &mut Target,
    table: &Table,
    before: u64,
) -> Result<Option<u64>, StorageError> {
    let target = &mut target.connection;
    let after = match reached(target, table).await? {
        Some(reached) => Some(
            reached
                .key
                .into_iter()
                .map(KeyValue::value)
                .collect::<Result<Vec<_>, _>>()?,
        ),
        None => None,
    };
    let rows = read(source, table, after).await?;
    let Some(last) = rows.last() else {
        return Ok(None);
    };
    let count = before + rows.len() as u64;
    let key = table
        .key
        .iter()
        .map(|index| KeyValue::of(&last[*index]))
        .collect::<Result<Vec<_>, _>>()?;
    let reached =
        serde_json::to_vec(&Reached { rows: count, key }).map_err(|_| damaged("key of a row"))?;
    target.run("BEGIN").await?;
    if before == 0 {
        // What the schema itself has put there.
        query(format!("DELETE FROM \"{}\"", table.name))
            .once()
            .execute(target)
            .await?;
    }
    let into = format!("INSERT INTO \"{}\" ({})", table.name, table.column_names());
    let width = table.columns.len();
    insert_rows(target, &into, width, rows.into_iter().flatten().collect()).await?;
    query(
        "INSERT INTO meta (name, value) VALUES (?, ?) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(format!("{REACHED}{}", table.name))
    .bind(reached)
    .execute(target)
    .await?;
    target.run("COMMIT").await?;
    Ok(Some(count))
}

/// The next rows after a key, at most a chunk.
async fn read(
    database: &mut Connection,
    table: &Table,
    after: Option<Vec<Value>>,
) -> Result<Vec<Vec<Value>>, StorageError> {
    let (columns, key) = (table.column_names(), table.key_names());
    let condition = match &after {
        Some(key_after) => {
            let places = vec!["?"; key_after.len()].join(", ");
            format!("WHERE ({key}) > ({places})")
        }
        None => String::new(),
    };
    // A server sends all that it is asked for: not more than fits.
    let limit = if database.is_postgres() {
        rows_that_fit(database, table, after.as_ref()).await?
    } else {
        ROWS
    };
    let mut statement = query(format!(
        "SELECT {columns} FROM \"{}\" {condition} ORDER BY {key} LIMIT {limit}",
        table.name
    ))
    .once();
    for value in after.into_iter().flatten() {
        statement = statement.bind(value);
    }
    let mut rows = Vec::new();
    let mut bytes = 0;
    statement
        .fetch_while(database, |row: Row| {
            let values = table.values(&row)?;
            bytes += values.iter().map(Value::size).sum::<usize>();
            rows.push(values);
            Ok(bytes < BYTES)
        })
        .await?;
    Ok(rows)
}

/// How many of the next rows come to about a chunk's bytes; at least one.
async fn rows_that_fit(
    database: &mut Connection,
    table: &Table,
    after: Option<&Vec<Value>>,
) -> Result<usize, StorageError> {
    let key = table.key_names();
    let condition = match after {
        Some(key_after) => {
            let places = vec!["?"; key_after.len()].join(", ");
            format!("WHERE ({key}) > ({places})")
        }
        None => String::new(),
    };
    let mut statement = query(format!(
        "SELECT count(*) FROM (SELECT sum(size) OVER (ORDER BY {key}) AS bytes \
         FROM (SELECT {key}, {size} AS size FROM \"{name}\" {condition} ORDER BY {key} \
         LIMIT {ROWS}) AS part) AS counted WHERE bytes < {BYTES}",
        size = table.size(),
        name = table.name
    ))
    .once();
    for value in after.into_iter().flatten() {
        statement = statement.bind(value.clone());
    }
    let fit: i64 = statement.fetch_one(database).await?.try_get(0)?;
    Ok(usize::try_from(fit).unwrap_or(0) + 1)
}

/// Count and digest of all rows.
pub(super) async fn digest(
    database: &mut Connection,
    table: &Table,
) -> Result<(u64, [u8; 32]), StorageError> {
    let mut hash = Sha256::new();
    let mut count = 0;
    let mut after: Option<Vec<Value>> = None;
    loop {
        let rows = read(database, table, after.take()).await?;
        let Some(last) = rows.last() else {
            return Ok((count, hash.finalize().into()));
        };
        after = Some(table.key.iter().map(|index| last[*index].clone()).collect());
        count += rows.len() as u64;
        for value in rows.iter().flatten() {
            value.digest(&mut hash);
        }
    }
}
