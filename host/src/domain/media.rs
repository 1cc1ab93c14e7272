//! Blobs: bytes that the host keeps for clients and providers, and what is known of them.

use super::error::{Failure, FailureCode};
use super::{AccountId, WorkspaceId};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Names a blob. Cannot be guessed: 122 random bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(String);

impl BlobId {
    pub fn generate() -> Self {
        Self(format!("med_{}", Uuid::new_v4().simple()))
    }

    /// Any text that somebody names one by; whether it exists is for storage to say.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose a blob is. With an account, its bytes are unreadable once the account is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobOwner {
    pub workspace: WorkspaceId,
    pub account: Option<AccountId>,
}

impl BlobOwner {
    /// May this account's provider have it? What belongs to the workspace is for all its accounts.
    pub fn lets(&self, account: &AccountId) -> bool {
        self.account.as_ref().is_none_or(|own| own == account)
    }
}

/// What is known of the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobMeta {
    /// As its maker said, else as its first bytes look.
    pub mime: Option<String>,
    pub filename: Option<String>,
    /// As its first bytes look.
    #[serde(default)]
    pub sniffed: Option<String>,
    /// Lower-case hex; none for those that a provider made.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// A blob whose bytes are all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub id: BlobId,
    pub owner: BlobOwner,
    pub size: u64,
    pub meta: BlobMeta,
    pub created_at: super::Timestamp,
    /// Kept at least until then, and longer while something refers to it.
    pub keep_until: super::Timestamp,
}

/// An attachment of an event whose bytes are at the channel, or in the store.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AttachmentSource {
    /// What `media.fetch` needs.
    pub reference: Option<String>,
    pub mime: Option<String>,
    pub filename: Option<String>,
}

/// References may be keys to the bytes.
impl fmt::Debug for AttachmentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachmentSource").finish_non_exhaustive()
    }
}

/// An attachment that an event to be appended gives an address.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAttachment {
    /// SHA-256 of the token in the address.
    pub token: [u8; 32],
    pub source: AttachmentSource,
    pub blob: Option<BlobId>,
}

/// Why bytes could not be put into the store or had from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// It is not there, is not whole yet, or belongs to somebody else.
    #[error("there is no such medium")]
    NotFound,
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    #[error("media of type {0} are not taken by this host")]
    TypeRefused(String),
    /// Whoever gave the bytes stopped before their end.
    #[error("the bytes ended before they were complete: {0}")]
    Cut(String),
    /// The store or the database failed.
    #[error("the media store does not answer: {0}")]
    Unavailable(String),
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        let code = match &error {
            BlobError::NotFound => FailureCode::NotFound,
            BlobError::TooLarge(_) => FailureCode::QuotaExceeded,
            BlobError::TypeRefused(_) => FailureCode::Invalid,
            BlobError::Cut(_) | BlobError::Unavailable(_) => FailureCode::Unavailable,
        };
        match error {
            // What the store says is for the log.
            BlobError::Unavailable(detail) => Failure {
                detail: Some(detail),
                ..Failure::new(code, "the media store does not answer now")
            },
            other => Failure::new(code, other.to_string()),
        }
    }
}

/// The type that bytes begin like, if it is a known one.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    infer::get(head).map(|found| found.mime_type())
}

/// Is it `type/subtype`, without parameters?
pub fn is_mime(text: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.len() <= 255
        && text
            .split_once('/')
            .is_some_and(|(a, b)| fits(a) && fits(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_first_bytes() {
        assert!(is_mime("image/svg+xml"));
        for wrong in [
            "",
            "image",
            "image/",
            "/png",
            "image/png; a=b",
            "a/b/c",
            "a/\n",
        ] {
            assert!(!is_mime(wrong), "{wrong}");
        }
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Some("image/png"));
        assert_eq!(sniff(b"nothing known"), None);
        assert_eq!(sniff(b""), None);
    }

    #[test]
    fn ids_differ_and_are_long() {
        let (one, other) = (BlobId::generate(), BlobId::generate());
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 36);
    }
}
