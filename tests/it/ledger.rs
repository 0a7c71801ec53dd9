use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tempfile::TempDir;
use thongke::counter::csv::Row;
use thongke::counter::{Day, Hit, PageAddress, Period, Site, SiteNumber, Sites};
use thongke::ledger::{DirectoryLock, Ledger, OpenError};
use thongke::metrics::Metrics;

use crate::directory_lock;

fn site(id: &str) -> Site {
    Site::with_defaults(id.parse().unwrap(), vec!["http://localhost:*".parse().unwrap()])
}

fn try_open(directory: &Path) -> Result<(Ledger, Sites), OpenError> {
    let lock = directory_lock::take(directory)?;
    Ledger::open(lock, directory, vec![site("a"), site("b")], false, Arc::new(Metrics::new()))
}

fn open(directory: &Path) -> Ledger {
    try_open(directory).unwrap().0
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(work)
}

const A: SiteNumber = SiteNumber(1);
const B: SiteNumber = SiteNumber(2);

fn day(day: u32) -> Day {
    Day::from_ymd(2024, 6, day).unwrap()
}

fn hit(site: SiteNumber, on: u32, page: &str) -> Hit {
    Hit { site, day: day(on), page: PageAddress::from_stored(page) }
}

async fn count(ledger: &Ledger, hits: impl IntoIterator<Item = Hit>) {
    let waiting: Vec<_> = hits.into_iter().map(|hit| ledger.count(hit)).collect();
    for future in waiting {
        future.await.unwrap();
    }
}

/// Folds, and vouches for pages.
async fn vouch(ledger: &Ledger, site: SiteNumber, pages: impl IntoIterator<Item = String>) {
    ledger.fold().await.unwrap();
    let pages = pages.into_iter().map(|page| PageAddress::from_stored(&page)).collect();
    ledger.vouch_pages(site, pages).await.unwrap();
}

async fn exported(ledger: &Ledger, site: SiteNumber) -> Vec<String> {
    let mut lines = Vec::new();
    let mut after = None;
    loop {
        let rows = ledger.export(site, after, 3).await.unwrap();
        let Some(last) = rows.last() else { return lines };
        after = Some(last.clone());
        lines.extend(rows.iter().map(|row| {
            let page = row.page.as_ref().map_or("", |page| page.as_str());
            format!("{},{page},{}", row.period, row.hits)
        }));
    }
}

async fn total(ledger: &Ledger, site: SiteNumber) -> i64 {
    ledger.hits(site, &[Period::Total]).await.unwrap().hits[0]
}

#[test]
fn hits_are_counted_by_day_month_year_and_total_and_pages_without_years() {
    let directory = TempDir::new().unwrap();
    run(async {
        let ledger = open(directory.path());
        count(&ledger, [hit(A, 16, "/x"), hit(A, 17, "/x"), hit(A, 17, "/y"), hit(B, 17, "/x")]).await;
        vouch(&ledger, A, ["/x", "/y"].map(str::to_owned)).await;
        assert_eq!(
            exported(&ledger, A).await,
            [
                "total,,3",
                "total,/x,2",
                "total,/y,1",
                "2024,,3",
                "2024-06,,3",
                "2024-06,/x,2",
                "2024-06,/y,1",
                "2024-06-16,,1",
                "2024-06-16,/x,1",
                "2024-06-17,,2",
                "2024-06-17,/x,1",
                "2024-06-17,/y,1",
            ]
        );
        ledger.close();
    });
}

#[test]
fn a_hit_acknowledged_before_a_restart_is_counted_after_it() {
    let directory = TempDir::new().unwrap();
    for restart in 0..4 {
        run(async {
            let ledger = open(directory.path());
            assert_eq!(total(&ledger, A).await, restart * 100);
            count(&ledger, (0..100).map(|n| hit(A, 17, &format!("/{}", n % 7)))).await;
            assert_eq!(total(&ledger, A).await, restart * 100 + 100);
            ledger.close();
        });
    }
}

#[test]
fn days_far_apart_in_one_commit_are_each_shown_whole() {
    let directory = TempDir::new().unwrap();
    // The clock was set: the gap is longer than the figures' range.
    let pairs = (1..=8).map(|early| (early, early + 20));
    run(async {
        let ledger = open(directory.path());
        count(&ledger, pairs.clone().flat_map(|(early, late)| [early, late]).map(|on| hit(A, on, "/"))).await;
        ledger.close();
    });
    for (early, late) in pairs {
        run(async {
            let ledger = open(directory.path());
            count(&ledger, [hit(A, early, "/"), hit(A, late, "/")]).await;
            for on in [early, late] {
                let shown = ledger.hits(A, &[Period::Day(day(on))]).await.unwrap().hits;
                assert_eq!(shown, [2], "of {on} beside {early} and {late}");
            }
            ledger.close();
        });
    }
}

#[test]
fn the_log_restarts_while_hits_arrive() {
    let directory = TempDir::new().unwrap();
    // SQLite's WAL file format: the header's third word counts the log's restarts.
    let begun = || std::fs::read(directory.path().join("thongke.db-wal")).unwrap()[12..16].to_owned();
    run(async {
        let ledger = open(directory.path());
        count(&ledger, [hit(A, 17, "/")]).await;
        let (first, started) = (begun(), Instant::now());
        while begun() == first {
            assert!(started.elapsed() < Duration::from_secs(120), "it grows and grows");
            count(&ledger, (0..1_000).map(|n| hit(A, 17, &format!("/a-page-with-a-long-name-{n}")))).await;
        }
        ledger.close();
    });
}

/// Copies a running node's files: the state that a crash now would leave.
fn crash(of: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for name in ["thongke.db", "thongke.db-wal"] {
        std::fs::copy(of.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

#[test]
fn a_hit_acknowledged_before_a_crash_is_counted_after_it_and_once() {
    let directory = TempDir::new().unwrap();
    run(async {
        let ledger = open(directory.path());
        count(&ledger, (0..500).map(|n| hit(A, 17, &format!("/{n}")))).await;
        ledger.fold().await.unwrap();
        count(&ledger, (0..500).map(|n| hit(A, 17, &format!("/{}", n * 2)))).await;
        let left = crash(directory.path());
        let again = open(left.path());
        assert_eq!(total(&again, A).await, 1000);
        assert_eq!(exported(&again, A).await, exported(&ledger, A).await);
        again.close();
        ledger.close();
    });
}

#[test]
fn a_second_node_on_the_directory_is_refused_and_the_holder_is_named() {
    let directory = TempDir::new().unwrap();
    let mut lock = DirectoryLock::take(directory.path()).unwrap();
    lock.sign("127.0.0.1:8081").unwrap();
    let refusal = DirectoryLock::take(directory.path()).unwrap_err().to_string();
    assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
    let holder = DirectoryLock::holder(directory.path()).unwrap();
    assert_eq!(holder.admin_address.as_deref(), Some("127.0.0.1:8081"));
    drop(lock);
    assert_eq!(DirectoryLock::holder(directory.path()), None);
    // A command at work on the files replaces the address of an earlier node.
    let _lock = DirectoryLock::take(directory.path()).unwrap();
    assert_eq!(DirectoryLock::holder(directory.path()).unwrap().admin_address, None);
}

fn page_of(number: usize) -> PageAddress {
    PageAddress::from_stored(&format!("/{number}"))
}

fn row(period: &str, hits: i64) -> Row {
    Row { period: period.parse().unwrap(), page: None, hits }
}

#[test]
fn a_file_whose_only_import_has_expired_opens_again() {
    let directory = TempDir::new().unwrap();
    run(async {
        let (ledger, sites) = try_open(directory.path()).unwrap();
        let rows = vec![Row { page: Some(page_of(1)), ..row("2024-06-17", 5) }];
        ledger.import(A, "old".parse().unwrap(), rows, Utc::now()).await.unwrap();
        let expired = ledger.expire_pages(sites.by_number(A).unwrap(), Day::from_ymd(2030, 1, 1).unwrap()).await;
        assert_eq!(expired.unwrap(), 1);
        ledger.close();
        drop(ledger);
        open(directory.path()).close();
    });
}

/// Polls an import so often, and drops it then, as the server does when the caller goes.
async fn import_and_go(ledger: &Ledger, rows: Vec<Row>, polls: usize) {
    let mut import = Box::pin(ledger.import(A, "cut".parse().unwrap(), rows, Utc::now()));
    for _ in 0..polls {
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(import.as_mut().poll(context))).await;
        if polled.is_ready() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn an_import_of_nothing_leaves_one_that_was_cut_short_uncounted() {
    let directory = TempDir::new().unwrap();
    run(async {
        let ledger = open(directory.path());
        let rows: Vec<_> = (0..5_000).map(|page| Row { page: Some(page_of(page)), ..row("total", 1) }).collect();
        for polls in 1..12 {
            import_and_go(&ledger, rows.clone(), polls).await;
            assert!(ledger.forget(A, "other".parse().unwrap(), Utc::now()).await.unwrap().is_none());
            let counted = ledger.sources(A).await.unwrap().len();
            let has = ledger.export(A, None, 10_000).await.unwrap().len();
            assert!(has == 0 || has == rows.len(), "{polls}: {has} rows of {counted} sources");
        }
        ledger.close();
    });
}

#[test]
fn a_corrected_import_replaces_the_first_and_forgetting_undoes_it() {
    let directory = TempDir::new().unwrap();
    run(async {
        let ledger = open(directory.path());
        let name = || "vinaora".parse().unwrap();
        count(&ledger, [hit(A, 17, "/x")]).await;
        let report =
            ledger.import(A, name(), vec![row("2024-06-17", 851), row("2024", 900)], Utc::now()).await.unwrap();
        assert_eq!((report.rows, report.cleared), (2, 0));
        assert_eq!(report.days_also_counted_live, ["2024-06-17"]);
        let today = [Period::Day(day(17)), day(17).year()];
        assert_eq!(ledger.hits(A, &today).await.unwrap().hits, [852, 901]);
        let report = ledger.import(A, name(), vec![row("2024-06-17", 800)], Utc::now()).await.unwrap();
        assert_eq!(report.cleared, 1);
        assert_eq!(ledger.hits(A, &today).await.unwrap().hits, [801, 1]);
        count(&ledger, [hit(A, 17, "/x")]).await;
        assert_eq!(ledger.hits(A, &today).await.unwrap().hits, [802, 2]);
        assert!(ledger.forget(A, "other".parse().unwrap(), Utc::now()).await.unwrap().is_none());
        assert!(ledger.forget(A, name(), Utc::now()).await.unwrap().is_some());
        assert_eq!(ledger.hits(A, &today).await.unwrap().hits, [2, 2]);
        let sources = ledger.sources(A).await.unwrap();
        assert_eq!(sources.len(), 2);
        assert!(sources.iter().any(|source| source.current && source.total == 2));
        ledger.close();
    });
}

#[test]
fn a_damaged_file_is_refused_with_what_to_do_and_never_opened_as_empty() {
    let fresh = || {
        let directory = TempDir::new().unwrap();
        run(async {
            let ledger = open(directory.path());
            count(&ledger, [hit(A, 17, "/x")]).await;
            ledger.close();
        });
        directory
    };
    let refusal = |directory: &TempDir| try_open(directory.path()).map(|_| ()).unwrap_err().to_string();
    let directory = fresh();
    std::fs::write(directory.path().join("thongke.db"), "").unwrap();
    assert!(refusal(&directory).contains("restore"));
    let directory = fresh();
    std::fs::write(directory.path().join("thongke.db"), "not a database at all, but long enough to be looked at")
        .unwrap();
    assert!(refusal(&directory).contains("restore"));
    let directory = fresh();
    let connection = rusqlite::Connection::open(directory.path().join("thongke.db")).unwrap();
    connection.execute("DELETE FROM journal", []).unwrap();
    drop(connection);
    let said = refusal(&directory);
    assert!(said.contains("its journal ends at row 0, and row 1 was written") && said.contains("restore"), "{said}");
    std::fs::remove_file(directory.path().join("thongke.reached")).unwrap();
    assert!(refusal(&directory).contains("the journal ends at row 0"));
    let directory = fresh();
    std::fs::remove_file(directory.path().join("thongke.db")).unwrap();
    assert!(refusal(&directory).contains("it is missing, and its journal had reached row 1"));
    let directory = fresh();
    let connection = rusqlite::Connection::open(directory.path().join("thongke.db")).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    assert!(refusal(&directory).contains("newer thongke"));
}

#[test]
fn page_counts_go_when_their_time_is_over_and_a_sites_own_stay() {
    let directory = TempDir::new().unwrap();
    run(async {
        let (ledger, sites) = try_open(directory.path()).unwrap();
        let site = sites.by_number(A).unwrap();
        // 300 pages: more than one step.
        let many = (0..300).map(|page| hit(A, 16, &format!("/p{page}")));
        count(&ledger, many.chain([hit(A, 17, "/x"), hit(B, 16, "/x")])).await;
        vouch(&ledger, A, (0..300).map(|page| format!("/p{page}")).chain(["/x".to_owned()])).await;
        // By default a day's pages are kept for 40 days, and a month's for 24 months.
        let day = |text: &str| if let Ok(Period::Day(day)) = text.parse() { day } else { panic!("{text}") };
        assert_eq!(ledger.expire_pages(site, day("2024-07-26")).await, Ok(0));
        assert_eq!(ledger.expire_pages(site, day("2024-07-27")).await, Ok(300));
        let rows = |lines: &[String], start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        let left = exported(&ledger, A).await;
        assert_eq!((rows(&left, "2024-06-16,/"), rows(&left, "2024-06-16,,300")), (0, 1));
        assert_eq!((rows(&left, "2024-06-17,/x,1"), rows(&left, "2024-06,/"), rows(&left, "total,/")), (1, 301, 301));
        assert_eq!(ledger.expire_pages(site, day("2026-07-01")).await, Ok(302));
        let left = exported(&ledger, A).await;
        assert_eq!((rows(&left, "2024-06,/"), rows(&left, "2024-06,,301"), rows(&left, "total,/")), (0, 1, 301));
        assert_eq!(rows(&exported(&ledger, B).await, "2024-06-16,/x,1"), 1);
        // A page that nobody has vouched for goes with its last day.
        assert_eq!(ledger.unvouched_pages(0, 9).await.unwrap().len(), 1);
        assert_eq!(ledger.expire_pages(sites.by_number(B).unwrap(), day("2024-07-27")).await, Ok(1));
        assert_eq!(ledger.unvouched_pages(0, 9).await, Ok(Vec::new()));
        // A page that was counted long ago stays known.
        assert_eq!(total(&ledger, A).await, 301);
        ledger.close();
    });
}

#[test]
fn a_pages_count_is_right_while_it_moves_from_the_journal_to_the_counts() {
    let directory = TempDir::new().unwrap();
    run(async {
        let ledger = open(directory.path());
        let page = PageAddress::from_stored("/x");
        let views = async || {
            let periods = vec![Period::Day(day(17)), Period::Total];
            let known = ledger.page_counts(A, vec![page.clone()], periods).await.unwrap();
            assert_eq!(known[0].hits(), known[1].hits());
            known[0].hits()
        };
        for round in 1..=20 {
            // Many other pages: folding takes several steps, and reads fall between them.
            let others = (0..300).map(|other| hit(A, 17, &format!("/{round}/{other}")));
            count(&ledger, others.chain([hit(A, 17, "/x")])).await;
            assert_eq!(views().await, round);
            let (folded, read) = futures_util::future::join(ledger.fold(), views()).await;
            folded.unwrap();
            assert_eq!(read, round);
            assert_eq!(views().await, round);
            if round == 10 {
                vouch(&ledger, A, ["/x".to_owned()]).await;
                assert_eq!(views().await, round);
            }
        }
        ledger.close();
    });
}

#[test]
fn a_log_that_was_removed_emptied_or_cut_off_is_no_older_state_and_is_refused() {
    let directory = TempDir::new().unwrap();
    run(async {
        let ledger = open(directory.path());
        for n in 0..20 {
            count(&ledger, [hit(A, 17, &format!("/{n}"))]).await;
        }
        let log = std::fs::read(directory.path().join("thongke.db-wal")).unwrap();
        let lengths = [None, Some(0), Some(log.len() / 2), Some(log.len() - 4_000)];
        for length in lengths {
            let left = crash(directory.path());
            std::fs::copy(directory.path().join("thongke.reached"), left.path().join("thongke.reached")).unwrap();
            let path = left.path().join("thongke.db-wal");
            match length {
                None => std::fs::remove_file(&path).unwrap(),
                Some(length) => std::fs::write(&path, &log[..length]).unwrap(),
            }
            let said = try_open(left.path()).map(|_| ()).unwrap_err().to_string();
            assert!(said.contains("row 20 was written") && said.contains("restore a backup"), "{length:?}: {said}");
            // An operator who accepts the loss deletes `thongke.reached`.
            std::fs::remove_file(left.path().join("thongke.reached")).unwrap();
            open(left.path()).close();
        }
        // Imports are protected too; they have no journal rows.
        ledger.import(A, "old".parse().unwrap(), vec![row("2024-06-16", 7)], Utc::now()).await.unwrap();
        let left = crash(directory.path());
        std::fs::copy(directory.path().join("thongke.reached"), left.path().join("thongke.reached")).unwrap();
        std::fs::write(left.path().join("thongke.db-wal"), &log).unwrap();
        assert!(try_open(left.path()).map(|_| ()).unwrap_err().to_string().contains("and had seen "));
        ledger.close();
    });
}

#[test]
fn a_backup_opens_where_a_later_file_was_and_an_older_copy_only_if_that_is_wanted() {
    let directory = TempDir::new().unwrap();
    let files = TempDir::new().unwrap();
    let (backup, copy) = (files.path().join("backup"), files.path().join("copy"));
    let file = directory.path().join("thongke.db");
    run(async {
        let ledger = open(directory.path());
        count(&ledger, [hit(A, 17, "/x")]).await;
        thongke::ledger::backup(directory.path(), &backup).unwrap();
        ledger.close();
        drop(ledger);
        std::fs::copy(&file, &copy).unwrap();
        let ledger = open(directory.path());
        count(&ledger, [hit(A, 17, "/x"), hit(A, 17, "/y")]).await;
        ledger.close();
        drop(ledger);
        std::fs::copy(&copy, &file).unwrap();
        let said = try_open(directory.path()).map(|_| ()).unwrap_err().to_string();
        assert!(said.contains("an older copy took its place") && said.contains("thongke.reached"), "{said}");
        std::fs::copy(&backup, &file).unwrap();
        std::fs::write(directory.path().join("thongke.db-wal"), [1; 5_000]).unwrap();
        let said = try_open(directory.path()).map(|_| ()).unwrap_err().to_string();
        assert!(said.contains("of another file"), "{said}");
        std::fs::remove_file(directory.path().join("thongke.db-wal")).unwrap();
        let ledger = open(directory.path());
        assert_eq!(total(&ledger, A).await, 1);
        ledger.close();
    });
}

#[test]
fn pages_that_are_being_deleted_for_their_age_are_no_damage() {
    let directory = TempDir::new().unwrap();
    run(async {
        let ledger = open(directory.path());
        let many = |on| (0..300).map(move |page| hit(A, on, &format!("/p{page}")));
        count(&ledger, many(16).chain(many(17))).await;
        // The current run's counts are verified when it is over.
        ledger.close();
        drop(ledger);
        let (ledger, sites) = try_open(directory.path()).unwrap();
        let site = sites.by_number(A).unwrap();
        let now = "2024-07-27T05:00:00Z".parse().unwrap();
        let today = Day::at(now, site.site.time_zone);
        let left = async || {
            let rows = exported(&ledger, A).await;
            rows.iter().filter(|line| line.starts_with("2024-06-16,/")).count()
        };
        assert_eq!(left().await, 300);
        assert_eq!(ledger.faults(site, now).await, Ok(Vec::new()));
        // Interrupted after the first step.
        let step = std::time::Duration::from_millis(1);
        while left().await == 300 {
            let _ = tokio::time::timeout(step, ledger.expire_pages(site, today)).await;
        }
        assert_eq!(ledger.faults(site, now).await, Ok(Vec::new()));
        ledger.expire_pages(site, today).await.unwrap();
        assert_eq!(left().await, 0);
        assert_eq!(ledger.faults(site, now).await, Ok(Vec::new()));
        ledger.close();
    });
}
