//! Media in pieces, as they go over the connection. The client asks how much of an upload is there
//! (a piece without bytes at offset 0) and goes on from there, also after a connection that was lost.
//! Shapes only; also compiled into the providers.

use serde::{Deserialize, Serialize};

use crate::model::Medium;

/// A piece of a medium that goes up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The client's own name for the medium; the same after a reconnect.
    pub upload: String,
    /// Where the piece begins. At another offset than what is there, nothing happens.
    pub offset: u64,
    /// Bytes of the whole medium.
    pub total: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    #[serde(with = "base64_text")]
    pub data: Vec<u8>,
}

/// What is there of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    pub upload: String,
    /// Bytes: where the next piece begins.
    pub received: u64,
    /// Once all is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<Medium>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    pub medium: String,
    pub offset: u64,
    /// Bytes; more than [`crate::limits::PIECE_BYTES`] count as that.
    pub length: u32,
}

/// A piece of a medium that comes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub medium: String,
    pub offset: u64,
    /// Bytes of the whole medium.
    pub total: u64,
    pub mime: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// None behind the end.
    #[serde(with = "base64_text")]
    pub data: Vec<u8>,
}

/// Bytes as base64, decoded without a copy of the text.
mod base64_text {
    use std::fmt;

    use base64::Engine as _;
    use base64::display::Base64Display;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Base64Display::new(bytes, &STANDARD))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_str(Text)
    }

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("base64")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
            STANDARD.decode(text).map_err(E::custom)
        }
    }
}
