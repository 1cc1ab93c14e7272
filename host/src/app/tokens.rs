//! What clients carry for the host, sealed so that they can neither read nor make it: reply tokens,
//! what a channel needs to target a message later, and cursors of lists. And what makes the
//! addresses at which channels call unguessable.

use crate::api::{self, OpenedToken, ReplyTarget};
use crate::domain::AccountId;
use crate::runtime::normalize;
use crate::storage::seal::TokenSealer;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

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

pub struct Tokens {
    sealer: TokenSealer,
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
    pub fn new(sealer: TokenSealer) -> Self {
        Self { sealer }
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
}

impl api::ReplyTokens for Tokens {
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
