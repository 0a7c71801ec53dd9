//! `cargo bench --bench reads`: the cost of the dearest reads, each with other words than the last, so that no answer
//! is shared; and hits beside them.
//!
//! CPU time is of the node's process and, with Redis, of Redis. A read of the budget is what `read_rate` counts.
//! `-- PROGRAM` measures another build, such as an earlier one.

#[path = "../drive/mod.rs"]
mod drive;
mod flood;
mod kinds;

use std::iter;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use drive::cores::{Cores, on_core};
use drive::node::{Node, PROGRAM};
use drive::redis_server::RedisServer;
use drive::requests::{Ask, Pages, Requests, site_id};
use drive::stats::{median, percentile_ms};
use drive::table::Table;
use drive::{directory, open_loop};

use flood::Flood;
use kinds::{KINDS, SITES};

/// Target: CPU time of a read of the budget.
const TARGET_MICROS: f64 = 500.0;
/// Target: 99th percentile of hits beside a flood, as a multiple of the quiet one.
const TARGET_RATIO: f64 = 2.0;
const ROUND: Duration = Duration::from_secs(3);
/// Hits per second beside a flood, on so many connections.
const HITS: u32 = 200;
const KEPT: usize = 16;
/// Reads of the budget a second of one address.
const READ_RATE: f64 = 200.0;
const PAIRS: usize = 3;

fn main() {
    let folder = directory().join("reads");
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
        println!("{}", costs(&node, redis.as_ref()));
        println!("{}", beside(&node));
        node.process.stop();
        clean(&own);
    }
}

fn fill(node: &Node) {
    for number in 0..SITES {
        let csv = kinds::counts(number);
        let path = format!("/sites/{}/import?source=old", site_id(number));
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n{csv}",
            node.admin,
            csv.len()
        );
        let answer = drive::exchange::exchange(node.admin, request.as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}

/// CPU time of a read of each kind.
fn costs(node: &Node, redis: Option<&RedisServer>) -> Table {
    let mut table = Table::new(&[
        "a different read each time",
        "reads/s",
        "µs",
        "of Redis",
        "reads of budget",
        "µs each",
        "of 500 µs",
    ]);
    for kind in KINDS {
        let processes: Vec<_> = iter::once(&node.process).chain(redis.map(|redis| &redis.process)).collect();
        let warm = Flood::start(node.public, kind.path, None, 0);
        std::thread::sleep(ROUND / 3);
        let first = warm.stop();
        let before: Vec<_> = processes.iter().map(|process| process.cpu_of_threads()).collect();
        let started = Instant::now();
        let flood = Flood::start(node.public, kind.path, None, first);
        std::thread::sleep(ROUND);
        let reads = (flood.stop() - first) as f64;
        let elapsed = started.elapsed();
        let used = processes.iter().zip(&before).map(|(process, before)| process.cpu_since(before));
        let micros: Vec<_> = used.map(|cpu| cpu.as_secs_f64() * 1e6 / reads).collect();
        let (own, of_redis) = (micros[0], micros.get(1).copied().unwrap_or_default());
        let each = (own + of_redis) / kind.weight;
        table.add(vec![
            kind.name.to_owned(),
            format!("{:.0}", reads / elapsed.as_secs_f64()),
            format!("{own:.0}"),
            format!("{of_redis:.0}"),
            format!("{}", kind.weight),
            format!("{each:.0}"),
            format!("{:.2}{}", each / TARGET_MICROS, if each > TARGET_MICROS { ", missed" } else { "" }),
        ]);
    }
    table
}

/// Hits beside as many reads of each kind as one address may ask for, and without them, in turn.
fn beside(node: &Node) -> Table {
    let mut table = Table::new(&["hits beside", "reads/s", "quiet: p99 ms", "beside: p99 ms", "ratio"]);
    let mut requests = Requests::new(node.public, Ask::Hit("/v1/hit?figures=0"), Pages::InTurn(50), true);
    let mut p99 = || {
        let mut drove = open_loop::drive(node.public, &mut requests, KEPT, HITS, ROUND / 10, ROUND);
        percentile_ms(&mut drove.nanos, 99.0)
    };
    for kind in KINDS {
        let (mut quiet, mut loud, mut rate, mut next) = (Vec::new(), Vec::new(), 0.0, 0);
        for _ in 0..PAIRS {
            quiet.push(p99());
            let (flood, started) =
                (Flood::start(node.public, kind.path, Some(READ_RATE / kind.weight), next), Instant::now());
            loud.push(p99());
            let elapsed = started.elapsed().as_secs_f64();
            let end = flood.stop();
            rate = (end - next) as f64 / elapsed;
            next = end;
        }
        let ratio = median(quiet.iter().zip(&loud).map(|(quiet, loud)| loud / quiet).collect());
        table.add(vec![
            kind.name.to_owned(),
            format!("{rate:.0}"),
            format!("{:.2}", median(quiet)),
            format!("{:.2}", median(loud)),
            format!("{ratio:.2}{}", if ratio > TARGET_RATIO { ", missed" } else { "" }),
        ]);
    }
    table
}

fn clean(directory: &Path) {
    let _ = std::fs::remove_dir_all(directory);
}
