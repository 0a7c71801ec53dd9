//! What pages call themselves. A title is kept in the file behind its hit, when the hit is folded: a
//! crash may lose it, and the page's next reader brings it again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};
use rustc_hash::FxHashMap;

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
pub struct Waiting(Mutex<FxHashMap<(SiteNumber, PageAddress), GivenTitle>>);

impl Waiting {
    pub fn put(&self, (site, page, given): PagesTitle) {
        let mut waiting = self.lock();
        let key = (site, page);
        if waiting.len() < WAITING_MAX || waiting.contains_key(&key) {
            waiting.insert(key, given);
        }
    }

    pub fn take(&self, limit: usize) -> Vec<PagesTitle> {
        let mut waiting = self.lock();
        let keys: Vec<_> = waiting.keys().take(limit).cloned().collect();
        keys.into_iter()
            .filter_map(|key| waiting.remove(&key).map(|given| (key, given)))
            .map(|((site, page), given)| (site, page, given))
            .collect()
    }

    pub fn get(&self, site: SiteNumber, page: &PageAddress) -> Option<GivenTitle> {
        self.lock().get(&(site, page.clone())).cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<(SiteNumber, PageAddress), GivenTitle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
