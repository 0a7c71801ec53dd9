//! The integrity check of the node's file: SQLite's own check, then sums of counts.
//!
//! SQLite's pages have no checksums: a flipped bit in a number is another number. But each hit of a run is
//! counted by day, month, year and total, for its site and for its page. So a run's counts are sums of one
//! another, and damaged counts do not add up. Pages are compared by sums of hits weighted by page, which needs
//! no memory per page.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::thread::JoinHandle;

use rusqlite::{Connection, InterruptHandle};

use crate::counter::{Period, SiteNumber, Source};

use super::file;
use super::tables::counts::SITE_ITSELF;
use super::tables::sources::SourceNumber;
use super::tables::{rows, sites};
use crate::ledger::error::is_damage;

/// Named faults at most; one is enough to restore a backup.
const FAULTS_MAX: usize = 20;

/// The oldest day and month of each site whose page counts are kept: older ones are being deleted.
pub type OldestKept = BTreeMap<SiteNumber, (Period, Period)>;

/// A check, on a connection of its own.
#[derive(Debug)]
pub struct IntegrityCheck(Connection);

impl IntegrityCheck {
    pub fn new(directory: &Path) -> rusqlite::Result<Self> {
        file::open_reader(directory).map(Self)
    }

    /// Starts a check of the whole file on a thread of its own and reports to `report`.
    pub fn start(
        self,
        run: Source,
        kept: OldestKept,
        report: impl FnOnce(rusqlite::Result<Vec<String>>) + Send + 'static,
    ) -> std::io::Result<BackgroundCheck> {
        let interrupt = self.0.get_interrupt_handle();
        let work = move || report(self.faults(&run, &kept, None));
        let thread = std::thread::Builder::new().name("check".to_owned()).spawn(work)?;
        Ok(BackgroundCheck { thread, interrupt })
    }

    /// The faults, in words: SQLite's of the whole file, and those of the sums, of one site if given. The
    /// current run's counts are left out, since they add up only at the end of a fold.
    pub fn faults(&self, run: &Source, kept: &OldestKept, site: Option<SiteNumber>) -> rusqlite::Result<Vec<String>> {
        // Lowest priority, where the system has priorities for threads.
        let _ = rustix::process::setpriority_process(None, 19);
        let faults = match self.structure() {
            Ok(faults) if faults.is_empty() => self.sums(run, kept, site),
            other => other,
        };
        match faults {
            Err(error) if is_damage(&error) => Ok(vec![error.to_string()]),
            other => other,
        }
    }

    fn structure(&self) -> rusqlite::Result<Vec<String>> {
        let sql = format!("PRAGMA integrity_check({FAULTS_MAX})");
        let said: Vec<String> = rows(&self.0, &sql, [], |row| row.get(0))?;
        Ok(said.into_iter().filter(|line| line != "ok").collect())
    }

    fn sums(&self, run: &Source, kept: &OldestKept, site: Option<SiteNumber>) -> rusqlite::Result<Vec<String>> {
        // One snapshot.
        let transaction = self.0.unchecked_transaction()?;
        let names = sources(&transaction)?;
        let sites = sites::ids(&transaction)?;
        let current = run.to_string();
        let mut faults = BTreeSet::new();
        let mut accounts: BTreeMap<(u32, SourceNumber), Account> = BTreeMap::new();
        let weights = RandomState::new();
        let mut statement = transaction.prepare(
            "SELECT c.site, source, period, page, hits, ifnull(vouched <= 0, 0)
             FROM counts c LEFT JOIN pages p ON p.number = c.page
             WHERE ?1 IS NULL OR c.site = ?1 ORDER BY c.site, period, page, source",
        )?;
        let mut rows = statement.query([site.map(|site| site.0)])?;
        while let Some(row) = rows.next()? {
            let (site, source, page, hits): (u32, SourceNumber, i64, i64) =
                (row.get(0)?, row.get(1)?, row.get(3)?, row.get(4)?);
            let Some(period) = Period::from_number(row.get(2)?) else {
                faults.insert(format!("there is a count of period {}, which does not exist", row.get::<_, u32>(2)?));
                continue;
            };
            match names.get(&source) {
                Some(name) if name.is_run_of_this_node && name.name != current => {
                    let sums = accounts.entry((site, source)).or_default().0.entry(period).or_default();
                    if page == SITE_ITSELF {
                        sums.own = sums.own.wrapping_add(hits);
                    } else if row.get(5)? {
                        sums.unvouched = sums.unvouched.wrapping_add(hits);
                        sums.page_rows += 1;
                    } else {
                        sums.pages = sums.pages.wrapping_add(hits);
                        sums.page_rows += 1;
                        sums.weighted = sums.weighted.wrapping_add(weights.hash_one(page).wrapping_mul(hits as u64));
                    }
                }
                Some(_) => {}
                None => {
                    faults.insert(format!("there are counts of source {source}, which does not exist"));
                }
            }
        }
        for ((site, source), account) in accounts {
            let name = names.get(&source).map_or("?", |source| &source.name);
            let of = format!("site {}, run {name}", sites.get(&site).map_or("?", String::as_str));
            // A site that is no longer configured has no retention to go by.
            let Some((oldest_day, oldest_month)) = kept.get(&SiteNumber(site)).copied() else { continue };
            let is_kept = |period: Period| match period {
                Period::Day(_) => period >= oldest_day,
                Period::Month { .. } => period >= oldest_month,
                Period::Year(_) | Period::Total => true,
            };
            faults.extend(account.faults(is_kept).into_iter().map(|fault| format!("{of}: {fault}")));
        }
        Ok(faults.into_iter().take(FAULTS_MAX).collect())
    }
}

/// A check in progress.
pub struct BackgroundCheck {
    thread: JoinHandle<()>,
    interrupt: InterruptHandle,
}

impl BackgroundCheck {
    /// Interrupts the check.
    pub fn stop(self) {
        self.interrupt.interrupt();
        // A panic has been logged; there is no other result.
        let _ = self.thread.join();
    }
}

impl std::fmt::Debug for BackgroundCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackgroundCheck").field("thread", &self.thread).finish_non_exhaustive()
    }
}

struct Name {
    name: String,
    /// True if all its counts are in this file: no import, whose counts need not add up, and nothing from
    /// Redis, which brings no pages.
    is_run_of_this_node: bool,
}

fn sources(connection: &Connection) -> rusqlite::Result<BTreeMap<SourceNumber, Name>> {
    let sources = rows(connection, "SELECT number, name, learned FROM sources", [], |row| {
        let name: String = row.get(1)?;
        let is_run = matches!(name.parse(), Ok(Source::Run(_)));
        Ok((row.get(0)?, Name { is_run_of_this_node: is_run && row.get::<_, i64>(2)? == 0, name }))
    })?;
    Ok(sources.into_iter().collect())
}

/// A run's counts of a period, the site's own and those of its pages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sums {
    own: i64,
    /// Of vouched pages.
    pages: i64,
    /// Of the others, which have days alone.
    unvouched: i64,
    page_rows: u64,
    weighted: u64,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            own: self.own.wrapping_add(other.own),
            pages: self.pages.wrapping_add(other.pages),
            unvouched: self.unvouched.wrapping_add(other.unvouched),
            page_rows: self.page_rows + other.page_rows,
            weighted: self.weighted.wrapping_add(other.weighted),
        }
    }
}

/// A run's counts of a site.
#[derive(Debug, Default)]
struct Account(BTreeMap<Period, Sums>);

impl Account {
    fn faults(&self, is_kept: impl Fn(Period) -> bool) -> Vec<String> {
        let mut faults = Vec::new();
        // Periods that have a part whose pages are deleted or being deleted.
        let mut without_pages = BTreeSet::new();
        let mut lost_days = false;
        // The sums of each longer period's parts.
        let mut parts: BTreeMap<Period, Sums> = BTreeMap::new();
        for (period, sums) in &self.0 {
            let whole = match period {
                Period::Day(day) => day.month(),
                Period::Month { year, .. } => Period::Year(*year),
                Period::Year(_) => Period::Total,
                Period::Total => continue,
            };
            let is_without_pages = !is_kept(*period) || (sums.own != 0 && sums.page_rows == 0);
            match period {
                Period::Day(_) if is_without_pages => drop(without_pages.insert(whole)),
                Period::Month { .. } if is_without_pages => drop(without_pages.insert(Period::Total)),
                _ => {}
            }
            let part = parts.entry(whole).or_default();
            *part = part.plus(*sums);
            if let Period::Day(_) = period {
                // Unvouched pages have days alone, so those of the total are the days'.
                let total = parts.entry(Period::Total).or_default();
                total.unvouched = total.unvouched.wrapping_add(sums.unvouched);
                lost_days |= is_without_pages;
            }
            if let Period::Month { .. } = period {
                // Pages have no years.
                let total = parts.entry(Period::Total).or_default();
                *total = total.plus(Sums { own: 0, unvouched: 0, ..*sums });
            }
        }
        for period in self.0.keys().chain(parts.keys()).collect::<BTreeSet<_>>() {
            let sums = self.0.get(period).copied().unwrap_or_default();
            let has_pages = sums.page_rows > 0 && !matches!(period, Period::Year(_)) && is_kept(*period);
            let unvouched = match period {
                Period::Day(_) => sums.unvouched,
                _ => parts.get(period).map_or(0, |parts| parts.unvouched),
            };
            let pages = sums.pages.wrapping_add(unvouched);
            let has_lost_days = match period {
                Period::Day(_) => false,
                Period::Total => lost_days,
                _ => without_pages.contains(period),
            };
            // Days that are deleted had unvouched pages, too.
            if has_pages && pages != sums.own && !(has_lost_days && pages < sums.own) {
                faults.push(format!("{period}: the site has {} hits, its pages together {pages}", sums.own));
            }
            let Some(parts) = parts.get(period) else { continue };
            if parts.own != sums.own {
                faults.push(format!("{period}: the site has {} hits, its parts together {}", sums.own, parts.own));
            }
            let has_pages = has_pages && !without_pages.contains(period);
            if has_pages && parts.pages == sums.pages && parts.weighted != sums.weighted {
                faults.push(format!("{period}: some pages' hits are not those of its parts"));
            }
            if has_pages && parts.page_rows > 0 && parts.pages != sums.pages {
                faults.push(format!("{period}: its pages have {} hits, in its parts {}", sums.pages, parts.pages));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(rows: &[(&str, i64, i64, u64)]) -> Account {
        let sums = |own, pages, weighted| Sums { own, pages, unvouched: 0, page_rows: u64::from(pages != 0), weighted };
        Account(
            rows.iter()
                .map(|(period, own, pages, weighted)| (period.parse().unwrap(), sums(*own, *pages, *weighted)))
                .collect(),
        )
    }

    #[test]
    fn counts_that_add_up_are_sound_and_each_that_does_not_is_named() {
        let right = [
            ("2024-06-17", 3, 3, 70),
            ("2024-06-18", 2, 2, 20),
            ("2024-06", 5, 5, 90),
            ("2024", 5, 0, 0),
            ("total", 5, 5, 90),
        ];
        assert_eq!(account(&right).faults(|_| true), Vec::<String>::new());
        for at in 0..right.len() {
            let mut wrong = right;
            wrong[at].1 += 1;
            assert!(!account(&wrong).faults(|_| true).is_empty(), "{wrong:?}");
            if right[at].2 > 0 {
                for change in [(at, 1, 0), (at, 0, 8)] {
                    let mut wrong = right;
                    wrong[change.0].2 += change.1;
                    wrong[change.0].3 += change.2;
                    assert!(!account(&wrong).faults(|_| true).is_empty(), "{wrong:?}");
                }
            }
            let without: Vec<_> = right.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, row)| *row).collect();
            assert!(!account(&without).faults(|_| true).is_empty(), "{without:?}");
        }
        // A day with some of its pages deleted, and one with none left.
        let (mut partly, mut wholly) = (right, right);
        (partly[0].2, wholly[0].2) = (1, 0);
        let last_deleted: Period = "2024-06-17".parse().unwrap();
        assert!(!account(&partly).faults(|_| true).is_empty());
        assert_eq!(account(&partly).faults(|period| period != last_deleted), Vec::<String>::new());
        assert_eq!(account(&wholly).faults(|_| true), Vec::<String>::new());
    }

    #[test]
    fn hits_of_unvouched_pages_are_missing_in_longer_periods_alone() {
        let of_day = |pages, unvouched| Sums { own: 5, pages, unvouched, page_rows: 2, weighted: 10 };
        let longer = |own, pages| Sums { own, pages, unvouched: 0, page_rows: 1, weighted: 20 };
        let faults = |days: [Sums; 2], month: Sums, total: Sums| {
            let [first, second] = days;
            let year = Sums { own: month.own, ..Sums::default() };
            let periods = ["2024-06-16", "2024-06-17", "2024-06", "2024", "total"];
            let all = periods.map(|period| period.parse().unwrap()).into_iter();
            Account(all.zip([first, second, month, year, total]).collect()).faults(|_| true)
        };
        let days = [of_day(3, 2), of_day(1, 4)];
        assert_eq!(faults(days, longer(10, 4), longer(10, 4)), Vec::<String>::new());
        assert!(!faults(days, longer(10, 5), longer(10, 5)).is_empty());
        assert!(!faults([of_day(3, 1), of_day(1, 4)], longer(10, 4), longer(10, 4)).is_empty());
        assert!(!faults(days, longer(10, 4), longer(10, 6)).is_empty());
    }
}
