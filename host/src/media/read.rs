//! Bytes out of the store, any range of them.

use super::{Inner, of_storage, of_store, path_of};
use crate::domain::media::{Blob, BlobError};
use crate::runtime::port::ByteStream;
use crate::storage::blobs::StoredBlob;
use crate::storage::chunks::{CHUNK, SEALED_CHUNK, last_chunk, sealed_range};
use bytes::Bytes;
use futures::stream::{BoxStream, try_unfold};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{GetOptions, GetRange, ObjectStore as _};
use std::io;
use std::ops::Range;
use std::sync::Arc;

impl Inner {
    pub(super) async fn read(
        self: Arc<Self>,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<ByteStream, BlobError> {
        let stored = self.find(&blob.owner.workspace, &blob.id).await?;
        let range = range.start..range.end.min(stored.blob.size);
        if range.is_empty() {
            return Ok(Box::pin(futures::stream::empty()));
        }
        if stored.staged {
            return Ok(self.parts(stored.blob, range));
        }
        self.object(&stored, range).await
    }

    /// What a provider appended and what is not in the store yet. When it gets there meanwhile, the
    /// rest comes from the store.
    pub(super) fn parts(self: Arc<Self>, blob: Blob, range: Range<u64>) -> ByteStream {
        enum State {
            Parts(u64),
            Store(ByteStream),
        }
        let end = range.end;
        let stream = try_unfold(State::Parts(range.start), move |state| {
            let (inner, blob) = (self.clone(), blob.clone());
            async move {
                let at = match state {
                    State::Store(mut stream) => {
                        let next = stream.next().await.transpose()?;
                        return Ok(next.map(|bytes| (bytes, State::Store(stream))));
                    }
                    State::Parts(at) if at >= end => return Ok(None),
                    State::Parts(at) => at,
                };
                let part = inner.rows.part(&blob, at).await.map_err(io::Error::other)?;
                if let Some((begin, bytes)) = part {
                    let from = usize::try_from(at - begin).unwrap_or(usize::MAX);
                    let to = bytes.len().min((end - begin) as usize);
                    if from < to {
                        let piece = Bytes::from(bytes).slice(from..to);
                        let next = State::Parts(at + piece.len() as u64);
                        return Ok(Some((piece, next)));
                    }
                }
                let stored = inner.find(&blob.owner.workspace, &blob.id).await;
                let stored = stored.map_err(io::Error::other)?;
                if stored.staged {
                    return Err(io::Error::other("a part of the medium is missing"));
                }
                let rest = inner.object(&stored, at..end).await;
                let mut rest = rest.map_err(io::Error::other)?;
                let next = rest.next().await.transpose()?;
                Ok(next.map(|bytes| (bytes, State::Store(rest))))
            }
        });
        Box::pin(stream)
    }

    async fn object(
        &self,
        stored: &StoredBlob,
        range: Range<u64>,
    ) -> Result<ByteStream, BlobError> {
        let (first, sealed) = sealed_range(stored.blob.size, &range);
        let options = GetOptions {
            range: Some(GetRange::Bounded(sealed)),
            ..GetOptions::default()
        };
        let found = self
            .objects
            .get_opts(&path_of(&stored.blob.id), options)
            .await
            .map_err(of_store)?;
        let opening = Opening {
            sealed: found.into_stream(),
            buffer: Vec::with_capacity(SEALED_CHUNK),
            rest: Bytes::new(),
            number: first,
            last: last_chunk(stored.blob.size),
            skip: (range.start - first * CHUNK as u64) as usize,
            left: range.end - range.start,
            key: stored.key.clone(),
        };
        Ok(Box::pin(try_unfold(opening, |mut opening| async move {
            Ok(opening.next().await?.map(|bytes| (bytes, opening)))
        })))
    }

    pub(super) async fn staged(&self, limit: u32) -> Result<Vec<StoredBlob>, BlobError> {
        self.rows.staged(limit).await.map_err(of_storage)
    }
}

/// A range of a content whose chunks are opened one after the other.
struct Opening {
    sealed: BoxStream<'static, object_store::Result<Bytes>>,
    /// Of the chunk that is being collected.
    buffer: Vec<u8>,
    /// Of what the store gave last.
    rest: Bytes,
    number: u64,
    last: u64,
    /// Bytes of the first chunk that are before the range.
    skip: usize,
    left: u64,
    key: crate::storage::chunks::ContentKey,
}

impl Opening {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        while self.buffer.len() < SEALED_CHUNK {
            if self.rest.is_empty() {
                match self.sealed.try_next().await.map_err(io::Error::other)? {
                    Some(bytes) => self.rest = bytes,
                    None => break,
                }
            }
            let room = SEALED_CHUNK - self.buffer.len();
            let taken = self.rest.split_to(self.rest.len().min(room));
            self.buffer.extend_from_slice(&taken);
        }
        let mut chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(SEALED_CHUNK));
        self.key
            .open(self.number, self.number == self.last, &mut chunk)
            .ok_or_else(|| io::Error::other("the media store holds an unreadable medium"))?;
        self.number += 1;
        let mut plain = Bytes::from(chunk);
        plain = plain.split_off(self.skip.min(plain.len()));
        self.skip = 0;
        plain.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        if plain.is_empty() {
            return Err(io::Error::other(
                "the media store holds too little of a medium",
            ));
        }
        self.left -= plain.len() as u64;
        Ok(Some(plain))
    }
}
