//! What effects weigh in the budget of output bytes: the texts in them, since these are what a
//! guest can make long.

use crate::domain::account::Profile;
use crate::domain::error::Failure;
use crate::domain::send::SentMessage;
use crate::domain::sign_in::{Display, Question};
use crate::runtime::port::{ConnectionSpec, Transport};
use anyport_contract::anyport::provider::model;

/// A record without its texts.
const RECORD: usize = 64;

fn optional(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}

pub fn failure(failure: &Failure) -> usize {
    RECORD + failure.message.len() + optional(&failure.channel_code) + optional(&failure.detail)
}

pub fn profile(profile: &Profile) -> usize {
    let Profile {
        id,
        phone,
        username,
        display_name,
        first_name,
        last_name,
        bio,
        avatar,
    } = profile;
    let texts = [
        id,
        phone,
        username,
        display_name,
        first_name,
        last_name,
        bio,
    ];
    let avatar = avatar.iter().map(|it| {
        let texts = [&it.blob, &it.reference, &it.mime];
        RECORD + texts.into_iter().map(optional).sum::<usize>()
    });
    RECORD + texts.into_iter().map(optional).sum::<usize>() + avatar.sum::<usize>()
}

pub fn sent(message: &SentMessage) -> usize {
    let ids: usize = message.messages.iter().map(|id| RECORD + id.len()).sum();
    RECORD + ids + optional(&message.conversation) + optional(&message.reply_context)
}

pub fn display(display: &Display) -> usize {
    RECORD + display.kind.len() + display.value.len() + optional(&display.hint)
}

pub fn question(question: &Question) -> usize {
    let choices: usize = question
        .choices
        .iter()
        .map(|choice| RECORD + choice.len())
        .sum();
    RECORD
        + question.name.len()
        + question.kind.len()
        + question.title.len()
        + optional(&question.hint)
        + choices
}

pub fn connection(spec: &ConnectionSpec) -> usize {
    let (Transport::Tcp { host, .. } | Transport::Tls { host, .. }) = &spec.transport;
    RECORD + host.len()
}

/// Of the items of a list.
pub fn all<T>(items: &[T], one: impl Fn(&T) -> usize) -> usize {
    items.iter().map(|item| RECORD + one(item)).sum()
}

pub fn conversation(it: &model::Conversation) -> usize {
    let texts = [
        &it.title,
        &it.username,
        &it.description,
        &it.last_message_text,
        &it.extra,
    ];
    RECORD + it.id.len() + texts.into_iter().map(optional).sum::<usize>() + avatar(&it.avatar)
}

pub fn contact(it: &model::Contact) -> usize {
    let texts = [&it.display_name, &it.username, &it.phone, &it.extra];
    let aliases: usize = it.aliases.iter().map(|alias| RECORD + alias.len()).sum();
    let texts: usize = texts.into_iter().map(optional).sum();
    RECORD + it.id.len() + texts + aliases + avatar(&it.avatar)
}

pub fn member(it: &model::Member) -> usize {
    it.role.len() + contact(&it.contact)
}

pub fn identity(it: &model::Identity) -> usize {
    let texts = [
        &it.display_name,
        &it.first_name,
        &it.last_name,
        &it.username,
        &it.phone,
        &it.bio,
        &it.extra,
    ];
    RECORD + it.id.len() + texts.into_iter().map(optional).sum::<usize>() + avatar(&it.avatar)
}

/// Its text and what its channel adds; the rest is bounded by the number of messages.
pub fn message(it: &model::Message) -> usize {
    use model::Content;
    let text = |text: &model::Text| text.body.len() + RECORD * text.mentions.len();
    let content = match &it.content {
        Content::Text(it) => text(it),
        Content::Media(it) => {
            let attachments: usize = it.attachments.iter().map(attachment).sum();
            attachments + it.caption.as_ref().map_or(0, text)
        }
        Content::Location(it) => optional(&it.name) + optional(&it.address),
        Content::Contacts(cards) => cards.iter().map(card).sum(),
        Content::Interactive(it) => {
            let choices = it.sections.iter().flat_map(|section| &section.choices);
            let choices: usize = choices
                .map(|it| it.id.len() + it.title.len() + optional(&it.description))
                .sum();
            it.body.len() + choices
        }
        Content::Custom(it) => it.name.len() + it.value.len(),
    };
    RECORD + content + optional(&it.extra) + optional(&it.reply_context)
}

fn card(it: &model::ContactCard) -> usize {
    let values = it.phones.iter().chain(&it.emails);
    RECORD + it.name.len() + values.map(|one| RECORD + one.value.len()).sum::<usize>()
}

fn avatar(it: &Option<model::Attachment>) -> usize {
    it.as_ref().map_or(0, attachment)
}

fn attachment(it: &model::Attachment) -> usize {
    let texts = [&it.blob, &it.reference, &it.mime, &it.filename, &it.extra];
    RECORD + texts.into_iter().map(optional).sum::<usize>()
}
