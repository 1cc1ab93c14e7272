//! What clients carry for the host, sealed so that they can neither read nor make it: reply tokens,
//! what a channel needs to target a message later, and cursors of lists. And what makes the
//! addresses at which channels call, and those of pictures, unguessable.

use crate::api::{self, OpenedToken, PictureAddress, ReplyTarget};
use crate::domain::media::BlobId;
use crate::domain::{AccountId, Timestamp};
use crate::runtime::normalize;
use crate::storage::seal::TokenSealer;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};

impl api::Sealer for Tokens {
    fn seal_for(&self, purpose: &str, plain: &[u8]) -> String {
        self.sealer.seal(purpose, plain)
    }

    fn open_for(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        self.sealer.open(purpose, sealed)
    }
}

const PREFIX: &str = "rt1.";
const PURPOSE: &str = "reply";

/// Before what is sealed into an address of a blob: attachments' tokens have none.
const BLOB_PREFIX: &str = "b1.";
const BLOB_PURPOSE: &str = "blob";
const PICTURE_PURPOSE: &str = "picture";

pub struct Tokens {
    sealer: TokenSealer,
    /// Where the addresses of attachments begin.
    base: String,
    /// Where public addresses begin, if this host has any.
    public: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct BlobPlain {
    #[serde(rename = "b")]
    blob: BlobId,
    #[serde(rename = "u")]
    until: u64,
}

/// Short keys: the token travels with every message.
#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    #[serde(rename = "a", borrow)]
    account: Cow<'a, str>,
    #[serde(rename = "c", borrow)]
    conversation: Cow<'a, str>,
    #[serde(rename = "m", borrow)]
    message: Cow<'a, str>,
    #[serde(rename = "s", borrow, default, skip_serializing_if = "Option::is_none")]
    sender: Option<Cow<'a, str>>,
    #[serde(rename = "r", borrow, default, skip_serializing_if = "Option::is_none")]
    reply_context: Option<Cow<'a, str>>,
}

impl Tokens {
    /// `public`: how others reach this host, as the operator says; `address`: where it listens.
    pub fn new(sealer: TokenSealer, public: Option<&str>, address: SocketAddr) -> Self {
        let public = public.map(|url| url.trim_end_matches('/').to_owned());
        let mut address = address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        Self {
            sealer,
            base: public
                .clone()
                .unwrap_or_else(|| format!("http://{address}")),
            public: public.filter(|url| url.starts_with("https://")),
        }
    }
}

impl normalize::ReplyTokens for Tokens {
    fn seal(
        &self,
        account: &AccountId,
        conversation: &str,
        message: &str,
        sender: Option<&str>,
        reply_context: Option<&str>,
    ) -> String {
        let plain = Plain {
            account: account.as_str().into(),
            conversation: conversation.into(),
            message: message.into(),
            sender: sender.map(Into::into),
            reply_context: reply_context.map(Into::into),
        };
        let bytes = serde_json::to_vec(&plain).unwrap_or_default();
        format!("{PREFIX}{}", self.sealer.seal(PURPOSE, &bytes))
    }

    fn attachment_url(&self, token: &str) -> Option<String> {
        Some(format!("{}/media/{token}", self.base))
    }

    fn blob_url(&self, blob: &BlobId, until: Timestamp) -> Option<String> {
        let base = self.public.as_ref()?;
        let plain = BlobPlain {
            blob: blob.clone(),
            until: until.0,
        };
        let sealed = self
            .sealer
            .seal(BLOB_PURPOSE, &serde_json::to_vec(&plain).ok()?);
        Some(format!("{base}/media/{BLOB_PREFIX}{sealed}"))
    }
}

impl api::ReplyTokens for Tokens {
    fn open_blob_token(&self, token: &str) -> Option<(BlobId, Timestamp)> {
        let sealed = token.strip_prefix(BLOB_PREFIX)?;
        let bytes = self.sealer.open(BLOB_PURPOSE, sealed)?;
        let plain: BlobPlain = serde_json::from_slice(&bytes).ok()?;
        Some((plain.blob, Timestamp(plain.until)))
    }

    fn picture_address(
        &self,
        account: &AccountId,
        [kind, name]: [&str; 2],
    ) -> Option<PictureAddress> {
        let texts = [account.as_str(), kind, name];
        let token = self.sealer.long_mark(PICTURE_PURPOSE, &texts);
        let url = normalize::ReplyTokens::attachment_url(self, &token)?;
        Some(PictureAddress { token, url })
    }

    fn seal(&self, account: &AccountId, target: &ReplyTarget) -> String {
        normalize::ReplyTokens::seal(
            self,
            account,
            &target.conversation,
            &target.message,
            target.sender.as_deref(),
            target.reply_context.as_deref(),
        )
    }

    fn open(&self, account: &AccountId, token: &str) -> OpenedToken {
        let Some(sealed) = token.strip_prefix(PREFIX) else {
            return OpenedToken::Foreign;
        };
        let Some(bytes) = self.sealer.open(PURPOSE, sealed) else {
            return OpenedToken::Invalid;
        };
        match serde_json::from_slice::<Plain<'_>>(&bytes) {
            Ok(plain) if plain.account == account.as_str() => OpenedToken::Target(ReplyTarget {
                conversation: plain.conversation.into_owned(),
                message: plain.message.into_owned(),
                sender: plain.sender.map(Cow::into_owned),
                reply_context: plain.reply_context.map(Cow::into_owned),
            }),
            _ => OpenedToken::Invalid,
        }
    }
}

impl api::IngressTokens for Tokens {
    fn of(&self, account: &AccountId) -> String {
        self.sealer.mark("ingress", account.as_str())
    }
}
