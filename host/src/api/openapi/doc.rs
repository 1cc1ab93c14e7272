//! What an operation says of itself. Stands beside its route, in the file of its handler.

use super::super::codes::Code;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;
use std::borrow::Cow;

/// Makes the schema of a type; what it refers to becomes a component.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

fn shape<T: JsonSchema>() -> Shape {
    |generator| generator.subschema_for::<T>()
}

/// An operation's part of the description. What follows from its path, from who may call it and
/// from its having a body (parameters, keys, errors) is not said here; see `operation`.
#[derive(Clone, Debug)]
pub struct Doc {
    pub(super) id: Cow<'static, str>,
    pub(super) summary: &'static str,
    pub(super) more: &'static str,
    pub(super) tag: &'static str,
    pub(super) deprecated: bool,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answered>,
    pub(super) codes: Vec<Code>,
}

#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub place: &'static str,
    pub text: &'static str,
    pub schema: Value,
    pub required: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Json {
        shape: Shape,
        required: bool,
        /// Properties that this operation requires beyond what the type does.
        properties: &'static [&'static str],
    },
    /// Bytes of this media type.
    Bytes(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub status: u16,
    pub content: Content,
    /// Headers that only this answer has, names of `headers::ALL`.
    pub headers: &'static [&'static str],
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Nothing,
    /// In the envelope.
    Data(Shape),
    /// As it is.
    Raw(Vec<&'static str>),
    /// Both: data in the envelope, or another media type when the client asks for it.
    DataOr(Shape, &'static str),
}

impl Doc {
    /// `id`: of the contract, where it has the operation.
    pub fn new(id: impl Into<Cow<'static, str>>, summary: &'static str) -> Self {
        Self {
            id: id.into(),
            summary,
            more: "",
            tag: "",
            deprecated: false,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// Beyond the summary; Markdown.
    pub fn more(mut self, text: &'static str) -> Self {
        self.more = text;
        self
    }

    /// Another operation of the same kind under a name of its own.
    pub fn renamed(mut self, id: impl Into<Cow<'static, str>>) -> Self {
        self.id = id.into();
        self
    }

    /// The older spelling of another operation.
    pub fn older(mut self) -> Self {
        self.id = format!("{}Older", self.id).into();
        self.deprecated = true;
        self
    }

    pub(in crate::api) fn tagged(&mut self, tag: &'static str) {
        if self.tag.is_empty() {
            self.tag = tag;
        }
    }

    pub fn query(self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self.parameter("query", name, text, schema)
    }

    pub fn required_query(mut self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self = self.query(name, text, schema);
        if let Some(last) = self.parameters.last_mut() {
            last.required = true;
        }
        self
    }

    pub fn header(self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self.parameter("header", name, text, schema)
    }

    fn parameter(
        mut self,
        place: &'static str,
        name: &'static str,
        text: &'static str,
        schema: Value,
    ) -> Self {
        self.parameters.push(Parameter {
            name,
            place,
            text,
            schema,
            required: false,
        });
        self
    }

    /// A JSON object that must be there.
    pub fn body<T: JsonSchema>(self) -> Self {
        self.body_with::<T>(&[])
    }

    /// The same with properties that only this operation requires.
    pub fn body_with<T: JsonSchema>(mut self, properties: &'static [&'static str]) -> Self {
        self.body = Some(Body::Json {
            shape: shape::<T>(),
            required: true,
            properties,
        });
        self
    }

    /// A JSON object that may be left out.
    pub fn optional_body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(Body::Json {
            shape: shape::<T>(),
            required: false,
            properties: &[],
        });
        self
    }

    pub fn bytes(mut self, media_type: &'static str) -> Self {
        self.body = Some(Body::Bytes(media_type));
        self
    }

    pub fn ok<T: JsonSchema>(self) -> Self {
        self.answers::<T>(200)
    }

    pub fn created<T: JsonSchema>(self) -> Self {
        self.answers::<T>(201)
    }

    pub fn answers<T: JsonSchema>(self, status: u16) -> Self {
        self.content(status, Content::Data(shape::<T>()))
    }

    pub fn no_content(self) -> Self {
        self.content(204, Content::Nothing)
    }

    /// 200 without the envelope.
    pub fn raw(self, media_types: &[&'static str]) -> Self {
        self.content(200, Content::Raw(media_types.to_vec()))
    }

    /// The same with another status.
    pub fn raw_with(self, status: u16, media_types: &[&'static str]) -> Self {
        self.content(status, Content::Raw(media_types.to_vec()))
    }

    /// 200 in the envelope, or of this media type.
    pub fn ok_or<T: JsonSchema>(self, media_type: &'static str) -> Self {
        self.content(200, Content::DataOr(shape::<T>(), media_type))
    }

    /// Without a body.
    pub fn bare(self, status: u16) -> Self {
        self.content(status, Content::Nothing)
    }

    fn content(mut self, status: u16, content: Content) -> Self {
        self.answers.push(Answered {
            status,
            content,
            headers: &[],
        });
        self
    }

    /// Of the answer that was named last.
    pub fn with_headers(mut self, names: &'static [&'static str]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers = names;
        }
        self
    }

    /// Errors beyond those that follow from the table of `access` and from there being a body.
    pub fn fails(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        self.codes.extend(codes);
        self
    }
}
