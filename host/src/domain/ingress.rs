//! How a channel calls us: the manifest's `[[ingress]]` routes and the recipes by which the host
//! verifies a request before the provider sees it. Only data and its rules; `supervisor::ingress`
//! does what they say.

mod template;

pub use template::{Part, Template};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most that any route takes.
pub const MAX_BYTES: u32 = 1024 * 1024;

/// A request of the channel, as a provider gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct IngressRequest {
    pub method: String,
    pub route: String,
    /// Below the route, with the query.
    pub path: String,
    /// Names are lower-case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Its headers may hold a token, its body a message.
impl fmt::Debug for IngressRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngressRequest")
            .field("method", &self.method)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct IngressResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl fmt::Debug for IngressResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngressResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// One route of a provider.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IngressRoute {
    /// Its name, and its place in the address: lower-case letters, digits and hyphens.
    pub route: String,
    #[serde(default = "post_only")]
    pub methods: Vec<String>,
    /// Of a body.
    #[serde(default = "max_bytes")]
    pub max_bytes: u32,
    #[serde(default)]
    pub account: Owner,
    pub verify: Verify,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
}

fn post_only() -> Vec<String> {
    vec!["POST".to_owned()]
}

fn max_bytes() -> u32 {
    MAX_BYTES
}

/// Whose request it is.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Owner {
    /// Every account has an address of its own.
    #[default]
    Path,
    /// One address for all accounts of the provider; the body says whose it is by the account's
    /// `provider_account_ref`.
    Pointer(OwnerPointer),
    /// The same by a header.
    Header(OwnerHeader),
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OwnerPointer {
    /// A JSON pointer to a text or a number: into the body, or into each entry.
    pub pointer: String,
    /// A JSON pointer to an array whose entries may be of several accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OwnerHeader {
    pub header: String,
}

/// What proves that it is the channel who calls.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Verify {
    HmacSha1(Signed),
    HmacSha256(Signed),
    HmacSha512(Signed),
    /// A digest over texts of which one is a secret.
    DigestMd5(Signed),
    DigestSha1(Signed),
    DigestSha256(Signed),
    DigestSha512(Signed),
    /// A signature of the channel's own key; `secret` or `public-key` is the public one.
    Ed25519(Signed),
    EcdsaP256(Signed),
    /// The secret itself.
    Token(Token),
    /// Nothing. Only where the operator says so for this provider.
    None,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretEncoding {
    /// As it is.
    #[default]
    Text,
    Hex,
    Base64,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeUnit {
    #[default]
    Seconds,
    Milliseconds,
}

/// A signature, a MAC or a digest over what `signed` says.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Signed {
    /// Where it is: a header or a query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The header is a list `a=…,b=…`, and this is the signature's name in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Stands before it, `sha256=`.
    pub prefix: String,
    pub encoding: Encoding,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    pub secret_encoding: SecretEncoding,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// See [`Template`]. `{body}` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub signed: Option<Template>,
    /// Where the time of the request is: a header, a name in the list of `header`, or a place in
    /// the JSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_pointer: Option<String>,
    pub timestamp_unit: TimeUnit,
    /// An older or newer one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance_seconds: Option<u32>,
}

/// The secret as it is, in a header or a query parameter.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Token {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Stands before it, `Bearer `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    pub secret: String,
}

/// A question by which the channel learns that the address is ours. The host answers it by itself.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Challenge {
    #[serde(default = "get")]
    pub method: String,
    /// The parameter, or the place in the JSON body, that holds the challenge. A request without
    /// it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The parameter that has to be the secret `token-secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret: Option<String>,
    /// `sha1`, `sha256`, `sha512`: the answer holds the HMAC of the challenge under `secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(default)]
    pub encoding: Encoding,
    /// The answer, with `{challenge}` and `{hmac}` filled in.
    #[serde(default = "challenge_itself")]
    pub respond: String,
    #[serde(default = "plain_text")]
    pub content_type: String,
}

fn get() -> String {
    "GET".to_owned()
}

fn challenge_itself() -> String {
    "{challenge}".to_owned()
}

fn plain_text() -> String {
    "text/plain; charset=utf-8".to_owned()
}

impl Verify {
    /// As the manifest calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::HmacSha1(_) => "hmac-sha1",
            Self::HmacSha256(_) => "hmac-sha256",
            Self::HmacSha512(_) => "hmac-sha512",
            Self::DigestMd5(_) => "digest-md5",
            Self::DigestSha1(_) => "digest-sha1",
            Self::DigestSha256(_) => "digest-sha256",
            Self::DigestSha512(_) => "digest-sha512",
            Self::Ed25519(_) => "ed25519",
            Self::EcdsaP256(_) => "ecdsa-p256",
            Self::Token(_) => "token",
            Self::None => "none",
        }
    }

    pub fn signed(&self) -> Option<&Signed> {
        match self {
            Self::HmacSha1(signed)
            | Self::HmacSha256(signed)
            | Self::HmacSha512(signed)
            | Self::DigestMd5(signed)
            | Self::DigestSha1(signed)
            | Self::DigestSha256(signed)
            | Self::DigestSha512(signed)
            | Self::Ed25519(signed)
            | Self::EcdsaP256(signed) => Some(signed),
            Self::Token(_) | Self::None => None,
        }
    }

    fn is_digest(&self) -> bool {
        matches!(
            self,
            Self::DigestMd5(_)
                | Self::DigestSha1(_)
                | Self::DigestSha256(_)
                | Self::DigestSha512(_)
        )
    }

    fn is_of_a_key_pair(&self) -> bool {
        matches!(self, Self::Ed25519(_) | Self::EcdsaP256(_))
    }
}

impl IngressRoute {
    pub fn is_shared(&self) -> bool {
        self.account != Owner::Path
    }

    /// Every secret that its recipes use.
    pub fn secrets(&self) -> Vec<&str> {
        let mut names = Vec::new();
        match &self.verify {
            Verify::Token(token) => names.push(token.secret.as_str()),
            Verify::None => {}
            signed => {
                if let Some(signed) = signed.signed() {
                    names.extend(signed.secret.as_deref());
                    let template = signed.signed.iter().flat_map(|template| &template.parts);
                    names.extend(template.filter_map(|part| match part {
                        Part::Secret(name) => Some(name.as_str()),
                        _ => None,
                    }));
                }
            }
        }
        if let Some(challenge) = &self.challenge {
            names.extend(challenge.token_secret.as_deref());
            names.extend(challenge.secret.as_deref());
        }
        names
    }

    /// The rules that no type holds. The error names the field and the rule.
    pub fn check(&self) -> Result<(), String> {
        let at =
            |field: &str, rule: &str| Err(format!("ingress `{}`: {field}: {rule}", self.route));
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if !word(&self.route) {
            return at(
                "route",
                "is lower-case letters, digits and hyphens, at most 64",
            );
        }
        let methods = ["GET", "POST", "PUT"];
        if self.methods.is_empty() || !self.methods.iter().all(|one| methods.contains(&&**one)) {
            return at("methods", "is one or more of GET, POST, PUT");
        }
        if self.max_bytes == 0 || self.max_bytes > MAX_BYTES {
            return at("max-bytes", "is 1 to 1048576");
        }
        match &self.account {
            Owner::Path => {}
            Owner::Pointer(OwnerPointer { pointer, each }) => {
                if !is_pointer(pointer) {
                    return at("account.pointer", "is a JSON pointer such as /recipient/id");
                }
                if each.as_deref().is_some_and(|each| !is_pointer(each)) {
                    return at("account.each", "is a JSON pointer such as /entry");
                }
            }
            Owner::Header(OwnerHeader { header }) if header.is_empty() => {
                return at("account.header", "is a header's name");
            }
            Owner::Header(_) => {}
        }
        match &self.verify {
            Verify::None => {}
            Verify::Token(token) => {
                if token.header.is_some() == token.query.is_some() {
                    return at("verify", "names either a header or a query parameter");
                }
            }
            verify => {
                if let Some(signed) = verify.signed() {
                    let checked = signed.check(verify.is_digest(), verify.is_of_a_key_pair());
                    checked.or_else(|(field, rule)| at(&format!("verify.{field}"), &rule))?;
                }
            }
        }
        match &self.challenge {
            None => Ok(()),
            Some(challenge) => challenge
                .check(self)
                .or_else(|(field, rule)| at(&format!("challenge.{field}"), rule)),
        }
    }
}

type Wrong<T> = (&'static str, T);

impl Signed {
    fn check(&self, digest: bool, key_pair: bool) -> Result<(), Wrong<String>> {
        let wrong = |field, rule: &str| Err((field, rule.to_owned()));
        if self.header.is_some() == self.query.is_some() {
            return wrong(
                "header",
                "names the signature's header, or `query` its parameter; one of them",
            );
        }
        if self.field.is_some() && self.header.is_none() {
            return wrong("field", "is a name in the list of a header");
        }
        let uses_secret = |name: &Part| matches!(name, Part::Secret(_));
        let parts = self.signed.as_ref().map_or(&[][..], |signed| &signed.parts);
        if digest {
            if self.secret.is_some() || !parts.iter().any(uses_secret) {
                return wrong(
                    "signed",
                    "says where the secret of a digest is: {secret:name}",
                );
            }
        } else if key_pair {
            if self.secret.is_some() == self.public_key.is_some() {
                return wrong(
                    "public-key",
                    "is the channel's public key, or `secret` names it; one of them",
                );
            }
        } else if self.secret.is_none() {
            return wrong("secret", "is required");
        }
        if self.public_key.is_some() && !key_pair {
            return wrong("public-key", "is only for ed25519 and ecdsa-p256");
        }
        let times = [
            self.timestamp_header.is_some(),
            self.timestamp_field.is_some(),
            self.timestamp_pointer.is_some(),
        ];
        let times = times.into_iter().filter(|given| *given).count();
        if times > 1 {
            return wrong(
                "timestamp-header",
                "is given, or timestamp-field, or timestamp-pointer; one of them",
            );
        }
        if self.timestamp_field.is_some() && self.field.is_none() {
            return wrong(
                "timestamp-field",
                "is a name in the list of a header, as `field` is",
            );
        }
        let named = parts.contains(&Part::Timestamp);
        if named && times == 0 {
            return wrong(
                "signed",
                "has {timestamp}, but nothing says where that is (timestamp-header)",
            );
        }
        if self.tolerance_seconds.is_some() {
            let covered = match (&self.timestamp_pointer, parts) {
                (Some(_), []) => true,
                (Some(_), parts) => named || parts.contains(&Part::Body),
                (None, _) => named,
            };
            if times == 0 || !covered {
                return wrong(
                    "tolerance-seconds",
                    "needs a timestamp that `signed` covers; another one proves nothing",
                );
            }
        }
        // A signature that does not cover the body lets everybody write one.
        if !parts.is_empty()
            && !parts
                .iter()
                .any(|part| matches!(part, Part::Body | Part::Json(_)))
        {
            return wrong("signed", "covers {body}, or parts of it as {json:/pointer}");
        }
        Ok(())
    }
}

impl Challenge {
    fn check(&self, route: &IngressRoute) -> Result<(), Wrong<&'static str>> {
        if !["GET", "POST"].contains(&&*self.method) {
            return Err(("method", "is GET or POST"));
        }
        if self.query.is_some() == self.pointer.is_some() {
            return Err((
                "query",
                "names the challenge's parameter, or `pointer` its place in the body; one of them",
            ));
        }
        if self.pointer.is_some() && (self.method != "POST" || route.verify == Verify::None) {
            return Err(("pointer", "is for POST on a route that is verified"));
        }
        if self.token_query.is_some() != self.token_secret.is_some() {
            return Err(("token-query", "goes with token-secret"));
        }
        if self.hmac.is_some() != self.secret.is_some() {
            return Err(("hmac", "goes with `secret`"));
        }
        if let Some(hash) = &self.hmac
            && !["sha1", "sha256", "sha512"].contains(&&**hash)
        {
            return Err(("hmac", "is sha1, sha256 or sha512"));
        }
        if self.query.is_some() && self.token_query.is_none() && self.hmac.is_none() {
            return Err((
                "token-query",
                "is required, or `hmac`: otherwise anybody is told that the address is good",
            ));
        }
        if self.respond.contains("{hmac}") != self.hmac.is_some() {
            return Err(("respond", "has {hmac} exactly if `hmac` is given"));
        }
        if self.respond.len() > 1024 || !self.content_type.is_ascii() {
            return Err((
                "respond",
                "has at most 1024 bytes, and content-type is ASCII",
            ));
        }
        Ok(())
    }
}

pub fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 512
}

#[cfg(test)]
#[path = "ingress/tests.rs"]
mod tests;
