//! `account`: link, identity, end of the session.

use super::size;
use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use anyport_contract::anyport::provider::{account, model, types};
use wasmtime::Result;

impl account::Host for GuestState {
    fn set_link(&mut self, link: account::Link, reason: Option<types::Error>) -> Result<()> {
        let turn = self.asks("account.set-link")?;
        let reason = reason.map(convert::failure);
        turn.spend(reason.as_ref().map_or(0, size::failure))?;
        turn.effects.link = Some((convert::link(link), reason));
        Ok(())
    }

    fn set_identity(&mut self, identity: model::Identity) -> Result<()> {
        let turn = self.asks("account.set-identity")?;
        let profile = convert::profile(identity);
        turn.spend(size::profile(&profile))?;
        turn.effects.identity = Some(profile);
        Ok(())
    }

    fn signed_out(&mut self, reason: types::Error) -> Result<()> {
        let turn = self.asks("account.signed-out")?;
        let reason = convert::failure(reason);
        turn.spend(size::failure(&reason))?;
        turn.effects.signed_out = Some(reason);
        Ok(())
    }
}
