//! One to three nodes that share a Redis Cluster of three primaries.
//!
//! They share the server's core, so the measure is a hit's CPU time in all of them and in Redis. Flat means
//! that nodes add up.

use std::path::Path;

use crate::axis::{self, Effort, Point, Value};
use crate::drive::cores::on_core;
use crate::drive::node::Node;
use crate::drive::redis_server::RedisServer;
use crate::drive::requests::Pages;

const SITES: u32 = 100;

pub fn measure(directory: &Path, effort: Effort) -> Value {
    let point = |nodes: u32| {
        let own = directory.join(nodes.to_string());
        let redis = on_core(effort.cores.redis, || RedisServer::start_cluster(&own));
        let url = format!("redis+cluster://{}", redis[0].address);
        let start = |number| Node::start(&own.join(format!("node-{number}")), SITES, std::slice::from_ref(&url));
        let mut nodes = on_core(effort.cores.server, || (0..nodes).map(start).collect::<Vec<_>>());
        let first = nodes.pop().expect("a node");
        let mut point = Point::of(first, nodes.len() as u32 + 1, Pages::Sites(SITES));
        point.nodes.extend(nodes);
        // As many on each node, whatever their number.
        point.connections = 64 * point.nodes.len();
        point.redis.extend(redis);
        point
    };
    let points: Vec<_> = [1, 2, 3].map(point).into_iter().collect();
    axis::measure("Nodes on a Redis Cluster of three primaries", "nodes", &points, effort)
}
