//! State that the committer changes and the rest of the node reads.

use std::sync::{Arc, Mutex};

use crate::change_feed::ChangeFeed;
use crate::counter::Source;
use crate::ledger::error::LedgerError;
use crate::ledger::fold::unfolded::Unfolded;
use crate::ledger::memory::counters::CounterStore;
use crate::ledger::memory::page_admission::PageAdmission;
use crate::ledger::memory::salts::Salts;
use crate::ledger::memory::sketches::SketchStore;
use crate::ledger::memory::titles::NewTitles;
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
    pub unfolded: Unfolded,
    pub feed: Arc<ChangeFeed>,
    /// The reason why the file takes no hits now, if it does not.
    pub failed: Mutex<Option<LedgerError>>,
    pub metrics: Arc<Metrics>,
}

pub type SharedState = Arc<State>;
