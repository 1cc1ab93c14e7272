//! The provider's logic against a host that only remembers.

use anyport_sdk::http_types::{Body, Request};
use anyport_sdk::model::{Attachment, Content, Media};
use anyport_sdk::types::Error;
use anyport_simulator::protocol::{Accepted, Event, Fault, Profile};
use anyport_simulator::webhook::{Delivery, Entry};
use anyport_simulator::{model, protocol};
use serde_json::json;
use simulator_mapping::recorder::{fresh, look, replies};

use crate::exports::ingress;
use crate::exports::lifecycle::{Cause, Snapshot, StartContext};
use crate::exports::messaging::Outgoing;
use crate::exports::reactor::{Answered, Fired, Response, ResponseBody, Wake};
use crate::exports::sign_in::Answer;
use crate::session::{CHECK, TOKEN, USER};
use crate::state::{Phase, State};

fn start(resume: Option<Snapshot>) -> State {
    let context = StartContext {
        cause: Cause::Restart,
        config: json!({"server": "127.0.0.1", "port": 80}).to_string(),
        resume,
        open: Vec::new(),
        skip: vec!["deadly".to_owned()],
        extra: None,
    };
    State::start(context).expect("it starts")
}

fn requests() -> Vec<(String, Request)> {
    look(|effects| std::mem::take(&mut effects.requests))
}

fn answer(state: &mut State, name: &str, status: u16, body: &impl serde::Serialize) {
    let context = name.strip_prefix("send/").unwrap_or_default();
    state.wake(Wake::Http(Answered {
        name: name.to_owned(),
        context: context.as_bytes().to_vec(),
        outcome: Ok(Response {
            status,
            headers: Vec::new(),
            body: ResponseBody::Bytes(serde_json::to_vec(body).expect("it is JSON")),
        }),
    }));
}

fn lose(state: &mut State, name: &str) {
    let context = name.strip_prefix("send/").unwrap_or_default();
    state.wake(Wake::Http(Answered {
        name: name.to_owned(),
        context: context.as_bytes().to_vec(),
        outcome: Err(Error::unavailable("the connection was reset")),
    }));
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

fn accepted(token: &str) -> Accepted {
    Accepted {
        token: token.to_owned(),
        message: format!("s-{token}"),
        sent_at: 1,
        repeated: false,
    }
}

fn signed_in() -> State {
    fresh();
    let mut state = start(None);
    let token = Answer {
        name: TOKEN.to_owned(),
        value: b"t".to_vec(),
    };
    state.begin_sign_in("r".to_owned(), TOKEN, &[token]);
    assert_eq!(requests()[0].0, CHECK);
    assert_eq!(replies(), [], "nothing before the channel has answered");
    answer(&mut state, CHECK, 200, &profile());
    assert_eq!(replies()[0].0, "done");
    assert_eq!(state.phase, Phase::SignedIn);
    state
}

fn send(state: &mut State, id: &str) {
    let message = Outgoing {
        conversation: "echo".to_owned(),
        conversation_kind: "user".to_owned(),
        content: Content::plain("hello"),
        quote: None,
        reply_context: None,
        thread: None,
        silent: false,
        extra: None,
    };
    state.send(id.to_owned(), message).expect("it is taken");
}

fn post(state: &mut State, user: &str, ids: &[&str]) -> u16 {
    let event = |id: &&str| Event {
        id: (*id).to_owned(),
        at: 1,
        body: model::Body::Message(model::Message {
            id: format!("m-{id}"),
            conversation: "bob".to_owned(),
            sender: "bob".to_owned(),
            ..model::Message::default()
        }),
    };
    let delivery = Delivery {
        entry: vec![Entry {
            user: user.to_owned(),
            events: ids.iter().map(event).collect(),
        }],
    };
    post_bytes(state, serde_json::to_vec(&delivery).expect("it is JSON"))
}

fn post_bytes(state: &mut State, body: Vec<u8>) -> u16 {
    let request = ingress::Request {
        method: "POST".to_owned(),
        route: "events".to_owned(),
        path: String::new(),
        headers: Vec::new(),
        body,
    };
    state.receive(&request).status
}

fn emitted() -> Vec<String> {
    look(|effects| std::mem::take(&mut effects.emissions))
        .into_iter()
        .map(|emission| emission.key)
        .collect()
}

#[test]
fn a_token_that_the_channel_refuses_is_forgotten() {
    fresh();
    let mut state = start(None);
    let token = Answer {
        name: TOKEN.to_owned(),
        value: b"t".to_vec(),
    };
    state.begin_sign_in("r".to_owned(), TOKEN, &[token]);
    let fault = Fault::new("unauthenticated", "the token is not known");
    answer(&mut state, CHECK, 401, &fault);
    assert_eq!(replies()[0].0, "done", "what follows shows, also a failure");
    assert_eq!(state.phase, Phase::SignedOut);
    assert!(look(|effects| effects.secrets.is_empty()));
}

#[test]
fn events_are_emitted_under_their_ids() {
    let mut state = signed_in();
    assert_eq!(post(&mut state, "user:ada", &["e1", "deadly", "e2"]), 200);
    assert_eq!(emitted(), ["e1", "e2"]);
    assert_eq!(post(&mut state, "user:bob", &["e3"]), 404);
    assert_eq!(post_bytes(&mut state, b"{".to_vec()), 400);
    let unknown = json!({"entry": [{"user": "user:ada", "events": [
        {"id": "e4", "at": 1, "body": {"something_new": {}}},
        {"id": "e5", "at": 1, "body": {"conversation_deleted": "bob"}},
    ]}]});
    assert_eq!(
        post_bytes(&mut state, unknown.to_string().into_bytes()),
        200
    );
    assert_eq!(emitted(), ["e5"], "what is not known holds nothing up");
    look(|effects| effects.kv.remove(USER));
    assert_eq!(post(&mut state, "user:ada", &["e6"]), 503);
    assert_eq!(emitted(), [""; 0]);
}

#[test]
fn a_send_names_itself_and_is_settled_by_the_answer() {
    let mut state = signed_in();
    send(&mut state, "a");
    let (name, request) = requests().remove(0);
    assert_eq!(name, "send/a");
    let id = request
        .headers
        .iter()
        .find(|header| header.name == "x-request-id");
    assert_eq!(id.map(|header| header.value.as_str()), Some("a"));
    match &request.body {
        Body::Bytes(bytes) => {
            let sent: protocol::Outgoing = serde_json::from_slice(bytes).expect("it is JSON");
            assert_eq!(
                (sent.token.as_str(), sent.conversation.as_str()),
                ("", "echo")
            );
        }
        other => panic!("{other:?}"),
    }
    answer(&mut state, "send/a", 200, &accepted("a"));
    let sent = ("sent".to_owned(), "a".to_owned(), "s-a".to_owned());
    assert_eq!(replies(), [sent]);

    send(&mut state, "b");
    answer(&mut state, "send/b", 403, &Fault::new("forbidden", "no"));
    assert_eq!(replies()[0].2, "Forbidden NotDone");
}

#[test]
fn a_send_whose_answer_is_lost_is_made_again_and_at_last_unknown() {
    let mut state = signed_in();
    send(&mut state, "a");
    for _ in 0..8 {
        assert_eq!(requests()[0].0, "send/a");
        lose(&mut state, "send/a");
        assert_eq!(replies(), []);
        assert!(look(|effects| effects
            .timers
            .contains(&"send/a".to_owned())));
        state.wake(Wake::Timer(Fired {
            name: "send/a".to_owned(),
            context: b"a".to_vec(),
        }));
    }
    lose(&mut state, "send/a");
    assert_eq!(replies()[0].2, "Unavailable MaybeDone");

    // Of an instance that is gone: the host calls the send again, or calls it unknown.
    lose(&mut state, "send/other");
    assert_eq!(replies()[0].2, "Unavailable MaybeDone");
}

#[test]
fn so_many_are_under_way_and_the_others_wait() {
    let mut state = signed_in();
    for number in 0..30 {
        send(&mut state, &number.to_string());
    }
    assert_eq!(requests().len(), 24);
    let deferred = replies();
    assert!(deferred.iter().all(|(name, ..)| name == "deferred"));
    assert_eq!(deferred.len(), 6);
    // Over a snapshot, too.
    let mut state = start(Some(state.suspend().expect("it is handed over")));
    answer(&mut state, "send/7", 200, &accepted("7"));
    assert_eq!(requests()[0].0, "send/24");
    let names: Vec<_> = replies()
        .into_iter()
        .map(|(name, id, _)| (name, id))
        .collect();
    let wanted = [("sent", "7"), ("dispatched", "24")];
    assert_eq!(
        names,
        wanted.map(|(name, id)| (name.to_owned(), id.to_owned()))
    );

    // A token that is not good any more ends them all.
    answer(
        &mut state,
        "send/8",
        401,
        &Fault::new("unauthenticated", "no"),
    );
    let ended = replies();
    assert_eq!(ended.len(), 29);
    let unclear = ended
        .iter()
        .filter(|(.., with)| with.ends_with("MaybeDone"));
    assert_eq!(unclear.count(), 23, "those that had left");
    assert_eq!(state.phase, Phase::SignedOut);
    send(&mut state, "late");
    assert_eq!(replies()[0].2, "Unauthenticated NotDone");
}

#[test]
fn without_an_answer_the_account_is_offline_and_asks_again() {
    fresh();
    look(|effects| effects.secrets.insert(TOKEN.to_owned(), b"t".to_vec()));
    let mut state = start(None);
    lose(&mut state, CHECK);
    assert_eq!(state.phase, Phase::SignedIn, "the token may be good");
    assert!(look(|effects| effects.timers.contains(&CHECK.to_owned())));
    requests();
    state.wake(Wake::Timer(Fired {
        name: CHECK.to_owned(),
        context: Vec::new(),
    }));
    assert_eq!(requests()[0].0, CHECK);
}

fn send_pictures(state: &mut State, id: &str, blobs: &[&str]) {
    let attachment = |blob: &&str| Attachment {
        blob: Some((*blob).to_owned()),
        mime: Some("image/png".to_owned()),
        ..Attachment::new("image")
    };
    let message = Outgoing {
        conversation: "echo".to_owned(),
        conversation_kind: "user".to_owned(),
        content: Content::Media(Media {
            attachments: blobs.iter().map(attachment).collect(),
            caption: None,
        }),
        quote: None,
        reply_context: None,
        thread: None,
        silent: false,
        extra: None,
    };
    state.send(id.to_owned(), message).expect("it is taken");
}

fn medium(id: &str) -> model::Medium {
    model::Medium {
        id: id.to_owned(),
        size: 3,
        mime: "image/png".to_owned(),
        filename: None,
        sha256: String::new(),
    }
}

#[test]
fn media_go_up_one_after_the_other_and_then_their_message() {
    let mut state = signed_in();
    send_pictures(&mut state, "a", &["med_1", "med_2"]);
    let (name, first) = requests().remove(0);
    assert_eq!(name, "send/a");
    assert_eq!(first.url, "http://127.0.0.1:80/v1/media");
    assert!(matches!(&first.body, Body::Blob(blob) if blob == "med_1"));
    // Over a snapshot, and a lost answer: the same again.
    let mut state = start(Some(state.suspend().expect("it is handed over")));
    lose(&mut state, "send/a");
    state.wake(Wake::Timer(Fired {
        name: "send/a".to_owned(),
        context: b"a".to_vec(),
    }));
    assert!(matches!(&requests()[0].1.body, Body::Blob(blob) if blob == "med_1"));
    answer(&mut state, "send/a", 200, &medium("f-1"));
    assert!(matches!(&requests()[0].1.body, Body::Blob(blob) if blob == "med_2"));
    assert_eq!(replies(), []);
    answer(&mut state, "send/a", 200, &medium("f-2"));
    let posted = requests().remove(0).1;
    assert_eq!(posted.url, "http://127.0.0.1:80/v1/messages");
    let Body::Bytes(bytes) = posted.body else {
        panic!("no bytes");
    };
    let said: protocol::Outgoing = serde_json::from_slice(&bytes).expect("it is a message");
    let model::Content::Media(media) = said.content else {
        panic!("no media");
    };
    let named = media.attachments.iter().map(|one| one.reference.as_deref());
    assert_eq!(named.collect::<Vec<_>>(), [Some("f-1"), Some("f-2")]);
    answer(&mut state, "send/a", 200, &accepted("a"));
    assert_eq!(replies()[0].0, "sent");
}

#[test]
fn a_message_whose_media_did_not_go_up_was_not_sent() {
    let mut state = signed_in();
    send_pictures(&mut state, "a", &["med_1"]);
    requests();
    answer(
        &mut state,
        "send/a",
        400,
        &Fault::new("invalid", "too large"),
    );
    assert_eq!(replies()[0].2, "Invalid NotDone");

    send_pictures(&mut state, "b", &["med_1"]);
    for _ in 0..9 {
        lose(&mut state, "send/b");
    }
    assert_eq!(replies()[0].2, "Unavailable NotDone");
}

#[test]
fn media_are_fetched_into_the_store() {
    let mut state = signed_in();
    state.fetch("r", "f-1:2.png");
    let (name, asked) = requests().remove(0);
    assert_eq!(asked.url, "http://127.0.0.1:80/v1/media/f-1:2.png");
    assert!(asked.to_blob);
    state.wake(Wake::Http(Answered {
        name: name.clone(),
        context: Vec::new(),
        outcome: Ok(Response {
            status: 200,
            headers: Vec::new(),
            body: ResponseBody::Blob("med_9".to_owned()),
        }),
    }));
    let given = ("with-media", "r", "med_9");
    assert_eq!(
        replies(),
        [(given.0.to_owned(), given.1.to_owned(), given.2.to_owned())]
    );
    state.fetch("r", "f-2");
    answer(&mut state, &name, 404, &Fault::new("not-found", "gone"));
    assert_eq!(replies()[0].2, "NotFound NotDone");
    // What would lead elsewhere is not asked for.
    requests();
    for reference in ["", "a/b", "..", "a?b", "a%2fb"] {
        state.fetch("r", reference);
        assert_eq!(replies()[0].2, "NotFound NotDone", "{reference}");
    }
    assert_eq!(requests().len(), 0);
}
