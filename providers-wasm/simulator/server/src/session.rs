//! What the frames of one connection mean: hello, sends, acknowledgements, control.
//! Works on the channel's state and on the connection's output; never waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::channel::{Channel, now_ms};
use crate::connection::Output;
use crate::control::{self, ControlReply, ControlRequest};
use crate::protocol::{ClientFrame, Fault, Outgoing, ServerFrame};
use crate::request::Ask;
use crate::requests::{self, RequestFault};
use crate::sends::{self, Taken};
use crate::settings::Behaviour;
use crate::sign_in::{SignIn, Step};
use crate::transfers;
use crate::user::{Link, Order, User};
use crate::wire::put_json;

pub(crate) struct Session {
    channel: Arc<Channel>,
    link: Link,
    phase: Phase,
}

enum Phase {
    New,
    SigningIn(SignIn),
    Online(Arc<User>),
    Control,
}

impl Session {
    pub(crate) fn new(channel: Arc<Channel>, connection: u64, wake: Arc<Notify>) -> Self {
        Self {
            channel,
            link: Link { connection, wake },
            phase: Phase::New,
        }
    }

    /// One frame has come.
    pub(crate) fn receive(&mut self, frame: &[u8], output: &mut Output) {
        if matches!(self.phase, Phase::Control) {
            let reply = match serde_json::from_slice::<ControlRequest>(frame) {
                Ok(request) => control::handle(&self.channel, request),
                Err(error) => ControlReply::Error(format!("not a control request: {error}")),
            };
            return put_json(&mut output.bytes, &reply);
        }
        let frame = match serde_json::from_slice::<ClientFrame>(frame) {
            Ok(frame) => frame,
            Err(error) => {
                return refuse(
                    output,
                    Fault::new("invalid", format!("not a frame: {error}")),
                );
            }
        };
        if let Phase::Online(user) = &self.phase {
            let user = Arc::clone(user);
            return self.receive_online(&user, frame, output);
        }
        match frame {
            ClientFrame::Hello { user, session } => self.hello(&user, &session, output),
            ClientFrame::SignIn {
                user,
                method,
                value,
            } => {
                if user.is_empty() || user.len() > 128 {
                    return refuse(
                        output,
                        Fault::new("invalid", "a user name has 1 to 128 bytes"),
                    );
                }
                let user = self.channel.user(&user);
                user.state().signing_in = Some(self.link.clone());
                let (sign_in, step) = SignIn::begin(&self.channel, user, method, value);
                self.phase = Phase::SigningIn(sign_in);
                self.step(step, output);
            }
            ClientFrame::Answer { value } => match &mut self.phase {
                Phase::SigningIn(sign_in) => {
                    let step = sign_in.answer(&self.channel, &value);
                    self.step(step, output);
                }
                _ => refuse(output, Fault::new("conflict", "nothing was asked")),
            },
            ClientFrame::Cancel {} => {
                self.leave();
                output.put(&ServerFrame::Cancelled {});
            }
            ClientFrame::Send(sent) => output.put(&ServerFrame::Rejected {
                token: sent.token,
                error: Fault::new("unauthenticated", "say hello first"),
            }),
            ClientFrame::Forward(forward) => output.put(&ServerFrame::Rejected {
                token: forward.token,
                error: Fault::new("unauthenticated", "say hello first"),
            }),
            ClientFrame::Ask { id, .. } => output.put(&ServerFrame::Denied {
                id,
                error: Fault::new("unauthenticated", "say hello first"),
            }),
            ClientFrame::Upload(piece) => output.put(&ServerFrame::UploadDenied {
                upload: piece.upload,
                error: Fault::new("unauthenticated", "say hello first"),
            }),
            ClientFrame::Fetch(asked) => output.put(&ServerFrame::FetchDenied {
                medium: asked.medium,
                error: Fault::new("unauthenticated", "say hello first"),
            }),
            ClientFrame::Ping(text) => output.put(&ServerFrame::Pong(text)),
            ClientFrame::Bye {} => output.close(),
            ClientFrame::Control {} if matches!(self.phase, Phase::New) => {
                self.phase = Phase::Control
            }
            ClientFrame::Control {} | ClientFrame::Ack(_) | ClientFrame::SignOut {} => {
                refuse(output, Fault::new("unauthenticated", "say hello first"));
            }
        }
    }

    /// Does what became due without a frame: control's orders, events, QR codes.
    pub(crate) fn advance(&mut self, now: Instant, output: &mut Output) {
        let step = match &mut self.phase {
            Phase::New | Phase::Control => return,
            Phase::Online(user) => {
                let user = Arc::clone(user);
                return self.advance_online(&user, now, output);
            }
            Phase::SigningIn(sign_in) => {
                let mut state = sign_in.user().state();
                let mine = state
                    .signing_in
                    .as_ref()
                    .is_some_and(|link| link.connection == self.link.connection);
                let ordered = state.online.is_none() && !state.orders.is_empty();
                if ordered {
                    state.orders.clear();
                }
                drop(state);
                if !mine || ordered {
                    return output.close();
                }
                sign_in.advance(&self.channel, now)
            }
        };
        self.step(step, output);
    }

    /// When [`Self::advance`] has something to do although nothing happens.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::New | Phase::Control => None,
            Phase::SigningIn(sign_in) => sign_in.next_due(),
            Phase::Online(user) => user.state().inbox.next_due(),
        }
    }

    pub(crate) fn read_delay(&self) -> Duration {
        match &self.phase {
            Phase::Online(user) => Duration::from_millis(u64::from(
                self.channel.behaviour_of(&user.state()).read_delay_ms,
            )),
            _ => Duration::ZERO,
        }
    }

    /// The connection is gone.
    pub(crate) fn end(&mut self) {
        self.leave();
    }

    fn leave(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::New | Phase::Control => {}
            Phase::SigningIn(sign_in) => sign_in.user().state().go_offline(self.link.connection),
            Phase::Online(user) => user.state().go_offline(self.link.connection),
        }
    }

    fn hello(&mut self, user: &str, session: &str, output: &mut Output) {
        let user = self.channel.user(user);
        if !user.accepts_session(
            session,
            &self.channel.epoch,
            self.channel.settings.adopts_sessions,
        ) {
            return refuse(
                output,
                Fault::new("unauthenticated", "the session is not known"),
            );
        }
        self.leave();
        user.state().come_online(self.link.clone());
        output.put(&ServerFrame::Welcome {
            profile: user.profile(),
        });
        self.phase = Phase::Online(user);
    }

    fn step(&mut self, step: Step, output: &mut Output) {
        match step {
            Step::Wait => {}
            Step::Ask(challenge) => output.put(&ServerFrame::Challenge(challenge)),
            Step::Refuse(fault) => {
                self.leave();
                refuse(output, fault);
            }
            Step::SignedIn { user, session } => {
                user.state().come_online(self.link.clone());
                output.put(&ServerFrame::SignedIn {
                    session,
                    profile: user.profile(),
                });
                self.phase = Phase::Online(user);
            }
        }
    }

    fn receive_online(&mut self, user: &Arc<User>, frame: ClientFrame, output: &mut Output) {
        {
            let mut state = user.state();
            if let Some(left) = &mut state.faults.drop_after {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    state.faults.drop_after = None;
                    return output.abort();
                }
            }
        }
        match frame {
            ClientFrame::Ack(id) => {
                let mut state = user.state();
                let sequence = self.channel.event_sequence(&id).unwrap_or(0);
                state.inbox.acknowledge(sequence, &self.channel.latency);
            }
            ClientFrame::Send(sent) => self.send(user, sent, output),
            ClientFrame::Forward(forward) => {
                let sent = self
                    .channel
                    .world(user, &mut user.state())
                    .forwarded(&forward);
                match sent {
                    Ok(sent) => self.send(user, sent, output),
                    Err(error) => output.put(&ServerFrame::Rejected {
                        token: forward.token,
                        error,
                    }),
                }
            }
            ClientFrame::Ask { id, ask } => self.ask(user, id, ask, output),
            ClientFrame::Upload(piece) => {
                let (answer, fault) =
                    transfers::upload(&self.channel, user, &mut user.state(), piece);
                put_or_fail(output, Duration::ZERO, &answer, fault);
            }
            ClientFrame::Fetch(asked) => {
                let (answer, fault) = transfers::fetch(&self.channel, &mut user.state(), asked);
                put_or_fail(output, Duration::ZERO, &answer, fault);
            }
            ClientFrame::Hello {
                user: name,
                session,
            } => {
                let adopts = self.channel.settings.adopts_sessions;
                if name != user.name || !user.accepts_session(&session, &self.channel.epoch, adopts)
                {
                    return refuse(
                        output,
                        Fault::new("conflict", "this connection speaks for somebody else"),
                    );
                }
                output.put(&ServerFrame::Welcome {
                    profile: user.profile(),
                });
            }
            ClientFrame::SignIn {
                user: name,
                method,
                value,
            } => {
                // Signing in anew on a connection that is online leaves the session first.
                self.leave();
                let frame = ClientFrame::SignIn {
                    user: name,
                    method,
                    value,
                };
                let Ok(again) = serde_json::to_vec(&frame) else {
                    return;
                };
                self.receive(&again, output);
            }
            ClientFrame::SignOut {} => {
                user.state().end_sessions();
                output.put(&ServerFrame::SignedOut {});
                self.leave();
            }
            ClientFrame::Ping(text) => output.put(&ServerFrame::Pong(text)),
            ClientFrame::Bye {} => output.close(),
            ClientFrame::Cancel {} => output.put(&ServerFrame::Cancelled {}),
            ClientFrame::Answer { .. } | ClientFrame::Control {} => {
                refuse(
                    output,
                    Fault::new("conflict", "not on a connection that is signed in"),
                );
            }
        }
    }

    fn send(&self, user: &Arc<User>, sent: Outgoing, output: &mut Output) {
        let mut state = user.state();
        let delay = answer_delay(&self.channel.behaviour_of(&state));
        let token = sent.token.clone();
        match sends::send(&self.channel, user, &mut state, sent, self.link.connection) {
            Ok(Taken::Answer(accepted)) => {
                output.put_after(delay, &ServerFrame::Accepted(accepted));
            }
            Ok(Taken::NoAnswer) => {}
            Ok(Taken::Drop) => output.abort(),
            Err(error) => output.put_after(delay, &ServerFrame::Rejected { token, error }),
        }
    }

    fn ask(&self, user: &Arc<User>, id: String, ask: Ask, output: &mut Output) {
        let mut state = user.state();
        let behaviour = self.channel.behaviour_of(&state);
        let delay = answer_delay(&behaviour);
        let (outcome, fault) = requests::take(&self.channel, user, &mut state, &id, ask);
        let answer = match outcome {
            Ok(answer) => ServerFrame::Answered { id, answer },
            Err(error) => ServerFrame::Denied { id, error },
        };
        let silent = behaviour.never_answer && fault.is_none();
        let fault = if silent {
            Some(RequestFault::NoAnswer {})
        } else {
            fault
        };
        put_or_fail(output, delay, &answer, fault);
    }

    fn advance_online(&mut self, user: &Arc<User>, now: Instant, output: &mut Output) {
        let mut state = user.state();
        if !state.is_online(self.link.connection) {
            drop(state);
            output.put(&ServerFrame::Bye {});
            return output.close();
        }
        for order in std::mem::take(&mut state.orders) {
            match order {
                Order::Close => return output.abort(),
                Order::Garbage(garbage) => output.put_garbage(garbage),
                Order::Revoked(fault) => {
                    output.put(&ServerFrame::Revoked(fault));
                    return output.close();
                }
            }
        }
        let window = self.channel.behaviour_of(&state).window;
        state
            .inbox
            .generate(now, now_ms(), self.channel.settings.backlog_limit);
        state
            .inbox
            .fill(&mut output.bytes, &self.channel.epoch, window, now);
    }
}

fn answer_delay(behaviour: &Behaviour) -> Duration {
    Duration::from_millis(u64::from(behaviour.answer_delay_ms))
}

/// The answer, unless control has armed something else.
fn put_or_fail(
    output: &mut Output,
    delay: Duration,
    answer: &ServerFrame,
    fault: Option<RequestFault>,
) {
    match fault {
        Some(RequestFault::Drop {}) => output.abort(),
        Some(RequestFault::Late(ms)) => {
            output.put_after(delay + Duration::from_millis(u64::from(ms)), answer);
        }
        Some(RequestFault::NoAnswer {}) => {}
        Some(RequestFault::Refuse(_)) | None => output.put_after(delay, answer),
    }
}

fn refuse(output: &mut Output, fault: Fault) {
    output.put(&ServerFrame::Refused(fault));
}
