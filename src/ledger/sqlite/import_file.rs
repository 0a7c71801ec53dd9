//! Import file: the lines of an import in the order of page and period, whatever their order was.
//!
//! It is a database of its own beside the node's file, for as long as the import is read. So memory is bounded
//! however long the import is, and lines of one counter stand side by side. In that order few parts of the
//! node's file change at a time.

use std::path::Path;

use rusqlite::{Connection, Error, params};
use tokio::sync::OwnedSemaphorePermit;

use super::tables::bounded;
use crate::counter::csv::{CsvError, Line, Row, TakeLines, is_count, repeated, sum_too_large};
use crate::counter::{Day, PageAddress, Period};

const NAME: &str = "thongke.import";

/// Pages of 4 KiB that are kept in memory.
const CACHE_KIB: i64 = 16 << 10;

#[derive(Debug)]
pub struct ImportFile {
    connection: Connection,
    /// One import at a time; whoever finishes it holds the permit.
    permit: Option<OwnedSemaphorePermit>,
}

/// Sums of a checked import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Counters.
    pub rows: u64,
    /// Lines that were added to another one's counter.
    pub summed: u64,
}

/// The counter after which a read goes on.
pub type CounterKey = (String, u32);

impl ImportFile {
    /// Creates it, and takes its name away at once: nothing is left of it whatever happens.
    pub fn create(directory: &Path, permit: OwnedSemaphorePermit) -> rusqlite::Result<Self> {
        let path = directory.join(NAME);
        let _ = std::fs::remove_file(&path);
        let connection = Connection::open(&path)?;
        // Nothing of it outlives the process, so nothing is synced, and nothing is rolled back.
        connection.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
             CREATE TABLE lines (
                page    TEXT NOT NULL,
                period  INTEGER NOT NULL,
                line    INTEGER NOT NULL,
                written INTEGER NOT NULL,
                hits    INTEGER NOT NULL,
                PRIMARY KEY (page, period, line)
             ) WITHOUT ROWID;",
        )?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.execute_batch("BEGIN")?;
        let _ = std::fs::remove_file(&path);
        Ok(Self { connection, permit: Some(permit) })
    }

    pub fn take_permit(&mut self) -> Option<OwnedSemaphorePermit> {
        self.permit.take()
    }

    fn insert(&self, line: u64, written: u64, row: &Row) -> rusqlite::Result<()> {
        let page = row.page.as_ref().map_or("", |page| page.as_str());
        let (line, written) = (i64::try_from(line).unwrap_or(i64::MAX), written.cast_signed());
        self.connection
            .prepare_cached("INSERT INTO lines (page, period, line, written, hits) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![page, row.period.number(), line, written, row.hits])
            .map(drop)
    }

    /// Checks each counter's lines: none stands there twice, and their sum is a count. The fault of the first line wins.
    pub fn check(&self) -> rusqlite::Result<Result<Checked, CsvError>> {
        let sql = "SELECT page, period, line, written, hits FROM lines ORDER BY page, period, line";
        let mut lines = self.connection.prepare(sql)?;
        let mut lines = lines.query([])?;
        let (mut checked, mut fault) = (Checked::default(), None::<CsvError>);
        let (mut page, mut period) = (None::<String>, 0);
        // Lines of the counter, with what each says, and their sum.
        let (mut of_counter, mut sum): (Vec<(i64, i64)>, i64) = (Vec::new(), 0);
        while let Some(row) = lines.next()? {
            let (page_here, period_here) = (row.get_ref(0)?.as_str()?, row.get::<_, u32>(1)?);
            let (line, written, hits): (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
            if page.as_deref() != Some(page_here) || period != period_here {
                if page.as_deref() != Some(page_here) {
                    page = Some(page_here.to_owned());
                }
                period = period_here;
                of_counter.clear();
                of_counter.push((line, written));
                sum = hits;
                checked.rows += 1;
                continue;
            }
            checked.summed += 1;
            sum += hits;
            let first = of_counter.iter().find(|(_, same)| *same == written).map(|(line, _)| *line);
            let number = line.cast_unsigned();
            let counter = || Ok::<_, Error>(row_of(page_here, period_here, hits)?.name());
            let reason = match first {
                Some(first) => repeated(&counter()?, first.cast_unsigned()),
                None if !is_count(sum) => sum_too_large(&counter()?),
                None => {
                    of_counter.push((line, written));
                    continue;
                }
            };
            if fault.as_ref().is_none_or(|fault| number < fault.line) {
                fault = Some(CsvError { line: number, reason });
            }
        }
        Ok(match fault {
            None => Ok(checked),
            Some(fault) => Err(fault),
        })
    }

    /// Days of which it brings the site's own count.
    pub fn days(&self) -> rusqlite::Result<Vec<Day>> {
        let mut periods = self.connection.prepare("SELECT DISTINCT period FROM lines WHERE page = ''")?;
        let periods = periods.query_map([], |row| super::tables::counts::period_at(row, 0))?;
        let day = |period| if let Period::Day(day) = period { Some(day) } else { None };
        periods.filter_map(|period| period.map(day).transpose()).collect()
    }

    /// Adds a zero for a counter, unless it has lines of it. True: it had none.
    pub fn clear(&self, row: &Row) -> rusqlite::Result<bool> {
        let page = row.page.as_ref().map_or("", |page| page.as_str());
        let has_lines: bool = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM lines WHERE page = ? AND period = ?)")?
            .query_row(params![page, row.period.number()], |row| row.get(0))?;
        if !has_lines {
            self.insert(0, 0, &Row { hits: 0, ..row.clone() })?;
        }
        Ok(!has_lines)
    }

    /// Up to `limit` counters after a key, by page and period.
    pub fn rows_after(&self, after: Option<&CounterKey>, limit: usize) -> rusqlite::Result<Vec<Row>> {
        let sql =
            "SELECT page, period, sum(hits) FROM lines WHERE (page, period) > (?, ?) GROUP BY page, period LIMIT ?";
        let (page, period) = after.map_or(("", -1), |(page, period)| (page.as_str(), i64::from(*period)));
        let mut rows = self.connection.prepare_cached(sql)?;
        let rows = rows.query_map(params![page, period, bounded(limit)], |row| {
            row_of(row.get_ref(0)?.as_str()?, row.get(1)?, row.get(2)?)
        })?;
        rows.collect()
    }
}

/// The key of a counter.
pub fn key_of(row: &Row) -> CounterKey {
    (row.page.as_ref().map_or_else(String::new, |page| page.as_str().to_owned()), row.period.number())
}

fn row_of(page: &str, period: u32, hits: i64) -> rusqlite::Result<Row> {
    let page = (!page.is_empty()).then(|| PageAddress::from_stored(page));
    Ok(Row { period: super::tables::counts::period(period)?, page, hits })
}

impl TakeLines for ImportFile {
    fn take(&mut self, line: &Line) -> Result<(), String> {
        let taken = self.insert(line.number, line.written, &line.row);
        taken.map_err(|error| format!("the import's lines can't be written to the data directory ({error})"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

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
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut file = ImportFile::create(directory.path(), permit).unwrap();
        read(text, |line| file.take(line)).unwrap();
        (directory, file)
    }

    fn fault(text: &str) -> (u64, String) {
        let fault = file(text).1.check().unwrap().unwrap_err();
        (fault.line, fault.reason)
    }

    #[test]
    fn lines_are_read_by_page_and_period_with_their_sums_and_the_file_has_no_name() {
        let text = "period,page,hits\n2024-06,/b,1\ntotal,/a?id=1&utm_source=x,4\n2024-06,/a?id=1,7\n2024-06-17,,3\ntotal,/a/?id=1,5\n";
        let (directory, file) = file(text);
        assert_eq!(file.check().unwrap(), Ok(Checked { rows: 4, summed: 1 }));
        assert_eq!(file.days().unwrap(), [Day::from_ymd(2024, 6, 17).unwrap()]);
        let (mut after, mut read) = (None, Vec::new());
        loop {
            let rows = file.rows_after(after.as_ref(), 1).unwrap();
            let Some(last) = rows.last() else { break };
            after = Some(key_of(last));
            read.extend(rows.iter().map(|row| (row.name(), row.hits)));
        }
        let expected = [
            ("`2024-06-17`", 3),
            ("`total` of page `/a?id=1`", 9),
            ("`2024-06` of page `/a?id=1`", 7),
            ("`2024-06` of page `/b`", 1),
        ];
        assert_eq!(read, expected.map(|(name, hits)| (name.to_owned(), hits)));
        assert!(!directory.path().join(NAME).exists());
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
    }

    #[test]
    fn counters_that_it_lacks_become_zero() {
        let (_directory, file) = file("period,page,hits\ntotal,/a,4\n");
        let row = |page: &str, hits| Row { period: Period::Total, page: Some(PageAddress::from_stored(page)), hits };
        assert_eq!([file.clear(&row("/a", 9)), file.clear(&row("/b", 9))], [Ok(false), Ok(true)]);
        assert_eq!(file.rows_after(None, 9).unwrap(), [row("/a", 4), row("/b", 0)]);
    }

    #[test]
    fn lines_that_can_not_be_taken_end_the_reading() {
        let read = read("period,hits\n2024,1\n2023,1\n", |_| Err("full".to_owned()));
        assert_eq!(read, Err(Unread::NotTaken("full".to_owned())));
    }
}
