//! Rows under headings, and fields of one thing, aligned by the columns that their texts take.

use crate::output::Tone;
use crate::text::{printable, width};

#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text from elsewhere; made safe.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::toned(text, Tone::Plain)
    }

    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self {
            text: printable(text.as_ref()),
            tone,
        }
    }

    /// A word whose colour says whether all is well.
    pub fn state(word: &str) -> Self {
        Self::toned(word, Tone::of_state(word))
    }

    pub fn faint(text: impl AsRef<str>) -> Self {
        Self::toned(text, Tone::Faint)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

const GAP: &str = "  ";

impl Table {
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn lines(&self, paint: impl Fn(Tone, &str) -> String) -> Vec<String> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..count.max(self.headings.len()))
            .map(|column| {
                let heading = self.headings.get(column).map_or(0, |text| width(text));
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| width(&cell.text))
                    .fold(heading, usize::max)
            })
            .collect();
        let headings = self.headings.iter().map(|text| Cell {
            text: (*text).to_owned(),
            tone: Tone::Heading,
        });
        let headings: Vec<Cell> = headings.collect();
        Some(&headings)
            .filter(|headings| !headings.is_empty())
            .into_iter()
            .chain(&self.rows)
            .map(|row| line(row, &widths, &paint))
            .collect()
    }
}

fn line(row: &[Cell], widths: &[usize], paint: impl Fn(Tone, &str) -> String) -> String {
    let mut line = String::new();
    let last = row.iter().rposition(|cell| !cell.text.is_empty());
    for (column, cell) in row.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
        if column > 0 {
            line.push_str(GAP);
        }
        line.push_str(&paint(cell.tone, &cell.text));
        if Some(column) != last {
            let pad = widths[column].saturating_sub(width(&cell.text));
            line.extend(std::iter::repeat_n(' ', pad));
        }
    }
    line
}

/// The fields of one thing, a line each; empty ones are left out.
#[derive(Debug, Default)]
pub struct Fields(Table);

impl Fields {
    pub fn add(&mut self, name: &str, cell: Cell) {
        if !cell.text.is_empty() {
            self.0.row([Cell::faint(name), cell]);
        }
    }

    pub fn text(&mut self, name: &str, text: impl AsRef<str>) {
        self.add(name, Cell::text(text));
    }

    pub fn state(&mut self, name: &str, word: &str) {
        self.add(name, Cell::state(word));
    }

    pub fn table(&self) -> &Table {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(table: &Table) -> Vec<String> {
        table.lines(|_, text| text.to_owned())
    }

    #[test]
    fn columns_line_up_whatever_the_script() {
        let mut table = Table::new(&["ID", "NAME", "STATUS"]);
        table.row([
            Cell::text("acc_1"),
            Cell::text("日本"),
            Cell::state("running"),
        ]);
        table.row([Cell::text("acc_22"), Cell::text("ada"), Cell::text("")]);
        assert_eq!(
            plain(&table),
            [
                "ID      NAME  STATUS",
                "acc_1   日本  running",
                "acc_22  ada"
            ]
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::state("error"), Cell::text("x")]);
        let lines = table.lines(|_, text| format!("<{text}>"));
        assert_eq!(lines, ["<A>      <B>", "<error>  <x>"]);
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let mut fields = Fields::default();
        fields.text("name", "ada");
        fields.text("proxy", "");
        fields.state("runtime", "running");
        assert_eq!(plain(fields.table()), ["name     ada", "runtime  running"]);
    }
}
