//! Signatures of webhooks and tokens of the HTTP API.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(crate) fn hmac(secret: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    hex::encode(mac.finalize().into_bytes())
}

/// Over the timestamp, too, so that an old request cannot be given a new time.
pub(crate) fn signature(secret: &[u8], timestamp: u64, body: &[u8]) -> String {
    hmac(secret, &[timestamp.to_string().as_bytes(), b".", body])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1700000000.{"entry":[]}' | openssl dgst -sha256 -hmac it-is-secret`
    #[test]
    fn as_openssl_signs() {
        assert_eq!(
            signature(b"it-is-secret", 1_700_000_000, br#"{"entry":[]}"#),
            "75909ba332e6cf9e665a00711a101445e9000cae4a2f709854c75d8358323f6c"
        );
    }
}
