//! Signing in: by QR code, code, password or session. The server leads; this shows what
//! it asks and answers the request that waits for it.

use anyport_sdk::account::Link;
use anyport_sdk::sign_in_steps::{Display, Question};
use anyport_sdk::types::{Error, ErrorCode};
use anyport_sdk::{account, connections, replies, sign_in_steps};
use anyport_simulator::protocol::{Challenge, ChallengeKind, ClientFrame, SignInMethod};
use serde::{Deserialize, Serialize};

use crate::connection::{MAIN, connect_anew, say};
use crate::exports::sign_in::Answer;
use crate::state::{Phase, State};

#[derive(Debug, Serialize, Deserialize)]
pub struct SignIn {
    method: SignInMethod,
    /// None: asked for.
    user: Option<String>,
    /// The password or the session, when it came with the call.
    value: Option<String>,
    /// The call that waits for what shows next.
    request: Option<String>,
}

impl SignIn {
    pub fn is_linked(&self) -> bool {
        self.user.is_some()
    }

    pub fn connected(&mut self) {
        if let Some(user) = &self.user {
            say(&ClientFrame::SignIn {
                user: user.clone(),
                method: self.method,
                value: self.value.take(),
            });
        }
    }

    pub fn challenged(&mut self, challenge: Challenge) {
        let problem = challenge.problem.map(simulator_mapping::error);
        let hint = Some(challenge.hint);
        match challenge.kind {
            ChallengeKind::Qr => sign_in_steps::show(&[Display {
                hint,
                expires_at: challenge.expires_at,
                ..Display::new("qr", challenge.value)
            }]),
            ChallengeKind::Code => {
                sign_in_steps::ask(
                    &[Question {
                        hint,
                        ..Question::new("code", "code", "Code")
                    }],
                    problem.as_ref(),
                );
            }
            ChallengeKind::Password => {
                let question = Question {
                    hint,
                    ..Question::new("password", "password", "Password")
                };
                sign_in_steps::ask(&[question], problem.as_ref());
            }
        }
        self.shown();
    }

    /// What the waiting call asked for shows now.
    pub fn shown(&mut self) {
        if let Some(request) = self.request.take() {
            replies::done(&request);
        }
    }

    pub fn fail(self, error: Error) {
        sign_in_steps::failed(&error);
        if let Some(request) = self.request {
            replies::failed(&request, &error.not_done());
        }
    }
}

impl State {
    pub fn begin_sign_in(
        &mut self,
        request: String,
        method: &str,
        answers: &[Answer],
    ) -> Result<(), Error> {
        let method = match method {
            "qr" => SignInMethod::Qr,
            "code" => SignInMethod::Code,
            "password" => SignInMethod::Password,
            "session" => SignInMethod::Session,
            _ => {
                let error = Error::unsupported(format!("there is no sign-in method `{method}`"));
                replies::failed(&request, &error.not_done());
                return Ok(());
            }
        };
        self.leave();
        let value = match method {
            SignInMethod::Qr => None,
            SignInMethod::Code => answer(answers, "code"),
            SignInMethod::Password => answer(answers, "password"),
            SignInMethod::Session => answer(answers, "session"),
        };
        let user = answer(answers, "user").or_else(|| self.config.user.clone());
        let known = user.is_some();
        self.phase = Phase::SigningIn(SignIn {
            method,
            user,
            value,
            request: Some(request),
        });
        if known {
            self.open_for_sign_in()
        } else {
            self.ask_for_user()
        }
        Ok(())
    }

    /// The connection of the account that was signed in before is not used for it.
    fn leave(&mut self) {
        let replaced = Error::new(ErrorCode::Conflict, "a new sign-in has begun");
        self.link_lost(replaced.clone());
        self.fail_all(&replaced);
    }

    fn open_for_sign_in(&mut self) {
        match connect_anew(self) {
            Ok(()) => account::set_link(Link::Connecting, None),
            Err(error) => {
                if let Phase::SigningIn(sign_in) =
                    std::mem::replace(&mut self.phase, Phase::SignedOut)
                {
                    sign_in.fail(error);
                }
            }
        }
    }

    fn ask_for_user(&mut self) {
        connections::close(MAIN);
        let question = Question {
            hint: Some("whoever is named exists".to_owned()),
            ..Question::new("user", "username", "User")
        };
        sign_in_steps::ask(&[question], None);
        if let Phase::SigningIn(sign_in) = &mut self.phase {
            sign_in.shown();
        }
    }

    pub fn submit_answers(&mut self, request: String, answers: &[Answer]) -> Result<(), Error> {
        let Phase::SigningIn(sign_in) = &mut self.phase else {
            let none = Error::new(ErrorCode::Conflict, "no sign-in is under way");
            replies::failed(&request, &none.not_done());
            return Ok(());
        };
        if sign_in.user.is_none() {
            sign_in.user = answer(answers, "user");
            sign_in.request = Some(request);
            if sign_in.user.is_some() {
                self.open_for_sign_in()
            } else {
                self.ask_for_user()
            }
            return Ok(());
        }
        match answer(answers, "code").or_else(|| answer(answers, "password")) {
            Some(value) => {
                sign_in.request = Some(request);
                say(&ClientFrame::Answer { value });
            }
            None => replies::failed(&request, &Error::invalid("an answer is missing").not_done()),
        }
        Ok(())
    }

    pub fn cancel_sign_in(&mut self, request: &str) -> Result<(), Error> {
        if let Phase::SigningIn(sign_in) = &mut self.phase {
            sign_in.shown();
            if sign_in.is_linked() {
                say(&ClientFrame::Cancel {});
            }
            connections::close(MAIN);
            self.phase = Phase::SignedOut;
            self.go_on_after_sign_in();
        }
        replies::done(request);
        Ok(())
    }
}

fn answer(answers: &[Answer], name: &str) -> Option<String> {
    let given = answers.iter().find(|answer| answer.name == name)?;
    let text = String::from_utf8_lossy(&given.value).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
