//! `kv` by type: what a name or a family of names holds, written as JSON.

use crate::kv;
use crate::provider::{Result, place};
use crate::types::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// The most that one `kv.scan` gives.
const PAGE: u32 = 256;

/// One value under one key:
///
/// ```
/// # use anyport_sdk::stored::Stored;
/// const CURSOR: Stored<u64> = Stored::at("cursor");
/// ```
pub struct Stored<T> {
    key: &'static str,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Stored<T> {
    pub const fn at(key: &'static str) -> Self {
        Self {
            key,
            kind: PhantomData,
        }
    }

    pub fn get(&self) -> Result<Option<T>> {
        get(self.key)
    }

    pub fn put(&self, value: &T) -> Result {
        put(self.key, value)
    }

    pub fn remove(&self) {
        kv::remove(self.key);
    }
}

/// Values under keys that begin alike: `StoredMap::<Chat>::below("chat/")`.
pub struct StoredMap<T> {
    prefix: &'static str,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> StoredMap<T> {
    pub const fn below(prefix: &'static str) -> Self {
        Self {
            prefix,
            kind: PhantomData,
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn get(&self, name: &str) -> Result<Option<T>> {
        get(&self.key(name))
    }

    pub fn put(&self, name: &str, value: &T) -> Result {
        put(&self.key(name), value)
    }

    pub fn remove(&self, name: &str) {
        kv::remove(&self.key(name));
    }

    /// At most 256, in byte order of the names, after this one; and whether there are more.
    pub fn page(&self, after: Option<&str>) -> Result<(Vec<(String, T)>, bool)> {
        let after = after.map(|name| self.key(name));
        let page = kv::scan(self.prefix, after.as_deref(), PAGE);
        let mut entries = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            let value = read(&entry.key, &entry.value)?;
            let name = entry.key.strip_prefix(self.prefix).unwrap_or(&entry.key);
            entries.push((name.to_owned(), value));
        }
        Ok((entries, page.more))
    }

    /// All of them. For families that stay small: a turn has a budget.
    pub fn all(&self) -> Result<Vec<(String, T)>> {
        let mut all: Vec<(String, T)> = Vec::new();
        loop {
            let after = all.last().map(|(name, _)| name.clone());
            let (mut entries, more) = self.page(after.as_deref())?;
            let ends = !more || entries.is_empty();
            all.append(&mut entries);
            if ends {
                return Ok(all);
            }
        }
    }
}

fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    match kv::get(key) {
        Some(bytes) => read(key, &bytes).map(Some),
        None => Ok(None),
    }
}

fn put<T: Serialize>(key: &str, value: &T) -> Result {
    let bytes = serde_json::to_vec(value).map_err(|error| {
        Error::internal(format!(
            "`{key}` cannot be written to kv: {}",
            place(&error)
        ))
    })?;
    kv::put(key, &bytes);
    Ok(())
}

fn read<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::internal(format!("`{key}` of kv cannot be read: {}", place(&error)))
    })
}
