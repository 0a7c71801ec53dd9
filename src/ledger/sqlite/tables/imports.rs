//! `import_steps`: an import on its way to `counts`, so that it gets there wholly or not at all.
//!
//! It is staged here step by step, and then marked as whole. From then on each step moves to `counts` in one
//! transaction. The last one stays until `counts` holds nothing of another import of the name. A start drops steps
//! without the mark and moves those with it.

use std::time::{Duration, Instant};

use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension as _, params};

use super::merge::{ImportPages, OfImport};
use super::{bounded, counts, execute, sources};
use crate::counter::{RowKey, SiteNumber, Source};

/// Rows of a site that are looked through in one transaction.
pub const CLEAR_STEP: usize = 10_000;

/// Steps that are dropped in one transaction.
const DROP_STEPS: usize = 500;

/// Time of a transaction before the first hit of a start.
const RECOVER_TIME: Duration = Duration::from_millis(50);

/// An import: its site, its name and its generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub site: SiteNumber,
    pub source: Source,
    pub generation: u64,
}

/// A step of an import: counters by period and page.
///
/// Of each the bytes have the number of its period, the bytes that its page shares with the page before, the number of the
/// others, those, and its hits; numbers are little-endian. The site itself has no bytes.
#[derive(Debug, Clone, Default)]
pub struct StagedRows {
    bytes: Vec<u8>,
    last_page: Vec<u8>,
    pub rows: usize,
}

impl StagedRows {
    pub fn push(&mut self, page: &[u8], period: u32, hits: i64) {
        let shared = self.last_page.iter().zip(page).take_while(|(one, other)| one == other).count();
        let rest = page.get(shared..).unwrap_or_default();
        self.bytes.extend_from_slice(&period.to_le_bytes());
        self.bytes.extend_from_slice(&length(shared));
        self.bytes.extend_from_slice(&length(rest.len()));
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(&hits.to_le_bytes());
        self.last_page.truncate(shared);
        self.last_page.extend_from_slice(rest);
        self.rows += 1;
    }
}

/// Addresses are far shorter than the longest one that has such a length.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_le_bytes()
}

/// Takes a number off the bytes.
fn number<const BYTES: usize>(bytes: &mut &[u8]) -> rusqlite::Result<[u8; BYTES]> {
    let (number, rest) = bytes.split_first_chunk().ok_or_else(unreadable)?;
    *bytes = rest;
    Ok(*number)
}

fn unreadable() -> Error {
    Error::FromSqlConversionFailure(4, Type::Blob, "a staged import is not readable".into())
}

/// Stages steps, the first of them under a number.
pub fn stage(connection: &Connection, import: &Import, first: i64, steps: &[StagedRows]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO import_steps (number, site, source, generation, rows) VALUES (?, ?, ?, ?, ?)";
    let mut insert = connection.prepare_cached(sql)?;
    let generation = i64::try_from(import.generation).unwrap_or(i64::MAX);
    let source = import.source.to_string();
    (first..).zip(steps).try_for_each(|(number, step)| {
        insert.execute(params![number, import.site.0, source, generation, step.bytes]).map(drop)
    })
}

/// Drops some of the steps that an import cut short has left. True: that was all.
pub fn drop_some(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM import_steps WHERE number IN (SELECT number FROM import_steps ORDER BY number DESC LIMIT ?)";
    Ok(execute(connection, sql, [bounded(DROP_STEPS)])? < DROP_STEPS)
}

fn clear(connection: &Connection) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM import_steps", []).map(drop)
}

/// Marks the staged import as whole.
pub fn mark_whole(connection: &Connection) -> rusqlite::Result<()> {
    execute(connection, "REPLACE INTO meta VALUES ('import_whole', 1)", []).map(drop)
}

fn is_last(connection: &Connection, number: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM import_steps WHERE number > ?)";
    connection.prepare_cached(sql)?.query_row([number], |row| row.get(0))
}

fn is_whole(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'import_whole')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// A part of a whole import's way that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub site: SiteNumber,
    /// All rows have moved, and up to this one the site's counts were looked through for those of another import.
    pub cleared: Option<RowKey>,
}

/// Moves steps of a whole import to the counts of its site for so long, at least one. After the last it clears what another
/// import has left among the site's rows; none is left after that. `cleared`: as it was returned before.
pub fn move_steps(
    connection: &Connection,
    pages: &mut ImportPages,
    mut cleared: Option<RowKey>,
    time: Duration,
) -> rusqlite::Result<Option<Moved>> {
    let begun = Instant::now();
    loop {
        let moved = move_step(connection, pages, cleared)?;
        let Some(Moved { cleared: next, .. }) = moved else { return Ok(None) };
        let is_complete = cleared.is_some() && next.is_none();
        if is_complete || begun.elapsed() >= time {
            return Ok(moved);
        }
        cleared = next;
    }
}

fn move_step(
    connection: &Connection,
    pages: &mut ImportPages,
    cleared: Option<RowKey>,
) -> rusqlite::Result<Option<Moved>> {
    let sql = "SELECT number, site, source, generation, rows FROM import_steps ORDER BY number LIMIT 1";
    let mut select = connection.prepare_cached(sql)?;
    let step = select
        .query_row([], |row| {
            let generation = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
            let import = Import { site: SiteNumber(row.get(1)?), source: sources::source_at(row, 2)?, generation };
            if cleared.is_none() {
                move_rows(connection, pages, &import, row.get_ref(4)?.as_blob()?)?;
            }
            Ok((row.get::<_, i64>(0)?, import))
        })
        .optional()?;
    let Some((number, Import { site, source, generation })) = step else {
        execute(connection, "DELETE FROM meta WHERE key = 'import_whole'", [])?;
        return Ok(None);
    };
    if let Some(after) = cleared {
        // Rows of another node's import may have come from Redis since this one was planned.
        let last = (sources::number(connection, &source, false)?, generation);
        let cleared = counts::clear_earlier_imports(connection, site, last, after, CLEAR_STEP)?;
        if cleared.is_none() {
            clear(connection)?;
        }
        return Ok(Some(Moved { site, cleared }));
    }
    if is_last(connection, number)? {
        return Ok(Some(Moved { site, cleared: Some(RowKey::START) }));
    }
    execute(connection, "DELETE FROM import_steps WHERE number = ?", [number])?;
    Ok(Some(Moved { site, cleared: None }))
}

/// Merges a step's rows into the counts.
fn move_rows(
    connection: &Connection,
    pages: &mut ImportPages,
    import: &Import,
    mut rows: &[u8],
) -> rusqlite::Result<()> {
    let mut merge = OfImport::new(connection, pages, import.site, &import.source, import.generation)?;
    let mut page = Vec::new();
    while !rows.is_empty() {
        let period = counts::period(u32::from_le_bytes(number(&mut rows)?))?;
        let shared = usize::from(u16::from_le_bytes(number(&mut rows)?));
        let length = usize::from(u16::from_le_bytes(number(&mut rows)?));
        let (more, rest) = rows.split_at_checked(length).ok_or_else(unreadable)?;
        rows = rest;
        page.truncate(shared);
        page.extend_from_slice(more);
        let page = std::str::from_utf8(&page).map_err(|_| unreadable())?;
        merge.merge(period, page, i64::from_le_bytes(number(&mut rows)?))?;
    }
    Ok(())
}

/// Moves the rest of a whole import, and drops one that is not whole.
pub fn recover(connection: &Connection) -> rusqlite::Result<()> {
    if !is_whole(connection)? {
        return clear(connection);
    }
    let (mut pages, mut cleared) = (ImportPages::default(), None);
    loop {
        let transaction = connection.unchecked_transaction()?;
        let moved = move_steps(&transaction, &mut pages, cleared, RECOVER_TIME)?;
        transaction.commit()?;
        match moved {
            None => return Ok(()),
            Some(moved) => cleared = moved.cleared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Contribution, PageAddress, Period, Register};
    use crate::ledger::sqlite::migrations;
    use crate::ledger::sqlite::tables::merge;

    fn import() -> Import {
        Import { site: SiteNumber(1), source: "import:old".parse().unwrap(), generation: 7 }
    }

    fn page(number: usize) -> String {
        if number > 0 { format!("/{number}\"\t\n") } else { String::new() }
    }

    fn steps(rows: &[(usize, u32)]) -> StagedRows {
        let mut step = StagedRows::default();
        rows.iter().for_each(|(number, period)| step.push(page(*number).as_bytes(), *period, 1));
        step
    }

    fn counted(connection: &Connection) -> i64 {
        connection.query_row("SELECT ifnull(sum(hits), 0) FROM counts", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_start_after_any_step_of_an_import_has_all_of_it_or_nothing() {
        let all = [
            steps(&[(0, 0), (0, 20_240_000), (1, 0)]),
            steps(&[(1, 20_240_600), (1, 20_240_617), (2, 0)]),
            steps(&[(3, 0), (4, 0)]),
        ];
        let staged = |steps: usize| {
            let file = Connection::open_in_memory().unwrap();
            migrations::migrate(&file).unwrap();
            (1..).zip(&all[..steps]).for_each(|(number, step)| {
                stage(&file, &import(), number, std::slice::from_ref(step)).unwrap();
            });
            file
        };
        for steps in 0..=3 {
            let file = staged(steps);
            recover(&file).unwrap();
            assert_eq!(counted(&file), 0, "{steps}");
            recover(&file).unwrap();
        }
        for steps in 0..=4 {
            let file = staged(3);
            mark_whole(&file).unwrap();
            // Of another node's import.
            let other = Contribution {
                source: import().source,
                period: Period::Total,
                page: Some(PageAddress::from_stored(&page(7))),
                register: Register::Written { generation: 5, hits: 9 },
            };
            merge::merge(&file, import().site, [&other], true).unwrap();
            let mut pages = ImportPages::default();
            let mut moved = |cleared| move_steps(&file, &mut pages, cleared, Duration::ZERO).unwrap().unwrap().cleared;
            (0..steps).fold(None, |cleared, _| moved(cleared));
            recover(&file).unwrap();
            assert_eq!(counted(&file), 8, "{steps}");
            assert!(!is_whole(&file).unwrap());
            let left: i64 = file.query_row("SELECT count(*) FROM import_steps", [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0);
        }
    }
}
