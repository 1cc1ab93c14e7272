//! The cryptography behind `secrets`: MACs, digests and signatures over a secret that the guest
//! does not see.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::Digest as _;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use ring::{digest, hmac, rsa};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// None: there is no such hash.
pub fn mac(hash: &str, key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match hash {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => hmac::HMAC_SHA256,
        "sha512" => hmac::HMAC_SHA512,
        _ => return None,
    };
    let key = hmac::Key::new(algorithm, key);
    Some(hmac::sign(&key, data).as_ref().to_vec())
}

pub enum Hasher {
    Md5(md5::Md5),
    Sha(digest::Context),
}

impl Hasher {
    /// None: there is no such hash.
    pub fn new(hash: &str) -> Option<Self> {
        Some(match hash {
            "md5" => Self::Md5(md5::Md5::new()),
            "sha1" => Self::Sha(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            "sha256" => Self::Sha(digest::Context::new(&digest::SHA256)),
            _ => return None,
        })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Sha(context) => context.update(bytes),
        }
    }

    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Md5(hasher) => hasher.finalize().to_vec(),
            Self::Sha(context) => context.finish().as_ref().to_vec(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Es256,
    Ed25519,
}

impl Algorithm {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "rs256" => Some(Self::Rs256),
            "es256" => Some(Self::Es256),
            "ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }
}

const WRONG_KEY: &str = "the secret is no PKCS#8 (DER or PEM) or JWK private key for it";

/// `key`: PKCS#8, as DER or PEM, or a JWK. ES256 signatures are the 64 bytes of JWS. The error says
/// nothing of the key.
pub fn sign(algorithm: Algorithm, key: &[u8], data: &[u8]) -> Result<Vec<u8>, &'static str> {
    let key = PrivateKey::read(key).ok_or(WRONG_KEY)?;
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::Rs256 => {
            let pair = key.rsa().ok_or(WRONG_KEY)?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, data, &mut signature)
                .map_err(|_| "the key could not sign")?;
            Ok(signature)
        }
        Algorithm::Es256 => {
            let pair = key.ecdsa(&random).ok_or(WRONG_KEY)?;
            let signature = pair.sign(&random, data);
            let signature = signature.map_err(|_| "the key could not sign")?;
            Ok(signature.as_ref().to_vec())
        }
        Algorithm::Ed25519 => {
            let pair = key.ed25519().ok_or(WRONG_KEY)?;
            debug_assert_eq!(pair.public_key().as_ref().len(), 32);
            Ok(pair.sign(data).as_ref().to_vec())
        }
    }
}

enum PrivateKey {
    Pkcs8(Zeroizing<Vec<u8>>),
    Jwk(Box<Jwk>),
}

/// The members of a private JWK (RFC 7518, RFC 8037) that are needed.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    d: String,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
}

fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    Some(Zeroizing::new(bytes))
}

impl PrivateKey {
    fn read(bytes: &[u8]) -> Option<Self> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Some(Self::Pkcs8(Zeroizing::new(bytes.to_vec())));
        };
        let text = text.trim();
        if text.starts_with('{') {
            return Some(Self::Jwk(Box::new(serde_json::from_str(text).ok()?)));
        }
        const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
        const END: &str = "-----END PRIVATE KEY-----";
        let Some((_, after)) = text.split_once(BEGIN) else {
            return Some(Self::Pkcs8(Zeroizing::new(bytes.to_vec())));
        };
        let (inner, _) = after.split_once(END)?;
        let inner: Zeroizing<String> = Zeroizing::new(
            inner
                .chars()
                .filter(|character| !character.is_ascii_whitespace())
                .collect(),
        );
        let der = STANDARD.decode(inner.as_bytes()).ok()?;
        Some(Self::Pkcs8(Zeroizing::new(der)))
    }

    fn rsa(&self) -> Option<rsa::KeyPair> {
        match self {
            Self::Pkcs8(der) => rsa::KeyPair::from_pkcs8(der).ok(),
            Self::Jwk(jwk) if jwk.kty == "RSA" => {
                let (n, e) = (decoded(jwk.n.as_ref()?)?, decoded(jwk.e.as_ref()?)?);
                let (p, q) = (decoded(jwk.p.as_ref()?)?, decoded(jwk.q.as_ref()?)?);
                let (dp, dq) = (decoded(jwk.dp.as_ref()?)?, decoded(jwk.dq.as_ref()?)?);
                let (d, qi) = (decoded(&jwk.d)?, decoded(jwk.qi.as_ref()?)?);
                rsa::KeyPair::from_components(&rsa::KeyPairComponents {
                    public_key: rsa::PublicKeyComponents {
                        n: n.as_slice(),
                        e: e.as_slice(),
                    },
                    d: d.as_slice(),
                    p: p.as_slice(),
                    q: q.as_slice(),
                    dP: dp.as_slice(),
                    dQ: dq.as_slice(),
                    qInv: qi.as_slice(),
                })
                .ok()
            }
            Self::Jwk(_) => None,
        }
    }

    fn ecdsa(&self, random: &SystemRandom) -> Option<EcdsaKeyPair> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        match self {
            Self::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der, random).ok(),
            Self::Jwk(jwk) if jwk.kty == "EC" && jwk.crv.as_deref() == Some("P-256") => {
                let (x, y) = (decoded(jwk.x.as_ref()?)?, decoded(jwk.y.as_ref()?)?);
                let public = [&[4], x.as_slice(), y.as_slice()].concat();
                let private = decoded(&jwk.d)?;
                EcdsaKeyPair::from_private_key_and_public_key(algorithm, &private, &public, random)
                    .ok()
            }
            Self::Jwk(_) => None,
        }
    }

    fn ed25519(&self) -> Option<Ed25519KeyPair> {
        match self {
            Self::Pkcs8(der) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok(),
            Self::Jwk(jwk) if jwk.kty == "OKP" && jwk.crv.as_deref() == Some("Ed25519") => {
                let public = decoded(jwk.x.as_ref()?)?;
                Ed25519KeyPair::from_seed_and_public_key(&decoded(&jwk.d)?, &public).ok()
            }
            Self::Jwk(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
