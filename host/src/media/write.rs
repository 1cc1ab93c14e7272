//! Bytes into the store.

use super::{Inner, of_storage, of_store, path_of};
use crate::domain::Timestamp;
use crate::domain::media::{Blob, BlobError, BlobId, BlobMeta, is_mime, sniff};
use crate::runtime::port::{ByteStream, NewBlob};
use crate::storage::DAY_MS;
use crate::storage::chunks::{CHUNK, ContentKey, SEALED_CHUNK};
use bytes::Bytes;
use futures::StreamExt as _;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What is enough to see a type.
const HEAD: usize = 4096;
/// Bytes that go to the store at once; S3 takes parts from 5 MiB on.
const PART: usize = 80 * SEALED_CHUNK;

/// What was written.
pub(super) struct Written {
    pub size: u64,
    pub sha256: String,
}

impl Inner {
    pub(super) async fn make(
        self: Arc<Self>,
        new: NewBlob,
        mut bytes: ByteStream,
    ) -> Result<Blob, BlobError> {
        let limit = new.max_bytes.unwrap_or(u64::MAX);
        let limit = limit.min(self.settings.max_bytes);
        let mut head = Vec::new();
        while head.len() < HEAD {
            match bytes.next().await {
                Some(Ok(piece)) => head.extend_from_slice(&piece),
                Some(Err(error)) => return Err(BlobError::Cut(error.to_string())),
                None => break,
            }
        }
        let sniffed = sniff(&head[..head.len().min(HEAD)]);
        let said = new.mime.filter(|mime| is_mime(mime) && !says_nothing(mime));
        let mime = said.or(sniffed.map(str::to_owned));
        for mime in mime.iter().map(String::as_str).chain(sniffed) {
            if !self.settings.takes(mime) {
                return Err(BlobError::TypeRefused(mime.to_owned()));
            }
        }
        if mime.is_none() && !self.settings.takes("application/octet-stream") {
            return Err(BlobError::TypeRefused(
                "application/octet-stream".to_owned(),
            ));
        }
        let now = Timestamp::now();
        let key = ContentKey::generate();
        let mut blob = Blob {
            id: BlobId::generate(),
            owner: new.owner,
            size: 0,
            meta: BlobMeta {
                mime,
                filename: new.filename,
                sniffed: sniffed.map(str::to_owned),
                sha256: None,
            },
            created_at: now,
            // Whatever becomes of this process.
            keep_until: now.plus_ms(DAY_MS),
        };
        let rows = &self.rows;
        rows.begin_blob(&blob, &key).await.map_err(of_storage)?;
        let head = futures::stream::iter([Ok(Bytes::from(head))]);
        let all: ByteStream = Box::pin(head.chain(bytes));
        let written = match self.write(&blob.id, &key, all, limit).await {
            Ok(written) => written,
            Err(error) => {
                self.give_up(&blob.id).await;
                return Err(error);
            }
        };
        blob.size = written.size;
        blob.meta.sha256 = Some(written.sha256);
        blob.keep_until = Timestamp::now().plus_ms(self.settings.keep_ms);
        match rows.seal_blob(&blob, &key).await {
            Ok(true) => Ok(blob),
            // Its account was deleted meanwhile.
            Ok(false) => Err(BlobError::NotFound),
            Err(error) => {
                self.give_up(&blob.id).await;
                Err(of_storage(error))
            }
        }
    }

    async fn give_up(&self, id: &BlobId) {
        if let Err(error) = self.rows.give_up_blob(id).await {
            tracing::debug!(%error, "a medium that did not become whole is removed after a day");
        }
    }

    /// Seals the bytes and puts them where the blob's are.
    pub(super) async fn write(
        &self,
        id: &BlobId,
        key: &ContentKey,
        bytes: ByteStream,
        limit: u64,
    ) -> Result<Written, BlobError> {
        let mut upload = Upload {
            inner: self,
            id,
            parts: None,
            waiting: Vec::new(),
        };
        let result = seal(&mut upload, key, bytes, limit).await;
        match (result, upload.parts.take()) {
            (Ok(written), None) => {
                let payload = PutPayload::from(std::mem::take(&mut upload.waiting));
                let put = self.objects.put(&path_of(id), payload).await;
                put.map_err(of_store).map(|_| written)
            }
            (Ok(written), Some(mut parts)) => {
                let last = PutPayload::from(std::mem::take(&mut upload.waiting));
                let done = match parts.put_part(last).await {
                    Ok(()) => parts.complete().await.map(|_| ()),
                    Err(error) => Err(error),
                };
                match done {
                    Ok(()) => Ok(written),
                    Err(error) => {
                        abort(parts).await;
                        Err(of_store(error))
                    }
                }
            }
            (Err(error), parts) => {
                if let Some(parts) = parts {
                    abort(parts).await;
                }
                Err(error)
            }
        }
    }
}

async fn abort(mut parts: Box<dyn MultipartUpload>) {
    if let Err(error) = parts.abort().await {
        tracing::debug!(%error, "an upload to the media store was not taken back");
    }
}

/// A type that everything has.
fn says_nothing(mime: &str) -> bool {
    matches!(
        mime,
        "application/octet-stream" | "binary/octet-stream" | "application/x-www-form-urlencoded"
    )
}

async fn seal(
    upload: &mut Upload<'_>,
    key: &ContentKey,
    mut bytes: ByteStream,
    limit: u64,
) -> Result<Written, BlobError> {
    let (mut size, mut number) = (0u64, 0u64);
    let mut hash = Sha256::new();
    let mut chunk: Vec<u8> = Vec::with_capacity(SEALED_CHUNK);
    while let Some(piece) = bytes.next().await {
        let mut piece = piece.map_err(|error| BlobError::Cut(error.to_string()))?;
        size += piece.len() as u64;
        if size > limit {
            return Err(BlobError::TooLarge(limit));
        }
        hash.update(&piece);
        while !piece.is_empty() {
            if chunk.len() == CHUNK {
                // More follows, so this is not the last one.
                key.seal(number, false, &mut chunk);
                upload.take(&chunk).await?;
                chunk.clear();
                number += 1;
            }
            let taken = piece.split_to(piece.len().min(CHUNK - chunk.len()));
            chunk.extend_from_slice(&taken);
        }
    }
    key.seal(number, true, &mut chunk);
    upload.take(&chunk).await?;
    Ok(Written {
        size,
        sha256: hex::encode(hash.finalize()),
    })
}

/// Collects what goes to the store at once; a short content goes as one.
struct Upload<'u> {
    inner: &'u Inner,
    id: &'u BlobId,
    parts: Option<Box<dyn MultipartUpload>>,
    waiting: Vec<u8>,
}

impl Upload<'_> {
    async fn take(&mut self, sealed: &[u8]) -> Result<(), BlobError> {
        if self.waiting.len() + sealed.len() > PART {
            let part = std::mem::take(&mut self.waiting);
            let parts = match &mut self.parts {
                Some(parts) => parts,
                None => {
                    let begun = self.inner.objects.put_multipart(&path_of(self.id)).await;
                    self.parts.insert(begun.map_err(of_store)?)
                }
            };
            // The next part is made when the store has this one.
            parts
                .put_part(PutPayload::from(part))
                .await
                .map_err(of_store)?;
        }
        self.waiting.extend_from_slice(sealed);
        Ok(())
    }
}
