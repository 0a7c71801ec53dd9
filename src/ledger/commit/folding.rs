//! The committer's folding: a step of it with each commit, so that hits wait little.
//!
//! A fold takes these steps: it sorts the unfolded hits beside the commits, writes the sketches of visitors, then the
//! entries, then prunes the journal, vouches for pages and writes titles; their pages have numbers by then. Sketches come before the
//! entries because the mark, once past a row, lets it be pruned with the visitors in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::queue::Done;
use super::state::SharedState;
use super::vouch::{self, TakenVotes};
use crate::counter::{ChangedTitle, SiteNumber, Window};
use crate::ledger::error::LedgerError;
use crate::ledger::fold::entry::{self, Observers};
use crate::ledger::fold::mark::FoldProgress;
use crate::ledger::fold::sort::FoldSort;
use crate::ledger::memory::sketches::SiteSketches;
use crate::ledger::sqlite::tables::meta::{self, FoldMark};
use crate::ledger::sqlite::tables::sources::SourceNumber;
use crate::ledger::sqlite::tables::titles::Outcome;
use crate::ledger::sqlite::tables::{journal, titles, visitors};

/// Unfolded pages at which a fold starts early; about 20 MB. A site's first page makes an entry, and 100,000 sites
/// may each have a page at once.
const UNFOLDED_PAGES_MAX: usize = 110_000;

/// Unfolded pages at which steps grow.
const HURRY_PAGES: usize = 32_768;

/// Journal rows pruned with a commit.
const PRUNED_ROWS: i64 = 64;

/// Interval of checks for the end of a sort, while the committer is idle.
const SORT_POLL: Duration = Duration::from_millis(1);

/// Entries that cost as much as one site's sketches: a sketch can take three pages of the file.
const SKETCH_ENTRIES: usize = 16;

/// Work of one commit beside its hits: a number of entries, or the entries of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    entries: usize,
    time: Duration,
}

impl Budget {
    /// With hits, which wait for it.
    const WITH_HITS: Self = Self { entries: 64, time: Duration::from_micros(100) };
    /// Without recent hits; the next one may wait for it.
    const AT_REST: Self = Self { entries: 1_024, time: Duration::from_millis(5) };
    /// At the end of the process, when no hit waits.
    pub const AT_THE_END: Self = Self { entries: 1_024, time: Duration::from_secs(1) };

    /// Four times as much for each `HURRY_PAGES`: hits may bring new pages faster than small steps fold them, and
    /// the unfolded hits must stay bounded.
    pub fn of(is_at_rest: bool, unfolded_pages: usize) -> Self {
        if is_at_rest {
            return Self::AT_REST;
        }
        let factor = 1 << (2 * (unfolded_pages / HURRY_PAGES).min(4));
        Self { entries: Self::WITH_HITS.entries * factor, time: Self::WITH_HITS.time * factor as u32 }
    }
}

/// The part of folding that the next commit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Nothing,
    Sketches,
    Entries,
    /// Pruning the journal and writing titles, between two folds.
    Upkeep,
}

/// A step that is written and waits for the sync. Dropped before it, sketches and titles wait again.
pub enum Written {
    Nothing,
    Sketches { taken: Taken, sites_left: usize },
    Entries(usize),
    Upkeep { has_more_to_prune: bool, taken: Taken, unnumbered: Vec<ChangedTitle> },
}

/// The state of folding.
pub struct Folding {
    state: SharedState,
    interval: Duration,
    last_start: Instant,
    pub progress: FoldProgress,
    /// The next fold, being sorted.
    sort: Option<FoldSort>,
    /// Sites whose sketches are still to be written before the entries.
    sketch_sites: Vec<SiteNumber>,
    must_prune: bool,
    pub titles_are_due: bool,
    /// Callers that wait until the journal is folded up to a row.
    waiting: Vec<(i64, Done)>,
}

impl Folding {
    /// `must_prune`: the journal holds folded rows.
    pub fn new(state: SharedState, mark: FoldMark, interval: Duration, must_prune: bool) -> Self {
        Self {
            state,
            interval,
            last_start: Instant::now(),
            progress: FoldProgress::new(mark),
            sort: None,
            sketch_sites: Vec::new(),
            must_prune,
            titles_are_due: false,
            waiting: Vec::new(),
        }
    }

    pub fn next_step(&self) -> Step {
        if !self.sketch_sites.is_empty() {
            Step::Sketches
        } else if !self.progress.is_idle() {
            Step::Entries
        } else if self.must_prune || self.titles_are_due {
            Step::Upkeep
        } else {
            Step::Nothing
        }
    }

    /// The time until the next step may be due; none if one is due now.
    pub fn idle_time(&self) -> Option<Duration> {
        if self.next_step() != Step::Nothing {
            return None;
        }
        if self.sort.is_some() {
            return Some(SORT_POLL);
        }
        let until_due = self.interval.saturating_sub(self.last_start.elapsed()).max(Duration::from_micros(1));
        self.waiting.is_empty().then_some(until_due)
    }

    /// Starts sorting when a fold is due, and folding when the sort has ended.
    pub fn start_if_due(&mut self, last_row: i64, run_number: Option<SourceNumber>) {
        let is_due = || {
            self.last_start.elapsed() >= self.interval
                || self.state.unfolded.len() >= UNFOLDED_PAGES_MAX
                || !self.waiting.is_empty()
        };
        if self.progress.is_idle() && self.sort.is_none() && is_due() {
            self.start_sort(last_row);
            self.last_start = Instant::now();
        }
        if self.sort.as_ref().is_some_and(FoldSort::is_done) {
            self.start_fold(run_number);
        }
    }

    /// Starts the next fold without waiting for its time. False: everything is folded.
    pub fn start_now(&mut self, last_row: i64, run_number: Option<SourceNumber>) -> bool {
        if self.progress.is_idle() {
            if !self.has_unfolded(last_row) {
                return false;
            }
            self.start_sort(last_row);
            self.start_fold(run_number);
        }
        true
    }

    /// Makes waiting titles due: all pages have numbers.
    pub fn make_titles_due(&mut self) -> bool {
        self.titles_are_due = self.state.titles.is_waiting() || self.state.vouching.is_waiting();
        self.titles_are_due
    }

    /// True if the journal has rows after the fold. The unfolded hits may be empty all the same: rows of reloads alone
    /// are folded too, so that they can be pruned.
    fn has_unfolded(&self, last_row: i64) -> bool {
        last_row > self.progress.mark.target
    }

    fn start_sort(&mut self, last_row: i64) {
        if self.sort.is_none() && self.has_unfolded(last_row) {
            self.sort = Some(FoldSort::start(&self.state.unfolded.set_aside(), last_row));
        }
    }

    fn start_fold(&mut self, run_number: Option<SourceNumber>) {
        if let Some(source) = run_number
            && let Some(sort) = self.sort.take()
        {
            let target = sort.target;
            let entries = sort.finish();
            self.state.unfolded.fold(Arc::clone(&entries));
            self.progress.start(entries, source, target);
            self.sketch_sites = self.state.sketches.take_unfolded();
        }
    }

    /// Writes the next step within a transaction.
    pub fn write(&self, connection: &Connection, budget: Budget) -> rusqlite::Result<Written> {
        match self.next_step() {
            Step::Nothing => Ok(Written::Nothing),
            Step::Sketches => {
                let sites_left = self.sketch_sites.len().saturating_sub(budget.entries / SKETCH_ENTRIES);
                let mut taken = Taken::of(&self.state);
                for site in self.sketch_sites.get(sites_left..).unwrap_or_default() {
                    let Some(sketches) = self.state.sketches.get(*site) else { continue };
                    let unfolded = sketches.take_unfolded();
                    taken.sketches.push((sketches, unfolded.iter().map(|(window, _)| *window).collect()));
                    for (window, sketch) in &unfolded {
                        visitors::merge(connection, *site, *window, sketch)?;
                    }
                }
                Ok(Written::Sketches { taken, sites_left })
            }
            Step::Entries => self.write_entries(connection, budget).map(Written::Entries),
            Step::Upkeep => {
                let has_more_to_prune =
                    self.must_prune && journal::prune(connection, self.progress.mark.mark, PRUNED_ROWS)?;
                let limit = if self.titles_are_due { budget.entries / 4 } else { 0 };
                let mut taken = Taken::of(&self.state);
                // Votes first: a title may belong to a page that they vouch for.
                vouch::write(connection, &self.observers(), &mut taken.votes, limit)?;
                let titles_max = if taken.votes.has_votes() { 0 } else { limit };
                taken.titles = self.state.titles.queue.take(titles_max);
                let mut unnumbered = Vec::new();
                for title in &taken.titles {
                    match titles::write(connection, title)? {
                        Outcome::Written => self.state.feed.note_title(title.clone()),
                        Outcome::IsUnnumbered => unnumbered.push(title.clone()),
                        Outcome::IsUnvouched => {}
                    }
                }
                taken.votes.write_first_titles(connection, &self.state, titles_max)?;
                Ok(Written::Upkeep { has_more_to_prune, taken, unnumbered })
            }
        }
    }

    fn observers(&self) -> Observers<'_> {
        let state = &*self.state;
        Observers { feed: &state.feed, admission: &state.admission, vouching: &state.vouching, run: &state.run }
    }

    fn write_entries(&self, connection: &Connection, budget: Budget) -> rusqlite::Result<usize> {
        let started = Instant::now();
        let mut folded = 0;
        for entry in self.progress.next(budget.entries) {
            let vouches = self.state.open_sites.has(entry.site);
            entry::add_to_counts(connection, Some(self.observers()), vouches, self.progress.source, entry)?;
            folded += 1;
            if started.elapsed() > budget.time {
                break;
            }
        }
        meta::write_fold_mark(connection, self.progress.mark_after(folded))?;
        self.state.metrics.fold_step_duration_seconds.observe(started.elapsed().as_secs_f64());
        Ok(folded)
    }

    /// Takes over a written step that is on disk.
    pub fn confirm(&mut self, written: Written) {
        match written {
            Written::Nothing => {}
            Written::Sketches { mut taken, sites_left } => {
                taken.sketches.clear();
                self.sketch_sites.truncate(sites_left);
            }
            Written::Entries(folded) => self.confirm_entries(folded),
            Written::Upkeep { has_more_to_prune, mut taken, unnumbered } => {
                self.must_prune = has_more_to_prune;
                // Titles whose pages have no numbers yet wait for the next fold, with later ones.
                self.titles_are_due &= taken.titles.len() > unnumbered.len() || taken.votes.has_progress();
                taken.titles = unnumbered;
                taken.votes.confirm();
            }
        }
    }

    fn confirm_entries(&mut self, folded: usize) {
        for entry in self.progress.next(folded).iter().filter(|entry| entry.page.is_none()) {
            if let Some(counters) = self.state.counters.get(entry.site) {
                counters.fold(&entry.day.site_periods(), entry.hits);
            }
            self.state.metrics.ledger_tail_hits.sub(entry.hits);
        }
        let mark = self.progress.mark_after(folded);
        self.progress.advance(mark);
        self.state.unfolded.advance(mark);
        if self.progress.is_idle() {
            self.must_prune = true;
            self.make_titles_due();
        }
    }

    /// Answers `done` once the journal is folded up to `row`.
    pub fn answer_after(&mut self, row: i64, done: Done) {
        self.waiting.push((row, done));
    }

    /// Answers the callers whose rows are folded and whose titles are written.
    pub fn answer_folded(&mut self) {
        if self.waiting.is_empty() || self.titles_are_due {
            return;
        }
        let mark = self.progress.mark.mark;
        let (folded, waiting): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|(row, _)| *row <= mark);
        self.waiting = waiting;
        for (_, done) in folded {
            // A caller that has gone needs no answer.
            let _ = done.send(Ok(()));
        }
    }

    pub fn refuse_waiting(&mut self, reason: &LedgerError) {
        for (_, done) in self.waiting.drain(..) {
            let _ = done.send(Err(reason.clone()));
        }
    }
}

/// Sketches, votes and titles that a transaction writes; dropped unconfirmed, they wait again.
pub struct Taken {
    state: SharedState,
    sketches: Vec<(Arc<SiteSketches>, Vec<Window>)>,
    votes: TakenVotes,
    titles: Vec<ChangedTitle>,
}

impl Taken {
    fn of(state: &SharedState) -> Self {
        let votes = TakenVotes::of(state);
        Self { state: Arc::clone(state), sketches: Vec::new(), votes, titles: Vec::new() }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (sketches, windows) in &self.sketches {
            sketches.put_back_unfolded(windows);
        }
        self.titles.drain(..).for_each(|title| self.state.titles.queue.put(title));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::counter::vouching::NetworkTag;
    use crate::counter::{Day, Hit, PageAddress, PageTitle, Tally, Trace};
    use crate::ledger::commit::state::State;
    use crate::ledger::memory::vouching::Reading;
    use crate::ledger::sqlite::migrations;
    use crate::ledger::sqlite::tables::{counts, pages};
    use crate::metrics::Metrics;

    const SITE: SiteNumber = SiteNumber(1);
    const START: FoldMark = FoldMark { mark: 0, target: 0, done: 0 };
    const RUN: SourceNumber = 1;

    fn file() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrations::migrate(&connection).unwrap();
        connection
    }

    fn folding() -> Folding {
        let state = Arc::new(State::new(START, true, Arc::new(Metrics::new())));
        Folding::new(state, START, Duration::from_secs(30), false)
    }

    fn day() -> Day {
        Day::from_ymd(2024, 6, 17).unwrap()
    }

    fn page(address: &str) -> PageAddress {
        PageAddress::from_stored(address)
    }

    fn name(folding: &Folding, address: &str, title: &str) {
        let link = || Some("/A/".to_owned());
        folding.state.titles.note((SITE, &page(address), day()), title, &link, 1, |_| None);
    }

    fn read_by(folding: &Folding, address: &str, network: u32) {
        let reading = Reading { tag: NetworkTag::from_number(network), wanted: 3 };
        folding.state.vouching.note(SITE, day(), Some(&page(address)), reading);
    }

    fn vouch(folding: &Folding, pages: &[&str]) {
        pages.iter().for_each(|address| folding.state.vouching.note_known(SITE, day(), &page(address)));
    }

    fn count(folding: &Folding, pages: &[&str]) {
        let mut tally = Tally::default();
        pages.iter().for_each(|address| tally.add(Hit { site: SITE, day: day(), page: page(address) }));
        folding.state.unfolded.add(tally, [day()]);
    }

    /// Folds step by step; the steps that it took.
    fn steps(folding: &mut Folding, file: &Connection, budget: Budget) -> Vec<Step> {
        let mut steps = Vec::new();
        while folding.next_step() != Step::Nothing {
            steps.push(folding.next_step());
            let written = folding.write(file, budget).unwrap();
            folding.confirm(written);
        }
        steps
    }

    #[test]
    fn a_fold_writes_sketches_then_entries_then_prunes_and_writes_titles() {
        let (mut folding, file) = (folding(), file());
        count(&folding, &["/a", "/b"]);
        folding.state.sketches.load(SITE, Vec::new());
        folding.state.sketches.add(SITE, Window::of_day(day()), Trace::of(b"a"));
        name(&folding, "/a", "Tin");
        name(&folding, "/never", "Tin");
        vouch(&folding, &["/a"]);
        assert_eq!(folding.next_step(), Step::Nothing);
        assert!(folding.start_now(3, Some(RUN)));
        let budget = Budget { entries: SKETCH_ENTRIES, time: Duration::from_secs(9) };
        assert_eq!(
            steps(&mut folding, &file, budget),
            [Step::Sketches, Step::Entries, Step::Upkeep, Step::Upkeep, Step::Upkeep]
        );
        assert_eq!(folding.progress.mark, FoldMark { mark: 3, target: 3, done: 0 });
        assert!(!folding.start_now(3, Some(RUN)));
        let written = titles::read(&file, SITE, &[page("/a")]).unwrap();
        assert_eq!(
            written[0].as_ref().map(|given| given.title.clone()),
            PageTitle::of("Tin").map(|title| title.with_link(Some("/A/")))
        );
        // The title of a page without a number waits for the next fold and delays no caller.
        assert!(!folding.titles_are_due && !folding.state.titles.queue.is_empty());
        assert_eq!(folding.state.feed.take_titles(9).len(), 1);
        assert_eq!(folding.state.feed.take_pages().len(), 2);
    }

    #[test]
    fn a_step_that_is_not_on_disk_is_written_again() {
        let (mut folding, file) = (folding(), file());
        count(&folding, &["/a"]);
        folding.state.sketches.load(SITE, Vec::new());
        folding.state.sketches.add(SITE, Window::of_day(day()), Trace::of(b"a"));
        folding.start_now(1, Some(RUN));
        drop(folding.write(&file, Budget::AT_REST).unwrap());
        assert_eq!(folding.next_step(), Step::Sketches);
        assert_eq!(folding.state.sketches.get(SITE).unwrap().take_unfolded().len(), 1);
        let written = folding.write(&file, Budget::AT_REST).unwrap();
        folding.confirm(written);
        drop(folding.write(&file, Budget::AT_REST).unwrap());
        assert_eq!((folding.next_step(), folding.progress.mark.done), (Step::Entries, 0));
    }

    #[test]
    fn titles_of_a_transaction_that_failed_wait_again() {
        let (mut folding, file) = (folding(), file());
        count(&folding, &["/1"]);
        vouch(&folding, &["/1"]);
        folding.start_now(1, Some(RUN));
        steps(&mut folding, &file, Budget::AT_REST);
        ["/1", "/2", "/3"].iter().for_each(|page| name(&folding, page, "Tin"));
        let pages = ["/1", "/2", "/3"].map(page);
        assert!(folding.make_titles_due());
        let waiting = |folding: &Folding| {
            pages.iter().filter(|page| folding.state.titles.queue.get(SITE, page).is_some()).count()
        };
        drop(folding.write(&file, Budget::AT_REST).unwrap());
        assert_eq!(waiting(&folding), 3);
        let written = folding.write(&file, Budget::AT_REST).unwrap();
        folding.confirm(written);
        assert_eq!(waiting(&folding), 2);
    }

    #[test]
    fn a_caller_is_answered_when_its_row_is_folded() {
        let (mut folding, file) = (folding(), file());
        let (done, mut early) = oneshot::channel();
        folding.answer_after(0, done);
        folding.answer_folded();
        assert_eq!(early.try_recv().unwrap(), Ok(()));
        count(&folding, &["/a"]);
        let (done, mut answer) = oneshot::channel();
        folding.answer_after(1, done);
        assert_eq!(folding.idle_time(), None);
        folding.start_now(1, Some(RUN));
        folding.answer_folded();
        assert!(answer.try_recv().is_err());
        steps(&mut folding, &file, Budget::AT_REST);
        folding.answer_folded();
        assert_eq!(answer.try_recv().unwrap(), Ok(()));
    }

    #[test]
    fn the_committer_sleeps_until_the_next_fold_is_due() {
        let mut folding = folding();
        assert!(folding.idle_time().unwrap() > Duration::from_secs(29));
        folding.start_if_due(0, Some(RUN));
        assert!(folding.sort.is_none());
        // A fold is due, but the journal has nothing new.
        folding.last_start -= Duration::from_secs(30);
        folding.start_if_due(0, Some(RUN));
        assert!(folding.sort.is_none() && folding.idle_time().unwrap() > Duration::from_secs(29));
        count(&folding, &["/a"]);
        folding.start_if_due(1, Some(RUN));
        assert!(folding.sort.is_none(), "before its time");
        folding.last_start -= Duration::from_secs(30);
        while folding.next_step() == Step::Nothing {
            folding.start_if_due(1, Some(RUN));
            assert!(folding.next_step() != Step::Nothing || folding.idle_time() == Some(SORT_POLL));
        }
        assert_eq!((folding.next_step(), folding.idle_time()), (Step::Entries, None));
    }

    #[test]
    fn a_step_grows_with_the_unfolded_pages_up_to_a_limit() {
        let entries = |pages| Budget::of(false, pages).entries;
        assert_eq!(entries(HURRY_PAGES - 1), 64);
        assert_eq!([1, 2, 3, 4, 9].map(|times| entries(times * HURRY_PAGES)), [256, 1_024, 4_096, 16_384, 16_384]);
        assert_eq!(Budget::of(false, HURRY_PAGES).time, Duration::from_micros(400));
        assert_eq!(Budget::of(true, 9 * HURRY_PAGES), Budget::AT_REST);
    }

    #[test]
    fn a_caller_waits_for_titles_too_and_is_refused_if_the_file_fails() {
        let mut folding = folding();
        let (done, mut first) = oneshot::channel();
        folding.answer_after(0, done);
        folding.titles_are_due = true;
        folding.answer_folded();
        assert!(first.try_recv().is_err());
        folding.titles_are_due = false;
        folding.answer_folded();
        assert_eq!(first.try_recv(), Ok(Ok(())));
        let (done, mut second) = oneshot::channel();
        folding.answer_after(1, done);
        let reason = LedgerError::new("the disk is full");
        folding.refuse_waiting(&reason);
        assert_eq!(second.try_recv(), Ok(Err(reason)));
    }

    #[test]
    fn a_page_has_a_day_alone_until_three_networks_have_read_it() {
        let (mut folding, file) = (folding(), file());
        let stored = || {
            let known = pages::find(&file, SITE, &page("/a")).unwrap().unwrap();
            let periods = day().page_periods().map(|period| {
                let counts = counts::of_page(&file, SITE, period, known.number).unwrap();
                counts.iter().map(|count| count.register.hits()).sum::<i64>()
            });
            (known.is_vouched, periods)
        };
        file.execute(
            "INSERT INTO sources (number, name, learned) VALUES (?, ?, 0)",
            (RUN, folding.state.run.to_string()),
        )
        .unwrap();
        // Networks of other pages make the site one that needs three.
        for network in 7..10 {
            read_by(&folding, "/b", network);
        }
        let mut row = 0;
        let mut hit = |folding: &mut Folding, network: u32| {
            row += 1;
            read_by(folding, "/a", network);
            count(folding, &["/a", "/a"]);
            folding.start_now(row, Some(RUN));
            steps(folding, &file, Budget::AT_REST);
        };
        hit(&mut folding, 1);
        hit(&mut folding, 1);
        hit(&mut folding, 2);
        assert_eq!(stored(), (false, [6, 0, 0]));
        assert_eq!(folding.state.feed.take_pages().iter().map(|page| page.hits).collect::<Vec<_>>(), [[6, 0, 0]]);
        hit(&mut folding, 3);
        assert_eq!(stored(), (true, [8, 8, 8]));
        assert_eq!(folding.state.feed.take_pages().iter().map(|page| page.hits).collect::<Vec<_>>(), [[8, 8, 8]]);
        assert!(!folding.state.vouching.is_waiting());
    }
}
