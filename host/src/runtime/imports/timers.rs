//! `timers`: one-shot, named by the provider.

use crate::domain::Timestamp;
use crate::runtime::guest::GuestState;
use crate::runtime::ledger::TimerView;
use crate::runtime::limits::breach;
use crate::runtime::turn::{TimerEffect, check_label};
use anyport_contract::anyport::provider::timers;
use wasmtime::Result;

const CONTEXT_BYTES: usize = 4096;

impl timers::Host for GuestState {
    fn set(&mut self, name: String, spec: timers::Spec) -> Result<()> {
        let turn = self.asks("timers.set")?;
        check_label(&name)?;
        if spec.context.len() > CONTEXT_BYTES {
            return breach(format!(
                "a timer's context has at most {CONTEXT_BYTES} bytes, this one has {}",
                spec.context.len()
            ));
        }
        turn.spend(name.len() + spec.context.len())?;
        let was_durable = turn
            .ledger
            .timers
            .get(&name)
            .is_some_and(|timer| timer.durable);
        if turn.ledger.timers.len() >= turn.facts.limits.timers
            && !turn.ledger.timers.contains_key(&name)
        {
            return breach(format!(
                "an account holds at most {} timers",
                turn.facts.limits.timers
            ));
        }
        let view = TimerView {
            generation: turn.ledger.next_generation(),
            at: Timestamp(spec.at),
            durable: spec.durable,
            context: spec.context,
        };
        turn.ledger.set_timer(&name, Some(view.clone()));
        turn.effects.timers.push(TimerEffect {
            label: name,
            set: Some(view),
            was_durable,
        });
        Ok(())
    }

    fn cancel(&mut self, name: String) -> Result<()> {
        let turn = self.asks("timers.cancel")?;
        check_label(&name)?;
        turn.spend(name.len())?;
        if let Some(timer) = turn.ledger.timers.get(&name) {
            let was_durable = timer.durable;
            turn.ledger.set_timer(&name, None);
            turn.effects.timers.push(TimerEffect {
                label: name,
                set: None,
                was_durable,
            });
        }
        Ok(())
    }
}
