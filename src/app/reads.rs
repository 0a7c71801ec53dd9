//! Histories and lists of pages, from the ledger and Redis. Values of settled periods are kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::counter::history::{Block, Step};
use crate::counter::page::TOP_MAX;
use crate::counter::{Day, Listing, PageAddress, Period, RegisteredSite};
use crate::server::SEARCHED_MAX;
use crate::server::ports::{Read, TopPage, Unavailable};

use super::kept_reads::is_settled;
use super::node::{Node, unavailable};
use super::settled_reads::KeptList;

impl Node {
    /// The site's hits in each period of the block.
    pub(super) async fn block(&self, site: &Arc<RegisteredSite>, block: Block) -> Result<Read<i64>, Unavailable> {
        let (now, today, periods) = (Instant::now(), self.today(site), block.periods());
        let (settled_at, live_at): (Vec<_>, Vec<_>) =
            (0..periods.len()).partition(|at| is_settled(periods[*at], today));
        let question = (block, (!live_at.is_empty()).then_some(today));
        match self.settled.blocks.get(site.number, question, now, |_| true) {
            Err(asked) => {
                let read = self.site_figures(site, &periods).await?;
                if !read.stale {
                    let settled = settled_at.iter().map(|at| read.values[*at]).collect();
                    self.settled.blocks.put(site.number, question, Arc::new(settled), asked, now);
                }
                Ok(read)
            }
            Ok(settled) => {
                let live: Vec<_> = live_at.iter().map(|at| periods[*at]).collect();
                let read = match live.is_empty() {
                    true => Read { values: Vec::new(), stale: false },
                    false => self.site_figures(site, &live).await?,
                };
                let mut values = vec![0; periods.len()];
                for (at, value) in settled_at.iter().zip(&*settled).chain(live_at.iter().zip(&read.values)) {
                    values[*at] = *value;
                }
                Ok(Read { values, stale: read.stale })
            }
        }
    }

    /// The site's hits in its last days, today's last, and in this month. Settled ones are kept.
    pub(super) async fn last_days_and_month(
        &self,
        site: &Arc<RegisteredSite>,
        days: usize,
    ) -> Result<Read<i64>, Unavailable> {
        let (now, today) = (Instant::now(), self.today(site));
        let mut periods = Step::Day.from_to(Step::Day.first_of_last(days, today), Period::Day(today));
        // No day is before 1970.
        let missing = days.saturating_sub(periods.len());
        periods.push(today.month());
        let settled_count = periods.iter().take_while(|period| is_settled(**period, today)).count();
        let mut values = vec![0; missing];
        let stale = match self.settled.days.get(site.number, (today, days), now, |_| true) {
            Ok(kept) => {
                let read = self.site_figures(site, &periods[settled_count..]).await?;
                values.extend(kept.iter().chain(&read.values));
                read.stale
            }
            Err(asked) => {
                let read = self.site_figures(site, &periods).await?;
                if !read.stale && settled_count > 0 {
                    let kept = Arc::new(read.values[..settled_count].to_vec());
                    self.settled.days.put(site.number, (today, days), kept, asked, now);
                }
                values.extend(read.values);
                read.stale
            }
        };
        Ok(Read { values, stale })
    }

    /// The most read pages of a period.
    pub(super) async fn listed(
        &self,
        site: &Arc<RegisteredSite>,
        period: Period,
        limit: usize,
        listing: Listing,
    ) -> Result<Read<TopPage>, Unavailable> {
        let limit = limit.min(SEARCHED_MAX);
        if listing == Listing::Editors || limit > TOP_MAX || !is_settled(period, self.today(site)) {
            return self.most_read(site, period, limit, listing).await;
        }
        let now = Instant::now();
        let first = |pages: &[TopPage]| pages[..pages.len().min(limit)].to_vec();
        match self.settled.lists.get(site.number, period, now, |list: &KeptList| list.is_of(site)) {
            Ok(list) => Ok(Read { values: first(&list.pages), stale: false }),
            Err(asked) => {
                let Read { values, stale } = self.most_read(site, period, TOP_MAX, listing).await?;
                let read = Read { values: first(&values), stale };
                if !stale {
                    self.settled.lists.put(site.number, period, Arc::new(KeptList::of(site, values)), asked, now);
                }
                Ok(read)
            }
        }
    }

    /// The hits that stand under each of these addresses: all periods of the first, then those of the next.
    pub(super) async fn hits_under(
        &self,
        site: &Arc<RegisteredSite>,
        addresses: Vec<PageAddress>,
        periods: &[Period],
    ) -> Result<Read<i64>, Unavailable> {
        let (now, today) = (Instant::now(), self.today(site));
        let (settled, live): (Vec<_>, Vec<_>) = periods.iter().copied().partition(|period| is_settled(*period, today));
        if settled.is_empty() {
            return self.read_hits_under(site, addresses, periods).await;
        }
        let questions = addresses.iter().map(|page| (page.clone(), today));
        let (kept, asked) = self.settled.pages.get_all(site.number, questions, now);
        let has_all = |kept: &Vec<(Period, i64)>| settled.iter().all(|period| value_of(kept, *period).is_some());
        let kept: Vec<_> = kept.into_iter().map(|kept| kept.filter(|kept| has_all(kept))).collect();
        let lacking = addresses.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let lacking: Vec<_> = lacking.map(|(page, _)| page.clone()).collect();
        let none = Read { values: Vec::new(), stale: false };
        let read = match lacking.is_empty() {
            true => none.clone(),
            false => self.read_hits_under(site, lacking.clone(), &settled).await?,
        };
        let mut read_of: HashMap<_, _> = HashMap::with_capacity(lacking.len());
        for (page, hits) in lacking.into_iter().zip(read.values.chunks(settled.len())) {
            let hits: Arc<Vec<_>> = Arc::new(settled.iter().copied().zip(hits.iter().copied()).collect());
            if !read.stale {
                self.settled.pages.put(site.number, (page.clone(), today), Arc::clone(&hits), asked, now);
            }
            read_of.insert(page, hits);
        }
        let newest = match live.is_empty() {
            true => none,
            false => self.read_hits_under(site, addresses.clone(), &live).await?,
        };
        let mut newest_hits = newest.values.into_iter();
        let is_settled: Vec<_> = periods.iter().map(|period| is_settled(*period, today)).collect();
        let mut values = Vec::with_capacity(addresses.len() * periods.len());
        for (page, kept) in addresses.iter().zip(&kept) {
            let kept = kept.as_ref().or_else(|| read_of.get(page));
            for (period, is_settled) in periods.iter().zip(&is_settled) {
                let value = match is_settled {
                    true => kept.and_then(|kept| value_of(kept, *period)),
                    false => newest_hits.next(),
                };
                values.push(value.unwrap_or_default());
            }
        }
        Ok(Read { values, stale: read.stale || newest.stale })
    }

    /// The site's figures in each of many periods, which are not loaded into memory.
    pub(super) async fn site_figures(
        &self,
        site: &Arc<RegisteredSite>,
        periods: &[Period],
    ) -> Result<Read<i64>, Unavailable> {
        let known = self.ledger.history(site.number, periods).await.map_err(unavailable)?;
        let Some(publication) = self.publication() else {
            return Ok(Read { values: known.iter().map(|known| known.sum).collect(), stale: false });
        };
        let counters = periods.iter().map(|period| (*period, None)).zip(known).collect();
        Ok(self.shared_figures(site, publication, counters).await)
    }

    fn today(&self, site: &RegisteredSite) -> Day {
        Day::at((self.now)(), site.site.time_zone)
    }
}

fn value_of(hits: &[(Period, i64)], period: Period) -> Option<i64> {
    hits.iter().find(|(of, _)| *of == period).map(|(_, hits)| *hits)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chrono::{DateTime, Utc};
    use tempfile::TempDir;

    use super::*;
    use crate::app::uncounted::UncountedFile;
    use crate::counter::csv::{Line, Row, TakeLines as _};
    use crate::counter::source::ImportName;
    use crate::counter::{Contribution, EditorRule, EditorRules, Hit, Register, Site, Source};
    use crate::ledger::{DirectoryLock, Ledger};
    use crate::metrics::Metrics;
    use crate::server::ports::Node as _;

    thread_local! {
        static NOW: Cell<DateTime<Utc>> = const { Cell::new(DateTime::UNIX_EPOCH) };
    }

    /// A node alone, on a clock of its own.
    struct Host {
        node: Node,
        site: Arc<RegisteredSite>,
        _directory: TempDir,
    }

    fn page(path: &str) -> PageAddress {
        PageAddress::from_stored(path)
    }

    impl Host {
        fn start() -> Self {
            NOW.set("2024-06-17T05:00:00Z".parse().unwrap());
            let directory = TempDir::new().unwrap();
            let lock = DirectoryLock::take(directory.path()).unwrap();
            let site = Site::with_defaults("a".parse().unwrap(), Vec::new());
            let (ledger, sites) =
                Ledger::open(lock, directory.path(), vec![site], false, Arc::new(Metrics::new())).unwrap();
            let site = Arc::clone(sites.iter().next().unwrap());
            let node = Node::new(ledger, sites, UncountedFile::open(directory.path()), || NOW.get());
            Self { node, site, _directory: directory }
        }

        fn run<T>(work: impl AsyncFnOnce(&Self) -> T) -> T {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build_local(Default::default()).unwrap();
            let host = Self::start();
            let value = runtime.block_on(work(&host));
            host.node.ledger.close();
            value
        }

        async fn count(&self, day: &str, hits: usize) {
            for _ in 0..hits {
                let hit = Hit { site: self.site.number, day: a_day(day), page: page("/a") };
                self.node.ledger.count(hit).await.unwrap();
            }
        }

        /// Imports so many hits of the site and of a page on a day, as an operator does.
        async fn import(&self, day: &str, hits: i64) {
            let mut file = self.node.begin_import().unwrap();
            for (number, page) in (1..).zip([None, Some(page("/a"))]) {
                let row = Row { period: Period::Day(a_day(day)), page, hits };
                file.take(&Line { number, row, written: number }).unwrap();
            }
            self.node.finish_import(&self.site, name(), file).await.unwrap().unwrap();
        }

        /// The day's hits: in its block, of the page in its list, and of the page.
        async fn read(&self, day: &str) -> [i64; 3] {
            let day = a_day(day);
            let periods = [Period::Day(day), Period::Total, Period::Day(day.previous())];
            let page = self.node.page_hits(&self.site, &[page("/a")], &periods).await.unwrap().values;
            assert_eq!(page.len(), periods.len());
            let block = Block::of(Period::Day(day)).unwrap();
            let read = self.node.history(&self.site, block).await.unwrap();
            let list = self.node.top_pages(&self.site, Period::Day(day), 9, Listing::Public).await.unwrap();
            [read.values[block.place(Period::Day(day))], list.values.first().map_or(0, |page| page.hits), page[0]]
        }
    }

    fn a_day(day: &str) -> Day {
        match day.parse().unwrap() {
            Period::Day(day) => day,
            period => panic!("{period} is no day"),
        }
    }

    fn name() -> ImportName {
        "old".parse().unwrap()
    }

    #[test]
    fn a_settled_day_is_kept_until_an_import_changes_it() {
        Host::run(async |host| {
            let (settled, other) = ("2024-03-05", "2022-03-05");
            for (hits, day) in [(100, settled), (70, settled), (0, other), (90, settled)] {
                host.import(day, hits).await;
                let expected = if day == settled { [hits; 3] } else { [0; 3] };
                assert_eq!(host.read(settled).await, expected);
            }
            // Nobody has reported it: the values are those that were read before.
            let row = Row { period: Period::Day(a_day(settled)), page: None, hits: 5 };
            host.node.ledger.import(host.site.number, name(), vec![row], NOW.get()).await.unwrap();
            assert_eq!(host.read(settled).await, [90; 3]);
            host.node.forget(&host.site, name()).await.unwrap();
            assert_eq!(host.read(settled).await, [0; 3]);
        });
    }

    #[test]
    fn a_settled_day_changes_with_a_reset_and_its_undoing() {
        Host::run(async |host| {
            host.import("2024-03-05", 100).await;
            assert_eq!(host.read("2024-03-05").await, [100; 3]);
            host.node.reset(&host.site).await.unwrap();
            assert_eq!(host.read("2024-03-05").await, [0; 3]);
            host.node.undo_reset(&host.site).await.unwrap();
            assert_eq!(host.read("2024-03-05").await, [100; 3]);
        });
    }

    #[test]
    fn a_settled_day_changes_with_counts_that_another_node_brings() {
        Host::run(async |host| {
            host.import("2024-03-05", 100).await;
            assert_eq!(host.read("2024-03-05").await, [100; 3]);
            let contribution = Contribution {
                source: Source::Run(9),
                period: "2024-03-05".parse().unwrap(),
                page: None,
                register: Register::Grown(7),
            };
            crate::redis::ports::Node::store_remote(&host.node, host.site.number, vec![contribution]).await;
            assert_eq!(host.read("2024-03-05").await, [107, 100, 100]);
        });
    }

    #[test]
    fn today_and_yesterday_are_read_each_time_and_midnight_settles_the_day_before() {
        Host::run(async |host| {
            let days = ["2024-06-15", "2024-06-16", "2024-06-17"];
            let read = async || {
                let mut site = Vec::new();
                for day in days {
                    site.push(host.read(day).await[0]);
                }
                site
            };
            assert_eq!(read().await, [0, 0, 0]);
            host.count(days[1], 2).await;
            host.count(days[2], 3).await;
            assert_eq!(read().await, [0, 2, 3]);
            host.count(days[2], 1).await;
            NOW.set("2024-06-18T05:00:00Z".parse().unwrap());
            assert_eq!(read().await, [0, 2, 4]);
            // A hit from before midnight.
            host.count(days[2], 1).await;
            host.count("2024-06-18", 1).await;
            assert_eq!(read().await, [0, 2, 5]);
            assert_eq!(host.read("2024-06-18").await[0], 1);
        });
    }

    #[test]
    fn a_kept_list_is_of_the_rules_that_the_site_has() {
        Host::run(async |host| {
            host.import("2024-03-05", 100).await;
            let listed = async |site: &Arc<RegisteredSite>| {
                let period = "2024-03-05".parse().unwrap();
                let list = host.node.top_pages(site, period, 9, Listing::Public).await.unwrap();
                list.values
                    .into_iter()
                    .map(|page| page.title.map(|title| title.as_str().to_owned()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(listed(&host.site).await, [None]);
            let rule = EditorRule::stored("/a", "title", Some("Bài một"), 1).unwrap();
            let mut other = RegisteredSite::clone(&host.site);
            other.editor_rules = Some(Arc::new(EditorRules::of([rule])));
            assert_eq!(listed(&Arc::new(other)).await, [Some("Bài một".to_owned())]);
            assert_eq!(listed(&host.site).await, [None]);
        });
    }
}
