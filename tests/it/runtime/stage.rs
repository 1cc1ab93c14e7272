//! An account of the evil provider as only the runtime sees it: an instance and a ledger.

use crate::support::guests;
use anyport::domain::{AccountId, SecretBytes, Timestamp};
use anyport::runtime::instance::StartCall;
use anyport::runtime::ledger::{ColdKv, ConnectionView, TimerView};
use anyport::runtime::limits::Limits;
use anyport::runtime::normalize::ReplyTokens;
use anyport::runtime::turn::AccountFacts;
use anyport::runtime::{
    Call, Cause, Effects, Engine, EngineSettings, Fault, FaultKind, Instance, Ledger, Provider,
    Turn,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// One for all tests, as in a host.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(settings()).unwrap())
}

pub fn settings() -> EngineSettings {
    EngineSettings {
        max_instances: 64,
        ..EngineSettings::default()
    }
}

pub fn evil() -> &'static Provider {
    static EVIL: OnceLock<Provider> = OnceLock::new();
    EVIL.get_or_init(|| engine().check(guests::evil()).unwrap())
}

/// What the evil provider gets, but so much CPU time that a slow machine breaks no other rule
/// than the one that is tested.
pub fn patient() -> Limits {
    Limits {
        cpu_ms: 600_000,
        ..evil().limits
    }
}

pub struct Account {
    instance: Instance,
    pub ledger: Option<Ledger>,
    facts: Arc<AccountFacts>,
    pub now: Timestamp,
    /// What a person is said to have typed for the next call.
    pub typed: Vec<SecretBytes>,
}

/// What a turn came to.
#[derive(Debug)]
pub struct Played {
    pub result: Result<Vec<String>, Fault>,
    pub effects: Effects,
    pub subject: Option<String>,
    pub revealed: Vec<String>,
}

impl Played {
    #[track_caller]
    pub fn ok(self) -> Effects {
        self.result.expect("the turn ends well");
        self.effects
    }

    /// The fault, if it is of this kind and its message has this phrase.
    #[track_caller]
    pub fn fails(self, kind: FaultKind, phrase: &str) -> Fault {
        let fault = self.result.expect_err("the turn fails");
        assert_eq!(fault.kind, kind, "{fault:?}");
        assert!(
            fault.message.contains(phrase),
            "no {phrase:?} in {:?}; detail: {}",
            fault.message,
            fault.detail
        );
        fault
    }
}

/// All of a ledger that can be seen.
#[derive(Debug, PartialEq)]
pub struct Seen {
    kv: Vec<(String, Vec<u8>)>,
    kv_bytes: u64,
    password: Option<Vec<u8>>,
    connections: BTreeMap<String, ConnectionView>,
    timers: BTreeMap<String, TimerView>,
}

impl Account {
    /// Started, with an empty ledger.
    pub fn new() -> Self {
        Self::with(patient(), empty())
    }

    pub fn with_limits(limits: Limits) -> Self {
        Self::with(limits, empty())
    }

    pub fn with(limits: Limits, ledger: Ledger) -> Self {
        let mut account = Self::unstarted(limits, ledger);
        account.start(json!({})).ok();
        account
    }

    pub fn unstarted(limits: Limits, ledger: Ledger) -> Self {
        let provider = evil();
        Self {
            instance: provider.instantiate(&limits).unwrap(),
            ledger: Some(ledger),
            facts: Arc::new(AccountFacts {
                id: AccountId::from_text("acc_1"),
                manifest: provider.manifest.clone(),
                limits,
                reply_tokens: Arc::new(NoTokens),
            }),
            now: Timestamp(1_800_000_000_000),
            typed: Vec::new(),
        }
    }

    /// Signed in: the connection `main` is asked for, and there is a secret `password`.
    pub fn signed_in(password: &str) -> Self {
        let mut account = Self::new();
        account.sign_in(password);
        account
    }

    pub fn sign_in(&mut self, password: &str) {
        self.call(&Call::SignInBegin {
            request: "1".into(),
            method: "password".into(),
            answers: vec![anyport::domain::sign_in::Answer {
                name: "password".into(),
                value: password.as_bytes().into(),
            }],
        })
        .ok();
    }

    pub fn start(&mut self, config: Value) -> Played {
        let mut whole = json!({"server": "127.0.0.1", "port": 6667});
        for (key, value) in config.as_object().unwrap() {
            whole[key] = value.clone();
        }
        self.call(&Call::Start(StartCall {
            cause: Cause::First,
            config: whole.to_string().into(),
            resume: None,
            open: Vec::new(),
            skip: Vec::new(),
        }))
    }

    /// A line comes in on the connection `main`.
    pub fn line(&mut self, text: &str) -> Played {
        self.call(&Call::Frame {
            label: "main".into(),
            bytes: text.as_bytes().into(),
        })
    }

    pub fn call(&mut self, call: &Call) -> Played {
        let turn = self.turn();
        let outcome = self.instance.call(call, turn);
        let turn = *outcome.turn;
        self.ledger = Some(turn.ledger);
        Played {
            result: outcome.result,
            effects: turn.effects,
            subject: turn.subject,
            revealed: turn.revealed,
        }
    }

    pub fn suspend(&mut self) -> Result<(u32, Vec<u8>), Fault> {
        let turn = self.turn();
        let (turn, result) = self.instance.suspend(turn);
        assert!(!turn.effects.is_durable() && turn.effects.network.is_empty());
        self.ledger = Some(turn.ledger);
        result
    }

    fn turn(&mut self) -> Box<Turn> {
        let ledger = self.ledger.take().unwrap();
        let mut turn = Turn::new(self.now, ledger, self.facts.clone());
        turn.typed = std::mem::take(&mut self.typed);
        Box::new(turn)
    }

    pub fn ledger(&mut self) -> &mut Ledger {
        self.ledger.as_mut().unwrap()
    }

    pub fn seen(&mut self) -> Seen {
        let ledger = self.ledger();
        let (kv, more) = ledger
            .kv_scan("", None, usize::MAX - 1, usize::MAX)
            .unwrap();
        assert!(!more);
        Seen {
            kv,
            kv_bytes: ledger.kv_bytes,
            password: ledger.secret("password").map(<[u8]>::to_vec),
            connections: ledger.connections.clone().into_iter().collect(),
            timers: ledger.timers.clone().into_iter().collect(),
        }
    }
}

/// All of kv in memory, and none.
pub fn empty() -> Ledger {
    Ledger::new(Some(Vec::new()), 0, Vec::new(), Arc::new(NoCold))
}

/// Of accounts whose kv is in memory; nobody asks it.
pub struct NoCold;

impl ColdKv for NoCold {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        panic!("a read of {key} although all of kv is in memory")
    }
    fn scan(
        &self,
        prefix: &str,
        _: Option<&str>,
        _: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, String> {
        panic!("a scan of {prefix} although all of kv is in memory")
    }
}

struct NoTokens;

impl ReplyTokens for NoTokens {
    fn seal(&self, _: &AccountId, _: &str, _: &str, _: Option<&str>, _: Option<&str>) -> String {
        "token".into()
    }
}

/// The text of the only message that a turn emitted.
#[track_caller]
pub fn said(effects: &Effects) -> String {
    let [event] = &effects.events[..] else {
        panic!("one event, not {:?}", effects.events);
    };
    assert_eq!(event.kind, "message.received");
    let data: Value = serde_json::from_str(event.data.get()).unwrap();
    data["message"]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{data:#}"))
        .to_owned()
}

/// What was logged while `run` ran, on this thread: `LEVEL target: message key=value …`.
pub fn logged<T>(run: impl FnOnce() -> T) -> (Vec<String>, T) {
    use std::fmt::{Debug, Write};
    use std::sync::Mutex;
    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Line(String);
    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() == "message" {
                write!(self.0, " {value:?}").unwrap();
            } else {
                write!(self.0, " {}={value:?}", field.name()).unwrap();
            }
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let meta = event.metadata();
            let mut line = Line(format!("{} {}:", meta.level(), meta.target()));
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }

    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let result = tracing::subscriber::with_default(subscriber, run);
    let lines = std::mem::take(&mut *lines.0.lock().unwrap());
    (lines, result)
}
