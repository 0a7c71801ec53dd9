//! From ten connections to ten thousand: a hit's cost on them, and an idle one's memory.

use std::path::Path;

use crate::axis::{self, Effort, Point, Value};
use crate::drive::closed_loop::ClosedLoop;
use crate::drive::cores::on_core;
use crate::drive::node::Node;
use crate::drive::requests::{Ask, Pages, Requests};

pub fn measure(directory: &Path, effort: Effort) -> Value {
    let point = |connections: u32| {
        let own = directory.join(connections.to_string());
        let node = on_core(effort.cores.server, || Node::start(&own, 1, &[]));
        let idle = ("KiB per idle connection", idle_kib(&node, connections));
        Point { connections: connections as usize, more: vec![idle], ..Point::of(node, connections, Pages::InTurn(50)) }
    };
    let points: Vec<_> = effort.sizes(&[10, 100, 1_000, 10_000], 1_000).into_iter().map(point).collect();
    axis::measure("Connections", "connections", &points, effort)
}

/// Extra memory for idle connections that have sent a hit each, compared with one.
fn idle_kib(node: &Node, connections: u32) -> f64 {
    let drive_once = |connections: u32| {
        let mut client = ClosedLoop::connect(node.public, connections as usize, true);
        let mut requests = Requests::new(node.public, Ask::Hit("/v1/hit?figures=0"), Pages::InTurn(50), true);
        client.drive(&mut requests, std::time::Duration::ZERO);
        client
    };
    drop(drive_once(1));
    let before = node.process.resident();
    let _kept = drive_once(connections);
    node.process.resident().saturating_sub(before) as f64 / 1024.0 / f64::from(connections)
}
