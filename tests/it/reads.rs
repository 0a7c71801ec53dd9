//! Reads of history, and what another node changes in it.

use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Node, ask, until};
use crate::redis::Redis;

/// Time within which another node's correction shows: values of years that are over are kept for less.
const LIMIT: Duration = Duration::from_secs(60);

fn import(node: &Node, csv: &str) {
    let path = "/sites/demo/import?source=old";
    let answer = ask(&node.admin, "POST", path, &["Content-Type: text/csv"], csv);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// A day's hits, by a question that differs from the last.
fn hits_of_day(node: &Node, asked: &mut u32) -> i64 {
    *asked += 1;
    let answer = node.get(&format!("/v1/sites/demo/history?to=2019-03-05&last={}", 1 + *asked % 1_000)).json();
    let history = answer["history"].as_array().unwrap();
    history.last().unwrap()["value"].as_i64().unwrap()
}

#[test]
fn a_correction_on_another_node_shows_in_a_year_that_is_over() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    let mut asked = 0;
    for hits in [100, 70, 85] {
        import(&nodes[0], &format!("period,hits\n2019-03-05,{hits}\n"));
        until("the node that imports shows it", LIMIT, || hits_of_day(&nodes[0], &mut asked) == hits);
        until("the other node shows it", LIMIT, || hits_of_day(&nodes[1], &mut asked) == hits);
    }
    for node in nodes {
        node.stop();
    }
}
