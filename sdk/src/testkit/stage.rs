//! The stage: one account of a provider, step by step.

use super::host::{Host, Mode};
use super::rules::Breach;
use super::turn::Turn;
use super::world::{Blob, World};
use crate::driver;
use crate::ingress;
use crate::interfaces::{Ingress, Messaging, SignIn};
use crate::lifecycle::{Cause, Descriptor, Snapshot, StartContext};
use crate::messaging::Outgoing;
use crate::model::Content;
use crate::native::answering;
use crate::provider::{Provider, Result};
use crate::reactor::{
    Answered, BlobRange, Closed, Computed, Fired, Opened, Received, Response, ResponseBody, Wake,
};
use crate::sign_in::Answer;
use crate::types::{Error, Frame, Header};
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// 2027-01-15T08:00:00Z: where the clock stands at first.
const BEGINNING_MS: u64 = 1_800_000_000_000;

pub struct Stage<P: Provider> {
    host: Arc<Host>,
    config: String,
    provider: Option<P>,
    skip: Vec<String>,
    requests: u64,
    started: bool,
}

impl<P: Provider> Stage<P> {
    /// An account with this configuration, which has not started.
    pub fn new(config: impl Serialize) -> Self {
        let host = Arc::new(Host::default());
        host.state().world.now = BEGINNING_MS;
        Self {
            host,
            config: serde_json::to_string(&config).expect("a configuration is JSON"),
            provider: None,
            skip: Vec::new(),
            requests: 0,
            started: false,
        }
    }

    /// It holds this secret.
    #[must_use]
    pub fn with_secret(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        self.host
            .state()
            .world
            .secrets
            .insert(name.to_owned(), value);
        self
    }

    /// It has this in `kv`.
    #[must_use]
    pub fn with_kv(self, key: &str, value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        self.host.state().world.kv.insert(key.to_owned(), value);
        self
    }

    /// This subject failed twice.
    #[must_use]
    pub fn skipping(mut self, subject: &str) -> Self {
        self.skip.push(subject.to_owned());
        self
    }

    /// What the host holds for the account now.
    pub fn world(&self) -> World {
        self.host.state().world.clone()
    }

    /// Milliseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        self.host.state().world.now
    }

    /// Puts a blob into the media store, as a client's upload would; its id.
    pub fn add_blob(&self, bytes: impl Into<Vec<u8>>, mime: Option<&str>) -> String {
        let mut state = self.host.state();
        state.world.made += 1;
        let id = format!("blob_{}", state.world.made);
        let blob = Blob {
            bytes: bytes.into(),
            mime: mime.map(str::to_owned),
            filename: None,
        };
        state.world.blobs.insert(id.clone(), blob);
        id
    }

    /// What the provider says it can do. Panics if it asks the host for something meanwhile.
    pub fn describe() -> Descriptor {
        let host = Arc::new(Host::default());
        host.state().mode = Mode::Describe;
        match caught(|| answering(host, driver::describe::<P>)) {
            Ok(descriptor) => descriptor,
            Err(fault) => panic!("{fault}"),
        }
    }

    /// The first start, or, after a crash or a fault, the next one: with the connections that are
    /// open, and `kv`.
    pub fn start(&mut self) -> Turn {
        let cause = if self.started {
            Cause::Restart
        } else {
            Cause::First
        };
        self.start_with(cause, None)
    }

    /// The memory of the instance is lost, as in a crash of the host: connections and timers that
    /// are not durable are gone with it. Starts again.
    pub fn crash(&mut self) -> Turn {
        self.provider = None;
        let mut state = self.host.state();
        state.world.connections.clear();
        state.world.requests.clear();
        state.world.jobs.clear();
        state.world.timers.retain(|_, timer| timer.durable);
        drop(state);
        self.start_with(Cause::Restart, None)
    }

    /// Hands over to a new instance, as a replacement does; open connections stay.
    pub fn reload(&mut self) -> Turn {
        let snapshot = self.suspend();
        self.start_with(Cause::Reload, Some(snapshot))
    }

    /// The snapshot. Panics if the provider asks the host for something meanwhile.
    pub fn suspend(&mut self) -> Snapshot {
        let provider = self.provider.as_ref().expect("it has started");
        self.host.state().mode = Mode::Suspend;
        let suspended = caught(|| answering(self.host.clone(), || driver::suspend(provider)));
        self.host.state().mode = Mode::Turn;
        match suspended {
            Ok(Ok(snapshot)) => snapshot,
            Ok(Err(error)) => panic!("the snapshot failed: {}", error.message),
            Err(fault) => panic!("the snapshot failed: {fault}"),
        }
    }

    fn start_with(&mut self, cause: Cause, resume: Option<Snapshot>) -> Turn {
        let open: Vec<String> = {
            let state = self.host.state();
            let open = state.world.connections.iter().filter(|(_, it)| it.open);
            open.map(|(label, _)| label.clone()).collect()
        };
        let context = StartContext {
            cause,
            config: self.config.clone(),
            resume,
            open: open.clone(),
            skip: self.skip.clone(),
            extra: None,
        };
        self.provider = None;
        let mut started = None;
        let mut turn = self.turn(|_| {
            let (provider, keeps) = driver::start::<P>(context)?;
            started = Some((provider, keeps.keeps));
            Ok(())
        });
        let Some((provider, keeps)) = started.filter(|_| turn.fault.is_none()) else {
            return turn;
        };
        self.provider = Some(provider);
        self.started = true;
        for label in open {
            if !keeps.contains(&label) && !turn.closes.contains(&label) {
                self.host.state().world.connections.remove(&label);
                turn.closes.push(label);
            }
        }
        turn
    }

    /// One turn, whatever it is for.
    pub fn wake(&mut self, wake: Wake) -> Turn {
        self.call(|provider| driver::wake(provider, wake))
    }

    /// A connection that the provider asked for is up.
    #[track_caller]
    pub fn open(&mut self, label: &str) -> Turn {
        self.connection(label, true);
        self.wake(Wake::Opened(Opened {
            name: label.to_owned(),
            subprotocol: None,
            headers: Vec::new(),
        }))
    }

    /// A frame comes in; text comes as bytes, as on every byte stream.
    #[track_caller]
    pub fn frame(&mut self, label: &str, bytes: impl Into<Vec<u8>>) -> Turn {
        self.connection(label, true);
        self.wake(Wake::Frame(Received {
            name: label.to_owned(),
            frame: Frame::Binary(bytes.into()),
        }))
    }

    /// The other side is gone.
    #[track_caller]
    pub fn close(&mut self, label: &str, reason: Error) -> Turn {
        self.connection(label, false);
        self.host.state().world.connections.remove(label);
        self.wake(Wake::Closed(Closed {
            name: label.to_owned(),
            code: None,
            reason,
            undelivered: 0,
        }))
    }

    #[track_caller]
    fn connection(&self, label: &str, open: bool) {
        let mut state = self.host.state();
        match state.world.connections.get_mut(label) {
            Some(connection) => connection.open = open,
            None => panic!(
                "the provider has no connection `{label}`; it has {:?}",
                state.world.connections.keys().collect::<Vec<_>>()
            ),
        }
    }

    /// The clock moves, and the timers that are due fire in their order.
    pub fn advance(&mut self, ms: u64) -> Vec<Turn> {
        let until = self.now() + ms;
        let mut turns = Vec::new();
        loop {
            let mut state = self.host.state();
            let due = state.world.timers.iter().filter(|(_, it)| it.at <= until);
            let Some(label) = due
                .min_by_key(|(_, it)| it.at)
                .map(|(label, _)| label.clone())
            else {
                state.world.now = until;
                return turns;
            };
            drop(state);
            turns.push(self.fire(&label));
        }
    }

    /// A timer that the provider set fires; the clock moves to its time.
    #[track_caller]
    pub fn fire(&mut self, label: &str) -> Turn {
        let mut state = self.host.state();
        let Some(timer) = state.world.timers.remove(label) else {
            panic!(
                "the provider has set no timer `{label}`; it has {:?}",
                state.world.timers.keys().collect::<Vec<_>>()
            );
        };
        state.world.now = state.world.now.max(timer.at);
        drop(state);
        let (name, context) = (label.to_owned(), timer.context);
        self.wake(Wake::Timer(Fired { name, context }))
    }

    /// The answer to a request that the provider submitted.
    #[track_caller]
    pub fn answer(&mut self, label: &str, outcome: Result<Response>) -> Turn {
        let mut state = self.host.state();
        let Some(request) = state.world.requests.remove(label) else {
            panic!(
                "the provider has submitted no request `{label}`; it has {:?}",
                state.world.requests.keys().collect::<Vec<_>>()
            );
        };
        drop(state);
        let (name, context) = (label.to_owned(), request.context);
        self.wake(Wake::Http(Answered {
            name,
            context,
            outcome,
        }))
    }

    /// The same with JSON.
    #[track_caller]
    pub fn answer_json(&mut self, label: &str, status: u16, body: impl Serialize) -> Turn {
        let body = serde_json::to_vec(&body).expect("a body is JSON");
        let response = Response {
            status,
            headers: vec![Header::new("content-type", "application/json")],
            body: ResponseBody::Bytes(body),
        };
        self.answer(label, Ok(response))
    }

    /// The result of a `crypto` job.
    #[track_caller]
    pub fn computed(&mut self, label: &str, outcome: Result<Vec<u8>>) -> Turn {
        let mut state = self.host.state();
        let at = state.world.jobs.iter().position(|job| job == label);
        let Some(at) = at else {
            panic!("the provider has no job `{label}`: {:?}", state.world.jobs);
        };
        state.world.jobs.remove(at);
        drop(state);
        let name = label.to_owned();
        self.wake(Wake::Computed(Computed { name, outcome }))
    }

    /// The range of a blob that the provider asked for.
    #[track_caller]
    pub fn read_blob(&mut self, label: &str) -> Turn {
        let mut state = self.host.state();
        let Some((blob, offset, length)) = state.world.reads.remove(label) else {
            panic!("the provider asked for no range `{label}`");
        };
        let outcome = match state.world.blobs.get(&blob) {
            Some(blob) => {
                let from = (offset as usize).min(blob.bytes.len());
                let to = (from + length as usize).min(blob.bytes.len());
                Ok(blob.bytes[from..to].to_vec())
            }
            None => Err(Error::not_found("there is no such blob")),
        };
        drop(state);
        let name = label.to_owned();
        self.wake(Wake::Blob(BlobRange { name, outcome }))
    }

    /// A command of any interface; its request's id, and its turn:
    /// `stage.command(|provider, request| provider.list_all(request, page))`.
    pub fn command(&mut self, run: impl FnOnce(&mut P, String) -> Result) -> (String, Turn) {
        self.requests += 1;
        let request = format!("request-{}", self.requests);
        let turn = self.again(&request, run);
        (request, turn)
    }

    /// The same command once more, as the host calls it after a crash.
    pub fn again(&mut self, request: &str, run: impl FnOnce(&mut P, String) -> Result) -> Turn {
        self.call(|provider| driver::command(provider, request.to_owned(), run))
    }

    fn call(&mut self, run: impl FnOnce(&mut P) -> Result) -> Turn {
        let mut provider = self.provider.take().expect(
            "it has started: `start` comes first, also after a turn that failed, which costs the \
             instance its life",
        );
        let turn = self.turn(|_| run(&mut provider));
        if turn.fault.is_none() {
            self.provider = Some(provider);
        }
        turn
    }

    /// Runs a call with the host around it; what a failed one did is taken back.
    fn turn(&mut self, run: impl FnOnce(&Host) -> Result) -> Turn {
        let before = {
            let mut state = self.host.state();
            state.turn = Turn::default();
            state.world.clone()
        };
        let host = self.host.clone();
        let ended = caught(|| answering(host.clone(), || run(&host)));
        let fault = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{:?}: {}", error.code, error.message)),
            Err(fault) => Some(fault),
        };
        let mut state = self.host.state();
        let turn = std::mem::take(&mut state.turn);
        if fault.is_none() {
            return turn;
        }
        state.world = before;
        Turn {
            fault,
            subject: turn.subject,
            log: turn.log,
            ..Turn::default()
        }
    }
}

impl<P: Messaging> Stage<P> {
    /// A client sends a text.
    pub fn send_text(&mut self, conversation: &str, text: &str) -> (String, Turn) {
        self.send(Outgoing {
            conversation: conversation.to_owned(),
            conversation_kind: "user".to_owned(),
            content: Content::plain(text),
            quote: None,
            reply_context: None,
            thread: None,
            silent: false,
            extra: None,
        })
    }

    pub fn send(&mut self, message: Outgoing) -> (String, Turn) {
        self.command(|provider, request| provider.send(request, message))
    }
}

impl<P: SignIn> Stage<P> {
    pub fn begin_sign_in(&mut self, method: &str, answers: &[(&str, &str)]) -> (String, Turn) {
        let answers = given(answers);
        self.command(|provider, request| provider.begin(request, method.to_owned(), answers))
    }

    pub fn submit_answers(&mut self, answers: &[(&str, &str)]) -> (String, Turn) {
        let answers = given(answers);
        self.command(|provider, request| provider.submit(request, answers))
    }
}

impl<P: Ingress> Stage<P> {
    /// The channel calls; none as an answer: the turn failed, and the channel gets 503.
    pub fn called(&mut self, request: ingress::Request) -> (Option<ingress::Response>, Turn) {
        let mut response = None;
        let turn = self.call(|provider| {
            response = Some(provider.on_request(request)?);
            Ok(())
        });
        (response.filter(|_| turn.fault.is_none()), turn)
    }
}

fn given(answers: &[(&str, &str)]) -> Vec<Answer> {
    let answer = |(name, value): &(&str, &str)| Answer {
        name: (*name).to_owned(),
        value: value.as_bytes().to_vec(),
    };
    answers.iter().map(answer).collect()
}

/// What a panic said.
fn caught<T>(run: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        if let Some(breach) = panic.downcast_ref::<Breach>() {
            return breach.0.clone();
        }
        let said = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        format!("it panicked: {}", said.unwrap_or_default())
    })
}
