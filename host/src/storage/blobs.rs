//! What storage knows of blobs and of the addresses of attachments. The bytes themselves are not
//! here, but for the parts that providers append.

use super::StorageError;
use super::chunks::ContentKey;
use crate::domain::media::{AttachmentSource, Blob, BlobId, BlobMeta, NewAttachment};
use crate::domain::{AccountId, SendId, Timestamp, WorkspaceId};
use async_trait::async_trait;

/// A blob whose bytes are all there, and where.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    pub blob: Blob,
    pub key: ContentKey,
    /// Its bytes are parts in the database still, not in the media store.
    pub staged: bool,
}

/// A blob that a provider makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Making {
    pub id: BlobId,
    /// Of the provider's choice.
    pub label: String,
    pub size: u64,
    pub meta: BlobMeta,
    pub created_at: Timestamp,
}

/// A step of a provider's with a blob, part of its turn's commit.
#[derive(Clone, PartialEq)]
pub enum BlobWrite {
    Create(Making),
    /// To one that is being made.
    Append {
        id: BlobId,
        offset: u64,
        bytes: Vec<u8>,
    },
    Seal {
        id: BlobId,
        size: u64,
        meta: BlobMeta,
        keep_until: Timestamp,
    },
    /// One that is being made.
    Discard(BlobId),
    /// It is handed out for so long.
    Keep {
        id: BlobId,
        until: Timestamp,
    },
}

impl BlobWrite {
    /// Those that it carries.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Append { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

impl std::fmt::Debug for BlobWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create(making) => write!(f, "Create({})", making.id),
            Self::Append { id, offset, bytes } => {
                write!(f, "Append({id}, {offset}, {} bytes)", bytes.len())
            }
            Self::Seal { id, size, .. } => write!(f, "Seal({id}, {size})"),
            Self::Discard(id) => write!(f, "Discard({id})"),
            Self::Keep { id, until } => write!(f, "Keep({id}, {until:?})"),
        }
    }
}

/// An attachment of an event that is kept, or of no event and asked for not long ago.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAttachment {
    pub workspace: WorkspaceId,
    pub account: AccountId,
    pub source: AttachmentSource,
    /// Where its bytes are, once they were fetched.
    pub blob: Option<BlobId>,
}

/// An attachment of no event: a picture in an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedAttachment {
    pub account: AccountId,
    pub attachment: NewAttachment,
}

/// What became of the wish to remove a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Nobody sees it any more; [`BlobRows::dying`] names it until its bytes are gone, too.
    Begun,
    /// A send that is not settled, or an event that is kept, refers to it.
    InUse,
    /// There is no such blob (of this workspace).
    Missing,
}

/// The rows of the media store.
#[async_trait]
pub trait BlobRows: Send + Sync + 'static {
    /// One whose bytes are on their way. Refuses with `NotFound` where its owner is gone.
    async fn begin_blob(&self, blob: &Blob, key: &ContentKey) -> Result<(), StorageError>;
    /// All of its bytes are in the media store, under this key. False: it is gone.
    async fn seal_blob(&self, blob: &Blob, key: &ContentKey) -> Result<bool, StorageError>;
    /// One whose bytes do not come to their end.
    async fn give_up_blob(&self, id: &BlobId) -> Result<(), StorageError>;
    /// One whose bytes are all there; of this workspace, if one is named.
    async fn blob(
        &self,
        workspace: Option<&WorkspaceId>,
        id: &BlobId,
    ) -> Result<Option<StoredBlob>, StorageError>;
    /// Is kept until then at least. False: there is no such blob any more.
    async fn keep_blob(&self, id: &BlobId, until: Timestamp) -> Result<bool, StorageError>;
    /// As long as the send is not settled it refers to the blob.
    async fn use_blob(&self, id: &BlobId, send: &SendId) -> Result<(), StorageError>;

    /// Those that an account's provider is making, by label.
    async fn making(&self, account: &AccountId) -> Result<Vec<Making>, StorageError>;
    /// Some that are whole and not in the media store yet.
    async fn staged(&self, limit: u32) -> Result<Vec<StoredBlob>, StorageError>;
    /// The part that holds this place, with the place where it begins.
    async fn part(&self, blob: &Blob, offset: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError>;

    /// Removes it, unless something refers to it.
    async fn remove_blob(
        &self,
        workspace: &WorkspaceId,
        id: &BlobId,
    ) -> Result<Removal, StorageError>;
    /// One bounded step: what nothing refers to and nobody wants kept any more is dying from now
    /// on; what something refers to is looked at again at `again`. How many were looked at.
    async fn expire(
        &self,
        now: Timestamp,
        again: Timestamp,
        limit: u32,
    ) -> Result<u64, StorageError>;
    /// Some whose bytes are to be removed.
    async fn dying(&self, limit: u32) -> Result<Vec<BlobId>, StorageError>;
    /// Their bytes are gone.
    async fn bury(&self, ids: &[BlobId]) -> Result<(), StorageError>;

    /// Attachments that belong to no event, each token once. One that is there already stays as it
    /// is, and all are kept until `until`, unless they are kept until `enough` anyway. Those of
    /// accounts that are gone are left out.
    async fn share(
        &self,
        shared: &[SharedAttachment],
        enough: Timestamp,
        until: Timestamp,
    ) -> Result<(), StorageError>;
    /// By SHA-256 of the token in its address.
    async fn attachment(&self, token: &[u8; 32]) -> Result<Option<StoredAttachment>, StorageError>;
    /// Its bytes are there.
    async fn attach(&self, token: &[u8; 32], blob: &BlobId) -> Result<(), StorageError>;
}
