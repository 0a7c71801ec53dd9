//! Canonical addresses: a page's own word for its address, and mistakes of templates that are not believed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use super::page_of;
use super::warnings::{Topic, Warnings};
use crate::counter::{Day, PageAddress, RegisteredSite, SiteNumber};

/// Paths other than its own that may name one page as theirs in a day.
const PATHS_MAX: usize = 20;
/// Pages of a site that are so watched in a day. Further ones are believed, and reported.
const PAGES_OF_SITE_MAX: usize = 1_000;
/// The same of all sites of a node: a few MB at most.
const PAGES_MAX: usize = 10_000;
/// Paths of a site that name the home page in a day, from which on that is a template's mistake.
const HOME_PATHS: usize = 3;

/// Reasons why a canonical address is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It lies on none of the site's origins or under none of its paths, or is no address.
    Foreign,
    /// It names the home page, from another page.
    Home,
    /// More than 20 other paths name it in a day.
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
    sites: FxHashMap<SiteNumber, OfSite>,
    /// Pages named, of all sites.
    count: usize,
    /// The newest day of any site.
    day: Option<Day>,
}

/// A site's pages of one day.
#[derive(Debug)]
struct OfSite {
    day: Day,
    named: FxHashMap<PageAddress, NamedBy>,
    /// Fingerprints of paths that name the home page, up to the number that is reported.
    homes: FxHashSet<u64>,
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
    /// path is the word of the site's own tag, `data-page`, which holds whatever page of the site it names.
    pub fn of(site: &RegisteredSite, own: PageAddress, canonical: &str) -> Self {
        if canonical.starts_with('/') {
            let named = PageAddress::from_import(canonical, &site.site.page_rules);
            return match named {
                Some(named) if !site.site.holds(&named) => {
                    Self { page: own, ignored: Some(Ignored::Foreign), named: None }
                }
                named => Self { page: named.unwrap_or(own), ignored: None, named: None },
            };
        }
        let (page, ignored) = match page_of(site, canonical) {
            Err(_) => (own, Some(Ignored::Foreign)),
            Ok(page) if page.is_home() && !own.is_home() => (own, Some(Ignored::Home)),
            Ok(page) => (page, None),
        };
        Self { page, ignored, named: None }
    }

    /// True if the day has a say: another path names a page of the site.
    fn is_of_the_day(&self, own: &PageAddress, canonical: &str) -> bool {
        !canonical.starts_with('/') && self.page.path() != own.path()
    }

    /// The claim with the day's state of the named page, if there is one.
    fn by(self, named: Option<Arc<Named>>, own: PageAddress) -> Self {
        match named {
            Some(named) if named.is_refused.load(Ordering::Relaxed) => {
                Self { page: own, ignored: Some(Ignored::Many), named: Some(named) }
            }
            named => Self { named, ..self },
        }
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

    /// The address of a hit at `own` whose page names `canonical`, by what is known of the day. Notes nothing.
    pub fn peek(&self, site: &RegisteredSite, own: PageAddress, canonical: &str, day: Day) -> Claim {
        let claim = Claim::of(site, own.clone(), canonical);
        if !claim.is_of_the_day(&own, canonical) {
            return claim;
        }
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let of_site = pages.sites.get(&site.number).filter(|of_site| of_site.day == day);
        let named = of_site.and_then(|of_site| of_site.named.get(&claim.page)).map(|named| Arc::clone(&named.state));
        drop(pages);
        claim.by(named, own)
    }

    /// The same for a hit that counts, whose path is noted.
    pub fn note(&self, site: &RegisteredSite, own: PageAddress, canonical: &str, day: Day) -> Claim {
        let claim = Claim::of(site, own.clone(), canonical);
        // A front page with a parameter may well name itself.
        if claim.ignored == Some(Ignored::Home) && own.path() != "/" {
            self.note_home(site, &own, day);
        }
        if !claim.is_of_the_day(&own, canonical) {
            return claim;
        }
        let named = self.named(site, &claim.page, &own, day);
        claim.by(named, own)
    }

    /// The page's state of the day with the path of `own` noted; none where there is no room.
    fn named(&self, site: &RegisteredSite, page: &PageAddress, own: &PageAddress, day: Day) -> Option<Arc<Named>> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        // Earlier days make room first.
        pages.of_site(site.number, day)?;
        let has_room = pages.count < PAGES_MAX;
        let of_site = pages.of_site(site.number, day)?;
        let is_new = !of_site.named.contains_key(page);
        if is_new && (!has_room || of_site.named.len() >= PAGES_OF_SITE_MAX) {
            drop(pages);
            self.report(site, day, "full", || {
                format!(
                    "more canonical addresses are named today than are watched: `<link rel=\"canonical\">` of further \
                     pages, as `{page}`, is believed however many paths name it; let each page name itself"
                )
            });
            return None;
        }
        let named_by = of_site.named.entry(page.clone()).or_insert_with(|| NamedBy::on(day));
        let state = Arc::clone(&named_by.state);
        let mut is_refused_now = false;
        if !state.is_refused.load(Ordering::Relaxed) {
            named_by.paths.insert(PageAddress::from_stored(own.path()).fingerprint());
            if named_by.paths.len() > PATHS_MAX {
                named_by.paths = FxHashSet::default();
                state.is_refused.store(true, Ordering::Relaxed);
                is_refused_now = true;
            }
        }
        pages.count += usize::from(is_new);
        drop(pages);
        if is_refused_now {
            self.report(site, day, "many", || mistake("more than 20 paths name this one page", page));
        }
        Some(state)
    }

    fn note_home(&self, site: &RegisteredSite, own: &PageAddress, day: Day) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_site) = pages.of_site(site.number, day).filter(|of_site| of_site.homes.len() < HOME_PATHS) else {
            return;
        };
        of_site.homes.insert(PageAddress::from_stored(own.path()).fingerprint());
        let is_mistake = of_site.homes.len() >= HOME_PATHS;
        drop(pages);
        if is_mistake {
            self.report(site, day, "home", || mistake("pages name the home page, as does", own));
        }
    }

    /// Reports once a day, site and kind.
    fn report(&self, site: &RegisteredSite, day: Day, kind: &str, detail: impl FnOnce() -> String) {
        self.warnings.give(site, Topic::Canonical, kind, day, detail);
    }
}

fn mistake(what: &str, page: &PageAddress) -> String {
    format!(
        "`<link rel=\"canonical\">` looks like a template's mistake and is ignored there: {what}, `{page}`; let each \
         page name itself"
    )
}

impl Pages {
    /// The site's pages of `day`; none once a later day has begun there.
    fn of_site(&mut self, site: SiteNumber, day: Day) -> Option<&mut OfSite> {
        if Some(day) > self.day {
            self.day = Some(day);
            // It is still yesterday in other time zones.
            self.sites.retain(|_, of_site| of_site.day >= day.previous());
            self.count = self.sites.values().map(|of_site| of_site.named.len()).sum();
        }
        let of_site = self.sites.entry(site).or_insert_with(|| OfSite::on(day));
        if of_site.day < day {
            self.count -= of_site.named.len();
            *of_site = OfSite::on(day);
        }
        (of_site.day == day).then_some(of_site)
    }
}

impl OfSite {
    fn on(day: Day) -> Self {
        Self { day, named: FxHashMap::default(), homes: FxHashSet::default() }
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
        RegisteredSite::new(SiteNumber(1), Site::with_defaults("demo".parse().unwrap(), origins.to_vec()))
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
            let claim = canonicals.note(&site(), page(own), canonical, day(1));
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
                let claim = canonicals.note(&site(), page(&format!("/xem-{at}")), named, day(1));
                assert_eq!((claim.page.as_str(), claim.ignored), (counted, None));
            }
        }
    }

    #[test]
    fn no_word_of_a_page_leads_out_of_the_sites_paths() {
        let mut site = site();
        site.site.paths =
            crate::counter::SitePaths::of(&["/xa-a".parse().unwrap()], site.site.page_rules.case).map(Into::into);
        let claim = |canonical: &str| {
            let claim = Claim::of(&site, page("/xa-a/x"), canonical);
            (claim.page.to_string(), claim.ignored)
        };
        for inside in ["https://a.vn/xa-a/tin", "/xa-a/tin"] {
            assert_eq!(claim(inside), ("/xa-a/tin".to_owned(), None), "{inside}");
        }
        for outside in ["https://a.vn/xa-b/tin", "https://a.vn/", "/xa-b/tin", "/xa-a/../xa-b", "/"] {
            assert_eq!(claim(outside), ("/xa-a/x".to_owned(), Some(Ignored::Foreign)), "{outside}");
        }
    }

    #[test]
    fn a_page_that_too_many_paths_name_is_not_believed_that_day() {
        let canonicals = canonicals();
        let claim = |own: &str, on| canonicals.note(&site(), page(own), "https://a.vn/tin", day(on));
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
        assert_eq!(claim("/bai-20", 2).page, page("/tin"), "each day counts for itself");
    }

    #[test]
    fn a_peek_notes_nothing_and_sees_what_counted_hits_have_noted() {
        let canonicals = canonicals();
        let peek = |own: &str| canonicals.peek(&site(), page(own), "https://a.vn/tin", day(1)).page;
        for at in 0..100 {
            assert_eq!(peek(&format!("/bai-{at}")), page("/tin"));
        }
        assert!(canonicals.pages.lock().unwrap().sites.is_empty());
        for at in 0..=PATHS_MAX {
            canonicals.note(&site(), page(&format!("/bai-{at}")), "https://a.vn/tin", day(1));
        }
        assert_eq!((peek("/bai-99"), peek("/tin?x=1")), (page("/bai-99"), page("/tin")));
        let tomorrow = canonicals.peek(&site(), page("/bai-99"), "https://a.vn/tin", day(2));
        assert_eq!(tomorrow.page, page("/tin"));
    }

    #[test]
    fn a_home_page_is_reported_once_three_paths_name_it() {
        let canonicals = canonicals();
        let reported = || canonicals.warnings.total().with_label_values(&["canonical"]).get();
        for (own, times) in [("/bai-1", 0), ("/bai-1?x=1", 0), ("/bai-2", 0), ("/?id=1", 0), ("/bai-3", 1), ("/x", 1)] {
            assert_eq!(canonicals.note(&site(), page(own), "https://a.vn/", day(1)).ignored, Some(Ignored::Home));
            assert_eq!(reported(), times, "{own}");
        }
    }

    #[test]
    fn a_site_that_names_too_many_pages_is_believed_and_reported_and_no_other_site_notices() {
        let canonicals = canonicals();
        let site_of = |number| RegisteredSite::new(SiteNumber(number), site().site);
        let note = |number, at: usize, own: &str, on| {
            canonicals.note(&site_of(number), page(own), &format!("https://a.vn/bai-{at}"), day(on)).ignored
        };
        let held = || {
            let pages = canonicals.pages.lock().unwrap();
            assert_eq!(pages.count, pages.sites.values().map(|of_site| of_site.named.len()).sum::<usize>());
            pages.count
        };
        for at in 0..2 * PAGES_OF_SITE_MAX {
            assert_eq!(note(1, at, "/x", 1), None);
        }
        assert_eq!(held(), PAGES_OF_SITE_MAX);
        assert_eq!(canonicals.warnings.total().with_label_values(&["canonical"]).get(), 1);
        // What has a place is judged as before, and so is another site.
        for (number, at) in [(1, 5), (2, 5)] {
            (0..PATHS_MAX).for_each(|own| _ = note(number, at, &format!("/y-{own}"), 1));
            assert_eq!(note(number, at, "/y", 1), Some(Ignored::Many));
        }
        for number in 3..20 {
            (0..PAGES_OF_SITE_MAX).for_each(|at| assert_eq!(note(number, at, "/x", 1), None));
        }
        assert_eq!(held(), PAGES_MAX);
        assert_eq!((note(1, 7, "/x", 3), held()), (None, 1));
        assert_eq!((note(1, 7, "/x", 2), held()), (None, 1), "a day that is over is not watched");
    }
}
