//! irc
#![allow(unsafe_code)]
mod bindings {
    #![allow(clippy::all)]
    wit_bindgen::generate!({
        path: ["../../wit", "wit"],
        world: "anyport:irc/irc",
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
            "anyport:provider/lifecycle@0.1.0": generate,
            "anyport:provider/reactor@0.1.0": generate,
            "anyport:provider/sign-in@0.1.0": generate,
            "anyport:provider/messaging@0.1.0": generate,
        },
    });
}
use bindings::exports::anyport::provider::{lifecycle, messaging, reactor, sign_in};
use anyport_sdk::types::Error;
anyport_sdk::manifest!("../provider.toml");
struct Provider;
impl lifecycle::Guest for Provider {
    fn describe() -> lifecycle::Descriptor { panic!() }
    fn start(_c: lifecycle::StartContext) -> Result<lifecycle::Started, Error> { anyport_sdk::kv::put("a", b"b"); Ok(lifecycle::Started { keeps: vec![] }) }
    fn suspend() -> Result<lifecycle::Snapshot, Error> { panic!() }
}
impl reactor::Guest for Provider { fn on_wake(_w: reactor::Wake) -> Result<(), Error> { Ok(()) } }
impl sign_in::Guest for Provider {
    fn begin(_r: String, _m: String, _a: Vec<sign_in::Answer>) -> Result<(), Error> { Ok(()) }
    fn submit(_r: String, _a: Vec<sign_in::Answer>) -> Result<(), Error> { Ok(()) }
    fn cancel(_r: String) -> Result<(), Error> { Ok(()) }
    fn sign_out(_r: String) -> Result<(), Error> { Ok(()) }
}
impl messaging::Guest for Provider { fn send(_r: String, _m: messaging::Outgoing) -> Result<(), Error> { Ok(()) } }
bindings::export!(Provider with_types_in bindings);
