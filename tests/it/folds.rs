//! Crashes amid a fold. The folded part is a position in the journal's entries; the next start must find the
//! same position.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;
use thongke::counter::{Day, Hit, Minute, PageAddress, Period, Site, SiteNumber, Trace, Visit};
use thongke::ledger::Ledger;
use thongke::metrics::Metrics;

use crate::directory_lock;

const SITE: SiteNumber = SiteNumber(1);

fn open(directory: &Path) -> Ledger {
    let lock = directory_lock::take(directory).unwrap();
    let site = Site::with_defaults("a".parse().unwrap(), vec!["http://localhost:*".parse().unwrap()]);
    Ledger::open(lock, directory, vec![site], false, Arc::new(Metrics::new())).unwrap().0
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(work)
}

fn day() -> Day {
    Day::from_ymd(2024, 6, 17).unwrap()
}

fn address(page: usize) -> String {
    format!("/{page}")
}

async fn count(ledger: &Ledger, pages: impl IntoIterator<Item = usize>) {
    let hit = |page| Hit { site: SITE, day: day(), page: PageAddress::from_stored(&address(page)) };
    let waiting: Vec<_> = pages.into_iter().map(|page| ledger.count(hit(page))).collect();
    for future in waiting {
        future.await.unwrap();
    }
}

async fn reload(ledger: &Ledger, visitor: u32) {
    let minute = Minute::at("2024-06-17T05:00:00Z".parse().unwrap());
    let visit = Visit { trace: Trace::of(&visitor.to_le_bytes()), minute, earlier: None };
    ledger.reload(SITE, day(), visit).await.unwrap();
}

/// The day's hits by page; the site's own under an empty address.
async fn counted(ledger: &Ledger) -> BTreeMap<String, i64> {
    let rows = ledger.export(SITE, None, 100_000).await.unwrap().into_iter();
    let of_day = rows.filter(|row| row.period == Period::Day(day()));
    of_day.map(|row| (row.page.map_or(String::new(), |page| page.as_str().to_owned()), row.hits)).collect()
}

fn is_amid_a_fold(file: &Path) -> bool {
    let connection = Connection::open(file).unwrap();
    let done = connection.query_row("SELECT value FROM meta WHERE key = 'fold_done'", [], |row| row.get::<_, i64>(0));
    done.unwrap() > 0
}

/// Folds; at a given time during it, takes a backup. A backup holds one moment's state, as a crash leaves it.
async fn crash_amid_fold(
    ledger: &Ledger,
    directory: &Path,
    has_come: impl Fn(&Path) -> bool + Send + 'static,
) -> TempDir {
    let left = TempDir::new().unwrap();
    let (from, to) = (directory.to_owned(), left.path().join("thongke.db"));
    let taking = std::thread::spawn(move || {
        let begun = Instant::now();
        while !has_come(&from.join("thongke.db")) && begun.elapsed() < Duration::from_secs(60) {}
        thongke::ledger::backup(&from, &to)
    });
    ledger.fold().await.unwrap();
    taking.join().unwrap().unwrap();
    left
}

/// A fold's position counts the entries of its own run's rows. A run of reloads before it has none.
#[test]
fn a_crash_amid_the_first_fold_after_a_run_of_reloads_loses_nothing() {
    const PAGES: usize = 20_000;
    let begun = Instant::now();
    let crashed = loop {
        assert!(begun.elapsed() < Duration::from_secs(120), "no backup was made amid a fold");
        let directory = TempDir::new().unwrap();
        let left = run(async {
            let ledger = open(directory.path());
            reload(&ledger, 1).await;
            ledger.close();
            drop(ledger);
            let ledger = open(directory.path());
            count(&ledger, 0..PAGES).await;
            let left = crash_amid_fold(&ledger, directory.path(), is_amid_a_fold).await;
            ledger.close();
            left
        });
        if is_amid_a_fold(&left.path().join("thongke.db")) {
            break left;
        }
    };
    run(async {
        let ledger = open(crashed.path());
        let counted = counted(&ledger).await;
        assert_eq!((counted.len(), counted[""]), (PAGES + 1, i64::try_from(PAGES).unwrap()));
        ledger.close();
    });
}

/// Hits of one run before it crashes.
#[derive(Debug, Clone)]
struct Run {
    reloads: u32,
    first_page: usize,
    pages: usize,
    /// Time from the fold's begin to the crash.
    after: Duration,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let run = (0_u32..3, 0_usize..8_000, 0_usize..8_000, 0_u64..400).prop_map(|(reloads, first_page, pages, ms)| Run {
        reloads,
        first_page,
        pages,
        after: Duration::from_millis(ms),
    });
    prop::collection::vec(run, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn whenever_runs_crash_while_they_fold_each_hit_is_counted_once(runs in runs()) {
        run(async {
            let mut directory = TempDir::new().unwrap();
            let mut model = BTreeMap::new();
            for Run { reloads, first_page, pages, after } in runs {
                let ledger = open(directory.path());
                for visitor in 0..reloads {
                    reload(&ledger, visitor).await;
                }
                count(&ledger, first_page..first_page + pages).await;
                for page in first_page..first_page + pages {
                    *model.entry(address(page)).or_default() += 1;
                    *model.entry(String::new()).or_default() += 1;
                }
                let begun = Instant::now();
                let left = crash_amid_fold(&ledger, directory.path(), move |_| begun.elapsed() >= after).await;
                ledger.close();
                drop(ledger);
                directory = left;
            }
            let ledger = open(directory.path());
            prop_assert!(counted(&ledger).await == model);
            ledger.close();
            Ok(())
        })?;
    }
}
