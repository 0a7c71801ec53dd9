//! What the node asks of the ledger about visitors.

use chrono::{DateTime, Days, Utc};

use crate::counter::{
    Arrival, Day, Minute, RegisteredSite, Salt, SiteNumber, Sites, Sketch, Visit, VisitorCounts, Window,
};

use super::crowd::Crowd;
use super::inbox::Message;
use super::salts::KnownSalt;
use super::{Ledger, NotDurable, sketches};

/// Days whose sketches are kept, counted back from today in UTC: yesterday's in every zone.
const DAYS_KEPT: u64 = 2;

impl Ledger {
    /// The figures of a site's visitors and the version they belong to.
    pub async fn visitors(
        &self,
        site: &RegisteredSite,
        now: DateTime<Utc>,
    ) -> Result<(VisitorCounts, u64), NotDurable> {
        let zone = site.site.time_zone;
        if let Some(crowd) = self.crowds.get(site.number) {
            return Ok(crowd.counts(now, zone));
        }
        self.ask(|done| Message::LoadVisitors { site: site.number, done }).await?;
        Ok(self.crowds.get(site.number).map(|crowd| crowd.counts(now, zone)).unwrap_or_default())
    }

    /// Keeps that a reader has reloaded a page, unless all there is to keep of it is on disk.
    pub async fn reload(&self, site: SiteNumber, day: Day, visit: Visit) -> Result<(), NotDurable> {
        let is_known = |crowd: &Crowd| visit.windows(day).all(|(window, trace)| crowd.has(window, trace));
        if self.crowds.get(site).is_some_and(|crowd| is_known(&crowd)) {
            return Ok(());
        }
        self.count(Arrival::Reload { site, day, visit }).await
    }

    /// The estimates of a site's days, folded ones.
    pub async fn visitor_estimates(&self, site: SiteNumber) -> Result<Vec<(Day, u64)>, NotDurable> {
        self.reader.read(move |connection| sketches::estimates(connection, site)).await
    }

    /// The salt of a site's day, if there is one.
    pub fn salt(&self, site: SiteNumber, day: Day) -> Option<Salt> {
        self.salts.get(site, day).map(|known| known.salt)
    }

    /// Keeps a salt unless the day has one that counts before it; gives the one that counts.
    pub async fn keep_salt(&self, site: SiteNumber, day: Day, salt: Salt, is_shared: bool) -> Result<Salt, NotDurable> {
        let offered = KnownSalt { salt, is_shared };
        Ok(self.ask(|done| Message::KeepSalt { site, day, offered, done }).await?.salt)
    }

    /// Days whose salt other nodes may not have, and tomorrow where today has one: what is agreed on
    /// ahead holds when Redis is away at midnight.
    pub fn salts_to_share(&self, sites: &Sites, now: DateTime<Utc>) -> Vec<(SiteNumber, Day)> {
        let mut places = self.salts.unshared();
        places.extend(self.salts.lacking_tomorrows(sites, now));
        places
    }

    /// Deletes what of visitors is over at `now`: above all the salts.
    pub async fn forget_visitors(&self, sites: &Sites, now: DateTime<Utc>) -> Result<(), NotDurable> {
        if self.salts.len() == 0 && self.crowds.len() == 0 {
            return Ok(());
        }
        let salts = self.salts.over(sites, now);
        let today = Day::at(now, chrono_tz::UTC);
        let day = today.date().checked_sub_days(Days::new(DAYS_KEPT)).map_or(today, Day::from_date);
        let before = (day, Minute::at(now).window_start());
        self.ask(|done| Message::ForgetVisitors { salts, before, done }).await?;
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.visitor_salts.set(gauge(self.salts.len()));
        self.metrics.visitor_sketches.set(gauge(self.crowds.len()));
        Ok(())
    }

    // What publication asks for.

    pub fn take_changed_visitors(&self, limit: usize) -> Vec<SiteNumber> {
        self.crowds.take_unpublished(limit)
    }

    /// The site's sketches that Redis may lack; from then on it is thought to have them.
    pub fn take_sketches(&self, site: SiteNumber) -> Vec<(Window, Sketch)> {
        self.crowds.get(site).map(|crowd| crowd.take_unpublished()).unwrap_or_default()
    }

    /// Redis has not got these sketches.
    pub fn put_back_sketches(&self, site: SiteNumber, windows: &[Window]) {
        if let Some(crowd) = self.crowds.get(site) {
            crowd.put_back_unpublished(windows);
            self.crowds.put_back_unpublished(site);
        }
    }

    pub fn publish_all_visitors_again(&self) {
        self.crowds.publish_all_again();
    }

    /// Takes in what Redis has of a window; it must be loaded, as it is where figures were asked for.
    pub fn saw_visitors(&self, site: SiteNumber, window: Window, sketch: &Sketch) {
        self.crowds.saw(site, window, sketch);
    }
}
