//! Retention: deletes counts of pages on days and months that are over, and unvouched pages with their last day.

use std::time::Duration;

use rusqlite::Connection;

use super::Ledger;
use super::error::LedgerError;
use super::sqlite::tables::{counts, pages};
use crate::counter::{Day, RegisteredSite, RowKey};

/// Rows of one transaction: a few milliseconds where unvouched pages go with them.
const EXPIRY_STEP: usize = 32;
/// Pause between two transactions, so that deletion takes a small part of the committer's time.
const EXPIRY_PAUSE: Duration = Duration::from_millis(20);

impl Ledger {
    /// Deletes the site's page counts that are not kept on `today`; returns their number.
    pub async fn expire_pages(&self, site: &RegisteredSite, today: Day) -> Result<usize, LedgerError> {
        let number = site.number;
        let (day, month) = site.site.page_retention.oldest_kept(today);
        let oldest_kept = (day.number(), month.number());
        let mut after = RowKey::START;
        let mut deleted = 0;
        loop {
            let expired =
                move |connection: &Connection| counts::expired(connection, number, after, oldest_kept, EXPIRY_STEP);
            let rows = self.public_reader.read(expired).await?;
            let Some(last) = rows.last() else { return Ok(deleted) };
            after = *last;
            deleted += rows.len();
            let change = move |c: &Connection| {
                counts::delete(c, number, &rows)?;
                let mut numbers: Vec<_> = rows.iter().map(|row| row.page).collect();
                numbers.dedup();
                // Nobody vouched for them, and their days are over.
                pages::delete_unvouched(c, &numbers).map(drop)
            };
            self.queue.run(move |file| file.change(change)).await?;
            tokio::time::sleep(EXPIRY_PAUSE).await;
        }
    }
}
