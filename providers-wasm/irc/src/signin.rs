//! Signing in and out. A sign-in is a connection that reaches 001; there is nothing to ask
//! for, since nick, account and passwords are configuration and secrets. It must never
//! leave a request without its answer.

use anyport_sdk::model::Identity;
use anyport_sdk::types::{Error, ErrorCode};

use crate::port::{Action, Reply, Turn, error};
use crate::session::{Phase, Session};
use crate::state;

impl Session {
    pub(crate) fn begin_sign_in(&mut self, turn: &mut Turn, request: String, method: &str) {
        if method != "password" {
            return turn.refuse(
                &request,
                error(ErrorCode::Unsupported, "IRC accounts sign in by `password`"),
            );
        }
        if let Some(problem) = self.misconfigured.clone() {
            turn.ask(Action::SignInFailed(error(ErrorCode::Invalid, problem)));
            return turn.reply(&request, Reply::Done);
        }
        if let Some(before) = self.sign_in.take()
            && before != request
        {
            turn.refuse(
                &before,
                error(ErrorCode::Conflict, "another sign-in has begun"),
            );
        }
        if self.phase == Phase::Online {
            turn.ask(Action::SignInSucceeded(self.identity()));
            return turn.reply(&request, Reply::Done);
        }
        self.sign_in = Some(request);
        if matches!(self.phase, Phase::Connecting | Phase::Registering) {
            turn.ask(Action::Close);
        }
        self.connect(turn);
    }

    /// 001 has come.
    pub(crate) fn signed_in_now(&mut self, turn: &mut Turn) {
        if !self.signed_in {
            self.signed_in = true;
            turn.port.put(state::SIGNED_IN, b"1".to_vec());
        }
        turn.ask(Action::Identity(self.identity()));
        if let Some(request) = self.sign_in.take() {
            turn.ask(Action::SignInSucceeded(self.identity()));
            turn.reply(&request, Reply::Done);
        }
    }

    pub(crate) fn sign_in_failed(&mut self, turn: &mut Turn, reason: Error) {
        if let Some(request) = self.sign_in.take() {
            turn.ask(Action::SignInFailed(reason));
            turn.reply(&request, Reply::Done);
        }
    }

    pub(crate) fn cancel_sign_in(&mut self, turn: &mut Turn, request: &str) {
        if let Some(before) = self.sign_in.take() {
            let cancelled = error(ErrorCode::Conflict, "the sign-in was cancelled");
            turn.refuse(&before, cancelled.clone());
            if !self.signed_in {
                self.disconnect(turn, false, &cancelled);
            }
        }
        turn.reply(request, Reply::Done);
    }

    pub(crate) fn sign_out(&mut self, turn: &mut Turn, request: &str) {
        let reason = error(ErrorCode::Unauthenticated, "the account was signed out");
        self.sign_in_failed(turn, reason.clone());
        self.signed_out(turn, reason);
        turn.reply(request, Reply::Done);
    }

    /// There is no session any more; nothing is sent until somebody signs in again.
    pub(crate) fn signed_out(&mut self, turn: &mut Turn, reason: Error) {
        self.signed_in = false;
        turn.port.remove(state::SIGNED_IN);
        self.disconnect(turn, false, &reason);
        turn.ask(Action::SignedOut(reason));
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            display_name: Some(self.link.nick.clone()),
            username: Some(self.link.nick.clone()),
            ..Identity::new(self.link.fold(&self.link.nick))
        }
    }
}
