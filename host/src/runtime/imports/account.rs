//! `account`: link, identity, end of the session.

use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use anyport_contract::anyport::provider::{account, model, types};
use wasmtime::Result;

impl account::Host for GuestState {
    fn set_link(&mut self, link: account::Link, reason: Option<types::Error>) -> Result<()> {
        let turn = self.asks("account.set-link")?;
        turn.spend(16)?;
        turn.effects.link = Some((convert::link(link), reason.map(convert::failure)));
        Ok(())
    }

    fn set_identity(&mut self, identity: model::Identity) -> Result<()> {
        let turn = self.asks("account.set-identity")?;
        turn.spend(identity.id.len())?;
        turn.effects.identity = Some(convert::profile(identity));
        Ok(())
    }

    fn signed_out(&mut self, reason: types::Error) -> Result<()> {
        let turn = self.asks("account.signed-out")?;
        turn.spend(reason.message.len())?;
        turn.effects.signed_out = Some(convert::failure(reason));
        Ok(())
    }
}
