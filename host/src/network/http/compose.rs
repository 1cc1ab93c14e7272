//! From the contract's request to what leaves. Secrets are put in here, in memory that is
//! overwritten when it goes, and no failure says anything of them or of the address.

use super::target::{Target, invalid};
use crate::domain::error::{Failure, FailureCode};
use crate::domain::media::Blob;
use crate::domain::{SecretBytes, raw_json};
use crate::runtime::port::http::{HttpBody, HttpPart, HttpRequest, PartBody, Place, Placement};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

type Secrets = [(String, SecretBytes)];

const FORM: &str = "application/x-www-form-urlencoded";

/// What the host sets by itself.
const RESERVED: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "proxy-connection",
    "http2-settings",
];

/// A request that is ready to leave.
pub struct Composed {
    pub method: Method,
    /// Path and query, in memory that is overwritten.
    pub path: PathAndQuery,
    pub headers: HeaderMap,
    pub body: Vec<Piece>,
}

/// A part of a body.
#[derive(Clone)]
pub enum Piece {
    Bytes(Bytes),
    Blob(Box<Blob>),
}

impl Piece {
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.size,
        }
    }
}

/// `media`: the blobs that the body names.
pub fn compose(
    request: &HttpRequest,
    target: &Target,
    secrets: &Secrets,
    media: &[Blob],
) -> Result<Composed, Failure> {
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| invalid("the method is not one of HTTP"))?;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(invalid("CONNECT and TRACE are not offered"));
    }
    let mut headers = plain_headers(&request.headers)?;
    let mut segments = Vec::new();
    let mut added = Vec::new();
    let mut body = BodyParts::of(&request.body, media)?;
    for placement in &request.secrets {
        let value = value(placement, secrets)?;
        match &placement.place {
            Place::Header(name) => {
                let (name, value) = secret_header(name, value)?;
                if headers.insert(name, value).is_some() {
                    return Err(invalid("a header of a secret is given twice"));
                }
            }
            Place::Query(name) => added.push((name.as_str(), value)),
            Place::PathSegment(number) => segments.push((*number, value)),
            Place::FormField(name) => body.add_field(&headers, name, value)?,
            Place::JsonPointer(pointer) => body.replace_json(pointer, &value)?,
        }
    }
    let path = path_and_query(target, &segments, &added)?;
    let (body, content_type) = body.finish();
    if let Some(kind) = content_type {
        let value = |text| {
            HeaderValue::try_from(text).map_err(|_| invalid("the body's type is no header value"))
        };
        match kind {
            Kind::Always(text) => {
                headers.insert(CONTENT_TYPE, value(text)?);
            }
            Kind::Unless(text) => {
                headers.entry(CONTENT_TYPE).or_insert(value(text)?);
            }
        }
    }
    headers.insert(HOST, target.authority.clone());
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "anyport/",
            env!("CARGO_PKG_VERSION")
        )));
    Ok(Composed {
        method,
        path,
        headers,
        body,
    })
}

/// `before`, the secret, `after`.
fn value(placement: &Placement, secrets: &Secrets) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let name = &placement.secret;
    let secret = secrets.iter().find(|(known, _)| known == name);
    let missing = || format!("the account has no secret `{name}`");
    let (_, secret) = secret.ok_or_else(|| Failure::new(FailureCode::NotFound, missing()))?;
    let secret = secret.expose();
    let length = placement.before.len() + secret.len() + placement.after.len();
    // Grown it would leave copies behind.
    let mut whole = Zeroizing::new(Vec::with_capacity(length));
    whole.extend_from_slice(placement.before.as_bytes());
    whole.extend_from_slice(secret);
    whole.extend_from_slice(placement.after.as_bytes());
    Ok(whole)
}

fn plain_headers(pairs: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(pairs.len() + 4);
    for (name, value) in pairs {
        let wrong = |what| {
            let shown: String = name.chars().take(64).collect();
            invalid(format!("the header `{}` {what}", shown.escape_debug()))
        };
        let known = HeaderName::try_from(name.as_str()).map_err(|_| wrong("is no name"))?;
        if RESERVED.contains(&known.as_str()) {
            return Err(wrong("is the host's to set"));
        }
        let value = HeaderValue::from_bytes(value.as_bytes());
        headers.append(known, value.map_err(|_| wrong("has no valid value"))?);
    }
    Ok(headers)
}

fn secret_header(
    name: &str,
    value: Zeroizing<Vec<u8>>,
) -> Result<(HeaderName, HeaderValue), Failure> {
    let known =
        HeaderName::try_from(name).map_err(|_| invalid("the header of a secret is no name"))?;
    if RESERVED.contains(&known.as_str()) {
        return Err(invalid(format!("the header `{name}` is the host's to set")));
    }
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value))
        .map_err(|_| invalid("the secret cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok((known, value))
}

fn path_and_query(
    target: &Target,
    segments: &[(u32, Zeroizing<Vec<u8>>)],
    added: &[(&str, Zeroizing<Vec<u8>>)],
) -> Result<PathAndQuery, Failure> {
    let secret: usize = segments.iter().map(|(_, value)| value.len()).sum::<usize>()
        + added
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum::<usize>();
    let plain = target.path.len() + target.query.as_deref().map_or(0, str::len);
    let mut out = Zeroizing::new(Vec::with_capacity(plain + 3 * secret + 2));
    let mut replaced = 0;
    for (number, segment) in target.path.split('/').skip(1).enumerate() {
        out.push(b'/');
        let mut of_number = segments.iter().filter(|(at, _)| *at as usize == number);
        match of_number.next() {
            Some((_, value)) => {
                if matches!(value.as_slice(), b"." | b"..") || value.is_empty() {
                    return Err(invalid("the secret cannot stand in a path"));
                }
                encode_segment(value, &mut out);
                replaced += 1;
            }
            None => out.extend_from_slice(segment.as_bytes()),
        }
    }
    if replaced != segments.len() {
        return Err(invalid(
            "the path has no such segment, or a secret is placed in it twice",
        ));
    }
    if let Some(query) = &target.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    for (at, (name, value)) in added.iter().enumerate() {
        let first = at == 0 && target.query.as_deref().is_none_or(str::is_empty);
        if !(first && target.query.is_some()) {
            out.push(if first { b'?' } else { b'&' });
        }
        encode_pair(name, value, &mut out);
    }
    PathAndQuery::from_maybe_shared(Bytes::from_owner(out))
        .map_err(|_| invalid("the URL cannot be sent"))
}

/// All but what may stand in a segment as it is (RFC 3986, pchar).
fn encode_segment(value: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(byte) {
            out.push(*byte);
        } else {
            out.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
    }
}

fn encode_pair(name: &str, value: &[u8], out: &mut Vec<u8>) {
    byte_serialize(name.as_bytes()).for_each(|part| out.extend_from_slice(part.as_bytes()));
    out.push(b'=');
    byte_serialize(value).for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// A body while secrets are put into it.
enum BodyParts<'r> {
    Whole(Piece),
    /// As a form; its type is set.
    Form(Bytes),
    Multipart {
        boundary: String,
        parts: Vec<Part<'r>>,
        fields: Vec<(&'r str, Zeroizing<Vec<u8>>)>,
    },
}

impl<'r> BodyParts<'r> {
    fn of(body: &'r HttpBody, media: &'r [Blob]) -> Result<Self, Failure> {
        Ok(match body {
            HttpBody::Empty => Self::Whole(Piece::Bytes(Bytes::new())),
            HttpBody::Bytes(bytes) => Self::Whole(Piece::Bytes(Bytes::copy_from_slice(&bytes.0))),
            HttpBody::Blob(blob) => Self::Whole(Piece::Blob(Box::new(known(media, blob)?.clone()))),
            HttpBody::Multipart(parts) => Self::Multipart {
                boundary: format!("anyport-{}", Uuid::new_v4().simple()),
                parts: parts
                    .iter()
                    .map(|part| Part::of(part, media))
                    .collect::<Result<_, _>>()?,
                fields: Vec::new(),
            },
        })
    }

    fn add_field(
        &mut self,
        headers: &HeaderMap,
        name: &'r str,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<(), Failure> {
        let is_form = || {
            headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.split(';').next())
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM))
        };
        let present = match self {
            Self::Multipart { fields, .. } => {
                fields.push((name, value));
                return Ok(());
            }
            Self::Form(bytes) => bytes,
            Self::Whole(Piece::Bytes(bytes)) if bytes.is_empty() || is_form() => bytes,
            Self::Whole(_) => {
                return Err(invalid(format!(
                    "a form field is for an empty body, a multipart one, or one of type {FORM}"
                )));
            }
        };
        let most = present.len() + 3 * (name.len() + value.len()) + 2;
        let mut out = Zeroizing::new(Vec::with_capacity(most));
        out.extend_from_slice(present);
        if !out.is_empty() {
            out.push(b'&');
        }
        encode_pair(name, &value, &mut out);
        *self = Self::Form(Bytes::from_owner(out));
        Ok(())
    }

    fn replace_json(&mut self, pointer: &str, value: &[u8]) -> Result<(), Failure> {
        let Self::Whole(Piece::Bytes(body)) = self else {
            return Err(invalid("a JSON pointer is for a body of bytes"));
        };
        let text = std::str::from_utf8(body).map_err(|_| invalid("the body is no JSON"))?;
        let at = raw_json::locate(text, pointer)
            .ok_or_else(|| invalid(format!("the body has no value at {pointer} to be replaced")))?;
        let value =
            std::str::from_utf8(value).map_err(|_| invalid("the secret is no text for JSON"))?;
        let mut out = Zeroizing::new(Vec::with_capacity(text.len() + 6 * value.len() + 2));
        out.extend_from_slice(&body[..at.start]);
        serde_json::to_writer(&mut *out, value)
            .map_err(|_| invalid("the secret is no text for JSON"))?;
        out.extend_from_slice(&body[at.end..]);
        *self = Self::Whole(Piece::Bytes(Bytes::from_owner(out)));
        Ok(())
    }

    /// The body, and its type where the host sets it or, of a blob, knows it.
    fn finish(self) -> (Vec<Piece>, Option<Kind>) {
        let (boundary, parts, fields) = match self {
            Self::Whole(Piece::Bytes(bytes)) if bytes.is_empty() => return (Vec::new(), None),
            Self::Whole(Piece::Blob(blob)) => {
                let mime = blob.meta.mime.clone();
                return (vec![Piece::Blob(blob)], mime.map(Kind::Unless));
            }
            Self::Whole(piece) => return (vec![piece], None),
            Self::Form(bytes) => {
                return (
                    vec![Piece::Bytes(bytes)],
                    Some(Kind::Always(FORM.to_owned())),
                );
            }
            Self::Multipart {
                boundary,
                parts,
                fields,
            } => (boundary, parts, fields),
        };
        let mut pieces = Vec::new();
        for part in parts {
            pieces.push(Piece::Bytes(part.head(&boundary).into()));
            pieces.push(part.body);
            pieces.push(Piece::Bytes(Bytes::from_static(b"\r\n")));
        }
        for (name, value) in fields {
            let head = format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"\r\n\r\n",
                quoted(name)
            );
            pieces.push(Piece::Bytes(head.into()));
            pieces.push(Piece::Bytes(Bytes::from_owner(value)));
            pieces.push(Piece::Bytes(Bytes::from_static(b"\r\n")));
        }
        pieces.push(Piece::Bytes(format!("--{boundary}--\r\n").into()));
        let kind = format!("multipart/form-data; boundary={boundary}");
        (pieces, Some(Kind::Always(kind)))
    }
}

/// The body's type.
enum Kind {
    Always(String),
    /// Where the request names none.
    Unless(String),
}

/// A part of a multipart body. What it does not say, its blob says.
struct Part<'r> {
    name: &'r str,
    filename: Option<&'r str>,
    mime: Option<&'r str>,
    body: Piece,
}

impl<'r> Part<'r> {
    fn of(part: &'r HttpPart, media: &'r [Blob]) -> Result<Self, Failure> {
        let (filename, mime) = (part.filename.as_deref(), part.mime.as_deref());
        Ok(match &part.body {
            PartBody::Bytes(bytes) => Self {
                name: &part.name,
                filename,
                mime,
                body: Piece::Bytes(Bytes::copy_from_slice(&bytes.0)),
            },
            PartBody::Blob(id) => {
                let blob = known(media, id)?;
                Self {
                    name: &part.name,
                    filename: filename.or(blob.meta.filename.as_deref()),
                    mime: mime.or(blob.meta.mime.as_deref()),
                    body: Piece::Blob(Box::new(blob.clone())),
                }
            }
        })
    }

    fn head(&self, boundary: &str) -> String {
        let mut head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"",
            quoted(self.name)
        );
        if let Some(filename) = self.filename {
            head.push_str(&format!("; filename=\"{}\"", quoted(filename)));
        }
        if let Some(mime) = self.mime {
            let mime: String = mime.chars().filter(|c| !c.is_control()).collect();
            head.push_str(&format!("\r\ncontent-type: {mime}"));
        }
        head.push_str("\r\n\r\n");
        head
    }
}

fn known<'m>(media: &'m [Blob], id: &str) -> Result<&'m Blob, Failure> {
    let found = media.iter().find(|blob| blob.id.as_str() == id);
    found.ok_or_else(super::body::no_blob)
}

/// As HTML says it for multipart/form-data.
fn quoted(text: &str) -> String {
    text.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
