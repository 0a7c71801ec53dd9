//! Live hits: the last ones of a site, while somebody looks at them. They hold no reader.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::HitOutcome;
use crate::counter::{PageAddress, SiteNumber};

/// Hits of a site that are kept.
const HITS_MAX: usize = 100;
/// Sites at which somebody looks at once.
const SITES_MAX: usize = 64;
/// A site is watched for so long after the last look.
const WATCHED_FOR: Duration = Duration::from_secs(60);

/// The last hits of watched sites. Shared by all workers.
#[derive(Debug, Default)]
pub struct LiveHits {
    /// False as a rule: then a hit pays this one look.
    is_watched: AtomicBool,
    sites: Mutex<HashMap<SiteNumber, Watched>>,
}

#[derive(Debug)]
struct Watched {
    until: Instant,
    hits: VecDeque<LiveHit>,
}

/// A hit as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveHit {
    pub at: DateTime<Utc>,
    pub page: PageAddress,
    pub outcome: HitOutcome,
    /// The hit counts under `(other)`: nobody else has read its page yet.
    pub is_other: bool,
}

impl LiveHits {
    /// True if somebody looks at any site.
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// Keeps a hit, if somebody looks at its site.
    pub fn note(&self, site: SiteNumber, hit: LiveHit, now: Instant) {
        let mut sites = self.lock();
        sites.retain(|_, watched| watched.until > now);
        if sites.is_empty() {
            self.is_watched.store(false, Ordering::Relaxed);
        }
        let Some(watched) = sites.get_mut(&site) else { return };
        if watched.hits.len() >= HITS_MAX {
            watched.hits.pop_back();
        }
        watched.hits.push_front(hit);
    }

    /// The site's hits since somebody began to look, the last first. None where too many sites are looked at.
    pub fn look(&self, site: SiteNumber, now: Instant) -> Option<Vec<LiveHit>> {
        let mut sites = self.lock();
        sites.retain(|_, watched| watched.until > now);
        if sites.len() >= SITES_MAX && !sites.contains_key(&site) {
            return None;
        }
        self.is_watched.store(true, Ordering::Relaxed);
        let until = now + WATCHED_FOR;
        let watched = sites.entry(site).or_insert_with(|| Watched { until, hits: VecDeque::new() });
        watched.until = until;
        Some(watched.hits.iter().cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SiteNumber, Watched>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(page: usize) -> LiveHit {
        let page = PageAddress::from_stored(&format!("/{page}"));
        LiveHit { at: DateTime::UNIX_EPOCH, page, outcome: HitOutcome::COUNTED, is_other: false }
    }

    #[test]
    fn hits_are_kept_only_while_somebody_looks_and_not_more_than_fit() {
        let (live, site, other, now) = (LiveHits::default(), SiteNumber(1), SiteNumber(2), Instant::now());
        live.note(site, hit(0), now);
        assert!(!live.is_watched());
        assert_eq!(live.look(site, now), Some(Vec::new()), "nobody looked when it came");
        assert!(live.is_watched());
        live.note(other, hit(1), now);
        (2..500).for_each(|page| live.note(site, hit(page), now));
        let kept = live.look(site, now).unwrap();
        assert_eq!((kept.len(), &kept[0]), (HITS_MAX, &hit(499)));
        assert_eq!(live.look(other, now), Some(Vec::new()));
        // Nobody has looked for a while.
        let later = now + WATCHED_FOR;
        live.note(site, hit(500), later);
        assert!(!live.is_watched());
        assert_eq!(live.look(site, later), Some(Vec::new()));
    }

    #[test]
    fn the_number_of_watched_sites_is_limited() {
        let (live, now) = (LiveHits::default(), Instant::now());
        let site = |number: usize| SiteNumber(u32::try_from(number).unwrap());
        assert!((0..SITES_MAX).all(|number| live.look(site(number), now).is_some()));
        assert_eq!(live.look(site(SITES_MAX), now), None);
        assert!(live.look(site(0), now).is_some());
        assert!(live.look(site(SITES_MAX), now + WATCHED_FOR).is_some());
    }
}
