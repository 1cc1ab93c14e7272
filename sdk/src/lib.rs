//! What adapter authors use: the guest side of the contract with constructors, and the
//! macros that tie a provider to it.
//!
//! The modules of the contract stand at the root of this crate (`anyport_sdk::events`,
//! `anyport_sdk::kv`, …). This crate must never hide a host call behind another name:
//! what a provider asks of the host is to be seen in its source.
//!
//! A provider is a `cdylib` with a `wit/world.wit` of its own:
//!
//! ```wit
//! package anyport:parrot;
//!
//! world parrot {
//!     include anyport:provider/provider@0.1.0;
//!     export anyport:provider/messaging@0.1.0;
//! }
//! ```
//!
//! ```ignore
//! use anyport_sdk::events::{Emission, Event};
//! use anyport_sdk::model::{Content, Message};
//! use anyport_sdk::replies::SentMessage;
//! use anyport_sdk::types::Error;
//! use anyport_sdk::{events, replies, turn};
//!
//! anyport_sdk::manifest!("../provider.toml");
//! anyport_sdk::provider! {
//!     world: "anyport:parrot/parrot",
//!     path: ["../../wit", "wit"],
//!     provider: Parrot,
//! }
//! // The interfaces that the world exports stand in `exports` now.
//! use exports::{lifecycle, messaging, reactor};
//!
//! struct Parrot;
//!
//! impl messaging::Guest for Parrot {
//!     fn send(request: String, message: messaging::Outgoing) -> Result<(), Error> {
//!         let now = turn::now();
//!         replies::sent(&request, &SentMessage::new(format!("said-{request}"), now));
//!         let said = Message::new(format!("heard-{request}"), &message.conversation, "parrot", now, message.content);
//!         events::emit(&Emission::of_message(request, said));
//!         Ok(())
//!     }
//! }
//! // … and lifecycle::Guest and reactor::Guest.
//! ```

mod constructors;
mod errors;
pub mod logging;
#[cfg(feature = "native")]
pub mod native;

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
    account, connections, events, http, kv, log, replies, secrets, sign_in_steps, timers, turn,
};

/// For the code that [`provider!`] makes.
#[doc(hidden)]
pub use wit_bindgen;

/// Embeds `provider.toml` into the component, so that its digest covers the manifest.
/// The path is relative to the file that calls it.
#[macro_export]
macro_rules! manifest {
    ($path:literal) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            const BYTES: &[u8] = include_bytes!($path);
            #[allow(unsafe_code)]
            #[unsafe(link_section = "anyport:manifest")]
            #[used]
            static MANIFEST: [u8; BYTES.len()] = *include_bytes!($path);
        };
    };
}

/// Generates what ties a provider to its world, with the contract's types taken from this
/// crate, and exports `provider` as the component. The exported interfaces come as
/// modules in `exports`; `provider` implements `Guest` of each of them.
///
/// `world` must include `anyport:provider/provider`; `path` lists the folders with the
/// contract and with the world, relative to the crate's `Cargo.toml`.
#[macro_export]
macro_rules! provider {
    (world: $world:literal, path: $path:tt, provider: $provider:ident $(,)?) => {
        mod bindings {
            #![allow(clippy::all, missing_docs, unsafe_code, unused_macros, unused_imports)]
            $crate::wit_bindgen::generate!({
                path: $path,
                world: $world,
                generate_all,
                runtime_path: "anyport_sdk::wit_bindgen::rt",
                additional_derives: [Clone, PartialEq],
                with: {
                    "anyport:provider/types@0.1.0": anyport_sdk::types,
                    "anyport:provider/model@0.1.0": anyport_sdk::model,
                    "anyport:provider/http-types@0.1.0": anyport_sdk::http_types,
                    "anyport:provider/turn@0.1.0": anyport_sdk::turn,
                    "anyport:provider/log@0.1.0": anyport_sdk::log,
                    "anyport:provider/account@0.1.0": anyport_sdk::account,
                    "anyport:provider/events@0.1.0": anyport_sdk::events,
                    "anyport:provider/replies@0.1.0": anyport_sdk::replies,
                    "anyport:provider/sign-in-steps@0.1.0": anyport_sdk::sign_in_steps,
                    "anyport:provider/kv@0.1.0": anyport_sdk::kv,
                    "anyport:provider/timers@0.1.0": anyport_sdk::timers,
                    "anyport:provider/http@0.1.0": anyport_sdk::http,
                    "anyport:provider/connections@0.1.0": anyport_sdk::connections,
                    "anyport:provider/secrets@0.1.0": anyport_sdk::secrets,
                    "anyport:provider/crypto@0.1.0": anyport_sdk::crypto,
                    "anyport:provider/blobs@0.1.0": anyport_sdk::blobs,
                },
            });
            use super::$provider;
            #[cfg(target_arch = "wasm32")]
            export!($provider with_types_in self);
            // On other machines, where only tests run, there is nothing to export to.
            #[cfg(not(target_arch = "wasm32"))]
            const _: usize = size_of::<$provider>();
        }
        use bindings::exports::anyport::provider as exports;
    };
}
