//! `events`: what happened on the channel, normalized as it is emitted so that what breaks a
//! rule fails the turn that emitted it.

use crate::runtime::guest::GuestState;
use crate::runtime::limits::breach;
use crate::runtime::normalize::normalize;
use anyport_contract::anyport::provider::events;
use wasmtime::Result;

impl events::Host for GuestState {
    fn emit(&mut self, emission: events::Emission) -> Result<()> {
        let turn = self.asks("events.emit")?;
        let events = match normalize(&emission, &turn.facts.id, &*turn.facts.reply_tokens) {
            Ok(events) => events,
            Err(rule) => return breach(rule),
        };
        for event in events {
            turn.spend(event.data.get().len() + event.dedupe_key.len())?;
            turn.effects.events.push(event);
        }
        Ok(())
    }
}
