//! What a turn, an instance and a replacement cost, without the host around them. CPU time of the
//! thread. The native contender is the same handler compiled for this machine.

use anyport::domain::manifest::Manifest;
use anyport::domain::send::{Content, Outgoing};
use anyport::domain::{AccountId, Timestamp};
use anyport::runtime::instance::StartCall;
use anyport::runtime::ledger::ColdKv;
use anyport::runtime::turn::AccountFacts;
use anyport::runtime::{Call, Cause, Instance, Ledger, Provider, Turn};
use anyport_bench::world::{NoTokens, engine, simulator};
use anyport_bench::{clock, native};
use criterion::{Criterion, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;

struct NoKv;

impl ColdKv for NoKv {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
    fn scan(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<(String, Vec<u8>)>, String> {
        Ok(Vec::new())
    }
}

/// An instance between two turns.
struct Guest {
    instance: Instance,
    facts: Arc<AccountFacts>,
    ledger: Option<Ledger>,
}

impl Guest {
    fn start(provider: &Provider) -> Self {
        let facts = Arc::new(AccountFacts {
            id: AccountId::generate(),
            manifest: Arc::new(Manifest::clone(&provider.manifest)),
            limits: provider.limits,
            reply_tokens: Arc::new(NoTokens),
        });
        let secrets = vec![("session".to_owned(), b"s".to_vec().into())];
        let kv = vec![("user".to_owned(), b"ada".to_vec())];
        let ledger = Ledger::new(Some(kv), 7, secrets, Arc::new(NoKv));
        let mut guest = Self {
            instance: provider
                .instantiate(&provider.limits)
                .expect("it instantiates"),
            facts,
            ledger: Some(ledger),
        };
        guest.turn(&start(None));
        guest.turn(&Call::Opened {
            label: "main".into(),
        });
        guest.turn(&frame(
            r#"{"welcome":{"profile":{"id":"1","name":"Ada","username":"ada","phone":"1"}}}"#,
        ));
        guest
    }

    fn turn(&mut self, call: &Call) {
        let ledger = self.ledger.take().expect("no turn runs");
        let turn = Box::new(Turn::new(Timestamp::now(), ledger, self.facts.clone()));
        let outcome = self.instance.call(call, turn);
        outcome.result.expect("a good turn");
        self.ledger = Some(outcome.turn.ledger);
    }

    /// Hands over to a new instance.
    fn replace(&mut self, provider: &Provider) {
        let ledger = self.ledger.take().expect("no turn runs");
        let turn = Box::new(Turn::new(Timestamp::now(), ledger, self.facts.clone()));
        let (turn, snapshot) = self.instance.suspend(turn);
        self.ledger = Some(turn.ledger);
        self.instance = provider
            .instantiate(&provider.limits)
            .expect("it instantiates");
        self.turn(&start(Some(snapshot.expect("a snapshot"))));
    }
}

fn start(resume: Option<(u32, Vec<u8>)>) -> Call {
    Call::Start(StartCall {
        cause: Cause::Restart,
        config: r#"{"server":"nowhere","port":1}"#.into(),
        open: resume.iter().map(|_| "main".to_owned()).collect(),
        resume,
        skip: Vec::new(),
    })
}

fn frame(text: &str) -> Call {
    Call::Frame {
        label: "main".into(),
        bytes: text.as_bytes().into(),
    }
}

/// Time of the thread for so many calls.
fn timed(count: u64, mut call: impl FnMut(u64)) -> Duration {
    let begun = clock::thread();
    for step in 0..count {
        call(step);
    }
    clock::thread() - begun
}

/// A send, and the channel's answer to it.
fn send_and_answer(guest: &mut Guest, step: u64) {
    let request = format!("0190a8f0-0000-7000-8000-{step:012x}");
    let answer = format!(
        r#"{{"accepted":{{"token":"{request}","message":"m-{step}","sent_at":1700000000000}}}}"#
    );
    let outgoing = Arc::new(Outgoing {
        conversation: "bob".into(),
        conversation_kind: "user".into(),
        content: Content::Text {
            text: "x".repeat(100),
            format: "plain".into(),
        },
        quote: None,
        reply_context: None,
        mentions: Vec::new(),
        extra: None,
    });
    guest.turn(&Call::Send { request, outgoing });
    guest.turn(&frame(&answer));
}

fn turns(criterion: &mut Criterion) {
    let engine = engine();
    let provider = engine.check(simulator()).expect("the simulator is good");
    let wasm = Guest::start(&provider);
    native::use_native();
    let native = Guest::start(&provider);

    let nobody = Call::Timer {
        label: "nobody".into(),
        context: Vec::new(),
    };
    let pong = frame(r#"{"pong":0}"#);
    let mut group = criterion.benchmark_group("turn (CPU of the thread)");
    for (kind, mut guest) in [("component", wasm), ("native", native)] {
        group.bench_function(format!("empty, {kind}"), |bencher| {
            bencher.iter_custom(|count| timed(count, |_| guest.turn(&nobody)));
        });
        group.bench_function(format!("frame without consequence, {kind}"), |bencher| {
            bencher.iter_custom(|count| timed(count, |_| guest.turn(&pong)));
        });
        group.bench_function(
            format!("send and its answer, two turns, {kind}"),
            |bencher| {
                bencher.iter_custom(|count| timed(count, |step| send_and_answer(&mut guest, step)));
            },
        );
    }
    group.finish();
}

fn instances(criterion: &mut Criterion) {
    let engine = engine();
    let provider = engine.check(simulator()).expect("the simulator is good");
    let mut group = criterion.benchmark_group("instance");
    group.bench_function("instantiate and drop", |bencher| {
        bencher.iter_custom(|count| {
            timed(count, |_| {
                let made = provider.instantiate(&provider.limits);
                assert!(made.is_ok());
            })
        });
    });
    let mut guest = Guest::start(&provider);
    group.bench_function("snapshot, instantiate, restore", |bencher| {
        bencher.iter_custom(|count| timed(count, |_| guest.replace(&provider)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1))
        .sample_size(30);
    // `instances` first: what comes after `turns` runs natively.
    targets = instances, turns
}
criterion_main!(benches);
