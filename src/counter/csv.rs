//! The CSV in which old counts come in and all counts go out: `period,hits` or `period,page,hits`.
//!
//! Each line stands by itself: a month need not be the sum of its days, and a page's line adds
//! nothing to the site's figures.

use std::hash::BuildHasher as _;
use std::io;

use super::contribution::HITS_MAX;
use super::{PageAddress, Period};
use crate::page::PageRules;

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

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Rows that an export reads at once.
pub const EXPORT_STEP: usize = 1_000;

pub const HEADER_SITE: &str = "period,hits";
pub const HEADER_PAGES: &str = "period,page,hits";

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub number: u64,
    pub row: Row,
    /// Hash of the page as it is written: addresses that differ may be one page.
    pub written: u64,
}

/// Takes the lines of a file in turn.
pub trait TakeLines: Send + 'static {
    fn take(&mut self, line: &Line) -> Result<(), String>;
}

/// Why the reading of a file ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    Wrong(CsvError),
    /// The lines were not taken.
    NotTaken(String),
}

/// Longest line, so that a file without line ends is refused before it fills the memory.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Reads a file of any size, a line at a time.
pub fn read(
    file: impl io::Read,
    rules: &PageRules,
    mut take: impl FnMut(&Line) -> Result<(), String>,
) -> Result<(), Unread> {
    let mut file = io::BufReader::with_capacity(BUFFER_BYTES, Lines { file, line_bytes: 0 });
    skip_mark(&mut file);
    // Fields are trimmed here: the reader would make a new record for it.
    let mut reader = ::csv::ReaderBuilder::new().buffer_capacity(BUFFER_BYTES).from_reader(file);
    let with_pages = read_header(&mut reader).map_err(Unread::Wrong)?;
    let mut record = ::csv::StringRecord::new();
    let mut number = 1;
    while reader.read_record(&mut record).map_err(|error| Unread::Wrong(unreadable(error, number + 1)))? {
        number = record.position().map_or(0, ::csv::Position::line);
        let wrong = |reason| Unread::Wrong(CsvError { line: number, reason });
        let row = read_row(&record, with_pages, rules).map_err(wrong)?;
        let page = if with_pages { field(&record, 1) } else { "" };
        let written = rustc_hash::FxBuildHasher.hash_one(page);
        take(&Line { number, row, written }).map_err(Unread::NotTaken)?;
    }
    Ok(())
}

/// A file whose lines are not too long.
struct Lines<R> {
    file: R,
    /// Bytes since the last line end.
    line_bytes: usize,
}

impl<R: io::Read> io::Read for Lines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // After the lines before it.
        if self.line_bytes > LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is longer than 64 KiB"));
        }
        let read = self.file.read(into)?;
        let last_end = into.iter().take(read).rev().position(|byte| matches!(byte, b'\n' | b'\r'));
        self.line_bytes = last_end.unwrap_or(self.line_bytes + read);
        Ok(read)
    }
}

fn field(record: &::csv::StringRecord, at: usize) -> &str {
    record.get(at).unwrap_or_default().trim()
}

/// Some programs write it before UTF-8.
fn skip_mark(file: &mut impl io::BufRead) {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    // An error comes again with the first record.
    if file.fill_buf().is_ok_and(|start| start.starts_with(MARK)) {
        file.consume(MARK.len());
    }
}

/// Reason to refuse a second line of one counter, by its name.
pub fn repeated(name: &str, first: u64) -> String {
    format!("{name} stands in line {first} already; each counter may stand once")
}

/// Reason to refuse a line with which a counter, by its name, has too many hits.
pub fn sum_too_large(name: &str) -> String {
    format!("with it, {name} has more than 10^15 hits")
}

/// The line of one count, of a site's (no page) or a page's.
pub fn write_row(to: &mut Vec<u8>, row: &Row) {
    let page = row.page.as_ref().map_or("", |page| page.as_str());
    let mut writer = ::csv::Writer::from_writer(to);
    // Writing to memory can't fail, and a record of three fields is always three fields.
    let _ = writer.write_record([row.period.to_string().as_str(), page, row.hits.to_string().as_str()]);
    let _ = writer.flush();
}

fn read_header(reader: &mut ::csv::Reader<impl io::Read>) -> Result<bool, CsvError> {
    let header = reader.headers().map_err(|error| unreadable(error, 1))?;
    match header.iter().map(str::trim).collect::<Vec<_>>().as_slice() {
        ["period", "hits"] => Ok(false),
        ["period", "page", "hits"] => Ok(true),
        _ => Err(CsvError { line: 1, reason: "the header must be `period,hits` or `period,page,hits`".to_owned() }),
    }
}

fn read_row(record: &::csv::StringRecord, with_pages: bool, rules: &PageRules) -> Result<Row, String> {
    let field = |at| field(record, at);
    let period: Period = field(0).parse().map_err(|error: super::period::PeriodError| error.to_string())?;
    let page_text = if with_pages { field(1) } else { "" };
    let page = match page_text {
        "" => None,
        text => Some(PageAddress::from_import(text, rules).ok_or_else(|| {
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

/// True if a counter may have so many hits.
pub fn is_count(hits: i64) -> bool {
    hits.unsigned_abs() <= HITS_MAX.unsigned_abs()
}

impl Row {
    /// The counter's name in a message.
    pub fn name(&self) -> String {
        match &self.page {
            Some(page) => format!("`{}` of page `{page}`", self.period),
            None => format!("`{}`", self.period),
        }
    }
}

/// `next`: the line that was to be read.
fn unreadable(error: ::csv::Error, next: u64) -> CsvError {
    let line = error.position().map_or(next, ::csv::Position::line);
    let reason = match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields where the header has {expected_len}")
        }
        ::csv::ErrorKind::Io(error) => format!("it can't be read ({error})"),
        ::csv::ErrorKind::Utf8 { .. } => "it is not valid UTF-8".to_owned(),
        other => format!("{other:?}"),
    };
    CsvError { line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> PageRules {
        PageRules::with_defaults("vi")
    }

    fn read_all(text: &[u8]) -> Result<Vec<Row>, Unread> {
        let mut rows = Vec::new();
        read(text, &rules(), |line| {
            rows.push(line.row.clone());
            Ok(())
        })?;
        Ok(rows)
    }

    fn refusal(text: impl AsRef<[u8]>) -> (u64, String) {
        let Unread::Wrong(error) = read_all(text.as_ref()).unwrap_err() else { panic!("all lines are taken") };
        (error.line, error.reason)
    }

    #[test]
    fn lines_are_read_with_and_without_pages() {
        let rows = read_all("\u{feff}period,hits\r\n2024-06-17,851\r\ntotal,-3\r\n".as_bytes()).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1].period, rows[1].hits), (Period::Total, -3));
        let rows = read_all(b"period,page,hits\n2024-06,,5\n2024-06,https://a.vn/x/?id=1&utm_source=2,4\n").unwrap();
        assert_eq!(rows[0].page, None);
        assert_eq!(rows[1].page.as_ref().unwrap().as_str(), "/x?id=1");
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let rows = read_all(b"period,page,hits\n2024-06,\"/a,\"\"b\",4\ntotal,,9\n").unwrap();
        let mut text = format!("{HEADER_PAGES}\n").into_bytes();
        rows.iter().for_each(|row| write_row(&mut text, row));
        assert_eq!(read_all(&text).unwrap(), rows);
    }

    #[test]
    fn a_bad_line_is_refused_by_its_number_and_reason() {
        assert_eq!(refusal("day,n\n").0, 1);
        assert_eq!(refusal("").0, 1);
        assert_eq!(refusal("period,hits\n2024,1\n2024-13,1\n").0, 3);
        assert!(refusal("period,hits\n2024,1.5\n").1.contains("whole number"));
        assert!(refusal("period,hits\n2024,1000000000000001\n").1.contains("10^15"));
        assert!(refusal("period,hits\n2024,-9223372036854775808\n").1.contains("10^15"));
        assert!(refusal("period,hits\n2024,1,2\n").1.contains("3 fields"));
        assert!(refusal("period,page,hits\n2024,/a,2\n").1.contains("not by year"));
        assert!(refusal("period,page,hits\n2024-01,a b,2\n").1.contains("not a page"));
        assert_eq!(refusal(b"period,hits\n2024,\xff\n").0, 2);
        let endless = format!("period,page,hits\ntotal,/b,1\ntotal,/{},1\n", "a".repeat(LINE_BYTES_MAX * 2));
        assert_eq!(refusal(&endless), (3, "it can't be read (the line is longer than 64 KiB)".to_owned()));
        assert_eq!(read_all(b" period , hits\n 2024 , 5 \n").unwrap()[0].hits, 5);
    }
}
