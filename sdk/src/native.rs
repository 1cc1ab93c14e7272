//! The contract's host functions for a provider that is compiled for this machine: a host in the
//! same process answers them. For measuring and for tests of a provider's handlers; only with the
//! feature `native`, which no component is built with.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

macro_rules! interfaces {
    ($($interface:ident { $(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $answer:ty)?;)* })*) => {
        $(
            pub mod $interface {
                pub use crate::bindings::anyport::provider::$interface::*;

                /// Who answers this interface's functions.
                pub trait Host {
                    $(fn $name(&self, $($argument: $kind),*) $(-> $answer)? {
                        $(let _ = $argument;)*
                        super::not_answered(stringify!($interface), stringify!($name))
                    })*
                }

                $(pub fn $name($($argument: $kind),*) $(-> $answer)? {
                    super::with(|host| Host::$name(host, $($argument),*))
                })*
            }
        )*

        /// All that a provider may ask.
        pub trait Host: Send + Sync $(+ $interface::Host)* {}
    };
}

interfaces! {
    turn {
        fn now() -> Timestamp;
        fn random(length: u32) -> Vec<u8>;
        fn subject(key: &str);
    }
    log {
        fn write(level: Level, message: &str, fields: &[Field]);
    }
    account {
        fn set_link(link: Link, reason: Option<&Error>);
        fn set_identity(identity: &Identity);
        fn signed_out(reason: &Error);
    }
    events {
        fn emit(emission: &Emission);
    }
    replies {
        fn deferred(request: &str);
        fn dispatched(request: &str);
        fn done(request: &str);
        fn failed(request: &str, failure: &Failure);
        fn sent(request: &str, message: &SentMessage);
        fn created(request: &str, id: &str);
        fn with_conversation(request: &str, conversation: &Conversation);
        fn with_conversations(request: &str, page: &ConversationPage);
        fn with_members(request: &str, page: &MemberPage);
        fn with_contact(request: &str, contact: Option<&Contact>);
        fn with_contacts(request: &str, page: &ContactPage);
        fn with_messages(request: &str, page: &MessagePage);
        fn with_labels(request: &str, page: &LabelPage);
        fn with_invitation(request: &str, invitation: &Invitation);
        fn with_join_requests(request: &str, join_requests: &[JoinRequest]);
        fn with_media(request: &str, blob: &str);
        fn with_profile(request: &str, identity: &Identity);
        fn with_value(request: &str, value: &str);
    }
    sign_in_steps {
        fn show(displays: &[Display]);
        fn ask(questions: &[Question], problem: Option<&Error>);
        fn succeeded(identity: &Identity);
        fn failed(error: &Error);
    }
    kv {
        fn get(key: &str) -> Option<Vec<u8>>;
        fn put(key: &str, value: &[u8]);
        fn remove(key: &str);
        fn scan(prefix: &str, after: Option<&str>, limit: u32) -> Page;
    }
    timers {
        fn set(name: &str, spec: &Spec);
        fn cancel(name: &str);
    }
    http {
        fn submit(name: &str, request: &Request);
        fn cancel(name: &str);
    }
    connections {
        fn ensure(name: &str, spec: &Spec) -> State;
        fn send(name: &str, frame: &Frame);
        fn start_tls(name: &str, server_name: &str);
        fn close(name: &str);
    }
    secrets {
        fn exists(name: &str) -> bool;
        fn put(name: &str, value: &[u8]);
        fn remove(name: &str);
        fn hmac(name: &str, hash: &str, data: &[u8]) -> Result<Vec<u8>, Error>;
        fn digest(hash: &str, parts: &[Part]) -> Result<Vec<u8>, Error>;
        fn sign(name: &str, algorithm: &str, data: &[u8]) -> Result<Vec<u8>, Error>;
        fn reveal(name: &str) -> Result<Option<Vec<u8>>, Error>;
    }
    crypto {
        fn pbkdf2(name: &str, hash: &str, password: &[u8], salt: &[u8], iterations: u32, length: u32);
        fn mod_pow(name: &str, base: &[u8], exponent: &[u8], modulus: &[u8]);
    }
    blobs {
        fn stat(blob: &str) -> Result<Info, Error>;
        fn submit_read(name: &str, blob: &str, offset: u64, length: u32);
        fn public_url(blob: &str, valid_ms: u32) -> Result<String, Error>;
        fn create(name: &str, mime: Option<&str>, filename: Option<&str>);
        fn append(name: &str, bytes: &[u8]);
        fn seal(name: &str) -> Result<String, Error>;
        fn discard(name: &str);
    }
}

static HOST: OnceLock<Box<dyn Host>> = OnceLock::new();

thread_local! {
    static HERE: RefCell<Option<Arc<dyn Host>>> = const { RefCell::new(None) };
}

/// Who answers from now on, once in a process.
pub fn answer_with(host: Box<dyn Host>) {
    let _ = HOST.set(host);
}

/// Who answers what is called on this thread until `run` returns.
pub fn answering<T>(host: Arc<dyn Host>, run: impl FnOnce() -> T) -> T {
    struct Before(Option<Arc<dyn Host>>);
    impl Drop for Before {
        fn drop(&mut self) {
            let before = self.0.take();
            HERE.with_borrow_mut(|here| *here = before);
        }
    }
    let _before = Before(HERE.with_borrow_mut(|here| here.replace(host)));
    run()
}

fn with<T>(call: impl FnOnce(&dyn Host) -> T) -> T {
    match HERE.with_borrow(Clone::clone) {
        Some(host) => call(host.as_ref()),
        None => call(
            HOST.get()
                .expect("a host function was called and no host is there: use `testkit::Stage`")
                .as_ref(),
        ),
    }
}

fn not_answered(interface: &str, function: &str) -> ! {
    panic!("this host does not answer `{interface}.{function}`")
}
