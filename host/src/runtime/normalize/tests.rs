//! Every variant against its published shape. Where a key is ours it follows the published ones.

use super::*;
use anyport_contract::anyport::provider::types;
use events::Event;

mod rules;

const AT: u64 = 1_772_353_800_000;
const CONVERSATION: &str = "15550100023@s.whatsapp.net";

struct Tokens;

impl ReplyTokens for Tokens {
    fn seal(
        &self,
        account: &AccountId,
        conversation: &str,
        message: &str,
        sender: Option<&str>,
        reply_context: Option<&str>,
    ) -> String {
        assert_eq!(account.as_str(), "acc_7mZ2qK9t");
        assert!(!conversation.is_empty() && sender.is_some());
        format!("rt1.{message}.{}", reply_context.unwrap_or("-"))
    }
}

fn emission(event: Event) -> events::Emission {
    events::Emission {
        key: "key-1".into(),
        conversation: None,
        occurred_at: AT,
        event,
        raw: None,
    }
}

fn all(event: Event) -> Result<Vec<Normalized>, String> {
    normalize(
        &emission(event),
        &AccountId::from_text("acc_7mZ2qK9t"),
        &Tokens,
    )
}

fn one(event: Event) -> Normalized {
    let mut events = all(event).unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn check(event: Event, kind: &str, conversation: Option<&str>, data: &str) {
    let event = one(event);
    assert_eq!(event.data.get(), data);
    assert_eq!(event.kind, kind);
    assert_eq!(event.conversation.as_deref(), conversation);
}

fn text(body: &str) -> model::Text {
    model::Text {
        body: body.into(),
        format: "plain".into(),
        mentions: vec![],
    }
}

fn message(content: model::Content) -> model::Message {
    model::Message {
        id: "3EB0C0FFEE10".into(),
        conversation: CONVERSATION.into(),
        conversation_kind: "user".into(),
        conversation_title: None,
        sender: CONVERSATION.into(),
        sender_name: Some("Dana Whitfield".into()),
        from_me: false,
        sent_at: AT - 2_000,
        edited_at: None,
        content,
        quote: None,
        thread: None,
        reply_context: Some("ctx".into()),
        extra: None,
    }
}

fn attachment_of(kind: &str) -> model::Attachment {
    model::Attachment {
        kind: kind.into(),
        blob: None,
        reference: Some("ref".into()),
        mime: None,
        filename: None,
        size: None,
        duration_ms: None,
        width: None,
        height: None,
        extra: None,
    }
}

fn media(attachments: Vec<model::Attachment>, caption: Option<&str>) -> model::Content {
    model::Content::Media(model::Media {
        attachments,
        caption: caption.map(text),
    })
}

/// `data.message` without id, direction and times.
fn check_message(content: model::Content, kind: &str, rest: &str) {
    check(
        Event::MessageEdited(message(content)),
        "message.updated",
        Some(CONVERSATION),
        &format!(
            r#"{{"conversation":{{"id":"{CONVERSATION}","type":"user","title":"Dana Whitfield"}},"sender":{{"id":"{CONVERSATION}","type":"user","name":"Dana Whitfield"}},"message":{{"id":"3EB0C0FFEE10","type":"{kind}",{rest}}},"event":{{"kind":"message_updated"}},"chat_id":"{CONVERSATION}"}}"#
        ),
    );
}

const WHEN: &str = r#""direction":"inbound","sent_at":"2026-03-01T08:29:58Z""#;

#[test]
fn received_text_is_the_published_example() {
    let event = one(Event::MessageReceived(message(model::Content::Text(text(
        "Is the 7pm table free?",
    )))));
    let account = AccountId::from_text("acc_7mZ2qK9t");
    let logged = event.clone().into_event("whatsapp", &account, false);
    let expected = format!(
        r#"{{"id":"{}","type":"message.received","provider":"whatsapp","account_id":"acc_7mZ2qK9t","occurred_at":"2026-03-01T08:30:00Z","data":{{"conversation":{{"id":"15550100023@s.whatsapp.net","type":"user","title":"Dana Whitfield"}},"sender":{{"id":"15550100023@s.whatsapp.net","type":"user","name":"Dana Whitfield"}},"message":{{"id":"3EB0C0FFEE10","type":"text","text":"Is the 7pm table free?","direction":"inbound","sent_at":"2026-03-01T08:29:58Z","reply_token":"rt1.3EB0C0FFEE10.ctx"}},"event":{{"kind":"message_received"}},"chat_id":"15550100023@s.whatsapp.net"}}}}"#,
        logged.id
    );
    assert_eq!(String::from_utf8_lossy(&logged.body), expected);
    assert_eq!(logged.dedupe_key.as_deref(), Some("key-1"));

    let flat = event.into_event("whatsapp", &account, true);
    let tail = r#","event":"message.received","from":"15550100023@s.whatsapp.net","text":"Is the 7pm table free?","timestamp":1772353798,"message_id":"3EB0C0FFEE10"}"#;
    assert!(String::from_utf8_lossy(&flat.body).ends_with(tail));
}

#[test]
fn a_known_phone_is_the_mirror_from() {
    for (extra, from) in [
        (r#"{"sender_phone":"15550100023"}"#, "+15550100023"),
        (r#"{"sender_phone":"+15550100023"}"#, "+15550100023"),
        (r#"{"sender_phone":"call me"}"#, CONVERSATION),
        (r#"{"sender_phone":7}"#, CONVERSATION),
    ] {
        let mut message = message(model::Content::Text(text("hi")));
        message.extra = Some(extra.into());
        let event = one(Event::MessageReceived(message));
        assert_eq!(event.mirrors.unwrap().from, from, "{extra}");
    }
}

#[test]
fn own_messages_are_outbound_and_name_no_peer() {
    let mut message = message(model::Content::Text(text("hi")));
    message.from_me = true;
    message.sender = "me".into();
    message.sender_name = Some("Me".into());
    let data = one(Event::MessageReceived(message));
    let data = data.data.get();
    assert!(data.contains(r#""direction":"outbound""#), "{data}");
    assert!(
        data.starts_with(&format!(
            r#"{{"conversation":{{"id":"{CONVERSATION}","type":"user"}},"sender":{{"id":"me""#
        )),
        "{data}"
    );
}

#[test]
fn a_hidden_author_is_the_conversation() {
    let mut message = message(model::Content::Text(text("news")));
    message.conversation_kind = "channel".into();
    let data = one(Event::MessageReceived(message));
    assert!(data.data.get().contains(&format!(
        r#""sender":{{"id":"{CONVERSATION}","type":"channel""#
    )));
}

#[test]
fn media_carries_attachments_and_its_caption_as_text() {
    let mut video = attachment_of("video");
    video.duration_ms = Some(4200);
    video.mime = Some("video/mp4".into());
    video.size = Some(99_000_000);
    video.extra = Some(r#"{"is_big_file":true}"#.into());
    let mut file = attachment_of("document");
    file.filename = Some("a.pdf".into());
    check_message(
        media(vec![video, file, attachment_of("voice")], Some("look")),
        "video",
        &format!(
            r#""text":"look",{WHEN},"attachments":[{{"type":"video","mime_type":"video/mp4","size":99000000,"duration_ms":4200,"metadata":{{"is_big_file":true}},"extra":{{"is_big_file":true}}}},{{"type":"document","file_name":"a.pdf","title":"a.pdf"}},{{"type":"audio","metadata":{{"voice":true}}}}]"#
        ),
    );
    check_message(
        media(vec![attachment_of("hologram")], None),
        "unknown",
        &format!(r#"{WHEN},"attachments":[{{"type":"unknown"}}]"#),
    );
}

#[test]
fn locations_and_contacts_sit_in_the_text() {
    check_message(
        model::Content::Location(model::Location {
            latitude: 59.5,
            longitude: -24.25,
            name: Some("Pier".into()),
            address: None,
        }),
        "location",
        &format!(
            r#""text":"59.5,-24.25\nPier",{WHEN},"location":{{"latitude":59.5,"longitude":-24.25,"name":"Pier"}}"#
        ),
    );
    let card = model::ContactCard {
        name: "Dana; Whitfield".into(),
        phones: vec![model::Labelled {
            value: "+15550100023".into(),
            kind: Some("cell".into()),
        }],
        emails: vec![model::Labelled {
            value: "dana@example.net".into(),
            kind: None,
        }],
        organization: Some("Harbor".into()),
        title: None,
    };
    check_message(
        model::Content::Contacts(vec![card]),
        "contact",
        &format!(
            r#""text":"BEGIN:VCARD\r\nVERSION:3.0\r\nN:;Dana\\; Whitfield;;;\r\nFN:Dana\\; Whitfield\r\nORG:Harbor\r\nTEL;TYPE=CELL:+15550100023\r\nEMAIL;TYPE=INTERNET:dana@example.net\r\nEND:VCARD\r\n",{WHEN}"#
        ),
    );
}

#[test]
fn what_the_published_form_does_not_know_follows() {
    check_message(
        model::Content::Interactive(model::Interactive {
            body: "Choose".into(),
            header: None,
            footer: None,
            opener: None,
            sections: vec![model::ChoiceSection {
                title: None,
                choices: vec![model::Choice {
                    id: "1".into(),
                    title: "Yes".into(),
                    description: None,
                    url: None,
                }],
            }],
        }),
        "text",
        &format!(
            r#""text":"Choose",{WHEN},"interactive":{{"sections":[{{"choices":[{{"id":"1","title":"Yes"}}]}}]}}"#
        ),
    );
    check_message(
        model::Content::Custom(model::Custom {
            name: "poll".into(),
            value: r#"{"q": 1}"#.into(),
        }),
        "unknown",
        &format!(r#"{WHEN},"custom":{{"name":"poll","value":{{"q": 1}}}}"#),
    );
    let mut rich = message(model::Content::Text(model::Text {
        body: "*hi* @dana".into(),
        format: "markdown".into(),
        mentions: vec![model::Mention {
            contact: "d".into(),
            span: Some(model::Span {
                offset: 5,
                length: 5,
            }),
        }],
    }));
    rich.edited_at = Some(AT);
    rich.thread = Some("t".into());
    rich.quote = Some(model::Quote {
        message: "q".into(),
        sender: None,
        text: Some("before".into()),
    });
    rich.extra = Some(r#"{"edit_message_id":"918"}"#.into());
    let data = one(Event::MessageEdited(rich));
    let expected = format!(
        r#""text":"*hi* @dana",{WHEN},"text_format":"markdown","edited_at":"2026-03-01T08:30:00Z","mentions":[{{"id":"d","offset":5,"length":5}}],"quote":{{"message_id":"q","text":"before"}},"thread_id":"t","extra":{{"edit_message_id":"918"}}}}"#
    );
    assert!(
        data.data.get().contains(&expected),
        "{}\n{expected}",
        data.data
    );
}

#[test]
fn each_deleted_message_is_an_event() {
    let deletion = |messages: &[&str]| {
        Event::MessagesDeleted(events::Deletion {
            conversation: Some("c".into()),
            messages: messages.iter().map(|id| (*id).to_owned()).collect(),
            by: Some("d".into()),
        })
    };
    check(
        deletion(&["1"]),
        "message.deleted",
        Some("c"),
        r#"{"conversation":{"id":"c"},"sender":{"id":"d","type":"user"},"message":{"id":"1"},"event":{"kind":"message_deleted"},"chat_id":"c"}"#,
    );
    let keys: Vec<String> = all(deletion(&["1", "2"]))
        .unwrap()
        .into_iter()
        .map(|event| event.dedupe_key)
        .collect();
    assert_eq!(keys, ["key-1#1", "key-1#2"]);
    check(
        Event::MessagesDeleted(events::Deletion {
            conversation: None,
            messages: vec!["1".into()],
            by: None,
        }),
        "message.deleted",
        None,
        r#"{"message":{"id":"1"},"event":{"kind":"message_deleted"}}"#,
    );
}

#[test]
fn receipts_name_the_batch_and_mirror_the_time() {
    let receipt = |kind, and_earlier| {
        Event::Receipt(events::Receipt {
            conversation: "c".into(),
            messages: vec!["1".into(), "2".into()],
            and_earlier,
            by: Some("d".into()),
            kind,
        })
    };
    use events::ReceiptKind::*;
    check(
        receipt(Read, false),
        "message.read",
        Some("c"),
        r#"{"conversation":{"id":"c"},"sender":{"id":"d","type":"user"},"message":{"id":"2","ids":["1","2"],"read_at":"2026-03-01T08:30:00Z"},"read_at":"2026-03-01T08:30:00Z","event":{"kind":"message_read"},"chat_id":"c"}"#,
    );
    check(
        receipt(Played, true),
        "message.read",
        Some("c"),
        r#"{"conversation":{"id":"c"},"sender":{"id":"d","type":"user"},"message":{"id":"2","ids":["1","2"],"read_at":"2026-03-01T08:30:00Z","played":true,"and_earlier":true},"read_at":"2026-03-01T08:30:00Z","event":{"kind":"message_read"},"chat_id":"c"}"#,
    );
    check(
        receipt(Delivered, false),
        "message.delivered",
        Some("c"),
        r#"{"conversation":{"id":"c"},"sender":{"id":"d","type":"user"},"message":{"id":"2","ids":["1","2"],"delivered_at":"2026-03-01T08:30:00Z"},"delivered_at":"2026-03-01T08:30:00Z","event":{"kind":"message_delivered"},"chat_id":"c"}"#,
    );
}

#[test]
fn reactions_and_their_withdrawal() {
    for (emoji, shown) in [(Some("👌".to_owned()), "👌"), (None, "")] {
        check(
            Event::Reaction(events::Reaction {
                conversation: "c".into(),
                message: "7".into(),
                by: "d".into(),
                emoji,
            }),
            "message.reaction",
            Some("c"),
            &format!(
                r#"{{"conversation":{{"id":"c"}},"sender":{{"id":"d","type":"user"}},"message":{{"id":"key-1","target_message_id":"7"}},"event":{{"kind":"message_reaction","reaction":"{shown}"}},"chat_id":"c"}}"#
            ),
        );
    }
}

fn conversation() -> model::Conversation {
    model::Conversation {
        id: "c".into(),
        kind: "user".into(),
        title: Some("Dana".into()),
        username: None,
        description: None,
        avatar: None,
        unread: None,
        members: None,
        is_pinned: None,
        is_muted: None,
        is_archived: None,
        created_at: None,
        last_message_at: None,
        last_message_text: None,
        extra: None,
    }
}

#[test]
fn conversations() {
    let mut muted = conversation();
    muted.is_muted = Some(true);
    muted.extra = Some(r#"{"mute_until":1772382600000,"mute_forever":false}"#.into());
    check(
        Event::ConversationUpdated(muted),
        "conversation.updated",
        Some("c"),
        r#"{"conversation":{"id":"c","type":"user","title":"Dana","extra":{"mute_until":1772382600000,"mute_forever":false}},"muted":true,"mute_until":"2026-03-01T16:30:00Z","mute_forever":false,"event":{"kind":"conversation_updated"},"chat_id":"c"}"#,
    );
    let mut read = conversation();
    read.unread = Some(0);
    check(
        Event::ConversationUpdated(read),
        "conversation.updated",
        Some("c"),
        r#"{"conversation":{"id":"c","type":"user","title":"Dana","unread_count":0},"read":true,"event":{"kind":"conversation_updated"},"chat_id":"c"}"#,
    );
    check(
        Event::ConversationDeleted("c".into()),
        "conversation.deleted",
        Some("c"),
        r#"{"conversation":{"id":"c"},"delete_media":false,"event":{"kind":"conversation_deleted"},"chat_id":"c"}"#,
    );
    check(
        Event::ConversationCleared("c".into()),
        "conversation.cleared",
        Some("c"),
        r#"{"conversation":{"id":"c"},"delete_media":false,"event":{"kind":"conversation_cleared"},"chat_id":"c"}"#,
    );
}

#[test]
fn history() {
    let mut lost = attachment_of("image");
    lost.reference = None;
    let mut second = message(media(vec![lost], None));
    second.from_me = true;
    check(
        Event::ConversationHistory(events::History {
            conversation: conversation(),
            messages: vec![message(model::Content::Text(text("Hello"))), second],
        }),
        "conversation.history",
        Some("c"),
        &format!(
            r#"{{"conversation":{{"id":"c","type":"user","title":"Dana"}},"messages":[{{"id":"3EB0C0FFEE10","type":"text",{WHEN},"sender":{{"id":"{CONVERSATION}","type":"user","name":"Dana Whitfield"}},"text":"Hello"}},{{"id":"3EB0C0FFEE10","type":"image","direction":"outbound","sent_at":"2026-03-01T08:29:58Z","sender":{{"id":"{CONVERSATION}","type":"user","name":"Dana Whitfield"}},"attachments":[{{"type":"image","expired":true}}]}}],"event":{{"kind":"conversation_history"}},"chat_id":"c"}}"#
        ),
    );
    check(
        Event::HistorySynced(events::HistorySummary {
            conversations: 3,
            messages: 41,
        }),
        "account.history.synced",
        None,
        r#"{"summary":{"conversations":3,"messages":41},"event":{"kind":"account_history_synced"}}"#,
    );
}

#[test]
fn group_changes_in_the_published_words() {
    let cases: [(&str, &[&str], Option<&str>, &str); 8] = [
        (
            "added",
            &["m"],
            None,
            r#"[{"kind":"member_added","member_ids":["m"]}]"#,
        ),
        (
            "joined",
            &[],
            None,
            r#"[{"kind":"member_added","member_ids":["d"]}]"#,
        ),
        (
            "left",
            &[],
            None,
            r#"[{"kind":"member_removed","member_ids":["d"]}]"#,
        ),
        (
            "promoted",
            &["m"],
            None,
            r#"[{"kind":"promoted","member_ids":["m"]}]"#,
        ),
        ("created", &[], None, r#"[{"kind":"created"}]"#),
        (
            "info",
            &[],
            Some(r#"{"name":"Crew 2","description":""}"#),
            r#"[{"kind":"renamed","name":"Crew 2"},{"kind":"description_changed","description":""}],"extra":{"name":"Crew 2","description":""}"#,
        ),
        ("settings", &[], None, r#"[{"kind":"settings_changed"}]"#),
        (
            "settings",
            &[],
            Some(r#"{"dissolved":true}"#),
            r#"[{"kind":"dissolved"}],"extra":{"dissolved":true}"#,
        ),
    ];
    for (kind, members, extra, changes) in cases {
        check(
            Event::GroupUpdated(events::GroupChange {
                conversation: "g".into(),
                by: Some("d".into()),
                kind: kind.into(),
                members: members.iter().map(|id| (*id).to_owned()).collect(),
                extra: extra.map(str::to_owned),
            }),
            "group.updated",
            Some("g"),
            &format!(
                r#"{{"conversation":{{"id":"g","type":"group"}},"actor":{{"id":"d","type":"user"}},"changes":{changes},"event":{{"kind":"group_updated"}},"chat_id":"g"}}"#
            ),
        );
    }
}

fn contact() -> model::Contact {
    model::Contact {
        id: "77009988776655@lid".into(),
        display_name: Some("Mika".into()),
        username: None,
        phone: None,
        avatar: None,
        aliases: vec![],
        is_bot: None,
        is_blocked: None,
        extra: None,
    }
}

#[test]
fn join_requests_and_contacts() {
    let mut requester = contact();
    requester.extra = Some(r#"{"request_method":"invite_link"}"#.into());
    check(
        Event::JoinRequested(events::JoinRequest {
            conversation: "g".into(),
            contact: requester,
        }),
        "group.join_request",
        Some("g"),
        r#"{"conversation":{"id":"g","type":"group"},"requester":{"id":"77009988776655@lid","type":"user","name":"Mika"},"request_method":"invite_link","event":{"kind":"group_join_request"},"chat_id":"g"}"#,
    );
    let mut known = contact();
    known.aliases = vec!["jid:1".into()];
    known.is_blocked = Some(false);
    check(
        Event::ContactUpdated(known),
        "contact.updated",
        None,
        r#"{"contact":{"id":"77009988776655@lid","display_name":"Mika","aliases":["jid:1"],"is_blocked":false},"event":{"kind":"contact_updated"}}"#,
    );
}

#[test]
fn own_types() {
    check(
        Event::Activity(events::Activity {
            conversation: "c".into(),
            by: "d".into(),
            kind: "typing".into(),
            active: true,
        }),
        "message.activity",
        Some("c"),
        r#"{"conversation":{"id":"c"},"sender":{"id":"d","type":"user"},"activity":{"kind":"typing","active":true},"event":{"kind":"message_activity"},"chat_id":"c"}"#,
    );
    check(
        Event::Presence(events::Presence {
            contact: "d".into(),
            online: false,
            last_seen: Some(AT),
        }),
        "contact.presence",
        None,
        r#"{"contact":{"id":"d","type":"user"},"online":false,"last_seen":"2026-03-01T08:30:00Z","event":{"kind":"contact_presence"}}"#,
    );
    check(
        Event::MessageFailed(events::MessageFailure {
            conversation: Some("c".into()),
            messages: vec!["1".into()],
            error: types::Error {
                code: types::ErrorCode::NotFound,
                message: "no such chat".into(),
                channel_code: Some("404".into()),
                retry_after_ms: None,
                detail: Some("for the log".into()),
            },
        }),
        "message.failed",
        Some("c"),
        r#"{"conversation":{"id":"c"},"message":{"id":"1","ids":["1"]},"state":"failed","error":{"code":"not-found","message":"no such chat","channel_code":"404"},"event":{"kind":"message_failed"},"chat_id":"c"}"#,
    );
    let mut custom = emission(Event::Custom(model::Custom {
        name: "call.offered".into(),
        value: r#"{"video":true}"#.into(),
    }));
    custom.conversation = Some("c".into());
    let events = normalize(&custom, &AccountId::from_text("acc_7mZ2qK9t"), &Tokens).unwrap();
    assert_eq!(events[0].kind, "provider.call.offered");
    assert_eq!(events[0].conversation.as_deref(), Some("c"));
    assert_eq!(
        events[0].data.get(),
        r#"{"conversation":{"id":"c"},"name":"call.offered","value":{"video":true},"event":{"kind":"provider_event"},"chat_id":"c"}"#
    );
}

/// A host that clients can get bytes from.
struct Linked;

impl ReplyTokens for Linked {
    fn seal(&self, _: &AccountId, _: &str, _: &str, _: Option<&str>, _: Option<&str>) -> String {
        String::new()
    }

    fn attachment_url(&self, token: &str) -> Option<String> {
        Some(format!("https://h/media/{token}"))
    }
}

#[test]
fn what_can_be_had_has_an_address() {
    let mut lost = attachment_of("image");
    lost.reference = None;
    let mut big = attachment_of("video");
    big.extra = Some(r#"{"is_big_file":true}"#.into());
    let mut here = attachment_of("document");
    (here.blob, here.reference) = (Some("med_1".into()), None);
    let content = media(vec![attachment_of("image"), lost, big, here], None);
    let events = normalize(
        &emission(Event::MessageReceived(message(content))),
        &AccountId::from_text("acc_7mZ2qK9t"),
        &Linked,
    );
    let event = events.unwrap().remove(0);
    let data: serde_json::Value = serde_json::from_str(event.data.get()).unwrap();
    let blocks = data["message"]["attachments"].as_array().unwrap();
    let linked: Vec<bool> = blocks
        .iter()
        .map(|block| block["url"].is_string())
        .collect();
    assert_eq!(linked, [true, false, false, true]);
    // Only a hash of the token is kept, beside what the provider needs.
    use sha2::{Digest, Sha256};
    let made: Vec<_> = event.attachments.iter().collect();
    for (block, made) in [&blocks[0], &blocks[3]].into_iter().zip(&made) {
        let token = block["url"].as_str().unwrap().rsplit('/').next().unwrap();
        assert_eq!(token.len(), 43);
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        assert_eq!(made.token, hash);
    }
    assert_eq!(made.len(), 2);
    assert_eq!(made[0].source.reference.as_deref(), Some("ref"));
    assert_eq!(made[1].blob.as_ref().unwrap().as_str(), "med_1");
    assert_ne!(made[0].token, made[1].token);
}
