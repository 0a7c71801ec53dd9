//! An import from its text to its last counter in the node's file, as a stopped node makes it; `elem/s` is rows/s.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate, Utc};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use thongke::counter::csv::{self, TakeLines as _};
use thongke::counter::{Site, SiteNumber};

use crate::ledger::{directory, open, runtime};

/// Rows of a file.
const ROWS: u32 = 400_000;

/// Days of pages, in no order.
fn days(rows: u32, pages: u32) -> String {
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).expect("a day");
    let mut text = format!("{}\n", csv::HEADER_PAGES);
    for row in 0..rows {
        // Each number below `rows` once: they have no common factor.
        let mixed = (u64::from(row) * 1_000_003 % u64::from(rows)) as u32;
        let (day, page) = (first + Days::new(u64::from(mixed / pages)), mixed % pages);
        writeln!(text, "{day},/tin-tuc-su-kien/bai-viet-{page},{}", row % 90 + 1).expect("memory takes text");
    }
    text
}

/// Totals of pages, each of another one, in no order.
fn totals(rows: u32) -> String {
    let mut text = format!("{}\n", csv::HEADER_PAGES);
    for row in 0..rows {
        let page = (u64::from(row) * 1_000_003 % u64::from(rows)) as u32;
        writeln!(text, "total,/tin-tuc/bai-viet-{page},{}", row % 90 + 1).expect("memory takes text");
    }
    text
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("import");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(u64::from(ROWS)));
    for (name, text) in [("days of 4,000 pages", days(ROWS, 4_000)), ("pages", totals(ROWS))] {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| import(&text)).sum());
        });
    }
    group.finish();
}

/// The time of an import into a new file.
fn import(text: &str) -> Duration {
    let (runtime, directory) = (runtime(), directory());
    let ledger = open(directory.path());
    let site = Site::with_defaults("a".parse().expect("a site"), Vec::new());
    let begun = Instant::now();
    let mut file = ledger.begin_import().expect("no other import runs");
    csv::read(text.as_bytes(), &site.page_rules, |line| file.take(line)).expect("the file is right");
    let name = "old".parse().expect("an import's name");
    let imported = runtime.block_on(ledger.finish_import(SiteNumber(1), name, file, Utc::now()));
    let report = imported.expect("the disk takes counts").expect("no line stands twice");
    let time = begun.elapsed();
    assert_eq!(report.rows, u64::from(ROWS));
    ledger.close();
    time
}
