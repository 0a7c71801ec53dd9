//! `shown`: least figures of sites' counters, which were shown with more of other nodes' hits than `counts` has.
//!
//! A row holds the hits without those of this node's own sources, since they are in `counts` after any end, and without
//! those of the imports in `counts`, which may be corrected or forgotten. Once remote sync has brought the hits into
//! `counts`, the row goes.

use rusqlite::{Connection, OptionalExtension as _, params};
use rustc_hash::FxHashMap;

use super::counts::{self, SITE_ITSELF, SourceCount};
use super::sources::SourceNumber;
use super::{execute, rows};
use crate::counter::{Period, Register, SiteNumber};

/// The least hits of all sources but the current run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    pub hits: i64,
    /// True if an import has come since: then the figure may be lower.
    pub may_fall: bool,
}

/// The least hits of a counter, where more was shown than these counts have.
pub fn read(
    connection: &Connection,
    site: SiteNumber,
    period: Period,
    counts: &[SourceCount],
    current: Option<SourceNumber>,
) -> rusqlite::Result<Option<Floor>> {
    Ok(noted(connection, site, period)?.map(|noted| floor(noted, counts, current)))
}

/// Notes of a site's counters, by the numbers of their periods.
pub struct Noted(FxHashMap<u32, (i64, i64)>);

impl Noted {
    /// Reads what is noted of some periods, the first and the last of which these are.
    pub fn between(connection: &Connection, site: SiteNumber, first: Period, last: Period) -> rusqlite::Result<Self> {
        let sql = "SELECT period, hits, imports FROM shown WHERE site = ? AND period BETWEEN ? AND ?";
        let of = params![site.0, first.number(), last.number()];
        let noted = rows(connection, sql, of, |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        Ok(Self(noted.into_iter().collect()))
    }

    /// The least hits of a counter, as [`read`].
    pub fn floor(&self, period: Period, counts: &[SourceCount], current: Option<SourceNumber>) -> Option<Floor> {
        self.0.get(&period.number()).map(|noted| floor(*noted, counts, current))
    }
}

fn floor((hits, imports): (i64, i64), counts: &[SourceCount], current: Option<SourceNumber>) -> Floor {
    Floor { hits: hits + beside(counts, current), may_fall: imports != imports_of(counts) }
}

/// Notes the hits of all sources but the current run, as they are shown. True: they are more than `counts` has, and more
/// than were noted before.
pub fn note(
    connection: &Connection,
    site: SiteNumber,
    period: Period,
    hits: i64,
    current: Option<SourceNumber>,
) -> rusqlite::Result<bool> {
    let counts = counts::of_page(connection, site, period, SITE_ITSELF)?;
    if hits <= sum(&counts, |count| Some(count.source) != current) {
        let sql = "DELETE FROM shown WHERE site = ? AND period = ?";
        return execute(connection, sql, params![site.0, period.number()]).map(|_| false);
    }
    let (rest, imports) = (hits - beside(&counts, current), imports_of(&counts));
    let before = noted(connection, site, period)?;
    if before != Some((rest, imports)) {
        let sql = "REPLACE INTO shown (site, period, hits, imports) VALUES (?, ?, ?, ?)";
        execute(connection, sql, params![site.0, period.number(), rest, imports])?;
    }
    Ok(before.is_none_or(|(before, _)| rest > before))
}

/// Keeps the least hits as they are, when `counts` gets so many more of an import from Redis: they may have been shown.
pub fn keep(connection: &Connection, site: SiteNumber, period: Period, more: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE shown SET hits = hits - ? WHERE site = ? AND period = ?";
    execute(connection, sql, params![more, site.0, period.number()]).map(drop)
}

/// Deletes all of a site.
pub fn clear(connection: &Connection, site: SiteNumber) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM shown WHERE site = ?", [site.0]).map(drop)
}

fn noted(connection: &Connection, site: SiteNumber, period: Period) -> rusqlite::Result<Option<(i64, i64)>> {
    connection
        .prepare_cached("SELECT hits, imports FROM shown WHERE site = ? AND period = ?")?
        .query_row(params![site.0, period.number()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Hits that stand beside a row's: those of this node's earlier runs and of imports.
fn beside(counts: &[SourceCount], current: Option<SourceNumber>) -> i64 {
    let is_import = |count: &SourceCount| matches!(count.register, Register::Written { .. });
    sum(counts, |count| (count.is_own || is_import(count)) && Some(count.source) != current)
}

fn sum(counts: &[SourceCount], of: impl Fn(&SourceCount) -> bool) -> i64 {
    counts.iter().filter(|count| of(count)).map(|count| count.register.hits()).sum()
}

fn imports_of(counts: &[SourceCount]) -> i64 {
    counts.iter().fold(0, |sum, count| match count.register {
        Register::Written { generation, .. } => sum.wrapping_add(generation.cast_signed()),
        Register::Grown(_) => sum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Contribution, Source};
    use crate::ledger::sqlite::migrations;
    use crate::ledger::sqlite::tables::{merge, sources};

    const SITE: SiteNumber = SiteNumber(1);

    fn merge(file: &Connection, source: &str, register: Register, remote: bool) {
        let source: Source = source.parse().unwrap();
        let contribution = Contribution { source, period: Period::Total, page: None, register };
        merge::merge(file, SITE, [&contribution], remote).unwrap();
    }

    #[test]
    fn a_floor_grows_with_this_nodes_runs_and_goes_once_the_counts_have_it() {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        let [own, other] = ["0000000000000001", "0000000000000002"];
        merge(&file, own, Register::Grown(10), false);
        merge(&file, other, Register::Grown(5), true);
        let current = sources::find(&file, &own.parse().unwrap()).unwrap();
        let floor = |current| {
            let counts = counts::of_page(&file, SITE, Period::Total, SITE_ITSELF).unwrap();
            read(&file, SITE, Period::Total, &counts, current).unwrap()
        };
        let note = |hits| note(&file, SITE, Period::Total, hits, current).unwrap();
        assert!(!note(5));
        assert_eq!(floor(current), None);
        assert!(note(9));
        assert_eq!(floor(current), Some(Floor { hits: 9, may_fall: false }));
        // The next run: this one has ended, with more hits.
        merge(&file, own, Register::Grown(12), false);
        assert_eq!(floor(None), Some(Floor { hits: 21, may_fall: false }));
        // The other node's hits are not added to what was shown of them.
        merge(&file, other, Register::Grown(8), true);
        assert_eq!(floor(None), Some(Floor { hits: 21, may_fall: false }));
        merge(&file, "import:old", Register::Written { generation: 3, hits: 0 }, true);
        assert_eq!(floor(None), Some(Floor { hits: 21, may_fall: true }));
        merge(&file, other, Register::Grown(9), true);
        assert!(!note(9));
        assert_eq!(floor(None), None);
    }

    #[test]
    fn a_floor_falls_with_an_import_that_is_corrected_here_and_stays_when_redis_brings_one() {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        let written = |generation, hits| Register::Written { generation, hits };
        let floor = || {
            let counts = counts::of_page(&file, SITE, Period::Total, SITE_ITSELF).unwrap();
            read(&file, SITE, Period::Total, &counts, None).unwrap().unwrap()
        };
        let note = |hits| note(&file, SITE, Period::Total, hits, None).unwrap();
        merge(&file, "import:old", written(3, 1_000), true);
        assert!(note(1_005) && !note(1_005));
        merge(&file, "import:old", written(4, 10), false);
        assert_eq!(floor(), Floor { hits: 15, may_fall: true });
        merge(&file, "import:old", written(5, 0), false);
        assert_eq!(floor(), Floor { hits: 5, may_fall: true });
        // It may be among the hits that were shown.
        assert!(note(50));
        merge(&file, "import:new", written(6, 40), true);
        assert_eq!(floor(), Floor { hits: 50, may_fall: true });
        merge(&file, "import:new", written(7, 0), false);
        assert_eq!(floor(), Floor { hits: 10, may_fall: true });
        clear(&file, SITE).unwrap();
        assert!(note(9));
    }
}
