//! Votes of the networks that read pages, and the pages that wait to be vouched for.
//!
//! A hit leaves its network's tag here. The next fold writes the tags and vouches: the file alone decides which pages
//! are vouched for, so a vote of a page that already is costs memory and nothing else.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use super::lock;
use super::site_networks::SiteNetworks;
use super::titles::{Lacking, title_hash};
use crate::counter::vouching::{NetworkTag, PAGES_OF_NETWORK_MAX, Subject, Tags, Vote};
use crate::counter::{BySite, ChangedTitle, Day, PageAddress, SiteNumber};
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
    /// Other nodes have votes too.
    is_shared: bool,
    /// By site and a hash of the subject.
    votes: Generations<(SiteNumber, u64), (Day, Tags)>,
    sites: BySite<SiteNetworks>,
    /// Tags of sites that the file lacks.
    unwritten: FxHashMap<(SiteNumber, Day), Tags>,
    /// New pages and titles of each network's tag.
    spent: FxHashMap<(SiteNumber, NetworkTag), Spent>,
    pending: FxHashMap<(SiteNumber, PageAddress), Pending>,
    unshared: FxHashMap<(SiteNumber, Day, u64), Vote>,
    /// Sites whose votes go first: those of their pages depend on the answer.
    unshared_sites: FxHashSet<(SiteNumber, Day)>,
    /// Pages that were vouched for by their days: the next title may be theirs.
    nameless: FxHashSet<(SiteNumber, u64)>,
}

/// New pages and titles for which a network has voted.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    pages: u16,
    titles: u16,
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
    fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn get_or_insert(&mut self, key: K, value: impl FnOnce() -> V, max: usize) -> &mut V {
        if self.young.len() >= max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_else(value))
    }

    fn retain(&mut self, mut is_kept: impl FnMut(&K, &V) -> bool) {
        for entries in [&mut self.young, &mut self.old] {
            entries.retain(|key, value| is_kept(key, value));
            entries.shrink_to_fit();
        }
    }
}

impl State {
    /// The site on its newest day.
    fn site(&mut self, site: SiteNumber, day: Day) -> &mut SiteNetworks {
        let networks = self.sites.get_or_insert_with(site, || SiteNetworks::new(day));
        networks.advance(day);
        networks
    }

    /// Networks that must read a page of the site now.
    fn needed(&mut self, site: SiteNumber, day: Day) -> usize {
        let is_shared = self.is_shared;
        self.site(site, day).needed(is_shared, Instant::now())
    }

    /// As `needed`, for a reader; asks the other nodes unless their answer is known.
    fn needed_of(&mut self, site: SiteNumber, day: Day, wanted: u8) -> usize {
        let (is_shared, now) = (self.is_shared, Instant::now());
        let networks = self.site(site, day);
        networks.note_wanted(wanted);
        let needed = networks.needed(is_shared, now);
        if is_shared && networks.day == day && networks.must_ask(now) {
            networks.note_asked(now);
            self.unshared_sites.insert((site, day));
        }
        needed
    }

    fn tags(&self, site: SiteNumber, day: Day, subject: u64) -> Tags {
        self.votes.get(&(site, subject)).filter(|(of, _)| *of == day).map(|(_, tags)| *tags).unwrap_or_default()
    }

    /// Adds tags, and gives all.
    fn add_tags(&mut self, site: SiteNumber, day: Day, subject: u64, new: Tags) -> Tags {
        if new.is_empty() {
            return self.tags(site, day, subject);
        }
        let (of, tags) = self.votes.get_or_insert((site, subject), || (day, Tags::default()), VOTES_MAX);
        if *of != day {
            (*of, *tags) = (day, Tags::default());
        }
        tags.add_all(new);
        *tags
    }

    /// Adds a network to the site's.
    fn note_site(&mut self, site: SiteNumber, day: Day, tag: NetworkTag, wanted: u8) {
        let networks = self.site(site, day);
        if networks.day != day || networks.today.len() >= usize::from(wanted) || !networks.today.add(tag) {
            return;
        }
        self.unwritten.entry((site, day)).or_default().add(tag);
        if self.is_shared {
            self.unshared_sites.insert((site, day));
        }
    }

    /// A network may vote for so many new pages a day, and for as many titles.
    fn takes(&mut self, site: SiteNumber, tag: NetworkTag, of: fn(&mut Spent) -> &mut u16) -> bool {
        if self.spent.len() >= NETWORKS_MAX {
            self.spent.clear();
        }
        let spent = of(self.spent.entry((site, tag)).or_default());
        let takes = *spent < PAGES_OF_NETWORK_MAX;
        *spent += u16::from(takes);
        takes
    }

    /// The networks have brought nothing new.
    fn give_back(&mut self, site: SiteNumber, tags: Tags, of: fn(&mut Spent) -> &mut u16) {
        for tag in tags.iter() {
            if let Some(spent) = self.spent.get_mut(&(site, tag)).map(of) {
                *spent = spent.saturating_sub(1);
            }
        }
    }

    /// Takes a network's vote for a page or title, unless enough have voted. Returns all tags and the new one.
    fn vote(
        &mut self,
        (site, day, subject): (SiteNumber, Day, u64),
        tag: Option<NetworkTag>,
        needed: usize,
        of: fn(&mut Spent) -> &mut u16,
    ) -> (Tags, Tags) {
        let known = self.tags(site, day, subject);
        let new = tag.filter(|tag| known.len() < needed && !known.contains(*tag));
        let new: Tags = new.filter(|tag| self.takes(site, *tag, of)).into_iter().collect();
        (self.add_tags(site, day, subject, new), new)
    }

    fn share(&mut self, vote: Vote) {
        if vote.subject == Subject::Site {
            self.unshared_sites.insert((vote.site, vote.day));
            return;
        }
        let key = (vote.site, vote.day, hash_of(&vote.subject));
        if self.unshared.len() < UNSHARED_MAX || self.unshared.contains_key(&key) {
            self.unshared.insert(key, vote);
        }
    }

    /// The site's vote of a day; none of a former one.
    fn site_vote(&mut self, site: SiteNumber, day: Day) -> Option<Vote> {
        let networks = self.sites.get(site).filter(|networks| networks.day == day)?;
        Some(Vote { site, day, subject: Subject::Site, tags: networks.today, before: networks.yesterday })
    }

    /// A page that waits, by what is needed now: other nodes may have answered.
    fn judged(&mut self, site: SiteNumber, page: &PageAddress, pending: Pending) -> Pending {
        if pending.is_vouched {
            return pending;
        }
        let needed = self.needed(site, pending.day);
        let is_vouched = self.tags(site, pending.day, page.fingerprint()).len() >= needed;
        Pending { needed, is_vouched, ..pending }
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
        Subject::Title(page, title, _) => title_hash((page.fingerprint(), title.as_str())),
    }
}

impl Vouching {
    /// `is_shared`: other nodes have votes too.
    pub fn new(is_shared: bool) -> Self {
        Self(Mutex::new(State { is_shared, ..State::default() }))
    }

    /// Votes that the file holds.
    pub fn load(&self, known: Vec<KnownTags>) {
        let mut state = lock(&self.0);
        for KnownTags { site, day, page, tags } in known {
            match page {
                // In the order of days.
                None => state.site(site, day).today.add_all(tags),
                Some(page) => drop(state.add_tags(site, day, page.fingerprint(), tags)),
            }
        }
    }

    /// Forgets the votes of these sites' days, which are over.
    pub fn forget_days(&self, over: &[(SiteNumber, Day)]) {
        let days: FxHashSet<_> = over.iter().copied().collect();
        let sites: FxHashSet<_> = over.iter().map(|(site, _)| *site).collect();
        let mut state = lock(&self.0);
        state.votes.retain(|(site, _), (day, _)| !days.contains(&(*site, *day)));
        // Tags are of a day's salt, so those of a day that is over spend nothing any more.
        state.spent.retain(|(site, _), _| !sites.contains(site));
        state.spent.shrink_to_fit();
    }

    /// Takes a hit's vote at a site that asks for several networks. `page`: none if it is vouched for.
    pub fn note(&self, site: SiteNumber, day: Day, page: Option<&PageAddress>, reading: Reading) -> Noted {
        let Reading { tag, wanted } = reading;
        let mut state = lock(&self.0);
        if let Some(tag) = tag {
            state.note_site(site, day, tag, wanted);
        }
        let is_site_full = state.site(site, day).today.len() >= usize::from(wanted);
        let Some(page) = page else { return Noted { is_vouched: true, is_site_full } };
        let needed = state.needed_of(site, day, wanted);
        let (votes, new) = state.vote((site, day, page.fingerprint()), tag, needed, |spent| &mut spent.pages);
        let is_enough = votes.len() >= needed;
        let pending = Pending { day, tags: new, needed, is_vouched: is_enough, is_new: false, folds: 0 };
        let is_taken = (is_enough || !new.is_empty()) && state.pend(site, page, pending);
        Noted { is_vouched: is_enough && is_taken, is_site_full }
    }

    /// Notes a page that is vouched for elsewhere; the next fold vouches for it here.
    pub fn note_known(&self, site: SiteNumber, day: Day, page: &PageAddress) {
        let pending = Pending { day, tags: Tags::default(), needed: 1, is_vouched: true, is_new: false, folds: 0 };
        lock(&self.0).pend(site, page, pending);
    }

    /// True if the next fold vouches for the page.
    pub fn is_pending(&self, site: SiteNumber, page: &PageAddress) -> bool {
        let mut state = lock(&self.0);
        let pending = state.pending.get(&(site, page.clone())).copied();
        pending.is_some_and(|pending| state.judged(site, page, pending).is_vouched)
    }

    /// A page that a fold has taken, by what is needed now.
    pub fn judged(&self, site: SiteNumber, page: &PageAddress, pending: Pending) -> Pending {
        lock(&self.0).judged(site, page, pending)
    }

    /// Notes that a fold vouches for a page which waits.
    pub fn note_new(&self, site: SiteNumber, page: &PageAddress) {
        if let Some(pending) = lock(&self.0).pending.get_mut(&(site, page.clone())) {
            pending.is_new = true;
        }
    }

    /// The tags of a page on a day.
    pub fn tags(&self, site: SiteNumber, day: Day, page: &PageAddress) -> Tags {
        lock(&self.0).tags(site, day, page.fingerprint())
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
        let taken = taken.collect();
        if state.pending.is_empty() {
            // Its room too.
            state.pending = FxHashMap::default();
        }
        taken
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
        lock(&self.0).give_back(site, tags, |spent| &mut spent.pages);
    }

    /// A title turned out to be its page's: its networks have brought nothing.
    pub fn settle_title(&self, site: SiteNumber, tags: Tags) {
        lock(&self.0).give_back(site, tags, |spent| &mut spent.titles);
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
        let tags = state.tags(site, pending.day, page.fingerprint());
        state.share(Vote { site, day: pending.day, subject: Subject::Page(page.clone()), tags, before: 0 });
    }

    /// Takes a network's vote for a title. None: enough have given it.
    pub fn vote_for_title(&self, title: &ChangedTitle, day: Day, reading: Reading) -> Option<Lacking> {
        let Reading { tag, wanted } = reading;
        if wanted <= 1 {
            return None;
        }
        let mut state = lock(&self.0);
        let site = title.site;
        let needed = state.needed_of(site, day, wanted);
        let subject = title_hash((title.page.fingerprint(), title.title.as_str()));
        let (votes, new) = state.vote((site, day, subject), tag, needed, |spent| &mut spent.titles);
        if votes.len() >= needed {
            state.give_back(site, new, |spent| &mut spent.titles);
            return None;
        }
        let counts = tag.is_some_and(|tag| votes.contains(tag));
        Some(Lacking { votes: if counts { votes.len() } else { 0 }, new })
    }

    /// True if enough networks have given a title by now.
    pub fn has_votes(&self, title: &ChangedTitle, day: Day) -> bool {
        let mut state = lock(&self.0);
        let needed = state.needed(title.site, day);
        state.tags(title.site, day, title_hash((title.page.fingerprint(), title.title.as_str()))).len() >= needed
    }

    /// Shares the votes for a title.
    pub fn share_title(&self, title: &ChangedTitle, day: Day) {
        let ChangedTitle { site, page, title, given_ms } = title.clone();
        let mut state = lock(&self.0);
        let subject = Subject::Title(page, title, given_ms);
        let tags = state.tags(site, day, hash_of(&subject));
        state.share(Vote { site, day, subject, tags, before: 0 });
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

    /// Takes up to `limit` votes that other nodes may lack, those of sites first.
    pub fn take_unshared(&self, limit: usize) -> Vec<Vote> {
        let mut state = lock(&self.0);
        let sites: Vec<_> = state.unshared_sites.iter().take(limit).copied().collect();
        let mut votes = Vec::new();
        for (site, day) in sites {
            state.unshared_sites.remove(&(site, day));
            votes.extend(state.site_vote(site, day));
        }
        let keys: Vec<_> = state.unshared.keys().take(limit - votes.len()).copied().collect();
        votes.extend(keys.into_iter().filter_map(|key| state.unshared.remove(&key)));
        if state.unshared.is_empty() {
            // Its room too.
            state.unshared = FxHashMap::default();
        }
        votes
    }

    /// Puts votes back that couldn't be shared.
    pub fn put_back_unshared(&self, votes: Vec<Vote>) {
        let mut state = lock(&self.0);
        votes.into_iter().for_each(|vote| state.share(vote));
    }

    /// Adds the tags of other nodes. True: enough, by what is needed now.
    pub fn apply(&self, vote: &Vote) -> bool {
        let mut state = lock(&self.0);
        if vote.subject == Subject::Site {
            let networks = state.site(vote.site, vote.day);
            if networks.day == vote.day {
                networks.learn(vote.tags, vote.before, Instant::now());
            }
            return false;
        }
        let needed = state.needed(vote.site, vote.day);
        state.add_tags(vote.site, vote.day, hash_of(&vote.subject), vote.tags).len() >= needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::PageTitle;

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
        vouching.note(SITE, day(of), Some(&page(number)), reading(network)).is_vouched
    }

    /// Networks that read vouched pages.
    fn read_by<const NETWORKS: usize>(vouching: &Vouching, networks: [u32; NETWORKS]) {
        for network in networks {
            vouching.note(SITE, day(17), None, reading(network));
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
    fn votes_of_days_that_are_over_take_no_memory() {
        let vouching = Vouching::new(false);
        for number in 0..1_000 {
            vouching.note(SITE, day(16), Some(&page(number)), reading(1));
        }
        vouching.note(SITE, day(17), Some(&page(0)), reading(2));
        vouching.forget_days(&[(SITE, day(16))]);
        let state = lock(&vouching.0);
        assert_eq!((state.votes.young.len(), state.votes.old.len(), state.spent.len()), (1, 0, 0));
        assert!(state.votes.young.capacity() < 100);
        assert_eq!(state.tags(SITE, day(17), page(0).fingerprint()).len(), 1);
    }

    #[test]
    fn a_site_is_full_once_it_has_the_networks_it_asks_for() {
        let vouching = Vouching::new(true);
        let is_full = |network| vouching.note(SITE, day(17), None, reading(network)).is_site_full;
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
        (0..=PENDING_MAX).for_each(|number| vouching.note_known(SITE, day(17), &page(number)));
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
    fn a_title_that_was_made_to_collide_has_no_vote_of_another() {
        use std::hash::BuildHasher as _;
        let honest = "Quyết định về việc công bố thủ tục hành chính";
        let forged = "NHÀ CÁI 88 - VÀO NGAY casino88.example ......tlIENTRvbD3vp29o3jchiR17ECPzmzGw9T{Ce+aM$]V[YJNW";
        let fast = rustc_hash::FxBuildHasher;
        assert_eq!(fast.hash_one(honest), fast.hash_one(forged));
        let vouching = Vouching::default();
        read_by(&vouching, [1, 2, 3]);
        let names = |title: &str, network| {
            let title = PageTitle::of(title).unwrap();
            let title = ChangedTitle { site: SITE, page: page(1), title, given_ms: 1 };
            vouching.vote_for_title(&title, day(17), reading(network)).is_none()
        };
        assert!(!names(honest, 1) && !names(honest, 2) && !names(forged, 9) && names(honest, 3));
    }

    #[test]
    fn a_network_without_votes_left_leaves_nothing_behind() {
        let vouching = Vouching::default();
        read_by(&vouching, [1, 2, 3]);
        let most = usize::from(PAGES_OF_NETWORK_MAX);
        let invents = |number| {
            let title = PageTitle::of(&format!("Tin {number}")).unwrap();
            let title = ChangedTitle { site: SITE, page: page(1), title, given_ms: 1 };
            vouching.vote_for_title(&title, day(17), reading(9)).map(|lacking| lacking.votes)
        };
        for number in 0..2 * most {
            reads(&vouching, 17, number, 9);
            assert_eq!(invents(number), Some(usize::from(number < most)));
        }
        assert_eq!(invents(0), Some(1), "a vote that it has given counts on");
        assert_eq!(lock(&vouching.0).votes.young.len(), 2 * most);
        // A title that its page has costs nothing.
        vouching.settle_title(SITE, Tags::from_iter(NetworkTag::from_number(9)));
        assert_eq!([most, most + 1].map(invents), [Some(1), Some(0)]);
    }

    #[test]
    fn a_node_without_readers_waits_for_the_others_networks_and_judges_again() {
        let vouching = Vouching::new(true);
        assert!(!reads(&vouching, 17, 1, 9) && !vouching.is_pending(SITE, &page(1)));
        let title = ChangedTitle { site: SITE, page: page(1), title: PageTitle::of("Tin").unwrap(), given_ms: 1 };
        assert!(vouching.vote_for_title(&title, day(17), reading(9)).is_some());
        let asked = vouching.take_unshared(9).pop().unwrap();
        assert_eq!((&asked.subject, asked.tags.len()), (&Subject::Site, 1));
        assert!(!vouching.has_votes(&title, day(17)));
        // Alone among all nodes: an office.
        vouching.apply(&asked);
        assert!(vouching.is_pending(SITE, &page(1)) && vouching.has_votes(&title, day(17)));
        let (site, page_1, pending) = vouching.take_pending(9).pop().unwrap();
        assert!(!pending.is_vouched && vouching.judged(site, &page_1, pending).is_vouched);
        // Others have read the site elsewhere.
        let tags = [1, 2].into_iter().filter_map(NetworkTag::from_number).collect();
        vouching.apply(&Vote { tags, ..asked });
        assert!(!vouching.judged(site, &page_1, pending).is_vouched && !vouching.has_votes(&title, day(17)));
    }

    #[test]
    fn tags_of_other_nodes_count_too() {
        let (one, other) = (Vouching::new(true), Vouching::new(true));
        let vote = |vouching: &Vouching| {
            let votes = vouching.take_unshared(9);
            votes.into_iter().find(|vote| vote.subject == Subject::Page(page(1)))
        };
        for (vouching, networks) in [(&one, [1, 2]), (&other, [3, 4])] {
            // Each knows networks of the site that the other doesn't.
            read_by(vouching, networks);
            let tags = Tags::from_iter(NetworkTag::from_number(9));
            vouching.apply(&Vote { site: SITE, day: day(17), subject: Subject::Site, tags, before: 4 });
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
