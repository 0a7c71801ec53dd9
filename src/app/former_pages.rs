//! Indexes of the pages that are read together, by site.
//!
//! The file notes each page's rule. Of pages that only Redis has, an address that the present rule can't make is of
//! 0.1's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{EditorRules, Former, PageIndex, RegisteredSite, SiteNumber};
use crate::page::PageRules;

/// Former pages of all sites, at most some 30 MB.
const OF_NODE_MAX: usize = 100_000;
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
    former: Vec<Former>,
    /// The index, and the editors' rules of which it was made.
    index: Arc<PageIndex>,
    editor_rules: Option<Arc<EditorRules>>,
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

impl FormerPages {
    pub fn get(&self, site: &RegisteredSite, now: Instant) -> Option<Arc<PageIndex>> {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_site = sites.get_mut(&site.number).filter(|of_site| of_site.rules == *site.site.page_rules)?;
        if of_site.good_until.is_some_and(|good_until| now >= good_until) {
            return None;
        }
        if !is_same(&of_site.editor_rules, &site.editor_rules) {
            of_site.editor_rules.clone_from(&site.editor_rules);
            of_site.index = Arc::new(PageIndex::of(&of_site.former, site.editor_rules.as_ref()));
        }
        Some(Arc::clone(&of_site.index))
    }

    /// Keeps a site's former pages; returns their index.
    pub fn put(&self, site: &RegisteredSite, mut former: Vec<Former>, redis: Redis, now: Instant) -> Arc<PageIndex> {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sites.remove(&site.number);
        let held: usize = sites.values().map(|of_site| of_site.former.len()).sum();
        former.sort_unstable();
        former.dedup();
        former.truncate(OF_NODE_MAX.saturating_sub(held));
        let editor_rules = site.editor_rules.clone();
        let index = Arc::new(PageIndex::of(&former, editor_rules.as_ref()));
        let good_until = match redis {
            Redis::None => None,
            Redis::Whole => Some(now + READ_AGAIN),
            Redis::Part => Some(now + TRIED_AGAIN),
        };
        let rules = PageRules::clone(&site.site.page_rules);
        sites.insert(site.number, OfSite { rules, former, index: Arc::clone(&index), editor_rules, good_until });
        index
    }
}

fn is_same(one: &Option<Arc<EditorRules>>, other: &Option<Arc<EditorRules>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{EditorRule, PageAddress, Site};
    use crate::page::PageCase;

    fn page(text: &str) -> PageAddress {
        PageAddress::from_stored(text)
    }

    fn site(number: u32) -> RegisteredSite {
        RegisteredSite::new(SiteNumber(number), Site::with_defaults("demo".parse().unwrap(), Vec::new()))
    }

    fn former() -> Vec<Former> {
        vec![(page("/a?0"), page("/a"))]
    }

    #[test]
    fn the_number_of_former_pages_is_bounded() {
        let (known, now) = (FormerPages::default(), Instant::now());
        for number in 0..12 {
            let many = (0..10_000).map(|at| (page(&format!("//{at}")), page(&format!("/{at}")))).collect();
            known.put(&site(number), many, Redis::None, now);
        }
        let held = |number| known.get(&site(number), now).unwrap().len();
        assert_eq!((held(9), held(10), held(11)), (10_000, 0, 0));
    }

    #[test]
    fn an_index_holds_for_its_rules_and_is_made_again_where_redis_may_have_more() {
        let (known, now, site) = (FormerPages::default(), Instant::now(), site(1));
        let mut other = site.clone();
        other.site.page_rules = Arc::new(PageRules { case: PageCase::Fold, ..PageRules::clone(&site.site.page_rules) });
        for (redis, after, is_good) in [
            (Redis::None, READ_AGAIN * 9, true),
            (Redis::Whole, TRIED_AGAIN, true),
            (Redis::Whole, READ_AGAIN, false),
            (Redis::Part, TRIED_AGAIN, false),
        ] {
            known.put(&site, former(), redis, now);
            assert_eq!(known.get(&site, now + after).is_some(), is_good, "{redis:?}");
            assert!(known.get(&other, now).is_none());
        }
    }

    #[test]
    fn an_index_is_made_of_the_rules_that_the_site_has_now() {
        let (known, now, mut site) = (FormerPages::default(), Instant::now(), site(1));
        known.put(&site, former(), Redis::None, now);
        let addresses = |site: &RegisteredSite| known.get(site, now).unwrap().addresses(&page("/a")).count();
        assert_eq!(addresses(&site), 2);
        let rules = EditorRules::of([EditorRule::stored("/b", "merge", Some("/a"), 1).unwrap()]);
        site.editor_rules = Some(Arc::new(rules));
        assert_eq!((addresses(&site), addresses(&site)), (3, 3));
        site.editor_rules = None;
        assert_eq!(addresses(&site), 2);
    }
}
