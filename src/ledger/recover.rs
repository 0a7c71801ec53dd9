//! Recovery: folding what the last run left in the journal.

use rusqlite::Connection;

use super::fold::entry;
use super::sqlite::tables::meta::FoldMark;
use super::sqlite::tables::{counts, journal, meta, sources, visitors};
use crate::counter::{SiteNumber, Sketch, Tally, Trace, Window};

/// A recovery that failed.
#[derive(Debug)]
pub enum RecoverError {
    /// The journal or its marks are damaged, in words.
    Damage(String),
    Sqlite(rusqlite::Error),
}

impl From<String> for RecoverError {
    fn from(damage: String) -> Self {
        Self::Damage(damage)
    }
}

impl From<rusqlite::Error> for RecoverError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Folds the whole journal. `vouches`: no network must vouch for a site's pages.
pub fn recover(connection: &mut Connection, vouches: &dyn Fn(SiteNumber) -> bool) -> Result<(), RecoverError> {
    let mark = meta::read_fold_mark(connection)?;
    let last = journal::last_number(connection)?;
    if mark.mark > last || mark.target > last {
        return Err(format!(
            "its counts hold the journal up to row {}, but the journal ends at row {last}",
            mark.mark.max(mark.target)
        )
        .into());
    }
    // The mark does not tell: it also moves past rows of reloads alone, which add nothing to the counts.
    if sources::has_contributing_runs(connection)? && !counts::exist(connection)? {
        return Err(format!("it has no counts, though its journal was folded up to row {}", mark.mark).into());
    }
    let rows = journal::rows_after(connection, mark.mark)?;
    let transaction = connection.transaction()?;
    let (started, rest): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(number, ..)| *number <= mark.target);
    for (rows, done) in [(started, mark.done), (rest, 0)] {
        let mut skip = done;
        // Rows of one run stand together, since runs follow one another.
        for of_one_source in rows.chunk_by(|(_, a, _), (_, b, _)| a == b) {
            let mut tally = Tally::default();
            for (number, _, row) in of_one_source {
                tally.merge(journal::decode(*number, row)?);
            }
            for (site, window, sketch) in sketches_of(&tally.take_visitors()) {
                visitors::merge(&transaction, site, window, &sketch)?;
            }
            let source = of_one_source.first().map_or(0, |(_, source, _)| *source);
            let entries = entry::entries(&tally);
            if skip > entries.len() {
                return Err("its fold mark does not fit its journal".to_owned().into());
            }
            for entry in entries.iter().skip(skip) {
                entry::add_to_counts(&transaction, None, vouches(entry.site), source, entry)?;
            }
            skip = 0;
        }
    }
    // Always to the end: `done` is a position in the rows of one run.
    meta::write_fold_mark(&transaction, FoldMark { mark: last, target: last, done: 0 })?;
    Ok(transaction.commit()?)
}

/// One sketch for the neighbouring traces of the same site and window.
fn sketches_of(traces: &[(SiteNumber, Window, Trace)]) -> Vec<(SiteNumber, Window, Sketch)> {
    let groups = traces.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
    groups
        .filter_map(|group| {
            let (site, window, _) = group.first()?;
            Some((*site, *window, group.iter().map(|(.., trace)| *trace).collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Day, Hit, PageAddress};
    use crate::ledger::sqlite::migrations;

    const SITE: SiteNumber = SiteNumber(1);

    fn day() -> Day {
        Day::from_ymd(2024, 6, 17).unwrap()
    }

    fn tally(pages: &[&str]) -> Tally {
        let mut tally = Tally::default();
        let hit = |page: &&str| Hit { site: SITE, day: day(), page: PageAddress::from_stored(page) };
        pages.iter().for_each(|page| tally.add(hit(page)));
        tally
    }

    /// A file with journal rows of sources.
    fn file(rows: &[(i64, &[&str])]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrations::migrate(&connection).unwrap();
        for (number, (source, pages)) in (1..).zip(rows) {
            let mut row = Vec::new();
            tally(pages).encode(&mut row);
            journal::append(&connection, number, *source, &row).unwrap();
        }
        connection
    }

    fn damage(outcome: Result<(), RecoverError>) -> String {
        match outcome {
            Err(RecoverError::Damage(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn total(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT ifnull(sum(hits), 0) FROM counts WHERE period = 0 AND page = 0", [], |r| r.get(0))
            .unwrap()
    }

    #[test]
    fn each_entry_of_an_interrupted_fold_is_counted_once_wherever_it_stopped() {
        let rows: [(i64, &[&str]); 3] = [(1, &["/a", "/b"]), (1, &["/a"]), (2, &["/c"])];
        // Of rows 1 and 2: the site's day, /a, /b.
        let entries = entry::entries(&{
            let mut both = tally(rows[0].1);
            both.merge(tally(rows[1].1));
            both
        });
        for done in 0..=entries.len() {
            let mut file = file(&rows);
            entries[..done].iter().for_each(|entry| entry::add_to_counts(&file, None, false, 1, entry).unwrap());
            meta::write_fold_mark(&file, FoldMark { mark: 0, target: 2, done }).unwrap();
            recover(&mut file, &|_| false).unwrap();
            assert_eq!(total(&file), 4, "{done}");
            assert_eq!(meta::read_fold_mark(&file).unwrap(), FoldMark { mark: 3, target: 3, done: 0 });
            recover(&mut file, &|_| false).unwrap();
            assert_eq!(total(&file), 4, "{done}");
        }
    }

    #[test]
    fn a_mark_that_does_not_fit_the_journal_is_damage() {
        let recover_from = |mark| {
            let mut file = file(&[(1, &["/a"])]);
            meta::write_fold_mark(&file, mark).unwrap();
            damage(recover(&mut file, &|_| false))
        };
        assert!(recover_from(FoldMark { mark: 2, target: 2, done: 0 }).contains("the journal ends at row 1"));
        assert!(recover_from(FoldMark { mark: 0, target: 2, done: 0 }).contains("the journal ends at row 1"));
        assert!(recover_from(FoldMark { mark: 0, target: 1, done: 3 }).contains("does not fit"));
    }

    #[test]
    fn a_file_that_has_lost_its_counts_is_damage() {
        let mut file = file(&[(1, &["/a"])]);
        file.execute_batch("INSERT INTO sources (number, name, learned) VALUES (1, '0000000000000001', 0)").unwrap();
        recover(&mut file, &|_| false).unwrap();
        file.execute_batch("DELETE FROM counts").unwrap();
        assert!(damage(recover(&mut file, &|_| false)).contains("has no counts"));
    }
}
