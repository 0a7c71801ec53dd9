//! Titles that hits bring. A title is written to the file after its hit is folded; a crash may lose it, and the
//! page's next reader brings it again.
//!
//! Nearly every hit brings the title that its page has had for long. So a table, shared by all workers and read
//! without a lock, holds a hash of the title that each page gave last.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use rustc_hash::FxHashMap;

use super::lock;
use crate::change_feed::{TITLES_MAX, TitleQueue};
use crate::counter::vouching::Tags;
use crate::counter::{ChangedTitle, Day, PageAddress, PageTitle, SiteNumber};

/// Titles from hits, on their way to the file.
#[derive(Debug)]
pub struct NewTitles {
    pub queue: TitleQueue,
    /// For each slot, a hash of page, hour and title of the page that gave a title last.
    last: Box<[AtomicU64]>,
    /// Titles that too few networks have given today.
    candidates: Mutex<FxHashMap<(SiteNumber, PageAddress), Vec<Candidate>>>,
}

/// A title that too few networks have given.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub title: ChangedTitle,
    pub day: Day,
    /// Networks that have given it, and those whose votes are new.
    pub votes: usize,
    pub new: Tags,
    /// Its hash in the table.
    hash: u64,
}

/// Votes of a title that lacks some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// 0: the giver's network has no vote left.
    pub votes: usize,
    /// The giver's, if it is new.
    pub new: Tags,
}

/// A hash that strangers can't foresee, and that is another in each process: one title can't be made to have the votes
/// of another.
pub fn title_hash(of: impl Hash) -> u64 {
    static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYED.hash_one(of)
}

/// Candidates of a page.
const CANDIDATES_MAX: usize = 4;

/// Slots, a megabyte: pages that share one bring their titles more often than needed.
const SLOTS: usize = 1 << 17;

/// An unchanged title is taken again after this time, since another node may have had another one.
const TAKEN_AGAIN_MS: i64 = 60 * 60 * 1_000;

impl Default for NewTitles {
    fn default() -> Self {
        let last = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { queue: TitleQueue::default(), last, candidates: Mutex::default() }
    }
}

impl NewTitles {
    /// Takes a hit's title, unless its page gave the same one last. `link` is called for a title that is new, and
    /// `lacks_votes` gives its votes, unless they are enough.
    pub fn note(
        &self,
        (site, page, day): (SiteNumber, &PageAddress, Day),
        text: &str,
        link: &dyn Fn() -> Option<String>,
        given_ms: i64,
        lacks_votes: impl FnOnce(&ChangedTitle) -> Option<Lacking>,
    ) {
        let hash = title_hash((site, page.fingerprint(), given_ms / TAKEN_AGAIN_MS, text));
        let last = self.slot(site, page);
        // If the queue is full, the page's next reader brings the title again.
        if last.load(Ordering::Relaxed) == hash || self.queue.is_full() {
            return;
        }
        if let Some(title) = PageTitle::of(text) {
            let title = title.with_link(link().as_deref());
            let changed = ChangedTitle { site, page: page.clone(), title, given_ms };
            if let Some(Lacking { votes, new }) = lacks_votes(&changed) {
                if votes > 0 {
                    self.put_candidate(Candidate { title: changed, day, votes, new, hash });
                }
                return;
            }
            // Under the queue's lock, so that the slot belongs to the waiting title.
            self.queue.put_and(changed, || last.store(hash, Ordering::Relaxed));
        }
    }

    fn slot(&self, site: SiteNumber, page: &PageAddress) -> &AtomicU64 {
        &self.last[(page.fingerprint() as usize ^ site.0 as usize) % SLOTS]
    }

    /// Notes a candidate that turned out to be the page's title.
    pub fn confirm(&self, candidate: &Candidate) {
        self.slot(candidate.title.site, &candidate.title.page).store(candidate.hash, Ordering::Relaxed);
    }

    /// Puts a candidate beside the page's others of the day. One too many takes the place of one with fewer votes.
    pub fn put_candidate(&self, candidate: Candidate) {
        let mut candidates = lock(&self.candidates);
        let key = (candidate.title.site, candidate.title.page.clone());
        if candidates.len() >= TITLES_MAX && !candidates.contains_key(&key) {
            return;
        }
        let of_page = candidates.entry(key).or_default();
        if of_page.iter().any(|known| known.day > candidate.day) {
            return;
        }
        of_page.retain(|known| known.day == candidate.day);
        let title = candidate.title.title.as_str();
        if let Some(known) = of_page.iter_mut().find(|known| known.title.title.as_str() == title) {
            known.new.add_all(candidate.new);
            *known = Candidate { votes: known.votes.max(candidate.votes), new: known.new, ..candidate };
        } else if of_page.len() < CANDIDATES_MAX {
            of_page.push(candidate);
        } else if let Some(least) = of_page.iter_mut().rev().min_by_key(|known| known.votes)
            && least.votes < candidate.votes
        {
            *least = candidate;
        }
    }

    /// Takes the candidates of up to `limit` pages: of a page the one with most votes first, then the one given first.
    pub fn take_candidates(&self, limit: usize) -> Vec<Candidate> {
        let mut candidates = lock(&self.candidates);
        let keys: Vec<_> = candidates.keys().take(limit).cloned().collect();
        let mut taken = Vec::new();
        for mut of_page in keys.into_iter().filter_map(|key| candidates.remove(&key)) {
            of_page.sort_by_key(|candidate| std::cmp::Reverse(candidate.votes));
            taken.append(&mut of_page);
        }
        if candidates.is_empty() {
            // Its room too.
            *candidates = FxHashMap::default();
        }
        taken
    }

    /// True if titles wait for a fold.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty() || !lock(&self.candidates).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const SITE: SiteNumber = SiteNumber(1);
    const NOON: i64 = 1_718_600_400_000;

    fn page(number: usize) -> PageAddress {
        PageAddress::from_stored(&format!("/{number}"))
    }

    fn note(given: &NewTitles, page: &PageAddress, title: &str, given_ms: i64, has_votes: bool) {
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        given.note((SITE, page, day), title, &|| None, given_ms, |_| {
            (!has_votes).then_some(Lacking { votes: 1, new: Tags::default() })
        });
    }

    fn taken(given: &NewTitles) -> Vec<(String, i64)> {
        let taken = given.queue.take(usize::MAX).into_iter();
        taken.map(|changed| (changed.title.as_str().to_owned(), changed.given_ms)).collect()
    }

    #[test]
    fn the_latest_title_is_taken_and_one_that_is_known_is_not_taken_again() {
        let given = NewTitles::default();
        let page = page(1);
        let give = |title, given_ms| note(&given, &page, title, given_ms, true);
        give("Cũ", NOON);
        give("Mới", NOON + 1);
        give("Cũ", NOON + 2);
        assert_eq!(taken(&given), [("Cũ".to_owned(), NOON + 2)]);
        give("Cũ", NOON + 3);
        give(" ", NOON + 3);
        assert_eq!(taken(&given), []);
        give("Mới", NOON + 4);
        // Of two workers the one that was earlier may come later.
        give("Cũ", NOON + 3);
        assert_eq!(taken(&given), [("Mới".to_owned(), NOON + 4)]);
        give("Mới", NOON + TAKEN_AGAIN_MS);
        assert_eq!(taken(&given).len(), 1);
    }

    #[test]
    fn what_waits_is_bounded_and_what_finds_no_room_is_taken_later() {
        let given = NewTitles::default();
        for number in 0..=TITLES_MAX {
            note(&given, &page(number), "Tin", NOON, true);
        }
        assert_eq!(taken(&given).len(), TITLES_MAX);
        note(&given, &page(TITLES_MAX), "Tin", NOON, true);
        assert_eq!(taken(&given).len(), 1);
    }

    #[test]
    fn a_title_of_too_few_networks_waits_as_a_candidate_until_it_is_confirmed() {
        let (given, page) = (NewTitles::default(), page(1));
        note(&given, &page, "Tin", NOON, false);
        assert!(taken(&given).is_empty() && given.is_waiting());
        let candidates = given.take_candidates(9);
        assert_eq!(candidates.iter().map(|one| one.title.title.as_str()).collect::<Vec<_>>(), ["Tin"]);
        given.confirm(&candidates[0]);
        // It is the page's title: nobody votes for it for a while.
        note(&given, &page, "Tin", NOON, true);
        assert!(!given.is_waiting());
        note(&given, &page, "NHÀ CÁI", NOON, false);
        assert_eq!(given.take_candidates(9).len(), 1);
        note(&given, &page, "Tin", NOON, true);
        assert!(!given.is_waiting());
    }

    #[test]
    fn a_candidate_leaves_its_place_to_one_with_more_votes_alone() {
        let given = NewTitles::default();
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let put = |title: &str, votes, day: Day| {
            let lacking = Lacking { votes, new: Tags::default() };
            given.note((SITE, &page(1), day), title, &|| None, NOON, |_| Some(lacking));
        };
        let taken = || -> Vec<String> {
            let taken = given.take_candidates(9).into_iter();
            taken.map(|one| one.title.title.as_str().to_owned()).collect()
        };
        put("Tin", 1, day);
        (0..9).for_each(|number| put(&format!("NHÀ CÁI {number}"), 1, day));
        put("Mới", 2, day);
        assert_eq!(taken(), ["Mới", "Tin", "NHÀ CÁI 0", "NHÀ CÁI 1"]);
        put("không", 0, day);
        assert!(!given.is_waiting(), "its network has no vote left");
        put("Cũ", 2, day);
        put("Mới", 1, day.next());
        put("Cũ", 2, day);
        assert_eq!(taken(), ["Mới"]);
    }
}
