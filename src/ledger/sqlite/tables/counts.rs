//! `counts`: hits per site, period, page and source.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::RangeInclusive;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params, params_from_iter};
use rustc_hash::FxHashMap;

use super::sources::{SourceNumber, source_at};
use super::{bounded, execute, rows};
use crate::counter::{
    Contribution, Day, Digest, FileDigest, PageAddress, Period, Register, RowKey, SiteNumber, Source, Weight,
};

/// The page number of the site itself.
pub const SITE_ITSELF: i64 = 0;

/// True if the table has rows.
pub fn exist(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM counts)", [], |row| row.get(0))
}

/// Adds a run's hits to the counts of a page, or of the site itself, and returns the new counts.
///
/// Reads, then writes: SQLite keeps the rows of `RETURNING` in a table of its own until the statement ends, which
/// would cost as much again.
pub fn add<const PERIODS: usize>(
    connection: &Connection,
    site: SiteNumber,
    page: i64,
    source: SourceNumber,
    periods: [Period; PERIODS],
    hits: i64,
) -> rusqlite::Result<[i64; PERIODS]> {
    let mut read = connection
        .prepare_cached("SELECT hits FROM counts WHERE site = ? AND period = ? AND page = ? AND source = ?")?;
    let mut write =
        connection.prepare_cached("REPLACE INTO counts (site, period, page, source, hits) VALUES (?, ?, ?, ?, ?)")?;
    let mut now = [hits; PERIODS];
    for (period, now) in periods.iter().zip(&mut now) {
        let period = period.number();
        let known: Option<i64> = read.query_row(params![site.0, period, page, source], |row| row.get(0)).optional()?;
        *now = now.saturating_add(known.unwrap_or(0));
        write.execute(params![site.0, period, page, source, *now])?;
    }
    Ok(now)
}

/// The key of a count.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub site: SiteNumber,
    pub period: Period,
    pub page: i64,
    pub source: SourceNumber,
}

/// Merges registers into counts, by one statement.
pub struct Merging<'c>(CachedStatement<'c>);

impl<'c> Merging<'c> {
    pub fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let sql = "INSERT INTO counts (site, period, page, source, hits, generation) VALUES (?, ?, ?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET hits = excluded.hits, generation = excluded.generation
                   WHERE (ifnull(excluded.generation, 0), excluded.hits) > (ifnull(generation, 0), hits)";
        connection.prepare_cached(sql).map(Self)
    }

    /// True: the count changed.
    pub fn merge(&mut self, key: Key, register: Register) -> rusqlite::Result<bool> {
        let (hits, generation) = match register {
            Register::Grown(hits) => (hits, None),
            Register::Written { generation, hits } => (hits, Some(i64::try_from(generation).unwrap_or(i64::MAX))),
        };
        let key = params![key.site.0, key.period.number(), key.page, key.source, hits, generation];
        Ok(self.0.execute(key)? > 0)
    }
}

/// Merges a register into a count. True: the count changed.
pub fn merge(connection: &Connection, key: Key, register: Register) -> rusqlite::Result<bool> {
    Merging::new(connection)?.merge(key, register)
}

/// Hits of a count; none if there are none.
pub fn hits(connection: &Connection, key: Key) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT hits FROM counts WHERE site = ? AND period = ? AND page = ? AND source = ?")?
        .query_row(params![key.site.0, key.period.number(), key.page, key.source], |row| row.get(0))
        .optional()
}

/// One source's part of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCount {
    pub source: SourceNumber,
    pub name: Source,
    /// True if all of the source is in this file, with nothing from Redis.
    pub is_own: bool,
    pub register: Register,
}

/// All sources' counts of a period of a page, or of the site itself.
pub fn of_page(
    connection: &Connection,
    site: SiteNumber,
    period: Period,
    page: i64,
) -> rusqlite::Result<Vec<SourceCount>> {
    let sql = "SELECT c.source, s.name, s.learned = 0, c.hits, c.generation
               FROM counts c JOIN sources s ON s.number = c.source
               WHERE c.site = ?1 AND c.period = ?2 AND c.page = ?3";
    rows(connection, sql, params![site.0, period.number(), page], |row| {
        let (name, is_own, register) = (source_at(row, 1)?, row.get(2)?, register_at(row, 3)?);
        Ok(SourceCount { source: row.get(0)?, name, is_own, register })
    })
}

/// Reads many counters of a site, each by a seek. Names of sources are looked up once.
pub struct CountReader<'a> {
    site: SiteNumber,
    counts: CachedStatement<'a>,
    of_pages: CachedStatement<'a>,
    source: CachedStatement<'a>,
    sources: FxHashMap<SourceNumber, (Source, bool)>,
}

impl<'a> CountReader<'a> {
    pub fn new(connection: &'a Connection, site: SiteNumber) -> rusqlite::Result<Self> {
        let sql = "SELECT source, hits, generation FROM counts WHERE site = ?1 AND period = ?2 AND page = ?3";
        let counts = connection.prepare_cached(sql)?;
        let marks = vec!["?"; PAGES_AT_ONCE].join(",");
        let sql = format!(
            "SELECT page, source, hits, generation FROM counts WHERE site = ? AND period = ? AND page IN ({marks})"
        );
        let of_pages = connection.prepare_cached(&sql)?;
        let source = connection.prepare_cached("SELECT name, learned = 0 FROM sources WHERE number = ?")?;
        Ok(Self { site, counts, of_pages, source, sources: FxHashMap::default() })
    }

    /// All sources' counts of a period of a page, or of the site itself.
    pub fn of_page(&mut self, period: Period, page: i64) -> rusqlite::Result<Vec<SourceCount>> {
        let mut counts = Vec::new();
        let mut rows = self.counts.query(params![self.site.0, period.number(), page])?;
        while let Some(row) = rows.next()? {
            counts.push(source_count(&mut self.sources, &mut self.source, row.get(0)?, register_at(row, 1)?)?);
        }
        Ok(counts)
    }

    /// Calls `then` with each count of a period of some pages, which are sorted, and the page's number.
    pub fn of_pages(
        &mut self,
        period: Period,
        pages: &[i64],
        mut then: impl FnMut(i64, SourceCount),
    ) -> rusqlite::Result<()> {
        let mut pages = pages.to_vec();
        pages.dedup();
        if pages.len() < PAGES_AT_ONCE_MIN {
            for page in pages {
                self.of_page(period, page)?.into_iter().for_each(|count| then(page, count));
            }
            return Ok(());
        }
        for pages in pages.chunks(PAGES_AT_ONCE) {
            // One statement for any number: the last page fills it up.
            let filled = (0..PAGES_AT_ONCE).map(|at| pages.get(at).or(pages.last()).copied().unwrap_or_default());
            let of = [i64::from(self.site.0), i64::from(period.number())].into_iter().chain(filled);
            let mut rows = self.of_pages.query(params_from_iter(of))?;
            while let Some(row) = rows.next()? {
                let count = source_count(&mut self.sources, &mut self.source, row.get(1)?, register_at(row, 2)?)?;
                then(row.get(0)?, count);
            }
        }
        Ok(())
    }
}

/// Pages of one statement; fewer are read one by one.
const PAGES_AT_ONCE: usize = 64;
const PAGES_AT_ONCE_MIN: usize = 8;

fn source_count(
    sources: &mut FxHashMap<SourceNumber, (Source, bool)>,
    read: &mut CachedStatement<'_>,
    source: SourceNumber,
    register: Register,
) -> rusqlite::Result<SourceCount> {
    let (name, is_own) = match sources.entry(source) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => place.insert(read.query_row([source], |row| Ok((source_at(row, 0)?, row.get(1)?)))?),
    };
    Ok(SourceCount { source, name: name.clone(), is_own: *is_own, register })
}

/// The highest generation of a source's counts of a site.
pub fn last_generation(connection: &Connection, site: SiteNumber, source: SourceNumber) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT ifnull(max(generation), 0) FROM counts WHERE site = ? AND source = ?")?
        .query_row(params![site.0, source], |row| row.get::<_, i64>(0))
        .map(|generation| u64::try_from(generation).unwrap_or(0))
}

/// True if counts of earlier generations of a source are left that are not 0.
pub fn has_earlier_imports(
    connection: &Connection,
    site: SiteNumber,
    source: SourceNumber,
    generation: u64,
) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM counts WHERE site = ? AND source = ? AND hits != 0 AND generation < ?)";
    let before = before(generation);
    connection.prepare_cached(sql)?.query_row(params![site.0, source, before], |row| row.get(0))
}

/// Sets what is left of earlier imports of a source to 0, where it is among the next rows of the site. All counters of an
/// import are of its generation, so others are of one that another node made at the same time. Returns the last row, if
/// there may be more.
///
/// Their generation becomes the last but one: a row of the last import that comes later is taken, whatever its value.
pub fn clear_earlier_imports(
    connection: &Connection,
    site: SiteNumber,
    (source, generation): (SourceNumber, u64),
    after: RowKey,
    limit: usize,
) -> rusqlite::Result<Option<RowKey>> {
    let before = before(generation);
    let sql = "SELECT period, page, source, source = ?5 AND hits != 0 AND generation < ?6 FROM counts
               WHERE site = ?1 AND (period, page, source) > (?2, ?3, ?4)
               ORDER BY period, page, source LIMIT ?7";
    let params = params![site.0, after.period, after.page, after.source, source, before, bounded(limit)];
    let next = rows(connection, sql, params, |row| Ok((row_key_at(row)?, row.get::<_, Option<bool>>(3)?)))?;
    for (RowKey { period, page, source }, is_left) in &next {
        if *is_left == Some(true) {
            let sql =
                "UPDATE counts SET hits = 0, generation = ? WHERE site = ? AND period = ? AND page = ? AND source = ?";
            execute(connection, sql, params![before, site.0, period, page, source])?;
        }
    }
    Ok(next.last().filter(|_| next.len() == limit).map(|(last, _)| *last))
}

fn before(generation: u64) -> i64 {
    i64::try_from(generation.saturating_sub(1)).unwrap_or(i64::MAX)
}

/// A row in the form in which it is published, with its key.
pub type PublishedRow = (RowKey, Contribution);

/// Digests of a site's rows, by key of Redis and source.
pub fn digests(connection: &Connection, site: SiteNumber) -> rusqlite::Result<Vec<FileDigest>> {
    let mut digests: HashMap<(Option<Period>, SourceNumber), Digest> = HashMap::new();
    // One statement: all rows are of one moment.
    let mut read = connection.prepare_cached(
        "SELECT c.period, c.source, p.address, c.hits, c.generation
         FROM counts c LEFT JOIN pages p ON p.number = c.page WHERE c.site = ?",
    )?;
    let mut rows = read.query([site.0])?;
    while let Some(row) = rows.next()? {
        let period = period_at(row, 0)?;
        let page = row.get::<_, Option<String>>(2)?.as_deref().map(PageAddress::from_stored);
        let digest = digests.entry((page.as_ref().map(|_| period), row.get(1)?)).or_default();
        digest.add(Weight::of(period, page.as_ref()), register_at(row, 3)?);
    }
    let mut source = connection.prepare_cached("SELECT name, learned = 1 FROM sources WHERE number = ?")?;
    digests
        .into_iter()
        .map(|((pages_of, number), digest)| {
            let (name, is_remote) = source.query_row([number], |row| Ok((source_at(row, 0)?, row.get(1)?)))?;
            let is_remote = is_remote && matches!(name, Source::Run(_));
            Ok(FileDigest { place: (pages_of, name), is_remote, digest })
        })
        .collect()
}

/// Up to `limit` rows of a site after a key.
pub fn rows_after(
    connection: &Connection,
    site: SiteNumber,
    after: RowKey,
    limit: usize,
) -> rusqlite::Result<Vec<PublishedRow>> {
    let sql = "SELECT c.period, c.page, c.source, c.hits, c.generation, s.name, p.address
               FROM counts c JOIN sources s ON s.number = c.source LEFT JOIN pages p ON p.number = c.page
               WHERE c.site = ?1 AND (c.period, c.page, c.source) > (?2, ?3, ?4)
               ORDER BY c.period, c.page, c.source LIMIT ?5";
    let RowKey { period, page, source } = after;
    rows(connection, sql, params![site.0, period, page, source, bounded(limit)], |row| {
        let (source, period) = (source_at(row, 5)?, period_at(row, 0)?);
        let contribution = Contribution { source, period, page: page_at(row, 6)?, register: register_at(row, 3)? };
        Ok((row_key_at(row)?, contribution))
    })
}

fn row_key_at(row: &Row<'_>) -> rusqlite::Result<RowKey> {
    Ok(RowKey { period: row.get(0)?, page: row.get(1)?, source: row.get(2)? })
}

pub fn period_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Period> {
    period(row.get(column)?)
}

pub fn period(number: u32) -> rusqlite::Result<Period> {
    Period::from_number(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::from(number)))
}

/// The address of a page; none for the site itself.
pub fn page_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<PageAddress>> {
    let address: Option<String> = row.get(column)?;
    Ok(address.as_deref().map(PageAddress::from_stored))
}

fn register_at(row: &Row<'_>, hits_column: usize) -> rusqlite::Result<Register> {
    let hits = row.get(hits_column)?;
    let generation: Option<i64> = row.get(hits_column + 1)?;
    Ok(match generation {
        None => Register::Grown(hits),
        Some(generation) => Register::Written { generation: u64::try_from(generation).unwrap_or(0), hits },
    })
}

/// Up to `limit` rows of pages after a key, of days before `day` and months before `month`.
pub fn expired(
    connection: &Connection,
    site: SiteNumber,
    after: RowKey,
    (day, month): (u32, u32),
    limit: usize,
) -> rusqlite::Result<Vec<RowKey>> {
    let sql = "SELECT period, page, source FROM counts
               WHERE site = ?1 AND (period, page, source) > (?2, ?3, ?4) AND period < max(?5, ?6) AND page > 0
                 AND ((period % 100 > 0 AND period < ?5)
                   OR (period % 100 = 0 AND period % 10000 > 0 AND period < ?6))
               ORDER BY period, page, source LIMIT ?7";
    let RowKey { period, page, source } = after;
    rows(connection, sql, params![site.0, period, page, source, day, month, bounded(limit)], row_key_at)
}

/// The first and the last year that the file knows anything of a site of; none if there is no such year.
pub fn years(connection: &Connection, site: SiteNumber) -> rusqlite::Result<Option<RangeInclusive<u32>>> {
    // One seek each.
    let sql = "SELECT (SELECT min(period) FROM counts WHERE site = ?1 AND period > 0),
                      (SELECT max(period) FROM counts WHERE site = ?1 AND period > 0),
                      (SELECT min(period) FROM shown WHERE site = ?1 AND period > 0),
                      (SELECT max(period) FROM shown WHERE site = ?1 AND period > 0)";
    let ends: [Option<u32>; 4] = connection
        .prepare_cached(sql)?
        .query_row([site.0], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    let years = || ends.iter().flatten().map(|period| period / 10_000);
    Ok(years().min().zip(years().max()).map(|(first, last)| first..=last))
}

/// The newest day on which a site has hits, of a run of any node. Days of imports don't count: a file of old counts
/// may be wrong about them.
pub fn newest_day(connection: &Connection, site: SiteNumber) -> rusqlite::Result<Option<Day>> {
    let mut newest = connection.prepare_cached("SELECT max(period) FROM counts WHERE site = ? AND period < ?")?;
    let mut is_counted = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM counts
                        WHERE site = ? AND period = ? AND page = 0 AND generation IS NULL AND hits > 0)",
    )?;
    let mut before = i64::MAX;
    loop {
        let found: Option<u32> = newest.query_row(params![site.0, before], |row| row.get(0))?;
        let Some(number) = found.filter(|number| *number > 0) else { return Ok(None) };
        if let Some(Period::Day(day)) = Period::from_number(number)
            && is_counted.query_row(params![site.0, number], |row| row.get(0))?
        {
            return Ok(Some(day));
        }
        before = i64::from(number);
    }
}

/// Deletes rows of pages.
pub fn delete(connection: &Connection, site: SiteNumber, rows: &[RowKey]) -> rusqlite::Result<()> {
    let sql = "DELETE FROM counts WHERE site = ? AND period = ? AND page = ? AND source = ? AND page > 0";
    rows.iter().try_for_each(|RowKey { period, page, source }| {
        execute(connection, sql, params![site.0, period, page, source]).map(drop)
    })
}

pub fn day_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Day> {
    match period_at(row, column)? {
        Period::Day(day) => Ok(day),
        period => Err(rusqlite::Error::IntegralValueOutOfRange(column, i64::from(period.number()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sqlite::migrations;

    const SITE: SiteNumber = SiteNumber(1);

    fn file() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrations::migrate(&connection).unwrap();
        connection
    }

    fn periods(connection: &Connection) -> Vec<(u32, i64)> {
        connection
            .prepare("SELECT period, page FROM counts ORDER BY period, page")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap()
    }

    #[test]
    fn page_rows_before_the_oldest_kept_day_and_month_expire_and_no_others() {
        let file = file();
        for period in ["2024-06-15", "2024-06-16", "2024-05", "2024-06", "2024", "total"] {
            for page in [SITE_ITSELF, 1] {
                let key = Key { site: SITE, period: period.parse().unwrap(), page, source: 1 };
                assert!(merge(&file, key, Register::Grown(1)).unwrap());
            }
        }
        let expired = |after, limit| expired(&file, SITE, after, (20_240_616, 20_240_600), limit).unwrap();
        let key = |period, page| RowKey { period, page, source: 1 };
        let all = expired(RowKey::START, 9);
        assert_eq!(all, [key(20_240_500, 1), key(20_240_615, 1)]);
        assert_eq!(expired(RowKey::START, 1), all[..1]);
        assert_eq!(expired(all[0], 9), all[1..]);
        // The site's own counts stay, whatever keys are named.
        delete(&file, SITE, &[all[0], all[1], key(20_240_615, SITE_ITSELF)]).unwrap();
        let left = periods(&file);
        assert_eq!(left.len(), 10);
        assert!(left.contains(&(20_240_615, SITE_ITSELF)) && !left.contains(&(20_240_615, 1)));
    }

    #[test]
    fn the_newest_day_is_one_with_hits_of_a_run() {
        let file = file();
        let newest = || newest_day(&file, SITE).unwrap().map(|day| day.to_string());
        let note = |period: &str, page, register| {
            merge(&file, Key { site: SITE, period: period.parse().unwrap(), page, source: 1 }, register).unwrap();
        };
        assert_eq!(newest(), None);
        note("total", SITE_ITSELF, Register::Grown(9));
        note("2024", SITE_ITSELF, Register::Grown(9));
        note("2024-07-09", SITE_ITSELF, Register::Written { generation: 1, hits: 9 });
        assert_eq!(newest(), None);
        note("2024-06-17", SITE_ITSELF, Register::Grown(9));
        note("2024-06-19", 7, Register::Grown(9));
        note("2024-06-18", SITE_ITSELF, Register::Grown(0));
        assert_eq!(newest().as_deref(), Some("2024-06-17"));
        assert_eq!(newest_day(&file, SiteNumber(2)).unwrap(), None);
    }

    #[test]
    fn what_is_left_of_earlier_imports_is_cleared_and_gives_way_to_the_last_one() {
        let file = file();
        let written = |generation, hits| Register::Written { generation, hits };
        let merge = |period: &str, source, register| {
            let key = Key { site: SITE, period: period.parse().unwrap(), page: SITE_ITSELF, source };
            merge(&file, key, register).unwrap()
        };
        merge("2021", 1, written(5, 7));
        merge("2022", 1, written(9, 8));
        merge("2021", 2, written(5, 7));
        merge("2021", 3, Register::Grown(7));
        let clear = |source, generation| {
            let was_left = has_earlier_imports(&file, SITE, source, generation).unwrap();
            let mut after = Some(RowKey::START);
            while let Some(key) = after {
                after = clear_earlier_imports(&file, SITE, (source, generation), key, 2).unwrap();
            }
            was_left
        };
        assert!(clear(1, 9) && !clear(1, 9));
        assert!(!clear(2, 5) && !clear(3, 9));
        let register = |period: &str| {
            let sql = "SELECT hits, generation FROM counts WHERE period = ? AND source = 1";
            let number = period.parse::<Period>().unwrap().number();
            file.query_row(sql, [number], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap()
        };
        assert_eq!((register("2021"), register("2022")), ((0, 8), (8, 9)));
        assert!(!merge("2021", 1, written(5, 7)) && merge("2021", 1, written(9, -3)));
        assert_eq!(register("2021"), (-3, 9));
    }

    #[test]
    fn a_merge_takes_the_later_generation_and_of_one_the_most_hits() {
        let file = file();
        let key = Key { site: SITE, period: Period::Total, page: SITE_ITSELF, source: 1 };
        let written = |generation, hits| Register::Written { generation, hits };
        for (register, changes) in [
            (written(2, 5), true),
            (written(1, 9), false),
            (written(2, 4), false),
            (written(2, 6), true),
            (written(3, 0), true),
        ] {
            assert_eq!(merge(&file, key, register).unwrap(), changes, "{register:?}");
        }
        assert_eq!(last_generation(&file, SITE, 1).unwrap(), 3);
    }
}
