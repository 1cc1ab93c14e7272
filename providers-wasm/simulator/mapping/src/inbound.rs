//! From the channel's events to the contract's. Pure.

use anyport_sdk::events::{
    Activity, Deletion, Emission, Event, GroupChange, History, HistorySummary, JoinRequest,
    MessageFailure, Presence, Reaction, Receipt, ReceiptKind,
};
use anyport_sdk::model::{
    Attachment, Choice, ChoiceSection, Contact, ContactCard, Content, Conversation, Custom,
    Interactive, Labelled, Location, Media, Mention, Message, Quote, Span, Text,
};
use anyport_simulator::model as channel;
use anyport_simulator::protocol;

use crate::answers;

/// Its key is the channel's own id of the event, the same at every redelivery.
pub fn emission(event: protocol::Event) -> Emission {
    let at = event.at;
    let (conversation, what) = body(event.body, at);
    Emission {
        key: event.id,
        conversation,
        occurred_at: at,
        event: what,
        raw: None,
    }
}

fn body(body: channel::Body, at: u64) -> (Option<String>, Event) {
    use channel::Body;
    match body {
        Body::Message(said) => (
            Some(said.conversation.clone()),
            Event::MessageReceived(message(said, at)),
        ),
        Body::Edited(said) => (
            Some(said.conversation.clone()),
            Event::MessageEdited(message(said, at)),
        ),
        Body::Deleted(deleted) => (
            deleted.conversation.clone(),
            Event::MessagesDeleted(Deletion {
                conversation: deleted.conversation,
                messages: deleted.messages,
                by: deleted.by,
            }),
        ),
        Body::Failed(failed) => (
            failed.conversation.clone(),
            Event::MessageFailed(MessageFailure {
                conversation: failed.conversation,
                messages: failed.messages,
                error: answers::error(failed.error),
            }),
        ),
        Body::Reaction(reaction) => (
            Some(reaction.conversation.clone()),
            Event::Reaction(Reaction {
                conversation: reaction.conversation,
                message: reaction.message,
                by: reaction.by,
                emoji: reaction.emoji,
            }),
        ),
        Body::Receipt(receipt) => (
            Some(receipt.conversation.clone()),
            Event::Receipt(Receipt {
                conversation: receipt.conversation,
                messages: receipt.messages,
                and_earlier: receipt.and_earlier,
                by: receipt.by,
                kind: match receipt.kind.as_str() {
                    "read" => ReceiptKind::Read,
                    "played" => ReceiptKind::Played,
                    _ => ReceiptKind::Delivered,
                },
            }),
        ),
        Body::Activity(activity) => (
            Some(activity.conversation.clone()),
            Event::Activity(Activity {
                conversation: activity.conversation,
                by: activity.by,
                kind: activity.kind,
                active: activity.active,
            }),
        ),
        Body::Presence(presence) => (
            None,
            Event::Presence(Presence {
                contact: presence.contact,
                online: presence.online,
                last_seen: presence.last_seen,
            }),
        ),
        Body::Conversation(updated) => (
            Some(updated.id.clone()),
            Event::ConversationUpdated(conversation(updated)),
        ),
        Body::ConversationDeleted(id) => (Some(id.clone()), Event::ConversationDeleted(id)),
        Body::ConversationCleared(id) => (Some(id.clone()), Event::ConversationCleared(id)),
        Body::Contact(updated) => (None, Event::ContactUpdated(contact(updated))),
        Body::Group(change) => (
            Some(change.conversation.clone()),
            Event::GroupUpdated(GroupChange {
                conversation: change.conversation,
                by: change.by,
                kind: change.kind,
                members: change.members,
                extra: change.extra,
            }),
        ),
        Body::JoinRequest(request) => (
            Some(request.conversation.clone()),
            Event::JoinRequested(JoinRequest {
                conversation: request.conversation,
                contact: contact(request.contact),
            }),
        ),
        Body::History(history) => (
            Some(history.conversation.id.clone()),
            Event::ConversationHistory(History {
                conversation: conversation(history.conversation),
                messages: history
                    .messages
                    .into_iter()
                    .map(|said| message(said, at))
                    .collect(),
            }),
        ),
        Body::HistorySynced(summary) => (
            None,
            Event::HistorySynced(HistorySummary {
                conversations: summary.conversations,
                messages: summary.messages,
            }),
        ),
        Body::Custom(custom) => (
            None,
            Event::Custom(Custom {
                name: custom.name,
                value: custom.value,
            }),
        ),
    }
}

/// `at`: when it was sent, unless the channel says it.
pub fn message(said: channel::Message, at: u64) -> Message {
    let reply_context = Some(said.id.clone());
    Message {
        id: said.id,
        conversation: said.conversation,
        conversation_kind: if said.kind.is_empty() {
            "user".to_owned()
        } else {
            said.kind
        },
        conversation_title: said.title,
        sender: said.sender,
        sender_name: said.sender_name,
        from_me: said.from_me,
        sent_at: if said.sent_at == 0 { at } else { said.sent_at },
        edited_at: said.edited_at,
        content: content(said.content),
        quote: said.quote.map(|quote| Quote {
            message: quote.message,
            sender: quote.sender,
            text: quote.text,
        }),
        thread: said.thread,
        reply_context,
        extra: said.extra,
    }
}

fn text(text: channel::Text) -> Text {
    Text {
        body: text.body,
        format: if text.format.is_empty() {
            "plain".to_owned()
        } else {
            text.format
        },
        mentions: text
            .mentions
            .into_iter()
            .map(|mention| Mention {
                contact: mention.contact,
                span: mention.span.map(|(offset, length)| Span { offset, length }),
            })
            .collect(),
    }
}

fn content(content: channel::Content) -> Content {
    match content {
        channel::Content::Text(said) => Content::Text(text(said)),
        channel::Content::Media(media) => Content::Media(Media {
            attachments: media.attachments.into_iter().map(attachment).collect(),
            caption: media.caption.map(text),
        }),
        channel::Content::Location(location) => Content::Location(Location {
            latitude: location.latitude,
            longitude: location.longitude,
            name: location.name,
            address: location.address,
        }),
        channel::Content::Contacts(cards) => Content::Contacts(
            cards
                .into_iter()
                .map(|card| ContactCard {
                    name: card.name,
                    phones: labelled(card.phones),
                    emails: labelled(card.emails),
                    organization: card.organization,
                    title: card.title,
                })
                .collect(),
        ),
        channel::Content::Interactive(interactive) => Content::Interactive(Interactive {
            body: interactive.body,
            header: interactive.header,
            footer: interactive.footer,
            opener: interactive.opener,
            sections: interactive
                .sections
                .into_iter()
                .map(|section| ChoiceSection {
                    title: section.title,
                    choices: section
                        .choices
                        .into_iter()
                        .map(|choice| Choice {
                            id: choice.id,
                            title: choice.title,
                            description: choice.description,
                            url: choice.url,
                        })
                        .collect(),
                })
                .collect(),
        }),
        channel::Content::Custom(custom) => Content::Custom(Custom {
            name: custom.name,
            value: custom.value,
        }),
    }
}

fn attachment(given: channel::Attachment) -> Attachment {
    Attachment {
        reference: given.reference,
        mime: given.mime,
        filename: given.filename,
        size: given.size,
        duration_ms: given.duration_ms,
        width: given.width,
        height: given.height,
        ..Attachment::new(given.kind)
    }
}

/// What fetches it is the channel's id of the medium.
pub fn avatar(given: channel::Avatar) -> Attachment {
    Attachment {
        reference: Some(given.id),
        mime: Some(given.mime),
        size: Some(given.size),
        ..Attachment::new("image")
    }
}

fn labelled(values: Vec<channel::Labelled>) -> Vec<Labelled> {
    values
        .into_iter()
        .map(|value| Labelled {
            value: value.value,
            kind: value.kind,
        })
        .collect()
}

pub fn contact(given: channel::Contact) -> Contact {
    Contact {
        display_name: given.name,
        username: given.username,
        phone: given.phone,
        avatar: given.avatar.map(avatar),
        aliases: given.aliases,
        is_bot: given.is_bot,
        is_blocked: given.is_blocked,
        extra: given
            .note
            .map(|note| serde_json::json!({ "note": note }).to_string()),
        ..Contact::new(given.id)
    }
}

pub fn conversation(given: channel::Conversation) -> Conversation {
    let mut extra = serde_json::Map::new();
    if given.is_muted == Some(true) {
        match given.muted_until {
            Some(until) => extra.insert("mute_until".to_owned(), until.into()),
            None => extra.insert("mute_forever".to_owned(), true.into()),
        };
    }
    if let Some(read) = given.is_read {
        extra.insert("read".to_owned(), read.into());
    }
    if !given.labels.is_empty() {
        extra.insert("label_ids".to_owned(), given.labels.into());
    }
    Conversation {
        title: given.title,
        username: given.username,
        description: given.description,
        avatar: given.avatar.map(avatar),
        unread: given.unread,
        members: given.members,
        is_pinned: given.is_pinned,
        is_muted: given.is_muted,
        is_archived: given.is_archived,
        created_at: given.created_at,
        last_message_at: given.last_message_at,
        last_message_text: given.last_message_text,
        extra: (!extra.is_empty()).then(|| serde_json::Value::Object(extra).to_string()),
        ..Conversation::new(given.id, given.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> channel::Avatar {
        channel::Avatar {
            id: "f-1".to_owned(),
            mime: "image/png".to_owned(),
            size: 7,
        }
    }

    #[test]
    fn pictures_are_referred_to() {
        let given = channel::Contact {
            avatar: Some(picture()),
            ..channel::Contact::default()
        };
        let seen = contact(given).avatar.expect("it has one");
        assert_eq!((seen.kind.as_str(), seen.size), ("image", Some(7)));
        assert_eq!(seen.reference.as_deref(), Some("f-1"));
        assert_eq!(seen.mime.as_deref(), Some("image/png"));
        let given = channel::Conversation {
            avatar: Some(picture()),
            ..channel::Conversation::default()
        };
        assert_eq!(conversation(given).avatar, Some(seen));
    }

    #[test]
    fn media_that_come_are_referred_to() {
        let given = channel::Attachment {
            kind: "video".to_owned(),
            reference: Some("f-2".to_owned()),
            duration_ms: Some(5),
            ..channel::Attachment::default()
        };
        let media = channel::Media {
            attachments: vec![given],
            caption: None,
        };
        let Content::Media(seen) = content(channel::Content::Media(media)) else {
            panic!("not media");
        };
        let seen = &seen.attachments[0];
        assert_eq!(seen.reference.as_deref(), Some("f-2"));
        assert_eq!((seen.kind.as_str(), seen.duration_ms), ("video", Some(5)));
        assert_eq!(seen.blob, None);
    }
}
