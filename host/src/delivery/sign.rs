//! Which headers an attempt gets: those of `anyport-signing`, with the secrets that the endpoint
//! has at this moment.

use crate::domain::Timestamp;
use crate::domain::endpoint::Endpoint;
use anyport_signing::{Attempt, Secrets};
/// Headers of a delivery.
pub use anyport_signing::{
    DELIVERY_ID, EVENT_ID, SIGNATURE, TIMESTAMP, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
};
use http::{HeaderMap, HeaderName, HeaderValue};

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
    let secrets = endpoint.secret.as_ref().map(|secret| Secrets {
        secret: secret.expose(),
        old: endpoint
            .old_secret
            .as_ref()
            .filter(|(_, until)| now < *until)
            .map(|(old, _)| old.expose()),
    });
    let attempt = Attempt {
        event,
        delivery,
        unix_seconds: now.unix_seconds(),
        written: &written,
        body,
    };
    // What cannot stand in a header is left out; ids and signatures always can.
    anyport_signing::headers(attempt, secrets)
        .into_iter()
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_str(&value).ok()?;
            Some((HeaderName::from_static(name), value))
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::delivery::tests::endpoint;
    use crate::domain::secret::Secret;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
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
        endpoint.old_secret = old.map(|(old, until)| (Secret::from(old), Timestamp(until)));
        headers(&endpoint, "evt_0001", "dlv_1", now, body.as_bytes())
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
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
