//! Values within a JSON text, where they stand: the text around them is not touched.

use serde_json::value::RawValue;
use std::collections::HashMap;
use std::ops::Range;

/// Where the value at the pointer (RFC 6901) stands. None: it is no JSON, or there is no such value.
pub fn locate(text: &str, pointer: &str) -> Option<Range<usize>> {
    let mut value: &RawValue = serde_json::from_str(text).ok()?;
    if !pointer.is_empty() {
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = token.replace("~1", "/").replace("~0", "~");
            value = step(value, &token)?;
        }
    }
    Some(range(text, value))
}

/// Where the elements of the array at the range stand. None: it is no array.
pub fn elements(text: &str, at: Range<usize>) -> Option<Vec<Range<usize>>> {
    let values: Vec<&RawValue> = serde_json::from_str(text.get(at)?).ok()?;
    Some(values.into_iter().map(|value| range(text, value)).collect())
}

/// A text, or a number as it is written.
pub fn text_or_number(text: &str, pointer: &str) -> Option<String> {
    let raw = &text[locate(text, pointer)?];
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok(),
        b'-' | b'0'..=b'9' => Some(raw.to_owned()),
        _ => None,
    }
}

fn step<'t>(value: &'t RawValue, token: &str) -> Option<&'t RawValue> {
    match value.get().as_bytes().first()? {
        b'{' => {
            let members: HashMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
            members.get(token).copied()
        }
        b'[' => {
            let index: usize = token.parse().ok()?;
            let values: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            values.get(index).copied()
        }
        _ => None,
    }
}

/// A value that was borrowed from the text.
fn range(text: &str, value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + value.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        r#" { "a/b": [1, {"c": "x\u00e9"}, 12345678901234567890123], "d": {"": -1.50} } "#;

    #[test]
    fn finds_what_stands_there() {
        for (pointer, expected) in [
            ("", TEXT.trim()),
            ("/a~1b/0", "1"),
            ("/a~1b/1/c", r#""x\u00e9""#),
            ("/a~1b/2", "12345678901234567890123"),
            ("/d/", "-1.50"),
        ] {
            assert_eq!(&TEXT[locate(TEXT, pointer).unwrap()], expected, "{pointer}");
        }
        for pointer in ["a", "/a", "/a~1b/3", "/a~1b/x", "/d//x"] {
            assert_eq!(locate(TEXT, pointer), None, "{pointer}");
        }
        assert_eq!(locate("{", "/a"), None);
        assert_eq!(text_or_number(TEXT, "/a~1b/1/c").as_deref(), Some("xé"));
        assert_eq!(text_or_number(TEXT, "/d/").as_deref(), Some("-1.50"));
        assert_eq!(text_or_number(TEXT, "/d"), None);
        let array = locate(TEXT, "/a~1b").unwrap();
        assert_eq!(elements(TEXT, array).unwrap().len(), 3);
    }
}
