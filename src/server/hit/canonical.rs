//! Canonical addresses: a page's own word for its address, and mistakes of templates that are not believed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use super::page_of;
use super::warnings::{Topic, Warnings};
use crate::counter::{Day, PageAddress, RegisteredSite, SiteNumber};

/// Paths other than its own that may name one page as theirs in a day.
const PATHS_MAX: usize = 20;
/// Pages of a node that are so named in a day; further ones are not believed. A few MB at most.
const PAGES_MAX: usize = 10_000;

/// Reasons why a canonical address is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It lies on none of the site's origins, or is no address.
    Foreign,
    /// It names the home page, from another page.
    Home,
    /// More than 20 other paths name it in a day, or too many pages are so named.
    Many,
}

impl Ignored {
    pub const ALL: [Self; 3] = [Self::Foreign, Self::Home, Self::Many];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Home => "home",
            Self::Many => "many",
        }
    }
}

/// The address under which a hit with a canonical address counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub page: PageAddress,
    pub ignored: Option<Ignored>,
    /// The day's state of the page that was named; none where the day has no say.
    pub named: Option<Arc<Named>>,
}

/// State of a page that other paths name as theirs.
#[derive(Debug)]
pub struct Named {
    day: Day,
    is_refused: AtomicBool,
}

/// Canonical addresses of the day, of all workers and sites.
#[derive(Debug)]
pub struct Canonicals {
    /// Locked only for a url that the worker doesn't know, if its canonical address has another path.
    pages: Mutex<Pages>,
    warnings: Arc<Warnings>,
}

#[derive(Debug, Default)]
struct Pages {
    named: FxHashMap<(SiteNumber, PageAddress), NamedBy>,
    /// The newest day of any site.
    day: Option<Day>,
}

#[derive(Debug)]
struct NamedBy {
    state: Arc<Named>,
    /// Fingerprints of the paths; emptied once they are too many.
    paths: FxHashSet<u64>,
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Named {}

impl Claim {
    /// The part that needs no memory: the page named by `canonical`, unless it is foreign or the home page. A
    /// path is the word of the site's own tag, `data-page`, which holds whatever it names.
    pub fn of(site: &RegisteredSite, own: PageAddress, canonical: &str) -> Self {
        if canonical.starts_with('/') {
            let named = PageAddress::from_import(canonical, &site.site.page_rules);
            return Self { page: named.unwrap_or(own), ignored: None, named: None };
        }
        let (page, ignored) = match page_of(site, canonical) {
            Err(_) => (own, Some(Ignored::Foreign)),
            Ok(page) if page.is_home() && !own.is_home() => (own, Some(Ignored::Home)),
            Ok(page) => (page, None),
        };
        Self { page, ignored, named: None }
    }

    /// True if it is what would be decided on `day` too.
    pub fn holds_on(&self, day: Day) -> bool {
        self.named.as_ref().is_none_or(|named| {
            named.day == day && named.is_refused.load(Ordering::Relaxed) == (self.ignored == Some(Ignored::Many))
        })
    }
}

impl Canonicals {
    pub fn new(warnings: Arc<Warnings>) -> Self {
        Self { pages: Mutex::default(), warnings }
    }

    /// Decides the address of a hit at `own` whose page names `canonical`.
    pub fn claim(&self, site: &RegisteredSite, own: PageAddress, canonical: &str, day: Day) -> Claim {
        let claim = Claim::of(site, own.clone(), canonical);
        // A front page with a parameter may well name itself.
        if claim.ignored == Some(Ignored::Home) && own.path() != "/" {
            self.report(site, day, &own, "this page names the home page");
        }
        if canonical.starts_with('/') || claim.page.path() == own.path() {
            return claim;
        }
        let named = self.named(site, &claim.page, &own, day);
        if named.is_refused.load(Ordering::Relaxed) {
            return Claim { page: own, ignored: Some(Ignored::Many), named: Some(named) };
        }
        Claim { named: Some(named), ..claim }
    }

    fn named(&self, site: &RegisteredSite, page: &PageAddress, own: &PageAddress, day: Day) -> Arc<Named> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if Some(day) > pages.day {
            pages.day = Some(day);
            // It is still yesterday in other time zones.
            pages.named.retain(|_, named| named.state.day >= day.previous());
        }
        let key = (site.number, page.clone());
        if pages.named.len() >= PAGES_MAX && !pages.named.contains_key(&key) {
            return Arc::new(Named { day, is_refused: true.into() });
        }
        let named_by = pages.named.entry(key).or_insert_with(|| NamedBy::on(day));
        if named_by.state.day != day {
            *named_by = NamedBy::on(day);
        }
        let state = Arc::clone(&named_by.state);
        if !state.is_refused.load(Ordering::Relaxed) {
            named_by.paths.insert(PageAddress::from_stored(own.path()).fingerprint());
            if named_by.paths.len() > PATHS_MAX {
                named_by.paths = FxHashSet::default();
                state.is_refused.store(true, Ordering::Relaxed);
                drop(pages);
                self.report(site, day, page, "more than 20 paths name this one page");
            }
        }
        state
    }

    /// Reports a template's mistake, once a day and site.
    fn report(&self, site: &RegisteredSite, day: Day, page: &PageAddress, mistake: &str) {
        self.warnings.give(site, Topic::Canonical, day, || {
            format!(
                "`<link rel=\"canonical\">` looks like a template's mistake and is ignored there: {mistake}, `{page}`; \
                 let each page name itself"
            )
        });
    }
}

impl NamedBy {
    fn on(day: Day) -> Self {
        Self { state: Arc::new(Named { day, is_refused: false.into() }), paths: FxHashSet::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Site;
    use crate::metrics::Metrics;

    fn site() -> RegisteredSite {
        let origins = ["https://a.vn", "https://www.a.vn"].map(|origin| origin.parse().unwrap());
        RegisteredSite { number: SiteNumber(1), site: Site::with_defaults("demo".parse().unwrap(), origins.to_vec()) }
    }

    fn canonicals() -> Canonicals {
        Canonicals::new(Arc::new(Warnings::new(&Metrics::new())))
    }

    fn day(day: u32) -> Day {
        Day::from_ymd(2024, 6, day).unwrap()
    }

    fn page(path: &str) -> PageAddress {
        PageAddress::from_stored(path)
    }

    #[test]
    fn a_page_may_name_its_address_on_the_sites_origins() {
        let canonicals = canonicals();
        let claim = |own: &str, canonical: &str| {
            let claim = canonicals.claim(&site(), page(own), canonical, day(1));
            (claim.page.to_string(), claim.ignored)
        };
        assert_eq!(claim("/xem?x=1", "https://a.vn/bai-1"), ("/bai-1".to_owned(), None));
        assert_eq!(claim("/xem?x=1", "https://www.a.vn/xem?id=7"), ("/xem?id=7".to_owned(), None));
        // Documents that the query names.
        assert_eq!(claim("/?docid=7", "https://a.vn/"), ("/?docid=7".to_owned(), Some(Ignored::Home)));
        assert_eq!(claim("/", "https://www.a.vn/?utm_source=x"), ("/".to_owned(), None));
        assert_eq!(claim("/bai-1", "https://a.vn/index.php"), ("/bai-1".to_owned(), Some(Ignored::Home)));
        for foreign in ["https://b.vn/bai-1", "bai-2", "https://me:x@a.vn/", "javascript:1", ""] {
            assert_eq!(claim("/bai-1", foreign), ("/bai-1".to_owned(), Some(Ignored::Foreign)), "{foreign}");
        }
    }

    #[test]
    fn the_tags_own_word_holds_whatever_it_names() {
        let canonicals = canonicals();
        for at in 0..50 {
            for (named, counted) in
                [("/", "/"), ("/bai-1/?fbclid=1", "/bai-1"), ("//evil.example/x", "/evil.example/x")]
            {
                let claim = canonicals.claim(&site(), page(&format!("/xem-{at}")), named, day(1));
                assert_eq!((claim.page.as_str(), claim.ignored), (counted, None));
            }
        }
    }

    #[test]
    fn a_page_that_too_many_paths_name_is_not_believed_that_day() {
        let canonicals = canonicals();
        let claim = |own: &str, on| canonicals.claim(&site(), page(own), "https://a.vn/tin", day(on));
        // Its own path, with whatever query, is none of them.
        (0..100).for_each(|at| assert_eq!(claim(&format!("/tin?x={at}"), 1).page, page("/tin")));
        let first = claim("/bai-0", 1);
        for at in 0..PATHS_MAX {
            assert_eq!(claim(&format!("/bai-{at}"), 1).page, page("/tin"));
        }
        assert!(first.holds_on(day(1)) && !first.holds_on(day(2)));
        let last = claim("/bai-20?x=1", 1);
        assert_eq!((last.page.clone(), last.ignored), (page("/bai-20?x=1"), Some(Ignored::Many)));
        assert!(last.holds_on(day(1)) && !last.holds_on(day(2)));
        assert!(!first.holds_on(day(1)), "what was believed before is decided again");
        assert_eq!(claim("/bai-0", 1).page, page("/bai-0"));
        assert_eq!(claim("/tin?x=1", 1).page, page("/tin"));
        assert_eq!(claim("/bai-20", 2).page, page("/tin"), "the next day begins anew");
    }

    #[test]
    fn pages_that_are_named_are_bounded_and_those_of_earlier_days_make_room() {
        let canonicals = canonicals();
        let claim =
            |at: usize, on| canonicals.claim(&site(), page("/x"), &format!("https://a.vn/bai-{at}"), day(on)).ignored;
        (0..PAGES_MAX).for_each(|at| assert_eq!(claim(at, 1), None));
        assert_eq!((claim(0, 1), claim(PAGES_MAX, 1)), (None, Some(Ignored::Many)));
        assert_eq!((claim(PAGES_MAX, 3), canonicals.pages.lock().unwrap().named.len()), (None, 1));
    }
}
