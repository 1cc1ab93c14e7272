//! The headers by which a receiver knows event, attempt and sender: what the host puts on its
//! deliveries and `anyport listen` on what it forwards.
//!
//! Two sets side by side: `X-Device-*` (hex HMAC-SHA256 of `timestamp.body` with the secret's text
//! as key) and Standard Webhooks (`v1,` and base64 HMAC-SHA256 of `id.timestamp.body`). There a
//! secret `whsec_` + base64 is decoded, as their libraries do; of any other text the bytes are the
//! key, and a library wants them as `whsec_` + base64 of these bytes. Without a secret nothing is
//! signed and the Standard Webhooks set is left out.
//!
//! Pure: reads no clock, keeps nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// In lower case, as `http` wants names that are known beforehand.
pub const EVENT_ID: &str = "x-device-event-id";
pub const DELIVERY_ID: &str = "x-device-delivery-id";
pub const TIMESTAMP: &str = "x-device-timestamp";
pub const SIGNATURE: &str = "x-device-signature";
pub const WEBHOOK_ID: &str = "webhook-id";
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// One attempt at delivering one event.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    pub event: &'a str,
    pub delivery: &'a str,
    /// Seconds since 1970.
    pub unix_seconds: u64,
    /// The same moment in RFC 3339, UTC, whole seconds.
    pub written: &'a str,
    pub body: &'a [u8],
}

/// What it is signed with. `Debug` shows none of it.
#[derive(Clone, Copy)]
pub struct Secrets<'a> {
    pub secret: &'a str,
    /// The one before, as long as it signs too. Where there is room for one signature it is this
    /// one's.
    pub old: Option<&'a str>,
}

impl std::fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Names and values of the headers. An empty secret counts as none.
pub fn headers(attempt: Attempt<'_>, secrets: Option<Secrets<'_>>) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (EVENT_ID, attempt.event.to_owned()),
        (DELIVERY_ID, attempt.delivery.to_owned()),
        (TIMESTAMP, attempt.written.to_owned()),
    ];
    let Some(Secrets { secret, old }) = secrets.filter(|it| !it.secret.is_empty()) else {
        return headers;
    };
    let old = old.filter(|old| !old.is_empty());
    let device = device_signature(old.unwrap_or(secret), attempt.written, attempt.body);
    let seconds = attempt.unix_seconds.to_string();
    let mut signatures = standard_signature(secret, attempt.event, &seconds, attempt.body);
    if let Some(old) = old {
        signatures.push(' ');
        signatures.push_str(&standard_signature(
            old,
            attempt.event,
            &seconds,
            attempt.body,
        ));
    }
    headers.push((SIGNATURE, device));
    headers.push((WEBHOOK_ID, attempt.event.to_owned()));
    headers.push((WEBHOOK_TIMESTAMP, seconds));
    headers.push((WEBHOOK_SIGNATURE, signatures));
    headers
}

/// A secret in the form that Standard Webhooks' libraries take.
pub fn secret_from(bytes: &[u8; 24]) -> String {
    format!("whsec_{}", STANDARD.encode(bytes))
}

fn device_signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    hex::encode(hmac(secret.as_bytes(), &[timestamp.as_bytes(), b".", body]))
}

fn standard_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    format!(
        "v1,{}",
        STANDARD.encode(hmac(&standard_key(secret), &parts))
    )
}

fn standard_key(secret: &str) -> Vec<u8> {
    secret
        .strip_prefix("whsec_")
        .and_then(|text| STANDARD.decode(text).ok())
        .filter(|key| !key.is_empty())
        .unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_webhooks_own_vector() {
        // From the specification's libraries.
        assert_eq!(
            standard_signature(
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_made_secret_is_one_that_libraries_take() {
        let secret = secret_from(&[7; 24]);
        assert!(standardwebhooks::Webhook::new(&secret).is_ok());
        assert_eq!(standard_key(&secret), [7; 24]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let secrets = Secrets {
            secret: "marker",
            old: Some("marker"),
        };
        assert!(!format!("{secrets:?}").contains("marker"));
    }
}
