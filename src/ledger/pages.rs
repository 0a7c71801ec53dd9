//! Pages: their counts, titles and most read lists, from the file and the unfolded hits; their admission.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::Ledger;
use super::error::LedgerError;
use super::fold::unfolded::{Unfolded, UnfoldedHits};
use super::memory::lock;
use super::memory::page_admission::Decision;
use super::memory::vouching::{Noted, Reading};
use super::sqlite::tables::counts::{CountReader, SourceCount};
use super::sqlite::tables::{bounded, counts, meta, pages, rows, shown, titles, vouching};
use crate::counter::known::chosen;
use crate::counter::page_cap::Excess;
use crate::counter::{
    ChangedTitle, ClientPrefix, Day, Former, GivenTitle, Known, PageAddress, Period, RegisteredSite, SiteNumber, Source,
};

/// A list is reused for this many times its making time, so that making lists takes a tenth of a thread at most.
const TOP_AGE_FACTOR: u32 = 10;
const TOP_AGE_MIN: Duration = Duration::from_secs(1);
/// Kept lists at most.
const TOPS_MAX: usize = 500;

/// Unfolded entries that are searched for pages without counts at most.
const UNFOLDED_ENTRIES_MAX: usize = 4_096;

/// Reads that may find the fold mark moved before the file alone is used.
const TRIES_MAX: u32 = 20;
const TRY_INTERVAL: Duration = Duration::from_micros(200);

/// Decision about a hit's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The reason why it doesn't count under its own address.
    pub excess: Option<Excess>,
    /// Its other hits of the day need no decision, and no vote.
    pub is_settled: bool,
    /// The site has nearly as many new pages as its cap.
    pub is_cap_filling: bool,
}

/// Lists of the most read pages, by site and period.
#[derive(Debug, Default)]
pub struct TopLists(Mutex<HashMap<(SiteNumber, Period), Top>>);

#[derive(Debug, Clone)]
pub struct Top {
    pages: Arc<Vec<PageAddress>>,
    /// Its greatest length.
    limit: usize,
    good_until: Instant,
}

impl TopLists {
    fn get(&self, key: (SiteNumber, Period), limit: usize) -> Option<Arc<Vec<PageAddress>>> {
        let tops = lock(&self.0);
        let top = tops.get(&key).filter(|top| top.good_until > Instant::now() && top.limit >= limit)?;
        Some(Arc::clone(&top.pages))
    }

    fn put(&self, key: (SiteNumber, Period), limit: usize, pages: Arc<Vec<PageAddress>>, took: Duration) {
        let now = Instant::now();
        let mut tops = lock(&self.0);
        if tops.len() >= TOPS_MAX {
            tops.retain(|_, top| top.good_until > now);
        }
        if tops.len() < TOPS_MAX {
            tops.insert(key, Top { pages, limit, good_until: now + (took * TOP_AGE_FACTOR).max(TOP_AGE_MIN) });
        }
    }
}

impl Ledger {
    /// Counts of each page in each period: all periods of the first page, then those of the next.
    pub async fn page_counts(
        &self,
        site: SiteNumber,
        pages: Vec<PageAddress>,
        periods: Vec<Period>,
    ) -> Result<Vec<Known>, LedgerError> {
        let state = Arc::clone(&self.state);
        self.public_reader
            .read(move |connection| {
                let places: Vec<_> =
                    pages.iter().flat_map(|page| periods.iter().map(move |period| (page, *period))).collect();
                let read = |connection: &Connection| counts_of_pages(connection, site, &pages, &periods);
                let join = |counts: Vec<PageCount>, unfolded: Option<&UnfoldedHits>| -> Vec<Known> {
                    let hits = |(page, period)| unfolded.map_or(0, |unfolded| unfolded.hits(site, page, period));
                    let counts = counts.into_iter().zip(&places);
                    let known = counts.map(|(count, place)| match count {
                        PageCount::Counted(counts) => known(counts, &state.run, hits(*place)),
                        PageCount::Unvouched(unvouched) => {
                            Known { unvouched: unvouched + hits(*place), ..Known::default() }
                        }
                    });
                    known.collect()
                };
                consistently(connection, &state.unfolded, read, join)
            })
            .await
    }

    /// At least `limit` pages with most hits in a period by this node's file, most hits first.
    pub async fn top_pages(
        &self,
        site: SiteNumber,
        period: Period,
        limit: usize,
    ) -> Result<Arc<Vec<PageAddress>>, LedgerError> {
        if let Some(pages) = self.tops.get((site, period), limit) {
            return Ok(pages);
        }
        let (state, tops) = (Arc::clone(&self.state), Arc::clone(&self.tops));
        self.public_reader
            .read(move |connection| {
                // An earlier read in the queue may have made the same list.
                if let Some(pages) = tops.get((site, period), limit) {
                    return Ok(pages);
                }
                let started = Instant::now();
                let mut pages = most_read(connection, site, period, limit)?;
                let mark = meta::read_fold_mark(connection)?;
                let newest = state.unfolded.at(mark, |hits| hits.pages(site, period, UNFOLDED_ENTRIES_MAX));
                let counted: HashSet<_> = pages.iter().cloned().collect();
                let is_listed = |page: &PageAddress| -> rusqlite::Result<bool> {
                    let is_new = !page.is_other() && !counted.contains(page);
                    if !is_new || state.vouching.is_pending(site, page) {
                        return Ok(is_new);
                    }
                    Ok(pages::find(connection, site, page)?.is_some_and(|page| page.is_vouched))
                };
                let (mut listed, newest) = (Vec::new(), newest.unwrap_or_default());
                for page in newest {
                    if listed.len() == limit {
                        break;
                    }
                    if is_listed(&page)? {
                        listed.push(page);
                    }
                }
                pages.extend(listed);
                let pages = Arc::new(pages);
                tops.put((site, period), limit, Arc::clone(&pages), started.elapsed());
                Ok(pages)
            })
            .await
    }

    /// Counts of the site's own periods; loads no counters into memory.
    pub async fn history(&self, site: SiteNumber, periods: &[Period]) -> Result<Vec<Known>, LedgerError> {
        let live = self.state.counters.get(site);
        let in_memory: Vec<_> =
            periods.iter().map(|period| live.as_ref().and_then(|live| live.known(*period, &self.state.run))).collect();
        let on_file: Vec<_> =
            periods.iter().zip(&in_memory).filter(|(_, known)| known.is_none()).map(|(period, _)| *period).collect();
        let read = if on_file.is_empty() {
            Vec::new()
        } else {
            let run = self.state.run.clone();
            let read = move |connection: &Connection| -> rusqlite::Result<Vec<Known>> {
                // Far from what the file knows, strangers may ask for anything at no cost.
                let Some(years) = counts::years(connection, site)? else { return Ok(Vec::new()) };
                let (Some(first), Some(last)) = (on_file.iter().min(), on_file.iter().max()) else {
                    return Ok(Vec::new());
                };
                let noted = shown::Noted::between(connection, site, *first, *last)?;
                let mut reader = CountReader::new(connection, site)?;
                let read = |period: &Period| {
                    if !years.contains(&(period.number() / 10_000)) && *period != Period::Total {
                        return Ok(Known::default());
                    }
                    let counts = reader.of_page(*period, counts::SITE_ITSELF)?;
                    let floor = noted.floor(*period, &counts, None).filter(|floor| !floor.may_fall);
                    Ok(Known { shown: floor.map(|floor| floor.hits), ..known(counts, &run, 0) })
                };
                on_file.iter().map(read).collect()
            };
            self.public_reader.read(read).await?
        };
        let mut read = read.into_iter();
        Ok(in_memory.into_iter().map(|known| known.or_else(|| read.next()).unwrap_or_default()).collect())
    }

    /// The part of the site's own hits in each of the periods that came by imports.
    pub async fn imported(&self, site: SiteNumber, periods: Vec<Period>) -> Result<Vec<i64>, LedgerError> {
        let is_import = |source: &Source| matches!(source, Source::Import(name) if !name.is_reset());
        let read = move |connection: &Connection| -> rusqlite::Result<Vec<i64>> {
            let mut reader = CountReader::new(connection, site)?;
            let mut hits = |period: &Period| -> rusqlite::Result<i64> {
                let counts = reader.of_page(*period, counts::SITE_ITSELF)?;
                Ok(counts.iter().filter(|count| is_import(&count.name)).map(|count| count.register.hits()).sum())
            };
            periods.iter().map(&mut hits).collect()
        };
        self.public_reader.read(read).await
    }

    /// Decides if a hit's page counts under its own address, and notes its network's vote.
    ///
    /// `elsewhere` asks other nodes about a page that isn't vouched for here; none if that fails.
    pub async fn admit_page(
        &self,
        site: &RegisteredSite,
        day: Day,
        page: &PageAddress,
        client: Option<ClientPrefix>,
        reading: Reading,
        elsewhere: impl AsyncFnOnce() -> Option<bool>,
    ) -> Admitted {
        let number = site.number;
        // Where nobody must vouch for pages, all of them are new ones.
        let caps_all = reading.wanted <= 1;
        if caps_all {
            let admitted = self.admit_new_page(site, day, page, client, None, elsewhere).await;
            if admitted.excess.is_none() {
                // Lists show it before a fold does.
                self.state.vouching.note_known(number, day, page);
            }
            return admitted;
        }
        let was_vouched = self.state.admission.is_vouched(number, day, page);
        let noted = self.state.vouching.note(number, day, (!was_vouched).then_some(page), reading);
        if noted.is_vouched {
            if !was_vouched {
                self.state.admission.note_vouched(number, day, page);
            }
            return Admitted { excess: None, is_settled: noted.is_site_full, is_cap_filling: false };
        }
        self.admit_new_page(site, day, page, client, Some(noted), elsewhere).await
    }

    /// Decides if a page that may be new counts under its own address. `noted`: none where nobody must vouch for pages.
    async fn admit_new_page(
        &self,
        site: &RegisteredSite,
        day: Day,
        page: &PageAddress,
        client: Option<ClientPrefix>,
        noted: Option<Noted>,
        elsewhere: impl AsyncFnOnce() -> Option<bool>,
    ) -> Admitted {
        let (number, cap, caps_all) = (site.number, site.site.page_cap, noted.is_none());
        let is_cap_filling = || self.state.admission.is_filling(number, day, cap);
        let own = |is_settled| Admitted { excess: None, is_settled, is_cap_filling: is_cap_filling() };
        loop {
            match self.state.admission.decide(number, day, page, client, (cap, caps_all)) {
                Decision::Counts => return own(caps_all),
                Decision::NeedsRead => {
                    let read =
                        self.hit_reader.read(move |connection| pages_of_day(connection, number, day, cap, caps_all));
                    // After a failed read only the pages since the node's start count against the cap.
                    let pages = read.await.unwrap_or_default();
                    self.state.admission.load(number, day, pages.iter().map(PageAddress::fingerprint));
                }
                Decision::IfVouched(excess) => {
                    let is_vouched = match self.is_vouched(number, page.clone()).await {
                        Some(false) => elsewhere().await,
                        known => known,
                    };
                    match is_vouched {
                        Some(true) => {
                            // Another node may have vouched for it.
                            self.state.vouching.note_known(number, day, page);
                            self.state.admission.note_vouched(number, day, page);
                            return own(noted.is_none_or(|noted| noted.is_site_full));
                        }
                        None if self.state.admission.admit_unknowable(number, day, page, cap) => return own(caps_all),
                        _ => {}
                    }
                    self.state.metrics.other_page_hits_total.with_label_values(&[excess.as_str()]).inc();
                    return Admitted { excess: Some(excess), is_settled: false, is_cap_filling: is_cap_filling() };
                }
            }
        }
    }

    /// True if the file vouches for a page; none if the reader is overloaded.
    async fn is_vouched(&self, site: SiteNumber, page: PageAddress) -> Option<bool> {
        let is_vouched = move |connection: &Connection| {
            Ok(pages::find(connection, site, &page)?.is_some_and(|page| page.is_vouched))
        };
        self.hit_reader.read(is_vouched).await.ok()
    }

    /// Up to `limit` pages of the site that rule 1 made and that have another address now, each with that one.
    pub async fn former_pages(
        &self,
        site: SiteNumber,
        limit: usize,
        present: impl Fn(&PageAddress) -> Option<PageAddress> + Send + 'static,
    ) -> Result<Vec<Former>, LedgerError> {
        let read = move |connection: &Connection| {
            let mut found = Vec::new();
            pages::of_rule_1(connection, site, |old| {
                if let Some(page) = present(&old) {
                    found.push((old, page));
                }
                found.len() < limit
            })?;
            Ok(found)
        };
        self.public_reader.read(read).await
    }

    /// Takes the title that a page's hit brought.
    pub fn note_title(
        &self,
        (site, page, day): (SiteNumber, &PageAddress, Day),
        title: &str,
        link: &dyn Fn() -> Option<String>,
        given_ms: i64,
        reading: impl FnOnce() -> Reading,
    ) {
        let lacks_votes = |title: &ChangedTitle| self.state.vouching.vote_for_title(title, day, reading());
        self.state.titles.note((site, page, day), title, link, given_ms, lacks_votes);
    }

    pub async fn titles(
        &self,
        site: SiteNumber,
        pages: Vec<PageAddress>,
    ) -> Result<Vec<Option<GivenTitle>>, LedgerError> {
        // A title that waits for its hit to be folded is newer than the file's.
        let waiting: Vec<_> = pages.iter().map(|page| self.state.titles.queue.get(site, page)).collect();
        let on_file = self.public_reader.read(move |connection| titles::read(connection, site, &pages)).await?;
        Ok(waiting.into_iter().zip(on_file).map(|(waiting, on_file)| waiting.or(on_file)).collect())
    }
}

/// Reads the file, and the unfolded hits as of the same moment.
fn consistently<R, T>(
    connection: &Connection,
    unfolded: &Unfolded,
    read: impl Fn(&Connection) -> rusqlite::Result<R>,
    join: impl FnOnce(R, Option<&UnfoldedHits>) -> T,
) -> rusqlite::Result<T> {
    let mut join = Some(join);
    let mut tries = 0;
    loop {
        let transaction = connection.unchecked_transaction()?;
        let mark = meta::read_fold_mark(&transaction)?;
        let mut found = Some(read(&transaction)?);
        drop(transaction);
        let joined = unfolded.at(mark, |hits| Some(join.take()?(found.take()?, Some(hits))));
        if let Some(Some(joined)) = joined {
            return Ok(joined);
        }
        tries += 1;
        if tries == TRIES_MAX
            && let (Some(join), Some(found)) = (join.take(), found)
        {
            // Without the unfolded hits: too few is better than twice.
            return Ok(join(found, None));
        }
        std::thread::sleep(TRY_INTERVAL);
    }
}

/// A page's count in a period.
enum PageCount {
    Counted(Vec<SourceCount>),
    /// In a longer period, an unvouched page has the sum of its days, which no source contributes yet.
    Unvouched(i64),
}

fn counts_of_pages(
    connection: &Connection,
    site: SiteNumber,
    addresses: &[PageAddress],
    periods: &[Period],
) -> rusqlite::Result<Vec<PageCount>> {
    let mut found = Vec::with_capacity(addresses.len());
    for address in addresses {
        found.push(pages::find(connection, site, address)?);
    }
    let counts_of_page = |(address, page): (&PageAddress, &Option<pages::Page>)| -> rusqlite::Result<Vec<PageCount>> {
        // Read once for all longer periods.
        let mut unvouched = None;
        let count = |period: &Period| {
            let is_day = matches!(period, Period::Day(_));
            Ok(match page {
                None if !is_day && !address.is_other() => PageCount::Unvouched(0),
                Some(page) if !is_day && !page.is_vouched => {
                    let days = match &unvouched {
                        Some(days) => days,
                        None => unvouched.insert(vouching::UnvouchedDays::read(connection, site, page.number)?),
                    };
                    PageCount::Unvouched(days.hits(*period))
                }
                _ => PageCount::Counted(Vec::new()),
            })
        };
        periods.iter().map(count).collect()
    };
    let mut all = Vec::with_capacity(addresses.len() * periods.len());
    for page in addresses.iter().zip(&found) {
        all.extend(counts_of_page(page)?);
    }
    let mut rows: Vec<_> =
        found.iter().enumerate().filter_map(|(row, page)| Some((page.as_ref()?.number, row))).collect();
    rows.sort_unstable();
    let numbers: Vec<_> = rows.iter().map(|(number, _)| *number).collect();
    if numbers.is_empty() {
        return Ok(all);
    }
    let mut reader = CountReader::new(connection, site)?;
    for (column, period) in periods.iter().enumerate() {
        reader.of_pages(*period, &numbers, |number, count| {
            let first = rows.partition_point(|(before, _)| *before < number);
            for (_, row) in rows[first..].iter().take_while(|(of, _)| *of == number) {
                if let Some(PageCount::Counted(counts)) = all.get_mut(row * periods.len() + column) {
                    counts.push(count.clone());
                }
            }
        })?;
    }
    Ok(all)
}

/// A counter with the current run's unfolded hits.
fn known(counts: Vec<SourceCount>, run: &Source, unfolded: i64) -> Known {
    let sum = counts.iter().map(|count| count.register.hits()).sum::<i64>() + unfolded;
    let own = counts.iter().find(|count| count.name == *run).map_or(0, |count| count.register.hits()) + unfolded;
    let others = counts.into_iter().filter(|count| count.name != *run).map(|count| (count.name, count.register));
    let own = (own > 0).then(|| (run.clone(), own));
    Known { sum, own, others: chosen(others.collect()), ..Known::default() }
}

fn most_read(
    connection: &Connection,
    site: SiteNumber,
    period: Period,
    limit: usize,
) -> rusqlite::Result<Vec<PageAddress>> {
    // Looks up the addresses of the first pages only, and of all that have as many hits as the last of them.
    let sql = "WITH c AS MATERIALIZED
                 (SELECT page, sum(hits) AS hits FROM counts
                  WHERE site = ?1 AND period = ?2 AND page > 0
                    AND (?2 % 100 = 0 OR (SELECT vouched FROM pages WHERE number = page) > 0)
                  GROUP BY page HAVING sum(hits) > 0)
               SELECT p.address FROM c JOIN pages p ON p.number = c.page
               WHERE c.hits >= ifnull((SELECT hits FROM c ORDER BY hits DESC LIMIT 1 OFFSET ?3 - 1), 0)
               ORDER BY c.hits DESC, p.address LIMIT ?3";
    // One more, since `(other)` is no page.
    let pages =
        rows(connection, sql, params![site.0, period.number(), bounded(limit + 1)], |row| counts::page_at(row, 0))?;
    Ok(pages.into_iter().flatten().filter(|page| !page.is_other()).collect())
}

/// Up to `limit` pages with counts of a day: all of them, or the unvouched ones.
fn pages_of_day(
    connection: &Connection,
    site: SiteNumber,
    day: Day,
    limit: u32,
    all: bool,
) -> rusqlite::Result<Vec<PageAddress>> {
    let sql = "SELECT DISTINCT p.address FROM counts c JOIN pages p ON p.number = c.page
               WHERE c.site = ? AND c.period = ? AND c.page > 0 AND (p.vouched <= 0 OR ?) LIMIT ?";
    let of = params![site.0, Period::Day(day).number(), all, limit];
    let pages = rows(connection, sql, of, |row| counts::page_at(row, 0))?;
    Ok(pages.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Register;
    use crate::ledger::sqlite::migrations;
    use crate::ledger::sqlite::tables::counts::{Key, SITE_ITSELF, merge};

    const SITE: SiteNumber = SiteNumber(1);

    #[test]
    fn a_counter_is_known_with_its_unfolded_hits_and_its_other_sources() {
        let run = Source::Run(7);
        let count =
            |number, name, hits| SourceCount { source: number, name, is_own: true, register: Register::Grown(hits) };
        let counts = vec![count(1, run.clone(), 3), count(2, Source::Run(8), 10), count(3, Source::Run(9), 20)];
        let others = vec![(Source::Run(8), Register::Grown(10)), (Source::Run(9), Register::Grown(20))];
        assert_eq!(known(counts, &run, 2), Known { sum: 35, own: Some((run.clone(), 5)), others, ..Known::default() });
        assert_eq!(known(Vec::new(), &run, 0), Known::default());
    }

    #[test]
    fn the_most_read_pages_come_first_without_other_and_the_site_itself() {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        let count = |page: Option<&PageAddress>, hits| {
            let page = page.map_or(SITE_ITSELF, |page| pages::insert_vouched(&file, SITE, page).unwrap());
            let key = Key { site: SITE, period: Period::Total, page, source: 1 };
            merge(&file, key, Register::Grown(hits)).unwrap();
        };
        let page = PageAddress::from_stored;
        count(None, 100);
        count(Some(&PageAddress::other()), 50);
        for (address, hits) in [("/b", 2), ("/a", 2), ("/c", 3)] {
            count(Some(&page(address)), hits);
        }
        assert_eq!(most_read(&file, SITE, Period::Total, 9).unwrap(), [page("/c"), page("/a"), page("/b")]);
    }

    #[test]
    fn a_list_is_reused_for_ten_times_its_making_time() {
        let (tops, key) = (TopLists::default(), (SITE, Period::Total));
        tops.put(key, 9, Arc::default(), Duration::from_secs(3));
        let good_for = lock(&tops.0)[&key].good_until - Instant::now();
        assert!(good_for > Duration::from_secs(29) && good_for <= Duration::from_secs(30));
        assert!(tops.get(key, 9).is_some() && tops.get((SiteNumber(2), Period::Total), 9).is_none());
        assert!(tops.get(key, 10).is_none(), "more are asked for");
        lock(&tops.0).get_mut(&key).unwrap().good_until = Instant::now();
        assert!(tops.get(key, 9).is_none());
    }
}
