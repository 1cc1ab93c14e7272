//! One ready-made event of each kind, so that a test or a newcomer can ask for it by name.

use crate::model::{
    Activity, Attachment, Body, Choice, Contact, ContactCard, Content, Conversation, Custom,
    Deletion, Failure, GroupChange, History, HistorySummary, Interactive, JoinRequest, Labelled,
    Location, Media, Medium, Mention, Message, Presence, Quote, Reaction, Receipt, Section, Text,
};
use crate::protocol::Fault;

/// All that [`sample`] knows.
pub const KINDS: [&str; 30] = [
    "text",
    "markdown",
    "image",
    "video",
    "audio",
    "voice",
    "document",
    "sticker",
    "location",
    "contacts",
    "interactive",
    "custom-content",
    "from-me",
    "edited",
    "deleted",
    "failed",
    "reaction",
    "delivered",
    "read",
    "typing",
    "presence",
    "conversation-updated",
    "conversation-deleted",
    "conversation-cleared",
    "contact-updated",
    "group-updated",
    "join-requested",
    "history",
    "history-synced",
    "custom",
];

const ADA: &str = "user:ada";

fn said(content: Content) -> Body {
    Body::Message(Message {
        conversation: ADA.to_owned(),
        sender: ADA.to_owned(),
        sender_name: Some("Ada".to_owned()),
        content,
        ..Message::default()
    })
}

/// What an attachment of each kind is in a sample: its media type and its name.
const MEDIA: [(&str, &str, &str); 6] = [
    ("image", "image/jpeg", "picture.jpg"),
    ("video", "video/mp4", "film.mp4"),
    ("audio", "audio/mpeg", "song.mp3"),
    ("voice", "audio/ogg", "voice.ogg"),
    ("document", "application/pdf", "paper.pdf"),
    ("sticker", "image/webp", "sticker.webp"),
];
const MEDIUM_BYTES: u64 = 12_345;

/// What the samples refer to.
pub(crate) fn media() -> impl Iterator<Item = Medium> {
    MEDIA.into_iter().map(|(_, mime, filename)| Medium {
        id: reference(filename),
        size: MEDIUM_BYTES,
        mime: mime.to_owned(),
        filename: Some(filename.to_owned()),
        sha256: String::new(),
    })
}

fn reference(filename: &str) -> String {
    format!("simulator:{filename}")
}

fn attachment(kind: &str) -> Option<Body> {
    let (_, mime, filename) = MEDIA.into_iter().find(|(other, ..)| *other == kind)?;
    let seen = matches!(kind, "image" | "video" | "sticker");
    Some(said(Content::Media(Media {
        attachments: vec![Attachment {
            kind: kind.to_owned(),
            reference: Some(reference(filename)),
            mime: Some(mime.to_owned()),
            filename: Some(filename.to_owned()),
            size: Some(MEDIUM_BYTES),
            duration_ms: matches!(kind, "video" | "audio" | "voice").then_some(4_200),
            width: seen.then_some(640),
            height: seen.then_some(480),
        }],
        caption: (kind == "image").then(|| Text {
            body: "a picture".to_owned(),
            ..Text::default()
        }),
    })))
}

/// None: there is no such kind.
pub fn sample(kind: &str) -> Option<Body> {
    let body = match kind {
        "text" => said(Content::text("hello")),
        "markdown" => Body::Message(Message {
            conversation: "group:lab".to_owned(),
            kind: "group".to_owned(),
            title: Some("Lab".to_owned()),
            sender: ADA.to_owned(),
            sender_name: Some("Ada".to_owned()),
            content: Content::Text(Text {
                body: "*hello* @bob".to_owned(),
                format: "markdown".to_owned(),
                mentions: vec![Mention {
                    contact: "user:bob".to_owned(),
                    span: Some((8, 4)),
                }],
            }),
            quote: Some(Quote {
                message: "m-quoted".to_owned(),
                sender: Some("user:bob".to_owned()),
                text: Some("hi".to_owned()),
            }),
            thread: Some("thread-1".to_owned()),
            extra: Some(r#"{"mood":"good"}"#.to_owned()),
            ..Message::default()
        }),
        "location" => said(Content::Location(Location {
            latitude: 51.5,
            longitude: -0.125,
            name: Some("Observatory".to_owned()),
            address: Some("Greenwich".to_owned()),
        })),
        "contacts" => said(Content::Contacts(vec![ContactCard {
            name: "Grace".to_owned(),
            phones: vec![Labelled {
                value: "15550001".to_owned(),
                kind: Some("mobile".to_owned()),
            }],
            emails: vec![Labelled {
                value: "grace@example.org".to_owned(),
                kind: None,
            }],
            organization: Some("Navy".to_owned()),
            title: Some("Admiral".to_owned()),
        }])),
        "interactive" => said(Content::Interactive(Interactive {
            body: "Tea or coffee?".to_owned(),
            header: Some("Drinks".to_owned()),
            footer: Some("Choose one".to_owned()),
            opener: Some("Menu".to_owned()),
            sections: vec![Section {
                title: Some("Hot".to_owned()),
                choices: vec![
                    Choice {
                        id: "tea".to_owned(),
                        title: "Tea".to_owned(),
                        ..Choice::default()
                    },
                    Choice {
                        id: "coffee".to_owned(),
                        title: "Coffee".to_owned(),
                        ..Choice::default()
                    },
                ],
            }],
        })),
        "custom-content" => said(Content::Custom(Custom {
            name: "poll".to_owned(),
            value: r#"{"question":"when?"}"#.to_owned(),
        })),
        "from-me" => Body::Message(Message {
            conversation: ADA.to_owned(),
            sender: "me".to_owned(),
            from_me: true,
            content: Content::text("sent from my phone"),
            ..Message::default()
        }),
        "edited" => Body::Edited(Message {
            id: "m-edited".to_owned(),
            conversation: ADA.to_owned(),
            sender: ADA.to_owned(),
            edited_at: Some(1_700_000_000_000),
            content: Content::text("hello, edited"),
            ..Message::default()
        }),
        "deleted" => Body::Deleted(Deletion {
            conversation: Some(ADA.to_owned()),
            messages: vec!["m-deleted".to_owned()],
            by: Some(ADA.to_owned()),
        }),
        "failed" => Body::Failed(Failure {
            conversation: Some(ADA.to_owned()),
            messages: vec!["s-failed".to_owned()],
            error: Fault::new("forbidden", "Ada does not take messages"),
        }),
        "reaction" => Body::Reaction(Reaction {
            conversation: ADA.to_owned(),
            message: "m-liked".to_owned(),
            by: ADA.to_owned(),
            emoji: Some("👍".to_owned()),
        }),
        "delivered" | "read" => Body::Receipt(Receipt {
            conversation: ADA.to_owned(),
            messages: vec!["s-1".to_owned()],
            and_earlier: kind == "read",
            by: Some(ADA.to_owned()),
            kind: kind.to_owned(),
        }),
        "typing" => Body::Activity(Activity {
            conversation: ADA.to_owned(),
            by: ADA.to_owned(),
            kind: kind.to_owned(),
            active: true,
        }),
        "presence" => Body::Presence(Presence {
            contact: ADA.to_owned(),
            online: false,
            last_seen: Some(1_700_000_000_000),
        }),
        "conversation-updated" => Body::Conversation(conversation()),
        "conversation-deleted" => Body::ConversationDeleted(ADA.to_owned()),
        "conversation-cleared" => Body::ConversationCleared(ADA.to_owned()),
        "contact-updated" => Body::Contact(contact()),
        "group-updated" => Body::Group(GroupChange {
            conversation: "group:lab".to_owned(),
            by: Some(ADA.to_owned()),
            kind: "added".to_owned(),
            members: vec!["user:bob".to_owned()],
            extra: None,
        }),
        "join-requested" => Body::JoinRequest(JoinRequest {
            conversation: "group:lab".to_owned(),
            contact: contact(),
        }),
        "history" => Body::History(History {
            conversation: conversation(),
            messages: (1..=3)
                .map(|number| Message {
                    id: format!("m-old-{number}"),
                    conversation: "group:lab".to_owned(),
                    kind: "group".to_owned(),
                    sender: ADA.to_owned(),
                    sent_at: 1_700_000_000_000 + number,
                    content: Content::text(format!("old message {number}")),
                    ..Message::default()
                })
                .collect(),
        }),
        "history-synced" => Body::HistorySynced(HistorySummary {
            conversations: 1,
            messages: 3,
        }),
        "custom" => Body::Custom(Custom {
            name: "call.offered".to_owned(),
            value: r#"{"from":"user:ada"}"#.to_owned(),
        }),
        _ => return attachment(kind),
    };
    Some(body)
}

fn conversation() -> Conversation {
    Conversation {
        id: "group:lab".to_owned(),
        kind: "group".to_owned(),
        title: Some("Lab".to_owned()),
        description: Some("Where we try things".to_owned()),
        unread: Some(2),
        members: Some(3),
        is_pinned: Some(true),
        last_message_at: Some(1_700_000_000_000),
        last_message_text: Some("old message 3".to_owned()),
        ..Conversation::default()
    }
}

fn contact() -> Contact {
    Contact {
        id: "user:bob".to_owned(),
        name: Some("Bob".to_owned()),
        username: Some("bob".to_owned()),
        phone: Some("15550002".to_owned()),
        aliases: vec!["lid:42".to_owned()],
        is_bot: Some(false),
        ..Contact::default()
    }
}
