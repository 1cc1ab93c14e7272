//! The macros that make a component of a provider.

/// Makes the component: exports `lifecycle` and `reactor` for a [`Provider`](crate::Provider), and
/// after the colon the interfaces whose traits it implements.
///
/// ```ignore
/// anyport_sdk::export!(Telegraph: SignIn, Messaging, Groups);
/// ```
#[macro_export]
macro_rules! export {
    ($provider:ident $(: $($interface:ident),+ $(,)?)?) => {
        const _: () = {
            struct Component;

            ::std::thread_local! {
                static PROVIDER: ::std::cell::RefCell<::std::option::Option<$provider>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl $crate::driver::Component for Component {
                type Provider = $provider;
                fn with<T>(
                    call: impl ::std::ops::FnOnce(&mut ::std::option::Option<$provider>) -> T,
                ) -> T {
                    PROVIDER.with_borrow_mut(call)
                }
            }

            $crate::__export_one!(Provider Component);
            $($($crate::__export_one!($interface Component);)+)?
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    (Provider $component:ident) => { $crate::__exported!(provider_world export_provider lifecycle $component); };
    (SignIn $component:ident) => { $crate::__exported!(sign_in_world export_sign_in sign_in $component); };
    (Ingress $component:ident) => { $crate::__exported!(ingress_world export_ingress ingress $component); };
    (Messaging $component:ident) => { $crate::__exported!(messaging_world export_messaging messaging $component); };
    (MessageActions $component:ident) => { $crate::__exported!(message_actions_world export_message_actions message_actions $component); };
    (Conversations $component:ident) => { $crate::__exported!(conversations_world export_conversations conversations $component); };
    (ConversationActions $component:ident) => { $crate::__exported!(conversation_actions_world export_conversation_actions conversation_actions $component); };
    (ConversationLabels $component:ident) => { $crate::__exported!(conversation_labels_world export_conversation_labels conversation_labels $component); };
    (Contacts $component:ident) => { $crate::__exported!(contacts_world export_contacts contacts $component); };
    (Groups $component:ident) => { $crate::__exported!(groups_world export_groups groups $component); };
    (History $component:ident) => { $crate::__exported!(history_world export_history history $component); };
    (Media $component:ident) => { $crate::__exported!(media_world export_media media $component); };
    (Profile $component:ident) => { $crate::__exported!(profile_world export_profile profile $component); };
    (Commands $component:ident) => { $crate::__exported!(commands_world export_commands commands $component); };
    ($other:ident $component:ident) => {
        ::std::compile_error!(::std::concat!(
            "`", ::std::stringify!($other), "` is no interface that a provider exports; there are SignIn, Ingress, \
             Messaging, MessageActions, Conversations, ConversationActions, ConversationLabels, \
             Contacts, Groups, History, Media, Profile and Commands"
        ));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __exported {
    ($world:ident $export:ident $interface:ident $component:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, clippy::all)]
        const _: () = {
    $crate::exported::$world::$export!($component with_types_in $crate::exported::$world);
        };
        // On other machines, where only tests run, there is nothing to export to.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn exports<T: $crate::$interface::Guest>() {}
            exports::<$component>();
        };
    };
}

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

/// The layer below [`export!`](crate::export), for a provider with a world of its own: generates
/// what ties it to the world, with the contract's types taken from this
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
