//! One sign-in under way: by QR code, code, password or session, with a password as
//! second step where the user has one. Never touches a connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::{Channel, now_ms};
use crate::protocol::{Challenge, ChallengeKind, Fault, SIGN_IN_CODE, SignInMethod};
use crate::user::User;

pub(crate) struct SignIn {
    user: Arc<User>,
    stage: Stage,
}

enum Stage {
    Qr {
        shown: u32,
        scan_at: Option<Instant>,
        expires: Instant,
    },
    Code,
    Password,
}

/// What the other side hears next.
pub(crate) enum Step {
    Wait,
    Ask(Challenge),
    Refuse(Fault),
    SignedIn { user: Arc<User>, session: String },
}

impl SignIn {
    pub(crate) fn begin(
        channel: &Channel,
        user: Arc<User>,
        method: SignInMethod,
        value: Option<String>,
    ) -> (Self, Step) {
        user.state().scanned = false;
        let mut sign_in = Self {
            user,
            stage: Stage::Password,
        };
        let step = match (method, value) {
            (SignInMethod::Qr, _) => sign_in.show_qr(channel, 1, Instant::now()),
            (SignInMethod::Code, Some(code)) => {
                sign_in.stage = Stage::Code;
                sign_in.answer(channel, &code)
            }
            (SignInMethod::Code, None) => {
                sign_in.stage = Stage::Code;
                sign_in.ask(None)
            }
            (SignInMethod::Password, Some(password)) => sign_in.answer(channel, &password),
            (SignInMethod::Password, None) => sign_in.ask(None),
            (SignInMethod::Session, Some(session)) => {
                if sign_in.user.accepts_session(
                    &session,
                    &channel.epoch,
                    channel.settings.adopts_sessions,
                ) {
                    Step::SignedIn {
                        user: Arc::clone(&sign_in.user),
                        session,
                    }
                } else {
                    Step::Refuse(Fault::new("unauthenticated", "the session is not known"))
                }
            }
            (SignInMethod::Session, None) => {
                Step::Refuse(Fault::new("invalid", "a session is missing"))
            }
        };
        (sign_in, step)
    }

    pub(crate) fn user(&self) -> &Arc<User> {
        &self.user
    }

    pub(crate) fn answer(&mut self, channel: &Channel, value: &str) -> Step {
        match self.stage {
            Stage::Qr { .. } => Step::Wait,
            Stage::Code if value.trim() != SIGN_IN_CODE => self.ask(Some(Fault::new(
                "invalid",
                "this is not the code that was sent",
            ))),
            Stage::Code => self.pass_first_step(channel),
            Stage::Password => {
                let password = self.user.state().password.clone();
                let right = password.map_or(!value.is_empty(), |password| password == value);
                if right {
                    self.finish(channel)
                } else {
                    self.ask(Some(Fault::new("invalid", "the password is wrong")))
                }
            }
        }
    }

    /// Looks whether the QR code was scanned or is too old.
    pub(crate) fn advance(&mut self, channel: &Channel, now: Instant) -> Step {
        let Stage::Qr {
            shown,
            scan_at,
            expires,
        } = self.stage
        else {
            return Step::Wait;
        };
        if self.user.state().scanned || scan_at.is_some_and(|at| at <= now) {
            return self.pass_first_step(channel);
        }
        if expires <= now {
            self.show_qr(channel, shown + 1, now)
        } else {
            Step::Wait
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Qr {
                scan_at, expires, ..
            } => Some(scan_at.map_or(expires, |at| at.min(expires))),
            Stage::Code | Stage::Password => None,
        }
    }

    fn show_qr(&mut self, channel: &Channel, shown: u32, now: Instant) -> Step {
        let behaviour = channel.behaviour_of(&self.user.state());
        let scan_at = match self.stage {
            Stage::Qr { scan_at, .. } => scan_at,
            _ => behaviour
                .scan_after_ms
                .map(|after| now + Duration::from_millis(u64::from(after))),
        };
        let valid = Duration::from_millis(u64::from(behaviour.qr_valid_ms.max(1)));
        self.stage = Stage::Qr {
            shown,
            scan_at,
            expires: now + valid,
        };
        let hint = match behaviour.scan_after_ms {
            Some(after) => {
                format!("no phone is needed: the code counts as scanned after {after} ms")
            }
            None => "waits for the control command `scan`".to_owned(),
        };
        Step::Ask(Challenge {
            kind: ChallengeKind::Qr,
            value: format!(
                "anyport-simulator:{}:{}:{shown}",
                self.user.name, channel.epoch
            ),
            hint,
            expires_at: Some(now_ms() + u64::from(behaviour.qr_valid_ms)),
            problem: None,
        })
    }

    fn pass_first_step(&mut self, channel: &Channel) -> Step {
        if self.user.state().password.is_some() {
            self.stage = Stage::Password;
            return self.ask(None);
        }
        self.finish(channel)
    }

    fn finish(&self, channel: &Channel) -> Step {
        Step::SignedIn {
            user: Arc::clone(&self.user),
            session: self.user.issue_session(&channel.epoch),
        }
    }

    fn ask(&self, problem: Option<Fault>) -> Step {
        let (kind, hint) = match self.stage {
            Stage::Password if self.user.state().password.is_some() => (
                ChallengeKind::Password,
                "this user has a password".to_owned(),
            ),
            Stage::Password => (ChallengeKind::Password, "any password will do".to_owned()),
            Stage::Code | Stage::Qr { .. } => {
                (ChallengeKind::Code, format!("the code is {SIGN_IN_CODE}"))
            }
        };
        Step::Ask(Challenge {
            kind,
            value: String::new(),
            hint,
            expires_at: None,
            problem,
        })
    }
}
