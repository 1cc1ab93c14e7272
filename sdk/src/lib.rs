//! What adapter authors use: the guest side of the contract with constructors, and the
//! macros that tie a provider to it.
#![allow(unsafe_code)]

mod bindings {
    #![allow(clippy::all, missing_docs)]
    wit_bindgen::generate!({
        path: "../wit",
        world: "anyport:provider/host",
        generate_all,
        additional_derives: [Clone, PartialEq],
    });
}
pub use bindings::anyport::provider::*;

/// Embeds `provider.toml` into the component, so that its digest covers the manifest.
#[macro_export]
macro_rules! manifest {
    ($path:literal) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            const BYTES: &[u8] = include_bytes!($path);
            #[unsafe(link_section = "anyport:manifest")]
            #[used]
            static MANIFEST: [u8; BYTES.len()] = *include_bytes!($path);
        };
    };
}
