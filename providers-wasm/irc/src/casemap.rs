//! Which names are the same (`CASEMAPPING` of 005). Ids of conversations and contacts are
//! folded names. It must never be used on text that people read.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Casemap {
    Ascii,
    /// `{}|^` are the lower case of `[]\~`; what a server that says nothing means.
    #[default]
    Rfc1459,
    /// The same without `^` and `~`.
    StrictRfc1459,
}

impl Casemap {
    /// A mapping that is not known is read as ASCII, which folds the least.
    pub fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "rfc1459" => Self::Rfc1459,
            "strict-rfc1459" | "rfc1459-strict" => Self::StrictRfc1459,
            _ => Self::Ascii,
        }
    }

    pub fn fold(self, name: &str) -> String {
        name.chars()
            .map(|character| self.lower(character))
            .collect()
    }

    pub fn same(self, left: &str, right: &str) -> bool {
        left.chars()
            .map(|character| self.lower(character))
            .eq(right.chars().map(|character| self.lower(character)))
    }

    fn lower(self, character: char) -> char {
        match (self, character) {
            (Self::Rfc1459 | Self::StrictRfc1459, '[') => '{',
            (Self::Rfc1459 | Self::StrictRfc1459, ']') => '}',
            (Self::Rfc1459 | Self::StrictRfc1459, '\\') => '|',
            (Self::Rfc1459, '~') => '^',
            _ => character.to_ascii_lowercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding() {
        let cases = [
            ("rfc1459", "Nick[A]\\~", "nick{a}|^"),
            ("strict-rfc1459", "Nick[A]\\~", "nick{a}|~"),
            ("ascii", "Nick[A]\\~", "nick[a]\\~"),
            ("rfc7613", "ÄNick[", "Änick["),
        ];
        for (name, text, folded) in cases {
            let map = Casemap::named(name);
            assert_eq!(map.fold(text), folded, "{name}");
            assert!(map.same(text, folded), "{name}");
        }
        assert_eq!(Casemap::default(), Casemap::Rfc1459);
        assert!(!Casemap::Ascii.same("a[", "a{"));
    }
}
