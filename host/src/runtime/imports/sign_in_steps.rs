//! `sign-in-steps`: the visible side of a sign-in.

use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use crate::runtime::turn::SignInStep;
use anyport_contract::anyport::provider::{model, sign_in_steps, types};
use wasmtime::Result;

impl sign_in_steps::Host for GuestState {
    fn show(&mut self, displays: Vec<sign_in_steps::Display>) -> Result<()> {
        let turn = self.asks("sign-in-steps.show")?;
        turn.spend(
            displays
                .iter()
                .map(|display| display.value.len() + 16)
                .sum(),
        )?;
        let displays = displays.into_iter().map(convert::display).collect();
        turn.effects.sign_in.push(SignInStep::Show(displays));
        Ok(())
    }

    fn ask(
        &mut self,
        questions: Vec<sign_in_steps::Question>,
        problem: Option<types::Error>,
    ) -> Result<()> {
        let turn = self.asks("sign-in-steps.ask")?;
        turn.spend(
            questions
                .iter()
                .map(|question| question.title.len() + 32)
                .sum(),
        )?;
        turn.effects.sign_in.push(SignInStep::Ask {
            questions: questions.into_iter().map(convert::question).collect(),
            problem: problem.map(convert::failure),
        });
        Ok(())
    }

    fn succeeded(&mut self, identity: model::Identity) -> Result<()> {
        let turn = self.asks("sign-in-steps.succeeded")?;
        turn.spend(identity.id.len())?;
        turn.effects
            .sign_in
            .push(SignInStep::Succeeded(convert::profile(identity)));
        Ok(())
    }

    fn failed(&mut self, error: types::Error) -> Result<()> {
        let turn = self.asks("sign-in-steps.failed")?;
        turn.spend(error.message.len())?;
        turn.effects
            .sign_in
            .push(SignInStep::Failed(convert::failure(error)));
        Ok(())
    }
}
