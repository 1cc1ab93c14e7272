//! The provider's logic against a host and a channel that only remember.

mod channel;
mod ends;
mod fetches;
mod media;

use anyport_sdk::model::{Content, Quote};
use anyport_sdk::types::{Error, Frame};
use anyport_simulator::model::{Body, Contact, Conversation};
use anyport_simulator::protocol::{Accepted, ClientFrame, Event, Fault, Profile, ServerFrame};
use anyport_simulator::request::{Answer, Ask, Pages, Target};
use anyport_simulator::{limits, samples};

use crate::connection::{MAIN, RECONNECT};
use crate::exports::lifecycle::{Cause, Snapshot, StartContext};
use crate::exports::messaging::Outgoing;
use crate::exports::reactor::{Closed, Opened, Received, Wake};
use crate::state::{SESSION, State, USER};
use simulator_mapping::recorder::{frames, fresh, look, replies};

fn start(resume: Option<Snapshot>, open: &[&str]) -> State {
    let context = StartContext {
        cause: Cause::Restart,
        config: r#"{"server":"127.0.0.1","port":7700}"#.to_owned(),
        resume,
        open: open.iter().map(|name| (*name).to_owned()).collect(),
        skip: Vec::new(),
        extra: None,
    };
    State::start(context).expect("it starts").0
}

fn hear(state: &mut State, frame: &ServerFrame) {
    let bytes = serde_json::to_vec(frame).expect("frames are JSON");
    let wake = Wake::Frame(Received {
        name: MAIN.to_owned(),
        frame: Frame::Binary(bytes),
    });
    state.wake(wake).expect("a wake never fails");
}

fn open(state: &mut State) {
    let opened = Opened {
        name: MAIN.to_owned(),
        subprotocol: None,
        headers: Vec::new(),
    };
    state
        .wake(Wake::Opened(opened))
        .expect("a wake never fails");
    let profile = profile();
    hear(state, &ServerFrame::Welcome { profile });
}

fn close(state: &mut State) {
    let closed = Closed {
        name: MAIN.to_owned(),
        code: None,
        reason: Error::unavailable("gone"),
        undelivered: 0,
    };
    state
        .wake(Wake::Closed(closed))
        .expect("a wake never fails");
}

fn online() -> State {
    fresh();
    look(|effects| {
        effects.secrets.insert(SESSION.to_owned(), b"s".to_vec());
        effects.kv.insert(USER.to_owned(), b"ada".to_vec());
    });
    let mut state = start(None, &[]);
    open(&mut state);
    frames();
    state
}

fn profile() -> Profile {
    Profile {
        id: "user:ada".to_owned(),
        name: "Ada".to_owned(),
        username: "ada".to_owned(),
        phone: "1555".to_owned(),
        about: None,
        avatar: None,
    }
}

fn read() -> Ask {
    let id = "echo".to_owned();
    Ask::Conversation { id }
}

fn change() -> Ask {
    let conversation = "echo".to_owned();
    Ask::MarkUnread { conversation }
}

fn pages<T>(items: Vec<T>) -> Pages<T> {
    let next = Some("after:1".to_owned());
    Pages { items, next }
}

fn outgoing(reply_context: Option<&str>) -> Outgoing {
    Outgoing {
        conversation: "echo".to_owned(),
        conversation_kind: "user".to_owned(),
        content: Content::plain("hello"),
        quote: Some(Quote {
            message: "m1".to_owned(),
            sender: None,
            text: None,
        }),
        reply_context: reply_context.map(str::to_owned),
        thread: None,
        silent: false,
        extra: None,
    }
}

#[test]
fn every_answer_has_its_reply() {
    let next = r#"Some("after:1")"#;
    let echo = Conversation {
        id: "echo".to_owned(),
        ..Conversation::default()
    };
    let grace = Contact {
        id: "user:grace".to_owned(),
        ..Contact::default()
    };
    for (answer, name, with) in [
        (Answer::Done {}, "done", ""),
        (Answer::Created("g1".to_owned()), "created", "g1"),
        (
            Answer::Conversation(Box::new(echo)),
            "with-conversation",
            "echo",
        ),
        (
            Answer::Conversations(pages(vec![])),
            "with-conversations",
            next,
        ),
        (Answer::Members(pages(vec![])), "with-members", next),
        (Answer::Contact(None), "with-contact", ""),
        (
            Answer::Contact(Some(Box::new(grace))),
            "with-contact",
            "user:grace",
        ),
        (Answer::Contacts(pages(vec![])), "with-contacts", next),
        (Answer::Messages(pages(vec![])), "with-messages", next),
        (Answer::Labels(pages(vec![])), "with-labels", next),
        (
            Answer::Invitation {
                url: "https://simulator.invalid/join/c".to_owned(),
                code: "c".to_owned(),
            },
            "with-invitation",
            "c",
        ),
        (Answer::JoinRequests(vec![]), "with-join-requests", "0"),
        (Answer::Profile(profile()), "with-profile", "user:ada"),
        (Answer::Value("{}".to_owned()), "with-value", "{}"),
    ] {
        let mut state = online();
        state.ask("r".to_owned(), read()).expect("it is asked");
        let ask = read();
        let id = "r".to_owned();
        assert_eq!(
            frames(),
            [ClientFrame::Ask {
                id: id.clone(),
                ask
            }]
        );
        assert_eq!(replies(), [], "nothing before the channel has answered");
        hear(&mut state, &ServerFrame::Answered { id, answer });
        let wanted = (name.to_owned(), "r".to_owned(), with.to_owned());
        assert_eq!(replies(), [wanted]);
        // It is forgotten: the end of the link says nothing of it.
        close(&mut state);
        assert_eq!(replies(), []);
    }
}

#[test]
fn what_the_channel_refuses_was_not_done() {
    let mut state = online();
    state.ask("r".to_owned(), change()).expect("it is asked");
    let error = Fault::new("forbidden", "no");
    let id = "r".to_owned();
    hear(&mut state, &ServerFrame::Denied { id, error });
    let with = "Forbidden NotDone".to_owned();
    assert_eq!(replies(), [("failed".to_owned(), "r".to_owned(), with)]);
}

#[test]
fn what_was_asked_on_a_link_that_is_lost_may_have_been_done() {
    let mut state = online();
    state.ask("a".to_owned(), change()).expect("it is asked");
    state.ask("b".to_owned(), read()).expect("it is asked");
    close(&mut state);
    let wanted = [("a", "MaybeDone"), ("b", "NotDone")].map(|(id, certainty)| {
        let with = format!("Unavailable {certainty}");
        ("failed".to_owned(), id.to_owned(), with)
    });
    assert_eq!(replies(), wanted);
    assert!(look(|effects| effects
        .timers
        .contains(&RECONNECT.to_owned())));
    frames();
    state.ask("c".to_owned(), read()).expect("it is answered");
    assert_eq!(replies()[0].2, "Unavailable NotDone");
    assert_eq!(frames(), []);
}

#[test]
fn a_new_instance_knows_what_was_asked() {
    let mut state = online();
    state.ask("a".to_owned(), change()).expect("it is asked");
    let snapshot = state.suspend().expect("it is handed over");
    let mut state = start(Some(snapshot.clone()), &[MAIN]);
    let answer = Answer::Done {};
    let id = "a".to_owned();
    hear(&mut state, &ServerFrame::Answered { id, answer });
    assert_eq!(replies()[0].0, "done");
    // Without its connection the answer is lost.
    start(Some(snapshot), &[]);
    assert_eq!(replies()[0].2, "Unavailable MaybeDone");
}

#[test]
fn a_quote_goes_by_its_context() {
    for (context, wanted) in [(Some("m1-context"), "m1-context"), (None, "m1")] {
        let mut state = online();
        state
            .send("s".to_owned(), outgoing(context))
            .expect("it is sent");
        match frames().as_slice() {
            [ClientFrame::Send(sent)] => {
                let quote = sent.quote.as_ref().expect("it quotes");
                assert_eq!(quote.message, wanted);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_forward_waits_for_the_link_and_is_made_again_as_a_send_is() {
    let mut state = online();
    close(&mut state);
    let target = Target {
        conversation: "echo".to_owned(),
        message: "m1".to_owned(),
    };
    let to = "user:grace".to_owned();
    state
        .forward("f".to_owned(), target, to)
        .expect("it is queued");
    assert_eq!(replies()[0].0, "deferred");
    let is_forward =
        |frame: &ClientFrame| matches!(frame, ClientFrame::Forward(sent) if sent.token == "f");
    // Opened: greeted, then what waits, once more after a link that was lost.
    for _ in 0..2 {
        state.wake(Wake::Reconnect).expect("a wake never fails");
        open(&mut state);
        assert!(frames().iter().any(is_forward));
    }
    let accepted = Accepted {
        token: "f".to_owned(),
        message: "s1".to_owned(),
        sent_at: 1,
        repeated: true,
    };
    hear(&mut state, &ServerFrame::Accepted(accepted));
    let last = replies().pop();
    assert_eq!(
        last,
        Some(("sent".to_owned(), "f".to_owned(), "s1".to_owned()))
    );
}

#[test]
fn every_event_of_the_channel_is_emitted_and_acknowledged() {
    let mut state = online();
    let mut kinds = std::collections::HashSet::new();
    for (number, kind) in samples::KINDS.iter().enumerate() {
        let body: Body = samples::sample(kind).expect("the sample is there");
        let id = format!("e-{number}");
        let event = Event {
            id: id.clone(),
            at: 5,
            body,
        };
        hear(&mut state, &ServerFrame::Event(event));
        assert_eq!(frames(), [ClientFrame::Ack(id.clone())], "{kind}");
        let emission = look(|effects| effects.emissions.pop()).expect("it is emitted");
        assert_eq!(emission.key, id);
        kinds.insert(std::mem::discriminant(&emission.event));
    }
    assert_eq!(kinds.len(), 17, "every kind of event that the contract has");
}

#[test]
fn what_is_described_is_what_the_channel_takes() {
    let described = crate::describe::descriptor();
    let limit = |name: &str, limit: &str| {
        let feature = described
            .features
            .iter()
            .find(|feature| feature.name == name)
            .unwrap_or_else(|| panic!("{name} is described"));
        let limits: serde_json::Value =
            serde_json::from_str(feature.limits.as_deref().unwrap_or("{}")).expect("JSON");
        limits[limit].as_u64()
    };
    assert_eq!(
        limit("send.text", "max-chars"),
        Some(limits::TEXT_CHARS as u64)
    );
    for kind in limits::MEDIA_KINDS {
        let feature = format!("send.{kind}");
        assert_eq!(limit(&feature, "max-bytes"), limits::media_bytes(kind));
        let most = Some(limits::ATTACHMENTS as u64);
        assert_eq!(limit(&feature, "max-attachments"), most);
        let most = Some(limits::TEXT_CHARS as u64);
        assert_eq!(limit(&feature, "max-chars"), most);
    }
    limit("media.fetch", "");
    assert_eq!(
        limit("conversations.list", "max-items"),
        Some(u64::from(limits::PAGE))
    );
    assert_eq!(
        limit("contacts.note", "max-chars"),
        Some(limits::NOTE_CHARS as u64)
    );
    let mut names: Vec<_> = described
        .features
        .iter()
        .map(|feature| &feature.name)
        .collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "each once");
}
