//! Between the contract's generated types and the domain's. No decisions here.

use super::limits::breach;
use super::normalize::answers;
use super::port::http::{
    Bytes, HttpBody, HttpPart, HttpRequest, HttpResponse, PartBody, Place, Placement, ResponseBody,
};
use crate::domain::Timestamp;
use crate::domain::account::Profile;
use crate::domain::chat::PageOf;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::ingress::{IngressRequest, IngressResponse, MAX_BYTES};
use crate::domain::send::{Content, Medium, MediumSource, MessageRef, Outgoing, SentMessage};
use crate::domain::sign_in::{Answer, Display, Question};
use anyport_contract::anyport::provider::{
    account, http_types, model, replies, sign_in_steps, types,
};
use anyport_contract::exports::anyport::provider::{ingress, messaging, reactor, sign_in};

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
        // One that breaks a rule is left out.
        avatar: identity.avatar.and_then(|it| answers::avatar(it).ok()),
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

/// None: it is no message of its own.
pub fn outgoing(outgoing: &Outgoing) -> Option<messaging::Outgoing> {
    Some(messaging::Outgoing {
        conversation: outgoing.conversation.clone(),
        conversation_kind: outgoing.conversation_kind.clone(),
        content: content(&outgoing.content, &outgoing.mentions)?,
        quote: outgoing.quote.as_ref().map(|quote| model::Quote {
            message: quote.message.clone(),
            sender: quote.sender.clone(),
            text: None,
        }),
        reply_context: outgoing.reply_context.clone(),
        thread: None,
        silent: false,
        extra: outgoing.extra.as_ref().map(ToString::to_string),
    })
}

pub fn message_ref(target: &MessageRef) -> model::MessageRef {
    model::MessageRef {
        conversation: target.conversation.clone(),
        message: target.message.clone(),
        sender: target.sender.clone(),
        reply_context: target.reply_context.clone(),
    }
}

pub fn page(page: &PageOf) -> types::Page {
    types::Page {
        cursor: page.cursor.clone(),
        limit: page.limit,
    }
}

pub fn text(body: &str, format: &str, mentions: &[Mention]) -> model::Text {
    model::Text {
        body: body.to_owned(),
        format: format.to_owned(),
        mentions: mentions
            .iter()
            .map(|(contact, span)| model::Mention {
                contact: contact.clone(),
                span: span.map(|(offset, length)| model::Span { offset, length }),
            })
            .collect(),
    }
}

/// Who, and where in the text.
type Mention = (String, Option<(u32, u32)>);

fn content(content: &Content, mentions: &[Mention]) -> Option<model::Content> {
    Some(match content {
        Content::Text { text: body, format } => model::Content::Text(text(body, format, mentions)),
        Content::Media { media, caption } => model::Content::Media(model::Media {
            attachments: media.iter().map(attachment).collect(),
            caption: caption
                .as_ref()
                .map(|caption| text(&caption.text, &caption.format, mentions)),
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
        Content::Forward { .. } => return None,
    })
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

pub fn http_request(request: http_types::Request) -> HttpRequest {
    HttpRequest {
        method: request.method,
        url: request.url,
        headers: pairs(request.headers),
        secrets: request.secrets.into_iter().map(placement).collect(),
        body: match request.body {
            http_types::Body::Empty => HttpBody::Empty,
            http_types::Body::Bytes(bytes) => HttpBody::Bytes(Bytes(bytes)),
            http_types::Body::Blob(blob) => HttpBody::Blob(blob),
            http_types::Body::Multipart(parts) => {
                HttpBody::Multipart(parts.into_iter().map(part).collect())
            }
        },
        timeout_ms: request.timeout_ms,
        repeatable: request.repeatable,
        max_bytes: request.max_bytes,
        to_blob: request.to_blob,
        context: Bytes(request.context),
    }
}

fn placement(placement: http_types::Placement) -> Placement {
    Placement {
        secret: placement.secret,
        place: match placement.place {
            http_types::Place::Header(name) => Place::Header(name.to_ascii_lowercase()),
            http_types::Place::Query(name) => Place::Query(name),
            http_types::Place::PathSegment(number) => Place::PathSegment(number),
            http_types::Place::FormField(name) => Place::FormField(name),
            http_types::Place::JsonPointer(pointer) => Place::JsonPointer(pointer),
        },
        before: placement.before,
        after: placement.after,
    }
}

fn part(part: http_types::Part) -> HttpPart {
    HttpPart {
        name: part.name,
        filename: part.filename,
        mime: part.mime,
        body: match part.body {
            http_types::PartBody::Bytes(bytes) => PartBody::Bytes(Bytes(bytes)),
            http_types::PartBody::Blob(blob) => PartBody::Blob(blob),
        },
    }
}

pub fn http_response(response: &HttpResponse) -> reactor::Response {
    reactor::Response {
        status: response.status,
        headers: headers(&response.headers),
        body: match &response.body {
            ResponseBody::Bytes(bytes) => reactor::ResponseBody::Bytes(bytes.clone()),
            ResponseBody::Blob(blob) => reactor::ResponseBody::Blob(blob.clone()),
        },
    }
}

pub fn ingress_request(request: &IngressRequest) -> ingress::Request {
    ingress::Request {
        method: request.method.clone(),
        route: request.route.clone(),
        path: request.path.clone(),
        headers: headers(&request.headers),
        body: request.body.clone(),
    }
}

/// An answer that cannot be sent breaks a rule.
pub fn ingress_response(response: ingress::Response) -> wasmtime::Result<IngressResponse> {
    if !(200..=599).contains(&response.status) {
        return breach(format!(
            "an answer to the channel has a status of 200 to 599, not {}",
            response.status
        ));
    }
    if response.body.len() > MAX_BYTES as usize {
        return breach(format!(
            "an answer to the channel has at most {MAX_BYTES} bytes, this one has {}",
            response.body.len()
        ));
    }
    let headers = pairs(response.headers);
    let bad = headers.iter().find(|(name, value)| {
        http::HeaderName::try_from(name.as_str()).is_err()
            || http::HeaderValue::from_bytes(value.as_bytes()).is_err()
    });
    if let Some((name, _)) = bad {
        return breach(format!(
            "an answer to the channel has a header that is none: `{}`",
            name.escape_debug()
        ));
    }
    Ok(IngressResponse {
        status: response.status,
        headers,
        body: response.body,
    })
}

fn pairs(headers: Vec<types::Header>) -> Vec<(String, String)> {
    headers
        .into_iter()
        .map(|header| (header.name.to_ascii_lowercase(), header.value))
        .collect()
}

fn headers(pairs: &[(String, String)]) -> Vec<types::Header> {
    pairs
        .iter()
        .map(|(name, value)| types::Header {
            name: name.clone(),
            value: value.clone(),
        })
        .collect()
}
