//! `events`: what happened on the channel, normalized as it is emitted so that what breaks a
//! rule fails the turn that emitted it.

use crate::domain::Timestamp;
use crate::runtime::guest::GuestState;
use crate::runtime::limits::breach;
use crate::runtime::normalize::normalize;
use crate::runtime::turn::Emission;
use anyport_contract::anyport::provider::events;
use wasmtime::Result;

impl events::Host for GuestState {
    fn emit(&mut self, emission: events::Emission) -> Result<()> {
        let turn = self.asks("events.emit")?;
        if emission.key.is_empty() || emission.key.len() > 512 {
            return breach(format!(
                "an emission's key has 1 to 512 bytes, this one has {}",
                emission.key.len()
            ));
        }
        let (key, conversation, occurred_at) = (
            emission.key.clone(),
            emission.conversation.clone(),
            emission.occurred_at,
        );
        let event = match normalize(emission, &turn.facts.id, &*turn.facts.reply_tokens) {
            Ok(event) => event,
            Err(rule) => return breach(rule),
        };
        turn.spend(event.size() + key.len())?;
        turn.effects.events.push(Emission {
            key,
            conversation,
            occurred_at: Timestamp(occurred_at),
            event,
        });
        Ok(())
    }
}
