//! From the contract's messages to the channel's. Pure.

use anyport_sdk::model::{Content, Labelled};
use anyport_sdk::types::Error;
use anyport_simulator::model as channel;
use anyport_simulator::protocol::{ClientFrame, Outgoing as Sending};

use crate::exports::messaging::Outgoing;

/// JSON, as it goes on the wire.
pub fn frame(token: &str, message: Outgoing) -> Result<String, Error> {
    let frame = ClientFrame::Send(Sending {
        token: token.to_owned(),
        conversation: message.conversation,
        content: content(message.content)?,
        quote: message.quote.map(|quote| channel::Quote {
            message: quote.message,
            sender: quote.sender,
            text: quote.text,
        }),
        thread: message.thread,
        silent: message.silent,
    });
    serde_json::to_string(&frame).map_err(|error| {
        Error::invalid("the message cannot be written").with_detail(error.to_string())
    })
}

fn content(content: Content) -> Result<channel::Content, Error> {
    Ok(match content {
        Content::Text(text) => channel::Content::Text(channel::Text {
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
        }),
        Content::Media(_) => return Err(Error::unsupported("the simulator takes no media")),
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
    })
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
