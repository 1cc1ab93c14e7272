//! Where the operator's key comes from.

use super::StorageError;
use super::seal::OperatorKey;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub enum KeySource {
    /// This file. It is made together with a new database, and must be there for an old one.
    File(PathBuf),
    Given(OperatorKey),
}

impl KeySource {
    /// `database` is its name for people.
    pub(in crate::storage) fn operator_key(
        &self,
        new: bool,
        database: &str,
    ) -> Result<OperatorKey, StorageError> {
        let path = match self {
            Self::Given(key) => return Ok(key.clone()),
            Self::File(path) => path,
        };
        let failed = |error: std::io::Error| {
            StorageError::Unusable(format!("the operator key {}: {error}", path.display()))
        };
        match OperatorKey::load(path).map_err(failed)? {
            Some(key) => Ok(key),
            None if new => OperatorKey::create(path).map_err(failed),
            None => Err(StorageError::Unusable(format!(
                "the operator key {} is missing; without it {database} cannot be read",
                path.display()
            ))),
        }
    }
}
