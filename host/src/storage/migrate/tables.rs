//! The tables that both databases have, as their catalogs describe them.

use crate::storage::StorageError;
use crate::storage::sql::{Connection, Row, Value, query};

/// A table without its rows.
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Places of the primary key's columns in `columns`, in the key's order.
    pub key: Vec<usize>,
    /// The column whose values the server counts by itself.
    pub counted: Option<usize>,
}

pub(super) struct Column {
    pub name: String,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Int,
    Bytes,
}

/// What says which installation it is and how far a migration is, and what only one database needs.
const OWN: [&str; 1] = ["meta"];

pub(super) async fn shared(
    source: &mut Connection,
    target: &mut Connection,
) -> Result<Vec<Table>, StorageError> {
    let rows = query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        .fetch_all(source)
        .await?;
    let mut tables = Vec::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        if OWN.contains(&name.as_str()) || name.starts_with("sqlite_") {
            continue;
        }
        let mut there: Vec<String> = Vec::new();
        for row in query("SELECT name FROM pragma_table_info(?)")
            .bind(name.as_str())
            .fetch_all(source)
            .await?
        {
            there.push(row.try_get(0)?);
        }
        let table = read(target, name, &there).await?;
        if there.len() != table.columns.len() || table.key.is_empty() {
            return Err(StorageError::Unusable(format!(
                "the table `{}` has columns in SQLite that PostgreSQL does not have; this is a \
                 fault of Anyport's schemas",
                table.name
            )));
        }
        tables.push(table);
    }
    Ok(tables)
}

/// With those of its columns that are wanted; what only PostgreSQL has keeps its default.
async fn read(
    target: &mut Connection,
    name: String,
    wanted: &[String],
) -> Result<Table, StorageError> {
    let rows = query(
        "SELECT attribute.attname::text, attribute.atttypid::regtype::text, \
           coalesce(array_position(key.indkey::smallint[], attribute.attnum), -1)::bigint, \
           (CASE WHEN attribute.attidentity <> '' THEN 1 ELSE 0 END)::bigint \
         FROM pg_attribute AS attribute \
         LEFT JOIN pg_index AS key ON key.indrelid = attribute.attrelid AND key.indisprimary \
         WHERE attribute.attrelid = to_regclass('anyport.' || quote_ident(?)) \
           AND attribute.attnum > 0 AND NOT attribute.attisdropped \
         ORDER BY attribute.attnum",
    )
    .bind(name.as_str())
    .fetch_all(target)
    .await?;
    let mut columns = Vec::new();
    let mut key = Vec::new();
    let mut counted = None;
    for row in &rows {
        let column: String = row.try_get(0)?;
        if !wanted.contains(&column) {
            continue;
        }
        let index = columns.len();
        let kind: String = row.try_get(1)?;
        let kind = match kind.as_str() {
            "text" => Kind::Text,
            "bigint" => Kind::Int,
            "bytea" => Kind::Bytes,
            other => {
                return Err(StorageError::Unusable(format!(
                    "the table `{name}` has a column of type {other}, which SQLite does not have"
                )));
            }
        };
        let place: i64 = row.try_get(2)?;
        if place >= 0 {
            key.push((place, index));
        }
        if row.try_get::<i64, _>(3)? == 1 {
            counted = Some(index);
        }
        columns.push(Column { name: column, kind });
    }
    if columns.is_empty() {
        return Err(StorageError::Unusable(format!(
            "PostgreSQL has no table `{name}`; this is a fault of Anyport's schemas"
        )));
    }
    key.sort_unstable();
    Ok(Table {
        name,
        columns,
        key: key.into_iter().map(|(_, index)| index).collect(),
        counted,
    })
}

impl Table {
    pub fn column_names(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(Column::quoted).collect();
        names.join(", ")
    }

    pub fn key_names(&self) -> String {
        let names: Vec<String> = self
            .key
            .iter()
            .map(|index| self.columns[*index].quoted())
            .collect();
        names.join(", ")
    }

    /// An expression for the bytes of a row, which reads none of them.
    pub fn size(&self) -> String {
        let sizes: Vec<String> = self
            .columns
            .iter()
            .map(|column| match column.kind {
                Kind::Int => "16".to_owned(),
                Kind::Text | Kind::Bytes => {
                    format!("16 + coalesce(octet_length({}), 0)", column.quoted())
                }
            })
            .collect();
        sizes.join(" + ")
    }

    /// The values of a row of the columns.
    pub fn values(&self, row: &Row) -> Result<Vec<Value>, StorageError> {
        self.columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                Ok(match column.kind {
                    Kind::Text => Value::Text(row.try_get(index)?),
                    Kind::Int => Value::Int(row.try_get(index)?),
                    Kind::Bytes => Value::Bytes(row.try_get(index)?),
                })
            })
            .collect()
    }
}

impl Column {
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.name)
    }
}
