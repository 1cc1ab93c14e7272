//! A media store with nothing in it but addresses.

use crate::domain::media::{Blob, BlobError, BlobId};
use crate::domain::{AccountId, SendId, Timestamp, WorkspaceId};
use crate::media::{Blobs, ByteStream, NewBlob};
use crate::storage::StorageError;
use crate::storage::blobs::{
    BlobRows, Making, Removal, SharedAttachment, StoredAttachment, StoredBlob,
};
use crate::storage::chunks::ContentKey;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub struct NoMedia {
    pub shared: Mutex<BTreeMap<[u8; 32], SharedAttachment>>,
    pub down: AtomicBool,
    /// What every token leads to.
    pub attachment: Mutex<Option<StoredAttachment>>,
}

#[async_trait]
impl Blobs for NoMedia {
    async fn stat(&self, _: &WorkspaceId, _: &BlobId) -> Result<Blob, BlobError> {
        Err(BlobError::NotFound)
    }
    async fn read(&self, _: &Blob, _: Range<u64>) -> Result<ByteStream, BlobError> {
        Err(BlobError::NotFound)
    }
    async fn make(&self, _: NewBlob, _: ByteStream) -> Result<Blob, BlobError> {
        Err(BlobError::Unavailable("there is no store".to_owned()))
    }
}

#[async_trait]
impl BlobRows for NoMedia {
    async fn begin_blob(&self, _: &Blob, _: &ContentKey) -> Result<(), StorageError> {
        Ok(())
    }
    async fn seal_blob(&self, _: &Blob, _: &ContentKey) -> Result<bool, StorageError> {
        Ok(false)
    }
    async fn give_up_blob(&self, _: &BlobId) -> Result<(), StorageError> {
        Ok(())
    }
    async fn blob(
        &self,
        _: Option<&WorkspaceId>,
        _: &BlobId,
    ) -> Result<Option<StoredBlob>, StorageError> {
        Ok(None)
    }
    async fn keep_blob(&self, _: &BlobId, _: Timestamp) -> Result<bool, StorageError> {
        Ok(false)
    }
    async fn use_blob(&self, _: &BlobId, _: &SendId) -> Result<(), StorageError> {
        Ok(())
    }
    async fn making(&self, _: &AccountId) -> Result<Vec<Making>, StorageError> {
        Ok(Vec::new())
    }
    async fn staged(&self, _: u32) -> Result<Vec<StoredBlob>, StorageError> {
        Ok(Vec::new())
    }
    async fn part(&self, _: &Blob, _: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        Ok(None)
    }
    async fn remove_blob(&self, _: &WorkspaceId, _: &BlobId) -> Result<Removal, StorageError> {
        Ok(Removal::Missing)
    }
    async fn expire(&self, _: Timestamp, _: Timestamp, _: u32) -> Result<u64, StorageError> {
        Ok(0)
    }
    async fn dying(&self, _: u32) -> Result<Vec<BlobId>, StorageError> {
        Ok(Vec::new())
    }
    async fn bury(&self, _: &[BlobId]) -> Result<(), StorageError> {
        Ok(())
    }
    async fn share(
        &self,
        shared: &[SharedAttachment],
        enough: Timestamp,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        assert!(Timestamp::now() < enough && enough < until);
        if self.down.load(Ordering::Relaxed) {
            return Err(StorageError::Unavailable("as the test wants it".into()));
        }
        let mut all = self.shared.lock().unwrap();
        for one in shared {
            all.entry(one.attachment.token).or_insert(one.clone());
        }
        Ok(())
    }
    async fn attachment(&self, _: &[u8; 32]) -> Result<Option<StoredAttachment>, StorageError> {
        Ok(self.attachment.lock().unwrap().clone())
    }
    async fn attach(&self, _: &[u8; 32], _: &BlobId) -> Result<(), StorageError> {
        Ok(())
    }
}
