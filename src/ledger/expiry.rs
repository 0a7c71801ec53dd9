//! Deleting the page counts that are kept no longer. What is to go is found by a reader, and the
//! committer deletes it by key, a little at a time, so that no hit waits for it.

use std::time::Duration;

use rusqlite::{Connection, params};

use crate::counter::{Day, RegisteredSite, SiteNumber};

use super::Ledger;
use super::hand_over::NotDurable;
use super::inbox::Message;

/// Rows of one transaction: less than a millisecond.
const STEP: usize = 128;
/// Between two of them, so that this takes a small part of the committer's time.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a row of `counts` stands within a site: period, page, source.
pub type RowPlace = (u32, i64, i64);

impl Ledger {
    /// Deletes the site's page counts that are not kept on `today`; returns how many there were.
    pub async fn expire_pages(&self, site: &RegisteredSite, today: Day) -> Result<usize, NotDurable> {
        let number = site.number;
        let (oldest_day, oldest_month) = site.site.page_retention.oldest_kept(today);
        let (day, month) = (oldest_day.number(), oldest_month.number());
        let mut after = (0, -1, -1);
        let mut deleted = 0;
        loop {
            let rows = self.queries.read(move |connection| expired(connection, number, after, day, month)).await?;
            let Some(last) = rows.last() else { return Ok(deleted) };
            after = *last;
            deleted += rows.len();
            self.ask(|done| Message::Delete { site: number, rows, done }).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The next rows of pages' days before `day` and months before `month`.
fn expired(
    connection: &Connection,
    site: SiteNumber,
    after: RowPlace,
    day: u32,
    month: u32,
) -> rusqlite::Result<Vec<RowPlace>> {
    connection
        .prepare_cached(
            "SELECT period, page, source FROM counts
             WHERE site = ?1 AND (period, page, source) > (?2, ?3, ?4) AND period < max(?5, ?6) AND page > 0
               AND ((period % 100 > 0 AND period < ?5)
                 OR (period % 100 = 0 AND period % 10000 > 0 AND period < ?6))
             ORDER BY period, page, source LIMIT ?7",
        )?
        .query_map(
            params![site.0, after.0, after.1, after.2, day, month, i64::try_from(STEP).unwrap_or(i64::MAX)],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?
        .collect()
}

/// Deletes pages' rows.
pub fn delete(connection: &Connection, site: SiteNumber, rows: &[RowPlace]) -> rusqlite::Result<()> {
    let mut delete = connection
        .prepare_cached("DELETE FROM counts WHERE site = ? AND period = ? AND page = ? AND source = ? AND page > 0")?;
    for (period, page, source) in rows {
        delete.execute(params![site.0, period, page, source])?;
    }
    Ok(())
}
