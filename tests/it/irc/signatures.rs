//! Both signatures of a delivery, verified by code that is not ours: `ring`, and the library of
//! the Standard Webhooks.

use crate::support::sink::Received;
use ring::hmac;
use standardwebhooks::Webhook;

/// Panics where one does not hold, or holds for another body.
pub fn verify(received: &Received, secret: &str) {
    let body = &received.body[..];
    assert!(device(received, secret, body), "X-Device-Signature");
    assert!(standard(received, secret, body), "webhook-signature");
    let other = [body, b" "].concat();
    assert!(
        !device(received, secret, &other),
        "X-Device-Signature of another body"
    );
    assert!(
        !standard(received, secret, &other),
        "webhook-signature of another body"
    );
    assert!(!device(received, "another secret", body));
    assert!(!standard(received, "another secret", body));
}

fn device(received: &Received, secret: &str, body: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [received.header("x-device-timestamp").as_bytes(), b".", body].concat();
    let written = received.header("x-device-signature");
    let signature: Option<Vec<u8>> = (0..written.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(written.get(at..at + 2)?, 16).ok())
        .collect();
    hmac::verify(&key, &signed, &signature.expect("hex")).is_ok()
}

fn standard(received: &Received, secret: &str, body: &[u8]) -> bool {
    Webhook::from_bytes(secret.as_bytes().to_vec())
        .unwrap()
        .verify(body, &received.headers)
        .is_ok()
}
