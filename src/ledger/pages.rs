//! Pages' counts, for those who show them: `counts`, and to the last hit what it lacks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::counter::page_cap::Excess;
use crate::counter::{ClientPrefix, Day, Known, PageAddress, Period, Register, RegisteredSite, SiteNumber, Source};

use super::admission::Ruling;
use super::hand_over::NotDurable;
use super::store::{self, SiteCount};
use super::tail::{Tail, Unfolded};
use super::titles::{self, GivenTitle, PagesTitle};
use super::{Ledger, reader};

/// Pages in a list of the most read, at most.
pub const TOP_MAX: usize = 100;

/// A list may be shown as long as it took to make, times this: making them takes a tenth of a
/// thread at most, however many pages there are.
const TOP_AGE_FACTOR: u32 = 10;
const TOP_AGE_MIN: Duration = Duration::from_secs(1);
/// Lists that are kept.
const TOPS_MAX: usize = 500;

/// A tail that is soon looked through for pages that are in no count yet.
const TAIL_MAX: usize = 4_096;

/// Looks at the tail that may find it moved on before the file's word alone is taken.
const LOOKS_MAX: u32 = 20;
const LOOK_INTERVAL: Duration = Duration::from_micros(200);

/// The most read pages of a site's periods, by their addresses.
#[derive(Debug, Default)]
pub struct Tops(Mutex<HashMap<(SiteNumber, Period), Top>>);

#[derive(Debug, Clone)]
struct Top {
    pages: Arc<Vec<PageAddress>>,
    good_until: Instant,
}

impl Tops {
    fn get(&self, key: (SiteNumber, Period)) -> Option<Arc<Vec<PageAddress>>> {
        let tops = self.lock();
        let top = tops.get(&key).filter(|top| top.good_until > Instant::now())?;
        Some(Arc::clone(&top.pages))
    }

    fn put(&self, key: (SiteNumber, Period), pages: Arc<Vec<PageAddress>>, took: Duration) {
        let now = Instant::now();
        let mut tops = self.lock();
        if tops.len() >= TOPS_MAX {
            tops.retain(|_, top| top.good_until > now);
        }
        if tops.len() < TOPS_MAX {
            tops.insert(key, Top { pages, good_until: now + (took * TOP_AGE_FACTOR).max(TOP_AGE_MIN) });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(SiteNumber, Period), Top>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// What this node knows of each page in each period: all periods of the first page, and so on.
    pub async fn page_counts(
        &self,
        site: SiteNumber,
        pages: Vec<PageAddress>,
        periods: Vec<Period>,
    ) -> Result<Vec<Known>, NotDurable> {
        let (tail, run) = (Arc::clone(&self.tail), self.run.clone());
        self.queries
            .read(move |connection| {
                let places: Vec<_> =
                    pages.iter().flat_map(|page| periods.iter().map(move |period| (page, *period))).collect();
                let read = |connection: &Connection| counts_of_pages(connection, site, &pages, &periods);
                let join = |counts: Vec<Vec<SiteCount>>, unfolded: Option<&Unfolded>| -> Vec<Known> {
                    let lacking = |(page, period)| unfolded.map_or(0, |unfolded| unfolded.hits(site, page, period));
                    let counts = counts.into_iter().zip(&places);
                    counts.map(|(counts, place)| known(counts, &run, lacking(*place))).collect()
                };
                consistently(connection, &tail, read, join)
            })
            .await
    }

    /// The pages that this node has counted most hits of in a period, the most read first.
    pub async fn top_pages(&self, site: SiteNumber, period: Period) -> Result<Arc<Vec<PageAddress>>, NotDurable> {
        if let Some(pages) = self.tops.get((site, period)) {
            return Ok(pages);
        }
        let (tail, tops) = (Arc::clone(&self.tail), Arc::clone(&self.tops));
        self.queries
            .read(move |connection| {
                // Another who waited before may have asked the same.
                if let Some(pages) = tops.get((site, period)) {
                    return Ok(pages);
                }
                let begun = Instant::now();
                let mut pages = most_read(connection, site, period)?;
                let mark = store::read_fold_mark(connection)?;
                let newest = tail.look(mark, |unfolded| unfolded.pages(site, period, TAIL_MAX)).unwrap_or_default();
                let counted: std::collections::HashSet<_> = pages.iter().cloned().collect();
                let newest = newest.into_iter().filter(|page| !page.is_other() && !counted.contains(page));
                pages.extend(newest.take(TOP_MAX));
                let pages = Arc::new(pages);
                tops.put((site, period), Arc::clone(&pages), begun.elapsed());
                Ok(pages)
            })
            .await
    }

    /// What this node knows of each of the site's own periods; nothing is brought into memory.
    pub async fn site_counts(&self, site: SiteNumber, periods: &[Period]) -> Result<Vec<Known>, NotDurable> {
        let live = self.live.get(site);
        let in_memory: Vec<_> =
            periods.iter().map(|period| live.as_ref().and_then(|live| live.known(*period, &self.run))).collect();
        let on_file: Vec<_> =
            periods.iter().zip(&in_memory).filter(|(_, known)| known.is_none()).map(|(period, _)| *period).collect();
        let read = if on_file.is_empty() {
            Vec::new()
        } else {
            let run = self.run.clone();
            let read = move |connection: &Connection| -> rusqlite::Result<Vec<Known>> {
                on_file
                    .iter()
                    .map(|period| Ok(known(store::site_counts(connection, site, *period)?, &run, 0)))
                    .collect()
            };
            self.queries.read(read).await?
        };
        let mut read = read.into_iter();
        Ok(in_memory.into_iter().map(|known| known.or_else(|| read.next()).unwrap_or_default()).collect())
    }

    /// Decides under which address a hit's page is counted: its own, or, of one page too many, that
    /// of the others; then it says why. `elsewhere` is asked whether other nodes know a page that this
    /// one doesn't, before it is one too many; none: that can't be found out now.
    pub async fn admit(
        &self,
        site: &RegisteredSite,
        day: Day,
        page: &PageAddress,
        client: Option<ClientPrefix>,
        elsewhere: impl AsyncFnOnce() -> Option<bool>,
    ) -> Option<Excess> {
        let cap = site.site.page_cap;
        let number = site.number;
        loop {
            match self.admission.rule(number, day, page, client, cap) {
                Ruling::Counts => return None,
                Ruling::Read => {
                    let limit = cap;
                    let read =
                        self.queries.read(move |connection| reader::pages_of_day(connection, number, day, limit));
                    // Where it can't be read, the day has what the node has seen of it.
                    let pages = read.await.unwrap_or_default();
                    self.admission.had(number, day, pages.iter().map(PageAddress::fingerprint));
                }
                Ruling::IfKnown(excess) => {
                    let is_known = match self.is_known(number, page.clone()).await {
                        Some(false) => elsewhere().await,
                        known => known,
                    };
                    match is_known {
                        Some(true) => {
                            self.admission.note(number, day, page);
                            return None;
                        }
                        None if self.admission.admit_unknowable(number, day, page, cap) => return None,
                        _ => {}
                    }
                    self.metrics.other_page_hits_total.with_label_values(&[excess.as_str()]).inc();
                    return Some(excess);
                }
            }
        }
    }

    /// Whether a page has been counted before; none under such a load that nobody can tell.
    async fn is_known(&self, site: SiteNumber, page: PageAddress) -> Option<bool> {
        let tail = Arc::clone(&self.tail);
        // In this order: what is being folded is in one or the other.
        let look = move |connection: &Connection| {
            Ok(tail.has(site, &page) || store::find_page(connection, site, &page)?.is_some())
        };
        self.queries.read(look).await.ok()
    }

    /// Takes a title that a page gave with its hit.
    pub fn titled(&self, site: SiteNumber, page: &PageAddress, title: &str, given_ms: i64) {
        self.titles.give(site, page, title, given_ms);
    }

    pub async fn titles(
        &self,
        site: SiteNumber,
        pages: Vec<PageAddress>,
    ) -> Result<Vec<Option<GivenTitle>>, NotDurable> {
        // What waits for its hit to be folded is newer than what is on file.
        let waiting: Vec<_> = pages.iter().map(|page| self.titles.waiting().get(site, page)).collect();
        let on_file = self.queries.read(move |connection| titles::read(connection, site, &pages)).await?;
        Ok(waiting.into_iter().zip(on_file).map(|(waiting, on_file)| waiting.or(on_file)).collect())
    }

    /// Titles that Redis may not have.
    pub fn take_changed_titles(&self, limit: usize) -> Vec<PagesTitle> {
        self.outbox.titles().take(limit)
    }

    /// Redis was found to lack a title.
    pub fn title_lacks(&self, title: PagesTitle) {
        self.outbox.title_changed(title);
    }
}

/// Reads the file, and the tail as of the same moment.
fn consistently<R, T>(
    connection: &Connection,
    tail: &Tail,
    read: impl Fn(&Connection) -> rusqlite::Result<R>,
    join: impl FnOnce(R, Option<&Unfolded>) -> T,
) -> rusqlite::Result<T> {
    let mut join = Some(join);
    let mut tries = 0;
    loop {
        let transaction = connection.unchecked_transaction()?;
        let mark = store::read_fold_mark(&transaction)?;
        let mut found = Some(read(&transaction)?);
        drop(transaction);
        let joined = tail.look(mark, |unfolded| Some(join.take()?(found.take()?, Some(unfolded))));
        if let Some(Some(joined)) = joined {
            return Ok(joined);
        }
        tries += 1;
        if tries == LOOKS_MAX
            && let (Some(join), Some(found)) = (join.take(), found)
        {
            // Behind by what is being folded: too few is better than twice.
            return Ok(join(found, None));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

fn counts_of_pages(
    connection: &Connection,
    site: SiteNumber,
    pages: &[PageAddress],
    periods: &[Period],
) -> rusqlite::Result<Vec<Vec<SiteCount>>> {
    let mut counts = Vec::with_capacity(pages.len() * periods.len());
    for page in pages {
        let number = store::find_page(connection, site, page)?;
        for period in periods {
            counts.push(match number {
                None => Vec::new(),
                Some(number) => store::counts_of(connection, site, *period, number)?,
            });
        }
    }
    Ok(counts)
}

/// A counter with the current run's hits that the file lacks.
fn known(counts: Vec<SiteCount>, run: &Source, unfolded: i64) -> Known {
    let sum = counts.iter().map(|count| count.register.hits()).sum::<i64>() + unfolded;
    let own = counts.iter().find(|count| count.name == *run).map_or(0, |count| count.register.hits()) + unfolded;
    let frozen = counts.into_iter().filter(|count| !count.published && count.name != *run);
    let mut unpublished: Vec<_> = frozen.map(|count| (count.name, count.register)).collect();
    if own > 0 {
        unpublished.push((run.clone(), Register::Grown(own)));
    }
    Known { sum, unpublished }
}

fn most_read(connection: &Connection, site: SiteNumber, period: Period) -> rusqlite::Result<Vec<PageAddress>> {
    connection
        .prepare_cached(
            // Addresses are looked up of those alone that may be among the first: of many pages with as many
            // hits, all.
            "WITH c AS MATERIALIZED
               (SELECT page, sum(hits) AS hits FROM counts WHERE site = ?1 AND period = ?2 AND page > 0
                GROUP BY page HAVING sum(hits) > 0)
             SELECT p.address FROM c JOIN pages p ON p.number = c.page
             WHERE c.hits >= ifnull((SELECT hits FROM c ORDER BY hits DESC LIMIT 1 OFFSET ?3 - 1), 0)
             ORDER BY c.hits DESC, p.address LIMIT ?3",
        )?
        // One more, for `(other)` is no page.
        .query_map(params![site.0, period.number(), i64::try_from(TOP_MAX + 1).unwrap_or(i64::MAX)], |row| {
            row.get::<_, String>(0)
        })?
        .map(|address| address.map(|address| PageAddress::from_stored(&address)))
        .filter(|page| !page.as_ref().is_ok_and(PageAddress::is_other))
        .collect()
}
