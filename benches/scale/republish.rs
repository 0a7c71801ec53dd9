//! Hits while a long history is published again to an emptied Redis, beside hits at rest. The rate is half of
//! the node's capacity; latency counts from the due time.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::axis::{Effort, Value};
use crate::drive::closed_loop::ClosedLoop;
use crate::drive::cores::on_core;
use crate::drive::node::Node;
use crate::drive::open_loop;
use crate::drive::redis_server::RedisServer;
use crate::drive::requests::{Ask, Pages, Requests};
use crate::drive::stats::{median, percentile_ms};
use crate::start::write_history;

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_millis(200);

pub fn measure(directory: &Path, effort: Effort) -> Value {
    let pages = if effort.quick { 50_000 } else { 1_000_000 };
    write_history(&directory.join("data"), 30, 1, pages);
    let redis = on_core(effort.cores.redis, || RedisServer::start(directory));
    let node = on_core(effort.cores.server, || Node::start(directory, 1, &[redis.url()]));
    let mut requests = Requests::new(node.public, Ask::Hit("/v1/hit?figures=0"), Pages::Zipf(1_000), true);
    RedisServer::rest([&redis]);
    let drove = ClosedLoop::connect(node.public, CONNECTIONS, true).drive(&mut requests, effort.drive_time);
    let rate = (drove.requests as f64 / drove.elapsed.as_secs_f64() / 2.0) as u32;
    let mut p99_of = |what: &str| {
        RedisServer::rest([&redis]);
        if what == "republished" {
            redis.ask(&["FLUSHALL"]);
        }
        let mut drove = open_loop::drive(node.public, &mut requests, CONNECTIONS, rate, WARM_UP, effort.drive_time);
        percentile_ms(&mut drove.nanos, 99.0)
    };
    let (mut quiet, mut busy, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        quiet.push(p99_of("quiet"));
        let begun = Instant::now();
        busy.push(p99_of("republished"));
        let key = "thongke:{site0}:pages:total".replace("site0", &crate::drive::requests::site_id(0));
        let members = || redis.ask(&["ZCARD", &key]).trim_start_matches(':').trim().parse::<u64>().unwrap_or(0);
        // A page, its source's share, and the generation of that.
        while members() < u64::from(pages) * 3 {
            assert!(begun.elapsed() < Duration::from_secs(600), "the history is not published again");
            std::thread::sleep(Duration::from_millis(200));
        }
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let (quiet, busy) = (median(quiet), median(busy));
    node.process.stop();
    redis.process.stop();
    Value {
        title: format!("Hits at half load while a history of {pages} pages is brought to an emptied Redis"),
        size_name: "pages",
        columns: vec!["hits/s", "p99 ms quiet", "p99 ms meanwhile", "times", "s until complete"],
        lines: vec![(pages, vec![f64::from(rate), quiet, busy, busy / quiet, median(seconds)])],
    }
}
