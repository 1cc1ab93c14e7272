//! Addresses of the pictures in answers: of one picture always the same one, good without a key
//! like those of attachments. Must never fail a read: what has no address has an empty one.

use super::Shared;
use crate::domain::AccountId;
use crate::domain::Timestamp;
use crate::domain::chat::{Avatar, Contact, Conversation, Label, Member};
use crate::domain::media::{AttachmentSource, BlobId, NewAttachment};
use crate::storage::blobs::SharedAttachment;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What may have a picture.
pub trait Pictured {
    fn avatar(&self) -> Option<&Avatar> {
        None
    }
}

impl Pictured for Conversation {
    fn avatar(&self) -> Option<&Avatar> {
        self.avatar.as_ref()
    }
}

impl Pictured for Contact {
    fn avatar(&self) -> Option<&Avatar> {
        self.avatar.as_ref()
    }
}

impl Pictured for Member {
    fn avatar(&self) -> Option<&Avatar> {
        self.contact.avatar.as_ref()
    }
}

impl Pictured for Label {}

/// A message in its published form.
impl Pictured for Value {}

/// An address that the host makes of a picture's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureAddress {
    /// As it stands in the address.
    pub token: String,
    pub url: String,
}

/// Whose picture it is.
pub struct Asked<'a> {
    pub account: &'a AccountId,
    pub avatar: Option<&'a Avatar>,
    /// Does the provider get what a reference names?
    pub can_fetch: bool,
}

type Rows = BTreeMap<[u8; 32], SharedAttachment>;

/// One for each, in their order; empty where there is no picture, or no way to it.
pub async fn addresses(api: &Shared, asked: &[Asked<'_>]) -> Vec<String> {
    let mut rows = Rows::new();
    let address = |one| address(api, one, &mut rows).unwrap_or_default();
    let urls: Vec<String> = asked.iter().map(address).collect();
    if rows.is_empty() {
        return urls;
    }
    let rows: Vec<SharedAttachment> = rows.into_values().collect();
    let now = Timestamp::now();
    let keep = api.settings.media_keep_ms;
    // Each read promises `keep`; with twice that, most reads write nothing.
    let (enough, until) = (now.plus_ms(keep), now.plus_ms(keep.saturating_mul(2)));
    match api.blob_rows.share(&rows, enough, until).await {
        Ok(()) => urls,
        Err(error) => {
            tracing::warn!(%error, pictures = rows.len(), "pictures are shown without addresses");
            vec![String::new(); urls.len()]
        }
    }
}

fn address(api: &Shared, asked: &Asked<'_>, rows: &mut Rows) -> Option<String> {
    let avatar = asked.avatar?;
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let reference = text(&avatar.reference).filter(|_| asked.can_fetch);
    let blob = text(&avatar.blob);
    // The reference first: the bytes may have been fetched since the last answer.
    let name = match (&reference, &blob) {
        (Some(reference), _) => ["reference", reference],
        (None, Some(blob)) => ["blob", blob],
        (None, None) => return None,
    };
    let address = api.reply_tokens.picture_address(asked.account, name)?;
    let token: [u8; 32] = Sha256::digest(address.token.as_bytes()).into();
    rows.entry(token).or_insert_with(|| SharedAttachment {
        account: asked.account.clone(),
        attachment: NewAttachment {
            token,
            blob: blob.map(BlobId::from_text),
            source: AttachmentSource {
                reference,
                mime: avatar.mime.clone(),
                filename: None,
            },
        },
    });
    Some(address.url)
}
