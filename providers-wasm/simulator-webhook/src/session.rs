//! Whether the token is good: at the sign-in, and whenever an instance begins without a memory.

use anyport_sdk::account::Link;
use anyport_sdk::sign_in_steps::Question;
use anyport_sdk::types::{Error, ErrorCode};
use anyport_sdk::{account, http, kv, replies, secrets, sign_in_steps, timers, turn};
use anyport_simulator::protocol::Profile;
use simulator_mapping::identity;

use crate::api::{self, Failed};
use crate::exports::reactor::Response;
use crate::exports::sign_in::Answer;
use crate::state::{Phase, State};

/// The secret, and the sign-in method that takes it.
pub const TOKEN: &str = "token";
/// The kv key of who the account is at the channel.
pub const USER: &str = "user";
/// The request that asks who we are, and the timer until it is asked again.
pub const CHECK: &str = "check";

const FIRST_PAUSE_MS: u64 = 500;
const LONGEST_PAUSE_MS: u64 = 30_000;

impl State {
    pub fn begin_sign_in(&mut self, request: String, method: &str, answers: &[Answer]) {
        if method != TOKEN {
            let error = Error::unsupported(format!("there is no sign-in method `{method}`"));
            return replies::failed(&request, &error.not_done());
        }
        let token = answers.iter().find(|answer| answer.name == TOKEN);
        let Some(token) = token.filter(|token| !token.value.is_empty()) else {
            sign_in_steps::ask(&[Question::new(TOKEN, "token", "Token")], None);
            return replies::done(&request);
        };
        secrets::put(TOKEN, &token.value);
        self.phase = Phase::SigningIn { request };
        self.check();
    }

    pub fn cancel_sign_in(&mut self, request: &str) {
        if let Phase::SigningIn { request: begun } = &self.phase {
            replies::done(begun);
            self.leave();
        }
        replies::done(request);
    }

    pub fn sign_out(&mut self, request: &str) {
        let out = Error::unauthenticated("signed out");
        self.signed_out(&out);
        replies::done(request);
    }

    /// Asks the channel who we are; its answer is also that the token is good.
    pub fn check(&mut self) {
        match api::request(&self.config, "GET", "me") {
            Ok(request) => {
                http::submit(CHECK, &request);
                account::set_link(Link::Connecting, None);
            }
            Err(error) => self.checked_with(Err(Failed::Refused(error))),
        }
    }

    pub fn checked(&mut self, outcome: Result<Response, Error>) {
        self.checked_with(api::read(outcome));
    }

    fn checked_with(&mut self, outcome: Result<Profile, Failed>) {
        let before = std::mem::replace(&mut self.phase, Phase::SignedIn);
        match (outcome, before) {
            (_, Phase::SignedOut) => self.phase = Phase::SignedOut,
            (Ok(profile), before) => {
                self.attempts = 0;
                kv::put(USER, profile.id.as_bytes());
                let identity = identity(profile);
                account::set_identity(&identity);
                account::set_link(Link::Online, None);
                if let Phase::SigningIn { request } = before {
                    sign_in_steps::succeeded(&identity);
                    replies::done(&request);
                }
            }
            (
                Err(Failed::Refused(error) | Failed::Unclear(error)),
                Phase::SigningIn { request },
            ) => {
                sign_in_steps::failed(&error);
                replies::done(&request);
                self.leave();
            }
            (Err(Failed::Refused(error)), _) if error.code == ErrorCode::Unauthenticated => {
                self.signed_out(&error);
            }
            (Err(Failed::Refused(error) | Failed::Unclear(error)), _) => {
                let pause = (FIRST_PAUSE_MS << self.attempts.min(10)).min(LONGEST_PAUSE_MS);
                self.attempts = self.attempts.saturating_add(1);
                timers::set(CHECK, &timers::Spec::at(turn::now() + pause));
                account::set_link(Link::Offline, Some(&error));
            }
        }
    }

    /// The channel does not know the token any more.
    pub fn signed_out(&mut self, reason: &Error) {
        self.fail_sends(reason);
        self.leave();
        account::signed_out(reason);
    }

    fn leave(&mut self) {
        http::cancel(CHECK);
        timers::cancel(CHECK);
        secrets::remove(TOKEN);
        kv::remove(USER);
        self.phase = Phase::SignedOut;
        account::set_link(Link::Offline, None);
    }
}
