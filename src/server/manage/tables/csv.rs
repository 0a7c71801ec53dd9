//! A table as CSV.

use csv::{Terminator, WriterBuilder};

use super::table::{Cell, Table};

/// Without it, Excel reads the letters in the system's old code page.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

pub fn write(table: &Table) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(BYTE_ORDER_MARK.to_vec());
    // Writing to memory can't fail, and all rows have the same number of cells.
    let _ = writer.write_record(table.columns.iter().map(|column| column.label));
    for row in &table.rows {
        let _ = writer.write_record(row.iter().map(text));
    }
    writer.into_inner().unwrap_or_default()
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => defused(text),
        Cell::Number(number) => number.to_string(),
        Cell::Share(share) => format!("{share:.4}"),
        Cell::Day(day) => day.to_string(),
    }
}

/// A stranger's text that no spreadsheet takes for a formula.
///
/// Where numbers have a decimal comma, as in Vietnam, Excel parts cells at `;`, also within quotes that begin later.
fn defused(text: &str) -> String {
    const FORMULAS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let mut defused = String::with_capacity(text.len() + 1);
    for cell in text.split_inclusive(';') {
        let content = cell.trim_start_matches(|c: char| c.is_whitespace() || c == '"');
        if content.starts_with(FORMULAS) || cell.starts_with(char::is_control) {
            defused.push('\'');
        }
        defused.push_str(cell);
    }
    defused
}

#[cfg(test)]
mod tests {
    use super::super::table::Column;
    use super::*;
    use crate::counter::Day;

    #[test]
    fn letters_numbers_and_dates_are_written_and_formulas_are_text() {
        let columns = vec![Column::text("Trang"), Column::number("Lượt"), Column::share("Tỷ lệ"), Column::day("Ngày")];
        let line = |text: &str, hits, day| {
            vec![
                Cell::text(text),
                Cell::Number(hits),
                Cell::share(hits, 1_000),
                Cell::Day(Day::from_ymd(2026, 11, day).unwrap()),
            ]
        };
        let mut rows = vec![line("Lũ quét, \"đêm qua\"", 123, 1)];
        rows.extend(["=HYPERLINK(\"x\")", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"].map(|text| line(text, -5, 30)));
        rows.extend(["a;=1", "a; \"=1", "\"=1", ";;@x;b"].map(|text| line(text, -5, 30)));
        rows.push(vec![Cell::Empty, Cell::Number(0), Cell::share(1, 0), Cell::from(None)]);
        let written = write(&Table::new("A", String::new(), columns, rows));
        let text = String::from_utf8(written).unwrap();
        let mut lines = text.strip_prefix('\u{feff}').unwrap().split("\r\n");
        assert_eq!(lines.next(), Some("Trang,Lượt,Tỷ lệ,Ngày"));
        assert_eq!(lines.next(), Some("\"Lũ quét, \"\"đêm qua\"\"\",123,0.1230,2026-11-01"));
        for begin in [
            "\"'=HYPERLINK(",
            "'+1,",
            "'-1,",
            "'@SUM",
            "'\t=1,",
            "' =1,",
            "'＝1,",
            "a;'=1,",
            "\"a;' \"\"=1\",",
            "\"'\"\"=1\",",
            ";;'@x;b,",
        ] {
            let line = lines.next().unwrap();
            assert!(line.starts_with(begin) && line.ends_with(",-5,0.0000,2026-11-30"), "{line}");
        }
        assert_eq!((lines.next(), lines.next(), lines.next()), (Some(",0,,"), Some(""), None));
    }
}
