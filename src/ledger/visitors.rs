//! Visitors: their figures, their salts, and what is deleted of them.

use chrono::{DateTime, Days, Utc};

use super::Ledger;
use super::error::LedgerError;
use super::memory::sketches::SiteSketches;
use super::sqlite::tables::salts::KnownSalt;
use super::sqlite::tables::visitors::Forgotten;
use crate::counter::{Arrival, Day, Minute, RegisteredSite, Salt, SiteNumber, Sites, Visit, VisitorCounts};

/// Days whose sketches are kept, back from today in UTC: they hold yesterday in every zone.
const DAYS_KEPT: u64 = 2;

impl Ledger {
    /// The visitor figures of a site, with their version.
    pub async fn visitors(
        &self,
        site: &RegisteredSite,
        now: DateTime<Utc>,
    ) -> Result<(VisitorCounts, u64), LedgerError> {
        let zone = site.site.time_zone;
        if let Some(sketches) = self.state.sketches.get(site.number) {
            return Ok(sketches.counts(now, zone));
        }
        let number = site.number;
        self.queue.run(move |file| Ok(file.load_sketches(number)?)).await?;
        Ok(self.state.sketches.get(site.number).map(|sketches| sketches.counts(now, zone)).unwrap_or_default())
    }

    /// Notes a reload of a page by its reader, unless it changes nothing.
    pub async fn reload(&self, site: SiteNumber, day: Day, visit: Visit) -> Result<(), LedgerError> {
        let is_known = |sketches: &SiteSketches| visit.windows(day).all(|(window, trace)| sketches.has(window, trace));
        if self.state.sketches.get(site).is_some_and(|sketches| is_known(&sketches)) {
            return Ok(());
        }
        self.count(Arrival::Reload { site, day, visit }).await
    }

    /// The salt of a site's day, if it has one.
    pub fn salt(&self, site: SiteNumber, day: Day) -> Option<Salt> {
        self.state.salts.get(site, day).map(|known| known.salt)
    }

    /// Keeps a salt, unless the day has one with precedence; returns the salt that counts.
    pub async fn keep_salt(
        &self,
        site: SiteNumber,
        day: Day,
        salt: Salt,
        is_shared: bool,
    ) -> Result<Salt, LedgerError> {
        let offered = KnownSalt { salt, is_shared };
        Ok(self.queue.run(move |file| file.keep_salt(site, day, offered)).await?.salt)
    }

    /// Days whose salt other nodes may not have, and tomorrow if today has one: a salt that is agreed on in advance
    /// holds if Redis is away at midnight.
    pub fn salts_to_share(&self, sites: &Sites, now: DateTime<Utc>) -> Vec<(SiteNumber, Day)> {
        let mut days = self.state.salts.unshared();
        days.extend(self.state.salts.lacking_tomorrows(sites, now));
        days
    }

    /// Deletes the salts and sketches that are no longer needed at `now`.
    pub async fn forget_visitors(&self, sites: &Sites, now: DateTime<Utc>) -> Result<Forgotten, LedgerError> {
        let (salts, sketches) = (&self.state.salts, &self.state.sketches);
        if salts.len() == 0 && sketches.len() == 0 {
            return Ok(Forgotten::default());
        }
        let over = salts.over(sites, now);
        let today = Day::at(now, chrono_tz::UTC);
        let day = today.date().checked_sub_days(Days::new(DAYS_KEPT)).map_or(today, Day::from_date);
        let before = (day, Minute::at(now).window_start());
        if !over.is_empty() {
            self.state.vouching.forget_days(&over);
        }
        let forgotten = self.queue.run(move |file| file.forget_visitors(&over, before)).await?;
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.state.metrics.visitor_salts.set(gauge(salts.len()));
        self.state.metrics.visitor_sketches.set(gauge(sketches.len()));
        Ok(forgotten)
    }
}
