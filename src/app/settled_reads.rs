//! Values of settled periods that a node keeps: blocks of history, lists of pages, hits of pages.

use std::sync::Arc;
use std::time::Instant;

use crate::counter::history::Block;
use crate::counter::{Day, EditorRules, PageAddress, Period, RegisteredSite, SiteNumber};
use crate::page::PageRules;
use crate::server::ports::TopPage;

use super::kept_reads::KeptReads;

/// Kept blocks of history, at most 3 kB each.
const BLOCKS_MAX: usize = 8_192;
/// Kept runs of days, some 500 bytes each.
const DAYS_MAX: usize = 8_192;
/// Kept lists of pages, some 15 kB each.
const LISTS_MAX: usize = 1_024;
/// Pages whose settled hits are kept, some 300 bytes each.
const PAGES_MAX: usize = 20_000;

/// Values of settled periods that a node keeps.
pub struct SettledReads {
    /// Settled values of a block, in order. A block that has others too is of one day.
    pub blocks: KeptReads<(Block, Option<Day>), Vec<i64>>,
    /// Settled ones of the last days, by today and their number.
    pub days: KeptReads<(Day, usize), Vec<i64>>,
    pub lists: KeptReads<Period, KeptList>,
    /// Hits of pages in settled periods, those that were asked for together.
    pub pages: KeptReads<(PageAddress, Day), Vec<(Period, i64)>>,
}

/// A list of the most read pages, and what it was made by.
pub struct KeptList {
    editor_rules: Option<Arc<EditorRules>>,
    page_rules: Arc<PageRules>,
    has_titles: bool,
    pub pages: Vec<TopPage>,
}

impl KeptList {
    pub fn of(site: &RegisteredSite, pages: Vec<TopPage>) -> Self {
        let page_rules = Arc::clone(&site.site.page_rules);
        Self { editor_rules: site.editor_rules.clone(), page_rules, has_titles: site.site.titles, pages }
    }

    pub fn is_of(&self, site: &RegisteredSite) -> bool {
        let rules = |rules: &Option<Arc<EditorRules>>| rules.as_ref().map(Arc::as_ptr);
        rules(&self.editor_rules) == rules(&site.editor_rules)
            && Arc::ptr_eq(&self.page_rules, &site.site.page_rules)
            && self.has_titles == site.site.titles
    }
}

impl Default for SettledReads {
    fn default() -> Self {
        Self {
            blocks: KeptReads::new(BLOCKS_MAX),
            days: KeptReads::new(DAYS_MAX),
            lists: KeptReads::new(LISTS_MAX),
            pages: KeptReads::new(PAGES_MAX),
        }
    }
}

impl SettledReads {
    /// Gives back the memory of values that are too old to be used.
    pub fn drop_old(&self, now: Instant) {
        self.blocks.drop_old(now);
        self.days.drop_old(now);
        self.lists.drop_old(now);
        self.pages.drop_old(now);
    }

    /// Forgets a site's values: an import, a repair or another node's counts may change them.
    pub fn forget(&self, site: SiteNumber) {
        self.blocks.forget(site);
        self.days.forget(site);
        self.lists.forget(site);
        self.pages.forget(site);
    }
}
