//! A script played from its beginning to its end: as it stands, with a new instance before every
//! input, or with one turn lost after it has done its work.

mod renew;

use super::script::{Script, Step};
use super::stage::Stage;
use crate::domain::SecretBytes;
use crate::domain::command::Expects;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::send::Outgoing;
use crate::domain::sign_in::Answer;
use crate::runtime::ledger::{ConnectionState, ConnectionView};
use crate::runtime::turn::{HttpEffect, NetworkEffect, Reply};
use crate::runtime::{Call, Cause, Effects, Fault, FaultKind, Provider};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A channel that answers for ever is cut off here.
const INPUTS: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Straight,
    /// A new instance takes over at every turn boundary.
    HandOver,
    /// The turn of this input is lost, and its instance with it.
    Lose(u64),
    /// The script, and then what no channel should say.
    Garbage,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Played {
    pub inputs: Vec<Seen>,
    /// Of all turns, those of a start among them.
    pub keys: BTreeSet<String>,
    /// What became of each send.
    pub sends: BTreeMap<String, String>,
    /// Open connections that a new instance did not keep.
    pub unkept: BTreeSet<String>,
    /// What it asked for over HTTP; no script answers that.
    pub requests: usize,
    pub cpu_ms: u128,
    pub snapshot_bytes: usize,
}

/// One input, and what was asked for in its turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub what: String,
    pub events: Vec<(String, String, String)>,
    pub frames: Vec<(String, Vec<u8>)>,
    pub kv: BTreeMap<String, Option<Vec<u8>>>,
    pub replies: Vec<String>,
}

/// Why a play did not come to its end.
#[derive(Debug)]
pub enum Stopped {
    /// The script cannot be played.
    Script(String),
    /// The provider failed at this.
    Fault { what: String, fault: Fault },
}

#[derive(Clone, Debug)]
enum Input {
    Opened {
        label: String,
        generation: u64,
    },
    /// No generation: the channel says it on whatever connection is open by then.
    Frame {
        label: String,
        generation: Option<u64>,
        bytes: Vec<u8>,
    },
    Closed {
        label: String,
        generation: u64,
    },
    Timer(String),
    Send(String),
    Other {
        call: Call,
        what: String,
    },
}

enum SendState {
    /// The host calls it again when the instance is lost.
    Mine,
    Dispatched,
    Settled(String),
}

struct Play<'a> {
    provider: &'a Provider,
    script: &'a Script,
    policy: Policy,
    stage: Stage<'a>,
    queue: VecDeque<Input>,
    at: u64,
    sends: BTreeMap<String, (Arc<Outgoing>, SendState)>,
    calls: u64,
    played: Played,
}

pub fn play(
    provider: &Provider,
    script: &Script,
    config: &Value,
    secrets: &[(String, SecretBytes)],
    policy: Policy,
) -> Result<Played, Stopped> {
    let mut play = Play {
        provider,
        script,
        policy,
        stage: Stage::new(provider, config, secrets.to_vec()),
        queue: VecDeque::new(),
        at: 0,
        sends: BTreeMap::new(),
        calls: 0,
        played: Played::default(),
    };
    play.run()?;
    let settled = play.sends.into_iter().map(|(request, (_, state))| {
        let outcome = match state {
            SendState::Mine => "deferred".to_owned(),
            SendState::Dispatched => "dispatched".to_owned(),
            SendState::Settled(outcome) => outcome,
        };
        (request, outcome)
    });
    Ok(Played {
        sends: settled.collect(),
        cpu_ms: play.stage.cpu.as_millis(),
        snapshot_bytes: play.stage.snapshot_bytes,
        ..play.played
    })
}

impl Play<'_> {
    fn run(&mut self) -> Result<(), Stopped> {
        let started = self.stage.start(0, Cause::First, None);
        started.result.map_err(|fault| Stopped::Fault {
            what: "start".to_owned(),
            fault,
        })?;
        self.saw("start".to_owned(), started.effects, None);
        self.drain()?;
        let script = self.script;
        for (number, step) in script.steps() {
            let input = match self.input(&step) {
                Ok(input) => input,
                Err(why) if self.policy == Policy::Straight => {
                    let step = step.in_words();
                    return Err(Stopped::Script(format!("step {number} ({step}): {why}")));
                }
                // After a fault things may stand otherwise; what it comes to is compared.
                Err(_) => continue,
            };
            self.queue.push_back(input);
            self.drain()?;
        }
        if self.policy == Policy::Garbage {
            self.garbage()?;
        }
        for (call, what) in [(Call::Reconnect, "reconnect"), (Call::Stopping, "stopping")] {
            let what = what.to_owned();
            self.queue.push_back(Input::Other { call, what });
            self.drain()?;
        }
        Ok(())
    }

    fn input(&mut self, step: &Step) -> Result<Input, String> {
        Ok(match step {
            Step::Frame { label, bytes } => {
                let (label, generation) = self.connection(label.as_deref())?;
                let mut bytes = bytes.clone();
                if let Ok(text) = std::str::from_utf8(&bytes)
                    && let Some((request, _)) = self.sends.last_key_value()
                {
                    bytes = text.replace("{request}", request).into_bytes();
                }
                let generation = Some(generation);
                Input::Frame {
                    label,
                    generation,
                    bytes,
                }
            }
            Step::Close(label) => {
                let (label, generation) = self.connection(Some(label))?;
                Input::Closed { label, generation }
            }
            Step::Timer(label) => {
                let timers = &self.stage.ledger().timers;
                if !timers.contains_key(label) {
                    let set: Vec<&String> = timers.keys().collect();
                    return Err(format!("no such timer is set; set are {set:?}"));
                }
                Input::Timer(label.clone())
            }
            Step::Send { to, text } => {
                let request = self.send_request();
                let outgoing = outgoing(to, text).map_err(|error| error.to_string())?;
                let send = (Arc::new(outgoing), SendState::Mine);
                self.sends.insert(request.clone(), send);
                Input::Send(request)
            }
            Step::SignIn { method, answers } => Input::Other {
                call: Call::SignInBegin {
                    request: self.call_request(),
                    method: method.clone(),
                    answers: given(answers),
                },
                what: step.in_words(),
            },
            Step::Submit(answers) => Input::Other {
                call: Call::SignInSubmit {
                    request: self.call_request(),
                    answers: given(answers),
                },
                what: step.in_words(),
            },
            Step::Reconnect => Input::Other {
                call: Call::Reconnect,
                what: step.in_words(),
            },
        })
    }

    /// As the host's: a UUID by which a wrong kind of answer is known, here the same in every run.
    fn request(&mut self, version: String) -> String {
        self.calls += 1;
        format!("00000000-0000-{version}-8000-{:012}", self.calls)
    }

    fn send_request(&mut self) -> String {
        self.request("7000".to_owned())
    }

    /// Of a call that is answered by `replies.done`.
    fn call_request(&mut self) -> String {
        self.request(format!("80{:02x}", Expects::Done as u8))
    }

    fn connection(&mut self, label: Option<&str>) -> Result<(String, u64), String> {
        let open = self.stage.open();
        let named = |label: &str| open.iter().find(|(name, _)| name == label);
        let found = match label {
            Some(label) => named(label),
            None => open.first().filter(|_| open.len() == 1),
        };
        found.cloned().ok_or_else(|| match open.len() {
            0 => "no connection is open".to_owned(),
            _ => {
                let names: Vec<&String> = open.iter().map(|(name, _)| name).collect();
                format!("which connection? open are {names:?}; say `label`")
            }
        })
    }

    fn drain(&mut self) -> Result<(), Stopped> {
        while let Some(input) = self.queue.pop_front() {
            if self.at >= INPUTS {
                return Err(Stopped::Script(format!(
                    "after {INPUTS} inputs there is no end: the answers and the provider call each other"
                )));
            }
            self.take(input)?;
        }
        Ok(())
    }

    fn take(&mut self, input: Input) -> Result<(), Stopped> {
        if !self.is_alive(&input) {
            return Ok(());
        }
        self.at += 1;
        if self.policy == Policy::HandOver {
            self.hand_over()?;
            if !self.is_alive(&input) {
                return Ok(());
            }
        }
        let Some((call, what)) = self.prepare(&input) else {
            return Ok(());
        };
        if self.policy == Policy::Lose(self.at) {
            let lost = self.stage.call(self.at, &call, true);
            match lost.result {
                Err(fault) if fault.kind == FaultKind::Injected => {}
                Err(fault) => return Err(Stopped::Fault { what, fault }),
                Ok(_) => {}
            }
            return self.start_anew(input);
        }
        let played = self.stage.call(self.at, &call, false);
        if let Err(fault) = played.result {
            return Err(Stopped::Fault { what, fault });
        }
        let taken = match &input {
            Input::Send(request) => Some(request.clone()),
            _ => None,
        };
        self.saw(what, played.effects, taken);
        Ok(())
    }

    fn is_alive(&mut self, input: &Input) -> bool {
        let connections = &self.stage.ledger().connections;
        let same = |label: &String, generation: u64| {
            connections
                .get(label)
                .is_some_and(|it| it.generation == generation)
        };
        match input {
            Input::Opened { label, generation } | Input::Closed { label, generation } => {
                same(label, *generation)
            }
            Input::Frame {
                label,
                generation: Some(generation),
                ..
            } => same(label, *generation),
            Input::Frame { label, .. } => connections
                .get(label)
                .is_some_and(|it| it.state == ConnectionState::Open),
            Input::Timer(label) => self.stage.ledger().timers.contains_key(label),
            Input::Send(request) => !matches!(
                self.sends.get(request),
                Some((_, SendState::Settled(_))) | None
            ),
            Input::Other { .. } => true,
        }
    }

    /// The call, and what the ledger knows by it; undone with the turn if that fails.
    fn prepare(&mut self, input: &Input) -> Option<(Call, String)> {
        let ledger = self.stage.ledger();
        Some(match input {
            Input::Opened { label, .. } => {
                let view = ledger.connections.get(label)?.clone();
                let state = ConnectionState::Open;
                ledger.set_connection(label, Some(ConnectionView { state, ..view }));
                let call = Call::Opened {
                    label: label.clone(),
                };
                (call, format!("`{label}` opens"))
            }
            Input::Frame { label, bytes, .. } => {
                let step = Step::Frame {
                    label: None,
                    bytes: bytes.clone(),
                };
                let call = Call::Frame {
                    label: label.clone(),
                    bytes: bytes.clone().into(),
                };
                (call, step.in_words())
            }
            Input::Closed { label, .. } => {
                ledger.set_connection(label, None);
                let call = Call::Closed {
                    label: label.clone(),
                    code: None,
                    reason: Failure::new(
                        FailureCode::Unavailable,
                        "the other side closed the connection",
                    ),
                    undelivered: 0,
                };
                (call, format!("`{label}` closes"))
            }
            Input::Timer(label) => {
                let context = ledger.timers.get(label)?.context.clone();
                ledger.set_timer(label, None);
                let call = Call::Timer {
                    label: label.clone(),
                    context,
                };
                (call, format!("timer `{label}`"))
            }
            Input::Send(request) => {
                let outgoing = self.sends.get(request)?.0.clone();
                let call = Call::Send {
                    request: request.clone(),
                    outgoing,
                };
                (call, "send".to_owned())
            }
            Input::Other { call, what } => (call.clone(), what.clone()),
        })
    }

    /// What a commit and the flush after it do, as far as the play goes.
    fn saw(&mut self, what: String, effects: Effects, taken: Option<String>) {
        let mut seen = Seen {
            what,
            ..Seen::default()
        };
        for event in &effects.events {
            self.played.keys.insert(event.dedupe_key.clone());
            let data = event.data.get().to_owned();
            seen.events
                .push((event.kind.to_string(), event.dedupe_key.clone(), data));
        }
        for effect in effects.network {
            match effect {
                NetworkEffect::Open {
                    label, generation, ..
                }
                | NetworkEffect::StartTls {
                    label, generation, ..
                } => {
                    self.queue.push_back(Input::Opened { label, generation });
                }
                NetworkEffect::Send {
                    label,
                    generation,
                    bytes,
                } => {
                    let answers = &self.script.answers;
                    let said = answers.iter().find_map(|answer| answer.to_frame(&bytes));
                    if let Some(said) = said {
                        self.queue.push_back(Input::Frame {
                            label: label.clone(),
                            generation: Some(generation),
                            bytes: said,
                        });
                    }
                    seen.frames.push((label, bytes));
                }
                NetworkEffect::Close { .. } => {}
            }
        }
        let submitted = |effect: &&HttpEffect| matches!(effect, HttpEffect::Submit { .. });
        self.played.requests += effects.http.iter().filter(submitted).count();
        let mut answered = false;
        for reply in effects.replies {
            answered |= self.settle(&reply, taken.as_deref());
            seen.replies.push(format!("{reply:?}"));
        }
        if let Some((_, state)) = taken.and_then(|request| self.sends.get_mut(&request))
            && !answered
        {
            *state = SendState::Dispatched;
        }
        seen.kv = effects.kv;
        self.played.inputs.push(seen);
    }

    /// Whether it was about the send that this turn took.
    fn settle(&mut self, reply: &Reply, taken: Option<&str>) -> bool {
        let (request, next) = match reply {
            Reply::Deferred { request } => (request, SendState::Mine),
            Reply::Dispatched { request } => (request, SendState::Dispatched),
            Reply::Sent { request, .. } => (request, SendState::Settled("sent".into())),
            Reply::Failed {
                request, failure, ..
            } => (
                request,
                SendState::Settled(format!("failed ({})", failure.code.as_str())),
            ),
            _ => return false,
        };
        if let Some((_, state)) = self.sends.get_mut(request)
            && !matches!(state, SendState::Settled(_))
        {
            *state = next;
        }
        taken == Some(request)
    }

    /// What comes from outside must not cost a turn, whatever it is.
    fn garbage(&mut self) -> Result<(), Stopped> {
        let mut all: Vec<Vec<u8>> = [
            &b""[..],
            b" ",
            b"\0",
            b"\xff\xfe\xfd",
            b"{",
            b"{}",
            b"[]",
            b"null",
            b"\"text\"",
            b"-1",
        ]
        .map(<[u8]>::to_vec)
        .into();
        all.push(vec![b'A'; 8 * 1024]);
        for (_, step) in self.script.steps() {
            if let Step::Frame { bytes, .. } = step {
                all.push(bytes[..bytes.len() / 2].to_vec());
                all.push([&bytes[..], &bytes[..]].concat());
                all.push(bytes.iter().rev().copied().collect());
            }
        }
        for bytes in all {
            // One that gave up its connection comes back by a timer or when it is asked to.
            if self.stage.open().is_empty() {
                let call = Call::Reconnect;
                let what = "reconnect".to_owned();
                self.queue.push_back(Input::Other { call, what });
                self.drain()?;
            }
            let open = self.stage.open();
            let Some((label, generation)) = open.first() else {
                return Ok(());
            };
            let (label, generation) = (label.clone(), Some(*generation));
            self.queue.push_back(Input::Frame {
                label,
                generation,
                bytes,
            });
            self.drain()?;
        }
        Ok(())
    }
}

fn outgoing(to: &str, text: &str) -> Result<Outgoing, serde_json::Error> {
    serde_json::from_value(json!({
        "conversation": to,
        "conversation_kind": "user",
        "content": {"type": "text", "text": text, "format": "plain"},
        "reply_context": null,
        "mentions": [],
        "extra": null,
    }))
}

fn given(answers: &BTreeMap<String, String>) -> Vec<Answer> {
    let answer = |(name, value): (&String, &String)| Answer {
        name: name.clone(),
        value: value.clone().into_bytes().into(),
    };
    answers.iter().map(answer).collect()
}
