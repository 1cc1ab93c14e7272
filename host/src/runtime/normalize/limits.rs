//! Rules that every emission keeps. The texts name the rule: they become the account's status.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Of an emission's key.
const MAX_KEY_BYTES: usize = 512;
/// Of a conversation's, contact's or message's id.
const MAX_ID_BYTES: usize = 512;
/// Of one `extra` or custom value.
const MAX_EXTRA_BYTES: usize = 64 * 1024;
const MAX_EXTRA_DEPTH: usize = 64;
const CONVERSATION_KINDS: [&str; 3] = ["user", "group", "channel"];
const FORMATS: [&str; 3] = ["plain", "markdown", "html"];
/// Ids in one receipt, deletion or failure.
const MAX_BATCH: usize = 1_000;
/// Of the event's whole `data`.
const MAX_DATA_BYTES: usize = 1024 * 1024;

pub(super) fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(format!(
            "an emission's key has 1 to {MAX_KEY_BYTES} bytes, not {}",
            key.len()
        ));
    }
    Ok(())
}

pub(super) fn check_id(what: &str, id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(format!(
            "the id of a {what} has 1 to {MAX_ID_BYTES} bytes, not {}",
            id.len()
        ));
    }
    Ok(())
}

pub(super) fn check_batch(what: &str, ids: &[String]) -> Result<(), String> {
    if ids.is_empty() || ids.len() > MAX_BATCH {
        return Err(format!(
            "{what} are 1 to {MAX_BATCH} ids, not {}",
            ids.len()
        ));
    }
    ids.iter().try_for_each(|id| check_id("message", id))
}

/// A name that becomes part of a type or a fixed vocabulary.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    if crate::domain::event::is_provider_name(name) {
        return Ok(());
    }
    Err(format!("a {what} is 1 to 64 of a-z, 0-9, `.`, `_` and `-`"))
}

pub(super) fn check_size(data: &RawValue) -> Result<(), String> {
    let bytes = data.get().len();
    if bytes > MAX_DATA_BYTES {
        return Err(format!(
            "an event has at most {MAX_DATA_BYTES} bytes of data, not {bytes}"
        ));
    }
    Ok(())
}

pub(super) fn check_conversation_kind(kind: &str) -> Result<(), String> {
    one_of("a conversation's kind", kind, &CONVERSATION_KINDS)
}

pub(super) fn check_format(format: &str) -> Result<(), String> {
    one_of("a text's format", format, &FORMATS)
}

fn one_of(what: &str, word: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&word) {
        return Ok(());
    }
    let short: String = word.chars().take(32).collect();
    Err(format!(
        "{what} is one of {}, not `{short}`",
        words.join(", ")
    ))
}

/// An object, as it came.
pub(super) fn check_extra(json: Option<&str>) -> Result<Option<&RawValue>, String> {
    let value = json.map(check_json).transpose()?;
    if value.is_some_and(|value| !value.get().starts_with('{')) {
        return Err("an `extra` is a JSON object".into());
    }
    Ok(value)
}

/// Valid JSON of bounded size and depth, as it came.
pub(super) fn check_json(json: &str) -> Result<&RawValue, String> {
    if json.len() > MAX_EXTRA_BYTES {
        return Err(format!(
            "`extra` and custom values have at most {MAX_EXTRA_BYTES} bytes, not {}",
            json.len()
        ));
    }
    let value: &RawValue = serde_json::from_str(json)
        .map_err(|error| format!("`extra` and custom values are JSON: {error}"))?;
    if depth(json) > MAX_EXTRA_DEPTH {
        return Err(format!(
            "`extra` and custom values nest at most {MAX_EXTRA_DEPTH} deep"
        ));
    }
    Ok(value)
}

/// The keys of `extra` that the host knows; a value of an unexpected form says nothing.
pub(super) fn hints<T: DeserializeOwned + Default>(json: Option<&str>) -> Result<T, String> {
    check_extra(json)?;
    Ok(json
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default())
}

/// Of valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
