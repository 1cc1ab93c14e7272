//! A body with entries of several accounts, taken apart: each gets the body as it came, with its
//! own entries only.

use crate::domain::ingress::OwnerPointer;
use crate::domain::raw_json;

/// (account's reference, body), in the order of their first entries. The error says what is wrong.
pub fn split(owner: &OwnerPointer, body: Vec<u8>) -> Result<Vec<(String, Vec<u8>)>, &'static str> {
    let text = std::str::from_utf8(&body).map_err(|_| "the body is not JSON")?;
    let nobody = "nothing in the body says whose it is";
    let Some(each) = &owner.each else {
        let reference = raw_json::text_or_number(text, &owner.pointer).ok_or(nobody)?;
        return Ok(vec![(reference, body)]);
    };
    let array = raw_json::locate(text, each).ok_or("the body has no list of entries")?;
    let entries = raw_json::elements(text, array.clone());
    let entries = entries.ok_or("the body has no list of entries")?;
    let mut parts: Vec<(String, Vec<&str>)> = Vec::new();
    for range in entries {
        let entry = &text[range];
        let reference = raw_json::text_or_number(entry, &owner.pointer).ok_or(nobody)?;
        match parts.iter_mut().find(|(known, _)| *known == reference) {
            Some((_, entries)) => entries.push(entry),
            None => parts.push((reference, vec![entry])),
        }
    }
    if parts.is_empty() {
        return Err(nobody);
    }
    Ok(parts
        .into_iter()
        .map(|(reference, entries)| {
            let (before, after) = (&text[..array.start], &text[array.end..]);
            let own = format!("{before}[{}]{after}", entries.join(","));
            (reference, own.into_bytes())
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pointer: &str, each: Option<&str>) -> OwnerPointer {
        OwnerPointer {
            pointer: pointer.into(),
            each: each.map(Into::into),
        }
    }

    fn parts(owner: &OwnerPointer, body: &str) -> Result<Vec<(String, String)>, &'static str> {
        let parts = split(owner, body.as_bytes().to_vec())?;
        let text = |(reference, body)| (reference, String::from_utf8(body).unwrap());
        Ok(parts.into_iter().map(text).collect())
    }

    #[test]
    fn every_account_gets_its_own_entries_as_they_came() {
        let body = r#"{"object": "page", "entry": [ {"id":"1","n":1.50}, {"id":2}, {"id":"1","n":12345678901234567890} ], "z":null}"#;
        assert_eq!(
            parts(&owner("/id", Some("/entry")), body).unwrap(),
            [
                (
                    "1".into(),
                    r#"{"object": "page", "entry": [{"id":"1","n":1.50},{"id":"1","n":12345678901234567890}], "z":null}"#.into()
                ),
                (
                    "2".into(),
                    r#"{"object": "page", "entry": [{"id":2}], "z":null}"#.into()
                ),
            ]
        );
        let whole = r#"{"recipient":{"id":7}}"#;
        assert_eq!(
            parts(&owner("/recipient/id", None), whole).unwrap(),
            [("7".into(), whole.into())]
        );
        // The array may be the body itself.
        assert_eq!(
            parts(&owner("/id", Some("")), r#" [{"id":"a"}] "#).unwrap(),
            [("a".into(), r#" [{"id":"a"}] "#.into())]
        );
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for body in [
            "",
            "{}",
            "{\"entry\":{}}",
            "{\"entry\":[]}",
            "{\"entry\":[{\"id\":null}]}",
            "{\"entry\":[{\"id\":\"1\"},{}]}",
        ] {
            assert!(
                parts(&owner("/id", Some("/entry")), body).is_err(),
                "{body}"
            );
        }
        assert!(split(&owner("/id", None), vec![0xff]).is_err());
    }
}
