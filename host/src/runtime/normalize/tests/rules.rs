//! What a provider may not emit, and what it is told.

use super::*;

#[test]
fn broken_rules_are_named() {
    let custom = |name: &str, value: &str| {
        Event::Custom(model::Custom {
            name: name.into(),
            value: value.into(),
        })
    };
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let receipt = |messages: Vec<String>| {
        Event::Receipt(events::Receipt {
            conversation: "c".into(),
            messages,
            and_earlier: false,
            by: None,
            kind: events::ReceiptKind::Read,
        })
    };
    let mut nameless = message(model::Content::Text(text("x")));
    nameless.id = String::new();
    let hello = || message(model::Content::Text(text("hello")));
    let (mut room, mut listed) = (hello(), hello());
    room.conversation_kind = "room".into();
    listed.extra = Some("[]".into());
    let mut coded = text("[b]hello[/b]");
    coded.format = "bbcode".into();
    let mut reference = attachment_of("image");
    reference.reference = Some("x".repeat(4097));
    let nowhere = model::Location {
        latitude: f64::NAN,
        longitude: 0.0,
        name: None,
        address: None,
    };
    let cases = [
        (custom("Call", "1"), "a custom event name is 1 to 64"),
        (custom("", "1"), "a custom event name is 1 to 64"),
        (custom("call", "{"), "are JSON"),
        (custom("call", &deep), "nest at most 64 deep"),
        (
            custom("call", &format!("\"{}\"", "x".repeat(65_536))),
            "at most 65536 bytes",
        ),
        (receipt(vec![]), "1 to 1000 ids, not 0"),
        (receipt(vec!["x".into(); 1001]), "1 to 1000 ids, not 1001"),
        (receipt(vec![String::new()]), "the id of a message has 1 to"),
        (
            Event::MessageReceived(nameless),
            "the id of a message has 1 to",
        ),
        (
            Event::MessageReceived(message(media(vec![reference], None))),
            "reference has at most 4096 bytes, not 4097",
        ),
        (
            Event::MessageReceived(message(model::Content::Location(nowhere))),
            "finite",
        ),
        (
            Event::MessageReceived(room),
            "a conversation's kind is one of user, group, channel, not `room`",
        ),
        (
            Event::MessageReceived(message(model::Content::Text(coded))),
            "a text's format is one of plain, markdown, html, not `bbcode`",
        ),
        (
            Event::MessageReceived(listed),
            "an `extra` is a JSON object",
        ),
        (
            Event::MessageReceived(message(model::Content::Text(text(&"x".repeat(1 << 20))))),
            "at most 1048576 bytes of data",
        ),
        (
            Event::ConversationDeleted(String::new()),
            "the id of a conversation has 1 to",
        ),
    ];
    for (event, rule) in cases {
        let error = all(event).unwrap_err();
        assert!(error.contains(rule), "{error} / {rule}");
    }
    let mut keyless = emission(Event::ConversationDeleted("c".into()));
    keyless.key.clear();
    let account = AccountId::from_text("acc_7mZ2qK9t");
    assert!(
        normalize(&keyless, &account, &Tokens)
            .unwrap_err()
            .contains("key")
    );
    let text_of_brackets = custom("call", &format!("\"{}\\\"\"", "[".repeat(100)));
    assert!(all(text_of_brackets).is_ok());
}
