//! Reads of the node's file that must not hold up commits: a thread with a connection of its own.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::counter::account::SourceAccount;
use crate::counter::csv::Row;
use crate::counter::{Day, PageAddress, Period, SiteNumber, Source};

use super::hand_over::NotDurable;
use super::store::{self, SourceNumber};
use super::trouble;

/// Reads that may wait; more are refused.
const READS_MAX: usize = 1_024;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// When it has been dropped, its connection is closed.
#[derive(Debug)]
pub struct Reader {
    /// None once it ends.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub fn start(name: &str, connection: Connection) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(READS_MAX);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || waiting.into_iter().for_each(|job| job(&connection)))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, NotDurable> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| drop(done.send(work(connection))));
        let taken = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        if !taken {
            return Err(NotDurable("too many reads of the node's file wait".into()));
        }
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(unreadable(&error)),
            Err(_) => Err(NotDurable("the node is stopping".into())),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

fn unreadable(error: &rusqlite::Error) -> NotDurable {
    match trouble::is_damage(error) {
        true => trouble::damaged(error),
        false => NotDurable(format!("the node's file can't be read ({error})").into()),
    }
}

/// Up to `limit` counts of a site after a place, summed over all sources; zeros left out.
pub fn export(
    connection: &Connection,
    site: SiteNumber,
    after: Option<&Row>,
    limit: usize,
) -> rusqlite::Result<Vec<Row>> {
    let (period, page) = match after {
        None => (0, -1),
        Some(row) => {
            let page = match &row.page {
                None => Some(store::SITE_ITSELF),
                Some(page) => store::find_page(connection, site, page)?,
            };
            (row.period.number(), page.unwrap_or(i64::MAX))
        }
    };
    connection
        .prepare_cached(
            "SELECT c.period, p.address, sum(c.hits) FROM counts c LEFT JOIN pages p ON p.number = c.page
             WHERE c.site = ?1 AND (c.period, c.page) > (?2, ?3)
             GROUP BY c.period, c.page HAVING sum(c.hits) != 0 ORDER BY c.period, c.page LIMIT ?4",
        )?
        .query_map(params![site.0, period, page, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            let address: Option<String> = row.get(1)?;
            Ok(Row {
                period: store::period_at(row, 0)?,
                page: address.as_deref().map(PageAddress::from_stored),
                hits: row.get(2)?,
            })
        })?
        .collect()
}

/// Who contributed to a site, and how much.
pub fn sources(connection: &Connection, site: SiteNumber, run: &str) -> rusqlite::Result<Vec<SourceAccount>> {
    connection
        .prepare_cached(
            "SELECT s.name, s.learned = 1, ifnull(sum(c.hits) FILTER (WHERE c.page = 0 AND c.period = 0), 0),
                    min(c.period) FILTER (WHERE c.page = 0 AND c.period % 100 > 0 AND c.hits != 0),
                    max(c.period) FILTER (WHERE c.page = 0 AND c.period % 100 > 0 AND c.hits != 0),
                    count(*) FILTER (WHERE c.page = 0 AND c.hits != 0), count(*) FILTER (WHERE c.page > 0 AND c.hits != 0)
             FROM counts c JOIN sources s ON s.number = c.source
             WHERE c.site = ? GROUP BY c.source ORDER BY s.number",
        )?
        .query_map([site.0], |row| {
            let source: String = row.get(0)?;
            let day = |column| {
                let number: Option<u32> = row.get(column)?;
                Ok::<_, rusqlite::Error>(number.and_then(Period::from_number).map(|period| period.to_string()))
            };
            Ok(SourceAccount {
                current: source == run,
                remote: row.get(1)?,
                total: row.get(2)?,
                first_day: day(3)?,
                last_day: day(4)?,
                site_rows: count_at(row, 5)?,
                page_rows: count_at(row, 6)?,
                source,
            })
        })?
        .collect()
}

/// The counters that a source has set to something other than zero.
pub fn counters_of(
    connection: &Connection,
    site: SiteNumber,
    source: SourceNumber,
) -> rusqlite::Result<Vec<(Period, Option<PageAddress>)>> {
    connection
        .prepare_cached(
            "SELECT c.period, p.address FROM counts c LEFT JOIN pages p ON p.number = c.page
             WHERE c.site = ? AND c.source = ? AND c.hits != 0",
        )?
        .query_map(params![site.0, source], |row| {
            let address: Option<String> = row.get(1)?;
            Ok((store::period_at(row, 0)?, address.as_deref().map(PageAddress::from_stored)))
        })?
        .collect()
}

/// Of these days, those which other sources than `source` have counted too.
pub fn days_also_counted(
    connection: &Connection,
    site: SiteNumber,
    source: Option<SourceNumber>,
    days: &[Day],
) -> rusqlite::Result<Vec<Day>> {
    let mut counted = Vec::new();
    for day in days {
        let counts = store::site_counts(connection, site, Period::Day(*day))?;
        if counts.iter().any(|count| Some(count.source) != source && count.register.hits() != 0) {
            counted.push(*day);
        }
    }
    Ok(counted)
}

/// Up to `limit` pages that a day has had.
pub fn pages_of_day(
    connection: &Connection,
    site: SiteNumber,
    day: Day,
    limit: u32,
) -> rusqlite::Result<Vec<PageAddress>> {
    connection
        .prepare_cached(
            "SELECT DISTINCT p.address FROM counts c JOIN pages p ON p.number = c.page
             WHERE c.site = ? AND c.period = ? AND c.page > 0 LIMIT ?",
        )?
        .query_map(params![site.0, Period::Day(day).number(), limit], |row| row.get::<_, String>(0))?
        .map(|address| address.map(|address| PageAddress::from_stored(&address)))
        .collect()
}

/// Sites with frozen sources that are not known to be wholly in Redis.
pub fn unpublished_sites(connection: &Connection, run: &str) -> rusqlite::Result<Vec<SiteNumber>> {
    connection
        .prepare_cached(
            "SELECT DISTINCT p.site FROM site_sources p JOIN sources s ON s.number = p.source
             WHERE p.published = 0 AND s.name != ?",
        )?
        .query_map([run], |row| row.get(0).map(SiteNumber))?
        .collect()
}

/// Sources of which all that was counted is in this file: nothing of them was learned from Redis.
pub fn own_sources(connection: &Connection, site: SiteNumber) -> rusqlite::Result<Vec<Source>> {
    let names: Vec<String> = connection
        .prepare_cached(
            "SELECT s.name FROM site_sources p JOIN sources s ON s.number = p.source WHERE p.site = ? AND s.learned = 0",
        )?
        .query_map([site.0], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Sources of a site that are known to be wholly in Redis: imports first, then the newest runs.
pub fn published_sources(connection: &Connection, site: SiteNumber, limit: usize) -> rusqlite::Result<Vec<Source>> {
    let names: Vec<String> = connection
        .prepare_cached(
            "SELECT s.name FROM site_sources p JOIN sources s ON s.number = p.source
             WHERE p.site = ?1 AND p.published = 1
             ORDER BY s.name NOT LIKE 'import:%', p.source DESC LIMIT ?2",
        )?
        .query_map((site.0, i64::try_from(limit).unwrap_or(i64::MAX)), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

fn count_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0))
}
