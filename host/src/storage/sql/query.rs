//! One statement, written once for both databases: `?` stands for a parameter, `CROSS JOIN … ON`
//! for a join in the written order (SQLite takes it as an order, PostgreSQL finds its own).
//! Every value is bound.

use super::connection::{Connection, Database};
use super::value::{Row, Value};
use crate::storage::StorageError;
use crate::storage::postgres::text;
use futures::TryStreamExt as _;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe};
use std::borrow::Cow;
use tokio::time::timeout;

/// A statement and its parameters so far.
#[must_use = "a query does nothing until it is run"]
pub(in crate::storage) struct Query {
    sql: Cow<'static, str>,
    values: Vec<Value>,
    /// Will it be run again?
    kept: bool,
}

/// What a statement did that returns no rows.
pub(in crate::storage) struct Done {
    changed: u64,
}

impl Done {
    pub fn rows_affected(&self) -> u64 {
        self.changed
    }
}

pub(in crate::storage) fn query(sql: impl Into<Cow<'static, str>>) -> Query {
    Query {
        sql: sql.into(),
        values: Vec::new(),
        kept: true,
    }
}

impl Query {
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// For a statement whose text is made for once: no connection keeps it prepared.
    pub fn once(mut self) -> Self {
        self.kept = false;
        self
    }

    pub(super) fn into_values(self) -> Vec<Value> {
        self.values
    }

    pub async fn execute(self, connection: &mut Connection) -> Result<Done, StorageError> {
        let changed = match connection.database() {
            Database::Sqlite(connection) => {
                let arguments = sqlite_arguments(self.values)?;
                // Statements are constants of this crate.
                sqlx::query_with::<sqlx::Sqlite, _>(AssertSqlSafe(self.sql.into_owned()), arguments)
                    .persistent(self.kept)
                    .execute(connection)
                    .await?
                    .rows_affected()
            }
            Database::Postgres(link) => {
                let sql = postgres_sql(&self.sql);
                let arguments = postgres_arguments(self.values)?;
                let (connection, bound) = link.start()?;
                let statement =
                    sqlx::query_with::<sqlx::Postgres, _>(AssertSqlSafe(sql), arguments)
                        .persistent(self.kept);
                let result = timeout(bound, statement.execute(connection)).await;
                link.finish(result)?.rows_affected()
            }
        };
        Ok(Done { changed })
    }

    pub async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>, StorageError> {
        Ok(match connection.database() {
            Database::Sqlite(connection) => {
                let arguments = sqlite_arguments(self.values)?;
                sqlx::query_with::<sqlx::Sqlite, _>(AssertSqlSafe(self.sql.into_owned()), arguments)
                    .persistent(self.kept)
                    .fetch_all(connection)
                    .await?
                    .into_iter()
                    .map(Row::Sqlite)
                    .collect()
            }
            Database::Postgres(link) => {
                let sql = postgres_sql(&self.sql);
                let arguments = postgres_arguments(self.values)?;
                let (connection, bound) = link.start()?;
                let statement =
                    sqlx::query_with::<sqlx::Postgres, _>(AssertSqlSafe(sql), arguments)
                        .persistent(self.kept);
                let result = timeout(bound, statement.fetch_all(connection)).await;
                link.finish(result)?
                    .into_iter()
                    .map(Row::Postgres)
                    .collect()
            }
        })
    }

    /// Calls `take` with one row after the other, until it says false.
    pub async fn fetch_while(
        self,
        connection: &mut Connection,
        mut take: impl FnMut(Row) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        if connection.is_postgres() {
            for row in self.fetch_all(connection).await? {
                if !take(row)? {
                    break;
                }
            }
        } else if let Database::Sqlite(connection) = connection.database() {
            let arguments = sqlite_arguments(self.values)?;
            let mut rows = sqlx::query_with::<sqlx::Sqlite, _>(
                AssertSqlSafe(self.sql.into_owned()),
                arguments,
            )
            .fetch(connection);
            while let Some(row) = rows.try_next().await? {
                if !take(Row::Sqlite(row))? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The first row, if there is one. Statements that are run so find one row at most.
    pub async fn fetch_optional(
        self,
        connection: &mut Connection,
    ) -> Result<Option<Row>, StorageError> {
        Ok(self.fetch_all(connection).await?.into_iter().next())
    }

    pub async fn fetch_one(self, connection: &mut Connection) -> Result<Row, StorageError> {
        self.fetch_optional(connection)
            .await?
            .ok_or_else(|| super::error::damaged("table that lacks a row"))
    }
}

fn unbound(_: impl std::fmt::Display) -> StorageError {
    // The text may hold the value.
    StorageError::Unusable("a value cannot be bound to a statement".to_owned())
}

fn sqlite_arguments(values: Vec<Value>) -> Result<SqliteArguments, StorageError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Text(value) => arguments.add(value),
            Value::Int(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        }
        .map_err(unbound)?;
    }
    Ok(arguments)
}

fn postgres_arguments(values: Vec<Value>) -> Result<PgArguments, StorageError> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Text(value) => arguments.add(value.map(text::encode)),
            Value::Int(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        }
        .map_err(unbound)?;
    }
    Ok(arguments)
}

/// The statement in PostgreSQL's words. No statement has a question mark that is no parameter.
fn postgres_sql(sql: &str) -> String {
    let mut translated = String::with_capacity(sql.len() + 16);
    let mut parameters = 0;
    for (index, part) in sql.split('?').enumerate() {
        if index > 0 {
            parameters += 1;
            translated.push_str(&format!("${parameters}"));
        }
        translated.push_str(part);
    }
    postgres_words(&translated)
}

pub(super) fn postgres_words(sql: &str) -> String {
    sql.replace("CROSS JOIN", "JOIN")
}

/// Parameters of a statement over many rows: for PostgreSQL one array for each column.
pub(super) fn postgres_columns(
    width: usize,
    rows: Vec<Value>,
) -> Result<(PgArguments, Vec<&'static str>), StorageError> {
    enum Array {
        Text(Vec<Option<String>>),
        Int(Vec<Option<i64>>),
        Bytes(Vec<Option<Vec<u8>>>),
    }
    let mixed = || StorageError::Unusable("the rows of a statement differ in type".to_owned());
    let height = rows.len() / width.max(1);
    let mut columns: Vec<Array> = Vec::with_capacity(width);
    for (index, value) in rows.into_iter().enumerate() {
        if index < width {
            columns.push(match &value {
                Value::Text(_) => Array::Text(Vec::with_capacity(height)),
                Value::Int(_) => Array::Int(Vec::with_capacity(height)),
                Value::Bytes(_) => Array::Bytes(Vec::with_capacity(height)),
            });
        }
        match (&mut columns[index % width], value) {
            (Array::Text(column), Value::Text(value)) => column.push(value.map(text::encode)),
            (Array::Int(column), Value::Int(value)) => column.push(value),
            (Array::Bytes(column), Value::Bytes(value)) => column.push(value),
            _ => return Err(mixed()),
        }
    }
    let mut arguments = PgArguments::default();
    let mut types = Vec::with_capacity(width);
    for column in columns {
        match column {
            Array::Text(column) => {
                types.push("text");
                arguments.add(column)
            }
            Array::Int(column) => {
                types.push("bigint");
                arguments.add(column)
            }
            Array::Bytes(column) => {
                types.push("bytea");
                arguments.add(column)
            }
        }
        .map_err(unbound)?;
    }
    Ok((arguments, types))
}
