//! A small host for the pure core: a turn is a transaction over a map, lines go over a real
//! socket, timers run on the clock. It can reload the session and let turns fail.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyport_sdk::events::{Emission, Event};
use anyport_sdk::model::{Content, Message};
use anyport_sdk::types::{Error, ErrorCode};
use irc_provider::port::{Action, Input, Outgoing, Port, Reply, error};
use irc_provider::session::{Session, Start};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default, Clone)]
pub struct Memory {
    pub kv: BTreeMap<String, Vec<u8>>,
    pub secrets: BTreeMap<String, Vec<u8>>,
    pub seed: u64,
    pub subjects: Vec<String>,
}

impl Port for Memory {
    fn random(&mut self, length: u32) -> Vec<u8> {
        (0..length)
            .map(|_| {
                self.seed = self
                    .seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (self.seed >> 33) as u8
            })
            .collect()
    }
    fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.kv.get(key).cloned()
    }
    fn put(&mut self, key: &str, value: Vec<u8>) {
        assert!(
            key.len() <= 512 && value.len() <= 256 * 1_024,
            "a limit of kv"
        );
        self.kv.insert(key.to_owned(), value);
    }
    fn remove(&mut self, key: &str) {
        self.kv.remove(key);
    }
    fn scan(&mut self, prefix: &str, after: Option<&str>) -> (Vec<(String, Vec<u8>)>, bool) {
        let mut found = self.kv.iter().filter(|(key, _)| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        let entries: Vec<_> = found
            .by_ref()
            .take(256)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        (entries, found.next().is_some())
    }
    fn reveal(&mut self, secret: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.secrets.get(secret).cloned())
    }
    fn subject(&mut self, key: &str) {
        self.subjects.push(key.to_owned());
    }
}

pub struct Driver {
    pub session: Session,
    pub memory: Memory,
    pub config: String,
    /// All that was asked for, in order.
    pub actions: Vec<Action>,
    pub connections: u32,
    socket: Option<(TcpStream, BufReader<TcpStream>)>,
    partial: Vec<u8>,
    timers: BTreeMap<&'static str, (u64, Vec<u8>)>,
    inputs: VecDeque<Input>,
    requests: u32,
}

impl Driver {
    pub fn new(config: &serde_json::Value, secrets: &[(&str, &str)]) -> Self {
        let secrets = secrets
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        let mut driver = Self {
            session: Session::default(),
            memory: Memory {
                secrets,
                seed: 7,
                ..Memory::default()
            },
            config: config.to_string(),
            actions: Vec::new(),
            connections: 0,
            socket: None,
            partial: Vec::new(),
            timers: BTreeMap::new(),
            inputs: VecDeque::new(),
            requests: 0,
        };
        driver.restart(None);
        driver
    }

    fn restart(&mut self, resume: Option<(u32, Vec<u8>)>) -> bool {
        let start = Start {
            config: self.config.clone(),
            resume,
            open: self.socket.is_some(),
            skip: Vec::new(),
        };
        let (session, keeps, actions) = Session::start(&start, now(), &mut self.memory);
        self.session = session;
        if !keeps {
            self.socket = None;
        }
        self.perform(actions);
        keeps
    }

    /// Another instance of the provider, by snapshot. True: the connection went on.
    pub fn reload(&mut self) -> bool {
        let snapshot = self.session.suspend().expect("a snapshot");
        assert!(snapshot.len() <= 256 * 1_024);
        self.restart(Some((1, snapshot)))
    }

    /// The instance is lost; kv is all there is. True: the connection went on.
    pub fn fault(&mut self) -> bool {
        self.restart(None)
    }

    /// The next line is taken in a turn that fails; then it comes again to a new instance.
    pub fn fail_next_line(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(Input::Frame(bytes)) = self.read() {
                let before = self.memory.kv.clone();
                let _ = self
                    .session
                    .handle(Input::Frame(bytes.clone()), now(), &mut self.memory);
                self.memory.kv = before;
                assert!(self.fault(), "the connection was not kept");
                self.turn(Input::Frame(bytes));
                return;
            }
            assert!(Instant::now() < until, "no line came");
        }
    }

    pub fn turn(&mut self, input: Input) {
        let actions = self.session.handle(input, now(), &mut self.memory);
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match &action {
                Action::Connect { host, port, tls } => {
                    assert!(!tls, "these servers are without TLS");
                    if self.socket.is_none() {
                        self.connect(host, *port);
                    }
                }
                Action::Line(line) => {
                    assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
                    if let Some((stream, _)) = &mut self.socket {
                        let _ = stream.write_all(format!("{line}\r\n").as_bytes());
                    }
                }
                Action::Close => self.close(),
                Action::SetTimer { label, at, context } => {
                    self.timers.insert(label, (*at, context.clone()));
                }
                Action::CancelTimer(label) => {
                    self.timers.remove(label);
                }
                _ => {}
            }
            self.actions.push(action);
        }
    }

    fn connect(&mut self, host: &str, port: u16) {
        self.partial.clear();
        match TcpStream::connect((host, port)) {
            Ok(stream) => {
                stream
                    .set_read_timeout(Some(Duration::from_millis(10)))
                    .expect("a timeout");
                stream.set_nodelay(true).expect("no delay");
                let reader = BufReader::new(stream.try_clone().expect("a second handle"));
                self.socket = Some((stream, reader));
                self.connections += 1;
                self.inputs.push_back(Input::Opened);
            }
            Err(problem) => {
                let reason = error(ErrorCode::Unavailable, problem.to_string());
                self.inputs.push_back(Input::Closed {
                    reason,
                    undelivered: 0,
                });
            }
        }
    }

    fn close(&mut self) {
        if let Some((stream, _)) = self.socket.take() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        self.inputs.retain(|input| {
            !matches!(
                input,
                Input::Opened | Input::Closed { .. } | Input::Frame(_)
            )
        });
    }

    fn read(&mut self) -> Option<Input> {
        if let Some(input) = self.inputs.pop_front() {
            return Some(input);
        }
        let (_, reader) = self.socket.as_mut()?;
        match reader.read_until(b'\n', &mut self.partial) {
            Ok(read) if read > 0 && self.partial.ends_with(b"\n") => {
                let mut line = std::mem::take(&mut self.partial);
                while line.ends_with(b"\n") || line.ends_with(b"\r") {
                    line.pop();
                }
                Some(Input::Frame(line))
            }
            Ok(read) if read > 0 => None,
            Err(problem)
                if matches!(problem.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                None
            }
            _ => {
                self.socket = None;
                Some(Input::Closed {
                    reason: error(ErrorCode::Unavailable, "the other side closed"),
                    undelivered: 0,
                })
            }
        }
    }

    /// Works until `found` gives something.
    pub fn until<T>(&mut self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = found(self) {
                return value;
            }
            assert!(
                Instant::now() < until,
                "{what} did not happen; what did:\n{}",
                self.story()
            );
            self.step();
        }
    }

    /// The last that was asked for, for the message of a failed test.
    fn story(&self) -> String {
        let told = self
            .actions
            .iter()
            .filter(|action| !matches!(action, Action::SetTimer { .. } | Action::CancelTimer(_)));
        let mut told: Vec<String> = told
            .map(|action| format!("{action:?}").chars().take(400).collect())
            .collect();
        told.split_off(told.len().saturating_sub(40)).join("\n")
    }

    pub fn step(&mut self) {
        let due = self
            .timers
            .iter()
            .filter(|(_, (at, _))| *at <= now())
            .min_by_key(|(_, (at, _))| *at)
            .map(|(label, _)| *label);
        if let Some(label) = due
            && let Some((_, context)) = self.timers.remove(label)
        {
            self.turn(Input::Timer {
                label: label.to_owned(),
                context,
            });
        }
        match self.read() {
            Some(input) => self.turn(input),
            None if self.socket.is_none() => std::thread::sleep(Duration::from_millis(5)),
            None => {}
        }
    }

    pub fn begin(&mut self) {
        self.turn(Input::Begin {
            request: "sign-in".into(),
            method: "password".into(),
        });
    }

    pub fn sign_in(&mut self) {
        self.begin();
        self.until("the sign-in", |driver| driver.reply("sign-in"));
        assert!(
            self.actions
                .iter()
                .any(|action| matches!(action, Action::SignInSucceeded(_))),
            "{:#?}",
            self.actions
        );
    }

    pub fn sign_in_failure(&mut self) -> Error {
        self.begin();
        self.until("the end of the sign-in", |driver| driver.reply("sign-in"));
        let failed = self.actions.iter().find_map(|action| {
            if let Action::SignInFailed(error) = action {
                Some(error.clone())
            } else {
                None
            }
        });
        failed.expect("a failure")
    }

    pub fn send(&mut self, conversation: &str, text: &str) -> String {
        self.requests += 1;
        let request = format!("request-{}", self.requests);
        let message = Outgoing {
            conversation: conversation.into(),
            text: Some(text.into()),
            ..Outgoing::default()
        };
        self.turn(Input::Send {
            request: request.clone(),
            message,
        });
        request
    }

    /// Sends and waits for the outcome.
    pub fn sent(&mut self, conversation: &str, text: &str) -> Reply {
        let request = self.send(conversation, text);
        self.outcome(&request)
    }

    pub fn outcome(&mut self, request: &str) -> Reply {
        self.until("the outcome of a send", |driver| driver.reply(request))
    }

    /// The answer to a request, but for `deferred` and `dispatched`.
    pub fn reply(&self, request: &str) -> Option<Reply> {
        self.replies(request)
            .into_iter()
            .find(|reply| !matches!(reply, Reply::Deferred | Reply::Dispatched))
    }

    pub fn replies(&self, request: &str) -> Vec<Reply> {
        let of = |action: &Action| match action {
            Action::Reply {
                request: name,
                reply,
            } if name == request => Some(reply.clone()),
            _ => None,
        };
        self.actions.iter().filter_map(of).collect()
    }

    pub fn events(&self) -> Vec<&Emission> {
        self.actions
            .iter()
            .filter_map(|action| {
                if let Action::Emit(emission) = action {
                    Some(&**emission)
                } else {
                    None
                }
            })
            .collect()
    }

    pub fn event<T>(&mut self, what: &str, found: impl Fn(&Event) -> Option<T>) -> T {
        self.until(what, |driver| {
            driver
                .events()
                .into_iter()
                .find_map(|emission| found(&emission.event))
        })
    }

    pub fn messages(&self) -> Vec<Message> {
        let of = |emission: &Emission| {
            if let Event::MessageReceived(message) = &emission.event {
                Some(message.clone())
            } else {
                None
            }
        };
        self.events().into_iter().filter_map(of).collect()
    }

    pub fn message(&mut self, text: &str) -> Message {
        self.until(text, |driver| {
            driver
                .messages()
                .into_iter()
                .find(|message| body(message) == text)
        })
    }

    pub fn group_change(&mut self, kind: &str) -> anyport_sdk::events::GroupChange {
        self.event(kind, |event| match event {
            Event::GroupUpdated(change) if change.kind == kind => Some(change.clone()),
            _ => None,
        })
    }

    /// Every key of an emission is there once.
    pub fn assert_no_doubles(&self) {
        let mut keys: Vec<_> = self
            .events()
            .into_iter()
            .map(|emission| emission.key.clone())
            .collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }
}

pub fn body(message: &Message) -> &str {
    if let Content::Text(text) = &message.content {
        &text.body
    } else {
        ""
    }
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
