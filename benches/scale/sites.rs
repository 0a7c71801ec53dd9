//! From one site to a country's number, a page each.

use std::path::Path;

use crate::axis::{self, Effort, Point, Value};
use crate::drive::cores::on_core;
use crate::drive::node::Node;
use crate::drive::redis_server::RedisServer;
use crate::drive::requests::Pages;

const SIZES: [u32; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
/// Fewer sizes, since each is driven for minutes.
const SIZES_WITH_REDIS: [u32; 3] = [1, 1_000, 100_000];

pub fn measure(directory: &Path, effort: Effort) -> Value {
    let point = |sites: u32| {
        let own = directory.join(sites.to_string());
        let node = on_core(effort.cores.server, || Node::start(&own, sites, &[]));
        let idle = node.process.resident() as f64 / 1048576.0;
        Point { more: vec![("idle MiB", idle)], ..Point::of(node, sites, Pages::Sites(sites)) }
    };
    let points: Vec<_> = effort.sizes(&SIZES, 1_000).into_iter().map(point).collect();
    axis::measure("Sites, one page each", "sites", &points, effort.through_a_fold())
}

pub fn measure_with_redis(directory: &Path, effort: Effort) -> Value {
    let point = |sites: u32| {
        let own = directory.join(sites.to_string());
        std::fs::create_dir_all(&own).expect("a directory for a point");
        let redis = on_core(effort.cores.redis, || RedisServer::start(&own));
        let node = on_core(effort.cores.server, || Node::start(&own, sites, &[redis.url()]));
        Point { redis: vec![redis], ..Point::of(node, sites, Pages::Sites(sites)) }
    };
    let points: Vec<_> = effort.sizes(&SIZES_WITH_REDIS, 1_000).into_iter().map(point).collect();
    let mut value =
        axis::measure("Sites, one page each, published to Redis", "sites", &points, effort.through_a_fold());
    let lags: Vec<_> = points.iter().map(|point| point.lags(effort)).collect();
    for (at, name) in ["lag s, a third on", "two thirds", "at the end"].into_iter().enumerate() {
        value.add_column(name, lags.iter().map(|lags| lags[at]));
    }
    value
}
