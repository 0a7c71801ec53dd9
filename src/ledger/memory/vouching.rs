//! Votes of the networks that read pages, and the pages that wait to be vouched for.
//!
//! A hit leaves its network's tag here. The next fold writes the tags and vouches: the file alone decides which pages
//! are vouched for, so a vote of a page that already is costs memory and nothing else.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Mutex;

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::lock;
use crate::counter::vouching::{NetworkTag, PAGES_OF_NETWORK_MAX, Subject, Tags, Vote, needed};
use crate::counter::{BySite, ChangedTitle, Day, PageAddress, PageTitle, SiteNumber};
use crate::ledger::sqlite::tables::vouching::KnownTags;

/// Votes in a generation; two take about 60 MB.
const VOTES_MAX: usize = 300_000;
/// Networks whose pages are counted. Beyond, all begin again.
const NETWORKS_MAX: usize = 200_000;
/// Pages that may wait for the next fold. The next reader of another brings its tag again.
const PENDING_MAX: usize = 20_000;
/// Votes that may wait to be shared.
const UNSHARED_MAX: usize = 20_000;
/// Folds for which a page's hit may wait: one that failed never gets there.
const FOLDS_MAX: u8 = 5;

#[derive(Debug, Default)]
pub struct Vouching(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By site and a hash of the subject.
    votes: Generations<(SiteNumber, u64), (Day, Tags)>,
    sites: BySite<SiteNetworks>,
    /// Tags of sites that the file lacks.
    unwritten: FxHashMap<(SiteNumber, Day), Tags>,
    /// New pages of each network's tag.
    pages_of_network: FxHashMap<(SiteNumber, NetworkTag), u16>,
    pending: FxHashMap<(SiteNumber, PageAddress), Pending>,
    unshared: FxHashMap<(SiteNumber, Day, u64), Vote>,
    /// Pages that were vouched for by their days: the next title may be theirs.
    nameless: FxHashSet<(SiteNumber, u64)>,
}

/// A site's networks of a day.
#[derive(Debug, Clone, Copy)]
struct SiteNetworks {
    day: Day,
    today: Tags,
    /// Their number on the day before.
    yesterday: usize,
}

/// A page whose tags wait for the next fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    pub day: Day,
    /// New tags.
    pub tags: Tags,
    /// Networks or days that vouch for the page.
    pub needed: usize,
    /// Enough networks have read it.
    pub is_vouched: bool,
    /// The fold has just vouched for it.
    pub is_new: bool,
    folds: u8,
}

/// A page that waits, with its site.
pub type PendingPage = (SiteNumber, PageAddress, Pending);

/// Tags of a site's day.
pub type SiteTags = (SiteNumber, Day, Tags);

/// A hit's vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// None where the day has no salt now.
    pub tag: Option<NetworkTag>,
    /// Networks that the site asks for.
    pub wanted: u8,
}

/// The state of a page after a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    pub is_vouched: bool,
    /// The site needs no further tag today.
    pub is_site_full: bool,
}

/// Two generations of entries: the older one goes when the younger is full.
#[derive(Debug)]
struct Generations<K, V> {
    young: FxHashMap<K, V>,
    old: FxHashMap<K, V>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<K: Hash + Eq + Copy, V> Generations<K, V> {
    fn get_or_insert(&mut self, key: K, value: impl FnOnce() -> V, max: usize) -> &mut V {
        if self.young.len() >= max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_else(value))
    }
}

impl SiteNetworks {
    fn new(day: Day, yesterday: usize) -> Self {
        Self { day, today: Tags::default(), yesterday }
    }

    fn needed(&self, wanted: u8) -> usize {
        needed(wanted, self.today.len().max(self.yesterday))
    }
}

impl State {
    /// The site on its newest day.
    fn site(&mut self, site: SiteNumber, day: Day) -> &mut SiteNetworks {
        let networks = self.sites.get_or_insert_with(site, || SiteNetworks::new(day, 0));
        if networks.day < day {
            let yesterday = if networks.day.next() == day { networks.today.len() } else { 0 };
            *networks = SiteNetworks::new(day, yesterday);
        }
        networks
    }

    fn tags(&mut self, site: SiteNumber, day: Day, subject: u64) -> &mut Tags {
        let (of, tags) = self.votes.get_or_insert((site, subject), || (day, Tags::default()), VOTES_MAX);
        if *of != day {
            (*of, *tags) = (day, Tags::default());
        }
        tags
    }

    /// Adds a network to the site's.
    fn note_site(&mut self, site: SiteNumber, day: Day, tag: NetworkTag, wanted: u8, is_shared: bool) {
        let networks = self.site(site, day);
        if networks.day != day || networks.today.len() >= usize::from(wanted) || !networks.today.add(tag) {
            return;
        }
        let vote = Vote { site, day, subject: Subject::Site, tags: networks.today, needed: networks.yesterday };
        self.unwritten.entry((site, day)).or_default().add(tag);
        if is_shared {
            self.share(vote);
        }
    }

    /// A network may vouch for so many new pages a day.
    fn takes_page(&mut self, site: SiteNumber, tag: NetworkTag) -> bool {
        if self.pages_of_network.len() >= NETWORKS_MAX {
            self.pages_of_network.clear();
        }
        let pages = self.pages_of_network.entry((site, tag)).or_default();
        let takes = *pages < PAGES_OF_NETWORK_MAX;
        *pages += u16::from(takes);
        takes
    }

    fn share(&mut self, vote: Vote) {
        let key = (vote.site, vote.day, hash_of(&vote.subject));
        if self.unshared.len() < UNSHARED_MAX || self.unshared.contains_key(&key) {
            self.unshared.insert(key, vote);
        }
    }

    /// False: too many wait.
    fn pend(&mut self, site: SiteNumber, page: &PageAddress, pending: Pending) -> bool {
        let len = self.pending.len();
        match self.pending.get_mut(&(site, page.clone())) {
            Some(known) => {
                known.tags = if known.day == pending.day { known.tags } else { Tags::default() };
                known.tags.add_all(pending.tags);
                known.day = pending.day;
                known.needed = pending.needed;
                known.is_vouched |= pending.is_vouched;
                known.is_new |= pending.is_new;
                true
            }
            None if len < PENDING_MAX => {
                self.pending.insert((site, page.clone()), pending);
                true
            }
            None => false,
        }
    }
}

fn hash_of(subject: &Subject) -> u64 {
    match subject {
        Subject::Site => 0,
        Subject::Page(page) => page.fingerprint(),
        Subject::Title(page, title, _) => title_hash(page, title),
    }
}

fn title_hash(page: &PageAddress, title: &PageTitle) -> u64 {
    FxBuildHasher.hash_one((page.fingerprint(), title.as_str()))
}

impl Vouching {
    /// Votes that the file holds.
    pub fn load(&self, known: Vec<KnownTags>) {
        let mut state = lock(&self.0);
        for KnownTags { site, day, page, tags } in known {
            match page {
                // In the order of days.
                None => state.site(site, day).today.add_all(tags),
                Some(page) => state.tags(site, day, page.fingerprint()).add_all(tags),
            }
        }
    }

    /// Takes a hit's vote. `page`: none if it is vouched for.
    pub fn note(
        &self,
        site: SiteNumber,
        day: Day,
        page: Option<&PageAddress>,
        reading: Reading,
        is_shared: bool,
    ) -> Noted {
        let Reading { tag, wanted } = reading;
        let mut state = lock(&self.0);
        if let Some(tag) = tag {
            state.note_site(site, day, tag, wanted, is_shared);
        }
        let networks = *state.site(site, day);
        let is_site_full = wanted <= 1 || networks.today.len() >= usize::from(wanted);
        let Some(page) = page else { return Noted { is_vouched: true, is_site_full } };
        let needed = networks.needed(wanted);
        let mut pending = Pending { day, tags: Tags::default(), needed, is_vouched: false, is_new: false, folds: 0 };
        if wanted <= 1 {
            pending.is_vouched = state.pend(site, page, Pending { is_vouched: true, ..pending });
            return Noted { is_vouched: pending.is_vouched, is_site_full };
        }
        let known = *state.tags(site, day, page.fingerprint());
        let is_new = known.len() < needed && tag.is_some_and(|tag| !known.contains(tag));
        if let Some(tag) = tag.filter(|_| is_new)
            && state.takes_page(site, tag)
        {
            state.tags(site, day, page.fingerprint()).add(tag);
            pending.tags.add(tag);
        }
        let is_enough = state.tags(site, day, page.fingerprint()).len() >= needed;
        pending.is_vouched = is_enough;
        let is_taken = (is_enough || !pending.tags.is_empty()) && state.pend(site, page, pending);
        Noted { is_vouched: is_enough && is_taken, is_site_full }
    }

    /// Notes a page that is vouched for elsewhere; the next fold vouches for it here.
    pub fn note_known(&self, site: SiteNumber, day: Day, page: &PageAddress) {
        let pending = Pending { day, tags: Tags::default(), needed: 1, is_vouched: true, is_new: false, folds: 0 };
        lock(&self.0).pend(site, page, pending);
    }

    /// True if the next fold vouches for the page.
    pub fn is_pending(&self, site: SiteNumber, page: &PageAddress) -> bool {
        lock(&self.0).pending.get(&(site, page.clone())).is_some_and(|pending| pending.is_vouched)
    }

    /// Notes that a fold vouches for a page which waits.
    pub fn note_new(&self, site: SiteNumber, page: &PageAddress) {
        if let Some(pending) = lock(&self.0).pending.get_mut(&(site, page.clone())) {
            pending.is_new = true;
        }
    }

    /// The tags of a page on a day.
    pub fn tags(&self, site: SiteNumber, day: Day, page: &PageAddress) -> Tags {
        *lock(&self.0).tags(site, day, page.fingerprint())
    }

    /// True if pages or tags wait for a fold.
    pub fn is_waiting(&self) -> bool {
        let state = lock(&self.0);
        !state.pending.is_empty() || !state.unwritten.is_empty()
    }

    /// Takes up to `limit` pages for a fold.
    pub fn take_pending(&self, limit: usize) -> Vec<PendingPage> {
        let mut state = lock(&self.0);
        let keys: Vec<_> = state.pending.keys().take(limit).cloned().collect();
        let taken =
            keys.into_iter().filter_map(|key| state.pending.remove(&key).map(|pending| (key.0, key.1, pending)));
        taken.collect()
    }

    /// Puts pages back whose transaction failed.
    pub fn put_back(&self, pages: Vec<PendingPage>) {
        let mut state = lock(&self.0);
        for (site, page, pending) in pages {
            state.pend(site, &page, pending);
        }
    }

    /// Puts back a vouched page whose hit is not folded yet.
    pub fn put_back_unnumbered(&self, (site, page, pending): PendingPage) {
        if pending.is_vouched && pending.folds < FOLDS_MAX {
            lock(&self.0).pend(site, &page, Pending { folds: pending.folds + 1, ..pending });
        }
    }

    /// A page turned out to be vouched for: its networks have brought nothing.
    pub fn settle(&self, site: SiteNumber, tags: Tags) {
        let mut state = lock(&self.0);
        for tag in tags.iter() {
            if let Some(pages) = state.pages_of_network.get_mut(&(site, tag)) {
                *pages = pages.saturating_sub(1);
            }
        }
    }

    /// Takes the sites' tags that the file lacks.
    pub fn take_site_tags(&self, limit: usize) -> Vec<SiteTags> {
        let mut state = lock(&self.0);
        let keys: Vec<_> = state.unwritten.keys().take(limit).copied().collect();
        keys.into_iter().filter_map(|key| state.unwritten.remove(&key).map(|tags| (key.0, key.1, tags))).collect()
    }

    /// Puts back tags whose transaction failed.
    pub fn put_back_site_tags(&self, taken: Vec<SiteTags>) {
        let mut state = lock(&self.0);
        for (site, day, tags) in taken {
            state.unwritten.entry((site, day)).or_default().add_all(tags);
        }
    }

    /// Shares the votes of an unvouched page with the other nodes.
    pub fn share_page(&self, site: SiteNumber, page: &PageAddress, pending: Pending) {
        let mut state = lock(&self.0);
        let tags = *state.tags(site, pending.day, page.fingerprint());
        let subject = Subject::Page(page.clone());
        state.share(Vote { site, day: pending.day, subject, tags, needed: pending.needed });
    }

    /// Takes a network's vote for a title. Gives the number of networks that are needed, unless enough have given it.
    pub fn vote_for_title(&self, title: &ChangedTitle, day: Day, reading: Reading) -> Option<usize> {
        let Reading { tag, wanted } = reading;
        if wanted <= 1 {
            return None;
        }
        let mut state = lock(&self.0);
        let needed = state.site(title.site, day).needed(wanted);
        let tags = state.tags(title.site, day, title_hash(&title.page, &title.title));
        if let Some(tag) = tag {
            tags.add(tag);
        }
        (tags.len() < needed).then_some(needed)
    }

    /// Shares the votes for a title.
    pub fn share_title(&self, title: &ChangedTitle, day: Day, needed: usize) {
        let ChangedTitle { site, page, title, given_ms } = title.clone();
        let mut state = lock(&self.0);
        let tags = *state.tags(site, day, title_hash(&page, &title));
        let subject = Subject::Title(page, title, given_ms);
        state.share(Vote { site, day, subject, tags, needed });
    }

    /// Notes that a page is vouched for by its days: no two networks have named it in one of them.
    pub fn note_nameless(&self, site: SiteNumber, page: &PageAddress) {
        let mut state = lock(&self.0);
        if state.nameless.len() >= PENDING_MAX {
            state.nameless.clear();
        }
        state.nameless.insert((site, page.fingerprint()));
    }

    /// True once for a page that was vouched for by its days.
    pub fn takes_first_title(&self, site: SiteNumber, page: &PageAddress) -> bool {
        lock(&self.0).nameless.remove(&(site, page.fingerprint()))
    }

    /// Takes up to `limit` votes that other nodes may lack.
    pub fn take_unshared(&self, limit: usize) -> Vec<Vote> {
        let mut state = lock(&self.0);
        let keys: Vec<_> = state.unshared.keys().take(limit).copied().collect();
        keys.into_iter().filter_map(|key| state.unshared.remove(&key)).collect()
    }

    /// Puts votes back that couldn't be shared.
    pub fn put_back_unshared(&self, votes: Vec<Vote>) {
        let mut state = lock(&self.0);
        votes.into_iter().for_each(|vote| state.share(vote));
    }

    /// Adds the tags of other nodes. `vote.needed` of a site is its number of networks on the day before. True: enough.
    pub fn apply(&self, vote: &Vote) -> bool {
        let mut state = lock(&self.0);
        if vote.subject == Subject::Site {
            let networks = state.site(vote.site, vote.day);
            if networks.day == vote.day {
                networks.today.add_all(vote.tags);
                networks.yesterday = networks.yesterday.max(vote.needed);
            }
            return false;
        }
        let tags = state.tags(vote.site, vote.day, hash_of(&vote.subject));
        tags.add_all(vote.tags);
        tags.len() >= vote.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SiteNumber = SiteNumber(1);

    fn day(day: u32) -> Day {
        Day::from_ymd(2024, 6, day).unwrap()
    }

    fn page(number: usize) -> PageAddress {
        PageAddress::from_stored(&format!("/{number}"))
    }

    fn reading(network: u32) -> Reading {
        Reading { tag: NetworkTag::from_number(network), wanted: 3 }
    }

    fn reads(vouching: &Vouching, of: u32, number: usize, network: u32) -> bool {
        vouching.note(SITE, day(of), Some(&page(number)), reading(network), true).is_vouched
    }

    /// Networks that read vouched pages.
    fn read_by<const NETWORKS: usize>(vouching: &Vouching, networks: [u32; NETWORKS]) {
        for network in networks {
            vouching.note(SITE, day(17), None, reading(network), true);
        }
    }

    #[test]
    fn three_networks_vouch_for_a_page_and_one_never_does_at_a_site_of_many() {
        let vouching = Vouching::default();
        // The first reader of a new site is all that it has.
        assert!(reads(&vouching, 17, 1, 1));
        assert!(!reads(&vouching, 17, 2, 2) && reads(&vouching, 17, 2, 1));
        assert!(!reads(&vouching, 17, 3, 3));
        assert!((0..9).all(|_| !reads(&vouching, 17, 3, 3)));
        assert!(!reads(&vouching, 17, 3, 2) && reads(&vouching, 17, 3, 1));
        // The day before had three networks, so the first readers of a day are strangers too.
        assert!(!reads(&vouching, 18, 4, 1) && !reads(&vouching, 18, 4, 2) && reads(&vouching, 18, 4, 3));
        // After a day without readers the site begins again.
        assert!(reads(&vouching, 21, 5, 1));
    }

    #[test]
    fn a_site_is_full_once_it_has_the_networks_it_asks_for() {
        let vouching = Vouching::default();
        let is_full = |network| vouching.note(SITE, day(17), None, reading(network), true).is_site_full;
        assert_eq!([1, 1, 2, 3, 4].map(is_full), [false, false, false, true, true]);
        let written = vouching.take_site_tags(9);
        assert_eq!(written.iter().map(|(.., tags)| tags.len()).collect::<Vec<_>>(), [3]);
        vouching.put_back_site_tags(written);
        assert_eq!(vouching.take_site_tags(9).len(), 1);
        let shared = vouching.take_unshared(9);
        assert_eq!(shared.iter().map(|vote| vote.tags.len()).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_network_vouches_for_so_many_new_pages_a_day_but_for_any_number_of_known_ones() {
        let vouching = Vouching::default();
        read_by(&vouching, [1, 2, 3]);
        let most = usize::from(PAGES_OF_NETWORK_MAX);
        let read_by_two = |number| {
            reads(&vouching, 17, number, 1);
            reads(&vouching, 17, number, 2);
        };
        (0..=most).for_each(read_by_two);
        assert!(reads(&vouching, 17, most - 1, 3));
        // Two networks had no vote left for the last one.
        assert!(!reads(&vouching, 17, most, 3) && !reads(&vouching, 17, most, 4) && reads(&vouching, 17, most, 5));
        // A page that the file knows gives the votes back.
        let known = vouching.take_pending(usize::MAX).into_iter().find(|(_, of, _)| *of == page(0)).unwrap();
        assert_eq!((known.2.tags.len(), known.2.is_vouched), (2, false));
        vouching.settle(SITE, known.2.tags);
        assert!(!reads(&vouching, 17, most + 1, 1) && !reads(&vouching, 17, most + 1, 2));
        assert!(reads(&vouching, 17, most + 1, 3));
    }

    #[test]
    fn pages_wait_for_the_fold_and_go_back_if_it_fails() {
        let vouching = Vouching::default();
        assert!(reads(&vouching, 17, 1, 1) && vouching.is_pending(SITE, &page(1)));
        let taken = vouching.take_pending(9);
        assert!(!vouching.is_pending(SITE, &page(1)));
        vouching.put_back(taken);
        assert!(vouching.is_pending(SITE, &page(1)));
        // A page whose hit failed doesn't wait for ever.
        for _ in 0..=FOLDS_MAX {
            let page = vouching.take_pending(9).pop().unwrap();
            vouching.put_back_unnumbered(page);
        }
        assert!(vouching.take_pending(9).is_empty());
        for number in 0..=PENDING_MAX {
            let everyone = Reading { tag: None, wanted: 1 };
            let noted = vouching.note(SITE, day(17), Some(&page(number)), everyone, true);
            assert_eq!(noted.is_vouched, number < PENDING_MAX);
        }
        assert_eq!(vouching.take_pending(usize::MAX).len(), PENDING_MAX);
    }

    #[test]
    fn a_title_needs_as_many_networks_as_a_page_and_all_the_same_title() {
        let vouching = Vouching::default();
        read_by(&vouching, [1, 2, 3]);
        let names = |title: &str, network| {
            let title = PageTitle::of(title).unwrap();
            let title = ChangedTitle { site: SITE, page: page(1), title, given_ms: 1 };
            vouching.vote_for_title(&title, day(17), reading(network)).is_none()
        };
        assert!(!names("Tin", 1) && !names("NHÀ CÁI", 4) && !names("NHÀ CÁI", 4) && !names("Tin", 2));
        assert!(!names("NHÀ CÁI", 5) && names("Tin", 3) && names("Tin", 4));
    }

    #[test]
    fn tags_of_other_nodes_count_too() {
        let (one, other) = (Vouching::default(), Vouching::default());
        let vote = |vouching: &Vouching| {
            let votes = vouching.take_unshared(9);
            votes.into_iter().find(|vote| vote.subject == Subject::Page(page(1)))
        };
        for (vouching, networks) in [(&one, [1, 2]), (&other, [3, 4])] {
            // Each knows networks of the site that the other doesn't.
            read_by(vouching, networks);
            let tags = Tags::from_iter(NetworkTag::from_number(9));
            vouching.apply(&Vote { site: SITE, day: day(17), subject: Subject::Site, tags, needed: 4 });
        }
        assert!(!reads(&one, 17, 1, 1) && !reads(&one, 17, 1, 2) && !reads(&other, 17, 1, 3));
        let pending = one.take_pending(9).pop().unwrap();
        one.share_page(pending.0, &pending.1, pending.2);
        assert!(other.apply(&vote(&one).unwrap()));
        assert!(reads(&other, 17, 1, 3));
    }

    #[test]
    fn the_oldest_votes_go_first() {
        let mut votes: Generations<u32, u32> = Generations::default();
        for key in 0..10 {
            *votes.get_or_insert(key, || 0, 4) += 1;
            *votes.get_or_insert(0, || 0, 4) += 1;
        }
        assert_eq!(*votes.get_or_insert(0, || 0, 4), 11);
        assert_eq!(*votes.get_or_insert(1, || 0, 4), 0);
        assert!(votes.young.len() + votes.old.len() <= 8);
    }
}
