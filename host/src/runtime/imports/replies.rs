//! `replies`: answers to what clients asked. Those that belong to calls which this host does not
//! make yet are accepted and left unheard, like any answer to a request that it does not know.

use super::size;
use crate::domain::media::BlobId;
use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use crate::runtime::turn::Reply;
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
            Reply::Media { request, blob } => request.len() + blob.as_str().len(),
        })?;
        turn.effects.replies.push(reply);
        Ok(())
    }

    /// An answer to a call that this host does not make.
    fn unheard(&mut self, call: &'static str) -> Result<()> {
        self.asks(call)?;
        tracing::debug!(
            call,
            "a provider answered a call that this host does not make"
        );
        Ok(())
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
        let message = convert::sent(message);
        if message.messages.is_empty() {
            return crate::runtime::limits::breach("`replies.sent` names at least one message id");
        }
        self.reply("replies.sent", Reply::Sent { request, message })
    }
    fn created(&mut self, _: String, _: String) -> Result<()> {
        self.unheard("replies.created")
    }
    fn with_conversation(&mut self, _: String, _: model::Conversation) -> Result<()> {
        self.unheard("replies.with-conversation")
    }
    fn with_conversations(&mut self, _: String, _: replies::ConversationPage) -> Result<()> {
        self.unheard("replies.with-conversations")
    }
    fn with_members(&mut self, _: String, _: replies::MemberPage) -> Result<()> {
        self.unheard("replies.with-members")
    }
    fn with_contact(&mut self, _: String, _: Option<model::Contact>) -> Result<()> {
        self.unheard("replies.with-contact")
    }
    fn with_contacts(&mut self, _: String, _: replies::ContactPage) -> Result<()> {
        self.unheard("replies.with-contacts")
    }
    fn with_messages(&mut self, _: String, _: replies::MessagePage) -> Result<()> {
        self.unheard("replies.with-messages")
    }
    fn with_labels(&mut self, _: String, _: replies::LabelPage) -> Result<()> {
        self.unheard("replies.with-labels")
    }
    fn with_invitation(&mut self, _: String, _: replies::Invitation) -> Result<()> {
        self.unheard("replies.with-invitation")
    }
    fn with_join_requests(&mut self, _: String, _: Vec<replies::JoinRequest>) -> Result<()> {
        self.unheard("replies.with-join-requests")
    }
    fn with_media(&mut self, request: String, blob: String) -> Result<()> {
        let blob = BlobId::from_text(blob);
        self.reply("replies.with-media", Reply::Media { request, blob })
    }
    fn with_profile(&mut self, _: String, _: model::Identity) -> Result<()> {
        self.unheard("replies.with-profile")
    }
    fn with_value(&mut self, _: String, _: String) -> Result<()> {
        self.unheard("replies.with-value")
    }
}
