//! Histories and lists of pages, from the ledger and Redis. Values of settled periods are kept.

use std::sync::Arc;
use std::time::Instant;

use crate::counter::history::Block;
use crate::counter::page::TOP_MAX;
use crate::counter::{Day, EditorRules, Listing, Period, RegisteredSite, SiteNumber};
use crate::page::PageRules;
use crate::server::ports::{Read, TopPage, Unavailable};

use super::kept_reads::{KeptReads, is_settled};
use super::node::{Node, unavailable};

/// Kept blocks of history, at most 3 kB each.
const BLOCKS_MAX: usize = 8_192;
/// Kept lists of pages, some 15 kB each.
const LISTS_MAX: usize = 1_024;

/// What a node keeps of settled periods.
pub struct SettledReads {
    /// Settled values of a block, in order. A block that has others too is of one day.
    blocks: KeptReads<(Block, Option<Day>), Vec<i64>>,
    lists: KeptReads<Period, KeptList>,
}

/// A list of the most read pages, and what it was made by.
struct KeptList {
    editor_rules: Option<Arc<EditorRules>>,
    page_rules: Arc<PageRules>,
    has_titles: bool,
    pages: Vec<TopPage>,
}

impl KeptList {
    fn of(site: &RegisteredSite, pages: Vec<TopPage>) -> Self {
        let page_rules = Arc::clone(&site.site.page_rules);
        Self { editor_rules: site.editor_rules.clone(), page_rules, has_titles: site.site.titles, pages }
    }

    fn is_of(&self, site: &RegisteredSite) -> bool {
        let rules = |rules: &Option<Arc<EditorRules>>| rules.as_ref().map(Arc::as_ptr);
        rules(&self.editor_rules) == rules(&site.editor_rules)
            && Arc::ptr_eq(&self.page_rules, &site.site.page_rules)
            && self.has_titles == site.site.titles
    }
}

impl Default for SettledReads {
    fn default() -> Self {
        Self { blocks: KeptReads::new(BLOCKS_MAX), lists: KeptReads::new(LISTS_MAX) }
    }
}

impl SettledReads {
    /// Forgets a site's values: an import, a repair or another node's counts may change them.
    pub fn forget(&self, site: SiteNumber) {
        self.blocks.forget(site);
        self.lists.forget(site);
    }
}

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

    /// The most read pages of a period.
    pub(super) async fn listed(
        &self,
        site: &Arc<RegisteredSite>,
        period: Period,
        limit: usize,
        listing: Listing,
    ) -> Result<Read<TopPage>, Unavailable> {
        let limit = limit.min(TOP_MAX);
        if listing == Listing::Editors || !is_settled(period, self.today(site)) {
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
