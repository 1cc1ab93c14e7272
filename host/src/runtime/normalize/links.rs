//! Addresses of attachments: an unguessable token each, of which only the hash is kept. The address
//! stands in the event, whose bytes never change; what it leads to is found when somebody asks.

use super::Build;
use super::shape::AttachmentBlock;
use crate::domain::media::{AttachmentSource, BlobId, NewAttachment};
use anyport_contract::anyport::provider::model::{Attachment, Content};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

impl Build<'_> {
    /// The blocks of a content's attachments, in their order.
    pub(super) fn link_content(&self, blocks: &mut [AttachmentBlock<'_>], content: &Content) {
        if let Content::Media(media) = content {
            for (block, from) in blocks.iter_mut().zip(&media.attachments) {
                self.link(block, from);
            }
        }
    }

    pub(super) fn link_avatar(
        &self,
        block: &mut Option<AttachmentBlock<'_>>,
        from: Option<&Attachment>,
    ) {
        if let (Some(block), Some(from)) = (block, from) {
            self.link(block, from);
        }
    }

    /// None for what nobody can get, or what the channel says is too big to get.
    fn link(&self, block: &mut AttachmentBlock<'_>, from: &Attachment) {
        let big = block.metadata.as_ref().and_then(|it| it.is_big_file);
        let there = from.blob.is_some() || from.reference.is_some();
        if !there || block.expired || big == Some(true) {
            return;
        }
        let mut secret = [0u8; 32];
        // Linux always has randomness; without it there is no address.
        if getrandom::fill(&mut secret).is_err() {
            return;
        }
        let token = URL_SAFE_NO_PAD.encode(secret);
        block.url = self.tokens.attachment_url(&token);
        if block.url.is_some() {
            self.made.borrow_mut().push(NewAttachment {
                token: Sha256::digest(token.as_bytes()).into(),
                source: AttachmentSource {
                    reference: from.reference.clone(),
                    mime: from.mime.clone(),
                    filename: from.filename.clone(),
                },
                blob: from.blob.as_deref().map(BlobId::from_text),
            });
        }
    }
}
