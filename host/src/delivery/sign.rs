//! The headers by which a receiver knows event, attempt and sender.
//!
//! Two sets side by side: `X-Device-*` (hex HMAC-SHA256 of `timestamp.body` with the secret's text
//! as key) and Standard Webhooks (`v1,` and base64 HMAC-SHA256 of `id.timestamp.body`). There a
//! secret `whsec_` + base64 is decoded, as their libraries do; of any other text the bytes are the
//! key, and a library wants them as `whsec_` + base64 of these bytes. Without a secret nothing is
//! signed and the Standard Webhooks set is left out.

use crate::domain::endpoint::Endpoint;
use crate::domain::{Secret, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

const EVENT_ID: HeaderName = HeaderName::from_static("x-device-event-id");
const DELIVERY_ID: HeaderName = HeaderName::from_static("x-device-delivery-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-device-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-device-signature");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Signed anew for each attempt; `now` is cut to whole seconds.
pub fn headers(
    endpoint: &Endpoint,
    event: &str,
    delivery: &str,
    now: Timestamp,
    body: &[u8],
) -> HeaderMap {
    let now = Timestamp(now.unix_seconds() * 1000);
    let written = now.rfc3339();
    let mut headers = HeaderMap::with_capacity(8);
    put(&mut headers, EVENT_ID, event);
    put(&mut headers, DELIVERY_ID, delivery);
    put(&mut headers, TIMESTAMP, &written);
    let secret = endpoint.secret.as_ref().map(Secret::expose);
    let Some(secret) = secret.filter(|it| !it.is_empty()) else {
        return headers;
    };
    let old = endpoint
        .old_secret
        .as_ref()
        .filter(|(old, until)| now < *until && !old.expose().is_empty())
        .map(|(old, _)| old.expose());
    let device = device_signature(old.unwrap_or(secret), &written, body);
    put(&mut headers, SIGNATURE, &device);
    let seconds = now.unix_seconds().to_string();
    let mut signatures = standard_signature(secret, event, &seconds, body);
    if let Some(old) = old {
        signatures.push(' ');
        signatures.push_str(&standard_signature(old, event, &seconds, body));
    }
    put(&mut headers, WEBHOOK_ID, event);
    put(&mut headers, WEBHOOK_TIMESTAMP, &seconds);
    put(&mut headers, WEBHOOK_SIGNATURE, &signatures);
    headers
}

/// What cannot stand in a header is left out; ids and signatures always can.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::delivery::tests::endpoint;
    use standardwebhooks::Webhook;

    const BODY: &str = r#"{"id":"evt_0001","type":"message.received","provider":"whatsapp","account_id":"acc_7mZ2qK9t","occurred_at":"2026-03-01T08:30:00Z","data":{"conversation":{"id":"15550100023@s.whatsapp.net","type":"user","title":"Dana Whitfield"},"sender":{"id":"15550100023@s.whatsapp.net","type":"user","name":"Dana Whitfield"},"message":{"id":"3EB0C0FFEE10","type":"text","text":"Is the 7pm table free?","direction":"inbound","sent_at":"2026-03-01T08:29:58Z","reply_token":"rt1.EXAMPLE"},"event":{"kind":"message_received"}}}"#;
    const SECRET: &str = "whsec_example_only_4f1d";
    const DECODABLE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    /// 2026-03-01T08:30:02.7Z
    const NOW: Timestamp = Timestamp(1_772_353_802_700);

    fn sign(
        secret: Option<&str>,
        old: Option<(&str, u64)>,
        now: Timestamp,
        body: &str,
    ) -> HeaderMap {
        let mut endpoint = endpoint("http://localhost/");
        endpoint.secret = secret.map(Secret::from);
        endpoint.old_secret = old.map(|(old, until)| (old.into(), Timestamp(until)));
        headers(&endpoint, "evt_0001", "dlv_1", now, body.as_bytes())
    }

    fn text(headers: &HeaderMap, name: HeaderName) -> &str {
        headers.get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn published_vectors() {
        let signed = sign(Some(SECRET), None, NOW, BODY);
        assert_eq!(text(&signed, TIMESTAMP), "2026-03-01T08:30:02Z");
        assert_eq!(
            text(&signed, SIGNATURE),
            "6a8349e34286cfff1632f4987b58814004bfb5b52dd4e9068cbca864cfb8bb9c"
        );
        assert_eq!(text(&signed, EVENT_ID), "evt_0001");
        assert_eq!(text(&signed, DELIVERY_ID), "dlv_1");
        assert_eq!(
            text(
                &sign(Some(SECRET), None, NOW, r#"{"type":"ping"}"#),
                SIGNATURE
            ),
            "248ad6bc82d175f23bd02ff33b4079e6445e20d979ccc1c53ca5ab1a8bf599da"
        );
    }

    #[test]
    fn no_secret_no_signature() {
        for secret in [None, Some("")] {
            let plain = sign(secret, Some(("old", u64::MAX)), NOW, BODY);
            assert_eq!(plain.len(), 3);
            assert!(!plain.contains_key(SIGNATURE) && !plain.contains_key(WEBHOOK_SIGNATURE));
        }
    }

    #[test]
    fn standard_webhooks_own_vector() {
        // From the specification's libraries.
        assert_eq!(
            standard_signature(
                DECODABLE,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn standard_webhooks_as_their_library_sees_it() {
        let now = Timestamp::now();
        let decoded = sign(Some(DECODABLE), None, now, BODY);
        Webhook::new(DECODABLE)
            .unwrap()
            .verify(BODY.as_bytes(), &decoded)
            .unwrap();
        assert!(
            Webhook::new(DECODABLE)
                .unwrap()
                .verify(b"{}", &decoded)
                .is_err()
        );
        // Any other text: a library takes it as base64 of its bytes, or as bytes.
        for secret in [SECRET, "plain text", "whsec_", "whsec_abc"] {
            let signed = sign(Some(secret), None, now, BODY);
            let form = format!("whsec_{}", STANDARD.encode(secret));
            for library in [
                Webhook::new(&form).unwrap(),
                Webhook::from_bytes(secret.as_bytes().to_vec()).unwrap(),
            ] {
                library.verify(BODY.as_bytes(), &signed).unwrap();
            }
        }
    }

    #[test]
    fn rotation_overlaps() {
        let now = Timestamp::now();
        let both = sign(Some(DECODABLE), Some(("old", now.0 + 60_000)), now, BODY);
        assert_eq!(text(&both, WEBHOOK_SIGNATURE).split(' ').count(), 2);
        for library in [
            Webhook::new(DECODABLE).unwrap(),
            Webhook::from_bytes(b"old".to_vec()).unwrap(),
        ] {
            library.verify(BODY.as_bytes(), &both).unwrap();
        }
        let only_old = sign(Some("old"), None, now, BODY);
        assert_eq!(text(&both, SIGNATURE), text(&only_old, SIGNATURE));

        let over = sign(Some(DECODABLE), Some(("old", now.0 - 1_000)), now, BODY);
        let only_new = sign(Some(DECODABLE), None, now, BODY);
        assert_eq!(over, only_new);
    }
}
