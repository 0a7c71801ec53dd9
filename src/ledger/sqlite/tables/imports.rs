//! `import_steps`: an import on its way to `counts`, so that it gets there wholly or not at all.
//!
//! It is staged here step by step, and then marked as whole. From then on each step moves to `counts` in one
//! transaction. The last one stays until `counts` holds nothing of another import of the name. A start drops steps
//! without the mark and moves those with it.

use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension as _, params};

use super::{counts, execute, merge, sources};
use crate::counter::{Contribution, PageAddress, Register, RowKey, SiteNumber};

/// Rows of a site that are looked through in one transaction.
pub const CLEAR_STEP: usize = 10_000;

/// A staged row: the numbers of period and hits, and the page.
type StagedRow = (u32, Option<String>, i64);

/// Stages a step: rows of one generation of one source. The first one drops what an import cut short has left.
pub fn stage(
    connection: &Connection,
    site: SiteNumber,
    number: i64,
    contributions: &[Contribution],
) -> rusqlite::Result<()> {
    if number == 1 {
        clear(connection)?;
    }
    let Some(Contribution { source, register: Register::Written { generation, .. }, .. }) = contributions.first()
    else {
        return Ok(());
    };
    let row = |one: &Contribution| -> StagedRow {
        (one.period.number(), one.page.as_ref().map(|page| page.as_str().to_owned()), one.register.hits())
    };
    let rows: Vec<_> = contributions.iter().map(row).collect();
    let rows = serde_json::to_vec(&rows).map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
    let sql = "INSERT INTO import_steps (number, site, source, generation, rows) VALUES (?, ?, ?, ?, ?)";
    let generation = i64::try_from(*generation).unwrap_or(i64::MAX);
    execute(connection, sql, params![number, site.0, source.to_string(), generation, rows]).map(drop)
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

/// Moves the next step of a whole import to the counts of its site, or clears what another import has left among the next
/// rows; none is left after the last. `cleared`: as it was returned before.
pub fn move_step(connection: &Connection, cleared: Option<RowKey>) -> rusqlite::Result<Option<Moved>> {
    let sql = "SELECT number, site, source, generation, rows FROM import_steps ORDER BY number LIMIT 1";
    let step = connection
        .prepare_cached(sql)?
        .query_row([], |row| {
            let generation = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
            let rows: Vec<StagedRow> = serde_json::from_slice(&row.get::<_, Vec<u8>>(4)?)
                .map_err(|error| Error::FromSqlConversionFailure(4, Type::Blob, error.into()))?;
            Ok((row.get::<_, i64>(0)?, SiteNumber(row.get(1)?), sources::source_at(row, 2)?, generation, rows))
        })
        .optional()?;
    let Some((number, site, source, generation, rows)) = step else {
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
    let contribution = |(period, page, hits): StagedRow| {
        Ok(Contribution {
            source: source.clone(),
            period: counts::period(period)?,
            page: page.as_deref().map(PageAddress::from_stored),
            register: Register::Written { generation, hits },
        })
    };
    let contributions: Vec<_> = rows.into_iter().map(contribution).collect::<rusqlite::Result<_>>()?;
    merge::merge(connection, site, &contributions, false)?;
    if is_last(connection, number)? {
        return Ok(Some(Moved { site, cleared: Some(RowKey::START) }));
    }
    execute(connection, "DELETE FROM import_steps WHERE number = ?", [number])?;
    Ok(Some(Moved { site, cleared: None }))
}

/// Moves the rest of a whole import, and drops one that is not whole.
pub fn recover(connection: &Connection) -> rusqlite::Result<()> {
    if !is_whole(connection)? {
        return clear(connection);
    }
    let mut cleared = None;
    loop {
        let transaction = connection.unchecked_transaction()?;
        let moved = move_step(&transaction, cleared)?;
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
    use crate::counter::Period;
    use crate::ledger::sqlite::migrations;

    const SITE: SiteNumber = SiteNumber(1);

    fn contribution(page: usize) -> Contribution {
        Contribution {
            source: "import:old".parse().unwrap(),
            period: Period::Total,
            page: (page > 0).then(|| PageAddress::from_stored(&format!("/{page}\"\t\n"))),
            register: Register::Written { generation: 7, hits: 1 },
        }
    }

    fn counted(connection: &Connection) -> i64 {
        connection.query_row("SELECT ifnull(sum(hits), 0) FROM counts", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_start_after_any_step_of_an_import_has_all_of_it_or_nothing() {
        let all: Vec<_> = (0..5).map(contribution).collect();
        let staged = |steps: usize| {
            let file = Connection::open_in_memory().unwrap();
            migrations::migrate(&file).unwrap();
            (1..).zip(all.chunks(2)).take(steps).for_each(|(number, step)| stage(&file, SITE, number, step).unwrap());
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
            let register = Register::Written { generation: 5, hits: 9 };
            merge::merge(&file, SITE, [&Contribution { register, ..contribution(7) }], true).unwrap();
            let moved = |cleared| move_step(&file, cleared).unwrap().unwrap().cleared;
            (0..steps).fold(None, |cleared, _| moved(cleared));
            recover(&file).unwrap();
            assert_eq!(counted(&file), 5, "{steps}");
            assert!(!is_whole(&file).unwrap());
            let left: i64 = file.query_row("SELECT count(*) FROM import_steps", [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0);
        }
    }
}
