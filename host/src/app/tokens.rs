//! Reply tokens: what a channel needs to target a message later, sealed so that clients can
//! neither read nor make one, and bound to the account.

use crate::api::{self, OpenedToken};
use crate::domain::AccountId;
use crate::runtime::normalize;
use crate::storage::seal::TokenSealer;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "rt1.";
const PURPOSE: &str = "reply";

pub struct Tokens {
    sealer: TokenSealer,
}

#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    #[serde(rename = "a")]
    account: &'a str,
    /// What the provider gets back: its `reply-context`, or the message's id.
    #[serde(rename = "c")]
    context: std::borrow::Cow<'a, str>,
}

impl Tokens {
    pub fn new(sealer: TokenSealer) -> Self {
        Self { sealer }
    }

    fn make(&self, account: &AccountId, context: &str) -> String {
        let plain = Plain { account: account.as_str(), context: context.into() };
        let bytes = serde_json::to_vec(&plain).unwrap_or_default();
        format!("{PREFIX}{}", self.sealer.seal(PURPOSE, &bytes))
    }
}

impl normalize::ReplyTokens for Tokens {
    fn seal(
        &self,
        account: &AccountId,
        _conversation: &str,
        message: &str,
        _sender: Option<&str>,
        reply_context: Option<&str>,
    ) -> String {
        self.make(account, reply_context.unwrap_or(message))
    }
}

impl api::ReplyTokens for Tokens {
    fn seal(&self, account: &AccountId, context: &str) -> String {
        self.make(account, context)
    }

    fn open(&self, account: &AccountId, token: &str) -> OpenedToken {
        let Some(sealed) = token.strip_prefix(PREFIX) else { return OpenedToken::Foreign };
        let Some(bytes) = self.sealer.open(PURPOSE, sealed) else { return OpenedToken::Invalid };
        match serde_json::from_slice::<Plain<'_>>(&bytes) {
            Ok(plain) if plain.account == account.as_str() => {
                OpenedToken::Context(plain.context.into_owned())
            }
            _ => OpenedToken::Invalid,
        }
    }
}
