//! From the contract's messages to the channel's. Pure.

use anyport_sdk::model::{Attachment, Content, Labelled, Quote, Text};
use anyport_simulator::model as channel;

/// `reply_context`: what came with the quoted message, which the channel trusts more than the id.
pub fn quote(quote: Option<Quote>, reply_context: Option<String>) -> Option<channel::Quote> {
    let (message, sender, text) = match quote {
        Some(quote) => (quote.message, quote.sender, quote.text),
        None => (reply_context.clone()?, None, None),
    };
    Some(channel::Quote {
        message: reply_context.unwrap_or(message),
        sender,
        text,
    })
}

pub fn text(text: Text) -> channel::Text {
    channel::Text {
        body: text.body,
        format: if text.format == "plain" {
            String::new()
        } else {
            text.format
        },
        mentions: text
            .mentions
            .into_iter()
            .map(|mention| channel::Mention {
                contact: mention.contact,
                span: mention.span.map(|span| (span.offset, span.length)),
            })
            .collect(),
    }
}

/// Media keep their references; what they are at the host is the caller's matter.
pub fn content(content: Content) -> channel::Content {
    match content {
        Content::Text(said) => channel::Content::Text(text(said)),
        Content::Media(media) => channel::Content::Media(channel::Media {
            attachments: media.attachments.into_iter().map(attachment).collect(),
            caption: media.caption.map(text),
        }),
        Content::Location(location) => channel::Content::Location(channel::Location {
            latitude: location.latitude,
            longitude: location.longitude,
            name: location.name,
            address: location.address,
        }),
        Content::Contacts(cards) => channel::Content::Contacts(
            cards
                .into_iter()
                .map(|card| channel::ContactCard {
                    name: card.name,
                    phones: labelled(card.phones),
                    emails: labelled(card.emails),
                    organization: card.organization,
                    title: card.title,
                })
                .collect(),
        ),
        Content::Interactive(interactive) => channel::Content::Interactive(channel::Interactive {
            body: interactive.body,
            header: interactive.header,
            footer: interactive.footer,
            opener: interactive.opener,
            sections: interactive
                .sections
                .into_iter()
                .map(|section| channel::Section {
                    title: section.title,
                    choices: section
                        .choices
                        .into_iter()
                        .map(|choice| channel::Choice {
                            id: choice.id,
                            title: choice.title,
                            description: choice.description,
                            url: choice.url,
                        })
                        .collect(),
                })
                .collect(),
        }),
        Content::Custom(custom) => channel::Content::Custom(channel::Custom {
            name: custom.name,
            value: custom.value,
        }),
    }
}

fn attachment(given: Attachment) -> channel::Attachment {
    channel::Attachment {
        kind: given.kind,
        reference: given.reference,
        mime: given.mime,
        filename: given.filename,
        size: given.size,
        duration_ms: given.duration_ms,
        width: given.width,
        height: given.height,
    }
}

fn labelled(values: Vec<Labelled>) -> Vec<channel::Labelled> {
    values
        .into_iter()
        .map(|value| channel::Labelled {
            value: value.value,
            kind: value.kind,
        })
        .collect()
}
