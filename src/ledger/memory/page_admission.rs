//! Page admission: the pages of a site's day that count under their own address.

use std::sync::Mutex;

use super::lock;
use crate::counter::page_cap::{Excess, PagesOfDay, Verdict};
use crate::counter::{BySite, ClientPrefix, Day, PageAddress, SiteNumber};

/// Below this fraction of the cap, pages from before the node's start matter only for a client that brings many.
const UNCOUNTED_PART: u32 = 10;

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
    IfKnown(Excess),
}

impl PageAdmission {
    pub fn decide(
        &self,
        site: SiteNumber,
        day: Day,
        page: &PageAddress,
        client: Option<ClientPrefix>,
        cap: u32,
    ) -> Decision {
        let mut sites = lock(&self.sites);
        let of_site = sites.get_or_insert_with(site, || SiteDay { pages: PagesOfDay::new(day), is_whole: false });
        if of_site.pages.day() < day {
            // The node has run since the day began.
            *of_site = SiteDay { pages: PagesOfDay::new(day), is_whole: true };
        } else if of_site.pages.day() > day {
            // The clock was set back or the site's zone changed: no cap until the known day has passed.
            return Decision::Counts;
        }
        let are_many = of_site.pages.len() >= usize::try_from(cap / UNCOUNTED_PART).unwrap_or(usize::MAX);
        let brings_much = client.is_some_and(|client| of_site.pages.has_brought_much(client));
        if (are_many || brings_much) && !of_site.is_whole {
            return Decision::NeedsRead;
        }
        match of_site.pages.admit(page.fingerprint(), client, cap) {
            Verdict::Counts => Decision::Counts,
            Verdict::IfKnown(excess) => Decision::IfKnown(excess),
        }
    }

    /// Adds the day's pages from the file.
    pub fn load(&self, site: SiteNumber, day: Day, pages: impl IntoIterator<Item = u64>) {
        if let Some(of_site) = lock(&self.sites).get_mut(site).filter(|of_site| of_site.pages.day() == day) {
            of_site.pages.had(pages);
            of_site.is_whole = true;
        }
    }

    /// Admits a page above the cap that was counted on an earlier day.
    pub fn admit_known(&self, site: SiteNumber, day: Day, page: &PageAddress) {
        if let Some(of_site) = lock(&self.sites).get_mut(site).filter(|of_site| of_site.pages.day() == day) {
            of_site.pages.note([page.fingerprint()]);
        }
    }

    /// Decides about a page above the cap if it can't be found out whether it is known. True: it counts.
    pub fn admit_unknowable(&self, site: SiteNumber, day: Day, page: &PageAddress, cap: u32) -> bool {
        let mut sites = lock(&self.sites);
        let of_site = sites.get_mut(site).filter(|of_site| of_site.pages.day() == day);
        of_site.is_some_and(|of_site| of_site.pages.admit_unknowable(page.fingerprint(), cap))
    }

    /// Records, from folding, if a page was in the file before.
    pub fn settle(&self, site: SiteNumber, page: &PageAddress, was_known: bool) {
        if let Some(of_site) = lock(&self.sites).get_mut(site) {
            of_site.pages.settle(page.fingerprint(), was_known);
        }
    }
}
