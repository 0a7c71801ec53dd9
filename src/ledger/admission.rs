//! Which pages count under their own address: the day's pages of each site, by this node.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::counter::page_cap::{Excess, PagesOfDay, Verdict};
use crate::counter::{BySite, ClientPrefix, Day, PageAddress, SiteNumber};

/// Below this part of the cap it doesn't matter how many pages the day had before the node started, but
/// to a client that brings many.
const UNCOUNTED_PART: u32 = 10;

#[derive(Debug, Default)]
pub struct Admission {
    sites: Mutex<BySite<SiteDay>>,
}

#[derive(Debug)]
struct SiteDay {
    pages: PagesOfDay,
    /// Those from before the node started are among them.
    is_whole: bool,
}

/// What the day's pages say of one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    Counts,
    /// The day's pages must be read from the file first.
    Read,
    IfKnown(Excess),
}

impl Admission {
    pub fn rule(
        &self,
        site: SiteNumber,
        day: Day,
        page: &PageAddress,
        client: Option<ClientPrefix>,
        cap: u32,
    ) -> Ruling {
        let mut sites = self.lock();
        let of_site = sites.get_or_insert_with(site, || SiteDay { pages: PagesOfDay::new(day), is_whole: false });
        if of_site.pages.day() < day {
            // The node has seen the day begin.
            *of_site = SiteDay { pages: PagesOfDay::new(day), is_whole: true };
        } else if of_site.pages.day() > day {
            // The clock was set back, or the site's zone is another: for a while, days are not told apart.
            return Ruling::Counts;
        }
        let are_many = of_site.pages.len() >= usize::try_from(cap / UNCOUNTED_PART).unwrap_or(usize::MAX);
        let brings_much = client.is_some_and(|client| of_site.pages.has_brought_much(client));
        if (are_many || brings_much) && !of_site.is_whole {
            return Ruling::Read;
        }
        match of_site.pages.admit(page.fingerprint(), client, cap) {
            Verdict::Counts => Ruling::Counts,
            Verdict::IfKnown(excess) => Ruling::IfKnown(excess),
        }
    }

    /// Pages that the day has had, from the file.
    pub fn had(&self, site: SiteNumber, day: Day, pages: impl IntoIterator<Item = u64>) {
        if let Some(of_site) = self.lock().get_mut(site).filter(|of_site| of_site.pages.day() == day) {
            of_site.pages.had(pages);
            of_site.is_whole = true;
        }
    }

    /// A page that was one too many is known from before.
    pub fn note(&self, site: SiteNumber, day: Day, page: &PageAddress) {
        if let Some(of_site) = self.lock().get_mut(site).filter(|of_site| of_site.pages.day() == day) {
            of_site.pages.note([page.fingerprint()]);
        }
    }

    /// Nobody can tell whether a page that was one too many is known. True: it counts.
    pub fn admit_unknowable(&self, site: SiteNumber, day: Day, page: &PageAddress, cap: u32) -> bool {
        let mut sites = self.lock();
        let of_site = sites.get_mut(site).filter(|of_site| of_site.pages.day() == day);
        of_site.is_some_and(|of_site| of_site.pages.admit_unknowable(page.fingerprint(), cap))
    }

    /// Folding has found whether a page was in the file already.
    pub fn settle(&self, site: SiteNumber, page: &PageAddress, was_known: bool) {
        if let Some(of_site) = self.lock().get_mut(site) {
            of_site.pages.settle(page.fingerprint(), was_known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BySite<SiteDay>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
