//! What effects weigh in the budget of output bytes: the texts in them, since these are what a
//! guest can make long.

use crate::domain::account::Profile;
use crate::domain::error::Failure;
use crate::domain::send::SentMessage;
use crate::domain::sign_in::{Display, Question};
use crate::runtime::port::{ConnectionSpec, Transport};

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
    RECORD + texts.into_iter().map(optional).sum::<usize>()
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
