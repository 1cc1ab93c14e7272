//! Sends: some on their way at a time, the others wait. Their media go up first, one after the other,
//! out of the host's store. The channel drops repeats of a request id, so one whose answer was lost is
//! simply sent again.

use std::collections::{BTreeMap, VecDeque};

use anyport_sdk::http_types::{Body, Request};
use anyport_sdk::model::Content;
use anyport_sdk::types::{Error, ErrorCode, Header};
use anyport_sdk::{http, replies, timers, turn};
use anyport_simulator::model::{self as channel, Attachment, Medium};
use anyport_simulator::protocol::{Accepted, Outgoing as Sending};
use anyport_simulator::webhook::REQUEST_ID_HEADER;
use serde::{Deserialize, Serialize};
use simulator_mapping::{content, quote, sent};

use crate::api::{self, Failed};
use crate::config::Config;
use crate::exports::messaging::Outgoing;
use crate::exports::reactor::Response;
use crate::state::{Phase, State};

/// The host has at most 64 requests of one account under way.
const MOST_AT_ONCE: usize = 24;
/// Bytes of messages kept in memory; with quotes escaped once more they fit into a snapshot.
const MOST_BYTES: usize = 64 * 1024;
const MOST_ATTEMPTS: u32 = 8;
const FIRST_PAUSE_MS: u64 = 250;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sends {
    /// In order: request ids.
    queued: VecDeque<String>,
    /// On their way, with the attempts made.
    under_way: BTreeMap<String, u32>,
    /// Both.
    messages: BTreeMap<String, Message>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    /// Without its token, which goes in a header. An attachment whose medium is up names it.
    sending: Sending,
    /// Blobs, one for each attachment.
    blobs: Vec<Option<String>>,
    /// Of its JSON.
    bytes: usize,
}

impl Message {
    /// The first attachment whose medium the channel does not have.
    fn missing(&mut self) -> Option<(&mut Attachment, &str)> {
        let channel::Content::Media(media) = &mut self.sending.content else {
            return None;
        };
        let blobs = self.blobs.iter().map(Option::as_deref);
        media
            .attachments
            .iter_mut()
            .zip(blobs)
            .find_map(|(attachment, blob)| {
                let blob = blob.filter(|_| attachment.reference.is_none())?;
                Some((attachment, blob))
            })
    }
}

impl Sends {
    fn bytes(&self) -> usize {
        self.messages.values().map(|message| message.bytes).sum()
    }

    fn forget(&mut self, id: &str) {
        self.under_way.remove(id);
        self.messages.remove(id);
    }
}

/// The host's name of the request and of the timer until it is made again.
fn label(id: &str) -> String {
    format!("send/{id}")
}

/// One for each attachment.
fn blobs(content: &Content) -> Vec<Option<String>> {
    let Content::Media(media) = content else {
        return Vec::new();
    };
    let attachments = media.attachments.iter();
    attachments.map(|one| one.blob.clone()).collect()
}

fn upload(config: &Config, attachment: &Attachment, blob: &str) -> Result<Request, Error> {
    let mime = attachment.mime.as_deref();
    let mime = mime.unwrap_or("application/octet-stream");
    Ok(Request {
        headers: vec![Header::new("content-type", mime)],
        body: Body::Blob(blob.to_owned()),
        timeout_ms: Some(api::MEDIA_TIMEOUT_MS),
        ..api::request(config, "POST", "media")?
    })
}

fn post(config: &Config, id: &str, sending: &Sending) -> Result<Request, Error> {
    let body = serde_json::to_vec(sending).map_err(|error| {
        Error::internal("the message cannot be written").with_detail(error.to_string())
    })?;
    Ok(Request {
        headers: vec![
            Header::new("content-type", "application/json"),
            Header::new(REQUEST_ID_HEADER, id),
        ],
        body: Body::Bytes(body),
        ..api::request(config, "POST", "messages")?
    })
}

impl State {
    pub fn send(&mut self, request: String, message: Outgoing) -> Result<(), Error> {
        if self.phase != Phase::SignedIn {
            let out = Error::unauthenticated("the account is not signed in");
            replies::failed(&request, &out.not_done());
            return Ok(());
        }
        if self.sends.messages.contains_key(&request) {
            // The host calls again after a fault; this instance has it still.
            if self.sends.queued.contains(&request) {
                replies::deferred(&request);
            }
            return Ok(());
        }
        let blobs = blobs(&message.content);
        // The request id goes in its header.
        let sending = Sending {
            token: String::new(),
            conversation: message.conversation,
            content: content(message.content),
            quote: quote(message.quote, message.reply_context),
            thread: message.thread,
            silent: message.silent,
        };
        let body = serde_json::to_string(&sending).map_err(|error| {
            Error::internal("the message cannot be written").with_detail(error.to_string())
        })?;
        let message = Message {
            sending,
            blobs,
            bytes: body.len(),
        };
        let waits = !self.sends.messages.is_empty();
        if waits && self.sends.bytes() + message.bytes > MOST_BYTES {
            let full = Error::unavailable("too many messages wait for the channel");
            replies::failed(&request, &full.not_done());
            return Ok(());
        }
        self.sends.messages.insert(request.clone(), message);
        if self.sends.under_way.len() < MOST_AT_ONCE {
            self.sends.under_way.insert(request.clone(), 0);
            self.submit(&request);
        } else {
            replies::deferred(&request);
            self.sends.queued.push_back(request);
        }
        Ok(())
    }

    fn submit(&mut self, id: &str) {
        let Some(message) = self.sends.messages.get_mut(id) else {
            // An instance that is gone had it, and what became of it is not known.
            let lost = Error::unavailable("the channel did not answer");
            return replies::failed(id, &lost.maybe_done());
        };
        let made = match message.missing() {
            Some((attachment, blob)) => upload(&self.config, attachment, blob),
            None => post(&self.config, id, &message.sending),
        };
        match made {
            Ok(request) => http::submit(
                &label(id),
                &Request {
                    context: id.as_bytes().to_vec(),
                    ..request
                },
            ),
            Err(error) => self.settle(id, Err(Failed::Refused(error))),
        }
    }

    pub fn send_answered(&mut self, context: &[u8], outcome: Result<Response, Error>) {
        let id = String::from_utf8_lossy(context).into_owned();
        let message = self.sends.messages.get_mut(&id);
        let Some((attachment, _)) = message.and_then(Message::missing) else {
            return self.settle(&id, api::read(outcome));
        };
        match api::read::<Medium>(outcome) {
            Ok(medium) => {
                attachment.reference = Some(medium.id);
                self.sends.under_way.insert(id.clone(), 0);
                self.submit(&id);
            }
            Err(failed) => self.settle(&id, Err(failed)),
        }
    }

    fn settle(&mut self, id: &str, outcome: Result<Accepted, Failed>) {
        match outcome {
            Ok(accepted) => {
                replies::sent(id, &sent(&accepted));
            }
            Err(Failed::Refused(error)) => {
                let signed_out = error.code == ErrorCode::Unauthenticated;
                replies::failed(id, &error.clone().not_done());
                if signed_out {
                    self.sends.forget(id);
                    return self.signed_out(&error);
                }
            }
            Err(Failed::Unclear(error)) => match self.sends.under_way.get_mut(id) {
                Some(attempts) if *attempts < MOST_ATTEMPTS => {
                    let at = turn::now() + (FIRST_PAUSE_MS << *attempts);
                    *attempts += 1;
                    let context = id.as_bytes().to_vec();
                    let spec = timers::Spec {
                        context,
                        ..timers::Spec::at(at)
                    };
                    return timers::set(&label(id), &spec);
                }
                // Of an instance that is gone, or tried often enough.
                _ => {
                    let message = self.sends.messages.get_mut(id);
                    let not_yet = message.is_some_and(|message| message.missing().is_some());
                    let failure = if not_yet {
                        error.not_done()
                    } else {
                        error.maybe_done()
                    };
                    replies::failed(id, &failure);
                }
            },
        }
        self.sends.forget(id);
        self.next();
    }

    pub fn send_again(&mut self, context: &[u8]) {
        self.submit(&String::from_utf8_lossy(context));
    }

    fn next(&mut self) {
        if self.sends.under_way.len() >= MOST_AT_ONCE {
            return;
        }
        if let Some(id) = self.sends.queued.pop_front() {
            self.sends.under_way.insert(id.clone(), 0);
            replies::dispatched(&id);
            self.submit(&id);
        }
    }

    pub fn fail_sends(&mut self, reason: &Error) {
        let sends = std::mem::take(&mut self.sends);
        for id in sends.queued {
            replies::failed(&id, &reason.clone().not_done());
        }
        for id in sends.under_way.into_keys() {
            http::cancel(&label(&id));
            timers::cancel(&label(&id));
            replies::failed(&id, &reason.clone().maybe_done());
        }
    }
}
