//! A trait for each interface that a provider may export beyond what every one does. A function
//! that the channel has no use for need not be written: the host calls only what `describe` names
//! as a feature, and the rest answers `unsupported`.
//!
//! Every function gets the request's id and answers it by `replies.*`, now or in a later turn. An
//! `Err` answers it as failed, and says that the channel has done nothing; where that is not
//! known, answer `replies::failed` with `error.maybe_done()` instead.

use crate::driver::{Component, command, started};
use crate::ingress::{Request, Response};
use crate::model::{MessageRef, Text};
use crate::provider::{Provider, Result};
use crate::sign_in::Answer;
use crate::types::{Error, Page};
use crate::{account, groups, messaging, profile, replies};

/// Signing in. Without it nobody can use an account: its first instance starts when somebody
/// begins to sign in, and nothing is sent or taken in before `sign_in_steps::succeeded`. Where the
/// configuration holds the token, `begin` asks the channel who we are.
pub trait SignIn: Provider {
    /// `method`: the name of a sign-in method of `describe`. Answered by `replies::done` when what
    /// follows from it shows in `sign_in_steps`, in this turn or a later one.
    fn begin(&mut self, request: String, method: String, answers: Vec<Answer>) -> Result;

    /// The answers to `sign-in-steps.ask`.
    fn submit(&mut self, _request: String, _answers: Vec<Answer>) -> Result {
        Err(Error::conflict("this sign-in asks for nothing"))
    }

    /// Takes back what the channel already granted. Unless written, there is nothing to.
    fn cancel(&mut self, request: String) -> Result {
        replies::done(&request);
        Ok(())
    }

    /// Ends the session at the channel. Unless written, it only ends here.
    fn sign_out(&mut self, request: String) -> Result {
        account::signed_out(&Error::unauthenticated("signed out"));
        replies::done(&request);
        Ok(())
    }
}

impl<C: Component<Provider: SignIn>> crate::sign_in::Guest for C {
    fn begin(request: String, method: String, answers: Vec<Answer>) -> Result {
        started::<C, _>(|it| {
            command(it, request, |it, request| {
                it.begin(request, method, answers)
            })
        })
    }

    fn submit(request: String, answers: Vec<Answer>) -> Result {
        started::<C, _>(|it| command(it, request, |it, request| it.submit(request, answers)))
    }

    fn cancel(request: String) -> Result {
        started::<C, _>(|it| command(it, request, |it, request| it.cancel(request)))
    }

    fn sign_out(request: String) -> Result {
        started::<C, _>(|it| command(it, request, |it, request| it.sign_out(request)))
    }
}

/// The channel calls us.
pub trait Ingress: Provider {
    /// The answer leaves after the commit. An `Err` fails the turn and is answered with 503, so
    /// that the channel calls again.
    fn on_request(&mut self, request: Request) -> Result<Response>;
}

impl<C: Component<Provider: Ingress>> crate::ingress::Guest for C {
    fn on_request(request: Request) -> Result<Response> {
        started::<C, _>(|it| it.on_request(request))
    }
}

/// Sending.
pub trait Messaging: Provider {
    /// Answered by `replies.sent`.
    fn send(&mut self, request: String, message: messaging::Outgoing) -> Result;
}

impl<C: Component<Provider: Messaging>> messaging::Guest for C {
    fn send(request: String, message: messaging::Outgoing) -> Result {
        started::<C, _>(|it| command(it, request, |it, request| it.send(request, message)))
    }
}

macro_rules! interface {
    (
        $(#[$about:meta])*
        $interface:ident in $module:ident {
            $($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*);)*
        }
    ) => {
        $(#[$about])*
        pub trait $interface: Provider {
            $($(#[$doc])* fn $name(&mut self, _request: String $(, $argument: $kind)*) -> Result {
                $(let _ = $argument;)*
                Err(Error::unsupported(concat!(
                    "the provider has no ", stringify!($module), ".", stringify!($name)
                )))
            })*
        }

        impl<C: Component<Provider: $interface>> crate::$module::Guest for C {
            $(fn $name(request: String $(, $argument: $kind)*) -> Result {
                started::<C, _>(|it| {
                    command(it, request, |it, request| it.$name(request $(, $argument)*))
                })
            })*
        }
    };
}

interface! {
    /// Changing what was said. Answered by `replies.done`, unless noted.
    MessageActions in message_actions {
        /// The text, or the caption of media.
        fn edit(target: MessageRef, text: Text);
        fn revoke(target: MessageRef, for_everyone: bool);
        /// No emoji: take the reaction back.
        fn react(target: MessageRef, emoji: Option<String>);
        /// `seconds`: how long, where the channel wants to know.
        fn pin(target: MessageRef, pinned: bool, seconds: Option<u32>);
        /// Answered by `replies.sent`.
        fn forward(target: MessageRef, to: String);
    }
}

interface! {
    /// Reading the chat list.
    Conversations in conversations {
        /// Answered by `replies.with-conversations`.
        fn list_all(page: Page);
        /// Answered by `replies.with-conversation`.
        fn get(id: String);
        /// Answered by `replies.with-members`.
        fn list_members(id: String, page: Page);
        /// The conversation with these people, made if need be. Answered by
        /// `replies.with-conversation`.
        fn open_with(contacts: Vec<String>);
    }
}

interface! {
    /// Acting on the chat list. Answered by `replies.done`.
    ConversationActions in conversation_actions {
        /// Up to and with this message; none: all of it.
        fn mark_read(id: String, up_to: Option<MessageRef>);
        fn mark_unread(id: String);
        /// `until`: none for good.
        fn mute(id: String, muted: bool, until: Option<u64>);
        fn pin(id: String, pinned: bool);
        fn archive(id: String, archived: bool);
        fn remove(id: String);
        /// `kind`: `typing`, `recording`, `uploading`.
        fn set_activity(id: String, kind: String, active: bool);
    }
}

interface! {
    /// The labels that people put on conversations. Answered by `replies.done`, unless noted.
    ConversationLabels in conversation_labels {
        /// Answered by `replies.with-labels`.
        fn list_all(page: Page);
        /// Without an id: create, answered by `replies.created`.
        fn upsert(id: Option<String>, name: String);
        fn remove(id: String);
        fn assign(id: String, conversations: Vec<String>, assigned: bool);
    }
}

interface! {
    /// People. Answered by `replies.done`, unless noted.
    Contacts in contacts {
        /// Answered by `replies.with-contacts`.
        fn list_all(page: Page);
        /// Answered by `replies.with-contact`.
        fn get(id: String);
        /// By phone, username or e-mail. Answered by `replies.with-contact`.
        fn resolve(address: String);
        /// Answered by `replies.with-contacts`.
        fn list_blocked(page: Page);
        fn block(id: String, blocked: bool);
        /// The private note; empty clears it.
        fn set_note(id: String, note: String);
    }
}

interface! {
    /// Groups. Answered by `replies.done`, unless noted.
    Groups in groups {
        /// Answered by `replies.with-conversations`.
        fn list_all(page: Page);
        /// Answered by `replies.with-conversation`.
        fn get(id: String);
        /// Answered by `replies.created`.
        fn create(name: String, members: Vec<String>);
        fn leave(id: String);
        /// `action`: `add`, `remove`, `promote`, `demote`.
        fn update_members(id: String, action: String, members: Vec<String>);
        fn update_info(id: String, info: groups::Info);
        /// Answered by `replies.with-join-requests`.
        fn list_join_requests(id: String);
        fn decide_join_requests(id: String, members: Vec<String>, approve: bool);
        fn set_join_approval(id: String, enabled: bool);
        /// Answered by `replies.with-invitation`.
        fn get_invitation(id: String);
    }
}

interface! {
    /// Messages that the channel still has, newest first.
    History in history {
        /// Answered by `replies.with-messages`.
        fn list_messages(id: String, page: Page);
    }
}

interface! {
    /// Media on demand.
    Media in media {
        /// An `attachment.reference`. Answered by `replies.with-media`, as a rule with the blob
        /// that a request with `to_blob` made; `not-found` when the channel has it no more.
        fn fetch(reference: String);
    }
}

interface! {
    /// The account's own profile. Answered by `replies.done`, unless noted.
    Profile in profile {
        /// Answered by `replies.with-profile`.
        fn get();
        fn update(change: profile::Change);
        fn set_presence(online: bool);
    }
}

interface! {
    /// What only this channel has.
    Commands in commands {
        /// `name`: of a feature `command.<name>`; `input`: JSON. Answered by `replies.with-value`
        /// or `replies.done`.
        fn run(name: String, input: String);
    }
}
