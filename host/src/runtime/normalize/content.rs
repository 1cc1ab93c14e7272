//! Messages, their contents and attachments in the published form.

use super::MAX_REFERENCE_BYTES;
use super::limits::{
    check_conversation_kind, check_extra, check_format, check_id, check_json, check_name, hints,
};
use super::message::*;
use super::shape::*;
use crate::domain::Timestamp;
use anyport_contract::anyport::provider::model::{self, Content};
use std::borrow::Cow;
use std::fmt::Write;

/// Without its reply token.
pub(super) fn live_message(message: &model::Message) -> Result<LiveMessage<'_>, String> {
    let said = said(message)?;
    Ok(LiveMessage {
        id: &message.id,
        kind: said.kind,
        text: said.text,
        direction: direction(message),
        sent_at: Timestamp(message.sent_at).rfc3339(),
        attachments: said.attachments,
        reply_token: None,
        more: said.more,
    })
}

/// An attachment that nobody can fetch any more is `expired`.
pub(super) fn past_message(message: &model::Message) -> Result<PastMessage<'_>, String> {
    let mut said = said(message)?;
    if let Content::Media(media) = &message.content {
        for (block, from) in said.attachments.iter_mut().zip(&media.attachments) {
            block.expired |= from.blob.is_none() && from.reference.is_none();
        }
    }
    Ok(PastMessage {
        id: &message.id,
        kind: said.kind,
        direction: direction(message),
        sent_at: Timestamp(message.sent_at).rfc3339(),
        sender: PersonBlock {
            kind: sender_kind(message),
            ..PersonBlock::user(&message.sender, message.sender_name.as_deref())
        },
        text: said.text,
        attachments: said.attachments,
        more: said.more,
    })
}

pub(super) fn direction(message: &model::Message) -> &'static str {
    if message.from_me {
        "outbound"
    } else {
        "inbound"
    }
}

/// Where the channel hides the author, the conversation itself speaks.
pub(super) fn sender_kind(message: &model::Message) -> &str {
    if message.sender == message.conversation {
        &message.conversation_kind
    } else {
        "user"
    }
}

pub(super) fn conversation_block(
    it: &model::Conversation,
) -> Result<ConversationBlock<'_>, String> {
    check_id("conversation", &it.id)?;
    check_conversation_kind(&it.kind)?;
    Ok(ConversationBlock {
        id: &it.id,
        kind: Some(&it.kind),
        title: it.title.as_deref(),
        username: it.username.as_deref(),
        description: it.description.as_deref(),
        avatar: it.avatar.as_ref().map(attachment).transpose()?,
        unread_count: it.unread,
        members_count: it.members,
        created_at: it.created_at.map(|at| Timestamp(at).rfc3339()),
        last_message_at: it.last_message_at.map(|at| Timestamp(at).rfc3339()),
        last_message_text: it.last_message_text.as_deref(),
        extra: check_extra(it.extra.as_deref())?,
    })
}

pub(super) fn attachment(it: &model::Attachment) -> Result<AttachmentBlock<'_>, String> {
    if let Some(reference) = &it.reference
        && reference.len() > MAX_REFERENCE_BYTES
    {
        return Err(format!(
            "an attachment's reference has at most {MAX_REFERENCE_BYTES} bytes, not {}",
            reference.len()
        ));
    }
    let hints: AttachmentHints = hints(it.extra.as_deref())?;
    let kind = attachment_kind(&it.kind);
    let metadata = MetadataBlock {
        is_big_file: hints.is_big_file,
        voice: it.kind == "voice",
    };
    Ok(AttachmentBlock {
        kind,
        url: None,
        mime_type: it.mime.as_deref(),
        size: it.size,
        file_name: it.filename.as_deref(),
        title: it.filename.as_deref().filter(|_| kind == "document"),
        duration_ms: it.duration_ms,
        width: it.width,
        height: it.height,
        metadata: Some(metadata).filter(|it| *it != MetadataBlock::default()),
        expired: hints.expired,
        extra: check_extra(it.extra.as_deref())?,
    })
}

/// The published words know no `voice`.
fn attachment_kind(kind: &str) -> &'static str {
    match kind {
        "image" => "image",
        "video" => "video",
        "audio" | "voice" => "audio",
        "document" => "document",
        "sticker" => "sticker",
        _ => "unknown",
    }
}

struct Said<'a> {
    /// `text`, `image`, `video`, `audio`, `document`, `sticker`, `location`, `contact`, `unknown`.
    kind: &'static str,
    text: Option<Cow<'a, str>>,
    attachments: Vec<AttachmentBlock<'a>>,
    more: More<'a>,
}

fn said(message: &model::Message) -> Result<Said<'_>, String> {
    check_id("message", &message.id)?;
    check_id("conversation", &message.conversation)?;
    check_conversation_kind(&message.conversation_kind)?;
    check_id("contact", &message.sender)?;
    let mut said = Said {
        kind: "unknown",
        text: None,
        attachments: Vec::new(),
        more: More {
            edited_at: message.edited_at.map(|at| Timestamp(at).rfc3339()),
            quote: message.quote.as_ref().map(|quote| QuoteBlock {
                message_id: &quote.message,
                sender_id: quote.sender.as_deref(),
                text: quote.text.as_deref(),
            }),
            thread_id: message.thread.as_deref(),
            extra: check_extra(message.extra.as_deref())?,
            ..More::default()
        },
    };
    match &message.content {
        Content::Text(text) => {
            said.kind = "text";
            said.write(text)?;
        }
        Content::Media(media) => {
            said.kind = media
                .attachments
                .first()
                .map_or("unknown", |first| attachment_kind(&first.kind));
            said.attachments = media
                .attachments
                .iter()
                .map(attachment)
                .collect::<Result<_, _>>()?;
            if let Some(caption) = &media.caption {
                said.write(caption)?;
            }
        }
        Content::Location(location) => {
            said.kind = "location";
            said.text = Some(place(location)?.into());
            said.more.location = Some(LocationBlock {
                latitude: location.latitude,
                longitude: location.longitude,
                name: location.name.as_deref(),
                address: location.address.as_deref(),
            });
        }
        Content::Contacts(cards) => {
            said.kind = "contact";
            said.text = Some(cards.iter().map(vcard).collect::<String>().into());
        }
        Content::Interactive(interactive) => {
            said.kind = "text";
            said.text = Some(interactive.body.as_str().into());
            said.more.interactive = Some(interactive_block(interactive));
        }
        Content::Custom(custom) => {
            check_name("content name", &custom.name)?;
            said.more.custom = Some(CustomBlock {
                name: &custom.name,
                value: Some(check_json(&custom.value)?),
            });
        }
    }
    Ok(said)
}

impl<'a> Said<'a> {
    fn write(&mut self, text: &'a model::Text) -> Result<(), String> {
        check_format(&text.format)?;
        self.text = Some(text.body.as_str().into());
        self.more.text_format = Some(text.format.as_str()).filter(|format| *format != "plain");
        for mention in &text.mentions {
            check_id("contact", &mention.contact)?;
            self.more.mentions.push(MentionBlock {
                id: &mention.contact,
                offset: mention.span.map(|span| span.offset),
                length: mention.span.map(|span| span.length),
            });
        }
        Ok(())
    }
}

fn interactive_block(interactive: &model::Interactive) -> InteractiveBlock<'_> {
    InteractiveBlock {
        header: interactive.header.as_deref(),
        footer: interactive.footer.as_deref(),
        opener: interactive.opener.as_deref(),
        sections: interactive
            .sections
            .iter()
            .map(|section| SectionBlock {
                title: section.title.as_deref(),
                choices: section
                    .choices
                    .iter()
                    .map(|choice| ChoiceBlock {
                        id: &choice.id,
                        title: &choice.title,
                        description: choice.description.as_deref(),
                        url: choice.url.as_deref(),
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// `latitude,longitude`, then name and address on lines of their own.
fn place(location: &model::Location) -> Result<String, String> {
    if !location.latitude.is_finite() || !location.longitude.is_finite() {
        return Err("a location's degrees are finite numbers".to_owned());
    }
    let mut text = format!("{},{}", location.latitude, location.longitude);
    for line in [&location.name, &location.address].into_iter().flatten() {
        let _ = write!(text, "\n{line}");
    }
    Ok(text)
}

/// A vCard 3.0 (RFC 2426), lines not folded since many readers do not unfold.
fn vcard(card: &model::ContactCard) -> String {
    let mut text = String::from("BEGIN:VCARD\r\nVERSION:3.0\r\n");
    let name = escape(&card.name);
    let _ = write!(text, "N:;{name};;;\r\nFN:{name}\r\n");
    if let Some(organization) = &card.organization {
        let _ = write!(text, "ORG:{}\r\n", escape(organization));
    }
    if let Some(title) = &card.title {
        let _ = write!(text, "TITLE:{}\r\n", escape(title));
    }
    for (property, fixed, values) in [
        ("TEL", None, &card.phones),
        ("EMAIL", Some("INTERNET"), &card.emails),
    ] {
        for value in values {
            let kind = value.kind.as_deref().and_then(parameter);
            let kinds: Vec<&str> = fixed.into_iter().chain(kind.as_deref()).collect();
            text.push_str(property);
            if !kinds.is_empty() {
                let _ = write!(text, ";TYPE={}", kinds.join(","));
            }
            let _ = write!(text, ":{}\r\n", escape(&value.value));
        }
    }
    text.push_str("END:VCARD\r\n");
    text
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | ',' | ';' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\n' => escaped.push_str("\\n"),
            '\r' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// A parameter's value must not need quotes.
fn parameter(kind: &str) -> Option<String> {
    let word: String = kind
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
        .collect();
    Some(word.to_ascii_uppercase()).filter(|word| !word.is_empty())
}
