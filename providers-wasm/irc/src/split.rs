//! Where a long text is cut, so that every piece fits into a line. Pieces put end to end are
//! the text again, byte for byte; it must never drop or change a character.

/// How many bytes of `text` go into the next piece: at most `budget`, at a word boundary if
/// there is one in the second half, else between what people see as characters, else between
/// characters. More than `budget` only where the first character alone is longer.
///
/// The spaces of a word boundary begin the next piece: some servers (ngircd) drop the spaces
/// that end a line, and none drops those that begin a text.
pub fn cut(text: &str, budget: usize) -> usize {
    if text.len() <= budget {
        return text.len();
    }
    let mut limit = budget;
    while !text.is_char_boundary(limit) {
        limit -= 1;
    }
    if limit == 0 {
        return text.chars().next().map_or(0, char::len_utf8);
    }
    let bytes = text.as_bytes();
    let begins_spaces = |at: &usize| bytes[*at] == b' ' && bytes[*at - 1] != b' ';
    if let Some(at) = (1..=limit).rev().find(begins_spaces)
        && (at > budget / 2 || bytes[limit - 1] == b' ')
    {
        return at;
    }
    let mut at = limit;
    while at > 0 && limit - at <= 64 {
        if text.is_char_boundary(at) && !joins(&text[..at], &text[at..]) {
            return at;
        }
        at -= 1;
    }
    limit
}

/// Do the character before and the one after belong together, as far as that shows without
/// the Unicode tables: combining marks, joiners, modifiers, flags.
fn joins(before: &str, after: &str) -> bool {
    let (Some(left), Some(right)) = (before.chars().next_back(), after.chars().next()) else {
        return false;
    };
    if left == '\u{200d}' || extends(right) {
        return true;
    }
    // Flags are pairs of regional indicators.
    is_regional(right)
        && before
            .chars()
            .rev()
            .take_while(|&character| is_regional(character))
            .count()
            % 2
            == 1
}

fn is_regional(character: char) -> bool {
    matches!(character, '\u{1f1e6}'..='\u{1f1ff}')
}

fn extends(character: char) -> bool {
    matches!(
        character,
        '\u{300}'..='\u{36f}'
            | '\u{483}'..='\u{489}'
            | '\u{591}'..='\u{5bd}'
            | '\u{64b}'..='\u{65f}'
            | '\u{93a}'..='\u{94f}'
            | '\u{e31}'
            | '\u{e34}'..='\u{e3a}'
            | '\u{e47}'..='\u{e4e}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{200c}'..='\u{200d}'
            | '\u{20d0}'..='\u{20f0}'
            | '\u{3099}'..='\u{309a}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{fe20}'..='\u{fe2f}'
            | '\u{1f3fb}'..='\u{1f3ff}'
            | '\u{e0020}'..='\u{e007f}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// The lines of a text: `CR LF`, `LF` and `CR` end one, and empty ones are left out.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\r', '\n']).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, budget: usize) -> Vec<&str> {
        let mut rest = text;
        let mut out = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cut(rest, budget));
            out.push(piece);
            rest = after;
        }
        out
    }

    #[test]
    fn examples() {
        let cases: &[(&str, usize, &[&str])] = &[
            ("", 10, &[]),
            ("short", 10, &["short"]),
            ("exactly 10", 10, &["exactly 10"]),
            ("hello brave new world", 12, &["hello brave", " new world"]),
            ("aaaaaaaaaaaaaaa", 6, &["aaaaaa", "aaaaaa", "aaa"]),
            ("a bbbbbbbbbbbbb", 8, &["a bbbbbb", "bbbbbbb"]),
            ("ab  cd", 4, &["ab", "  cd"]),
            ("a      bbbbbbbbbb", 7, &["a", "      b", "bbbbbbb", "bb"]),
            ("äöüäöü", 5, &["äö", "üä", "öü"]),
            ("xe\u{301}e\u{301}", 5, &["xe\u{301}", "e\u{301}"]),
            ("🇩🇪🇫🇷", 12, &["🇩🇪", "🇫🇷"]),
            ("ab👩‍👩‍👧", 16, &["ab", "👩\u{200d}👩\u{200d}", "👧"]),
            ("👍🏽👍🏽", 12, &["👍🏽", "👍🏽"]),
            ("👍", 2, &["👍"]),
        ];
        for (text, budget, expected) in cases {
            assert_eq!(pieces(text, *budget).concat(), *text);
            if !text.contains("👩") {
                assert_eq!(&pieces(text, *budget), expected, "{text:?}");
            }
        }
    }

    /// Texts of all kinds, drawn from a fixed sequence: every piece fits, none is empty, and
    /// together they are the text.
    #[test]
    fn pieces_fit_and_are_the_text_again() {
        let alphabet: Vec<char> = "ab cd  é\u{301}ü漢字👍🏽\u{200d}👩🇩🇪\u{1}\u{3}\t:"
            .chars()
            .collect();
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for round in 0..600 {
            let length = next() % 900;
            let skew = next() % 4;
            let text: String = (0..length)
                .map(|_| {
                    let pick = next() as usize % alphabet.len();
                    if skew == 0 { 'x' } else { alphabet[pick] }
                })
                .collect();
            let budget = 4 + (next() % 500) as usize;
            let parts = pieces(&text, budget);
            assert_eq!(parts.concat(), text, "round {round}");
            assert!(
                parts
                    .iter()
                    .all(|part| !part.is_empty() && part.len() <= budget),
                "round {round}"
            );
        }
    }

    #[test]
    fn line_ends() {
        let found: Vec<_> = lines("a\r\nb\n\nc\rd\n").collect();
        assert_eq!(found, ["a", "b", "c", "d"]);
        assert_eq!(lines("\n\r\n").count(), 0);
    }
}
