//! Reads the fields of a JSON object and of a query, and names what is wrong: `to.type: must be
//! one of user, group, channel`. Unknown fields are ignored; `null`, and an empty string in an
//! optional field, count as absent.

use super::error::ApiError;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// A JSON object of the request and where it stands in it.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// `to.`, or nothing at the top.
    prefix: String,
}

impl<'a> Fields<'a> {
    pub fn top(map: &'a Map<String, Value>) -> Self {
        Self {
            map,
            prefix: String::new(),
        }
    }

    /// An object below a path that the caller knows, such as `message.contacts[2]`.
    pub fn at(path: &str, value: &'a Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self {
                map,
                prefix: format!("{path}."),
            }),
            other => Err(ApiError::field(path, must_be("an object", other))),
        }
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn error(&self, name: &str, rule: impl AsRef<str>) -> ApiError {
        ApiError::field(self.path(name), rule)
    }

    /// None when missing or null.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Is it there at all, be it as null?
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// An empty string stays one.
    pub fn any_text(&self, name: &str, max: usize) -> Result<Option<&'a str>, ApiError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let Value::String(text) = value else {
            return Err(self.error(name, must_be("a string", value)));
        };
        if text.contains('\0') {
            return Err(self.error(name, "must not contain the character U+0000"));
        }
        if text.chars().count() > max {
            return Err(self.error(name, format!("must have at most {max} characters")));
        }
        Ok(Some(text))
    }

    /// An empty string counts as absent.
    pub fn text(&self, name: &str, max: usize) -> Result<Option<&'a str>, ApiError> {
        Ok(self.any_text(name, max)?.filter(|text| !text.is_empty()))
    }

    pub fn required_text(&self, name: &str, max: usize) -> Result<&'a str, ApiError> {
        match self.any_text(name, max)? {
            None => Err(self.error(name, "is required (a string)")),
            Some("") => Err(self.error(name, "must not be empty")),
            Some(text) => Ok(text),
        }
    }

    pub fn object(&self, name: &str) -> Result<Option<Fields<'a>>, ApiError> {
        self.value(name)
            .map(|value| Fields::at(&self.path(name), value))
            .transpose()
    }

    pub fn required_object(&self, name: &str) -> Result<Fields<'a>, ApiError> {
        self.object(name)?
            .ok_or_else(|| self.error(name, "is required (an object)"))
    }

    pub fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    pub fn list(&self, name: &str) -> Result<Option<&'a [Value]>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.error(name, must_be("a list", other))),
        }
    }

    /// A list of strings that are not empty.
    pub fn strings(&self, name: &str, max: usize) -> Result<Option<Vec<String>>, ApiError> {
        let Some(items) = self.list(name)? else {
            return Ok(None);
        };
        if items.len() > max {
            return Err(self.error(name, format!("must have at most {max} items")));
        }
        items
            .iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::String(text) if text.contains('\0') => Err(self.error(
                    &format!("{name}[{index}]"),
                    "must not contain the character U+0000",
                )),
                Value::String(text) if !text.is_empty() => Ok(text.clone()),
                Value::String(_) => {
                    Err(self.error(&format!("{name}[{index}]"), "must not be empty"))
                }
                other => Err(self.error(&format!("{name}[{index}]"), must_be("a string", other))),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    pub fn integer(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.error(name, integer_rule(&range))),
        }
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(is)) => Ok(Some(*is)),
            Some(other) => Err(self.error(name, must_be("a boolean", other))),
        }
    }

    pub fn required_boolean(&self, name: &str) -> Result<bool, ApiError> {
        self.boolean(name)?
            .ok_or_else(|| self.error(name, "is required (a boolean)"))
    }

    /// Strings that are not empty, at least one.
    pub fn required_strings(&self, name: &str, max: usize) -> Result<Vec<String>, ApiError> {
        match self.strings(name, max)? {
            Some(texts) if !texts.is_empty() => Ok(texts),
            _ => Err(self.error(name, "is required (a list of at least one string)")),
        }
    }

    pub fn required_choice(
        &self,
        name: &str,
        choices: &[&'static str],
    ) -> Result<&'static str, ApiError> {
        self.choice(name, choices)?
            .ok_or_else(|| self.error(name, format!("is required ({})", one_of(choices))))
    }

    /// One of a few words.
    pub fn choice(
        &self,
        name: &str,
        choices: &[&'static str],
    ) -> Result<Option<&'static str>, ApiError> {
        let Some(text) = self.text(name, 128)? else {
            return Ok(None);
        };
        match choices.iter().find(|choice| **choice == text) {
            Some(choice) => Ok(Some(choice)),
            None => Err(self.error(name, one_of(choices))),
        }
    }
}

pub fn one_of(choices: &[&str]) -> String {
    format!("must be one of {}", choices.join(", "))
}

pub fn integer_rule(range: &RangeInclusive<u64>) -> String {
    match (*range.start(), *range.end()) {
        (start, end) if end >= u64::from(u32::MAX) => {
            format!("must be an integer of at least {start}")
        }
        (start, end) => format!("must be an integer from {start} to {end}"),
    }
}

/// `must be a string, not a number`
pub fn must_be(what: &str, found: &Value) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("must be {what}, not {found}")
}

#[cfg(test)]
mod tests {
    use super::Fields;
    use serde_json::{Value, json};

    #[test]
    fn says_which_field_and_what_rule() {
        let body =
            json!({"to": {"type": 3, "id": ""}, "limit": 1.0, "list": ["a", 1], "none": null});
        let Value::Object(map) = &body else { panic!() };
        let top = Fields::top(map);
        let to = top.required_object("to").unwrap();
        let message = |error: super::ApiError| error.message;
        assert_eq!(
            message(to.text("type", 9).unwrap_err()),
            "to.type: must be a string, not a number"
        );
        assert_eq!(to.text("id", 9).unwrap(), None);
        assert_eq!(
            message(to.required_text("id", 9).unwrap_err()),
            "to.id: must not be empty"
        );
        assert_eq!(
            message(to.required_text("name", 9).unwrap_err()),
            "to.name: is required (a string)"
        );
        assert_eq!(
            message(top.integer("limit", 1..=9).unwrap_err()),
            "limit: must be an integer from 1 to 9"
        );
        assert_eq!(
            message(top.strings("list", 9).unwrap_err()),
            "list[1]: must be a string, not a number"
        );
        assert!(top.object("none").unwrap().is_none());
    }
}
