//! Text from elsewhere, made safe and narrow enough for a terminal. What strangers write must
//! not move the cursor, colour the screen or turn the direction of writing.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Control characters and marks of direction are shown as what they are; nothing else changes.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push('⏎'),
            '\t' => shown.push(' '),
            _ if character.is_control() || turns(character) => {
                shown.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            _ => shown.push(character),
        }
    }
    shown
}

fn turns(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{061c}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Columns that it takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// At most this many columns, with an ellipsis where something was left out.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 0;
    for character in text.chars() {
        let next = character.width().unwrap_or(0);
        if used + next + 1 > columns {
            break;
        }
        used += next;
        shown.push(character);
    }
    if columns > 0 {
        shown.push('…');
    }
    shown
}

/// A moment in RFC 3339 as a clock on this wall shows it; unchanged if it is none.
pub fn local_time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => moment
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => printable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown() {
        assert_eq!(
            printable("\u{1b}[31mred\u{7}\u{202e}x\r\n\u{9b}2J"),
            "\\u{1b}[31mred\\u{7}\\u{202e}x\\u{d}⏎\\u{9b}2J"
        );
        assert_eq!(printable("Zoë 👋 日本"), "Zoë 👋 日本");
    }

    #[test]
    fn cuts_by_columns() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello", 4), "hel…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("x", 0), "");
    }
}
