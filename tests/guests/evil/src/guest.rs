//! The well-behaved part: lines in, lines out, counted in kv.

use std::cell::RefCell;

use anyport_sdk::account::Link;
use anyport_sdk::connections::{Framing, Spec};
use anyport_sdk::events::{Emission, Event};
use anyport_sdk::model::{Content, Custom, Identity, Message};
use anyport_sdk::replies::SentMessage;
use anyport_sdk::types::{Error, Frame};
use anyport_sdk::{account, connections, events, kv, replies, secrets, sign_in_steps, turn};
use serde::Deserialize;

use crate::commands::{self, Outcome};
use crate::web;

anyport_sdk::provider! {
    world: "anyport:evil/evil",
    path: ["../../../wit", "wit"],
    provider: Provider,
}
pub use bindings::exports::anyport::provider as exported;
pub(crate) use exports::{conversation_actions, conversations};
use exports::{ingress, lifecycle, media, messaging, reactor, sign_in};

pub const MAIN: &str = "main";
const LINES: &str = "lines";
const SIGNED_IN: &str = "signed-in";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    pub server: String,
    pub port: u16,
    /// `start` returns an error.
    pub refuse_start: bool,
    /// `start` traps.
    pub trap_in_start: bool,
    /// `start` claims to keep a connection that does not exist.
    pub keeps_foreign: bool,
    /// Keeps no connection after a fault.
    pub keeps_nothing: bool,
    /// `suspend` calls kv.put.
    pub suspend_changes: bool,
    /// `suspend` returns 1 MiB.
    pub suspend_big: bool,
    /// `suspend` returns an error.
    pub refuse_suspend: bool,
    /// Every instance traps in its so-manieth call after `start`; 0: never.
    pub trap_on_call: u32,
}

struct Instance {
    config: Config,
    skip: Vec<String>,
    calls: u32,
    /// It began with an open connection and without a snapshot.
    after_fault: bool,
}

thread_local! {
    static INSTANCE: RefCell<Option<Instance>> = const { RefCell::new(None) };
}

/// What commands may want to know of the instance.
#[derive(Clone, Copy)]
pub struct Situation {
    pub after_fault: bool,
}

pub fn enter() -> (Situation, Config, Vec<String>) {
    INSTANCE.with_borrow_mut(|instance| {
        let instance = instance.as_mut().expect("start comes first");
        instance.calls += 1;
        if instance.calls == instance.config.trap_on_call {
            commands::trap();
        }
        let situation = Situation {
            after_fault: instance.after_fault,
        };
        (situation, instance.config.clone(), instance.skip.clone())
    })
}

fn connect(config: &Config) -> connections::State {
    account::set_link(Link::Connecting, None);
    connections::ensure(MAIN, &Spec::tcp(&config.server, config.port, Framing::Line))
}

fn lines() -> u64 {
    let bytes = kv::get(LINES).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

pub struct Provider;

impl lifecycle::Guest for Provider {
    fn describe() -> lifecycle::Descriptor {
        if cfg!(feature = "describe-impure") {
            kv::put("described", b"1");
        }
        lifecycle::Descriptor {
            title: "Evil".to_owned(),
            features: [
                ("send.text", None),
                ("send.image", None),
                ("send.document", None),
                ("conversations.list", Some(r#"{"max-items":2}"#)),
                ("conversations.get", None),
                ("conversations.read", None),
                ("conversations.mute", Some(r#"{"max-seconds":60}"#)),
            ]
            .map(|(name, limits)| lifecycle::Feature {
                name: name.to_owned(),
                limits: limits.map(str::to_owned),
            })
            .to_vec(),
            sign_in_methods: vec![lifecycle::SignInMethod {
                name: "password".to_owned(),
                title: "Any password".to_owned(),
                inputs: Some(
                    r#"{"type":"object","properties":{"password":{"type":"string"}}}"#.to_owned(),
                ),
            }],
            config_schema: r#"{"type":"object","properties":{
                "token":{"type":"string","x-anyport-secret":"token"},
                "app_secret":{"type":"string","x-anyport-secret":"app-secret"}}}"#
                .to_owned(),
            state_version: 1,
            reads_state_versions: vec![1],
            extra: None,
        }
    }

    fn start(context: lifecycle::StartContext) -> Result<lifecycle::Started, Error> {
        let config: Config = serde_json::from_str(&context.config)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if config.refuse_start {
            return Err(Error::internal("refused to start, as configured"));
        }
        if config.trap_in_start {
            commands::trap();
        }
        let open = context.open.iter().any(|name| name == MAIN);
        let after_fault = open && context.resume.is_none();
        let mut keeps = Vec::new();
        if open && !(config.keeps_nothing && after_fault) {
            keeps.push(MAIN.to_owned());
        } else if kv::get(SIGNED_IN).is_some() {
            connect(&config);
        }
        if config.keeps_foreign {
            keeps.push("never-opened".to_owned());
        }
        INSTANCE.set(Some(Instance {
            config,
            skip: context.skip,
            calls: 0,
            after_fault,
        }));
        Ok(lifecycle::Started { keeps })
    }

    fn suspend() -> Result<lifecycle::Snapshot, Error> {
        let (_, config, _) = enter();
        if config.suspend_changes {
            kv::put("suspended", b"1");
        }
        if config.refuse_suspend {
            return Err(Error::internal("refused to suspend, as configured"));
        }
        let length = if config.suspend_big { 1024 * 1024 } else { 1 };
        Ok(lifecycle::Snapshot {
            state_version: 1,
            bytes: vec![0; length],
        })
    }
}

impl reactor::Guest for Provider {
    fn on_wake(wake: reactor::Wake) -> Result<(), Error> {
        let (situation, config, skip) = enter();
        match wake {
            reactor::Wake::Opened(_) => account::set_link(Link::Online, None),
            reactor::Wake::Frame(received) => {
                let number = lines() + 1;
                kv::put(LINES, &number.to_be_bytes());
                let key = format!("line-{number}");
                turn::subject(&key);
                let text = String::from_utf8_lossy(received.frame.as_bytes()).into_owned();
                if skip.contains(&key) {
                    let value = serde_json::json!({ "subject": key }).to_string();
                    let skipped = Event::Custom(Custom {
                        name: "line.skipped".to_owned(),
                        value,
                    });
                    events::emit(&Emission::new(key, turn::now(), skipped));
                    return Ok(());
                }
                commands::run(&text, situation)?;
                let said = Message::new(&key, "lines", "server", turn::now(), Content::plain(text));
                events::emit(&Emission::of_message(key, said));
            }
            reactor::Wake::Closed(closed) => account::set_link(Link::Offline, Some(&closed.reason)),
            reactor::Wake::Timer(fired) => {
                let context = String::from_utf8_lossy(&fired.context).into_owned();
                if !crate::media::fired(&context) {
                    commands::run(&context, situation)?;
                }
            }
            reactor::Wake::Blob(range) => {
                if let Ok(bytes) = range.outcome {
                    crate::media::piece(&range.name, &bytes);
                }
            }
            reactor::Wake::Http(answered) => {
                commands::run(&String::from_utf8_lossy(&answered.context), situation)?;
                web::answered(&answered);
            }
            reactor::Wake::Reconnect => {
                connections::close(MAIN);
                connect(&config);
            }
            _ => {}
        }
        Ok(())
    }
}

impl ingress::Guest for Provider {
    fn on_request(request: ingress::Request) -> Result<ingress::Response, Error> {
        let (situation, _, _) = enter();
        commands::run(&String::from_utf8_lossy(&request.body), situation)?;
        Ok(web::called(&request))
    }
}

impl sign_in::Guest for Provider {
    fn begin(request: String, _method: String, answers: Vec<sign_in::Answer>) -> Result<(), Error> {
        let (_, config, _) = enter();
        let password = answers.iter().find(|answer| answer.name == "password");
        secrets::put(
            "password",
            password.map_or(b"none", |answer| answer.value.as_slice()),
        );
        kv::put(SIGNED_IN, b"1");
        let identity = Identity::new("evil");
        account::set_identity(&identity);
        sign_in_steps::succeeded(&identity);
        connect(&config);
        replies::done(&request);
        Ok(())
    }

    fn submit(request: String, _answers: Vec<sign_in::Answer>) -> Result<(), Error> {
        enter();
        replies::done(&request);
        Ok(())
    }

    fn cancel(request: String) -> Result<(), Error> {
        enter();
        replies::done(&request);
        Ok(())
    }

    fn sign_out(request: String) -> Result<(), Error> {
        enter();
        connections::close(MAIN);
        kv::remove(SIGNED_IN);
        account::signed_out(&Error::unauthenticated("signed out"));
        replies::done(&request);
        Ok(())
    }
}

impl messaging::Guest for Provider {
    fn send(request: String, message: messaging::Outgoing) -> Result<(), Error> {
        let (situation, _, _) = enter();
        let text = match message.content {
            Content::Text(text) => text,
            Content::Media(files) => {
                crate::media::send(&request, &files);
                return Ok(());
            }
            _ => {
                replies::failed(
                    &request,
                    &Error::unsupported("only text and files").not_done(),
                );
                return Ok(());
            }
        };
        if commands::run(&text.body, situation)? == Outcome::Silent {
            return Ok(());
        }
        connections::send(MAIN, &Frame::Binary(text.body.into_bytes()));
        replies::sent(
            &request,
            &SentMessage::new(format!("sent-{request}"), turn::now()),
        );
        Ok(())
    }
}

impl media::Guest for Provider {
    fn fetch(request: String, reference: String) -> Result<(), Error> {
        enter();
        crate::media::fetch(&request, &reference);
        Ok(())
    }
}
