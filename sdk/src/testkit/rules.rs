//! The contract's rules. Whoever breaks one panics here, as a guest traps in the host.

use crate::connections::{Framing, Spec, Transport};
use crate::events::Emission;

const KV_KEY_BYTES: usize = 512;
const KV_VALUE_BYTES: usize = 256 * 1024;
const CONTEXT_BYTES: usize = 4096;
const ID_BYTES: usize = 512;
const RANDOM_BYTES: u32 = 4096;
const BLOB_PART_BYTES: usize = 1024 * 1024;

/// The panic that the stage knows as a broken rule.
pub struct Breach(pub String);

pub fn breach(rule: String) -> ! {
    std::panic::panic_any(Breach(rule))
}

fn within(what: &str, length: usize, most: usize) {
    if length == 0 || length > most {
        breach(format!(
            "{what} has 1 to {most} bytes, this one has {length}"
        ));
    }
}

pub fn label(label: &str) {
    within("a label", label.len(), 128);
}

pub fn key(key: &str) {
    within("a key of kv", key.len(), KV_KEY_BYTES);
}

pub fn value(value: &[u8]) {
    if value.len() > KV_VALUE_BYTES {
        breach(format!(
            "a value of kv has at most {KV_VALUE_BYTES} bytes, this one has {}",
            value.len()
        ));
    }
}

pub fn context(context: &[u8]) {
    if context.len() > CONTEXT_BYTES {
        breach(format!(
            "a context has at most {CONTEXT_BYTES} bytes, this one has {}",
            context.len()
        ));
    }
}

pub fn random(length: u32) {
    if length > RANDOM_BYTES {
        breach(format!(
            "`turn.random` gives at most {RANDOM_BYTES} bytes, {length} were asked for"
        ));
    }
}

pub fn blob_part(length: usize) {
    if length > BLOB_PART_BYTES {
        breach(format!(
            "a blob is read and written by at most {BLOB_PART_BYTES} bytes, not {length}"
        ));
    }
}

pub fn emission(emission: &Emission) {
    use crate::events::Event;
    within("an emission's key", emission.key.len(), ID_BYTES);
    if let Some(conversation) = &emission.conversation {
        within("a conversation's id", conversation.len(), ID_BYTES);
    }
    if let Event::MessageReceived(message) | Event::MessageEdited(message) = &emission.event {
        within("a message's id", message.id.len(), ID_BYTES);
        within("a conversation's id", message.conversation.len(), ID_BYTES);
        within("a contact's id", message.sender.len(), ID_BYTES);
    }
}

pub fn spec(spec: &Spec) {
    let websocket = matches!(spec.transport, Transport::Websocket(_));
    match &spec.framing {
        Framing::Message if !websocket => {
            breach("the framing `message` is for websockets only".into());
        }
        Framing::LengthPrefix(prefix) if !(1..=4).contains(&prefix.width) => {
            breach(format!(
                "a length prefix has 1 to 4 bytes, not {}",
                prefix.width
            ));
        }
        _ => {}
    }
}
