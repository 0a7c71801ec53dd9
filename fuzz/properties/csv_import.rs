//! A file of old counts.

use thongke::counter::contribution::HITS_MAX;
use thongke::counter::csv::{HEADER_PAGES, Row, Unread, read, write_row};
use thongke::page::PageRules;

pub fn holds(file: &[u8]) {
    let rows = match lines(file) {
        Ok(rows) => rows,
        Err(Unread::NotTaken(reason)) => panic!("all lines are taken: {reason}"),
        Err(Unread::Wrong(error)) => {
            let lines = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64 + 1;
            assert!((1..=lines).contains(&error.line), "{error}");
            assert!(!error.reason.is_empty() && error.reason.len() <= 1_024, "{error}");
            return;
        }
    };
    let mut export = format!("{HEADER_PAGES}\n").into_bytes();
    for row in &rows {
        assert!(row.hits.unsigned_abs() <= HITS_MAX as u64, "{row:?}");
        write_row(&mut export, row);
    }
    holds_no_formula(&export);
    assert_eq!(lines(&export), Ok(rows), "an export is an import");
}

fn lines(file: &[u8]) -> Result<Vec<Row>, Unread> {
    let mut rows = Vec::new();
    read(file, &PageRules::with_defaults("vi"), |line| {
        rows.push(line.row.clone());
        Ok(())
    })?;
    Ok(rows)
}

/// Cells as a spreadsheet opens them: `=`, `+`, `@`, a tab, or a minus before anything but a number begins a
/// formula.
fn holds_no_formula(export: &[u8]) {
    for record in csv::Reader::from_reader(export).records() {
        for cell in &record.unwrap() {
            let is_number = cell.parse::<i64>().is_ok();
            assert!(is_number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r', '|', '%']), "{cell}");
        }
    }
}
