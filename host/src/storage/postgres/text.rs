//! Text that PostgreSQL takes: its `text` holds no NUL character, while names and error texts come
//! from guests and from servers and may. Equal texts stay equal, so that lookups work.

/// A code point that is no character stands before what replaces a NUL, and before itself.
const ESCAPE: char = '\u{10fffe}';

pub(in crate::storage) fn encode(text: String) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text;
    }
    let mut encoded = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => encoded.extend([ESCAPE, '0']),
            ESCAPE => encoded.extend([ESCAPE, '1']),
            other => encoded.push(other),
        }
    }
    encoded
}

pub(in crate::storage) fn decode(text: &str) -> String {
    if !text.contains(ESCAPE) {
        return text.to_owned();
    }
    let mut decoded = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE if characters.next() == Some('0') => decoded.push('\0'),
            other => decoded.push(other),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_holds_no_nul() {
        for text in [
            "",
            "plain",
            "a\0b",
            "\0",
            "\u{10fffe}",
            "\u{10fffe}0\0\u{10fffe}1",
        ] {
            let encoded = encode(text.to_owned());
            assert!(!encoded.contains('\0'));
            assert_eq!(decode(&encoded), text);
        }
        assert_ne!(encode("\0".to_owned()), encode("\u{10fffe}0".to_owned()));
    }
}
