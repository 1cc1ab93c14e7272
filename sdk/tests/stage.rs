//! The stage holds providers to the host's rules, and the SDK does with an `Err` what it says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use anyport_sdk::connections::{Framing, Spec};
use anyport_sdk::events::Emission;
use anyport_sdk::http_types::Request;
use anyport_sdk::lifecycle::Descriptor;
use anyport_sdk::messaging::Outgoing;
use anyport_sdk::model::{Content, Message};
use anyport_sdk::reactor::{Answered, Closed, Fired, Opened, Received};
use anyport_sdk::replies::SentMessage;
use anyport_sdk::stored::{Stored, StoredMap};
use anyport_sdk::testkit::{Reply, Stage};
use anyport_sdk::types::{Error, ErrorCode, Page};
use anyport_sdk::{
    Conversations, Groups, Messaging, Provider, Result, SignIn, Start, connections, events, http,
    kv, logging, replies, timers, turn,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

// Every kind of macro arm is expanded; on this machine it checks that the traits are there.
anyport_sdk::export!(Clerk: Messaging, SignIn, Conversations, Groups);

const COUNT: Stored<u32> = Stored::at("count");
const NOTES: StoredMap<String> = StoredMap::below("note/");

/// Counts lines, echoes some, breaks rules on command.
struct Clerk {
    greeting: String,
    heard: u32,
}

#[derive(Deserialize)]
struct Config {
    greeting: String,
}

#[derive(Serialize, Deserialize)]
struct Memory {
    heard: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reminder {
    of: String,
}

impl Provider for Clerk {
    type Config = Config;
    type Snapshot = Memory;
    const STATE_VERSION: u32 = 3;
    const READS_STATE_VERSIONS: &'static [u32] = &[2, 3];

    fn describe() -> Descriptor {
        Descriptor::new("Clerk")
            .limited("send.text", json!({"max-chars": 10}))
            .sign_in("token", "A token")
    }

    fn start(start: &mut Start<Self>) -> Result<Self> {
        connections::ensure("main", &Spec::tcp("localhost", 7000, Framing::Line));
        let kept = start.keep("main");
        logging::info("started", &[("kept", &kept.to_string())]);
        Ok(Self {
            greeting: start.config.greeting.clone(),
            heard: start.resume.as_ref().map_or(0, |memory| memory.heard),
        })
    }

    fn snapshot(&self) -> Result<Memory> {
        if self.heard == 99 {
            kv::put("snapshot", b"was here");
        }
        Ok(Memory { heard: self.heard })
    }

    fn read_snapshot(version: u32, bytes: &[u8]) -> Result<Memory> {
        match version {
            2 => Ok(Memory {
                heard: bytes.len() as u32,
            }),
            _ => serde_json::from_slice(bytes).map_err(|_| Error::internal("unreadable")),
        }
    }

    fn opened(&mut self, opened: Opened) -> Result {
        connections::send(&opened.name, &self.greeting.clone().into_bytes().into());
        Ok(())
    }

    fn received(&mut self, received: Received) -> Result {
        let line = String::from_utf8_lossy(received.frame.as_bytes()).into_owned();
        self.heard += 1;
        COUNT.put(&(COUNT.get()?.unwrap_or(0) + 1))?;
        turn::subject(&line);
        match line.as_str() {
            "err" => return Err(Error::unavailable("so it goes")),
            "panic" => panic!("at the disco"),
            "long label" => timers::set(&"x".repeat(129), &timers::Spec::at(0)),
            "remind" => {
                let reminder = Reminder { of: "tea".into() };
                let spec = timers::Spec::at(turn::now() + 500).durable();
                timers::set("reminder", &spec.with_context(&reminder)?);
            }
            "fetch" => http::submit(
                "fetch",
                &Request::get("https://example.org/tea").with_context(&json!({"of": "tea"}))?,
            ),
            "suspend badly" => self.heard = 99,
            _ => {
                NOTES.put(&line, &line.to_uppercase())?;
                let message = Message::new(
                    format!("m{}", self.heard),
                    "ada",
                    "ada",
                    turn::now(),
                    Content::plain(&line),
                );
                events::emit(&Emission::of_message(format!("k{}", self.heard), message));
            }
        }
        Ok(())
    }

    fn closed(&mut self, closed: Closed) -> Result {
        logging::warn("closed", &[("reason", &closed.reason.message)]);
        Ok(())
    }

    fn timer(&mut self, fired: Fired) -> Result {
        let reminder: Reminder = fired.context_as()?;
        connections::send("main", &reminder.of.into_bytes().into());
        Ok(())
    }

    fn answered(&mut self, answered: Answered) -> Result {
        let context: serde_json::Value = answered.context_as()?;
        let response = answered.outcome?;
        if let Some(error) = response.error() {
            return Err(error);
        }
        let body: serde_json::Value = response.json()?;
        let line = format!("{} is {}", context["of"], body["is"]);
        connections::send("main", &line.into_bytes().into());
        Ok(())
    }
}

impl Messaging for Clerk {
    fn send(&mut self, request: String, message: Outgoing) -> Result {
        let Content::Text(text) = message.content else {
            return Err(Error::unsupported("only text"));
        };
        connections::send("main", &text.body.into_bytes().into());
        replies::sent(&request, &SentMessage::new("1", turn::now()));
        Ok(())
    }
}

impl SignIn for Clerk {
    fn begin(&mut self, _: String, method: String, _: Vec<anyport_sdk::sign_in::Answer>) -> Result {
        Err(Error::conflict(format!("no {method} today")))
    }
}

impl Conversations for Clerk {}
impl Groups for Clerk {}

fn stage() -> Stage<Clerk> {
    let mut stage = Stage::new(json!({"greeting": "hello"}));
    stage.start().ok();
    assert_eq!(stage.open("main").ok().lines("main"), ["hello"]);
    stage
}

#[test]
fn describe_has_the_state_versions() {
    let descriptor = Stage::<Clerk>::describe();
    assert_eq!(descriptor.state_version, 3);
    assert_eq!(descriptor.reads_state_versions, [2, 3]);
    assert_eq!(descriptor.features[0].name, "send.text");
    let limits = descriptor.features[0].limits.as_deref();
    assert_eq!(limits, Some(r#"{"max-chars":10}"#));
}

#[test]
fn a_configuration_that_does_not_fit_fails_the_start_and_names_the_field() {
    let mut stage = Stage::<Clerk>::new(json!({}));
    let fault = stage.start().fails();
    assert!(fault.contains("missing field `greeting`"), "{fault}");
}

#[test]
fn a_turn_that_fails_did_nothing() {
    for line in ["err", "panic", "long label"] {
        let mut stage = stage();
        stage.frame("main", "first").ok();
        let turn = stage.frame("main", line);
        assert_eq!(turn.subject.as_deref(), Some(line));
        let fault = turn.fails();
        let expected = match line {
            "err" => "so it goes",
            "panic" => "it panicked: at the disco",
            _ => "a label has 1 to 128 bytes, this one has 129",
        };
        assert!(fault.contains(expected), "{fault}");
        assert_eq!(stage.world().kv_text("count"), Some("1"));
        assert!(stage.world().timers.is_empty());

        // The next instance begins from kv and goes on with the connection.
        let turn = stage.start().ok();
        assert_eq!(turn.log[0].1, "started kept=true");
        let turn = stage.frame("main", "again").ok();
        assert_eq!(turn.messages()[0].id, "m1");
        assert_eq!(stage.world().kv_text("count"), Some("2"));
    }
}

#[test]
#[should_panic(expected = "`start` comes first")]
fn an_instance_that_failed_is_not_called_again() {
    let mut stage = stage();
    stage.frame("main", "err").fails();
    stage.frame("main", "again");
}

#[test]
fn an_err_of_a_command_is_its_answer() {
    let mut stage = stage();
    let (request, turn) = stage.begin_sign_in("token", &[]);
    let Some(Reply::Failed(failure)) = turn.ok().reply(&request).cloned() else {
        panic!("no answer");
    };
    assert_eq!(failure.error.code, ErrorCode::Conflict);
    assert_eq!(failure.certainty, replies::Certainty::NotDone);

    // What is not written is unsupported, and the instance lives on.
    let page = Page {
        cursor: None,
        limit: 10,
    };
    let (request, turn) =
        stage.command(|clerk, request| Conversations::list_all(clerk, request, page));
    let Some(Reply::Failed(failure)) = turn.ok().reply(&request).cloned() else {
        panic!("no answer");
    };
    assert_eq!(failure.error.code, ErrorCode::Unsupported);
    let (request, turn) = stage.send_text("ada", "hi");
    let turn = turn.ok();
    assert!(matches!(turn.reply(&request), Some(Reply::Sent(_))));
    assert_eq!(turn.lines("main"), ["hi"]);
}

#[test]
fn the_clock_moves_when_it_is_told() {
    let mut stage = stage();
    stage.frame("main", "remind").ok();
    assert!(stage.advance(499).is_empty());
    let turns = stage.advance(1);
    assert_eq!(turns[0].lines("main"), ["tea"]);
    assert!(stage.world().timers.is_empty());

    stage.frame("main", "remind").ok();
    stage.crash().ok();
    assert!(
        stage.world().timers.contains_key("reminder"),
        "it is durable"
    );
}

#[test]
fn requests_are_answered_with_their_context() {
    let mut stage = stage();
    let turn = stage.frame("main", "fetch").ok();
    assert_eq!(turn.request("fetch").unwrap().method, "GET");
    let turn = stage.answer_json("fetch", 200, json!({"is": "hot"})).ok();
    assert_eq!(turn.lines("main"), [r#""tea" is "hot""#]);

    stage.frame("main", "fetch").ok();
    let fault = stage.answer_json("fetch", 429, json!({})).fails();
    assert!(fault.contains("RateLimited"), "{fault}");
}

#[test]
fn a_reload_hands_over_the_memory() {
    let mut stage = stage();
    stage.frame("main", "one").ok();
    stage.frame("main", "two").ok();
    let turn = stage.reload().ok();
    assert!(turn.opens.is_empty(), "the connection stays");
    let turn = stage.frame("main", "three").ok();
    assert_eq!(turn.messages()[0].id, "m3");
    assert_eq!(stage.world().kv_text("note/three"), Some("\"THREE\""));
}

#[test]
#[should_panic(expected = "`snapshot` called `kv.put`: it must change nothing")]
fn a_snapshot_that_asks_for_something_is_caught() {
    let mut stage = stage();
    stage.frame("main", "suspend badly").ok();
    stage.suspend();
}

#[test]
fn families_are_read_in_pages() {
    let mut stage = stage();
    for number in 0..300 {
        stage.frame("main", format!("n{number:03}")).ok();
    }
    let (_, turn) = stage.command(|_, request| {
        let all = NOTES.all()?;
        assert_eq!(all.len(), 300);
        assert_eq!(all[299], ("n299".to_owned(), "N299".to_owned()));
        let (page, more) = NOTES.page(Some("n297"))?;
        assert_eq!((page.len(), more), (2, false));
        replies::done(&request);
        Ok(())
    });
    turn.ok();
}
