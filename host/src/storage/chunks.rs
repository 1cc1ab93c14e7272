//! Sealing of long contents, chunk by chunk, so that any range of them can be read.
//!
//! Every content has a random key of its own, which is sealed with the data key of its account or
//! workspace. Its chunks of 64 KiB are sealed with ChaCha20-Poly1305; the nonce is the chunk's
//! number and whether it is the last one, so that no chunk can be moved, left out or cut off
//! (the STREAM construction). A key seals one content once, so no nonce comes twice for other bytes.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use std::fmt;
use std::ops::Range;
use zeroize::Zeroizing;

/// Plain bytes of a chunk; the last one may have fewer, also none.
pub const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
/// Bytes of a whole chunk in the store.
pub const SEALED_CHUNK: usize = CHUNK + TAG;

#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(…)")
    }
}

impl ContentKey {
    pub fn generate() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        // Without randomness nothing here can be done safely, and Linux always has it.
        getrandom::fill(key.as_mut_slice()).expect("the operating system gives random bytes");
        Self(key)
    }

    /// 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, key.as_mut_slice()).ok()?;
        Some(Self(key))
    }

    pub(super) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0.as_slice()))
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.0).into())
    }

    /// The chunk with its tag, in place.
    pub fn seal(&self, number: u64, last: bool, chunk: &mut Vec<u8>) {
        let tag = self
            .cipher()
            .encrypt_inout_detached(&nonce(number, last), b"", chunk.as_mut_slice().into())
            .expect("a chunk is far below the cipher's limit");
        chunk.extend_from_slice(&tag);
    }

    /// The plain chunk, in place. None: it is damaged, or not this chunk of this content.
    pub fn open(&self, number: u64, last: bool, chunk: &mut Vec<u8>) -> Option<()> {
        let plain = chunk.len().checked_sub(TAG)?;
        let tag = <[u8; TAG]>::try_from(&chunk[plain..]).ok()?;
        chunk.truncate(plain);
        self.cipher()
            .decrypt_inout_detached(
                &nonce(number, last),
                b"",
                chunk.as_mut_slice().into(),
                &tag.into(),
            )
            .ok()
    }
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce[8] = u8::from(last);
    Nonce::from(nonce)
}

/// Number of the last chunk of a content of so many bytes.
pub fn last_chunk(size: u64) -> u64 {
    size.saturating_sub(1) / CHUNK as u64
}

/// Bytes of the whole content in the store.
pub fn sealed_size(size: u64) -> u64 {
    size + (last_chunk(size) + 1) * TAG as u64
}

/// Where the chunks stand in the store that hold this part of the content: (number of the first
/// chunk, bytes). The range is within the content and not empty.
pub fn sealed_range(size: u64, range: &Range<u64>) -> (u64, Range<u64>) {
    let (first, last) = (range.start / CHUNK as u64, (range.end - 1) / CHUNK as u64);
    let sealed = SEALED_CHUNK as u64;
    let end = ((last + 1) * sealed).min(sealed_size(size));
    (first, first * sealed..end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_opens_in_its_place_only() {
        let key = ContentKey::generate();
        let mut sealed = b"some bytes".to_vec();
        key.seal(3, false, &mut sealed);
        assert_eq!(sealed.len(), 10 + TAG);
        let open = |key: &ContentKey, number, last, mut bytes: Vec<u8>| {
            key.open(number, last, &mut bytes).map(|()| bytes)
        };
        assert_eq!(open(&key, 3, false, sealed.clone()).unwrap(), b"some bytes");
        let again = ContentKey::parse(&key.text()).unwrap();
        assert!(open(&again, 3, false, sealed.clone()).is_some());
        assert!(open(&key, 4, false, sealed.clone()).is_none());
        assert!(open(&key, 3, true, sealed.clone()).is_none());
        assert!(open(&ContentKey::generate(), 3, false, sealed.clone()).is_none());
        assert!(open(&key, 3, false, sealed[1..].to_vec()).is_none());
        assert!(open(&key, 3, false, Vec::new()).is_none());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(open(&key, 3, false, damaged).is_none());
        }
    }

    #[test]
    fn places_of_chunks() {
        let (chunk, sealed) = (CHUNK as u64, SEALED_CHUNK as u64);
        assert_eq!((last_chunk(0), sealed_size(0)), (0, 16));
        assert_eq!(last_chunk(chunk), 0);
        assert_eq!(last_chunk(chunk + 1), 1);
        assert_eq!(sealed_size(chunk + 1), sealed + 17);
        let size = 2 * chunk + 10;
        for (range, first, bytes) in [
            (0..1, 0, 0..sealed),
            (chunk - 1..chunk + 1, 0, 0..2 * sealed),
            (chunk..chunk + 1, 1, sealed..2 * sealed),
            (2 * chunk..size, 2, 2 * sealed..sealed_size(size)),
            (0..size, 0, 0..sealed_size(size)),
        ] {
            assert_eq!(sealed_range(size, &range), (first, bytes), "{range:?}");
        }
    }
}
