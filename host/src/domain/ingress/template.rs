//! What a signature is over, written as a text with names in braces.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `{body}`, `{timestamp}`, `{method}`, `{url}` (the whole public address), `{path}`,
/// `{header:name}`, `{query:name}`, `{json:/pointer}` (a text or number of the body),
/// `{secret:name}`; all else as it stands. `{{` and `}}` are braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Body,
    Timestamp,
    Method,
    Url,
    Path,
    Header(String),
    Query(String),
    Json(String),
    Secret(String),
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let Some(end) = rest.find('}').filter(|_| brace == "{") else {
                return Err(format!("`{text}` has a brace without its other one"));
            };
            let name = &rest[..end];
            rest = &rest[end + 1..];
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::parse(name)?);
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        if parts.is_empty() {
            return Err("what is signed is empty".to_owned());
        }
        Ok(Self { parts })
    }

    /// As it is written.
    pub fn text(&self) -> String {
        self.parts.iter().map(Part::text).collect()
    }
}

impl Part {
    fn parse(name: &str) -> Result<Self, String> {
        let known = match name.split_once(':') {
            None => match name {
                "body" => Some(Self::Body),
                "timestamp" => Some(Self::Timestamp),
                "method" => Some(Self::Method),
                "url" => Some(Self::Url),
                "path" => Some(Self::Path),
                _ => None,
            },
            Some((_, "")) => None,
            Some(("header", name)) => Some(Self::Header(name.to_ascii_lowercase())),
            Some(("query", name)) => Some(Self::Query(name.to_owned())),
            Some(("json", pointer)) if super::is_pointer(pointer) => {
                Some(Self::Json(pointer.to_owned()))
            }
            Some(("secret", name)) => Some(Self::Secret(name.to_owned())),
            Some(_) => None,
        };
        known.ok_or_else(|| format!("`{{{name}}}` is no part of a request"))
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            Self::Body => "{body}".to_owned(),
            Self::Timestamp => "{timestamp}".to_owned(),
            Self::Method => "{method}".to_owned(),
            Self::Url => "{url}".to_owned(),
            Self::Path => "{path}".to_owned(),
            Self::Header(name) => format!("{{header:{name}}}"),
            Self::Query(name) => format!("{{query:{name}}}"),
            Self::Json(pointer) => format!("{{json:{pointer}}}"),
            Self::Secret(name) => format!("{{secret:{name}}}"),
        }
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
