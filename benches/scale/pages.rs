//! From one page to a million on one site, visited by Zipf's law.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::axis::{self, Effort, Point, Value};
use crate::drive::cores::on_core;
use crate::drive::node::Node;
use crate::drive::redis_server::RedisServer;
use crate::drive::requests::Pages;

const SIZES: [u32; 7] = [1, 50, 1_000, 10_000, 100_000, 300_000, 1_000_000];

pub fn measure(directory: &Path, effort: Effort) -> Value {
    let own = |pages: u32| directory.join(pages.to_string());
    let point = |pages: u32| {
        let node = on_core(effort.cores.server, || Node::start(&own(pages), 1, &[]));
        Point::of(node, pages, Pages::Zipf(pages))
    };
    let sizes = effort.sizes(&SIZES, 10_000);
    let points: Vec<_> = sizes.iter().copied().map(point).collect();
    let mut value = axis::measure("Pages of one site, Zipf", "pages", &points, effort.through_a_fold());
    for point in points {
        point.nodes.into_iter().for_each(|node| node.process.stop());
    }
    let (counters, bytes): (Vec<_>, Vec<_>) = sizes.into_iter().map(|pages| of_file(&own(pages))).unzip();
    value.add_column("page counters", counters.iter().copied());
    value.add_column("file bytes each", counters.iter().zip(bytes).map(|(counters, bytes)| bytes / counters));
    value
}

/// Number of page counters in a stopped node's file, and its size.
fn of_file(directory: &Path) -> (f64, f64) {
    let file = directory.join("data/thongke.db");
    let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a node's file");
    let count = |sql| connection.query_row(sql, [], |row| row.get::<_, f64>(0)).expect("a node's file");
    let counters = count("SELECT count(*) + 0.0 FROM counts WHERE page > 0");
    // Free pages are reused.
    let in_use = count(
        "SELECT (page_count - freelist_count) * page_size + 0.0 FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    );
    (counters, in_use)
}

/// Bytes of a page counter in Redis, with one source.
pub fn measure_bytes_in_redis(directory: &Path, effort: Effort) -> Value {
    let pages = if effort.quick { 500 } else { 10_000 };
    let redis = on_core(effort.cores.redis, || RedisServer::start(directory));
    let node = on_core(effort.cores.server, || Node::start(directory, 1, &[redis.url()]));
    let before = redis.memory() as f64;
    let point = Point { redis: vec![redis], ..Point::of(node, pages, Pages::InTurn(pages)) };
    let mut value = axis::measure("Bytes in Redis", "pages", std::slice::from_ref(&point), effort);
    let redis = &point.redis[0];
    let keys = redis.ask(&["EVAL", "return table.concat(redis.call('KEYS', '*:pages:*'), ' ')", "0"]);
    let members = keys.split(' ').map(|key| redis.ask(&["ZCARD", key]).parse::<f64>().unwrap_or(0.0)).sum::<f64>();
    // A page, and its source's contribution.
    let counters = members / 2.0;
    value.add_column("page counters", [counters]);
    value.add_column("Redis bytes each", [(redis.memory() as f64 - before) / counters]);
    value
}
