//! The contract's host functions for a provider that is compiled for this machine: a host in the
//! same process answers them. For measuring and for tests of a provider's handlers; only with the
//! feature `native`, which no component is built with.

use std::sync::OnceLock;

macro_rules! interfaces {
    ($($interface:ident { $(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $answer:ty)?;)* })*) => {
        $(
            pub mod $interface {
                pub use crate::bindings::anyport::provider::$interface::*;

                /// Who answers this interface's functions.
                pub trait Host {
                    $(fn $name(&self, $($argument: $kind),*) $(-> $answer)?;)*
                }

                $(pub fn $name($($argument: $kind),*) $(-> $answer)? {
                    Host::$name(super::host(), $($argument),*)
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
        fn reveal(name: &str) -> Result<Option<Vec<u8>>, Error>;
    }
}

static HOST: OnceLock<Box<dyn Host>> = OnceLock::new();

/// Who answers from now on, once in a process.
pub fn answer_with(host: Box<dyn Host>) {
    let _ = HOST.set(host);
}

fn host() -> &'static dyn Host {
    HOST.get().expect("`answer_with` comes first").as_ref()
}
