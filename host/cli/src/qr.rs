//! A QR code in a terminal: two modules a character, a quiet zone around, and dark on light
//! whatever the terminal's own colours are.

use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

/// Light modules around the code, which readers need.
const QUIET: usize = 2;
/// Black on white, by their fixed places in the 256 colours, which no theme changes.
const COLOURS: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// The lines to print. Without `colour`, for a terminal of light text on dark ground. None: the
/// text is longer than a QR code can hold.
pub fn lines(text: &str, colour: bool) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let side = code.width() + 2 * QUIET;
    let modules = code.to_colors();
    let dark = |row: usize, column: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < code.width());
        match (inside(row), inside(column)) {
            (Some(row), Some(column)) => modules[row * code.width() + column] == Color::Dark,
            _ => false,
        }
    };
    let lines = (0..side).step_by(2).map(|row| {
        let characters: String = (0..side)
            .map(|column| {
                let (upper, lower) = (dark(row, column), dark(row + 1, column));
                // With colours the dark modules are drawn; without, the light ones.
                match (upper == colour, lower == colour) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                }
            })
            .collect();
        if colour {
            format!("{COLOURS}{characters}{RESET}")
        } else {
            characters
        }
    });
    Some(lines.collect())
}

/// Columns that the lines take.
pub fn columns(lines: &[String]) -> usize {
    lines.first().map_or(0, |line| {
        line.chars()
            .filter(|character| matches!(character, '█' | '▀' | '▄' | ' '))
            .count()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what was drawn as a camera would: as a picture, by a reader that is not ours.
    fn read(lines: &[String], colour: bool) -> String {
        const SCALE: usize = 4;
        let rows: Vec<Vec<char>> = lines
            .iter()
            .map(|line| {
                let line = line.strip_prefix(COLOURS).unwrap_or(line);
                line.strip_suffix(RESET).unwrap_or(line).chars().collect()
            })
            .collect();
        let columns = rows[0].len();
        assert!(rows.iter().all(|row| row.len() == columns));
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(
            columns * SCALE,
            rows.len() * 2 * SCALE,
            |x, y| {
                let (column, row) = (x / SCALE, y / SCALE);
                let drawn = match rows[row / 2][column] {
                    '█' => true,
                    '▀' => row % 2 == 0,
                    '▄' => row % 2 == 1,
                    ' ' => false,
                    other => panic!("{other:?}"),
                };
                // Drawn is black on white, or white on black.
                if drawn == colour { 0 } else { 255 }
            },
        );
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn what_is_drawn_can_be_read() {
        for text in [
            "simulator:qr/1".to_owned(),
            "https://example.org/link?a=1&b=ü".to_owned(),
            format!("2@{}", "aZ09+/=,".repeat(32)),
        ] {
            for colour in [true, false] {
                let lines = lines(&text, colour).unwrap();
                assert_eq!(read(&lines, colour), text);
            }
        }
    }

    #[test]
    fn there_is_a_quiet_zone_and_the_width_is_known() {
        let lines = lines("x", true).unwrap();
        assert_eq!(columns(&lines), 21 + 2 * QUIET);
        let first = lines[0].strip_prefix(COLOURS).unwrap();
        assert!(first.starts_with("                "), "{first:?}");
    }

    #[test]
    fn what_is_too_long_is_not_drawn() {
        assert!(lines(&"x".repeat(3000), true).is_none());
    }
}
