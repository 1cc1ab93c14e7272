//! SASL PLAIN (RFC 4616) in the lines of IRCv3. It must never keep the password.

/// The parameters of the `AUTHENTICATE` lines that carry account and password: base64 in
/// chunks of 400 bytes, with a `+` after a last full one.
pub fn plain(account: &str, password: &[u8]) -> Vec<String> {
    let mut message = vec![0];
    message.extend_from_slice(account.as_bytes());
    message.push(0);
    message.extend_from_slice(password);
    let text = base64(&message);
    let mut rest = text.as_str();
    let mut chunks = Vec::new();
    while rest.len() >= 400 {
        let (chunk, after) = rest.split_at(400);
        chunks.push(chunk.to_owned());
        rest = after;
    }
    chunks.push(if rest.is_empty() {
        "+".to_owned()
    } else {
        rest.to_owned()
    });
    chunks
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, &byte| group << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            if position <= chunk.len() {
                let index = group >> (18 - 6 * position) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn chunks() {
        assert_eq!(
            plain("tim", b"tanstaaftanstaaf"),
            ["AHRpbQB0YW5zdGFhZnRhbnN0YWFm"]
        );
        // 300 bytes are exactly 400 in base64: an empty chunk has to follow.
        let chunks = plain("abc", &[b'x'; 295]);
        assert_eq!(
            (chunks.len(), chunks[0].len(), chunks[1].as_str()),
            (2, 400, "+")
        );
        let chunks = plain("abc", &[b'x'; 296]);
        assert_eq!((chunks.len(), chunks[1].len()), (2, 4));
    }
}
