//! What happens by itself: what providers made goes to the store, what nobody needs goes away.

use super::{Inner, Media, of_storage, of_store, path_of};
use crate::domain::Timestamp;
use crate::domain::media::{BlobError, BlobId};
use object_store::ObjectStoreExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// What providers made is looked for so often.
const LOOK: Duration = Duration::from_secs(1);
/// Rows of one step.
const STEP: u32 = 100;
/// Contents that are moved before anything else is done.
const MOVES: u32 = 4;
/// What something refers to is looked at again after this at most.
const AGAIN_MS: u64 = 60 * 60 * 1000;

impl Media {
    /// Until the task is aborted. `sweep`: how often what is over is removed.
    pub fn keep_tidy(&self, sweep: Duration) -> JoinHandle<()> {
        let inner = self.0.clone();
        tokio::spawn(async move {
            let mut swept = tokio::time::Instant::now();
            loop {
                tokio::time::sleep(LOOK.min(sweep)).await;
                if let Err(error) = inner.clone().move_staged().await {
                    tracing::warn!(%error, "what providers made does not get into the media store");
                }
                if swept.elapsed() >= sweep {
                    swept = tokio::time::Instant::now();
                    if let Err(error) = inner.sweep(Timestamp::now()).await {
                        tracing::warn!(%error, "media that are over are not removed");
                    }
                }
            }
        })
    }

    /// One pass of all that; for tests, which do not wait.
    pub async fn tidy_up(&self, now: Timestamp) -> Result<(), BlobError> {
        self.0.clone().move_staged().await?;
        self.0.sweep(now).await
    }
}

impl Inner {
    /// From the database, where their commits have put the parts, to where blobs are.
    async fn move_staged(self: Arc<Self>) -> Result<(), BlobError> {
        loop {
            let staged = self.staged(MOVES).await?;
            let more = staged.len() == MOVES as usize;
            for stored in staged {
                let mut blob = stored.blob;
                let bytes = self.clone().parts(blob.clone(), 0..blob.size);
                let written = self.write(&blob.id, &stored.key, bytes, blob.size).await?;
                if written.size != blob.size {
                    return Err(BlobError::Unavailable(format!(
                        "of {} there are {} bytes, not {}",
                        blob.id, written.size, blob.size
                    )));
                }
                blob.meta.sha256 = Some(written.sha256);
                let sealed = self.rows.seal_blob(&blob, &stored.key).await;
                sealed.map_err(of_storage)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), BlobError> {
        let again = now.plus_ms(self.settings.keep_ms.clamp(1000, AGAIN_MS));
        let rows = &self.rows;
        while rows.expire(now, again, STEP).await.map_err(of_storage)? == u64::from(STEP) {}
        loop {
            let dying = rows.dying(STEP).await.map_err(of_storage)?;
            for id in &dying {
                self.remove(id).await?;
            }
            rows.bury(&dying).await.map_err(of_storage)?;
            if dying.len() < STEP as usize {
                return Ok(());
            }
        }
    }

    async fn remove(&self, id: &BlobId) -> Result<(), BlobError> {
        match self.objects.delete(&path_of(id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(of_store(error)),
        }
        if let Some(directory) = &self.directory {
            let (directory, id) = (directory.clone(), id.clone());
            let removed = tokio::task::spawn_blocking(move || remove_begun(directory, &id)).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(%error, "what an interrupted upload left is not removed");
            }
        }
        Ok(())
    }
}

/// What a process left that ended while it wrote: beside the file, its name and a number.
fn remove_begun(directory: PathBuf, id: &BlobId) -> std::io::Result<()> {
    let path = path_of(id).to_string();
    let path = directory.join(path);
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let begun = format!("{}#", id.as_str());
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&begun) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
