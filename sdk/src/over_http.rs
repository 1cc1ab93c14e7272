//! What providers of channels over HTTP and webhooks write again and again.

use crate::http_types::{Body, Part, PartBody, Request};
use crate::model::Attachment;
use crate::provider::place;
use crate::reactor::{Answered, Response};
use crate::types::{Error, Header};
use crate::{Result, ingress};
use serde::Serialize;
use serde::de::DeserializeOwned;

impl Request {
    /// A blob of the host as the whole body. It never comes into this guest's memory, and leaves with
    /// its own type unless a header says another.
    pub fn post_blob(url: impl Into<String>, blob: impl Into<String>) -> Self {
        Self {
            body: Body::Blob(blob.into()),
            ..Self::new("POST", url)
        }
    }

    /// As `multipart/form-data`; the host sets the type.
    pub fn post_parts(url: impl Into<String>, parts: Vec<Part>) -> Self {
        Self {
            body: Body::Multipart(parts),
            ..Self::new("POST", url)
        }
    }

    /// The host may send it again after a lost connection or a crash.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// The body of a success goes into the host's media store and comes back as a blob
    /// ([`Response::blob`]).
    #[must_use]
    pub fn into_blob(mut self) -> Self {
        self.to_blob = true;
        self
    }
}

impl Part {
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            filename: None,
            mime: None,
            body: PartBody::Bytes(value.into().into_bytes()),
        }
    }

    /// With the blob's own name and type.
    pub fn blob(name: impl Into<String>, blob: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            filename: None,
            mime: None,
            body: PartBody::Blob(blob.into()),
        }
    }
}

impl Answered {
    /// The answer, if the channel did what was asked; else what went wrong in the contract's words,
    /// be it that no answer came or that it is a refusal.
    pub fn success(&self) -> Result<&Response> {
        let response = self.outcome.as_ref().map_err(Clone::clone)?;
        response.error().map_or(Ok(response), Err)
    }
}

impl Response {
    /// The blob that the body became.
    pub fn blob(&self) -> Option<&str> {
        match &self.body {
            crate::reactor::ResponseBody::Blob(blob) => Some(blob),
            crate::reactor::ResponseBody::Bytes(_) => None,
        }
    }
}

impl Attachment {
    /// Its bytes are at the channel, and `media.fetch` gets them by `reference`.
    pub fn referring(kind: impl Into<String>, reference: impl Into<String>) -> Self {
        Self {
            reference: Some(reference.into()),
            ..Self::new(kind)
        }
    }
}

impl ingress::Request {
    /// The body. The error says where it does not fit and nothing of what it holds.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::invalid(format!("the body cannot be read: {}", place(&error))))
    }

    /// The first header of this name, whatever the case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |header: &&Header| header.name.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|it| it.value.as_str())
    }
}

impl ingress::Response {
    /// Without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::typed(
            status,
            "text/plain; charset=utf-8",
            text.into().into_bytes(),
        )
    }

    pub fn json(status: u16, value: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(value).map_err(|error| {
            Error::internal(format!("the answer cannot be written: {}", place(&error)))
        })?;
        Ok(Self::typed(status, "application/json", body))
    }

    fn typed(status: u16, kind: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![Header::new("content-type", kind)],
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::ResponseBody;
    use crate::types::ErrorCode;

    fn answered(outcome: std::result::Result<(u16, ResponseBody), Error>) -> Answered {
        Answered {
            name: "r".to_owned(),
            context: Vec::new(),
            outcome: outcome.map(|(status, body)| Response {
                status,
                headers: Vec::new(),
                body,
            }),
        }
    }

    #[test]
    fn an_answer_is_a_success_or_says_why_not() {
        let blob = answered(Ok((200, ResponseBody::Blob("med_1".to_owned()))));
        assert_eq!(blob.success().unwrap().blob(), Some("med_1"));
        let refused = answered(Ok((404, ResponseBody::Bytes(Vec::new()))));
        assert_eq!(refused.success().unwrap_err().code, ErrorCode::NotFound);
        let lost = answered(Err(Error::unavailable("reset")));
        assert_eq!(lost.success().unwrap_err().code, ErrorCode::Unavailable);
    }

    #[test]
    fn what_goes_out() {
        let request = Request::post_blob("https://api.example/media", "med_1")
            .repeatable()
            .into_blob();
        assert!(matches!(&request.body, Body::Blob(blob) if blob == "med_1"));
        assert!(request.repeatable && request.to_blob && request.method == "POST");
        let parts = vec![Part::text("caption", "hi"), Part::blob("file", "med_1")];
        let Body::Multipart(parts) = Request::post_parts("https://api.example/", parts).body else {
            panic!("no parts");
        };
        assert!(matches!(&parts[1].body, PartBody::Blob(blob) if blob == "med_1"));
    }

    #[test]
    fn what_a_channel_posts_and_is_answered() {
        let request = ingress::Request {
            method: "POST".to_owned(),
            route: "events".to_owned(),
            path: String::new(),
            headers: vec![Header::new("X-Kind", "text")],
            body: b"{\"secret\": tru}".to_vec(),
        };
        assert_eq!(request.header("x-kind"), Some("text"));
        let error = request.json::<serde_json::Value>().unwrap_err();
        assert!(!error.message.contains("secret"), "{}", error.message);
        let answer = ingress::Response::json(200, &["a"]).unwrap();
        assert_eq!((answer.status, answer.body), (200, b"[\"a\"]".to_vec()));
        assert_eq!(ingress::Response::empty(204).headers.len(), 0);
    }
}
