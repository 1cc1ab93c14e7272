//! Pure types and state machines. Depends on nothing else of the host and does no input or
//! output: what needs a clock or randomness is handed them.

pub mod account;
pub mod capability;
pub mod chat;
pub mod command;
pub mod endpoint;
pub mod envelope;
pub mod error;
pub mod event;
pub mod grant;
pub mod id;
pub mod ingress;
pub mod key;
pub mod manifest;
pub mod media;
pub mod policy;
pub mod raw_json;
pub mod secret;
pub mod send;
pub mod sign_in;
pub mod time;
pub mod usage;

pub use id::{AccountId, EndpointId, EventId, PartitionId, SendId, WorkspaceId};
pub use secret::{Secret, SecretBytes};
pub use time::Timestamp;

/// A header's value for a provider: as UTF-8, else every byte as its Latin-1 character.
pub fn header_text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}
