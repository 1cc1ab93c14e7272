//! Requests on their way: asked under the host's own id, so that an answer needs no memory to find
//! its question. What is kept only tells whom to answer when the link is lost.

use std::collections::BTreeMap;

use anyport_sdk::replies::{self, ContactPage, ConversationPage, Invitation, MessagePage};
use anyport_sdk::types::Error;
use anyport_simulator::protocol::ClientFrame;
use anyport_simulator::request::{Answer, Ask};
use serde::{Deserialize, Serialize};
use simulator_mapping as mapping;

use crate::connection::say;
use crate::state::{Phase, State};

/// Requests that may wait for their answers. In a snapshot they take some 50 bytes each.
const MOST: usize = 500;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Requests {
    /// Whether they only read.
    asked: BTreeMap<String, bool>,
}

impl State {
    /// A request is not worth waiting for the link: the client is there and asks again.
    pub fn ask(&mut self, request: String, ask: Ask) -> Result<(), Error> {
        self.ask_now(request, ask);
        Ok(())
    }

    pub fn refuses_requests(&self) -> Option<Error> {
        match self.phase {
            Phase::Online if self.requests.asked.len() < MOST => None,
            Phase::Online => Some(Error::unavailable("too many requests wait for the channel")),
            Phase::Waiting | Phase::Connecting | Phase::Greeting => {
                Some(Error::unavailable("the link to the channel is down"))
            }
            Phase::SignedOut | Phase::SigningIn(_) | Phase::SigningOut { .. } => {
                Some(Error::unauthenticated("the account is not signed in"))
            }
        }
    }

    pub fn ask_now(&mut self, request: String, ask: Ask) {
        if let Some(error) = self.refuses_requests() {
            return replies::failed(&request, &error.not_done());
        }
        self.requests
            .asked
            .insert(request.clone(), ask.only_reads());
        say(&ClientFrame::Ask { id: request, ask });
    }
}

impl Requests {
    pub fn answered(&mut self, id: &str, answer: Answer) {
        self.asked.remove(id);
        match answer {
            Answer::Done {} => replies::done(id),
            Answer::Created(made) => replies::created(id, &made),
            Answer::Conversation(one) => {
                replies::with_conversation(id, &mapping::conversation(*one));
            }
            Answer::Conversations(pages) => {
                let (items, next) = mapping::page(pages, mapping::conversation);
                replies::with_conversations(id, &ConversationPage { items, next });
            }
            Answer::Members(pages) => replies::with_members(id, &mapping::member_page(pages)),
            Answer::Contact(one) => {
                let contact = one.map(|contact| mapping::contact(*contact));
                replies::with_contact(id, contact.as_ref());
            }
            Answer::Contacts(pages) => {
                let (items, next) = mapping::page(pages, mapping::contact);
                replies::with_contacts(id, &ContactPage { items, next });
            }
            Answer::Messages(pages) => {
                let (items, next) = mapping::page(pages, |said| mapping::message(said, 0));
                replies::with_messages(id, &MessagePage { items, next });
            }
            Answer::Labels(pages) => replies::with_labels(id, &mapping::label_page(pages)),
            Answer::Invitation { url, code } => {
                replies::with_invitation(id, &Invitation { url, code });
            }
            Answer::JoinRequests(applicants) => {
                replies::with_join_requests(id, &mapping::join_requests(applicants));
            }
            Answer::Profile(profile) => replies::with_profile(id, &mapping::identity(profile)),
            Answer::Value(json) => replies::with_value(id, &json),
        }
    }

    pub fn denied(&mut self, id: &str, error: Error) {
        self.asked.remove(id);
        replies::failed(id, &error.not_done());
    }

    /// Their answers are lost with the connection.
    pub fn link_lost(&mut self) {
        for (id, only_reads) in std::mem::take(&mut self.asked) {
            let lost = Error::unavailable("the connection closed before the channel answered");
            let failure = if only_reads {
                lost.not_done()
            } else {
                lost.maybe_done()
            };
            replies::failed(&id, &failure);
        }
    }
}
