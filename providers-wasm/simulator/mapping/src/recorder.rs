//! A host that remembers what it is asked, one for each test's thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Once;

use anyport_sdk::http_types::Request;
use anyport_sdk::types::{Error, Frame};
use anyport_sdk::{events, model, native as sdk, replies, sign_in_steps};
use anyport_simulator::protocol::ClientFrame;

#[derive(Default)]
pub struct Effects {
    pub frames: Vec<ClientFrame>,
    /// What requests were answered with: the reply's name, the id, and what came with it.
    pub replies: Vec<(String, String, String)>,
    pub emissions: Vec<events::Emission>,
    pub timers: Vec<String>,
    /// With their labels.
    pub requests: Vec<(String, Request)>,
    pub links: Vec<sdk::account::Link>,
    pub kv: BTreeMap<String, Vec<u8>>,
    pub blobs: BTreeMap<String, Blob>,
    /// Reads that were asked for: label, blob, offset and length.
    pub reads: Vec<(String, String, u64, u32)>,
    /// Blobs in the making, by label.
    pub making: BTreeMap<String, Blob>,
    pub secrets: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blob {
    pub bytes: Vec<u8>,
    pub mime: Option<String>,
    pub filename: Option<String>,
}

thread_local! {
    static EFFECTS: RefCell<Effects> = RefCell::default();
}

/// From now on a fresh host answers on this thread.
pub fn fresh() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| sdk::answer_with(Box::new(Recorder)));
    EFFECTS.take();
}

pub fn look<T>(look: impl FnOnce(&mut Effects) -> T) -> T {
    EFFECTS.with_borrow_mut(look)
}

/// What was said since the last call.
pub fn frames() -> Vec<ClientFrame> {
    look(|effects| std::mem::take(&mut effects.frames))
}

/// What was answered since the last call.
pub fn replies() -> Vec<(String, String, String)> {
    look(|effects| std::mem::take(&mut effects.replies))
}

/// What was asked to be read since the last call.
pub fn reads() -> Vec<(String, String, u64, u32)> {
    look(|effects| std::mem::take(&mut effects.reads))
}

struct Recorder;

fn reply(name: &str, request: &str, with: String) {
    look(|effects| {
        effects
            .replies
            .push((name.to_owned(), request.to_owned(), with))
    });
}

impl sdk::Host for Recorder {}

impl sdk::blobs::Host for Recorder {
    fn stat(&self, blob: &str) -> Result<sdk::blobs::Info, Error> {
        look(|effects| match effects.blobs.get(blob) {
            Some(blob) => Ok(sdk::blobs::Info {
                size: blob.bytes.len() as u64,
                mime: blob.mime.clone(),
                filename: blob.filename.clone(),
            }),
            None => Err(Error::not_found("there is no such blob")),
        })
    }
    fn submit_read(&self, name: &str, blob: &str, offset: u64, length: u32) {
        let read = (name.to_owned(), blob.to_owned(), offset, length);
        look(|effects| effects.reads.push(read));
    }
    fn create(&self, name: &str, mime: Option<&str>, filename: Option<&str>) {
        let blob = Blob {
            bytes: Vec::new(),
            mime: mime.map(str::to_owned),
            filename: filename.map(str::to_owned),
        };
        look(|effects| effects.making.insert(name.to_owned(), blob));
    }
    fn append(&self, name: &str, bytes: &[u8]) {
        look(|effects| {
            let blob = effects.making.get_mut(name).expect("it is in the making");
            blob.bytes.extend(bytes);
        });
    }
    fn seal(&self, name: &str) -> Result<String, Error> {
        look(|effects| {
            let blob = effects.making.remove(name);
            let blob = blob.ok_or_else(|| Error::not_found("it is not in the making"))?;
            let id = format!("sealed-{}", effects.blobs.len());
            effects.blobs.insert(id.clone(), blob);
            Ok(id)
        })
    }
    fn discard(&self, name: &str) {
        look(|effects| effects.making.remove(name));
    }
}
impl sdk::crypto::Host for Recorder {}

impl sdk::turn::Host for Recorder {
    fn now(&self) -> u64 {
        1_700_000_000_000
    }
    fn random(&self, length: u32) -> Vec<u8> {
        vec![7; length as usize]
    }
    fn subject(&self, _: &str) {}
}

impl sdk::log::Host for Recorder {
    fn write(&self, _: sdk::log::Level, _: &str, _: &[sdk::log::Field]) {}
}

impl sdk::account::Host for Recorder {
    fn set_link(&self, link: sdk::account::Link, _: Option<&Error>) {
        look(|effects| effects.links.push(link));
    }
    fn set_identity(&self, _: &model::Identity) {}
    fn signed_out(&self, _: &Error) {}
}

impl sdk::events::Host for Recorder {
    fn emit(&self, emission: &events::Emission) {
        look(|effects| effects.emissions.push(emission.clone()));
    }
}

impl sdk::replies::Host for Recorder {
    fn deferred(&self, request: &str) {
        reply("deferred", request, String::new());
    }
    fn dispatched(&self, request: &str) {
        reply("dispatched", request, String::new());
    }
    fn done(&self, request: &str) {
        reply("done", request, String::new());
    }
    fn failed(&self, request: &str, failure: &replies::Failure) {
        // `ErrorCode::Forbidden Certainty::NotDone`, without the types.
        let with = format!("{:?} {:?}", failure.error.code, failure.certainty);
        let with = with.replace("ErrorCode::", "").replace("Certainty::", "");
        reply("failed", request, with);
    }
    fn sent(&self, request: &str, message: &replies::SentMessage) {
        reply("sent", request, message.messages.join(","));
    }
    fn created(&self, request: &str, id: &str) {
        reply("created", request, id.to_owned());
    }
    fn with_conversation(&self, request: &str, conversation: &model::Conversation) {
        reply("with-conversation", request, conversation.id.clone());
    }
    fn with_conversations(&self, request: &str, page: &replies::ConversationPage) {
        reply("with-conversations", request, format!("{:?}", page.next));
    }
    fn with_members(&self, request: &str, page: &replies::MemberPage) {
        reply("with-members", request, format!("{:?}", page.next));
    }
    fn with_contact(&self, request: &str, contact: Option<&model::Contact>) {
        let id = contact.map_or_else(String::new, |contact| contact.id.clone());
        reply("with-contact", request, id);
    }
    fn with_contacts(&self, request: &str, page: &replies::ContactPage) {
        reply("with-contacts", request, format!("{:?}", page.next));
    }
    fn with_messages(&self, request: &str, page: &replies::MessagePage) {
        reply("with-messages", request, format!("{:?}", page.next));
    }
    fn with_labels(&self, request: &str, page: &replies::LabelPage) {
        reply("with-labels", request, format!("{:?}", page.next));
    }
    fn with_invitation(&self, request: &str, invitation: &replies::Invitation) {
        reply("with-invitation", request, invitation.code.clone());
    }
    fn with_join_requests(&self, request: &str, asked: &[replies::JoinRequest]) {
        reply("with-join-requests", request, asked.len().to_string());
    }
    fn with_media(&self, request: &str, blob: &str) {
        reply("with-media", request, blob.to_owned());
    }
    fn with_profile(&self, request: &str, identity: &model::Identity) {
        reply("with-profile", request, identity.id.clone());
    }
    fn with_value(&self, request: &str, value: &str) {
        reply("with-value", request, value.to_owned());
    }
}

impl sdk::sign_in_steps::Host for Recorder {
    fn show(&self, _: &[sign_in_steps::Display]) {}
    fn ask(&self, _: &[sign_in_steps::Question], _: Option<&Error>) {}
    fn succeeded(&self, _: &model::Identity) {}
    fn failed(&self, _: &Error) {}
}

impl sdk::kv::Host for Recorder {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        look(|effects| effects.kv.get(key).cloned())
    }
    fn put(&self, key: &str, value: &[u8]) {
        look(|effects| effects.kv.insert(key.to_owned(), value.to_vec()));
    }
    fn remove(&self, key: &str) {
        look(|effects| effects.kv.remove(key));
    }
    fn scan(&self, _: &str, _: Option<&str>, _: u32) -> sdk::kv::Page {
        unreachable!("these providers scan nothing")
    }
}

impl sdk::timers::Host for Recorder {
    fn set(&self, name: &str, _: &sdk::timers::Spec) {
        look(|effects| effects.timers.push(name.to_owned()));
    }
    fn cancel(&self, name: &str) {
        look(|effects| effects.timers.retain(|timer| timer != name));
    }
}

impl sdk::http::Host for Recorder {
    fn submit(&self, name: &str, request: &Request) {
        look(|effects| effects.requests.push((name.to_owned(), request.clone())));
    }
    fn cancel(&self, name: &str) {
        look(|effects| effects.requests.retain(|(other, _)| other != name));
    }
}

impl sdk::connections::Host for Recorder {
    fn ensure(&self, _: &str, _: &sdk::connections::Spec) -> sdk::connections::State {
        sdk::connections::State::Connecting
    }
    fn send(&self, _: &str, frame: &Frame) {
        let frame = serde_json::from_slice(frame.as_bytes()).expect("it is a frame");
        look(|effects| effects.frames.push(frame));
    }
    fn start_tls(&self, _: &str, _: &str) {}
    fn close(&self, _: &str) {}
}

impl sdk::secrets::Host for Recorder {
    fn exists(&self, name: &str) -> bool {
        look(|effects| effects.secrets.contains_key(name))
    }
    fn put(&self, name: &str, value: &[u8]) {
        look(|effects| effects.secrets.insert(name.to_owned(), value.to_vec()));
    }
    fn remove(&self, name: &str) {
        look(|effects| effects.secrets.remove(name));
    }
    fn reveal(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(look(|effects| effects.secrets.get(name).cloned()))
    }
}
