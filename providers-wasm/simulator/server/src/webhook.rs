//! What the channel posts to a webhook address, and the names of its headers. Shapes only; also
//! compiled into the provider.

use serde::{Deserialize, Serialize};

use crate::protocol::Event;

/// Seconds since the Unix epoch, when this request was signed.
pub const TIMESTAMP_HEADER: &str = "x-simulator-timestamp";
/// HMAC-SHA256 over `<timestamp>.<body>`, in hexadecimal.
pub const SIGNATURE_HEADER: &str = "x-simulator-signature";
/// The client's own name for a message, by which the HTTP API drops repeats.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The body of one request. An address of the whole app gets entries of several users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub entry: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// As in the profile: `user:ada`.
    pub user: String,
    /// In order.
    pub events: Vec<Event>,
}
