//! What a turn came to.

use crate::account::Link;
use crate::connections::Spec;
use crate::events::{Emission, Event};
use crate::http_types::Request;
use crate::log::Level;
use crate::model::{Contact, Conversation, Identity, Message};
use crate::replies::{
    ContactPage, ConversationPage, Failure, Invitation, JoinRequest, LabelPage, MemberPage,
    MessagePage, SentMessage,
};
use crate::sign_in_steps::{Display, Question};
use crate::types::{Error, Frame};

/// A turn that went well has its effects here, in the order in which they were asked for; one
/// that failed has none, but for `log` and `subject`.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Why it failed: the `Err` of an export, or what a panic or a broken rule said.
    pub fault: Option<String>,
    pub events: Vec<Emission>,
    /// Frames that leave, with the label of their connection.
    pub frames: Vec<(String, Frame)>,
    /// Connections that open with this turn.
    pub opens: Vec<(String, Spec)>,
    pub closes: Vec<String>,
    pub replies: Vec<(String, Reply)>,
    pub requests: Vec<(String, Request)>,
    pub sign_in: Vec<SignInStep>,
    pub link: Option<(Link, Option<Error>)>,
    pub identity: Option<Identity>,
    pub signed_out: Option<Error>,
    /// What this turn said it works on.
    pub subject: Option<String>,
    pub log: Vec<(Level, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Deferred,
    Dispatched,
    Done,
    Failed(Failure),
    Sent(SentMessage),
    Created(String),
    Conversation(Conversation),
    Conversations(ConversationPage),
    Members(MemberPage),
    Contact(Option<Contact>),
    Contacts(ContactPage),
    Messages(MessagePage),
    Labels(LabelPage),
    Invitation(Invitation),
    JoinRequests(Vec<JoinRequest>),
    Media(String),
    Profile(Identity),
    Value(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum SignInStep {
    Show(Vec<Display>),
    Ask {
        questions: Vec<Question>,
        problem: Option<Error>,
    },
    Succeeded(Box<Identity>),
    Failed(Error),
}

impl Turn {
    /// The same, if it went well.
    #[track_caller]
    pub fn ok(self) -> Self {
        match &self.fault {
            None => self,
            Some(fault) => panic!("the turn failed: {fault}; its log: {:?}", self.log),
        }
    }

    /// What it failed with.
    #[track_caller]
    pub fn fails(self) -> String {
        match self.fault {
            Some(fault) => fault,
            None => panic!("the turn went well: {self:?}"),
        }
    }

    /// Frames to a connection, as text.
    pub fn lines(&self, label: &str) -> Vec<String> {
        let to = self.frames.iter().filter(|(name, _)| name == label);
        to.map(|(_, frame)| String::from_utf8_lossy(frame.as_bytes()).into_owned())
            .collect()
    }

    /// What a request was answered, the last word.
    pub fn reply(&self, request: &str) -> Option<&Reply> {
        let mut to = self.replies.iter().filter(|(id, _)| id == request);
        to.next_back().map(|(_, reply)| reply)
    }

    /// Messages that were received.
    pub fn messages(&self) -> Vec<&Message> {
        let of = self
            .events
            .iter()
            .filter_map(|emission| match &emission.event {
                Event::MessageReceived(message) => Some(message),
                _ => None,
            });
        of.collect()
    }

    pub fn request(&self, label: &str) -> Option<&Request> {
        let mut of = self.requests.iter().filter(|(name, _)| name == label);
        of.next_back().map(|(_, request)| request)
    }
}
