//! The contract's side: calls of the host become inputs of the session, and what the session
//! asks for becomes calls of the host. It must never decide anything about IRC.

use std::cell::RefCell;

use anyport_sdk::types::{Error, ErrorCode, Frame};
use anyport_sdk::{
    account, connections, events, kv, log, model, replies, secrets, sign_in_steps, timers, turn,
};

use crate::port::{Action, Input, Outgoing, Port, Reply, error};
use crate::session::{MAIN, Session, Start};
use crate::{config, send, state};

anyport_sdk::provider! {
    world: "anyport:irc/irc",
    path: ["../../wit", "wit"],
    provider: Provider,
}
use exports::{lifecycle, messaging, reactor, sign_in};

/// Tags and text of one line, with room to spare; what is longer is no IRC.
const MAX_FRAME_BYTES: u32 = 16_384;
const CONNECT_TIMEOUT_MS: u32 = 15_000;

struct Provider;

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

struct Host;

impl Port for Host {
    fn random(&mut self, length: u32) -> Vec<u8> {
        turn::random(length)
    }
    fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        kv::get(key)
    }
    fn put(&mut self, key: &str, value: Vec<u8>) {
        kv::put(key, &value);
    }
    fn remove(&mut self, key: &str) {
        kv::remove(key);
    }
    fn scan(&mut self, prefix: &str, after: Option<&str>) -> (Vec<(String, Vec<u8>)>, bool) {
        let page = kv::scan(prefix, after, 256);
        (
            page.entries
                .into_iter()
                .map(|entry| (entry.key, entry.value))
                .collect(),
            page.more,
        )
    }
    fn reveal(&mut self, secret: &str) -> Result<Option<Vec<u8>>, Error> {
        secrets::reveal(secret)
    }
    fn subject(&mut self, key: &str) {
        turn::subject(key);
    }
}

/// One turn of the session that `start` made.
fn take(input: Input) -> Result<(), Error> {
    SESSION.with_borrow_mut(|session| {
        let session = session.as_mut().ok_or_else(|| {
            error(
                ErrorCode::Internal,
                "the provider was called before it was started",
            )
        })?;
        perform(session.handle(input, turn::now(), &mut Host));
        Ok(())
    })
}

fn perform(actions: Vec<Action>) {
    for action in actions {
        match action {
            Action::Connect { host, port, tls } => {
                let address = connections::Address { host, port };
                let transport = if tls {
                    connections::Transport::Tls(address)
                } else {
                    connections::Transport::Tcp(address)
                };
                connections::ensure(
                    MAIN,
                    &connections::Spec {
                        transport,
                        framing: connections::Framing::Line,
                        max_frame_bytes: MAX_FRAME_BYTES,
                        ping_interval_ms: None,
                        connect_timeout_ms: Some(CONNECT_TIMEOUT_MS),
                    },
                );
            }
            Action::Line(line) => connections::send(MAIN, &Frame::Binary(line.into_bytes())),
            Action::Close => connections::close(MAIN),
            Action::SetTimer { label, at, context } => timers::set(
                label,
                &timers::Spec {
                    at,
                    durable: false,
                    context,
                },
            ),
            Action::CancelTimer(label) => timers::cancel(label),
            Action::Emit(emission) => events::emit(&emission),
            Action::Link(link, reason) => account::set_link(link, reason.as_ref()),
            Action::Identity(identity) => account::set_identity(&identity),
            Action::SignedOut(reason) => account::signed_out(&reason),
            Action::SignInSucceeded(identity) => sign_in_steps::succeeded(&identity),
            Action::SignInFailed(reason) => sign_in_steps::failed(&reason),
            Action::Log { level, message } => log::write(level, &message, &[]),
            Action::Reply { request, reply } => match reply {
                Reply::Deferred => replies::deferred(&request),
                Reply::Dispatched => replies::dispatched(&request),
                Reply::Done => replies::done(&request),
                Reply::Sent(message) => replies::sent(&request, &message),
                Reply::Failed(error, certainty) => {
                    replies::failed(&request, &replies::Failure { error, certainty })
                }
            },
        }
    }
}

impl lifecycle::Guest for Provider {
    fn describe() -> lifecycle::Descriptor {
        let limits =
            serde_json::json!({ "max-chars": send::MAX_CHARS, "max-lines": send::MAX_LINES });
        lifecycle::Descriptor {
            title: "IRC".to_owned(),
            features: vec![lifecycle::Feature {
                name: "send.text".to_owned(),
                limits: Some(limits.to_string()),
            }],
            sign_in_methods: vec![lifecycle::SignInMethod {
                name: "password".to_owned(),
                title: "Nick and passwords of the configuration".to_owned(),
                inputs: None,
            }],
            config_schema: config::schema().to_string(),
            state_version: state::SNAPSHOT_VERSION,
            reads_state_versions: vec![state::SNAPSHOT_VERSION],
            extra: None,
        }
    }

    fn start(context: lifecycle::StartContext) -> Result<lifecycle::Started, Error> {
        let start = Start {
            config: context.config,
            resume: context
                .resume
                .map(|snapshot| (snapshot.state_version, snapshot.bytes)),
            open: context.open.iter().any(|label| label == MAIN),
            skip: context.skip,
        };
        let (session, keeps, actions) = Session::start(&start, turn::now(), &mut Host);
        perform(actions);
        SESSION.set(Some(session));
        Ok(lifecycle::Started {
            keeps: if keeps {
                vec![MAIN.to_owned()]
            } else {
                Vec::new()
            },
        })
    }

    fn suspend() -> Result<lifecycle::Snapshot, Error> {
        let bytes = SESSION.with_borrow(|session| session.as_ref().map(Session::suspend));
        match bytes {
            Some(bytes) => Ok(lifecycle::Snapshot {
                state_version: state::SNAPSHOT_VERSION,
                bytes: bytes?,
            }),
            None => Err(error(
                ErrorCode::Internal,
                "the provider was called before it was started",
            )),
        }
    }
}

impl reactor::Guest for Provider {
    fn on_wake(wake: reactor::Wake) -> Result<(), Error> {
        take(match wake {
            reactor::Wake::Opened(opened) if opened.name == MAIN => Input::Opened,
            reactor::Wake::Frame(received) if received.name == MAIN => {
                Input::Frame(match received.frame {
                    Frame::Binary(bytes) => bytes,
                    Frame::Text(text) => text.into_bytes(),
                })
            }
            reactor::Wake::Closed(closed) if closed.name == MAIN => Input::Closed {
                reason: closed.reason,
                undelivered: closed.undelivered,
            },
            reactor::Wake::Timer(fired) => Input::Timer {
                label: fired.name,
                context: fired.context,
            },
            reactor::Wake::Reconnect => Input::Reconnect,
            reactor::Wake::Stopping => Input::Stopping,
            _ => return Ok(()),
        })
    }
}

impl sign_in::Guest for Provider {
    fn begin(request: String, method: String, _answers: Vec<sign_in::Answer>) -> Result<(), Error> {
        take(Input::Begin { request, method })
    }

    /// Nothing is ever asked.
    fn submit(request: String, _answers: Vec<sign_in::Answer>) -> Result<(), Error> {
        replies::failed(
            &request,
            &replies::Failure {
                error: error(ErrorCode::Conflict, "this sign-in asks for nothing"),
                certainty: replies::Certainty::NotDone,
            },
        );
        Ok(())
    }

    fn cancel(request: String) -> Result<(), Error> {
        take(Input::Cancel { request })
    }

    fn sign_out(request: String) -> Result<(), Error> {
        take(Input::SignOut { request })
    }
}

impl messaging::Guest for Provider {
    fn send(request: String, message: messaging::Outgoing) -> Result<(), Error> {
        let text = match message.content {
            model::Content::Text(text) => Some(text.body),
            _ => None,
        };
        let notice = message
            .extra
            .as_deref()
            .and_then(|extra| serde_json::from_str::<serde_json::Value>(extra).ok());
        let message = Outgoing {
            conversation: message.conversation,
            text,
            reply_to: message
                .quote
                .map(|_| message.reply_context.unwrap_or_default()),
            in_thread: message.thread.is_some(),
            notice: notice.is_some_and(|extra| extra["notice"] == serde_json::Value::Bool(true)),
        };
        take(Input::Send { request, message })
    }
}
