use std::sync::Arc;

use super::*;
use crate::limits;
use crate::model::{Content, Text};
use crate::protocol::Outgoing;
use crate::request::{Answer, Ask, MemberChange, Page, Target};

const NOW: u64 = 1_700_000_000_000;

fn world() -> World {
    let me = Profile {
        id: "user:ada".to_owned(),
        name: "Ada".to_owned(),
        username: "ada".to_owned(),
        phone: "15551234567".to_owned(),
        about: None,
        avatar: None,
    };
    World::new(me, "t", 5, NOW, Arc::new(Media::new()))
}

fn page(cursor: Option<String>, limit: u32) -> Page {
    Page { cursor, limit }
}

fn hear(world: &mut World, conversation: &str, id: &str) {
    let message = Message {
        id: id.to_owned(),
        conversation: conversation.to_owned(),
        sender: "user:grace".to_owned(),
        content: Content::text(id),
        ..Message::default()
    };
    world.remember(message, NOW);
}

fn say(world: &mut World, conversation: &str, id: &str) -> Result<(), Fault> {
    let mut sent = Outgoing {
        token: id.to_owned(),
        conversation: conversation.to_owned(),
        content: Content::text(id),
        quote: None,
        thread: None,
        silent: false,
    };
    world.check_send(&mut sent, NOW)?;
    world.sent(&sent, id, NOW);
    Ok(())
}

fn target(conversation: &str, message: &str) -> Target {
    Target {
        conversation: conversation.to_owned(),
        message: message.to_owned(),
    }
}

fn code(outcome: Result<Answer, Fault>) -> String {
    outcome.expect_err("it is refused").code
}

fn seen(world: &mut World, id: &str) -> Conversation {
    let ask = Ask::Conversation { id: id.to_owned() };
    match world.ask(ask, NOW) {
        Ok(Answer::Conversation(seen)) => *seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages_give_everything_once_and_refuse_foreign_cursors() {
    let mut world = world();
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let asked = Ask::Contacts {
            page: page(cursor, 3),
        };
        let Ok(Answer::Contacts(given)) = world.ask(asked, NOW) else {
            panic!("contacts are given");
        };
        assert!(given.items.len() <= 3);
        ids.extend(given.items.into_iter().map(|contact| contact.id));
        cursor = given.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["echo", "user:alan", "user:barbara", "user:grace"]);
    for (cursor, limit) in [(Some("3".to_owned()), 3), (None, 0)] {
        let page = page(cursor, limit);
        assert_eq!(code(world.ask(Ask::Contacts { page }, NOW)), "invalid");
    }
}

#[test]
fn history_is_newest_first_and_bounded() {
    let mut world = world();
    for number in 0..8 {
        hear(&mut world, "user:grace", &format!("m{number}"));
    }
    let mut ask = |cursor| {
        let (conversation, page) = ("user:grace".to_owned(), page(cursor, 3));
        match world.ask(Ask::Messages { conversation, page }, NOW) {
            Ok(Answer::Messages(given)) => {
                let ids: Vec<_> = given.items.into_iter().map(|said| said.id).collect();
                (ids, given.next)
            }
            other => panic!("{other:?}"),
        }
    };
    let (first, next) = ask(None);
    assert_eq!(first, ["m7", "m6", "m5"]);
    let (second, next) = ask(next);
    assert_eq!(second, ["m4", "m3"]);
    assert_eq!(next, None, "older ones are forgotten");
}

#[test]
fn a_page_has_a_bounded_number_of_bytes() {
    let mut world = world();
    for number in 0..4 {
        let message = Message {
            id: format!("m{number}"),
            conversation: "user:grace".to_owned(),
            content: Content::text("x".repeat(limits::PAGE_BYTES / 3)),
            ..Message::default()
        };
        world.remember(message, NOW);
    }
    let (conversation, page) = ("user:grace".to_owned(), page(None, 100));
    match world.ask(Ask::Messages { conversation, page }, NOW) {
        Ok(Answer::Messages(given)) => {
            assert_eq!((given.items.len(), given.next.is_some()), (2, true));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn reading_counts_and_tells_the_other_devices() {
    let mut world = world();
    for id in ["m1", "m2", "m3"] {
        hear(&mut world, "user:grace", id);
    }
    assert_eq!(seen(&mut world, "user:grace").unread, Some(3));
    let read = |up_to: Option<&str>| Ask::MarkRead {
        conversation: "user:grace".to_owned(),
        up_to: up_to.map(str::to_owned),
    };
    world.ask(read(Some("m2")), NOW).expect("m2 is there");
    assert_eq!(seen(&mut world, "user:grace").unread, Some(1));
    let events = world.take_events();
    assert!(
        matches!(&events[0], Body::Receipt(receipt) if receipt.messages == ["m2"]
            && receipt.and_earlier && receipt.by.as_deref() == Some("user:ada")),
        "{events:?}"
    );
    assert_eq!(code(world.ask(read(Some("m9")), NOW)), "not-found");
    world.ask(read(None), NOW).expect("all is read");
    let conversation = "user:grace".to_owned();
    world
        .ask(Ask::MarkUnread { conversation }, NOW)
        .expect("it is marked");
    let now = seen(&mut world, "user:grace");
    assert_eq!((now.unread, now.is_read), (Some(0), Some(false)));
}

#[test]
fn a_mute_ends_by_itself() {
    let mut world = world();
    let mute = |until| Ask::Mute {
        conversation: "echo".to_owned(),
        muted: true,
        until,
    };
    assert_eq!(code(world.ask(mute(Some(NOW)), NOW)), "invalid");
    world.ask(mute(Some(NOW + 10)), NOW).expect("it is muted");
    let at = |now| {
        world
            .conversation("echo", now)
            .and_then(|chat| chat.is_muted)
    };
    assert_eq!((at(NOW + 9), at(NOW + 10)), (Some(true), Some(false)));
}

#[test]
fn only_own_messages_are_edited_and_only_for_a_while() {
    let mut world = world();
    say(&mut world, "user:grace", "s1").expect("Grace can be written to");
    hear(&mut world, "user:grace", "m1");
    let edit = |id| Ask::Edit {
        target: target("user:grace", id),
        text: Text {
            body: "better".to_owned(),
            ..Text::default()
        },
    };
    assert_eq!(code(world.ask(edit("m1"), NOW)), "forbidden");
    assert_eq!(code(world.ask(edit("m9"), NOW)), "not-found");
    assert_eq!(
        code(world.ask(edit("s1"), NOW + limits::EDIT_MS + 1)),
        "conflict"
    );
    world.ask(edit("s1"), NOW + 5).expect("it is edited");
    let events = world.take_events();
    assert!(
        matches!(events.as_slice(), [Body::Edited(message)]
            if message.id == "s1" && message.edited_at == Some(NOW + 5) && message.from_me),
        "{events:?}"
    );
}

#[test]
fn what_is_revoked_is_gone() {
    let mut world = world();
    say(&mut world, "user:grace", "s1").expect("Grace can be written to");
    hear(&mut world, "user:grace", "m1");
    let revoke = |id, for_everyone| Ask::Revoke {
        target: target("user:grace", id),
        for_everyone,
    };
    assert_eq!(code(world.ask(revoke("m1", true), NOW)), "forbidden");
    world.ask(revoke("m1", false), NOW).expect("for oneself");
    world.ask(revoke("s1", true), NOW).expect("one's own");
    assert_eq!(code(world.ask(revoke("s1", true), NOW)), "not-found");
    assert_eq!(world.take_events().len(), 2);
}

#[test]
fn reactions_and_pins_show_in_history() {
    let mut world = world();
    hear(&mut world, "user:grace", "m1");
    let react = |emoji: &str| Ask::React {
        target: target("user:grace", "m1"),
        emoji: Some(emoji.to_owned()),
    };
    world.ask(react("👍"), NOW).expect("it is liked");
    let too_long = "x".repeat(limits::EMOJI_CHARS + 1);
    assert_eq!(code(world.ask(react(&too_long), NOW)), "invalid");
    let pin = Ask::PinMessage {
        target: target("user:grace", "m1"),
        pinned: true,
        seconds: None,
    };
    world.ask(pin, NOW).expect("it is pinned");
    let past = world.past("user:grace", 10);
    let extra = past[0].extra.as_deref().unwrap_or_default();
    assert_eq!(extra, r#"{"pinned":true,"reactions":{"user:ada":"👍"}}"#);
}

#[test]
fn whom_the_user_cannot_write_to() {
    let mut world = world();
    let block = Ask::Block {
        contact: "user:grace".to_owned(),
        blocked: true,
    };
    world.ask(block, NOW).expect("she is blocked");
    let id = "group:lab".to_owned();
    world.ask(Ask::LeaveGroup { id }, NOW).expect("it is left");
    for (conversation, wanted) in [
        ("user:grace", "forbidden"),
        ("group:lab", "forbidden"),
        ("channel:news", "forbidden"),
        ("group:nowhere", "not-found"),
        ("", "invalid"),
    ] {
        let fault = say(&mut world, conversation, "s").expect_err(conversation);
        assert_eq!(fault.code, wanted, "{conversation}");
    }
    say(&mut world, "somebody", "s").expect("whoever is named exists");
}

#[test]
fn a_quote_names_a_message_that_is_there() {
    let mut world = world();
    hear(&mut world, "user:grace", "m1");
    let mut sent = Outgoing {
        token: "a".to_owned(),
        conversation: "user:grace".to_owned(),
        content: Content::text("yes"),
        quote: Some(crate::model::Quote {
            message: "m1".to_owned(),
            sender: None,
            text: None,
        }),
        thread: None,
        silent: false,
    };
    world.check_send(&mut sent, NOW).expect("m1 is there");
    let quote = sent.quote.clone().expect("it is quoted");
    assert_eq!(quote.sender.as_deref(), Some("user:grace"));
    assert_eq!(quote.text.as_deref(), Some("m1"));
    sent.conversation = "echo".to_owned();
    assert!(world.check_send(&mut sent, NOW).is_err(), "not in there");
}

#[test]
fn members_come_go_and_rise() {
    let mut world = world();
    let change = |change, member: &str| Ask::ChangeMembers {
        id: "group:lab".to_owned(),
        change,
        members: vec![member.to_owned()],
    };
    use MemberChange::{Add, Demote, Promote, Remove};
    world.ask(change(Add, "user:eve"), NOW).expect("is added");
    assert_eq!(code(world.ask(change(Add, "user:eve"), NOW)), "conflict");
    world.ask(change(Promote, "user:eve"), NOW).expect("rises");
    assert_eq!(
        code(world.ask(change(Demote, "user:ada"), NOW)),
        "forbidden"
    );
    world.ask(change(Remove, "user:eve"), NOW).expect("is out");
    assert_eq!(
        code(world.ask(change(Remove, "user:eve"), NOW)),
        "not-found"
    );
    let kinds: Vec<_> = world
        .take_events()
        .into_iter()
        .map(|event| match event {
            Body::Group(change) => change.kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["added", "promoted", "removed"]);
}

#[test]
fn who_wants_in_waits_for_the_owner() {
    let mut world = world();
    let id = || "group:lab".to_owned();
    let enabled = Ask::SetJoinApproval {
        id: id(),
        enabled: true,
    };
    world.ask(enabled, NOW).expect("the owner may");
    for who in ["user:eve", "user:joe"] {
        let join = Act::Join { group: id() };
        world.act(who, join, NOW).expect("is asked");
    }
    let decide = |member: &str, approve| Ask::DecideJoinRequests {
        id: id(),
        members: vec![member.to_owned()],
        approve,
    };
    world.ask(decide("user:eve", true), NOW).expect("is let in");
    world.ask(decide("user:joe", false), NOW).expect("is not");
    assert_eq!(code(world.ask(decide("user:joe", true), NOW)), "not-found");
    match world.ask(Ask::JoinRequests { id: id() }, NOW) {
        Ok(Answer::JoinRequests(left)) => assert!(left.is_empty()),
        other => panic!("{other:?}"),
    }
    assert_eq!(seen(&mut world, "group:lab").members, Some(4));
}

#[test]
fn what_only_admins_may() {
    let mut world = world();
    let new = NewConversation {
        id: "group:theirs".to_owned(),
        kind: "group".to_owned(),
        title: "Theirs".to_owned(),
        members: vec!["user:grace".to_owned()],
        role: "member".to_owned(),
        ..NewConversation::default()
    };
    world.put_conversation(new, NOW).expect("it is made");
    let id = || "group:theirs".to_owned();
    for ask in [
        Ask::SetGroupInfo {
            id: id(),
            name: Some("Mine".to_owned()),
            description: None,
            avatar: None,
        },
        Ask::SetJoinApproval {
            id: id(),
            enabled: true,
        },
        Ask::Invitation { id: id() },
        Ask::JoinRequests { id: id() },
    ] {
        assert_eq!(code(world.ask(ask.clone(), NOW)), "forbidden", "{ask:?}");
    }
    assert!(world.take_events().is_empty(), "nothing has happened");
}

#[test]
fn labels_have_names_of_their_own_and_an_end() {
    let mut world = world();
    let put = |id: Option<&String>, name: &str| Ask::PutLabel {
        id: id.cloned(),
        name: name.to_owned(),
    };
    let Ok(Answer::Created(id)) = world.ask(put(None, "Friends"), NOW) else {
        panic!("it is created");
    };
    assert_eq!(code(world.ask(put(None, "Friends"), NOW)), "conflict");
    world.ask(put(Some(&id), "Friends"), NOW).expect("its own");
    for number in 1..limits::LABELS {
        let name = format!("label {number}");
        world.ask(put(None, &name), NOW).expect("there is room");
    }
    assert_eq!(
        code(world.ask(put(None, "one more"), NOW)),
        "quota-exceeded"
    );
    let assign = |assigned| Ask::AssignLabel {
        id: id.clone(),
        conversations: vec!["echo".to_owned()],
        assigned,
    };
    world.ask(assign(true), NOW).expect("it is put on");
    assert_eq!(seen(&mut world, "echo").labels, std::slice::from_ref(&id));
    world
        .ask(Ask::RemoveLabel { id: id.clone() }, NOW)
        .expect("it is removed");
    assert!(seen(&mut world, "echo").labels.is_empty());
    assert_eq!(code(world.ask(assign(true), NOW)), "not-found");
}

#[test]
fn people_are_found_by_what_is_known_of_them() {
    let mut world = world();
    for address in [
        "user:grace",
        "grace",
        "@grace",
        "15550000001",
        "+15550000001",
        "tel:15550000001",
    ] {
        let ask = Ask::Resolve {
            address: address.to_owned(),
        };
        match world.ask(ask, NOW) {
            Ok(Answer::Contact(Some(found))) => assert_eq!(found.id, "user:grace", "{address}"),
            other => panic!("{address}: {other:?}"),
        }
    }
    let address = "nobody".to_owned();
    assert_eq!(
        world.ask(Ask::Resolve { address }, NOW),
        Ok(Answer::Contact(None))
    );
}

#[test]
fn history_is_given_conversation_by_conversation() {
    let mut world = world();
    hear(&mut world, "group:lab", "m1");
    hear(&mut world, "group:lab", "m2");
    world.sync_history(NOW);
    let events = world.take_events();
    let lab = events.iter().find_map(|event| match event {
        Body::History(history) if history.conversation.id == "group:lab" => Some(history),
        _ => None,
    });
    let ids: Vec<_> = lab.map_or_else(Vec::new, |history| {
        history.messages.iter().map(|said| &said.id).collect()
    });
    assert_eq!(ids, ["m1", "m2"], "oldest first");
    assert!(
        matches!(events.last(), Some(Body::HistorySynced(summary))
            if summary.conversations == 3 && summary.messages == 2),
        "{events:?}"
    );
}

#[test]
fn a_group_has_a_picture_and_gets_another() {
    let mut world = world();
    let lab = "group:lab";
    let first = seen(&mut world, lab).avatar.expect("it has one");
    let set = |avatar: &str| Ask::SetGroupInfo {
        id: lab.to_owned(),
        name: None,
        description: None,
        avatar: Some(avatar.to_owned()),
    };
    for (bad, wanted) in [("f-none", "not-found"), ("simulator:song.mp3", "invalid")] {
        assert_eq!(code(world.ask(set(bad), NOW)), wanted);
    }
    assert_eq!(seen(&mut world, lab).avatar, Some(first.clone()));
    world.take_events();
    world
        .ask(set("simulator:sticker.webp"), NOW)
        .expect("it is set");
    let other = seen(&mut world, lab).avatar.expect("it has one");
    assert_eq!(
        (other.id.as_str(), other.mime.as_str()),
        ("simulator:sticker.webp", "image/webp")
    );
    assert_ne!(other, first);
    let told = world.take_events();
    assert!(matches!(&told[..], [Body::Group(change)] if change.kind == "info"));
    assert_eq!(seen(&mut world, "channel:news").avatar, None);
    hear(&mut world, "user:grace", "m1");
    assert!(seen(&mut world, "user:grace").avatar.is_some(), "hers");
}
