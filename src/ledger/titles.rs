//! What pages call themselves. A title is kept in the file behind its hit, when the hit is folded: a
//! crash may lose it, and the page's next reader brings it again.
//!
//! Nearly every hit brings the title that its page has had for long. So which title a page gave last is
//! remembered for all workers as a hash, in a table that is read without a lock.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::counter::{PageAddress, PageTitle, SiteNumber};

use super::store;

/// Titles that may wait; further ones are left to their pages' next readers.
const WAITING_MAX: usize = 10_000;

/// A page's title, and when it was given: of several the latest holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenTitle {
    pub title: PageTitle,
    /// Unix milliseconds.
    pub given_ms: i64,
}

/// A title with whose it is.
pub type PagesTitle = (SiteNumber, PageAddress, GivenTitle);

/// Titles on their way, to the file or to Redis.
#[derive(Debug, Default)]
pub struct Waiting {
    titles: Mutex<FxHashMap<(SiteNumber, PageAddress), GivenTitle>>,
    is_full: AtomicBool,
}

/// Titles that hits bring, on their way to the file.
#[derive(Debug)]
pub struct Given {
    waiting: Waiting,
    /// A hash of page, hour and title, for the page that gave one last of those that share the place.
    last: Box<[AtomicU64]>,
}

/// Places, a megabyte: pages that share one bring their titles more often than they must.
const PLACES: usize = 1 << 17;

/// A title is taken again so long after it was taken: another node may have had another one since.
const TAKEN_AGAIN_MS: i64 = 60 * 60 * 1_000;

impl Default for Given {
    fn default() -> Self {
        Self { waiting: Waiting::default(), last: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Given {
    /// Takes a hit's title, unless its page gave the very same last.
    pub fn give(&self, site: SiteNumber, page: &PageAddress, text: &str, given_ms: i64) {
        let seen = FxBuildHasher.hash_one((site, page.fingerprint(), given_ms / TAKEN_AGAIN_MS, text));
        #[expect(clippy::indexing_slicing, reason = "the remainder is less than their number")]
        let last = &self.last[(page.fingerprint() as usize ^ site.0 as usize) % PLACES];
        // Where too many wait, the page's next reader brings it.
        if last.load(Ordering::Relaxed) == seen || self.waiting.is_full.load(Ordering::Relaxed) {
            return;
        }
        if let Some(title) = PageTitle::of(text) {
            let given = GivenTitle { title, given_ms };
            // Under the lock, so that the place tells of the title that waits.
            self.waiting.put_and((site, page.clone(), given), || last.store(seen, Ordering::Relaxed));
        }
    }

    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }
}

impl Waiting {
    pub fn put(&self, title: PagesTitle) {
        self.put_and(title, || ());
    }

    /// Takes a title, and does something with it while nobody takes another. Of those of one page the
    /// latest stays.
    fn put_and(&self, (site, page, given): PagesTitle, then: impl FnOnce()) {
        let mut waiting = self.lock();
        let key = (site, page);
        let is_taken = match waiting.get(&key) {
            Some(known) => known.given_ms <= given.given_ms,
            None => waiting.len() < WAITING_MAX,
        };
        if is_taken {
            waiting.insert(key, given);
            then();
        }
        self.is_full.store(waiting.len() >= WAITING_MAX, Ordering::Relaxed);
    }

    pub fn take(&self, limit: usize) -> Vec<PagesTitle> {
        if limit == 0 {
            return Vec::new();
        }
        let mut waiting = self.lock();
        let keys: Vec<_> = waiting.keys().take(limit).cloned().collect();
        let taken = keys
            .into_iter()
            .filter_map(|key| waiting.remove(&key).map(|given| (key, given)))
            .map(|((site, page), given)| (site, page, given))
            .collect();
        self.is_full.store(waiting.len() >= WAITING_MAX, Ordering::Relaxed);
        taken
    }

    pub fn get(&self, site: SiteNumber, page: &PageAddress) -> Option<GivenTitle> {
        self.lock().get(&(site, page.clone())).cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<(SiteNumber, PageAddress), GivenTitle>> {
        self.titles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Titles that a transaction writes; they wait again if it comes to nothing.
#[derive(Debug)]
pub struct Taken {
    from: Arc<Given>,
    titles: Vec<PagesTitle>,
}

impl Taken {
    pub fn new(from: &Arc<Given>, limit: usize) -> Self {
        Self { from: Arc::clone(from), titles: from.waiting.take(limit) }
    }

    pub fn titles(&self) -> &[PagesTitle] {
        &self.titles
    }

    /// All but these, which go on waiting.
    pub fn are_on_disk_but(&mut self, homeless: Vec<PagesTitle>) {
        self.titles = homeless;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.titles.drain(..).for_each(|title| self.from.waiting.put(title));
    }
}

/// Keeps a title. False: its page has no number yet, so none of its hits are folded.
pub fn write(connection: &Connection, (site, page, given): &PagesTitle) -> rusqlite::Result<bool> {
    let Some(number) = store::find_page(connection, *site, page)? else { return Ok(false) };
    connection
        .prepare_cached(
            "INSERT INTO titles (page, title, given) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET title = excluded.title, given = excluded.given WHERE excluded.given > given",
        )?
        .execute(params![number, given.title.as_str(), given.given_ms])?;
    Ok(true)
}

/// The titles of these pages.
pub fn read(
    connection: &Connection,
    site: SiteNumber,
    pages: &[PageAddress],
) -> rusqlite::Result<Vec<Option<GivenTitle>>> {
    let mut find = connection.prepare_cached("SELECT title, given FROM titles WHERE page = ?")?;
    let mut titles = Vec::with_capacity(pages.len());
    for page in pages {
        let number = store::find_page(connection, site, page)?;
        let found = match number {
            None => None,
            Some(number) => find.query_row([number], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).optional()?,
        };
        titles.push(
            found.and_then(|(title, given_ms)| PageTitle::of(&title).map(|title| GivenTitle { title, given_ms })),
        );
    }
    Ok(titles)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SiteNumber = SiteNumber(1);
    const NOON: i64 = 1_718_600_400_000;

    fn page(number: usize) -> PageAddress {
        PageAddress::from_stored(&format!("/{number}"))
    }

    fn taken(given: &Given) -> Vec<(String, i64)> {
        let taken = given.waiting().take(usize::MAX).into_iter();
        taken.map(|(_, _, given)| (given.title.as_str().to_owned(), given.given_ms)).collect()
    }

    #[test]
    fn the_latest_title_is_taken_and_one_that_is_known_is_not_taken_again() {
        let given = Given::default();
        let page = page(1);
        let give = |title, given_ms| given.give(SITE, &page, title, given_ms);
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
        let given = Given::default();
        for number in 0..=WAITING_MAX {
            given.give(SITE, &page(number), "Tin", NOON);
        }
        assert_eq!(taken(&given).len(), WAITING_MAX);
        given.give(SITE, &page(WAITING_MAX), "Tin", NOON);
        assert_eq!(taken(&given).len(), 1);
    }

    #[test]
    fn titles_of_a_transaction_that_came_to_nothing_wait_again() {
        let given = Arc::<Given>::default();
        (1..=3).for_each(|number| given.give(SITE, &page(number), "Tin", NOON));
        drop(Taken::new(&given, 2));
        assert_eq!(given.waiting().lock().len(), 3);
        let mut taken = Taken::new(&given, 2);
        let homeless = taken.titles()[..1].to_vec();
        taken.are_on_disk_but(homeless);
        drop(taken);
        assert_eq!(given.waiting().lock().len(), 2);
    }

    #[test]
    fn a_title_that_is_put_back_gives_way_to_a_later_one() {
        let waiting = Waiting::default();
        let title = |text, given_ms| (SITE, page(1), GivenTitle { title: PageTitle::of(text).unwrap(), given_ms });
        waiting.put(title("Mới", NOON + 1));
        waiting.put(title("Cũ", NOON));
        assert_eq!(waiting.get(SITE, &page(1)).unwrap().title.as_str(), "Mới");
    }
}
