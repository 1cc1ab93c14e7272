//! The exported interfaces, each bound in a world of its own, so that a component exports those
//! that [`export!`](crate::export) is told and no other. Nothing but bindings.

macro_rules! worlds {
    ($($module:ident { $($interface:ident)+ } $macro:literal $inline:literal { $($with:tt)* })*) => {$(
        #[doc(hidden)]
        pub mod $module {
            #![allow(clippy::all, missing_docs, unsafe_code, unused_macros, unused_imports)]
            wit_bindgen::generate!({
                path: "../wit",
                inline: $inline,
                generate_all,
                with: { $($with)* },
                additional_derives: [Clone, PartialEq],
                pub_export_macro: true,
                export_macro_name: $macro,
                disable_custom_section_link_helpers: true,
            });
        }
        $(pub use $module::exports::anyport::provider::$interface;)+
    )*};
}

worlds! {
    provider_world { lifecycle reactor } "export_provider"
        "package anyport:sdk-provider; world sdk-provider { export anyport:provider/lifecycle@0.1.0; export anyport:provider/reactor@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types }
    sign_in_world { sign_in } "export_sign_in"
        "package anyport:sdk-sign-in; world sdk-sign-in { export anyport:provider/sign-in@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types }
    ingress_world { ingress } "export_ingress"
        "package anyport:sdk-ingress; world sdk-ingress { export anyport:provider/ingress@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types }
    messaging_world { messaging } "export_messaging"
        "package anyport:sdk-messaging; world sdk-messaging { export anyport:provider/messaging@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types, "anyport:provider/model@0.1.0": crate::model }
    message_actions_world { message_actions } "export_message_actions"
        "package anyport:sdk-message-actions; world sdk-message-actions { export anyport:provider/message-actions@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types, "anyport:provider/model@0.1.0": crate::model }
    conversations_world { conversations } "export_conversations"
        "package anyport:sdk-conversations; world sdk-conversations { export anyport:provider/conversations@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types, "anyport:provider/model@0.1.0": crate::model }
    conversation_actions_world { conversation_actions } "export_conversation_actions"
        "package anyport:sdk-conversation-actions; world sdk-conversation-actions { export anyport:provider/conversation-actions@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types, "anyport:provider/model@0.1.0": crate::model }
    conversation_labels_world { conversation_labels } "export_conversation_labels"
        "package anyport:sdk-conversation-labels; world sdk-conversation-labels { export anyport:provider/conversation-labels@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types, "anyport:provider/model@0.1.0": crate::model }
    contacts_world { contacts } "export_contacts"
        "package anyport:sdk-contacts; world sdk-contacts { export anyport:provider/contacts@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types, "anyport:provider/model@0.1.0": crate::model }
    groups_world { groups } "export_groups"
        "package anyport:sdk-groups; world sdk-groups { export anyport:provider/groups@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types, "anyport:provider/model@0.1.0": crate::model }
    history_world { history } "export_history"
        "package anyport:sdk-history; world sdk-history { export anyport:provider/history@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types, "anyport:provider/model@0.1.0": crate::model }
    media_world { media } "export_media"
        "package anyport:sdk-media; world sdk-media { export anyport:provider/media@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types }
    profile_world { profile } "export_profile"
        "package anyport:sdk-profile; world sdk-profile { export anyport:provider/profile@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types }
    commands_world { commands } "export_commands"
        "package anyport:sdk-commands; world sdk-commands { export anyport:provider/commands@0.1.0; }"
        { "anyport:provider/types@0.1.0": crate::types }
}
