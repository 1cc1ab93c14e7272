//! Sealing what is confidential: operator key → data key → AEAD (XChaCha20-Poly1305).
//!
//! The operator's key wraps one random data key per account and per workspace; data keys seal
//! values with their owner, kind and name as associated data, so that a value moved to another
//! place does not open. Destroying a data key makes everything sealed with it unreadable.
//! Never writes a key, a plain value or a derived secret to a log or an error's text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// First byte of everything sealed: format 1 is this byte, 24 bytes of nonce, the ciphertext and
/// 16 bytes of tag.
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

type Key = Zeroizing<[u8; 32]>;

/// What a sealed value is; part of the associated data, so never change a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Secret,
    Kv,
    Timer,
    Request,
    Config,
    Proxy,
    Profile,
    LastError,
    Outgoing,
    Sent,
    Failure,
    Event,
    Endpoint,
    Detour,
    Attempt,
    Setting,
    Blob,
    BlobPart,
    Attachment,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Kv => "kv",
            Self::Timer => "timer",
            Self::Request => "request",
            Self::Config => "config",
            Self::Proxy => "proxy",
            Self::Profile => "profile",
            Self::LastError => "last-error",
            Self::Outgoing => "outgoing",
            Self::Sent => "sent",
            Self::Failure => "failure",
            Self::Event => "event",
            Self::Endpoint => "endpoint",
            Self::Detour => "detour",
            Self::Attempt => "attempt",
            Self::Setting => "setting",
            Self::Blob => "blob",
            Self::BlobPart => "blob-part",
            Self::Attachment => "attachment",
        }
    }
}

/// The root of everything: 32 random bytes that are not in the database.
#[derive(Clone)]
pub struct OperatorKey(Key);

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey(…)")
    }
}

impl OperatorKey {
    pub fn generate() -> Self {
        Self(random())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// 64 hexadecimal digits, with white space around them or not.
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), key.as_mut_slice()).ok()?;
        Some(Self(key))
    }

    /// As [`Self::parse`] reads it.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0.as_slice()))
    }

    fn derive(&self, label: &str) -> Key {
        derive(&self.0, label)
    }

    /// What wraps data keys.
    pub fn wrapping_key(&self) -> WrappingKey {
        WrappingKey(self.derive("anyport/1/wrap"))
    }

    /// What sealed tokens before installations had a key of their own for them.
    pub fn first_token_key(&self) -> DataKey {
        DataKey::new(TOKENS, self.derive("anyport/1/token"))
    }
}

/// Owner of the key that seals tokens: it is kept, and wrapped anew, like those of accounts.
pub const TOKENS: &str = "host:tokens";

/// Wraps and unwraps data keys; kept in memory instead of the operator's key itself.
#[derive(Clone)]
pub struct WrappingKey(Key);

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappingKey(…)")
    }
}

const CHECK: &[u8] = b"anyport operator check 1";

impl WrappingKey {
    /// Stored with the database, so that another operator key is noticed.
    pub fn check_value(&self) -> Vec<u8> {
        seal(&self.0, &associated("", "check", b""), &[CHECK])
    }

    pub fn accepts(&self, check_value: &[u8]) -> bool {
        open(&self.0, &associated("", "check", b""), check_value)
            .is_some_and(|plain| plain == CHECK)
    }

    pub fn wrap(&self, key: &DataKey) -> Vec<u8> {
        let associated = associated(&key.owner, "data-key", b"");
        seal(&self.0, &associated, &[key.key.as_slice()])
    }

    /// None: sealed by another key, for another owner, or damaged.
    pub fn unwrap(&self, owner: &str, wrapped: &[u8]) -> Option<DataKey> {
        let plain = Zeroizing::new(open(&self.0, &associated(owner, "data-key", b""), wrapped)?);
        let key = Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).ok()?);
        Some(DataKey::new(owner, key))
    }
}

/// The key of one account's or workspace's values.
pub struct DataKey {
    owner: Box<str>,
    key: Key,
    blind: Key,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.owner)
    }
}

impl DataKey {
    pub fn generate(owner: &str) -> Self {
        Self::new(owner, random())
    }

    fn new(owner: &str, key: Key) -> Self {
        let blind = derive(&key, "anyport/1/blind");
        Self {
            owner: owner.into(),
            key,
            blind,
        }
    }

    /// A sealer for what clients carry around.
    pub fn token_sealer(&self) -> TokenSealer {
        TokenSealer(Arc::new(self.key.clone()))
    }

    pub fn seal(&self, kind: Kind, name: &[u8], plain: &[u8]) -> Vec<u8> {
        self.seal_parts(kind, name, &[plain])
    }

    /// Seals the parts as one value.
    pub fn seal_parts(&self, kind: Kind, name: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        seal(
            &self.key,
            &associated(&self.owner, kind.as_str(), name),
            parts,
        )
    }

    /// None: not sealed by this key for this kind and name, or damaged.
    pub fn open(&self, kind: Kind, name: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let associated = associated(&self.owner, kind.as_str(), name);
        open(&self.key, &associated, sealed)
    }

    /// A keyed hash of something that is only ever looked up: equal texts give equal values,
    /// and nobody without the key can test a guess.
    pub fn blind(&self, kind: &str, text: &str) -> [u8; 16] {
        let mut mac = mac(&self.blind);
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        half
    }
}

/// Seals small values that clients carry and give back, such as reply tokens.
#[derive(Clone)]
pub struct TokenSealer(Arc<Key>);

impl fmt::Debug for TokenSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSealer(…)")
    }
}

impl TokenSealer {
    /// URL-safe text without padding. It opens only for the same purpose.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> String {
        let associated = associated("", "token", purpose.as_bytes());
        URL_SAFE_NO_PAD.encode(seal(&self.0, &associated, &[plain]))
    }

    /// Always the same for the same text, and not to be guessed: 128 bits, as URL-safe text.
    pub fn mark(&self, purpose: &str, text: &str) -> String {
        let mut mac = mac(&derive(&self.0, "anyport/1/mark"));
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        URL_SAFE_NO_PAD.encode(&whole[..16])
    }

    /// The same for several texts, none of which can run into the next one: 256 bits.
    pub fn long_mark(&self, purpose: &str, texts: &[&str]) -> String {
        let mut mac = mac(&derive(&self.0, "anyport/1/long-mark"));
        for text in [purpose].iter().chain(texts) {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        }
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    pub fn open(&self, purpose: &str, token: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let associated = associated("", "token", purpose.as_bytes());
        open(&self.0, &associated, &sealed)
    }
}

fn random() -> Key {
    let mut key = Zeroizing::new([0; 32]);
    fill_random(key.as_mut_slice());
    key
}

fn fill_random(bytes: &mut [u8]) {
    // Without randomness nothing here can be done safely, and Linux always has it.
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

fn mac(key: &Key) -> Hmac<Sha256> {
    <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.as_slice())
        .expect("HMAC takes keys of any length")
}

fn derive(key: &Key, label: &str) -> Key {
    let mut mac = mac(key);
    mac.update(label.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Unambiguous: the lengths of owner and kind stand before them.
fn associated(owner: &str, kind: &str, name: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(6 + owner.len() + kind.len() + name.len());
    data.push(FORMAT);
    data.extend_from_slice(&(owner.len() as u32).to_le_bytes());
    data.extend_from_slice(owner.as_bytes());
    data.push(kind.len() as u8);
    data.extend_from_slice(kind.as_bytes());
    data.extend_from_slice(name);
    data
}

fn seal(key: &Key, associated: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(1 + NONCE + length + TAG);
    out.push(FORMAT);
    let mut nonce = [0; NONCE];
    fill_random(&mut nonce);
    out.extend_from_slice(&nonce);
    for part in parts {
        out.extend_from_slice(part);
    }
    let tag = XChaCha20Poly1305::new((&**key).into())
        .encrypt_inout_detached(
            &XNonce::from(nonce),
            associated,
            (&mut out[1 + NONCE..]).into(),
        )
        .expect("values are far below the cipher's limit of 256 GiB");
    out.extend_from_slice(&tag);
    out
}

fn open(key: &Key, associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (format, rest) = sealed.split_first()?;
    if *format != FORMAT || rest.len() < NONCE + TAG {
        return None;
    }
    let (nonce, rest) = rest.split_at(NONCE);
    let (text, tag) = rest.split_at(rest.len() - TAG);
    let nonce = <[u8; NONCE]>::try_from(nonce).ok()?;
    let tag = <[u8; TAG]>::try_from(tag).ok()?;
    let mut plain = text.to_vec();
    XChaCha20Poly1305::new((&**key).into())
        .decrypt_inout_detached(
            &XNonce::from(nonce),
            associated,
            plain.as_mut_slice().into(),
            &tag.into(),
        )
        .ok()?;
    Some(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_own_place() {
        let key = DataKey::generate("account:a");
        let sealed = key.seal(Kind::Secret, b"token", b"hunter2");
        assert_eq!(
            key.open(Kind::Secret, b"token", &sealed).as_deref(),
            Some(b"hunter2".as_slice())
        );
        assert_eq!(key.open(Kind::Secret, b"other", &sealed), None);
        assert_eq!(key.open(Kind::Kv, b"token", &sealed), None);
        assert_eq!(key.open(Kind::Secret, b"token", &sealed[1..]), None);
        assert_eq!(key.open(Kind::Secret, b"token", b""), None);
        for byte in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[byte] ^= 1;
            assert_eq!(key.open(Kind::Secret, b"token", &damaged), None);
        }
        let other = DataKey::generate("account:a");
        assert_eq!(other.open(Kind::Secret, b"token", &sealed), None);
    }

    #[test]
    fn data_keys_open_under_their_operator_and_owner_only() {
        let operator = OperatorKey::generate();
        let wrapping = operator.wrapping_key();
        let key = DataKey::generate("account:a");
        let sealed = key.seal(Kind::Kv, b"k", b"v");
        let wrapped = wrapping.wrap(&key);
        let again = wrapping.unwrap("account:a", &wrapped).unwrap();
        assert_eq!(again.open(Kind::Kv, b"k", &sealed).unwrap(), b"v");
        assert_eq!(again.blind("x", "text"), key.blind("x", "text"));
        assert_ne!(again.blind("y", "text"), key.blind("x", "text"));
        assert!(wrapping.unwrap("account:b", &wrapped).is_none());
        let other = OperatorKey::generate().wrapping_key();
        assert!(other.unwrap("account:a", &wrapped).is_none());
        assert!(wrapping.accepts(&wrapping.check_value()));
        assert!(!other.accepts(&wrapping.check_value()));
    }

    #[test]
    fn tokens_are_bound_to_their_purpose() {
        let sealer = OperatorKey::from_bytes([7; 32])
            .first_token_key()
            .token_sealer();
        let token = sealer.seal("reply", b"context");
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        assert_eq!(sealer.open("reply", &token).unwrap(), b"context");
        assert_eq!(sealer.open("media", &token), None);
        assert_eq!(sealer.open("reply", "not a token"), None);
        let same = OperatorKey::from_bytes([7; 32])
            .first_token_key()
            .token_sealer();
        assert_eq!(same.open("reply", &token).unwrap(), b"context");
    }

    #[test]
    fn marks_are_stable_and_of_their_texts() {
        let sealer = OperatorKey::from_bytes([7; 32])
            .first_token_key()
            .token_sealer();
        let mark = sealer.long_mark("avatar", &["acc_1", "reference"]);
        assert_eq!(mark.len(), 43);
        assert_eq!(mark, sealer.long_mark("avatar", &["acc_1", "reference"]));
        let other = OperatorKey::from_bytes([8; 32])
            .first_token_key()
            .token_sealer();
        for different in [
            sealer.long_mark("avatar", &["acc_1r", "eference"]),
            sealer.long_mark("avatar", &["acc_1"]),
            sealer.long_mark("avatars", &["acc_1", "reference"]),
            other.long_mark("avatar", &["acc_1", "reference"]),
        ] {
            assert_ne!(different, mark);
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let key = OperatorKey::from_bytes([0xab; 32]);
        let shown = format!(
            "{key:?} {:?} {:?} {:?}",
            key.wrapping_key(),
            key.first_token_key().token_sealer(),
            DataKey::generate("account:a")
        );
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"));
    }
}
