//! Contents of every length on a local folder, and on an S3-compatible server if
//! `ANYPORT_TEST_S3` says where one is (`http://127.0.0.1:5555`, any key).
#![allow(clippy::unwrap_used)]

use super::*;
use crate::domain::Timestamp;
use crate::domain::media::BlobOwner;
use crate::network::objects::ObjectClient;
use crate::network::{Network, NetworkSettings};
use crate::storage::chunks::{CHUNK, SEALED_CHUNK};
use crate::storage::sql::SqlStore;
use crate::storage::sqlite::SqliteSettings;
use crate::storage::{Store as _, Workspace};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

const LATER: Timestamp = Timestamp(u64::MAX / 4);

struct World {
    media: Media,
    store: Arc<SqlStore>,
    owner: BlobOwner,
    directory: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(None, Settings::default()).await
    }

    async fn with(place: Option<Place>, settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteSettings::in_directory(directory.path()).open().await;
        let store = Arc::new(store.unwrap());
        let workspace = Workspace {
            id: WorkspaceId::generate(),
            name: "Test".to_owned(),
            status: "active".to_owned(),
            metadata: serde_json::json!({}),
            account_quota: None,
        };
        store.put_workspace(&workspace).await.unwrap();
        let local = Place::Local(directory.path().join("media"));
        let media = Media::open(store.clone(), place.unwrap_or(local), settings).unwrap();
        Self {
            media,
            store,
            owner: BlobOwner {
                workspace: workspace.id,
                account: None,
            },
            directory,
        }
    }

    fn new_blob(&self) -> NewBlob {
        NewBlob {
            owner: self.owner.clone(),
            mime: None,
            filename: Some("a.bin".to_owned()),
            max_bytes: None,
        }
    }

    async fn make(&self, bytes: &[u8]) -> Result<Blob, BlobError> {
        self.media.make(self.new_blob(), pieces(bytes, 7_777)).await
    }

    async fn read(&self, blob: &Blob, range: Range<u64>) -> io::Result<Vec<u8>> {
        let stream = self.media.read(blob, range).await.unwrap();
        let read: Vec<Bytes> = stream.try_collect().await?;
        Ok(read.concat())
    }

    /// Every file below the folder of a local store.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.directory.path().join("media")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files
    }
}

fn pieces(bytes: &[u8], size: usize) -> ByteStream {
    let pieces: Vec<io::Result<Bytes>> = bytes
        .chunks(size)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    Box::pin(futures::stream::iter(pieces))
}

fn some_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// One part of an upload and a bit.
const TWO_PARTS: usize = 80 * SEALED_CHUNK + 100;

async fn lengths_and_ranges(world: &World) {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5, TWO_PARTS] {
        let bytes = some_bytes(length);
        let blob = world.make(&bytes).await.unwrap();
        assert_eq!(blob.size, length as u64);
        let hash = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
        assert_eq!(blob.meta.sha256, Some(hex::encode(hash)));
        let found = world.media.stat(&world.owner.workspace, &blob.id).await;
        assert_eq!(found.unwrap(), blob);
        assert!(world.read(&blob, 0..blob.size).await.unwrap() == bytes);
        let end = length as u64;
        for range in [
            0..end.min(1),
            end.saturating_sub(3)..end,
            (end / 2)..end,
            (end / 3)..(end / 2),
            (CHUNK as u64 - 1)..(CHUNK as u64 + 2),
            end..end + 10,
        ] {
            let (from, to) = (range.start.min(end), range.end.min(end));
            let wanted = &bytes[from.min(to) as usize..to as usize];
            let read = world.read(&blob, range.clone()).await.unwrap();
            assert!(read == wanted, "{range:?} of {length}");
        }
    }
}

#[tokio::test]
async fn every_length_and_range_comes_back() {
    lengths_and_ranges(&World::new().await).await;
}

#[tokio::test]
async fn also_from_s3() {
    let Ok(endpoint) = std::env::var("ANYPORT_TEST_S3") else {
        return;
    };
    let network = Network::new(NetworkSettings::default()).unwrap();
    let client = ObjectClient::new(&network.dialer());
    let place = Place::S3(S3 {
        bucket: "anyport-test".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint),
        access_key_id: "test".to_owned(),
        secret_access_key: "test".to_owned().into(),
        client: Box::new(client),
    });
    let world = World::with(Some(place), Settings::default()).await;
    lengths_and_ranges(&world).await;
    let blob = world.make(b"short").await.unwrap();
    let rows = world.media.rows();
    rows.remove_blob(&world.owner.workspace, &blob.id)
        .await
        .unwrap();
    world.media.tidy_up(Timestamp(0)).await.unwrap();
    let gone = world
        .media
        .0
        .objects
        .get_opts(&path_of(&blob.id), Default::default())
        .await;
    assert!(matches!(gone, Err(object_store::Error::NotFound { .. })));
}

#[tokio::test]
async fn nothing_plain_is_on_the_disk_and_damage_is_noticed() {
    let world = World::new().await;
    let bytes = b"a very plain text indeed ".repeat(10_000);
    let blob = world.make(&bytes).await.unwrap();
    let files = world.files();
    assert_eq!(files.len(), 1);
    let stored = std::fs::read(&files[0]).unwrap();
    assert!(!stored.windows(10).any(|window| window == b"very plain"));
    let database = std::fs::read(world.directory.path().join("anyport.db")).unwrap();
    assert!(!database.windows(5).any(|window| window == b"a.bin"));

    let mut damaged = stored.clone();
    damaged[SEALED_CHUNK + 5] ^= 1;
    std::fs::write(&files[0], &damaged).unwrap();
    assert!(world.read(&blob, 0..blob.size).await.is_err());
    // What is before and behind it is still what it was.
    let behind = 2 * CHUNK as u64;
    let read = world.read(&blob, behind..behind + 5).await.unwrap();
    assert!(read == bytes[behind as usize..behind as usize + 5]);
    // Cut off: neither the last chunk nor a missing one is taken for the end.
    std::fs::write(&files[0], &stored[..stored.len() - SEALED_CHUNK]).unwrap();
    assert!(world.read(&blob, 0..blob.size).await.is_err());
}

#[tokio::test]
async fn limits_of_size_and_type() {
    let settings = Settings {
        max_bytes: 100_000,
        types: vec!["image/*".to_owned(), "application/pdf".to_owned()],
        ..Settings::default()
    };
    let world = World::with(None, settings).await;
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &some_bytes(90_000)].concat();
    let blob = world.make(&png).await.unwrap();
    assert_eq!(blob.meta.mime.as_deref(), Some("image/png"));
    let large = [png.as_slice(), &some_bytes(10_000)].concat();
    let refused = world.make(&large).await.unwrap_err();
    assert_eq!(refused, BlobError::TooLarge(100_000));
    let refused = world.make(b"plain").await.unwrap_err();
    assert_eq!(
        refused,
        BlobError::TypeRefused("application/octet-stream".to_owned())
    );
    // What is said does not help if the bytes say otherwise.
    let said = NewBlob {
        mime: Some("image/png".to_owned()),
        ..world.new_blob()
    };
    let zip = b"PK\x03\x04 and so on".repeat(10);
    let refused = world.media.make(said, pieces(&zip, 10)).await.unwrap_err();
    assert_eq!(
        refused,
        BlobError::TypeRefused("application/zip".to_owned())
    );
    assert_eq!(world.files().len(), 1, "what was refused left something");
    let less = NewBlob {
        max_bytes: Some(10),
        ..world.new_blob()
    };
    let refused = world.media.make(less, pieces(&png, 10)).await.unwrap_err();
    assert_eq!(refused, BlobError::TooLarge(10));
}

#[tokio::test]
async fn a_cut_upload_leaves_nothing() {
    let world = World::new().await;
    for length in [10, 5_000, TWO_PARTS + 1] {
        let bytes = some_bytes(length);
        let cut = futures::stream::iter([Err(io::Error::other("the line broke"))]);
        let stream = Box::pin(pieces(&bytes, 60_000).chain(cut));
        let refused = world
            .media
            .make(world.new_blob(), stream)
            .await
            .unwrap_err();
        assert_eq!(refused, BlobError::Cut("the line broke".to_owned()));
    }
    world.media.tidy_up(Timestamp(0)).await.unwrap();
    assert!(world.files().is_empty(), "{:?}", world.files());
    assert!(world.media.rows().dying(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_nobody_needs_goes_and_what_a_dead_process_left() {
    let world = World::new().await;
    let (kept, gone) = (
        world.make(b"kept").await.unwrap(),
        world.make(b"gone").await.unwrap(),
    );
    let rows = world.media.rows();
    rows.keep_blob(&kept.id, LATER).await.unwrap();
    let begun = format!("{}#1", path_of(&gone.id));
    let begun = world.directory.path().join("media").join(begun);
    std::fs::write(&begun, b"half").unwrap();
    assert_eq!(world.files().len(), 3);
    world.media.tidy_up(Timestamp::now()).await.unwrap();
    assert_eq!(world.files().len(), 3, "they are young");
    world
        .media
        .tidy_up(gone.keep_until.plus_ms(1))
        .await
        .unwrap();
    assert_eq!(world.files().len(), 1);
    assert_eq!(world.read(&kept, 0..4).await.unwrap(), b"kept");
    let found = world.media.stat(&world.owner.workspace, &gone.id).await;
    assert_eq!(found, Err(BlobError::NotFound));
    drop(world.store);
}

/// Bytes that count themselves for as long as somebody holds them.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

/// A source is asked for the next piece only when the one before was put away: however long a
/// content is, what of it waits in memory is a few pieces and one part.
#[tokio::test]
async fn no_more_than_a_few_pieces_are_held() {
    const PIECE: usize = 256 * 1024;
    const PIECES: usize = 200;
    let world = World::new().await;
    let held = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (holds, peak) = (held.clone(), most.clone());
    let source = futures::stream::iter(0..PIECES).map(move |number| {
        let now = holds.fetch_add(PIECE, Ordering::SeqCst) + PIECE;
        peak.fetch_max(now, Ordering::SeqCst);
        let bytes = vec![number as u8; PIECE];
        Ok(Bytes::from_owner(Counted(bytes, holds.clone())))
    });
    let blob = world.media.make(world.new_blob(), Box::pin(source)).await;
    let blob = blob.unwrap();
    assert_eq!(blob.size, (PIECE * PIECES) as u64);
    assert!(most.load(Ordering::SeqCst) <= 2 * PIECE, "{most:?}");
    assert_eq!(held.load(Ordering::SeqCst), 0);

    // A reader that takes little gets little: nothing is read ahead of it but a chunk.
    let mut stream = world.media.read(&blob, 0..blob.size).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.len(), CHUNK);
}
