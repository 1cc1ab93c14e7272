//! `replies`: answers to what clients asked. One to a request that the host does not know, or that
//! is answered already, is left unheard; one of the wrong kind breaks a rule.

use super::size;
use crate::domain::command::{self, Answer, Expects};
use crate::domain::media::BlobId;
use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use crate::runtime::limits::breach;
use crate::runtime::normalize::answers;
use crate::runtime::turn::{AccountFacts, Reply};
use anyport_contract::anyport::provider::{model, replies};
use wasmtime::Result;

impl GuestState {
    fn reply(&mut self, call: &'static str, reply: Reply) -> Result<()> {
        let turn = self.asks(call)?;
        turn.spend(match &reply {
            Reply::Deferred { request }
            | Reply::Dispatched { request }
            | Reply::Done { request } => request.len(),
            Reply::Failed {
                request, failure, ..
            } => request.len() + size::failure(failure),
            Reply::Sent { request, message } => request.len() + size::sent(message),
            // Weighed before it is made.
            Reply::Answered { .. } => 0,
            Reply::Media { request, blob } => request.len() + blob.as_str().len(),
        })?;
        turn.effects.replies.push(reply);
        Ok(())
    }

    /// An answer to a command. `size`: of what is in it.
    fn answer(
        &mut self,
        given: Expects,
        request: String,
        size: usize,
        make: impl FnOnce(&AccountFacts) -> std::result::Result<Answer, String>,
    ) -> Result<()> {
        let turn = self.asks(given.as_str())?;
        fits(given, &request)?;
        turn.spend(request.len() + size)?;
        match make(&turn.facts) {
            Ok(answer) => {
                let reply = Reply::Answered { request, answer };
                turn.effects.replies.push(reply);
                Ok(())
            }
            Err(rule) => breach(format!("`{}`: {rule}", given.as_str())),
        }
    }
}

impl replies::Host for GuestState {
    fn deferred(&mut self, request: String) -> Result<()> {
        self.reply("replies.deferred", Reply::Deferred { request })
    }
    fn dispatched(&mut self, request: String) -> Result<()> {
        self.reply("replies.dispatched", Reply::Dispatched { request })
    }
    fn done(&mut self, request: String) -> Result<()> {
        fits(Expects::Done, &request)?;
        self.reply("replies.done", Reply::Done { request })
    }
    fn failed(&mut self, request: String, failure: replies::Failure) -> Result<()> {
        let certainty = convert::certainty(failure.certainty);
        let failure = convert::failure(failure.error);
        self.reply(
            "replies.failed",
            Reply::Failed {
                request,
                failure,
                certainty,
            },
        )
    }
    fn sent(&mut self, request: String, message: replies::SentMessage) -> Result<()> {
        fits(Expects::Sent, &request)?;
        let message = convert::sent(message);
        if message.messages.is_empty() {
            return breach("`replies.sent` names at least one message id");
        }
        self.reply("replies.sent", Reply::Sent { request, message })
    }
    fn created(&mut self, request: String, id: String) -> Result<()> {
        self.answer(Expects::Created, request, id.len(), |_| {
            answers::created(id).map(Answer::Created)
        })
    }
    fn with_conversation(&mut self, request: String, it: model::Conversation) -> Result<()> {
        let size = size::conversation(&it);
        self.answer(Expects::Conversation, request, size, |_| {
            let conversation = answers::conversation(it)?;
            Ok(Answer::Conversation(Box::new(conversation)))
        })
    }
    fn with_conversations(&mut self, request: String, it: replies::ConversationPage) -> Result<()> {
        let size = size::all(&it.items, size::conversation);
        self.answer(Expects::Conversations, request, size, |_| {
            answers::page(it.items, it.next, answers::conversation).map(Answer::Conversations)
        })
    }
    fn with_members(&mut self, request: String, it: replies::MemberPage) -> Result<()> {
        let size = size::all(&it.items, size::member);
        self.answer(Expects::Members, request, size, |_| {
            answers::page(it.items, it.next, answers::member).map(Answer::Members)
        })
    }
    fn with_contact(&mut self, request: String, it: Option<model::Contact>) -> Result<()> {
        let size = it.as_ref().map_or(0, size::contact);
        self.answer(Expects::Contact, request, size, |_| {
            let contact = it.map(answers::contact).transpose()?;
            Ok(Answer::Contact(contact.map(Box::new)))
        })
    }
    fn with_contacts(&mut self, request: String, it: replies::ContactPage) -> Result<()> {
        let size = size::all(&it.items, size::contact);
        self.answer(Expects::Contacts, request, size, |_| {
            answers::page(it.items, it.next, answers::contact).map(Answer::Contacts)
        })
    }
    fn with_messages(&mut self, request: String, it: replies::MessagePage) -> Result<()> {
        let size = size::all(&it.items, size::message);
        self.answer(Expects::Messages, request, size, |facts| {
            let tokens = &*facts.reply_tokens;
            let one = |message| answers::message(&message, &facts.id, tokens);
            answers::page(it.items, it.next, one).map(Answer::Messages)
        })
    }
    fn with_labels(&mut self, request: String, it: replies::LabelPage) -> Result<()> {
        let size = size::all(&it.items, |label| label.id.len() + label.name.len());
        self.answer(Expects::Labels, request, size, |_| {
            answers::page(it.items, it.next, answers::label).map(Answer::Labels)
        })
    }
    fn with_invitation(&mut self, request: String, it: replies::Invitation) -> Result<()> {
        let size = it.url.len() + it.code.len();
        self.answer(Expects::Invitation, request, size, |_| {
            answers::invitation(it).map(Answer::Invitation)
        })
    }
    fn with_join_requests(&mut self, request: String, it: Vec<replies::JoinRequest>) -> Result<()> {
        let size = size::all(&it, |asked| size::contact(&asked.contact));
        self.answer(Expects::JoinRequests, request, size, |_| {
            answers::join_requests(it).map(Answer::JoinRequests)
        })
    }
    fn with_media(&mut self, request: String, blob: String) -> Result<()> {
        fits(Expects::Media, &request)?;
        let blob = BlobId::from_text(blob);
        self.reply("replies.with-media", Reply::Media { request, blob })
    }
    fn with_profile(&mut self, request: String, it: model::Identity) -> Result<()> {
        let size = size::identity(&it);
        self.answer(Expects::Profile, request, size, |_| {
            answers::profile(it).map(Answer::Profile)
        })
    }
    fn with_value(&mut self, request: String, json: String) -> Result<()> {
        self.answer(Expects::ValueOrDone, request, json.len(), |_| {
            answers::value(&json).map(Answer::Value)
        })
    }
}

/// Each kind of request has its own answer; another one is the provider's mistake.
fn fits(given: Expects, request: &str) -> Result<()> {
    match command::expected(request) {
        Some(expects) if !expects.allows(given) => breach(format!(
            "it answered a request with `{}` that is answered by `{}`",
            given.as_str(),
            expects.as_str()
        )),
        _ => Ok(()),
    }
}
