//! What adapter authors use: a provider is a struct and a trait for each interface that it
//! exports.
//!
//! ```
//! use anyport_sdk::events::Emission;
//! use anyport_sdk::lifecycle::Descriptor;
//! use anyport_sdk::messaging::Outgoing;
//! use anyport_sdk::model::Message;
//! use anyport_sdk::replies::SentMessage;
//! use anyport_sdk::{Messaging, Provider, Result, Start, events, replies, turn};
//!
//! // In a crate of its own: anyport_sdk::manifest!("../provider.toml");
//! anyport_sdk::export!(Parrot: Messaging);
//!
//! struct Parrot;
//!
//! impl Provider for Parrot {
//!     type Config = serde_json::Value;
//!     type Snapshot = ();
//!
//!     fn describe() -> Descriptor {
//!         Descriptor::new("Parrot").feature("send.text")
//!     }
//!
//!     fn start(_start: &mut Start<Self>) -> Result<Self> {
//!         Ok(Self)
//!     }
//!
//!     fn snapshot(&self) -> Result {
//!         Ok(())
//!     }
//! }
//!
//! impl Messaging for Parrot {
//!     fn send(&mut self, request: String, message: Outgoing) -> Result {
//!         let now = turn::now();
//!         replies::sent(&request, &SentMessage::new(format!("said-{request}"), now));
//!         let heard = Message::new(
//!             format!("heard-{request}"), &message.conversation, "parrot", now, message.content,
//!         );
//!         events::emit(&Emission::of_message(request, heard));
//!         Ok(())
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! A client can use an account only once it is signed in, so a real provider exports `SignIn` as
//! well, also where the configuration has all that it takes.
//!
//! The modules of the contract stand at the root: what a provider asks of the host
//! (`anyport_sdk::events`, `anyport_sdk::kv`, …), and the types of what it exports
//! (`anyport_sdk::messaging`, `anyport_sdk::reactor`, …). This crate must never hide a host call
//! behind another name, but for [`stored`], which is `kv` by type.
//!
//! With the feature `testkit`, [`testkit::Stage`] runs a provider on the machine where it is
//! written.

mod constructors;
mod contexts;
mod description;
#[doc(hidden)]
pub mod driver;
mod errors;
mod export;
#[doc(hidden)]
pub mod exported;
mod interfaces;
pub mod logging;
#[cfg(feature = "native")]
pub mod native;
mod over_http;
mod provider;
pub mod stored;
#[cfg(feature = "testkit")]
pub mod testkit;

mod bindings {
    #![allow(clippy::all, missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../wit",
        world: "anyport:provider/host",
        generate_all,
        additional_derives: [Clone, PartialEq],
    });
}
pub use bindings::anyport::provider::*;
#[cfg(feature = "native")]
pub use native::{
    account, blobs, connections, crypto, events, http, kv, log, replies, secrets, sign_in_steps,
    timers, turn,
};

pub use exported::{
    commands, contacts, conversation_actions, conversation_labels, conversations, groups, history,
    ingress, lifecycle, media, message_actions, messaging, profile, reactor, sign_in,
};
pub use interfaces::{
    Commands, Contacts, ConversationActions, ConversationLabels, Conversations, Groups, History,
    Ingress, Media, MessageActions, Messaging, Profile, SignIn,
};
pub use provider::{Provider, Result, Start};
pub use types::Error;

/// For the code that [`provider!`] makes.
#[doc(hidden)]
pub use wit_bindgen;
