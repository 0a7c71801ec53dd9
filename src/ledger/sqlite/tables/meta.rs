//! `meta`: the fold mark, the number of changes, and the record of the clock.

use chrono::DateTime;
use rusqlite::{Connection, OptionalExtension as _};

use super::execute;
use crate::counter::Day;
use crate::counter::clock_trust::ClockRecord;

/// Progress of folding: journal rows up to `mark` are in `counts`, and of the entries of the rows up to `target`
/// the first `done`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoldMark {
    pub mark: i64,
    pub target: i64,
    pub done: usize,
}

pub fn read_fold_mark(connection: &Connection) -> rusqlite::Result<FoldMark> {
    let value =
        |key: &str| connection.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get::<_, i64>(0));
    Ok(FoldMark {
        mark: value("fold_mark")?,
        target: value("fold_target")?,
        done: usize::try_from(value("fold_done")?).unwrap_or(usize::MAX),
    })
}

pub fn write_fold_mark(connection: &Connection, mark: FoldMark) -> rusqlite::Result<()> {
    let done = i64::try_from(mark.done).unwrap_or(i64::MAX);
    let sql = "REPLACE INTO meta VALUES ('fold_mark', ?), ('fold_target', ?), ('fold_done', ?)";
    execute(connection, sql, [mark.mark, mark.target, done]).map(drop)
}

/// The number of transactions that changed something else than hits. New files start without the key.
pub fn changes(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(value(connection, "changes")?.unwrap_or(0))
}

fn value(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get(0)).optional()
}

/// The record of the clock; none in a file whose clock was never believed.
pub fn read_clock(connection: &Connection) -> rusqlite::Result<Option<ClockRecord>> {
    let believed_at = value(connection, "clock_believed")?.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let newest_day = value(connection, "clock_newest_day")?.and_then(|day| Day::from_number(u32::try_from(day).ok()?));
    let record = believed_at.zip(newest_day);
    Ok(record.map(|(believed_at, newest_day)| ClockRecord { believed_at, newest_day }))
}

pub fn write_clock(connection: &Connection, record: ClockRecord) -> rusqlite::Result<()> {
    let sql = "REPLACE INTO meta VALUES ('clock_believed', ?), ('clock_newest_day', ?)";
    execute(connection, sql, [record.believed_at.timestamp(), record.newest_day.number().into()]).map(drop)
}

pub fn note_change(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO meta VALUES ('changes', 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value",
        )?
        .query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sqlite::migrations;

    #[test]
    fn the_clocks_record_reads_as_it_was_written() {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        assert_eq!(read_clock(&file).unwrap(), None);
        let record = ClockRecord::of("2024-06-17T03:00:00Z".parse().unwrap(), None);
        for _ in 0..2 {
            write_clock(&file, record).unwrap();
            assert_eq!(read_clock(&file).unwrap(), Some(record));
        }
    }
}
