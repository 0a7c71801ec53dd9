//! Visitors in the node's file: every acknowledged one is in the sketch once after any crash, and an expired
//! salt is nowhere.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;
use thongke::counter::{
    Arrival, Day, Hit, Minute, PageAddress, Period, RegisteredSite, Salt, Site, SiteNumber, Sketch, Tally, Trace,
    Visit, Window,
};
use thongke::ledger::Ledger;
use thongke::metrics::Metrics;

use crate::directory_lock;

const SITE: SiteNumber = SiteNumber(1);

fn open(directory: &Path) -> (Ledger, Arc<RegisteredSite>, thongke::counter::Sites) {
    let lock = directory_lock::take(directory).unwrap();
    let site = Site::with_defaults("a".parse().unwrap(), vec!["http://localhost:*".parse().unwrap()]);
    let (ledger, sites) = Ledger::open(lock, directory, vec![site], false, Arc::new(Metrics::new())).unwrap();
    let registered = Arc::clone(sites.by_number(SITE).unwrap());
    (ledger, registered, sites)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(work)
}

fn noon() -> DateTime<Utc> {
    "2024-06-17T05:00:00Z".parse().unwrap()
}

fn visit(visitor: u32, now: DateTime<Utc>) -> Visit {
    Visit { trace: Trace::of(&visitor.to_le_bytes()), minute: Minute::at(now), earlier: None }
}

fn hit(now: DateTime<Utc>) -> Hit {
    Hit { site: SITE, day: Day::at(now, chrono_tz::Asia::Ho_Chi_Minh), page: PageAddress::from_stored("/a") }
}

fn arrival(visitor: u32, now: DateTime<Utc>) -> Arrival {
    Arrival::Hit { hit: hit(now), visit: Some(visit(visitor, now)) }
}

#[derive(Debug, Clone)]
enum Step {
    Visitors(Vec<u32>),
    /// Visitors who reload, seen before or not.
    Reloads(Vec<u32>),
    MinutesPass(i64),
    Fold,
    /// Continues from the state on disk.
    Crash,
    Restart,
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(0_u32..3_000, 1..400).prop_map(Step::Visitors),
        2 => prop::collection::vec(0_u32..3_000, 1..400).prop_map(Step::Reloads),
        2 => (1_i64..4).prop_map(Step::MinutesPass),
        2 => Just(Step::Fold),
        2 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => Just(Step::Forget),
    ];
    prop::collection::vec(step, 1..25)
}

fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for name in ["thongke.db", "thongke.db-wal"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.path().join(name)).unwrap();
        }
    }
    to
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_acknowledged_visitor_is_in_the_sketches_once(steps in steps()) {
        run(async {
            let mut directory = TempDir::new().unwrap();
            let (mut ledger, mut site, mut sites) = open(directory.path());
            let mut model: HashMap<Window, Sketch> = HashMap::new();
            let mut now = noon();
            for step in steps {
                match step {
                    Step::Visitors(visitors) => {
                        let arrivals: Vec<_> = visitors.into_iter().map(|visitor| arrival(visitor, now)).collect();
                        let waiting: Vec<_> = arrivals.iter().cloned().map(|arrival| ledger.count(arrival)).collect();
                        for future in waiting {
                            future.await.unwrap();
                        }
                        for arrival in arrivals {
                            let Arrival::Hit { hit, visit: Some(visit) } = arrival else { panic!("{arrival:?}") };
                            for (window, trace) in visit.windows(hit.day) {
                                model.entry(window).or_default().add(trace);
                            }
                        }
                    }
                    Step::Reloads(visitors) => {
                        let visits = visitors.into_iter().map(|visitor| visit(visitor, now));
                        let day = Day::at(now, site.site.time_zone);
                        let visits: Vec<_> = visits.collect();
                        let kept = visits.iter().map(|visit| ledger.reload(SITE, day, *visit));
                        for kept in futures_util::future::join_all(kept).await {
                            kept.unwrap();
                        }
                        for (window, trace) in visits.iter().flat_map(|visit| visit.windows(day)) {
                            model.entry(window).or_default().add(trace);
                        }
                    }
                    Step::MinutesPass(minutes) => now += TimeDelta::minutes(minutes),
                    Step::Fold => ledger.fold().await.unwrap(),
                    Step::Crash => {
                        let crashed = copy(directory.path());
                        ledger.close();
                        drop(ledger);
                        directory = crashed;
                        (ledger, site, sites) = open(directory.path());
                    }
                    Step::Restart => {
                        ledger.close();
                        drop(ledger);
                        (ledger, site, sites) = open(directory.path());
                    }
                    Step::Forget => drop(ledger.forget_visitors(&sites, now).await.unwrap()),
                }
                let (counts, _) = ledger.visitors(&site, now).await.unwrap();
                let today = Window::of_day(Day::at(now, site.site.time_zone));
                prop_assert_eq!(counts.today, model.get_mut(&today).map_or(0, Sketch::estimate));
                let mut online = Sketch::default();
                for window in Window::online(now, site.site.time_zone) {
                    if let Some(sketch) = model.get(&window) {
                        online.merge(sketch);
                    }
                }
                prop_assert_eq!(counts.online, online.estimate());
            }
            ledger.close();
            Ok(())
        })?;
    }
}

/// The crash may have lost the first view.
#[test]
fn a_reload_may_be_all_that_a_file_has() {
    let mut directory = TempDir::new().unwrap();
    run(async {
        let (ledger, site, _) = open(directory.path());
        let day = Day::at(noon(), site.site.time_zone);
        ledger.reload(SITE, day, visit(1, noon())).await.unwrap();
        ledger.close();
        for hits in 0..3 {
            directory = copy(directory.path());
            let (ledger, site, _) = open(directory.path());
            assert_eq!(ledger.visitors(&site, noon()).await.unwrap().0.today, 1);
            assert_eq!(ledger.hits(SITE, &[Period::Total]).await.unwrap().hits, [hits]);
            ledger.count(arrival(1, noon())).await.unwrap();
            // A crash before anything is folded.
            directory = copy(directory.path());
            ledger.close();
        }
    });
}

#[test]
fn a_journal_of_reloads_alone_is_folded_and_pruned() {
    let directory = TempDir::new().unwrap();
    run(async {
        let (ledger, site, _) = open(directory.path());
        let day = Day::at(noon(), site.site.time_zone);
        for visitor in 0..100 {
            ledger.reload(SITE, day, visit(visitor, noon())).await.unwrap();
        }
        ledger.fold().await.unwrap();
        let connection = Connection::open(directory.path().join("thongke.db")).unwrap();
        let rows = || connection.query_row("SELECT count(*) FROM journal", [], |row| row.get::<_, i64>(0)).unwrap();
        let begun = Instant::now();
        while rows() > 1 {
            assert!(begun.elapsed() < Duration::from_secs(20), "the journal has {} rows", rows());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let crashed = copy(directory.path());
        let (after, site, _) = open(crashed.path());
        let counted = after.visitors(&site, noon()).await.unwrap().0.today;
        assert_eq!(counted, ledger.visitors(&site, noon()).await.unwrap().0.today);
        assert!(counted > 80, "{counted}");
        [after, ledger].iter().for_each(Ledger::close);
    });
}

#[test]
fn a_salt_that_is_over_is_in_no_file_and_counts_stay() {
    let directory = TempDir::new().unwrap();
    run(async {
        let (ledger, site, sites) = open(directory.path());
        let [old, new] = [*b"a salt of monday", *b"a salt of tuesda"];
        let day = Day::at(noon(), site.site.time_zone);
        assert_eq!(ledger.keep_salt(SITE, day, Salt::new(old), false).await.unwrap(), Salt::new(old));
        assert_eq!(ledger.keep_salt(SITE, day.next(), Salt::new(new), false).await.unwrap(), Salt::new(new));
        // The first salt holds until the nodes agree on one.
        assert_eq!(ledger.keep_salt(SITE, day, Salt::new([7; 16]), false).await.unwrap(), Salt::new(old));
        ledger.count(arrival(1, noon())).await.unwrap();
        let holds = |salt: &[u8; 16]| {
            ["thongke.db", "thongke.db-wal"].iter().any(|name| {
                let bytes = std::fs::read(directory.path().join(name)).unwrap_or_default();
                bytes.windows(salt.len()).any(|window| window == salt)
            })
        };
        assert!(holds(&old) && holds(&new));
        let copy = directory.path().join("copy.db");
        thongke::ledger::backup(directory.path(), &copy).unwrap();
        let bytes = std::fs::read(&copy).unwrap();
        assert!(![old, new].iter().any(|salt| bytes.windows(16).any(|window| window == salt)), "a backup has no salts");
        let midnight: DateTime<Utc> = "2024-06-17T17:00:00Z".parse().unwrap();
        ledger.forget_visitors(&sites, midnight + TimeDelta::seconds(239)).await.unwrap();
        assert_eq!(ledger.salt(SITE, day), Some(Salt::new(old)), "the online window still needs it");
        ledger.forget_visitors(&sites, midnight + TimeDelta::seconds(240)).await.unwrap();
        assert_eq!(ledger.salt(SITE, day), None);
        assert!(!holds(&old) && holds(&new));
        assert_eq!(ledger.salt(SITE, day.next()), Some(Salt::new(new)));
        let (counts, _) = ledger.visitors(&site, midnight).await.unwrap();
        assert_eq!((counts.today, counts.yesterday), (0, 1));
        // Days later only the estimate is left.
        ledger.fold().await.unwrap();
        ledger.forget_visitors(&sites, midnight + TimeDelta::days(4)).await.unwrap();
        assert_eq!(ledger.visitor_estimates(SITE).await.unwrap(), [(day, 1)]);
        ledger.close();
    });
    let file = Connection::open(directory.path().join("thongke.db")).unwrap();
    let left =
        |table: &str| file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((left("salts"), left("online"), left("visitors WHERE sketch IS NOT NULL")), (0, 0, 0));
}

#[test]
fn an_agreed_salt_takes_the_place_of_a_nodes_own_and_survives_a_restart() {
    let directory = TempDir::new().unwrap();
    run(async {
        let day = Day::at(noon(), chrono_tz::Asia::Ho_Chi_Minh);
        let (ledger, _, _) = open(directory.path());
        ledger.keep_salt(SITE, day, Salt::new([1; 16]), false).await.unwrap();
        assert_eq!(ledger.keep_salt(SITE, day, Salt::new([2; 16]), true).await.unwrap(), Salt::new([2; 16]));
        ledger.close();
        drop(ledger);
        let (ledger, _, sites) = open(directory.path());
        assert_eq!(ledger.salt(SITE, day), Some(Salt::new([2; 16])));
        assert_eq!(ledger.keep_salt(SITE, day, Salt::new([3; 16]), true).await.unwrap(), Salt::new([2; 16]));
        assert_eq!(ledger.salts_to_share(&sites, noon()), [(SITE, day.next())], "tomorrow's is agreed on ahead");
        ledger.close();
    });
}

/// A crashed file of the first version, with unfolded rows in its journal.
#[test]
fn a_file_of_the_first_format_is_taken_over_with_its_journal() {
    let directory = TempDir::new().unwrap();
    let file = Connection::open(directory.path().join("thongke.db")).unwrap();
    file.execute_batch(include_str!("../../src/ledger/sqlite/migrations/0001_counts.sql")).unwrap();
    let mut tally = Tally::default();
    tally.add_many(hit(noon()), 3);
    let mut row = Vec::new();
    tally.encode(&mut row);
    file.execute("INSERT INTO sites (number, id) VALUES (1, 'a')", []).unwrap();
    file.execute("INSERT INTO sources (number, name, learned) VALUES (1, '00000000000000ff', 0)", []).unwrap();
    file.execute("INSERT INTO journal (number, source, tally) VALUES (1, 1, ?)", [&row]).unwrap();
    file.close().unwrap();
    for expected in [4, 5] {
        run(async {
            let (ledger, site, _) = open(directory.path());
            ledger.count(arrival(7, noon())).await.unwrap();
            assert_eq!(ledger.hits(SITE, &[Period::Total]).await.unwrap().hits, [expected]);
            assert_eq!(ledger.visitors(&site, noon()).await.unwrap().0.today, 1);
            ledger.close();
        });
    }
}

#[test]
fn a_file_whose_salts_are_another_tables_rows_is_refused_as_damaged() {
    let directory = TempDir::new().unwrap();
    drop(open(directory.path()));
    let file = Connection::open(directory.path().join("thongke.db")).unwrap();
    let swap = "INSERT INTO visitors VALUES (1, 20240617, 5, NULL);
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'visitors')
         WHERE name = 'salts';";
    file.execute_batch(swap).unwrap();
    drop(file);
    let lock = directory_lock::take(directory.path()).unwrap();
    let refusal = Ledger::open(lock, directory.path(), vec![], false, Arc::new(Metrics::new())).unwrap_err();
    assert!(refusal.to_string().contains("restore"), "{refusal}");
}
