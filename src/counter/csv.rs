//! The CSV in which old counts come in and all counts go out: `period,hits` or `period,page,hits`.
//!
//! Each line stands by itself: a month need not be the sum of its days, and a page's line adds
//! nothing to the site's figures.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::contribution::HITS_MAX;
use super::{PageAddress, Period};

/// One line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub period: Period,
    /// None for the site's own count.
    pub page: Option<PageAddress>,
    pub hits: i64,
}

/// Why a file is refused: by line number, and nothing of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct CsvError {
    pub line: u64,
    pub reason: String,
}

/// Rows that an export reads at once.
pub const EXPORT_STEP: usize = 1_000;

pub const HEADER_SITE: &str = "period,hits";
pub const HEADER_PAGES: &str = "period,page,hits";

/// Reads a whole file, or says what is wrong with it.
pub fn parse(text: &[u8], page_params: &[String]) -> Result<Vec<Row>, CsvError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = ::csv::ReaderBuilder::new().trim(::csv::Trim::All).from_reader(text);
    let with_pages = read_header(&mut reader)?;
    let mut rows: Vec<Row> = Vec::new();
    let mut lines_seen = HashMap::new();
    let mut rows_of = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, ::csv::Position::line);
        let row = read_row(&record, with_pages, page_params).map_err(|reason| CsvError { line, reason })?;
        let as_written = (row.period, record.get(1).filter(|_| with_pages).unwrap_or_default().to_owned());
        if let Some(first) = lines_seen.insert(as_written, line) {
            let reason = format!("{} stands in line {first} already; each counter may stand once", name_of(&row));
            return Err(CsvError { line, reason });
        }
        // Addresses that differ may be one page here, as in an export of a site with other page_params.
        match rows_of.entry((row.period, row.page.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(rows.len());
                rows.push(row);
            }
            Entry::Occupied(entry) => {
                let sum = &mut rows[*entry.get()].hits;
                // Neither is more than 10^15.
                *sum += row.hits;
                if !is_count(*sum) {
                    let reason = format!("with it, {} has more than 10^15 hits", name_of(&row));
                    return Err(CsvError { line, reason });
                }
            }
        }
    }
    Ok(rows)
}

/// The line of one count, of a site's (no page) or a page's.
pub fn write_row(to: &mut Vec<u8>, row: &Row) {
    let page = row.page.as_ref().map_or("", |page| page.as_str());
    let mut writer = ::csv::Writer::from_writer(to);
    // Writing to memory can't fail, and a record of three fields is always three fields.
    let _ = writer.write_record([row.period.to_string().as_str(), page, row.hits.to_string().as_str()]);
    let _ = writer.flush();
}

fn read_header(reader: &mut ::csv::Reader<&[u8]>) -> Result<bool, CsvError> {
    let header = reader.headers().map_err(unreadable)?;
    match header.iter().collect::<Vec<_>>().as_slice() {
        ["period", "hits"] => Ok(false),
        ["period", "page", "hits"] => Ok(true),
        _ => Err(CsvError { line: 1, reason: "the header must be `period,hits` or `period,page,hits`".to_owned() }),
    }
}

fn read_row(record: &::csv::StringRecord, with_pages: bool, page_params: &[String]) -> Result<Row, String> {
    let field = |at: usize| record.get(at).unwrap_or_default();
    let period: Period = field(0).parse().map_err(|error: super::period::PeriodError| error.to_string())?;
    let page_text = if with_pages { field(1) } else { "" };
    let page = match page_text {
        "" => None,
        text => Some(PageAddress::from_import(text, page_params).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            format!("`{shown}` is not a page: expected a path such as `/tin-tuc/bai-1`, an http(s) address, or nothing for the site itself")
        })?),
    };
    if page.is_some() && matches!(period, Period::Year(_)) {
        return Err("pages are counted by day, month and total, not by year".to_owned());
    }
    let hits_text = field(if with_pages { 2 } else { 1 });
    let hits = hits_text.parse::<i64>().ok().filter(|hits| is_count(*hits)).ok_or_else(|| {
        let shown: String = hits_text.chars().take(40).collect();
        format!("`{shown}` is not a count: expected a whole number between -10^15 and 10^15, without separators")
    })?;
    Ok(Row { period, page, hits })
}

fn is_count(hits: i64) -> bool {
    hits.unsigned_abs() <= HITS_MAX.unsigned_abs()
}

fn name_of(row: &Row) -> String {
    match &row.page {
        Some(page) => format!("`{}` of page `{page}`", row.period),
        None => format!("`{}`", row.period),
    }
}

fn unreadable(error: ::csv::Error) -> CsvError {
    let line = error.position().map_or(1, ::csv::Position::line);
    let reason = match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields where the header has {expected_len}")
        }
        ::csv::ErrorKind::Utf8 { .. } => "it is not valid UTF-8".to_owned(),
        other => format!("{other:?}"),
    };
    CsvError { line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Row>, CsvError> {
        parse(text.as_bytes(), &["id".to_owned()])
    }

    fn refusal(text: &str) -> (u64, String) {
        let error = read(text).unwrap_err();
        (error.line, error.reason)
    }

    #[test]
    fn lines_are_read_with_and_without_pages() {
        let rows = read("\u{feff}period,hits\r\n2024-06-17,851\r\ntotal,-3\r\n").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1].period, rows[1].hits), (Period::Total, -3));
        let rows = read("period,page,hits\n2024-06,,5\n2024-06,https://a.vn/x/?id=1&utm=2,4\n").unwrap();
        assert_eq!(rows[0].page, None);
        assert_eq!(rows[1].page.as_ref().unwrap().as_str(), "/x?id=1");
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let rows = read("period,page,hits\n2024-06,\"/a,\"\"b\",4\ntotal,,9\n").unwrap();
        let mut text = format!("{HEADER_PAGES}\n").into_bytes();
        rows.iter().for_each(|row| write_row(&mut text, row));
        assert_eq!(parse(&text, &[]).unwrap(), rows);
    }

    #[test]
    fn a_bad_line_is_refused_by_its_number_and_reason() {
        assert_eq!(refusal("day,n\n").0, 1);
        assert_eq!(refusal("").0, 1);
        assert_eq!(refusal("period,hits\n2024,1\n2024-13,1\n").0, 3);
        assert!(refusal("period,hits\n2024,1.5\n").1.contains("whole number"));
        assert!(refusal("period,hits\n2024,1000000000000001\n").1.contains("10^15"));
        assert!(refusal("period,hits\n2024,-9223372036854775808\n").1.contains("10^15"));
        let twice = format!("period,page,hits\ntotal,/a,{HITS_MAX}\ntotal,/a/,1\n");
        assert_eq!(refusal(&twice), (3, "with it, `total` of page `/a` has more than 10^15 hits".to_owned()));
        assert!(refusal("period,hits\n2024,1,2\n").1.contains("3 fields"));
        assert!(refusal("period,hits\n2024,1\n2024,2\n").1.contains("line 2"));
        assert!(refusal("period,page,hits\n2024,/a,2\n").1.contains("not by year"));
        assert!(refusal("period,page,hits\n2024-01,a b,2\n").1.contains("not a page"));
        assert_eq!(parse(b"period,hits\n2024,\xff\n", &[]).unwrap_err().line, 2);
    }
}
