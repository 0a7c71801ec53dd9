//! The salts of visitors' keys: in memory for the hit path, in the file for the next start.

use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;

use crate::counter::visitor::is_salt_over;
use crate::counter::{Day, SiteNumber, Sites};
use crate::ledger::sqlite::tables::salts::KnownSalt;

/// All salts that the file holds.
#[derive(Debug, Default)]
pub struct Salts(RwLock<FxHashMap<(SiteNumber, Day), KnownSalt>>);

impl Salts {
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn get(&self, site: SiteNumber, day: Day) -> Option<KnownSalt> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&(site, day)).copied()
    }

    pub fn insert(&self, site: SiteNumber, day: Day, known: KnownSalt) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert((site, day), known);
    }

    pub fn remove(&self, salts: &[(SiteNumber, Day)]) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for place in salts {
            kept.remove(place);
        }
    }

    /// Salts whose day and window are over.
    pub fn over(&self, sites: &Sites, now: DateTime<Utc>) -> Vec<(SiteNumber, Day)> {
        self.places(|(site, day), _| match sites.by_number(site) {
            Some(registered) => is_salt_over(day, now, &registered.site),
            // A site that is not configured gets no more hits.
            None => true,
        })
    }

    /// Salts that other nodes may not have.
    pub fn unshared(&self) -> Vec<(SiteNumber, Day)> {
        self.places(|_, known| !known.is_shared)
    }

    /// Tomorrow for each site with a salt for today and none for tomorrow.
    pub fn lacking_tomorrows(&self, sites: &Sites, now: DateTime<Utc>) -> Vec<(SiteNumber, Day)> {
        let todays = self.places(|(site, day), _| {
            sites.by_number(site).is_some_and(|registered| day == Day::at(now, registered.site.time_zone))
        });
        let tomorrows = todays.into_iter().map(|(site, day)| (site, day.next()));
        tomorrows.filter(|(site, day)| self.get(*site, *day).is_none()).collect()
    }

    fn places(&self, is_chosen: impl Fn((SiteNumber, Day), &KnownSalt) -> bool) -> Vec<(SiteNumber, Day)> {
        let salts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        salts.iter().filter(|(place, known)| is_chosen(**place, known)).map(|(place, _)| *place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::counter::{RegisteredSite, Salt, Site};

    #[test]
    fn salts_are_kept_by_site_and_day_until_their_day_is_over() {
        let [yesterday, today, tomorrow] = [16, 17, 18].map(|day| Day::from_ymd(2024, 6, day).unwrap());
        let (site, removed_site) = (SiteNumber(1), SiteNumber(2));
        let registered = RegisteredSite::new(site, Site::with_defaults("demo".parse().unwrap(), Vec::new()));
        let sites: Sites = [registered].into_iter().collect();
        let now = "2024-06-17T05:00:00Z".parse().unwrap();
        let known = |is_shared| KnownSalt { salt: Salt::new([1; 16]), is_shared };
        let salts = Salts::default();
        salts.insert(site, yesterday, known(true));
        salts.insert(removed_site, today, known(true));
        salts.insert(site, today, known(false));
        assert_eq!((salts.len(), salts.get(site, today), salts.get(site, tomorrow)), (3, Some(known(false)), None));
        assert_eq!(salts.unshared(), [(site, today)]);
        assert_eq!(salts.lacking_tomorrows(&sites, now), [(site, tomorrow)]);
        let mut over = salts.over(&sites, now);
        over.sort_unstable();
        assert_eq!(over, [(site, yesterday), (removed_site, today)]);
        salts.remove(&over);
        salts.insert(site, tomorrow, known(true));
        assert_eq!((salts.len(), salts.lacking_tomorrows(&sites, now)), (2, Vec::new()));
    }
}
