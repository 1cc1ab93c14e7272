//! Which host this is, where several share a database: an id that stays with the data directory,
//! and one that is new with every process.

use super::StorageError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Identity {
    pub instance: String,
    pub process: String,
    /// For people.
    pub name: String,
    /// Held until [`Self::release`] or the end of the process, also while that is stopped.
    lock: Option<Arc<File>>,
}

impl Identity {
    /// Of a data directory, which one process at a time may use. `name`: where it listens.
    pub fn of_directory(directory: &Path, name: &str) -> Result<Self, StorageError> {
        let lock = lock(&directory.join("host.lock"))?;
        let path = directory.join("host.id");
        let failed = |error: std::io::Error| {
            StorageError::Unusable(format!("the host's id {}: {error}", path.display()))
        };
        let instance = match std::fs::read_to_string(&path) {
            Ok(text) if Uuid::try_parse(text.trim()).is_ok() => text.trim().to_owned(),
            Ok(_) => {
                return Err(StorageError::Unusable(format!(
                    "the host's id {} is no UUID; remove the file and a new one is made",
                    path.display()
                )));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let id = Uuid::new_v4().to_string();
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .map_err(failed)?;
                file.write_all(id.as_bytes()).map_err(failed)?;
                file.sync_all().map_err(failed)?;
                id
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            lock: Some(Arc::new(lock)),
            name: name.to_owned(),
            ..Self::of_instance(instance)
        })
    }

    /// For programs beside the host, and tests: nothing keeps two from having one instance.
    pub fn of_instance(instance: String) -> Self {
        Self {
            instance,
            process: Uuid::new_v4().to_string(),
            name: "host".to_owned(),
            lock: None,
        }
    }

    /// The data directory may be used by another. For the end, when nothing is written any more.
    pub fn release(&self) {
        if let Some(lock) = &self.lock
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(%error, "the lock of the data directory is not given back");
        }
    }
}

/// The process's claim to a file; released when it is dropped, also by `kill -9`.
pub(in crate::storage) fn lock(path: &Path) -> Result<File, StorageError> {
    let path = PathBuf::from(path);
    let failed = |what: &str, error: std::io::Error| {
        StorageError::Unusable(format!(
            "the lock file {} cannot be {what}: {error}",
            path.display()
        ))
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| failed("opened", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::Unusable(format!(
            "another host is running on this database: it holds {}",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed("locked", error)),
    }
}
