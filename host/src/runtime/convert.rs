//! Between the contract's generated types and the domain's. No decisions here.

use crate::domain::Timestamp;
use crate::domain::account::Profile;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::send::{Content, Medium, MediumSource, Outgoing, SentMessage};
use crate::domain::sign_in::{Answer, Display, Question};
use anyport_contract::anyport::provider::{account, model, replies, sign_in_steps, types};
use anyport_contract::exports::anyport::provider::{messaging, sign_in};

pub fn failure_code(code: types::ErrorCode) -> FailureCode {
    match code {
        types::ErrorCode::Unauthenticated => FailureCode::Unauthenticated,
        types::ErrorCode::Forbidden => FailureCode::Forbidden,
        types::ErrorCode::NotFound => FailureCode::NotFound,
        types::ErrorCode::Invalid => FailureCode::Invalid,
        types::ErrorCode::Unsupported => FailureCode::Unsupported,
        types::ErrorCode::RateLimited => FailureCode::RateLimited,
        types::ErrorCode::Unavailable => FailureCode::Unavailable,
        types::ErrorCode::Denied => FailureCode::Denied,
        types::ErrorCode::QuotaExceeded => FailureCode::QuotaExceeded,
        types::ErrorCode::Conflict => FailureCode::Conflict,
        types::ErrorCode::Internal => FailureCode::Internal,
    }
}

fn error_code(code: FailureCode) -> types::ErrorCode {
    match code {
        FailureCode::Unauthenticated => types::ErrorCode::Unauthenticated,
        FailureCode::Forbidden => types::ErrorCode::Forbidden,
        FailureCode::NotFound => types::ErrorCode::NotFound,
        FailureCode::Invalid => types::ErrorCode::Invalid,
        FailureCode::Unsupported => types::ErrorCode::Unsupported,
        FailureCode::RateLimited => types::ErrorCode::RateLimited,
        FailureCode::Unavailable => types::ErrorCode::Unavailable,
        FailureCode::Denied => types::ErrorCode::Denied,
        FailureCode::QuotaExceeded => types::ErrorCode::QuotaExceeded,
        FailureCode::Conflict => types::ErrorCode::Conflict,
        FailureCode::Internal => types::ErrorCode::Internal,
    }
}

pub fn failure(error: types::Error) -> Failure {
    Failure {
        code: failure_code(error.code),
        message: error.message,
        channel_code: error.channel_code,
        retry_after_ms: error.retry_after_ms,
        detail: error.detail,
    }
}

pub fn error(failure: &Failure) -> types::Error {
    types::Error {
        code: error_code(failure.code),
        message: failure.message.clone(),
        channel_code: failure.channel_code.clone(),
        retry_after_ms: failure.retry_after_ms,
        detail: failure.detail.clone(),
    }
}

pub fn certainty(certainty: replies::Certainty) -> Certainty {
    match certainty {
        replies::Certainty::NotDone => Certainty::NotDone,
        replies::Certainty::MaybeDone => Certainty::MaybeDone,
    }
}

pub fn profile(identity: model::Identity) -> Profile {
    Profile {
        id: Some(identity.id),
        phone: identity.phone,
        username: identity.username,
        display_name: identity.display_name,
        first_name: identity.first_name,
        last_name: identity.last_name,
        bio: identity.bio,
    }
}

pub fn sent(message: replies::SentMessage) -> SentMessage {
    SentMessage {
        messages: message.messages,
        conversation: message.conversation,
        sent_at: Timestamp(message.sent_at),
        reply_context: message.reply_context,
    }
}

pub fn display(display: sign_in_steps::Display) -> Display {
    Display {
        kind: display.kind,
        value: display.value,
        hint: display.hint,
        expires_at: display.expires_at.map(Timestamp),
    }
}

pub fn question(question: sign_in_steps::Question) -> Question {
    Question {
        name: question.name,
        kind: question.kind,
        title: question.title,
        hint: question.hint,
        required: question.required,
        choices: question.choices,
    }
}

pub fn answers(answers: &[Answer]) -> Vec<sign_in::Answer> {
    answers
        .iter()
        .map(|answer| sign_in::Answer {
            name: answer.name.clone(),
            value: answer.value.expose().to_vec(),
        })
        .collect()
}

pub fn link(link: account::Link) -> super::turn::Link {
    match link {
        account::Link::Connecting => super::turn::Link::Connecting,
        account::Link::Online => super::turn::Link::Online,
        account::Link::Degraded => super::turn::Link::Degraded,
        account::Link::Offline => super::turn::Link::Offline,
    }
}

pub fn outgoing(outgoing: &Outgoing) -> messaging::Outgoing {
    messaging::Outgoing {
        conversation: outgoing.conversation.clone(),
        conversation_kind: outgoing.conversation_kind.clone(),
        content: content(&outgoing.content, &outgoing.mentions),
        quote: None,
        reply_context: outgoing.reply_context.clone(),
        thread: None,
        silent: false,
        extra: outgoing.extra.as_ref().map(ToString::to_string),
    }
}

fn content(content: &Content, mentions: &[(String, Option<(u32, u32)>)]) -> model::Content {
    match content {
        Content::Text { text, format } => model::Content::Text(model::Text {
            body: text.clone(),
            format: format.clone(),
            mentions: mentions_of(mentions),
        }),
        Content::Media { media, caption } => model::Content::Media(model::Media {
            attachments: media.iter().map(attachment).collect(),
            caption: caption.as_ref().map(|caption| model::Text {
                body: caption.text.clone(),
                format: caption.format.clone(),
                mentions: mentions_of(mentions),
            }),
        }),
        Content::Contacts { contacts } => model::Content::Contacts(
            contacts
                .iter()
                .map(|card| model::ContactCard {
                    name: card.name.clone(),
                    phones: labelled(&card.phones),
                    emails: labelled(&card.emails),
                    organization: card.organization.clone(),
                    title: card.title.clone(),
                })
                .collect(),
        ),
    }
}

fn mentions_of(mentions: &[(String, Option<(u32, u32)>)]) -> Vec<model::Mention> {
    mentions
        .iter()
        .map(|(contact, span)| model::Mention {
            contact: contact.clone(),
            span: span.map(|(offset, length)| model::Span { offset, length }),
        })
        .collect()
}

/// What came by address is in the media store by now.
fn attachment(medium: &Medium) -> model::Attachment {
    model::Attachment {
        kind: medium.kind.as_str().to_owned(),
        blob: match &medium.source {
            MediumSource::Blob(id) => Some(id.to_string()),
            MediumSource::Url(_) => None,
        },
        reference: None,
        mime: medium.mime.clone(),
        filename: medium.filename.clone(),
        size: medium.size,
        duration_ms: None,
        width: None,
        height: None,
        extra: None,
    }
}

fn labelled(values: &[(String, Option<String>)]) -> Vec<model::Labelled> {
    values
        .iter()
        .map(|(value, kind)| model::Labelled {
            value: value.clone(),
            kind: kind.clone(),
        })
        .collect()
}
