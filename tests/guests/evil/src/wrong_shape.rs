//! A component whose `messaging.send` takes a text instead of a message. All the rest has
//! the right shape, so that nothing else can be what the host refuses.

mod bindings {
    #![allow(clippy::all, missing_docs, unsafe_code)]
    anyport_sdk::wit_bindgen::generate!({
        path: "wit-wrong-shape",
        world: "wrong-shape",
        generate_all,
        runtime_path: "anyport_sdk::wit_bindgen::rt",
    });
    use super::Provider;
    #[cfg(target_arch = "wasm32")]
    export!(Provider with_types_in self);
}
use bindings::anyport::provider::types::Error;
use bindings::exports::anyport::provider::{lifecycle, messaging, reactor};

struct Provider;

impl lifecycle::Guest for Provider {
    fn describe() -> lifecycle::Descriptor {
        lifecycle::Descriptor {
            title: "Wrong shape".to_owned(),
            features: Vec::new(),
            sign_in_methods: Vec::new(),
            config_schema: r#"{"type":"object"}"#.to_owned(),
            state_version: 1,
            reads_state_versions: vec![1],
            extra: None,
        }
    }

    fn start(_context: lifecycle::StartContext) -> Result<lifecycle::Started, Error> {
        Ok(lifecycle::Started { keeps: Vec::new() })
    }

    fn suspend() -> Result<lifecycle::Snapshot, Error> {
        Ok(lifecycle::Snapshot {
            state_version: 1,
            bytes: Vec::new(),
        })
    }
}

impl reactor::Guest for Provider {
    fn on_wake(_wake: reactor::Wake) -> Result<(), Error> {
        Ok(())
    }
}

impl messaging::Guest for Provider {
    fn send(_request: String, _message: String) -> Result<(), Error> {
        Ok(())
    }
}
