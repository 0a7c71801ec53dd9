//! Taking over an old counter, as a citizen sees it: the old counts from a file, the clock at a known day, a
//! real browser.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::at;
use crate::driver::{Driver, box_of};
use crate::node::{Node, PROGRAM, until};
use crate::port::free_port;
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);
const OLD_COUNTER: &str = "period,hits\n2024-06-17,851\n2024-06-16,2455\n2024-06,49817\n2024,462203\n";

fn import(data: &Path, text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    run(data, &["import", "demo", file.path().to_str().unwrap(), "--source", "old"]);
}

fn run(data: &Path, arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).arg("--data-dir").arg(data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Figures as the box would show them, read without counting.
fn lines(node: &Node) -> Vec<String> {
    let json = node.figures().json();
    let figures = json["figures"].as_array().unwrap().iter();
    let rows =
        figures.map(|figure| format!("{} : {}", figure["label"].as_str().unwrap(), figure["text"].as_str().unwrap()));
    std::iter::once(json["title"].as_str().unwrap().to_owned()).chain(rows).collect()
}

fn expected(figures: [&str; 4]) -> Vec<String> {
    let labels = ["Hôm nay", "Hôm qua", "Tháng 06", "Năm 2024"];
    let rows = labels.iter().zip(figures).map(|(label, figure)| format!("{label} : {figure}"));
    std::iter::once("Thống kê truy cập".to_owned()).chain(rows).collect()
}

fn redis_at(moment: &str) -> Redis {
    Redis::start_as(at(moment, "redis-server"), free_port(), &[])
}

fn node_at(moment: &str, data: &Path, redis: Option<&Redis>) -> Node {
    let mut command = at(moment, PROGRAM);
    if let Some(redis) = redis {
        command.args(["--redis", &redis.url()]);
    }
    Node::start_as(command, data)
}

/// Runs a test on 17 June 2024, with the old counts in the node's file and optionally with Redis.
fn the_old_counts_go_on(with_redis: bool) {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    import(&data, OLD_COUNTER);
    let driver = Driver::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let browser = driver.browser().await;
        let redis = with_redis.then(|| redis_at("@2024-06-17 10:15:00"));
        let node = node_at("@2024-06-17 10:15:00", &data, redis.as_ref());
        assert_eq!(lines(&node), expected(["851", "2.455", "49.817", "462.203"]));
        // The page view that shows the figures counts too.
        let page = format!("http://{}/", node.public);
        assert_eq!(box_of(&browser, &page).await, expected(["852", "2.455", "49.818", "462.204"]));
        if let Some(redis) = &redis {
            for (period, hits) in
                [("2024-06-17", "852"), ("2024-06-16", "2455"), ("2024-06", "49818"), ("2024", "462204")]
            {
                until(&format!("Redis has {period}"), LIMIT, || redis.hits(period) == hits);
            }
        }
        node.stop();
        drop(redis);

        // An empty second Redis.
        let redis = with_redis.then(|| redis_at("@2024-06-17 23:59:50"));
        let node = node_at("@2024-06-17 23:59:50", &data, redis.as_ref());
        until("midnight", LIMIT, || node.figures().json()["figures"][0]["period"] == "2024-06-18");
        assert_eq!(lines(&node), expected(["0", "852", "49.818", "462.204"]));
        let page = format!("http://{}/", node.public);
        assert_eq!(box_of(&browser, &page).await, expected(["1", "852", "49.819", "462.205"]));
        if let Some(redis) = &redis {
            until("the new day is in Redis", LIMIT, || redis.hits("2024-06-18") == "1");
            assert_eq!(redis.hits("2024-06-17"), "852");
        }

        // A corrected file with lower numbers replaces the first on the running node.
        import(&data, "period,hits\n2024-06-17,100\n2024,200\n");
        assert!(run(&data, &["sources", "demo"]).contains("import:old"));
        let corrected = expected(["1", "101", "2", "202"]);
        until("the corrected figures", LIMIT, || lines(&node) == corrected);
        if let Some(redis) = &redis {
            until("Redis is corrected", LIMIT, || redis.hits("2024") == "202" && redis.hits("2024-06") == "2");
        }
        run(&data, &["forget", "demo", "--source", "old"]);
        until("forgotten", LIMIT, || lines(&node) == expected(["1", "1", "2", "2"]));
        if let Some(redis) = &redis {
            until("Redis forgets", LIMIT, || redis.hits("2024") == "2" && redis.hits("2024-06-17") == "1");
        }
        node.stop();
        browser.close().await.unwrap();
    });
}

#[test]
fn an_old_counters_figures_go_on_in_the_box_and_roll_over_at_local_midnight() {
    the_old_counts_go_on(false);
}

#[test]
fn and_so_they_do_with_redis() {
    the_old_counts_go_on(true);
}
