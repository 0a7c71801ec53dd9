//! Pages of 0.1's rule and the pages that have them now, whose counts and titles are read together.
//!
//! The file notes each page's rule. Of pages that only Redis has, an address that the present rule can't make is of
//! 0.1's. Lists and figures use the same index, so that they agree.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{PageAddress, SiteNumber};
use crate::page::PageRules;

/// Former pages of a site that are looked for.
pub const OF_SITE_MAX: usize = 20_000;
/// The same of all sites, at most some 30 MB.
const OF_NODE_MAX: usize = 100_000;
/// Former pages of one page. Where more would be one, the configuration has changed, and they stay apart.
const OF_PAGE_MAX: usize = 20;
/// Time after which Redis is read again: nodes of 0.1 may still publish.
const READ_AGAIN: Duration = Duration::from_secs(60 * 60);
/// The same where it could not be read whole.
const TRIED_AGAIN: Duration = Duration::from_secs(60);

/// Indexes of the sites that were asked for.
#[derive(Debug, Default)]
pub struct FormerPages(Mutex<HashMap<SiteNumber, OfSite>>);

#[derive(Debug)]
struct OfSite {
    /// A reloaded configuration may have others.
    rules: PageRules,
    index: Arc<Index>,
    /// None: for good.
    good_until: Option<Instant>,
}

/// Completeness of what was read of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redis {
    None,
    Whole,
    Part,
}

/// A site's former pages.
#[derive(Debug, Default)]
pub struct Index {
    former: HashMap<PageAddress, Vec<PageAddress>>,
    present: HashMap<PageAddress, PageAddress>,
}

impl FormerPages {
    pub fn get(&self, site: SiteNumber, rules: &PageRules, now: Instant) -> Option<Arc<Index>> {
        let sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_site = sites.get(&site).filter(|of_site| of_site.rules == *rules)?;
        of_site.good_until.is_none_or(|good_until| now < good_until).then(|| Arc::clone(&of_site.index))
    }

    /// Keeps an index of pairs of a former and its present page.
    pub fn put(
        &self,
        site: SiteNumber,
        rules: &PageRules,
        pairs: Vec<(PageAddress, PageAddress)>,
        redis: Redis,
        now: Instant,
    ) -> Arc<Index> {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sites.remove(&site);
        let held: usize = sites.values().map(|of_site| of_site.index.present.len()).sum();
        let index = Arc::new(Index::of(pairs, OF_NODE_MAX.saturating_sub(held)));
        let good_until = match redis {
            Redis::None => None,
            Redis::Whole => Some(now + READ_AGAIN),
            Redis::Part => Some(now + TRIED_AGAIN),
        };
        sites.insert(site, OfSite { rules: rules.clone(), index: Arc::clone(&index), good_until });
        index
    }
}

impl Index {
    /// An index of at most `room` former pages.
    fn of(mut pairs: Vec<(PageAddress, PageAddress)>, room: usize) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        pairs.truncate(room);
        let mut former: HashMap<PageAddress, Vec<PageAddress>> = HashMap::new();
        for (old, page) in pairs {
            former.entry(page).or_default().push(old);
        }
        former.retain(|_, olds| olds.len() <= OF_PAGE_MAX);
        let present = former.iter().flat_map(|(page, olds)| olds.iter().map(|old| (old.clone(), page.clone())));
        Self { present: present.collect(), former }
    }

    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// The page itself and its former ones.
    pub fn addresses<'a>(&'a self, page: &'a PageAddress) -> impl Iterator<Item = &'a PageAddress> {
        std::iter::once(page).chain(self.former.get(page).into_iter().flatten())
    }

    /// The present pages of those listed, each once.
    pub fn presented(&self, listed: Vec<PageAddress>) -> Vec<PageAddress> {
        if self.is_empty() {
            return listed;
        }
        let mut seen = HashSet::new();
        let present = listed.into_iter().map(|page| self.present.get(&page).cloned().unwrap_or(page));
        present.filter(|page| seen.insert(page.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageCase;

    const SITE: SiteNumber = SiteNumber(1);

    fn page(text: &str) -> PageAddress {
        PageAddress::from_stored(text)
    }

    fn pairs(count: usize, to: &str) -> Vec<(PageAddress, PageAddress)> {
        (0..count).map(|at| (page(&format!("{to}?{at}")), page(to))).collect()
    }

    #[test]
    fn a_page_is_read_with_all_its_former_ones_and_listed_once() {
        let twice = [pairs(2, "/a"), pairs(2, "/a")].concat();
        let index = Index::of(twice, 9);
        let addresses = |of: &str| index.addresses(&page(of)).map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (addresses("/a"), addresses("/b")),
            (["/a", "/a?0", "/a?1"].map(str::to_owned).into(), vec!["/b".into()])
        );
        let listed = ["/a?1", "/b", "/a", "/a?0"].map(page).to_vec();
        assert_eq!(index.presented(listed), ["/a", "/b"].map(page));
    }

    #[test]
    fn what_would_all_become_one_page_stays_apart_and_the_number_is_bounded() {
        assert!(Index::of(pairs(OF_PAGE_MAX + 1, "/a"), usize::MAX).is_empty());
        assert_eq!(Index::of(pairs(OF_PAGE_MAX, "/a"), 7).present.len(), 7);
        let (known, now) = (FormerPages::default(), Instant::now());
        let rules = PageRules::with_defaults("vi");
        for site in 0..12 {
            let many = (0..10_000).map(|at| (page(&format!("//{at}")), page(&format!("/{at}")))).collect();
            known.put(SiteNumber(site), &rules, many, Redis::None, now);
        }
        let held = |site| known.get(SiteNumber(site), &rules, now).unwrap().present.len();
        assert_eq!((held(9), held(10), held(11)), (10_000, 0, 0));
    }

    #[test]
    fn an_index_holds_for_its_rules_and_is_made_again_where_redis_may_have_more() {
        let (known, now) = (FormerPages::default(), Instant::now());
        let rules = PageRules::with_defaults("vi");
        let other = PageRules { case: PageCase::Fold, ..rules.clone() };
        for (redis, after, is_good) in [
            (Redis::None, READ_AGAIN * 9, true),
            (Redis::Whole, TRIED_AGAIN, true),
            (Redis::Whole, READ_AGAIN, false),
            (Redis::Part, TRIED_AGAIN, false),
        ] {
            known.put(SITE, &rules, pairs(1, "/a"), redis, now);
            assert_eq!(known.get(SITE, &rules, now + after).is_some(), is_good, "{redis:?}");
            assert!(known.get(SITE, &other, now).is_none());
        }
    }
}
