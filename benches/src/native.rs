//! The simulator's provider, compiled for this machine: the native contender. The source of the
//! handler is the same as in the component; a turn's effects go through the same functions of the
//! host. Values cross as Rust values; what a guest would have copied into its memory is cloned.

use anyport::domain::error::{Failure, FailureCode};
use anyport::domain::send::{Content, Outgoing};
use anyport::domain::sign_in::Answer;
use anyport::runtime::instance::StartCall;
use anyport::runtime::native::{NativeGuest, host};
use anyport::runtime::{Call, Cause};
use anyport_contract::anyport::provider as wit;
use anyport_sdk::{events, model, native as sdk, types};
use simulator_provider::{State, lifecycle, messaging, reactor, signing_in};

/// From now on the simulator's accounts run natively in this process.
pub fn use_native() {
    sdk::answer_with(Box::new(Native));
    anyport::runtime::native::register("simulator", || Box::new(Simulator(None)));
}

struct Simulator(Option<State>);

impl NativeGuest for Simulator {
    fn call(&mut self, call: &Call) -> Result<Vec<String>, wit::types::Error> {
        self.turn(call).map_err(|error| to_host(&error))
    }
}

impl Simulator {
    fn turn(&mut self, call: &Call) -> Result<Vec<String>, types::Error> {
        use reactor::Wake;
        if let Call::Start(call) = call {
            let (state, keeps) = State::start(start(call))?;
            self.0 = Some(state);
            return Ok(keeps);
        }
        let Some(state) = &mut self.0 else {
            return Err(types::Error::internal("called before start"));
        };
        let wake = match call {
            Call::Send { request, outgoing } => {
                return state
                    .send(request.clone(), message(outgoing))
                    .map(|()| Vec::new());
            }
            Call::Command { .. }
            | Call::Http { .. }
            | Call::Ingress(_)
            | Call::Blob { .. }
            | Call::FetchMedia { .. } => {
                return Err(types::Error::unsupported("only text is measured"));
            }
            Call::SignInBegin {
                request,
                method,
                answers,
            } => {
                return state
                    .begin_sign_in(request.clone(), method, &given(answers))
                    .map(|()| Vec::new());
            }
            Call::SignInSubmit { request, answers } => {
                return state
                    .submit_answers(request.clone(), &given(answers))
                    .map(|()| Vec::new());
            }
            Call::SignInCancel { request } => {
                return state.cancel_sign_in(request).map(|()| Vec::new());
            }
            Call::SignOut { request } => {
                return state.sign_out(request.clone()).map(|()| Vec::new());
            }
            Call::Opened { label } => Wake::Opened(reactor::Opened {
                name: label.clone(),
                subprotocol: None,
                headers: Vec::new(),
            }),
            Call::Frame { label, bytes } => Wake::Frame(reactor::Received {
                name: label.clone(),
                frame: types::Frame::Binary(bytes.to_vec()),
            }),
            Call::Closed {
                label,
                code,
                reason,
                undelivered,
            } => Wake::Closed(reactor::Closed {
                name: label.clone(),
                code: *code,
                reason: failure(reason),
                undelivered: *undelivered,
            }),
            Call::Timer { label, context } => Wake::Timer(reactor::Fired {
                name: label.clone(),
                context: context.clone(),
            }),
            Call::Reconnect => Wake::Reconnect,
            Call::Stopping | Call::Start(_) => Wake::Stopping,
        };
        state.wake(wake).map(|()| Vec::new())
    }
}

fn start(call: &StartCall) -> lifecycle::StartContext {
    lifecycle::StartContext {
        cause: match call.cause {
            Cause::First => lifecycle::Cause::First,
            Cause::Restart => lifecycle::Cause::Restart,
            Cause::Reconfigured => lifecycle::Cause::Reconfigured,
            Cause::Wake => lifecycle::Cause::Wake,
            Cause::Reload => lifecycle::Cause::Reload,
            Cause::Rollback => lifecycle::Cause::Rollback,
        },
        config: call.config.to_string(),
        resume: call
            .resume
            .as_ref()
            .map(|(state_version, bytes)| lifecycle::Snapshot {
                state_version: *state_version,
                bytes: bytes.clone(),
            }),
        open: call.open.clone(),
        skip: call.skip.clone(),
        extra: None,
    }
}

fn given(answers: &[Answer]) -> Vec<signing_in::Answer> {
    answers
        .iter()
        .map(|answer| signing_in::Answer {
            name: answer.name.clone(),
            value: answer.value.expose().to_vec(),
        })
        .collect()
}

/// Text alone is measured.
fn message(outgoing: &Outgoing) -> messaging::Outgoing {
    let content = match &outgoing.content {
        Content::Text { text, format } => model::Content::Text(model::Text {
            body: text.clone(),
            format: format.clone(),
            mentions: Vec::new(),
        }),
        Content::Contacts { .. } | Content::Forward { .. } | Content::Media { .. } => {
            model::Content::Contacts(Vec::new())
        }
    };
    messaging::Outgoing {
        conversation: outgoing.conversation.clone(),
        conversation_kind: outgoing.conversation_kind.clone(),
        content,
        quote: None,
        reply_context: outgoing.reply_context.clone(),
        thread: None,
        silent: false,
        extra: outgoing.extra.as_ref().map(ToString::to_string),
    }
}

fn failure(failure: &Failure) -> types::Error {
    let code = match failure.code {
        FailureCode::Denied => types::ErrorCode::Denied,
        FailureCode::Unauthenticated => types::ErrorCode::Unauthenticated,
        _ => types::ErrorCode::Unavailable,
    };
    types::Error::new(code, failure.message.clone())
}

/// From the types that the guest's side of the contract generates to those of the host's side.
fn to_host(error: &types::Error) -> wit::types::Error {
    use types::ErrorCode as From;
    use wit::types::ErrorCode as To;
    wit::types::Error {
        code: match error.code {
            From::Unauthenticated => To::Unauthenticated,
            From::Forbidden => To::Forbidden,
            From::NotFound => To::NotFound,
            From::Invalid => To::Invalid,
            From::Unsupported => To::Unsupported,
            From::RateLimited => To::RateLimited,
            From::Unavailable => To::Unavailable,
            From::Denied => To::Denied,
            From::QuotaExceeded => To::QuotaExceeded,
            From::Conflict => To::Conflict,
            From::Internal => To::Internal,
        },
        message: error.message.clone(),
        channel_code: error.channel_code.clone(),
        retry_after_ms: error.retry_after_ms,
        detail: error.detail.clone(),
    }
}

fn identity(identity: &model::Identity) -> wit::model::Identity {
    wit::model::Identity {
        id: identity.id.clone(),
        display_name: identity.display_name.clone(),
        first_name: identity.first_name.clone(),
        last_name: identity.last_name.clone(),
        username: identity.username.clone(),
        phone: identity.phone.clone(),
        avatar: None,
        bio: identity.bio.clone(),
        extra: identity.extra.clone(),
    }
}

/// The host's side, as the linker binds it for components.
struct Native;

impl sdk::Host for Native {}
impl sdk::blobs::Host for Native {}
impl sdk::crypto::Host for Native {}

impl sdk::turn::Host for Native {
    fn now(&self) -> u64 {
        host(wit::turn::Host::now)
    }
    fn random(&self, length: u32) -> Vec<u8> {
        host(|host| wit::turn::Host::random(host, length))
    }
    fn subject(&self, key: &str) {
        host(|host| wit::turn::Host::subject(host, key.to_owned()));
    }
}

impl sdk::log::Host for Native {
    fn write(&self, _: sdk::log::Level, message: &str, _: &[sdk::log::Field]) {
        host(|host| {
            wit::log::Host::write(host, wit::log::Level::Info, message.to_owned(), Vec::new())
        });
    }
}

impl sdk::account::Host for Native {
    fn set_link(&self, link: sdk::account::Link, reason: Option<&types::Error>) {
        use wit::account::Link;
        let link = match link {
            sdk::account::Link::Connecting => Link::Connecting,
            sdk::account::Link::Online => Link::Online,
            sdk::account::Link::Degraded => Link::Degraded,
            sdk::account::Link::Offline => Link::Offline,
        };
        host(|host| wit::account::Host::set_link(host, link, reason.map(to_host)));
    }
    fn set_identity(&self, who: &model::Identity) {
        host(|host| wit::account::Host::set_identity(host, identity(who)));
    }
    fn signed_out(&self, reason: &types::Error) {
        host(|host| wit::account::Host::signed_out(host, to_host(reason)));
    }
}

impl sdk::events::Host for Native {
    fn emit(&self, _: &events::Emission) {
        unimplemented_here("events.emit");
    }
}

/// Only what a send and a sign-in need is measured natively.
fn unimplemented_here(call: &str) {
    panic!("`{call}` is not measured natively");
}

impl sdk::replies::Host for Native {
    fn deferred(&self, request: &str) {
        host(|host| wit::replies::Host::deferred(host, request.to_owned()));
    }
    fn dispatched(&self, request: &str) {
        host(|host| wit::replies::Host::dispatched(host, request.to_owned()));
    }
    fn done(&self, request: &str) {
        host(|host| wit::replies::Host::done(host, request.to_owned()));
    }
    fn failed(&self, request: &str, failure: &sdk::replies::Failure) {
        use wit::replies::Certainty;
        let failure = wit::replies::Failure {
            error: to_host(&failure.error),
            certainty: match failure.certainty {
                sdk::replies::Certainty::NotDone => Certainty::NotDone,
                sdk::replies::Certainty::MaybeDone => Certainty::MaybeDone,
            },
        };
        host(|host| wit::replies::Host::failed(host, request.to_owned(), failure));
    }
    fn sent(&self, request: &str, message: &sdk::replies::SentMessage) {
        let message = wit::replies::SentMessage {
            messages: message.messages.clone(),
            conversation: message.conversation.clone(),
            sent_at: message.sent_at,
            reply_context: message.reply_context.clone(),
        };
        host(|host| wit::replies::Host::sent(host, request.to_owned(), message));
    }
    fn created(&self, _: &str, _: &str) {
        unimplemented_here("replies.created");
    }
    fn with_conversation(&self, _: &str, _: &model::Conversation) {
        unimplemented_here("replies.with-conversation");
    }
    fn with_conversations(&self, _: &str, _: &sdk::replies::ConversationPage) {
        unimplemented_here("replies.with-conversations");
    }
    fn with_members(&self, _: &str, _: &sdk::replies::MemberPage) {
        unimplemented_here("replies.with-members");
    }
    fn with_contact(&self, _: &str, _: Option<&model::Contact>) {
        unimplemented_here("replies.with-contact");
    }
    fn with_contacts(&self, _: &str, _: &sdk::replies::ContactPage) {
        unimplemented_here("replies.with-contacts");
    }
    fn with_messages(&self, _: &str, _: &sdk::replies::MessagePage) {
        unimplemented_here("replies.with-messages");
    }
    fn with_labels(&self, _: &str, _: &sdk::replies::LabelPage) {
        unimplemented_here("replies.with-labels");
    }
    fn with_invitation(&self, _: &str, _: &sdk::replies::Invitation) {
        unimplemented_here("replies.with-invitation");
    }
    fn with_join_requests(&self, _: &str, _: &[sdk::replies::JoinRequest]) {
        unimplemented_here("replies.with-join-requests");
    }
    fn with_profile(&self, _: &str, _: &model::Identity) {
        unimplemented_here("replies.with-profile");
    }
    fn with_value(&self, _: &str, _: &str) {
        unimplemented_here("replies.with-value");
    }
}

impl sdk::sign_in_steps::Host for Native {
    fn show(&self, _: &[sdk::sign_in_steps::Display]) {
        unimplemented_here("sign-in-steps.show");
    }
    fn ask(&self, questions: &[sdk::sign_in_steps::Question], problem: Option<&types::Error>) {
        let questions = questions
            .iter()
            .map(|question| wit::sign_in_steps::Question {
                name: question.name.clone(),
                kind: question.kind.clone(),
                title: question.title.clone(),
                hint: question.hint.clone(),
                required: question.required,
                choices: question.choices.clone(),
            })
            .collect();
        let problem = problem.map(to_host);
        host(|host| wit::sign_in_steps::Host::ask(host, questions, problem));
    }
    fn succeeded(&self, who: &model::Identity) {
        host(|host| wit::sign_in_steps::Host::succeeded(host, identity(who)));
    }
    fn failed(&self, error: &types::Error) {
        host(|host| wit::sign_in_steps::Host::failed(host, to_host(error)));
    }
}

impl sdk::kv::Host for Native {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        host(|host| wit::kv::Host::get(host, key.to_owned()))
    }
    fn put(&self, key: &str, value: &[u8]) {
        host(|host| wit::kv::Host::put(host, key.to_owned(), value.to_vec()));
    }
    fn remove(&self, key: &str) {
        host(|host| wit::kv::Host::remove(host, key.to_owned()));
    }
    fn scan(&self, prefix: &str, after: Option<&str>, limit: u32) -> sdk::kv::Page {
        let page = host(|host| {
            wit::kv::Host::scan(host, prefix.to_owned(), after.map(str::to_owned), limit)
        });
        sdk::kv::Page {
            entries: page
                .entries
                .into_iter()
                .map(|entry| sdk::kv::Entry {
                    key: entry.key,
                    value: entry.value,
                })
                .collect(),
            more: page.more,
        }
    }
}

impl sdk::timers::Host for Native {
    fn set(&self, name: &str, spec: &sdk::timers::Spec) {
        let spec = wit::timers::Spec {
            at: spec.at,
            durable: spec.durable,
            context: spec.context.clone(),
        };
        host(|host| wit::timers::Host::set(host, name.to_owned(), spec));
    }
    fn cancel(&self, name: &str) {
        host(|host| wit::timers::Host::cancel(host, name.to_owned()));
    }
}

impl sdk::http::Host for Native {
    fn submit(&self, _: &str, _: &anyport_sdk::http_types::Request) {
        unimplemented_here("http.submit");
    }
    fn cancel(&self, _: &str) {
        unimplemented_here("http.cancel");
    }
}

impl sdk::connections::Host for Native {
    fn ensure(&self, name: &str, spec: &sdk::connections::Spec) -> sdk::connections::State {
        use sdk::connections as from;
        use wit::connections as to;
        let (from::Transport::Tcp(address), from::Framing::LengthPrefix(prefix)) =
            (&spec.transport, &spec.framing)
        else {
            panic!("the simulator speaks frames with a length over TCP");
        };
        let spec = to::Spec {
            transport: to::Transport::Tcp(to::Address {
                host: address.host.clone(),
                port: address.port,
            }),
            framing: to::Framing::LengthPrefix(to::LengthPrefix {
                width: prefix.width,
                big_endian: prefix.big_endian,
                adjust: prefix.adjust,
                strip: prefix.strip,
            }),
            max_frame_bytes: spec.max_frame_bytes,
            ping_interval_ms: spec.ping_interval_ms,
            connect_timeout_ms: spec.connect_timeout_ms,
        };
        match host(|host| to::Host::ensure(host, name.to_owned(), spec)) {
            to::State::Connecting => from::State::Connecting,
            to::State::Open => from::State::Open,
            to::State::Closed => from::State::Closed,
        }
    }
    fn send(&self, name: &str, frame: &types::Frame) {
        let frame = match frame {
            types::Frame::Text(text) => wit::types::Frame::Text(text.clone()),
            types::Frame::Binary(bytes) => wit::types::Frame::Binary(bytes.clone()),
        };
        host(|host| wit::connections::Host::send(host, name.to_owned(), frame));
    }
    fn start_tls(&self, _: &str, _: &str) {
        unimplemented_here("connections.start-tls");
    }
    fn close(&self, name: &str) {
        host(|host| wit::connections::Host::close(host, name.to_owned()));
    }
}

impl sdk::secrets::Host for Native {
    fn exists(&self, name: &str) -> bool {
        host(|host| wit::secrets::Host::exists(host, name.to_owned()))
    }
    fn put(&self, name: &str, value: &[u8]) {
        host(|host| wit::secrets::Host::put(host, name.to_owned(), value.to_vec()));
    }
    fn remove(&self, name: &str) {
        host(|host| wit::secrets::Host::remove(host, name.to_owned()));
    }
    fn reveal(&self, name: &str) -> Result<Option<Vec<u8>>, types::Error> {
        host(|host| wit::secrets::Host::reveal(host, name.to_owned()))
            .map_err(|error| types::Error::internal(error.message))
    }
}
