//! `sign-in-steps`: the visible side of a sign-in.

use super::size;
use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use crate::runtime::turn::SignInStep;
use anyport_contract::anyport::provider::{model, sign_in_steps, types};
use wasmtime::Result;

impl sign_in_steps::Host for GuestState {
    fn show(&mut self, displays: Vec<sign_in_steps::Display>) -> Result<()> {
        let turn = self.asks("sign-in-steps.show")?;
        let displays: Vec<_> = displays.into_iter().map(convert::display).collect();
        turn.spend(displays.iter().map(size::display).sum())?;
        turn.effects.sign_in.push(SignInStep::Show(displays));
        Ok(())
    }

    fn ask(
        &mut self,
        questions: Vec<sign_in_steps::Question>,
        problem: Option<types::Error>,
    ) -> Result<()> {
        let turn = self.asks("sign-in-steps.ask")?;
        let questions: Vec<_> = questions.into_iter().map(convert::question).collect();
        let problem = problem.map(convert::failure);
        let asked: usize = questions.iter().map(size::question).sum();
        turn.spend(asked + problem.as_ref().map_or(0, size::failure))?;
        turn.effects
            .sign_in
            .push(SignInStep::Ask { questions, problem });
        Ok(())
    }

    fn succeeded(&mut self, identity: model::Identity) -> Result<()> {
        let turn = self.asks("sign-in-steps.succeeded")?;
        let profile = convert::profile(identity);
        turn.spend(size::profile(&profile))?;
        turn.effects.sign_in.push(SignInStep::Succeeded(profile));
        Ok(())
    }

    fn failed(&mut self, error: types::Error) -> Result<()> {
        let turn = self.asks("sign-in-steps.failed")?;
        let failure = convert::failure(error);
        turn.spend(size::failure(&failure))?;
        turn.effects.sign_in.push(SignInStep::Failed(failure));
        Ok(())
    }
}
