//! `cargo bench --bench manage`: the time of editors' pages on large sites, and hits beside a loop of page loads.
//!
//! Times are what a client on the same machine waits for, so the server's own are shorter. `-- PROGRAM` measures another
//! build.

#[path = "../drive/mod.rs"]
mod drive;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate, Utc};

use drive::cores::{Cores, on_core};
use drive::exchange;
use drive::node::{Node, PROGRAM};
use drive::redis_server::RedisServer;
use drive::requests::{Ask, Pages, Requests, site_id};
use drive::stats::{median, percentile_ms};
use drive::table::Table;
use drive::{directory, open_loop};

const SITES: u32 = 1_000;
/// Days of the first site: ten years.
const DAYS: u64 = 3_650;
const DAYS_OF_OTHERS: u64 = 60;
const PAGES: u64 = 100_000;
/// Days with counts of pages, and their pages each.
const DAYS_OF_PAGES: u64 = 28;
const PAGES_OF_DAY: u64 = 5_000;
/// Page loads of a median.
const LOADS: usize = 21;
/// Targets: medians in milliseconds, and the 99th percentile of hits beside page loads as a multiple of the quiet one.
const SITE_MS: f64 = 50.0;
const OVERVIEW_MS: f64 = 200.0;
const TARGET_RATIO: f64 = 1.5;
const ROUND: Duration = Duration::from_secs(3);
const HITS: u32 = 200;
const KEPT: usize = 16;
const PAIRS: usize = 3;

fn main() {
    let folder = directory().join("manage");
    let _ = std::fs::remove_dir_all(&folder);
    let cores = Cores::find();
    let program = std::env::args().skip(1).find(|word| !word.starts_with("--")).unwrap_or(PROGRAM.to_owned());
    for with_redis in [false, true] {
        let own = folder.join(if with_redis { "with-redis" } else { "alone" });
        std::fs::create_dir_all(&own).expect("a directory for the bench's files");
        let redis = with_redis.then(|| on_core(cores.redis, || RedisServer::start(&own)));
        let urls: Vec<_> = redis.iter().map(RedisServer::url).collect();
        let node = on_core(cores.server, || Node::start_by(Command::new(&program), &own, SITES, &urls));
        fill(&node);
        redis.iter().for_each(|redis| RedisServer::rest([redis]));
        println!("{}", if with_redis { "With Redis" } else { "Without Redis" });
        println!("{}", loads(node.admin));
        println!("{}", beside(&node));
        node.process.stop();
        let _ = std::fs::remove_dir_all(&own);
    }
}

fn day(ago: u64) -> NaiveDate {
    Utc::now().date_naive().checked_sub_days(Days::new(ago)).expect("a day")
}

fn fill(node: &Node) {
    for site in 0..SITES {
        let mut csv = String::from("period,page,hits\n");
        let days = if site == 0 { DAYS } else { DAYS_OF_OTHERS };
        for ago in 0..days {
            let _ = writeln!(csv, "{},,{}", day(ago), 1_000 + (ago * 7_919) % 3_000);
        }
        if site == 0 {
            for page in 0..PAGES {
                let _ = writeln!(csv, "{},/tin-tuc/bai-{page},{}", day(0).format("%Y-%m"), 1 + PAGES / (page + 1));
            }
            for (ago, page) in (0..DAYS_OF_PAGES).flat_map(|ago| (0..PAGES_OF_DAY).map(move |page| (ago, page))) {
                let page = (page * (ago + 1)) % PAGES;
                let _ = writeln!(csv, "{},/tin-tuc/bai-{page},{}", day(ago), 1 + PAGES_OF_DAY / (page + 1));
            }
        }
        let request = format!(
            "POST /sites/{}/import?source=old HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: text/csv\r\n\
             Content-Length: {}\r\n\r\n{csv}",
            site_id(site),
            node.admin,
            csv.len()
        );
        let answer = exchange::exchange(node.admin, request.as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}

/// The path of a page load: none of the first ones asks what another asks.
fn path(of: &str, number: usize) -> String {
    let site = site_id(0);
    let (from, to) = (day(27 + number as u64 % 20), day(number as u64 % 20));
    match of {
        "overview" => format!("/manage?q=&sort={}", ["name", "-today", "month", "-change"][number % 4]),
        "a range of 28 days" => format!("/manage/sites/{site}?from={from}&to={to}"),
        range => format!("/manage/sites/{site}?range={range}"),
    }
}

fn loads(admin: SocketAddr) -> Table {
    let mut table = Table::new(&["page", "first load ms", "median ms", "target ms"]);
    for of in ["overview", "28", "month", "quarter", "year", "a range of 28 days"] {
        let times = (0..LOADS).map(|number| {
            // Answers and reads of the last second are shared; editors load a page seldom.
            std::thread::sleep(Duration::from_millis(1_100));
            let begun = Instant::now();
            exchange::get(admin, &path(of, number));
            begun.elapsed().as_secs_f64() * 1e3
        });
        let times: Vec<_> = times.collect();
        let (first, median) = (times[0], median(times));
        let target = if of == "overview" { OVERVIEW_MS } else { SITE_MS };
        let missed = if median > target { ", missed" } else { "" };
        table.add(vec![of.to_owned(), format!("{first:.1}"), format!("{median:.1}"), format!("{target:.0}{missed}")]);
    }
    table
}

/// Hits beside an editor who loads one page after another, and without, in turn.
fn beside(node: &Node) -> Table {
    let mut table = Table::new(&["hits beside", "loads/s", "quiet: p99 ms", "beside: p99 ms", "ratio"]);
    let mut requests = Requests::new(node.public, Ask::Hit("/v1/hit?figures=0"), Pages::InTurn(50), true);
    let mut p99 = || {
        let mut drove = open_loop::drive(node.public, &mut requests, KEPT, HITS, ROUND / 10, ROUND);
        percentile_ms(&mut drove.nanos, 99.0)
    };
    for of in ["overview", "a range of 28 days"] {
        let (mut quiet, mut loud, mut rate) = (Vec::new(), Vec::new(), 0.0);
        for _ in 0..PAIRS {
            quiet.push(p99());
            let (is_over, admin, begun) = (AtomicBool::new(false), node.admin, Instant::now());
            std::thread::scope(|scope| {
                let editor = scope.spawn(|| {
                    let pages = (0..).take_while(|_| !is_over.load(Ordering::Relaxed));
                    pages.map(|number| exchange::get(admin, &path(of, number))).fold(0_usize, |asked, _| asked + 1)
                });
                loud.push(p99());
                is_over.store(true, Ordering::Relaxed);
                rate = editor.join().expect("pages are answered") as f64 / begun.elapsed().as_secs_f64();
            });
        }
        let ratio = median(quiet.iter().zip(&loud).map(|(quiet, loud)| loud / quiet).collect());
        table.add(vec![
            of.to_owned(),
            format!("{rate:.0}"),
            format!("{:.2}", median(quiet)),
            format!("{:.2}", median(loud)),
            format!("{ratio:.2}{}", if ratio > TARGET_RATIO { ", missed" } else { "" }),
        ]);
    }
    table
}
