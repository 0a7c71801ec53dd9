//! Page admission: the pages of a site's day that count under their own address.

use std::sync::Mutex;

use super::lock;
use crate::counter::page_cap::{Excess, PagesOfDay, Verdict};
use crate::counter::{BySite, ClientPrefix, Day, PageAddress, SiteNumber};

/// Below this fraction of the cap, pages from before the node's start matter only for a client that brings many.
const UNCOUNTED_PART: u32 = 10;

/// A cap of which less than this fraction is left is filling.
const FILLING_PART: u32 = 5;

#[derive(Debug, Default)]
pub struct PageAdmission {
    sites: Mutex<BySite<SiteDay>>,
}

#[derive(Debug)]
struct SiteDay {
    pages: PagesOfDay,
    /// True if pages from before the node's start are included.
    is_whole: bool,
}

/// Decision about one more page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Counts,
    /// The day's pages must first be read from the file.
    NeedsRead,
    IfVouched(Excess),
}

impl PageAdmission {
    pub fn decide(
        &self,
        site: SiteNumber,
        day: Day,
        page: &PageAddress,
        client: Option<ClientPrefix>,
        (cap, caps_all): (u32, bool),
    ) -> Decision {
        let mut sites = lock(&self.sites);
        // The clock was set back or the site's zone changed: no cap until the known day has passed.
        let Some(of_site) = of_day(&mut sites, site, day) else { return Decision::Counts };
        of_site.pages.set_caps_all(caps_all);
        let are_many = of_site.pages.len() >= usize::try_from(cap / UNCOUNTED_PART).unwrap_or(usize::MAX);
        let brings_much = client.is_some_and(|client| of_site.pages.has_brought_much(client));
        if (are_many || brings_much) && !of_site.is_whole {
            return Decision::NeedsRead;
        }
        match of_site.pages.admit(page.fingerprint(), client, cap) {
            Verdict::Counts => Decision::Counts,
            Verdict::IfVouched(excess) => Decision::IfVouched(excess),
        }
    }

    /// True if a site has nearly as many new pages as its cap.
    pub fn is_filling(&self, site: SiteNumber, day: Day, cap: u32) -> bool {
        let sites = lock(&self.sites);
        let of_site = sites.get(site).filter(|of_site| of_site.pages.day() == day);
        let filling = usize::try_from(cap - cap / FILLING_PART).unwrap_or(usize::MAX);
        of_site.is_some_and(|of_site| of_site.pages.len() >= filling)
    }

    /// Adds the day's pages from the file.
    pub fn load(&self, site: SiteNumber, day: Day, pages: impl IntoIterator<Item = u64>) {
        if let Some(of_site) = lock(&self.sites).get_mut(site).filter(|of_site| of_site.pages.day() == day) {
            of_site.pages.had(pages);
            of_site.is_whole = true;
        }
    }

    /// Admits a page that is vouched for, whatever the cap.
    pub fn note_vouched(&self, site: SiteNumber, day: Day, page: &PageAddress) {
        let mut sites = lock(&self.sites);
        if let Some(of_site) = of_day(&mut sites, site, day) {
            of_site.pages.note_vouched(page.fingerprint());
        }
    }

    /// True if a page is known to be vouched for.
    pub fn is_vouched(&self, site: SiteNumber, day: Day, page: &PageAddress) -> bool {
        let sites = lock(&self.sites);
        let of_site = sites.get(site).filter(|of_site| of_site.pages.day() == day);
        of_site.is_some_and(|of_site| of_site.pages.is_vouched(page.fingerprint()))
    }

    /// Decides about a page above the cap if it can't be found out whether it is known. True: it counts.
    pub fn admit_unknowable(&self, site: SiteNumber, day: Day, page: &PageAddress, cap: u32) -> bool {
        let mut sites = lock(&self.sites);
        let of_site = sites.get_mut(site).filter(|of_site| of_site.pages.day() == day);
        of_site.is_some_and(|of_site| of_site.pages.admit_unknowable(page.fingerprint(), cap))
    }

    /// Records, from folding, if the file vouches for a page.
    pub fn settle(&self, site: SiteNumber, page: &PageAddress, is_vouched: bool) {
        if let Some(of_site) = lock(&self.sites).get_mut(site) {
            match is_vouched {
                true => of_site.pages.note_vouched(page.fingerprint()),
                false => of_site.pages.note_new(page.fingerprint()),
            }
        }
    }
}

/// A site's pages of a day; none of a day before the newest one.
fn of_day(sites: &mut BySite<SiteDay>, site: SiteNumber, day: Day) -> Option<&mut SiteDay> {
    let of_site = sites.get_or_insert_with(site, || SiteDay { pages: PagesOfDay::new(day), is_whole: false });
    if of_site.pages.day() < day {
        // The node has run since the day began.
        *of_site = SiteDay { pages: PagesOfDay::new(day), is_whole: true };
    }
    (of_site.pages.day() == day).then_some(of_site)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SiteNumber = SiteNumber(1);

    fn day(day: u32) -> Day {
        Day::from_ymd(2024, 6, day).unwrap()
    }

    fn page(number: u32) -> PageAddress {
        PageAddress::from_stored(&format!("/{number}"))
    }

    #[test]
    fn a_tenth_of_the_cap_needs_the_days_pages_from_the_file() {
        let admission = PageAdmission::default();
        let decide = |number| admission.decide(SITE, day(17), &page(number), None, (20, false));
        assert_eq!([0, 1, 2].map(decide), [Decision::Counts, Decision::Counts, Decision::NeedsRead]);
        // Of another day: nothing is added.
        admission.load(SITE, day(16), []);
        assert_eq!(decide(2), Decision::NeedsRead);
        admission.load(SITE, day(17), (10..27).map(|number| page(number).fingerprint()));
        assert_eq!([2, 3, 10].map(decide), [Decision::Counts, Decision::IfVouched(Excess::Site), Decision::Counts]);
        admission.note_vouched(SITE, day(16), &page(3));
        assert_eq!(decide(3), Decision::IfVouched(Excess::Site));
        assert!(admission.is_filling(SITE, day(17), 20) && admission.is_filling(SITE, day(17), 24));
        assert!(!admission.is_filling(SITE, day(17), 26) && !admission.is_filling(SITE, day(16), 20));
        admission.note_vouched(SITE, day(17), &page(3));
        assert_eq!(decide(3), Decision::Counts);
    }

    #[test]
    fn a_day_that_began_while_the_node_ran_is_whole_and_an_earlier_day_has_no_cap() {
        let admission = PageAdmission::default();
        let decide = |of: u32, number| admission.decide(SITE, day(of), &page(number), None, (2, false));
        assert_eq!(decide(16, 0), Decision::NeedsRead);
        assert_eq!(
            [0, 1, 2].map(|number| decide(17, number)),
            [Decision::Counts, Decision::Counts, Decision::IfVouched(Excess::Site)]
        );
        assert_eq!(decide(16, 2), Decision::Counts);
        assert_eq!(decide(17, 2), Decision::IfVouched(Excess::Site));
    }

    #[test]
    fn a_page_that_may_be_known_counts_on_its_own_day_while_those_are_few() {
        let admission = PageAdmission::default();
        assert!(!admission.admit_unknowable(SITE, day(17), &page(0), 1_000));
        admission.decide(SITE, day(17), &page(0), None, (1_000, false));
        assert!(!admission.admit_unknowable(SITE, day(16), &page(1), 1_000));
        let admitted = (1..=2_000).filter(|number| admission.admit_unknowable(SITE, day(17), &page(*number), 1_000));
        assert!((1..2_000).contains(&admitted.count()));
    }

    #[test]
    fn a_client_that_brings_many_pages_needs_the_days_pages_from_the_file() {
        let admission = PageAdmission::default();
        let client = Some(ClientPrefix::of("192.0.2.1".parse().unwrap()));
        let decide = |number, client| admission.decide(SITE, day(17), &page(number), client, (100_000, false));
        assert!((0..20).all(|number| decide(number, client) == Decision::Counts));
        assert_eq!(decide(20, client), Decision::NeedsRead);
        assert_eq!(decide(20, None), Decision::Counts, "others go on");
        admission.load(SITE, day(17), []);
        assert_eq!(decide(21, client), Decision::Counts);
    }

    #[test]
    fn a_page_that_the_file_knew_is_not_among_those_that_its_client_brought() {
        let admission = PageAdmission::default();
        let client = Some(ClientPrefix::of("192.0.2.1".parse().unwrap()));
        let decide = |number| admission.decide(SITE, day(17), &page(number), client, (400, false));
        decide(0);
        admission.load(SITE, day(17), []);
        assert!((1..20).all(|number| decide(number) == Decision::Counts));
        assert_eq!(decide(20), Decision::IfVouched(Excess::Client));
        admission.settle(SITE, &page(3), false);
        assert_eq!(decide(20), Decision::IfVouched(Excess::Client));
        admission.settle(SITE, &page(4), true);
        assert_eq!(decide(20), Decision::Counts);
    }
}
