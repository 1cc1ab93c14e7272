//! The media store: bytes of any length that clients upload, that channels give and that providers
//! make, sealed chunk by chunk, in a local folder or an S3-compatible store.
//!
//! Owns the bytes and the order of the steps by which they come and go; what is known of them are
//! rows of `storage`. A row is written before the first byte and removed after the last, so that a
//! crash leaves nothing that nobody knows of. Never holds more of a content than a few pieces.
//! Knows no HTTP and no provider; the bytes of clients and channels come as streams.

mod place;
mod read;
mod tidy;
mod write;

#[cfg(test)]
mod tests;

pub use crate::runtime::port::{Blobs, ByteStream, NewBlob};
pub use place::{Place, S3};

use crate::domain::WorkspaceId;
use crate::domain::media::{Blob, BlobError, BlobId};
use crate::storage::StorageError;
use crate::storage::blobs::{BlobRows, StoredBlob};
use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::path::Path;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Of one blob.
    pub max_bytes: u64,
    /// Types that are taken, as `image/*` or `image/png`; none: all.
    pub types: Vec<String>,
    /// How long what nothing refers to is kept.
    pub keep_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            types: Vec::new(),
            keep_ms: 7 * crate::storage::DAY_MS,
        }
    }
}

impl Settings {
    fn takes(&self, mime: &str) -> bool {
        self.types.is_empty()
            || self.types.iter().any(|pattern| {
                let family = pattern.strip_suffix("/*");
                pattern == mime
                    || family.is_some_and(|family| {
                        mime.split_once('/').is_some_and(|(own, _)| own == family)
                    })
            })
    }
}

/// All blobs of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

struct Inner {
    rows: Arc<dyn BlobRows>,
    objects: Arc<dyn ObjectStore>,
    /// Of a local store.
    directory: Option<PathBuf>,
    settings: Settings,
}

impl Media {
    /// The error is for people and shows no secret.
    pub fn open(rows: Arc<dyn BlobRows>, place: Place, settings: Settings) -> anyhow::Result<Self> {
        let (objects, directory) = place.open()?;
        Ok(Self(Arc::new(Inner {
            rows,
            objects,
            directory,
            settings,
        })))
    }

    pub fn rows(&self) -> Arc<dyn BlobRows> {
        self.0.rows.clone()
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }
}

impl Inner {
    async fn find(&self, workspace: &WorkspaceId, id: &BlobId) -> Result<StoredBlob, BlobError> {
        let found = self.rows.blob(Some(workspace), id).await;
        found.map_err(of_storage)?.ok_or(BlobError::NotFound)
    }
}

#[async_trait]
impl Blobs for Media {
    async fn stat(&self, workspace: &WorkspaceId, id: &BlobId) -> Result<Blob, BlobError> {
        Ok(self.0.find(workspace, id).await?.blob)
    }

    async fn read(&self, blob: &Blob, range: Range<u64>) -> Result<ByteStream, BlobError> {
        self.0.clone().read(blob, range).await
    }

    async fn make(&self, new: NewBlob, bytes: ByteStream) -> Result<Blob, BlobError> {
        // In a task of its own: whoever waits may go away, and what was begun is tidied up then.
        let making = tokio::spawn(self.0.clone().make(new, bytes));
        making
            .await
            .unwrap_or_else(|error| Err(BlobError::Unavailable(format!("a task failed: {error}"))))
    }
}

fn of_storage(error: StorageError) -> BlobError {
    match error {
        StorageError::Conflict(_) => BlobError::NotFound,
        other => BlobError::Unavailable(other.to_string()),
    }
}

fn of_store(error: object_store::Error) -> BlobError {
    BlobError::Unavailable(error.to_string())
}

/// Where the bytes of a blob are. Ids are random, so folders fill evenly.
fn path_of(id: &BlobId) -> Path {
    let name = id.as_str();
    let folder = name.get(4..6).unwrap_or("xx");
    Path::from_iter([folder, name])
}
