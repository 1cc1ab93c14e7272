//! Statements over many rows, and the conversions of columns. Row by row costs three times as much.
//! For SQLite rows go in chunks of a few fixed sizes, so that prepared statements are found again.

use super::connection::Connection;
use super::error::damaged;
use super::query::{Query, postgres_columns, postgres_words, query};
use super::value::{Row, Value};
use crate::domain::{PartitionId, Timestamp};
use crate::storage::StorageError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgArguments;
use tokio::time::timeout;

pub(super) type Statement = Query;

/// A statement over many rows. Rows and what stands around them:
/// `INSERT INTO t (a, b) VALUES ` + `(?,?)`, `WITH given (a, b) AS (VALUES ` + `(?,?)` + `) UPDATE …`,
/// `… IN (` + `?` + `)`. SQLite gets it so, in chunks; PostgreSQL gets the columns as arrays, and
/// UNNEST instead of VALUES or inside IN, all rows at once.
#[derive(Clone, Copy)]
pub(in crate::storage) struct Many {
    pub before: &'static str,
    /// Placeholders of one row: `(?,?)`, or `?` for a list.
    pub row: &'static str,
    pub after: &'static str,
}

const LARGEST_CHUNK: usize = 128;

impl Many {
    /// Runs it for all rows; how many rows it changed.
    pub async fn execute<R>(
        self,
        connection: &mut Connection,
        rows: impl ExactSizeIterator<Item = R>,
        bind: impl Fn(Statement, R) -> Statement,
    ) -> Result<u64, StorageError> {
        if rows.len() == 0 {
            return Ok(0);
        }
        #[cfg(test)]
        self.assert_searches(connection).await?;
        let mut rows = rows;
        let mut changed = 0;
        if connection.is_postgres() {
            let (types, arguments) = self.whole(rows, &bind)?;
            #[cfg(test)]
            self.assert_postgres_searches(connection, &types).await?;
            let sql = self.unnest(&types);
            let link = connection.postgres()?;
            let (connection, bound) = link.start()?;
            let statement = sqlx::query_with::<sqlx::Postgres, _>(AssertSqlSafe(sql), arguments);
            let result = timeout(bound, statement.execute(connection)).await;
            return Ok(link.finish(result)?.rows_affected());
        }
        while rows.len() > 0 {
            let statement = self.next_chunk(&mut rows, &bind);
            changed += statement.execute(connection).await?.rows_affected();
        }
        Ok(changed)
    }

    /// Runs it for all rows; what it returned.
    pub async fn fetch<R>(
        self,
        connection: &mut Connection,
        rows: impl ExactSizeIterator<Item = R>,
        bind: impl Fn(Statement, R) -> Statement,
    ) -> Result<Vec<Row>, StorageError> {
        if rows.len() == 0 {
            return Ok(Vec::new());
        }
        #[cfg(test)]
        self.assert_searches(connection).await?;
        let mut rows = rows;
        let mut found = Vec::new();
        if connection.is_postgres() {
            let (types, arguments) = self.whole(rows, &bind)?;
            #[cfg(test)]
            self.assert_postgres_searches(connection, &types).await?;
            let sql = self.unnest(&types);
            let link = connection.postgres()?;
            let (connection, bound) = link.start()?;
            let statement = sqlx::query_with::<sqlx::Postgres, _>(AssertSqlSafe(sql), arguments);
            let result = timeout(bound, statement.fetch_all(connection)).await;
            return Ok(link
                .finish(result)?
                .into_iter()
                .map(Row::Postgres)
                .collect());
        }
        while rows.len() > 0 {
            let statement = self.next_chunk(&mut rows, &bind);
            found.append(&mut statement.fetch_all(connection).await?);
        }
        Ok(found)
    }

    fn next_chunk<R>(
        self,
        rows: &mut impl ExactSizeIterator<Item = R>,
        bind: &impl Fn(Statement, R) -> Statement,
    ) -> Statement {
        // The largest power of two that fits: eight different statements at most.
        let size = (1_usize << rows.len().ilog2()).min(LARGEST_CHUNK);
        let mut statement = query(self.values(size));
        for row in rows.take(size) {
            statement = bind(statement, row);
        }
        statement
    }

    /// With the rows as a list.
    fn values(self, size: usize) -> String {
        let mut sql = String::with_capacity(
            self.before.len() + size * (self.row.len() + 1) + self.after.len(),
        );
        sql.push_str(self.before);
        for index in 0..size {
            if index > 0 {
                sql.push(',');
            }
            sql.push_str(self.row);
        }
        sql.push_str(self.after);
        sql
    }

    /// All rows as PostgreSQL takes them.
    fn whole<R>(
        self,
        rows: impl ExactSizeIterator<Item = R>,
        bind: &impl Fn(Statement, R) -> Statement,
    ) -> Result<(Vec<&'static str>, PgArguments), StorageError> {
        let width = self.row.matches('?').count();
        let mut statement = query("");
        for row in rows {
            statement = bind(statement, row);
        }
        let (arguments, types) = postgres_columns(width, statement.into_values())?;
        Ok((types, arguments))
    }

    fn unnest(self, types: &[&'static str]) -> String {
        let arrays = arrays(types);
        let before = self.before.trim_end().trim_end_matches("VALUES");
        let sql = if self.row == "?" {
            format!("{before}SELECT UNNEST({arrays}){}", self.after)
        } else {
            format!("{before}SELECT * FROM UNNEST({arrays}){}", self.after)
        };
        postgres_words(&sql)
    }

    /// Tests, PostgreSQL: the same, once for each statement.
    #[cfg(test)]
    async fn assert_postgres_searches(
        self,
        connection: &mut Connection,
        types: &[&'static str],
    ) -> Result<(), StorageError> {
        use std::collections::BTreeSet;
        use std::sync::Mutex;
        static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        let sql = self.unnest(types);
        if !SEEN.lock().is_ok_and(|mut seen| seen.insert(sql.clone())) {
            return Ok(());
        }
        let parameters = |value: &str| {
            let each: Vec<String> = types
                .iter()
                .map(|name| format!("{value}{name}[]"))
                .collect();
            each.join(", ")
        };
        connection
            .run(&format!("PREPARE looked_at ({}) AS {sql}", parameters("")))
            .await?;
        let explain = format!("EXPLAIN EXECUTE looked_at ({})", parameters("NULL::"));
        for row in query(explain).once().fetch_all(connection).await? {
            let step: String = row.try_get(0)?;
            assert!(!step.contains("Seq Scan"), "{step}: {sql}");
        }
        connection.run("DEALLOCATE looked_at").await
    }

    /// Tests: every statement goes to its rows by an index, none looks at whole tables.
    #[cfg(test)]
    async fn assert_searches(self, connection: &mut Connection) -> Result<(), StorageError> {
        if connection.is_postgres() {
            return Ok(());
        }
        let explain = format!("EXPLAIN QUERY PLAN {}", self.values(4));
        for row in query(explain).fetch_all(connection).await? {
            let step: String = row.try_get(3)?;
            let made_here = ["given", "wanted", "gone", "CONSTANT", "VALUES"]
                .iter()
                .any(|name| step.contains(name));
            assert!(
                !step.starts_with("SCAN") || made_here,
                "{step}: {}",
                self.before
            );
        }
        Ok(())
    }
}

/// Places of the columns.
fn arrays(types: &[&'static str]) -> String {
    let arrays: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(index, name)| format!("${}::{name}[]", index + 1))
        .collect();
    arrays.join(", ")
}

/// PostgreSQL only: whole rows, given one value after the other, into a table that is named in
/// `into`.
pub(in crate::storage) async fn insert_rows(
    connection: &mut Connection,
    into: &str,
    width: usize,
    values: Vec<Value>,
) -> Result<(), StorageError> {
    let link = connection.postgres()?;
    let (arguments, types) = postgres_columns(width, values)?;
    let sql = format!("{into} SELECT * FROM UNNEST({})", arrays(&types));
    let (connection, bound) = link.start()?;
    let statement = sqlx::query_with::<sqlx::Postgres, _>(AssertSqlSafe(sql), arguments);
    let result = timeout(bound, statement.execute(connection)).await;
    link.finish(result)?;
    Ok(())
}

/// Offsets of all partitions in one number: partition × 2^48 + offset.
pub(super) fn position(partition: PartitionId, offset: u64) -> i64 {
    (i64::from(partition.0) << 48) + signed(offset.min((1 << 48) - 1))
}

pub(super) fn offset_of(position: i64) -> u64 {
    unsigned(position & ((1 << 48) - 1))
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn time(value: i64) -> Timestamp {
    Timestamp(unsigned(value))
}

pub(super) fn partition(value: i64) -> Result<PartitionId, StorageError> {
    u8::try_from(value)
        .ok()
        .filter(|value| *value < PartitionId::COUNT)
        .map(PartitionId)
        .ok_or_else(|| damaged("partition"))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, StorageError> {
    serde_json::to_vec(value)
        .map_err(|_| StorageError::Unusable("a value cannot be written as JSON".to_owned()))
}

pub(super) fn to_json_text(value: &impl Serialize) -> Result<String, StorageError> {
    serde_json::to_string(value)
        .map_err(|_| StorageError::Unusable("a value cannot be written as JSON".to_owned()))
}

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, StorageError> {
    serde_json::from_slice(bytes).map_err(|_| damaged(what))
}

/// A unit variant as text, in the spelling that its JSON has.
pub(super) fn word(value: &impl Serialize) -> Result<String, StorageError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        _ => Err(StorageError::Unusable("not a word".to_owned())),
    }
}

pub(super) fn from_word<T: DeserializeOwned>(text: String, what: &str) -> Result<T, StorageError> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(|_| damaged(what))
}
