//! The host functions, answered from a [`World`] and into a [`Turn`].

use super::rules;
use super::turn::{Reply, SignInStep, Turn};
use super::world::{Blob, Connection, World};
use crate::native;
use crate::types::Error;
use crate::{
    account, blobs, connections, crypto, events, http, kv, log, model, replies, secrets,
    sign_in_steps, timers, turn,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the guest may do in the call that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mode {
    #[default]
    Turn,
    Describe,
    Suspend,
}

#[derive(Default)]
pub struct State {
    pub world: World,
    pub turn: Turn,
    pub mode: Mode,
    /// What `turn.random` counts up from, so that a test gives the same each time.
    pub random: u8,
}

#[derive(Default)]
pub struct Host(Mutex<State>);

impl Host {
    pub fn state(&self) -> MutexGuard<'_, State> {
        // A panic in a turn is a fault of the provider; the stage puts its world back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a function that asks for something.
    fn asks(&self, call: &str) -> MutexGuard<'_, State> {
        let state = self.reads(call);
        if state.mode == Mode::Suspend {
            rules::breach(format!(
                "`snapshot` called `{call}`: it must change nothing"
            ));
        }
        state
    }

    /// For a function that only reads.
    fn reads(&self, call: &str) -> MutexGuard<'_, State> {
        let state = self.state();
        if state.mode == Mode::Describe {
            rules::breach(format!("`describe` called `{call}`: it must be pure"));
        }
        state
    }

    fn reply(&self, call: &str, request: &str, reply: Reply) {
        let mut state = self.asks(call);
        state.turn.replies.push((request.to_owned(), reply));
    }
}

impl native::Host for Host {}

impl turn::Host for Host {
    fn now(&self) -> u64 {
        self.reads("turn.now").world.now
    }

    fn random(&self, length: u32) -> Vec<u8> {
        rules::random(length);
        let mut state = self.reads("turn.random");
        let mut next = || {
            state.random = state.random.wrapping_add(1);
            state.random
        };
        (0..length).map(|_| next()).collect()
    }

    fn subject(&self, key: &str) {
        self.asks("turn.subject").turn.subject = Some(key.to_owned());
    }
}

impl log::Host for Host {
    fn write(&self, level: log::Level, message: &str, fields: &[log::Field]) {
        let mut line = message.to_owned();
        for field in fields {
            line += &format!(" {}={}", field.key, field.value);
        }
        self.state().turn.log.push((level, line));
    }
}

impl account::Host for Host {
    fn set_link(&self, link: account::Link, reason: Option<&Error>) {
        self.asks("account.set-link").turn.link = Some((link, reason.cloned()));
    }

    fn set_identity(&self, identity: &model::Identity) {
        self.asks("account.set-identity").turn.identity = Some(identity.clone());
    }

    fn signed_out(&self, reason: &Error) {
        self.asks("account.signed-out").turn.signed_out = Some(reason.clone());
    }
}

impl events::Host for Host {
    fn emit(&self, emission: &events::Emission) {
        rules::emission(emission);
        self.asks("events.emit").turn.events.push(emission.clone());
    }
}

impl replies::Host for Host {
    fn deferred(&self, request: &str) {
        self.reply("replies.deferred", request, Reply::Deferred);
    }
    fn dispatched(&self, request: &str) {
        self.reply("replies.dispatched", request, Reply::Dispatched);
    }
    fn done(&self, request: &str) {
        self.reply("replies.done", request, Reply::Done);
    }
    fn failed(&self, request: &str, failure: &replies::Failure) {
        self.reply("replies.failed", request, Reply::Failed(failure.clone()));
    }
    fn sent(&self, request: &str, message: &replies::SentMessage) {
        self.reply("replies.sent", request, Reply::Sent(message.clone()));
    }
    fn created(&self, request: &str, id: &str) {
        self.reply("replies.created", request, Reply::Created(id.to_owned()));
    }
    fn with_conversation(&self, request: &str, it: &model::Conversation) {
        self.reply(
            "replies.with-conversation",
            request,
            Reply::Conversation(it.clone()),
        );
    }
    fn with_conversations(&self, request: &str, page: &replies::ConversationPage) {
        self.reply(
            "replies.with-conversations",
            request,
            Reply::Conversations(page.clone()),
        );
    }
    fn with_members(&self, request: &str, page: &replies::MemberPage) {
        self.reply(
            "replies.with-members",
            request,
            Reply::Members(page.clone()),
        );
    }
    fn with_contact(&self, request: &str, contact: Option<&model::Contact>) {
        self.reply(
            "replies.with-contact",
            request,
            Reply::Contact(contact.cloned()),
        );
    }
    fn with_contacts(&self, request: &str, page: &replies::ContactPage) {
        self.reply(
            "replies.with-contacts",
            request,
            Reply::Contacts(page.clone()),
        );
    }
    fn with_messages(&self, request: &str, page: &replies::MessagePage) {
        self.reply(
            "replies.with-messages",
            request,
            Reply::Messages(page.clone()),
        );
    }
    fn with_labels(&self, request: &str, page: &replies::LabelPage) {
        self.reply("replies.with-labels", request, Reply::Labels(page.clone()));
    }
    fn with_invitation(&self, request: &str, it: &replies::Invitation) {
        self.reply(
            "replies.with-invitation",
            request,
            Reply::Invitation(it.clone()),
        );
    }
    fn with_join_requests(&self, request: &str, them: &[replies::JoinRequest]) {
        self.reply(
            "replies.with-join-requests",
            request,
            Reply::JoinRequests(them.to_vec()),
        );
    }
    fn with_media(&self, request: &str, blob: &str) {
        self.reply("replies.with-media", request, Reply::Media(blob.to_owned()));
    }
    fn with_profile(&self, request: &str, identity: &model::Identity) {
        self.reply(
            "replies.with-profile",
            request,
            Reply::Profile(identity.clone()),
        );
    }
    fn with_value(&self, request: &str, value: &str) {
        self.reply(
            "replies.with-value",
            request,
            Reply::Value(value.to_owned()),
        );
    }
}

impl sign_in_steps::Host for Host {
    fn show(&self, displays: &[sign_in_steps::Display]) {
        let step = SignInStep::Show(displays.to_vec());
        self.asks("sign-in-steps.show").turn.sign_in.push(step);
    }

    fn ask(&self, questions: &[sign_in_steps::Question], problem: Option<&Error>) {
        let step = SignInStep::Ask {
            questions: questions.to_vec(),
            problem: problem.cloned(),
        };
        self.asks("sign-in-steps.ask").turn.sign_in.push(step);
    }

    fn succeeded(&self, identity: &model::Identity) {
        let step = SignInStep::Succeeded(Box::new(identity.clone()));
        self.asks("sign-in-steps.succeeded").turn.sign_in.push(step);
    }

    fn failed(&self, error: &Error) {
        let step = SignInStep::Failed(error.clone());
        self.asks("sign-in-steps.failed").turn.sign_in.push(step);
    }
}

impl kv::Host for Host {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.reads("kv.get").world.kv.get(key).cloned()
    }

    fn put(&self, key: &str, value: &[u8]) {
        rules::key(key);
        rules::value(value);
        let mut state = self.asks("kv.put");
        state.world.kv.insert(key.to_owned(), value.to_vec());
    }

    fn remove(&self, key: &str) {
        self.asks("kv.remove").world.kv.remove(key);
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: u32) -> kv::Page {
        let limit = limit.clamp(1, 256) as usize;
        let state = self.reads("kv.scan");
        let mut entries: Vec<_> = state
            .world
            .kv
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
            .take(limit + 1)
            .map(|(key, value)| kv::Entry {
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        let more = entries.len() > limit;
        entries.truncate(limit);
        kv::Page { entries, more }
    }
}

impl timers::Host for Host {
    fn set(&self, name: &str, spec: &timers::Spec) {
        rules::label(name);
        rules::context(&spec.context);
        let mut state = self.asks("timers.set");
        state.world.timers.insert(name.to_owned(), spec.clone());
    }

    fn cancel(&self, name: &str) {
        self.asks("timers.cancel").world.timers.remove(name);
    }
}

impl http::Host for Host {
    fn submit(&self, name: &str, request: &crate::http_types::Request) {
        rules::label(name);
        rules::context(&request.context);
        let mut state = self.asks("http.submit");
        state
            .world
            .requests
            .insert(name.to_owned(), request.clone());
        state.turn.requests.push((name.to_owned(), request.clone()));
    }

    fn cancel(&self, name: &str) {
        self.asks("http.cancel").world.requests.remove(name);
    }
}

impl connections::Host for Host {
    fn ensure(&self, name: &str, spec: &connections::Spec) -> connections::State {
        rules::label(name);
        rules::spec(spec);
        let mut state = self.asks("connections.ensure");
        if let Some(there) = state.world.connections.get(name) {
            if there.spec == *spec {
                return match there.open {
                    true => connections::State::Open,
                    false => connections::State::Connecting,
                };
            }
            state.turn.closes.push(name.to_owned());
        }
        let connection = Connection {
            spec: spec.clone(),
            open: false,
        };
        state.world.connections.insert(name.to_owned(), connection);
        state.turn.opens.push((name.to_owned(), spec.clone()));
        connections::State::Connecting
    }

    fn send(&self, name: &str, frame: &crate::types::Frame) {
        let mut state = self.asks("connections.send");
        if state.world.connections.contains_key(name) {
            state.turn.frames.push((name.to_owned(), frame.clone()));
        }
    }

    fn start_tls(&self, name: &str, _server_name: &str) {
        let mut state = self.asks("connections.start-tls");
        if let Some(connection) = state.world.connections.get_mut(name) {
            connection.open = false;
        }
    }

    fn close(&self, name: &str) {
        let mut state = self.asks("connections.close");
        if state.world.connections.remove(name).is_some() {
            state.turn.closes.push(name.to_owned());
        }
    }
}

fn keyed(hash: &str, key: &[u8], data: &[u8]) -> Result<Vec<u8>, Error> {
    fn of<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Result<Vec<u8>, Error> {
        let mut mac = <M as KeyInit>::new_from_slice(key)
            .map_err(|_| Error::invalid("the secret is no key"))?;
        mac.update(data);
        Ok(mac.finalize().into_bytes().to_vec())
    }
    match hash {
        "sha256" => of::<Hmac<Sha256>>(key, data),
        "sha512" => of::<Hmac<Sha512>>(key, data),
        other => Err(Error::unsupported(format!("the stage has no `{other}`"))),
    }
}

impl secrets::Host for Host {
    fn exists(&self, name: &str) -> bool {
        self.reads("secrets.exists")
            .world
            .secrets
            .contains_key(name)
    }

    fn put(&self, name: &str, value: &[u8]) {
        let mut state = self.asks("secrets.put");
        state.world.secrets.insert(name.to_owned(), value.to_vec());
    }

    fn remove(&self, name: &str) {
        self.asks("secrets.remove").world.secrets.remove(name);
    }

    fn hmac(&self, name: &str, hash: &str, data: &[u8]) -> Result<Vec<u8>, Error> {
        let state = self.reads("secrets.hmac");
        match state.world.secrets.get(name) {
            Some(key) => keyed(hash, key, data),
            None => Err(Error::not_found(format!("there is no secret `{name}`"))),
        }
    }

    fn digest(&self, hash: &str, parts: &[secrets::Part]) -> Result<Vec<u8>, Error> {
        if hash != "sha256" {
            return Err(Error::unsupported(format!("the stage has no `{hash}`")));
        }
        let state = self.reads("secrets.digest");
        let mut digest = Sha256::new();
        for part in parts {
            match part {
                secrets::Part::Bytes(bytes) => digest.update(bytes),
                secrets::Part::Secret(name) => match state.world.secrets.get(name) {
                    Some(value) => digest.update(value),
                    None => return Err(Error::not_found(format!("there is no secret `{name}`"))),
                },
            }
        }
        Ok(digest.finalize().to_vec())
    }

    fn reveal(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self
            .reads("secrets.reveal")
            .world
            .secrets
            .get(name)
            .cloned())
    }
}

impl crypto::Host for Host {
    fn pbkdf2(&self, name: &str, _: &str, _: &[u8], _: &[u8], _: u32, _: u32) {
        rules::label(name);
        self.asks("crypto.pbkdf2").world.jobs.push(name.to_owned());
    }

    fn mod_pow(&self, name: &str, _: &[u8], _: &[u8], _: &[u8]) {
        rules::label(name);
        self.asks("crypto.mod-pow").world.jobs.push(name.to_owned());
    }
}

impl blobs::Host for Host {
    fn stat(&self, blob: &str) -> Result<blobs::Info, Error> {
        let state = self.reads("blobs.stat");
        let found = state.world.blobs.get(blob);
        found
            .map(|it| blobs::Info {
                size: it.bytes.len() as u64,
                mime: it.mime.clone(),
                filename: it.filename.clone(),
            })
            .ok_or_else(|| Error::not_found("there is no such blob"))
    }

    fn submit_read(&self, name: &str, blob: &str, offset: u64, length: u32) {
        rules::label(name);
        rules::blob_part(length as usize);
        let mut state = self.asks("blobs.submit-read");
        let range = (blob.to_owned(), offset, length);
        state.world.reads.insert(name.to_owned(), range);
    }

    fn public_url(&self, blob: &str, _: u32) -> Result<String, Error> {
        drop(self.reads("blobs.public-url"));
        Ok(format!("https://anyport.invalid/media/{blob}"))
    }

    fn create(&self, name: &str, mime: Option<&str>, filename: Option<&str>) {
        rules::label(name);
        let blob = Blob {
            bytes: Vec::new(),
            mime: mime.map(str::to_owned),
            filename: filename.map(str::to_owned),
        };
        self.asks("blobs.create")
            .world
            .making
            .insert(name.to_owned(), blob);
    }

    fn append(&self, name: &str, bytes: &[u8]) {
        rules::blob_part(bytes.len());
        let mut state = self.asks("blobs.append");
        match state.world.making.get_mut(name) {
            Some(blob) => blob.bytes.extend(bytes),
            None => rules::breach(format!("no blob is in the making under `{name}`")),
        }
    }

    fn seal(&self, name: &str) -> Result<String, Error> {
        let mut state = self.asks("blobs.seal");
        let Some(blob) = state.world.making.remove(name) else {
            return Err(Error::not_found(
                "no blob is in the making under this label",
            ));
        };
        state.world.made += 1;
        let id = format!("blob_{}", state.world.made);
        state.world.blobs.insert(id.clone(), blob);
        Ok(id)
    }

    fn discard(&self, name: &str) {
        self.asks("blobs.discard").world.making.remove(name);
    }
}
