//! Statements over many rows, and the conversions of columns. Rows go in chunks of a few fixed
//! sizes, so that prepared statements are found again; row by row costs three times as much.

use super::error::damaged;
use crate::domain::{PartitionId, Timestamp};
use crate::storage::StorageError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

pub(super) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// A statement of the form `before (row), (row), … after`.
#[derive(Clone, Copy)]
pub(super) struct Many {
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
        connection: &mut SqliteConnection,
        rows: impl ExactSizeIterator<Item = R>,
        bind: impl Fn(Statement, R) -> Statement,
    ) -> Result<u64, sqlx::Error> {
        #[cfg(test)]
        self.assert_searches(connection).await?;
        let mut rows = rows;
        let mut changed = 0;
        while rows.len() > 0 {
            let statement = self.next_chunk(&mut rows, &bind);
            changed += statement.execute(&mut *connection).await?.rows_affected();
        }
        Ok(changed)
    }

    /// Runs it for all rows; what it returned.
    pub async fn fetch<R>(
        self,
        connection: &mut SqliteConnection,
        rows: impl ExactSizeIterator<Item = R>,
        bind: impl Fn(Statement, R) -> Statement,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        #[cfg(test)]
        self.assert_searches(connection).await?;
        let mut rows = rows;
        let mut found = Vec::new();
        while rows.len() > 0 {
            let statement = self.next_chunk(&mut rows, &bind);
            found.append(&mut statement.fetch_all(&mut *connection).await?);
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
        // Made of constants only; every value is bound.
        let mut statement = sqlx::query(AssertSqlSafe(self.sql(size)));
        for row in rows.take(size) {
            statement = bind(statement, row);
        }
        statement
    }

    fn sql(self, size: usize) -> String {
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

    /// Tests: every statement goes to its rows by an index, none looks at whole tables.
    #[cfg(test)]
    async fn assert_searches(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        use sqlx::Row as _;
        let explain = format!("EXPLAIN QUERY PLAN {}", self.sql(4));
        let plan = sqlx::query(AssertSqlSafe(explain))
            .fetch_all(connection)
            .await?;
        for row in plan {
            let step: String = row.try_get("detail")?;
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
