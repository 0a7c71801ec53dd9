//! State that the committer changes and the rest of the node reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::change_feed::ChangeFeed;
use crate::counter::{SiteNumber, Source};
use crate::ledger::error::LedgerError;
use crate::ledger::fold::unfolded::Unfolded;
use crate::ledger::memory::counters::CounterStore;
use crate::ledger::memory::editor_rules::RulesOfSites;
use crate::ledger::memory::open_sites::OpenSites;
use crate::ledger::memory::page_admission::PageAdmission;
use crate::ledger::memory::salts::Salts;
use crate::ledger::memory::sketches::SketchStore;
use crate::ledger::memory::titles::NewTitles;
use crate::ledger::memory::tokens::KnownTokens;
use crate::ledger::memory::vouching::Vouching;
use crate::ledger::sqlite::tables::meta::FoldMark;
use crate::metrics::Metrics;

#[derive(Debug)]
pub struct State {
    /// The current run, as a source.
    pub run: Source,
    pub counters: CounterStore,
    pub sketches: SketchStore,
    pub salts: Salts,
    pub titles: NewTitles,
    pub admission: PageAdmission,
    pub vouching: Vouching,
    pub open_sites: OpenSites,
    pub editor_rules: RulesOfSites,
    pub tokens: KnownTokens,
    pub unfolded: Unfolded,
    pub feed: Arc<ChangeFeed>,
    /// Sites of which more, or less, of other nodes' hits is shown than the file has as the least.
    pub old_floors: Mutex<BTreeSet<SiteNumber>>,
    /// Sites of which more of other nodes' hits is shown than the file has, each since its last change.
    pub unsynced: Mutex<BTreeMap<SiteNumber, Instant>>,
    /// The reason why the file takes no hits now, if it does not.
    pub failed: Mutex<Option<LedgerError>>,
    pub metrics: Arc<Metrics>,
}

pub type SharedState = Arc<State>;

impl State {
    /// The state of a new run, with nothing loaded.
    pub fn new(mark: FoldMark, is_publishing: bool, metrics: Arc<Metrics>) -> Self {
        let feed = Arc::new(ChangeFeed::new(is_publishing));
        Self {
            run: Source::Run(rand::random()),
            counters: CounterStore::default(),
            sketches: SketchStore::new(Arc::clone(&feed)),
            salts: Salts::default(),
            titles: NewTitles::default(),
            admission: PageAdmission::default(),
            vouching: Vouching::new(is_publishing),
            open_sites: OpenSites::default(),
            editor_rules: RulesOfSites::default(),
            tokens: KnownTokens::default(),
            unfolded: Unfolded::new(mark),
            feed,
            old_floors: Mutex::default(),
            unsynced: Mutex::default(),
            failed: Mutex::default(),
            metrics,
        }
    }
}
