//! What statements are given and what they give back, the same for both databases.

use super::error::damaged;
use crate::storage::StorageError;
use crate::storage::postgres::text;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

/// A parameter. Booleans are 0 and 1, points in time milliseconds.
#[derive(Clone)]
pub(in crate::storage) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

impl Value {
    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        8 + match self {
            Self::Text(value) => value.as_ref().map_or(0, String::len),
            Self::Int(_) => 8,
            Self::Bytes(value) => value.as_ref().map_or(0, Vec::len),
        }
    }

    /// Adds it to a digest, so that different rows never look the same.
    pub fn digest(&self, hash: &mut Sha256) {
        let (kind, bytes) = match self {
            Self::Text(value) => (b't', value.as_ref().map(|text| text.as_bytes().to_vec())),
            Self::Int(value) => (b'i', value.map(|number| number.to_le_bytes().to_vec())),
            Self::Bytes(value) => (b'b', value.clone()),
        };
        match bytes {
            Some(bytes) => {
                hash.update([kind]);
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(&bytes);
            }
            None => hash.update([b'n']),
        }
    }
}

macro_rules! values {
    ($($from:ty => $variant:ident($value:ident: $convert:expr)),* $(,)?) => {
        $(
            impl From<$from> for Value {
                fn from($value: $from) -> Self {
                    Self::$variant(Some($convert))
                }
            }

            impl From<Option<$from>> for Value {
                fn from(value: Option<$from>) -> Self {
                    Self::$variant(value.map(|$value: $from| $convert))
                }
            }
        )*
    };
}

values! {
    String => Text(value: value),
    &str => Text(value: value.to_owned()),
    i64 => Int(value: value),
    bool => Int(value: i64::from(value)),
    Vec<u8> => Bytes(value: value),
}

/// A row of an answer.
pub(in crate::storage) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The column at this place, from 0.
    pub fn try_get<'r, T: Column<'r>, I: Place>(&'r self, index: I) -> Result<T, StorageError> {
        T::column(self, index.place())
    }
}

/// So that a bare number is one.
pub(in crate::storage) trait Place {
    fn place(self) -> usize;
}

impl Place for usize {
    fn place(self) -> usize {
        self
    }
}

/// What a column can be read as.
pub(in crate::storage) trait Column<'r>: Sized {
    fn column(row: &'r Row, index: usize) -> Result<Self, StorageError>;
}

macro_rules! plain_columns {
    ($($type:ty),*) => {
        $(
            impl<'r> Column<'r> for $type {
                fn column(row: &'r Row, index: usize) -> Result<Self, StorageError> {
                    Ok(match row {
                        Row::Sqlite(row) => row.try_get(index)?,
                        Row::Postgres(row) => row.try_get(index)?,
                    })
                }
            }
        )*
    };
}

plain_columns!(
    i64,
    Option<i64>,
    &'r [u8],
    Option<&'r [u8]>,
    Vec<u8>,
    Option<Vec<u8>>
);

impl<'r> Column<'r> for String {
    fn column(row: &'r Row, index: usize) -> Result<Self, StorageError> {
        Ok(match row {
            Row::Sqlite(row) => row.try_get(index)?,
            Row::Postgres(row) => text::decode(row.try_get(index)?),
        })
    }
}

impl<'r> Column<'r> for Option<String> {
    fn column(row: &'r Row, index: usize) -> Result<Self, StorageError> {
        Ok(match row {
            Row::Sqlite(row) => row.try_get(index)?,
            Row::Postgres(row) => row.try_get::<Option<&str>, _>(index)?.map(text::decode),
        })
    }
}

macro_rules! small_columns {
    ($($type:ty),*) => {
        $(
            impl<'r> Column<'r> for $type {
                fn column(row: &'r Row, index: usize) -> Result<Self, StorageError> {
                    let value = i64::column(row, index)?;
                    Self::try_from(value).map_err(|_| damaged("number"))
                }
            }

            impl<'r> Column<'r> for Option<$type> {
                fn column(row: &'r Row, index: usize) -> Result<Self, StorageError> {
                    Option::<i64>::column(row, index)?
                        .map(|value| <$type>::try_from(value).map_err(|_| damaged("number")))
                        .transpose()
                }
            }
        )*
    };
}

small_columns!(u16, u32);

impl<'r> Column<'r> for bool {
    fn column(row: &'r Row, index: usize) -> Result<Self, StorageError> {
        Ok(i64::column(row, index)? != 0)
    }
}
