//! Import file: the lines of an import in the order of period and page, whatever their order was.
//!
//! Lines of one counter stand side by side, so they are summed and checked in passing. `counts` has the same order, so
//! few parts of the node's file change at a time. Memory is bounded however long the import is.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;

use tokio::sync::OwnedSemaphorePermit;

use super::sort::{Fields, Sorted, Sorter};
use crate::counter::csv::{CsvError, Line, Row, TakeLines, is_count, repeated, sum_too_large};
use crate::counter::{Day, PageAddress, Period};

#[derive(Debug)]
pub struct ImportFile {
    lines: Sorter,
    /// Days of which it brings the site's own count.
    pub days: BTreeSet<Day>,
    /// One import at a time; whoever finishes it holds the permit.
    permit: Option<OwnedSemaphorePermit>,
}

/// Sums of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Counters with lines.
    pub rows: u64,
    /// Lines that were added to another one's counter.
    pub summed: u64,
    /// Counters without lines, which are set to 0.
    pub cleared: u64,
}

/// Line number of a counter without lines.
const NO_LINE: u64 = 0;

impl ImportFile {
    /// The import of a node that runs nowhere; `directory` may not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { lines: Sorter::new(directory), days: BTreeSet::new(), permit: None }
    }

    pub fn permitted(self, permit: OwnedSemaphorePermit) -> Self {
        Self { permit: Some(permit), ..self }
    }

    pub fn take_permit(&mut self) -> Option<OwnedSemaphorePermit> {
        self.permit.take()
    }

    /// Sets a counter to 0, unless it has lines.
    pub fn clear(&mut self, period: Period, page: &str) -> io::Result<()> {
        let fields = Fields { period: period.number(), written: 0, line: NO_LINE, hits: 0 };
        self.lines.push(page, fields)
    }

    /// Bytes of all lines as they are sorted.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// The counters by period and page.
    pub fn counters(&mut self) -> io::Result<Counters<'_>> {
        let lines = self.lines.sorted()?;
        Ok(Counters { lines, page: Vec::new(), checked: Checked::default(), fault: None })
    }

    /// Looks for a fault among the lines of each counter.
    pub fn check(&mut self) -> io::Result<Result<Checked, CsvError>> {
        let mut counters = self.counters()?;
        while counters.next()?.is_some() {}
        Ok(counters.checked())
    }
}

impl TakeLines for ImportFile {
    fn take(&mut self, line: &Line) -> Result<(), String> {
        let Line { number, row, written } = line;
        if let Row { period: Period::Day(day), page: None, .. } = row {
            self.days.insert(*day);
        }
        let page = row.page.as_ref().map_or("", |page| page.as_str());
        let fields = Fields { period: row.period.number(), written: *written, line: *number, hits: row.hits };
        let taken = self.lines.push(page, fields);
        taken.map_err(|error| format!("the import's lines can't be written to the data directory ({error})"))
    }
}

/// One counter of an import; its page is empty for the site itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter<'a> {
    pub page: &'a [u8],
    pub period: u32,
    pub hits: i64,
}

/// The counters of an import in turn.
#[derive(Debug)]
pub struct Counters<'a> {
    lines: Sorted<'a>,
    page: Vec<u8>,
    checked: Checked,
    fault: Option<CsvError>,
}

impl Counters<'_> {
    /// The next counter. None of its lines stands there twice and their sum is a count, or it is a fault.
    pub fn next(&mut self) -> io::Result<Option<Counter<'_>>> {
        let Some((page, Fields { period, .. })) = self.lines.peek()? else { return Ok(None) };
        if page != self.page {
            self.page.clear();
            self.page.extend_from_slice(page);
        }
        let (mut lines, mut sum, mut last_line) = (0, 0_i128, 0);
        // Lines with the same text stand side by side: the text's hash, and the first of them.
        let mut same: Option<(u64, u64)> = None;
        while let Some((page, Fields { period: of, written, line, hits })) = self.lines.peek()?
            && of == period
            && page == self.page
        {
            self.lines.take();
            if line == NO_LINE {
                continue;
            }
            lines += 1;
            sum += i128::from(hits);
            last_line = last_line.max(line);
            match same {
                Some((text, first)) if text == written => {
                    let name = name(&self.page, period)?;
                    note(&mut self.fault, line, || repeated(&name, first));
                }
                _ => same = Some((written, line)),
            }
        }
        match lines {
            0 => self.checked.cleared += 1,
            _ => {
                self.checked.rows += 1;
                self.checked.summed += lines - 1;
            }
        }
        let hits = i64::try_from(sum).ok().filter(|hits| is_count(*hits));
        if hits.is_none() {
            let name = name(&self.page, period)?;
            note(&mut self.fault, last_line, || sum_too_large(&name));
        }
        Ok(Some(Counter { page: &self.page, period, hits: hits.unwrap_or(0) }))
    }

    pub fn is_faulty(&self) -> bool {
        self.fault.is_some()
    }

    /// Sums of the counters so far, or their fault.
    pub fn checked(self) -> Result<Checked, CsvError> {
        match self.fault {
            None => Ok(self.checked),
            Some(fault) => Err(fault),
        }
    }
}

/// Notes a fault, unless one of an earlier line is known.
fn note(fault: &mut Option<CsvError>, line: u64, reason: impl FnOnce() -> String) {
    if fault.as_ref().is_none_or(|fault| line < fault.line) {
        *fault = Some(CsvError { line, reason: reason() });
    }
}

/// A counter's name in a message.
fn name(page: &[u8], period: u32) -> io::Result<String> {
    let page = std::str::from_utf8(page).map_err(|_| ErrorKind::InvalidData)?;
    let page = (!page.is_empty()).then(|| PageAddress::from_stored(page));
    let period = Period::from_number(period).ok_or(ErrorKind::InvalidData)?;
    Ok(Row { period, page, hits: 0 }.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Site;
    use crate::counter::csv::{self, Unread};

    fn read(text: &str, take: impl FnMut(&Line) -> Result<(), String>) -> Result<(), Unread> {
        let site = Site::with_defaults("a".parse().unwrap(), Vec::new());
        csv::read(text.as_bytes(), &site.page_rules, take)
    }

    /// A file with these lines, and the folder that it is in.
    fn file(text: &str) -> (tempfile::TempDir, ImportFile) {
        let directory = tempfile::TempDir::new().unwrap();
        let mut file = ImportFile::new(directory.path());
        read(text, |line| file.take(line)).unwrap();
        (directory, file)
    }

    fn counters(file: &mut ImportFile) -> Vec<(String, i64)> {
        let (mut counters, mut read) = (file.counters().unwrap(), Vec::new());
        while let Some(Counter { page, period, hits }) = counters.next().unwrap() {
            read.push((name(page, period).unwrap(), hits));
        }
        read
    }

    fn fault(text: &str) -> (u64, String) {
        let fault = file(text).1.check().unwrap().unwrap_err();
        (fault.line, fault.reason)
    }

    #[test]
    fn lines_are_read_by_period_and_page_with_their_sums() {
        let text = "period,page,hits\n2024-06,/b,1\ntotal,/a?id=1&utm_source=x,4\n2024-06,/a?id=1,7\n2024-06-17,,3\ntotal,/a/?id=1,5\n";
        let (_directory, mut file) = file(text);
        assert_eq!(file.check().unwrap(), Ok(Checked { rows: 4, summed: 1, cleared: 0 }));
        assert_eq!(file.days, BTreeSet::from([Day::from_ymd(2024, 6, 17).unwrap()]));
        let expected = [
            ("`total` of page `/a?id=1`", 9),
            ("`2024-06` of page `/a?id=1`", 7),
            ("`2024-06` of page `/b`", 1),
            ("`2024-06-17`", 3),
        ];
        assert_eq!(counters(&mut file), expected.map(|(name, hits)| (name.to_owned(), hits)));
    }

    #[test]
    fn a_counter_that_stands_twice_or_has_too_many_hits_is_refused_by_its_first_line() {
        let twice = "period,page,hits\n2024,,1\ntotal,/b,1\ntotal,/a,1\ntotal,/b,2\ntotal,/a,1\n";
        assert_eq!(
            fault(twice),
            (5, "`total` of page `/b` stands in line 3 already; each counter may stand once".to_owned())
        );
        let many = format!("period,page,hits\ntotal,/a,{}\ntotal,/a/,1\n", crate::counter::contribution::HITS_MAX);
        assert_eq!(fault(&many), (3, "with it, `total` of page `/a` has more than 10^15 hits".to_owned()));
        // Of thousands of lines too, whose sum is beyond 64 bits.
        let lines =
            (0..10_000).map(|n| format!("total,/a?utm_source={n},{}\n", crate::counter::contribution::HITS_MAX));
        let many: String = std::iter::once("period,page,hits\n".to_owned()).chain(lines).collect();
        assert_eq!(fault(&many).0, 10_001);
    }

    #[test]
    fn counters_that_it_lacks_become_zero() {
        let (_directory, mut file) = file("period,page,hits\ntotal,/a,4\n");
        ["/a", "/b", ""].iter().for_each(|page| file.clear(Period::Total, page).unwrap());
        assert_eq!(file.check().unwrap(), Ok(Checked { rows: 1, summed: 0, cleared: 2 }));
        let expected = [("`total`", 0), ("`total` of page `/a`", 4), ("`total` of page `/b`", 0)];
        assert_eq!(counters(&mut file), expected.map(|(name, hits)| (name.to_owned(), hits)));
    }

    #[test]
    fn lines_that_can_not_be_taken_end_the_reading() {
        let read = read("period,hits\n2024,1\n2023,1\n", |_| Err("full".to_owned()));
        assert_eq!(read, Err(Unread::NotTaken("full".to_owned())));
    }
}
