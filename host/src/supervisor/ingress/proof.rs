//! The manifest's recipes: is it the channel who calls, and what does its challenge get? Over the
//! bytes as they came; secrets are compared in constant time.

use crate::domain::ingress::{
    Challenge, Encoding, IngressResponse, Part, SecretEncoding, Signed, TimeUnit, Token, Verify,
};
use crate::domain::raw_json;
use crate::domain::{SecretBytes, Timestamp};
use crate::supervisor::control::IngressRefusal;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use md5::Digest as _;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey,
};
use ring::{digest, hmac};
use std::borrow::Cow;
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;
use zeroize::Zeroizing;

/// A request, as recipes look at it.
pub struct Seen<'r> {
    pub method: &'r str,
    pub path: &'r str,
    pub query: Option<&'r str>,
    pub url: Option<&'r str>,
    pub headers: &'r [(String, String)],
    pub body: &'r [u8],
    pub now: Timestamp,
}

/// Why a request is not the channel's, in words that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none where it should be, or it is none.
    NoSignature,
    BadSignature,
    /// No time, or one beyond the tolerance.
    Stale,
    /// Something that is signed is not there.
    Incomplete,
    /// We lack what to verify it with.
    NoSecret,
    /// The operator does not let it go unverified.
    NotAllowed,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSignature => "no_signature",
            Self::BadSignature => "bad_signature",
            Self::Stale => "stale",
            Self::Incomplete => "incomplete",
            Self::NoSecret => "no_secret",
            Self::NotAllowed => "not_allowed",
        }
    }

    /// What an operator can do about it.
    pub fn todo(self) -> Option<&'static str> {
        match self {
            Self::NoSecret => Some(
                "give the account, or the provider, the secret that the manifest's recipe names",
            ),
            Self::NotAllowed => Some("name the provider in `ingress.unverified`"),
            _ => None,
        }
    }

    pub fn refusal(self) -> IngressRefusal {
        match self {
            // The channel did nothing wrong; when the secret is there, it may be taken.
            Self::NoSecret => IngressRefusal::Unavailable,
            _ => IngressRefusal::Unverified,
        }
    }
}

type Secrets = [(String, SecretBytes)];

fn secret<'s>(secrets: &'s Secrets, name: &str) -> Result<&'s [u8], Reason> {
    secrets
        .iter()
        .map(|(known, value)| (known, value.expose()))
        .find(|(known, value)| *known == name && !value.is_empty())
        .map(|(_, value)| value)
        .ok_or(Reason::NoSecret)
}

impl<'r> Seen<'r> {
    fn headers_named<'n>(&self, name: &'n str) -> impl Iterator<Item = &'r str> + use<'r, 'n> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn parameter(&self, name: &str) -> Option<Cow<'r, str>> {
        let query = self.query?.as_bytes();
        form_urlencoded::parse(query).find_map(|(known, value)| (known == name).then_some(value))
    }

    fn json(&self, pointer: &str) -> Option<String> {
        raw_json::text_or_number(std::str::from_utf8(self.body).ok()?, pointer)
    }
}

pub fn verify(verify: &Verify, seen: &Seen<'_>, secrets: &Secrets) -> Result<(), Reason> {
    match verify {
        Verify::None => Ok(()),
        Verify::Token(token) => verify_token(token, seen, secrets),
        _ => match verify.signed() {
            Some(signed) => verify_signed(verify, signed, seen, secrets),
            None => Err(Reason::NoSecret),
        },
    }
}

fn verify_token(token: &Token, seen: &Seen<'_>, secrets: &Secrets) -> Result<(), Reason> {
    let known = secret(secrets, &token.secret)?;
    let given: Option<Cow<'_, str>> = match (&token.header, &token.query) {
        (Some(header), _) => seen.headers_named(header).next().map(Cow::Borrowed),
        (None, Some(query)) => seen.parameter(query),
        (None, None) => None,
    };
    let given = given.ok_or(Reason::NoSignature)?;
    let given = given
        .strip_prefix(token.prefix.as_str())
        .ok_or(Reason::NoSignature)?;
    if bool::from(given.as_bytes().ct_eq(known)) {
        Ok(())
    } else {
        Err(Reason::BadSignature)
    }
}

/// What a provider gets: a secret that the channel shows is for the host alone.
pub fn without_token(
    verify: &Verify,
    mut headers: Vec<(String, String)>,
    query: Option<String>,
) -> (Vec<(String, String)>, Option<String>) {
    let Verify::Token(token) = verify else {
        return (headers, query);
    };
    if let Some(header) = &token.header {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(header));
    }
    let (Some(secret), Some(whole)) = (&token.query, &query) else {
        return (headers, query);
    };
    let kept: Vec<&str> = whole
        .split('&')
        .filter(|pair| {
            let mut parsed = form_urlencoded::parse(pair.as_bytes());
            parsed
                .next()
                .is_none_or(|(name, _)| name != secret.as_str())
        })
        .collect();
    let kept = (!kept.is_empty()).then(|| kept.join("&"));
    (headers, kept)
}

fn verify_signed(
    verify: &Verify,
    signed: &Signed,
    seen: &Seen<'_>,
    secrets: &Secrets,
) -> Result<(), Reason> {
    let given = signatures(signed, seen);
    if given.is_empty() {
        return Err(Reason::NoSignature);
    }
    let time = timestamp(signed, seen)?;
    let message = message(signed, seen, secrets, time.as_deref())?;
    // The signature first: whether a time is fresh is told to nobody else.
    let fits: Fits<'_> = match verify {
        Verify::HmacSha1(_) => mac(
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            signed,
            secrets,
            &message,
        )?,
        Verify::HmacSha256(_) => mac(hmac::HMAC_SHA256, signed, secrets, &message)?,
        Verify::HmacSha512(_) => mac(hmac::HMAC_SHA512, signed, secrets, &message)?,
        Verify::DigestMd5(_) => same(md5::Md5::digest(&*message).to_vec()),
        Verify::DigestSha1(_) => same(sha(&digest::SHA1_FOR_LEGACY_USE_ONLY, &message)),
        Verify::DigestSha256(_) => same(sha(&digest::SHA256, &message)),
        Verify::DigestSha512(_) => same(sha(&digest::SHA512, &message)),
        Verify::Ed25519(_) => {
            let key = public_key(signed, secrets, 32)?;
            Box::new(move |given: &[u8]| {
                UnparsedPublicKey::new(&ED25519, &key)
                    .verify(&message, given)
                    .is_ok()
            })
        }
        Verify::EcdsaP256(_) => {
            let key = public_key(signed, secrets, 65)?;
            Box::new(move |given: &[u8]| {
                let asn1 = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key);
                let fixed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key);
                asn1.verify(&message, given).is_ok() || fixed.verify(&message, given).is_ok()
            })
        }
        Verify::Token(_) | Verify::None => return Err(Reason::NoSecret),
    };
    if !given.iter().any(|given| fits(given)) {
        return Err(Reason::BadSignature);
    }
    match signed.tolerance_seconds {
        None => Ok(()),
        Some(tolerance) => fresh(time.as_deref(), signed.timestamp_unit, tolerance, seen.now),
    }
}

type Fits<'m> = Box<dyn Fn(&[u8]) -> bool + 'm>;

fn mac<'m>(
    algorithm: hmac::Algorithm,
    signed: &Signed,
    secrets: &Secrets,
    message: &'m [u8],
) -> Result<Fits<'m>, Reason> {
    let name = signed.secret.as_deref().ok_or(Reason::NoSecret)?;
    let raw = secret(secrets, name)?;
    let key = match signed.secret_encoding {
        SecretEncoding::Text => Zeroizing::new(raw.to_vec()),
        SecretEncoding::Hex => Zeroizing::new(hex::decode(raw).map_err(|_| Reason::NoSecret)?),
        SecretEncoding::Base64 => Zeroizing::new(base64(raw).ok_or(Reason::NoSecret)?),
    };
    let key = hmac::Key::new(algorithm, &key);
    Ok(Box::new(move |given: &[u8]| {
        hmac::verify(&key, message, given).is_ok()
    }))
}

fn same<'m>(digest: Vec<u8>) -> Fits<'m> {
    Box::new(move |given: &[u8]| bool::from(given.ct_eq(&digest)))
}

fn sha(algorithm: &'static digest::Algorithm, message: &[u8]) -> Vec<u8> {
    digest::digest(algorithm, message).as_ref().to_vec()
}

/// What may be the signature: those of all headers of the name, and of all fields in them.
fn signatures(signed: &Signed, seen: &Seen<'_>) -> Vec<Vec<u8>> {
    let mut texts: Vec<Cow<'_, str>> = Vec::new();
    if let Some(header) = &signed.header {
        for value in seen.headers_named(header) {
            match &signed.field {
                Some(field) => texts.extend(fields(value, field).map(Cow::Borrowed)),
                None => texts.push(value.trim().into()),
            }
        }
    }
    if let Some(query) = &signed.query {
        texts.extend(seen.parameter(query));
    }
    texts
        .iter()
        .take(8)
        .filter_map(|text| decoded(text.strip_prefix(signed.prefix.as_str())?, signed.encoding))
        .collect()
}

/// `b` of `a=1,b=2`.
fn fields<'t>(list: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    list.split(',').filter_map(move |pair| {
        let (known, value) = pair.split_once('=')?;
        (known.trim() == name).then_some(value.trim())
    })
}

fn decoded(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => base64(text.as_bytes()),
    }
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let bare = text.trim_ascii_end();
    let end = bare
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |at| at + 1);
    STANDARD_NO_PAD
        .decode(&bare[..end])
        .or_else(|_| URL_SAFE_NO_PAD.decode(&bare[..end]))
        .ok()
}

/// As it stands in the request. None: the recipe has none.
fn timestamp(signed: &Signed, seen: &Seen<'_>) -> Result<Option<String>, Reason> {
    let found = if let Some(header) = &signed.timestamp_header {
        seen.headers_named(header)
            .next()
            .map(|text| text.trim().to_owned())
    } else if let (Some(field), Some(header)) = (&signed.timestamp_field, &signed.header) {
        let mut values = seen.headers_named(header);
        values.find_map(|value| fields(value, field).next().map(str::to_owned))
    } else if let Some(pointer) = &signed.timestamp_pointer {
        seen.json(pointer)
    } else {
        return Ok(None);
    };
    found.map(Some).ok_or(Reason::Stale)
}

fn fresh(time: Option<&str>, unit: TimeUnit, tolerance: u32, now: Timestamp) -> Result<(), Reason> {
    let number: u64 = time
        .and_then(|text| text.parse().ok())
        .ok_or(Reason::Stale)?;
    let at = match unit {
        TimeUnit::Seconds => number.checked_mul(1000).ok_or(Reason::Stale)?,
        TimeUnit::Milliseconds => number,
    };
    if at.abs_diff(now.0) <= u64::from(tolerance) * 1000 {
        Ok(())
    } else {
        Err(Reason::Stale)
    }
}

/// What is signed.
fn message(
    signed: &Signed,
    seen: &Seen<'_>,
    secrets: &Secrets,
    time: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let Some(template) = &signed.signed else {
        return Ok(Zeroizing::new(seen.body.to_vec()));
    };
    let mut out = Zeroizing::new(Vec::with_capacity(seen.body.len() + 4096));
    for part in &template.parts {
        let text: Cow<'_, [u8]> = match part {
            Part::Text(text) => text.as_bytes().into(),
            Part::Body => seen.body.into(),
            Part::Timestamp => time.ok_or(Reason::Stale)?.as_bytes().into(),
            Part::Method => seen.method.as_bytes().into(),
            Part::Url => seen.url.ok_or(Reason::NoSecret)?.as_bytes().into(),
            Part::Path => seen.path.as_bytes().into(),
            Part::Header(name) => {
                let value = seen.headers_named(name).next();
                value.ok_or(Reason::Incomplete)?.as_bytes().into()
            }
            Part::Query(name) => {
                let value = seen.parameter(name).ok_or(Reason::Incomplete)?;
                value.as_bytes().to_vec().into()
            }
            Part::Json(pointer) => {
                let value = seen.json(pointer).ok_or(Reason::Incomplete)?;
                value.into_bytes().into()
            }
            Part::Secret(name) => secret(secrets, name)?.into(),
        };
        out.extend_from_slice(&text);
    }
    Ok(out)
}

/// Its last bytes: what stands before them in a SubjectPublicKeyInfo of these kinds is fixed.
fn public_key(signed: &Signed, secrets: &Secrets, length: usize) -> Result<Vec<u8>, Reason> {
    let text = match (&signed.public_key, &signed.secret) {
        (Some(text), _) => text.as_bytes(),
        (None, Some(name)) => secret(secrets, name)?,
        (None, None) => return Err(Reason::NoSecret),
    };
    let text = std::str::from_utf8(text).map_err(|_| Reason::NoSecret)?;
    let bare: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(str::chars)
        .filter(|character| !character.is_whitespace())
        .collect();
    let bytes = hex::decode(&bare)
        .ok()
        .or_else(|| base64(bare.as_bytes()))
        .ok_or(Reason::NoSecret)?;
    let spki = [12 + 32, 26 + 65].contains(&bytes.len());
    if bytes.len() != length && !spki {
        return Err(Reason::NoSecret);
    }
    let start = bytes.len().checked_sub(length).ok_or(Reason::NoSecret)?;
    Ok(bytes[start..].to_vec())
}

/// What may be a challenge: nothing that could be a body, so that a signature of it is one of
/// nothing else.
fn is_challenge(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._~+/=-".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(fits)
}

/// None: the request is no challenge.
pub fn answer(
    challenge: &Challenge,
    seen: &Seen<'_>,
    secrets: &Secrets,
) -> Option<Result<IngressResponse, Reason>> {
    if seen.method != challenge.method {
        return None;
    }
    let text = match (&challenge.query, &challenge.pointer) {
        (Some(name), _) => seen.parameter(name)?.into_owned(),
        (None, Some(pointer)) => seen.json(pointer)?,
        (None, None) => return None,
    };
    Some(respond(challenge, &text, seen, secrets))
}

fn respond(
    challenge: &Challenge,
    text: &str,
    seen: &Seen<'_>,
    secrets: &Secrets,
) -> Result<IngressResponse, Reason> {
    if !is_challenge(text) {
        return Err(Reason::Incomplete);
    }
    if let (Some(query), Some(name)) = (&challenge.token_query, &challenge.token_secret) {
        let known = secret(secrets, name)?;
        let given = seen.parameter(query).ok_or(Reason::NoSignature)?;
        if !bool::from(given.as_bytes().ct_eq(known)) {
            return Err(Reason::BadSignature);
        }
    }
    let mut body = challenge.respond.replace("{challenge}", text);
    if let (Some(hash), Some(name)) = (&challenge.hmac, &challenge.secret) {
        let algorithm = match hash.as_str() {
            "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            "sha512" => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        let key = hmac::Key::new(algorithm, secret(secrets, name)?);
        let tag = hmac::sign(&key, text.as_bytes());
        let tag = match challenge.encoding {
            Encoding::Hex => hex::encode(tag),
            Encoding::Base64 => STANDARD.encode(tag),
        };
        body = body.replace("{hmac}", &tag);
    }
    Ok(IngressResponse {
        status: 200,
        headers: vec![("content-type".to_owned(), challenge.content_type.clone())],
        body: body.into_bytes(),
    })
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
