//! From a day of history to ten years, on one site that answers with its figures.

use std::fmt::Write as _;
use std::path::Path;

use chrono::{Days, NaiveDate};

use crate::axis::{self, Effort, Point, Value};
use crate::drive::cores::on_core;
use crate::drive::exchange::exchange;
use crate::drive::node::Node;
use crate::drive::requests::{Ask, Pages, site_id};

pub fn measure(directory: &Path, effort: Effort) -> Value {
    let point = |days: u32| {
        let node = on_core(effort.cores.server, || Node::start(&directory.join(days.to_string()), 1, &[]));
        import(&node, days);
        Point { ask: Ask::Hit("/v1/hit"), ..Point::of(node, days, Pages::InTurn(50)) }
    };
    let points: Vec<_> = effort.sizes(&[1, 10, 100, 1_000, 3_650], 100).into_iter().map(point).collect();
    axis::measure("Days of history", "days", &points, effort)
}

fn import(node: &Node, days: u32) {
    let first = NaiveDate::from_ymd_opt(2014, 1, 1).expect("a day");
    let mut csv = String::from("period,hits\n");
    for day in 0..days {
        let _ = writeln!(csv, "{},{}", first + Days::new(u64::from(day)), 1_000 + day);
    }
    let head = format!(
        "POST /sites/{}/import?source=old HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        site_id(0),
        node.admin,
        csv.len()
    );
    let answer = exchange(node.admin, (head + &csv).as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
