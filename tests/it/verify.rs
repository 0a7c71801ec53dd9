use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use thongke::counter::PageAddress;

use crate::node::{Node, PROGRAM, ask, until};
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);
const HITS: &str = "thongke:{demo}:hits";
const PAGES: &str = "thongke:{demo}:pages:total";
const IMPORT: &str = "total import:old";

/// Exit code and output of `thongke verify demo`.
fn verify(directory: &Path, redis: &Redis, more: &[&str]) -> (i32, String) {
    let output = Command::new(PROGRAM)
        .args(["verify", "demo", "--redis", &redis.url(), "--data-dir"])
        .arg(directory)
        .args(more)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap(), text)
}

struct Scene {
    redis: Redis,
    directory: TempDir,
    elsewhere: TempDir,
    /// A run that has ended.
    frozen: String,
}

impl Scene {
    /// Two runs of a node, an import, and another node's run.
    fn set() -> (Self, Node) {
        let scene = Self {
            redis: Redis::start(),
            directory: TempDir::new().unwrap(),
            elsewhere: TempDir::new().unwrap(),
            frozen: String::new(),
        };
        let start = |directory: &TempDir| Node::start(directory.path(), &["--redis", &scene.redis.url()]);
        let other = start(&scene.elsewhere);
        (0..3).for_each(|_| assert_eq!(other.hit("/a").status, 200));
        other.stop();
        let node = start(&scene.directory);
        (0..5).for_each(|_| assert_eq!(node.hit("/a").status, 200));
        (0..2).for_each(|_| assert_eq!(node.hit("/b").status, 200));
        let csv = "period,hits\n2024-06-17,851\ntotal,900\n";
        let import = ask(&node.admin, "POST", "/sites/demo/import?source=old", &["Content-Type: text/csv"], csv);
        assert_eq!(import.status, 200);
        let sources: serde_json::Value = node.admin_get("/sites/demo/sources").json();
        let runs = sources.as_array().unwrap();
        let frozen = runs.iter().find(|run| run["current"] == true).unwrap()["source"].as_str().unwrap().to_owned();
        until("the import is published", LIMIT, || scene.redis.hits(IMPORT).ends_with(" 900"));
        node.stop();
        let node = start(&scene.directory);
        assert_eq!(node.hit("/a").status, 200);
        (Self { frozen, ..scene }, node)
    }

    /// Damage to Redis as redis-cli commands, and the finding that `verify` must report.
    fn sabotages(&self) -> Vec<(Vec<String>, &'static str)> {
        let own = format!("total {}", self.frozen);
        let page = format!("\x01{}\x01{}", self.frozen, PageAddress::from_stored("/a").id());
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        vec![
            (words(&["HSET", HITS, "total", "999"]), "the counter is 999, the sum of its sources 911"),
            (words(&["HDEL", HITS, "2024-06-17"]), "2024-06-17: the counter is 0, the sum of its sources 851"),
            (words(&["HSET", HITS, &own, "3"]), "Redis lacks of"),
            (words(&["HSET", HITS, &own, "50"]), "Redis has 50 of"),
            (words(&["HDEL", HITS, &own]), "Redis lacks of"),
            (words(&["HDEL", HITS, IMPORT]), "Redis lacks of import:old, total"),
            (words(&["ZADD", PAGES, "999", "/a"]), "page /a: the counter is 999"),
            (words(&["ZREM", PAGES, "/a"]), "page /a: the counter is 0"),
            (words(&["ZADD", PAGES, "-1", &page]), "Redis lacks of"),
            (words(&["ZREM", PAGES, &page]), "Redis lacks of"),
        ]
    }

    fn is_right(&self) {
        assert_eq!(self.redis.hits("total"), "911");
        assert_eq!(self.redis.hits("2024-06-17"), "851");
        assert_eq!(self.redis.hits(&format!("total {}", self.frozen)), "7");
        assert!(self.redis.hits(IMPORT).ends_with(" 900"));
        assert_eq!(self.redis.cli(&["ZSCORE", PAGES, "/a"]), "9");
        assert_eq!(self.redis.cli(&["ZSCORE", PAGES, "/b"]), "2");
    }

    /// Each difference is found, reported and repaired.
    fn repairs_all(&self, how: &str) {
        let (code, said) = verify(self.directory.path(), &self.redis, &[]);
        assert!(code == 0 && said.contains("is sound, Redis has its"), "{how}: {said}");
        self.is_right();
        for (words, says) in self.sabotages() {
            self.redis.cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let (code, said) = verify(self.directory.path(), &self.redis, &[]);
            // A running node may publish a lost key again before the check; the counter stays wrong.
            let is_said = said.contains(says) || how == "running" && said.contains("the sum of its sources");
            assert!(code == 1 && is_said, "{how}, after {words:?}, exit {code}: {said}");
            let (code, said) = verify(self.directory.path(), &self.redis, &["--repair"]);
            assert_eq!(code, 0, "{how}, repair after {words:?}: {said}");
            self.is_right();
        }
        // An undecidable difference is reported.
        let own = format!("total {}", self.frozen);
        self.redis.cli(&["HSET", HITS, &own, "many"]);
        let (code, said) = verify(self.directory.path(), &self.redis, &["--repair"]);
        assert!(code == 1 && said.contains("holds many at") && said.contains("HDEL"), "{how}: {code} {said}");
        self.redis.cli(&["HDEL", HITS, &own]);
        let (code, said) = verify(self.directory.path(), &self.redis, &["--repair"]);
        assert_eq!(code, 0, "{how}: {said}");
        self.is_right();
    }
}

#[test]
fn differences_between_file_and_redis_are_reported_and_repaired_running_or_stopped() {
    let (scene, node) = Scene::set();
    scene.repairs_all("running");
    node.stop();
    scene.repairs_all("stopped");
    // The other node's share was never lost.
    let theirs = verify(scene.elsewhere.path(), &scene.redis, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(theirs.1.trim()).unwrap();
    assert!(theirs.0 == 0 && json["demo"]["agrees"] == true && json["demo"]["with_redis"] == true, "{json}");
}

#[test]
fn a_count_that_was_damaged_in_the_file_is_found_by_verify_and_after_a_start() {
    let (scene, node) = Scene::set();
    node.stop();
    let file = rusqlite::Connection::open(scene.directory.path().join("thongke.db")).unwrap();
    let changed = file
        .execute(
            "UPDATE counts SET hits = hits + 64 WHERE period = 0 AND page = (SELECT number FROM pages WHERE address = '/b')",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    file.close().unwrap();
    let (code, said) = verify(scene.directory.path(), &scene.redis, &[]);
    assert!(code == 1 && said.contains("its pages together 71") && said.contains("restore"), "{said}");
    let node = Node::start(scene.directory.path(), &[]);
    until("the damage is reported", LIMIT, || node.admin_get("/readyz").json()["reasons"]["file"].is_string());
    assert_eq!(node.admin_get("/readyz").status, 200);
    assert!(node.admin_get("/metrics").body.contains("\nthongke_ledger_damaged 1\n"));
    assert!(node.log().contains("the node's file is damaged"), "{}", node.log());
    assert_eq!(node.hit("/a").status, 200);
    node.stop();
}

#[test]
fn a_figure_that_was_shown_too_high_falls_on_each_node_after_a_repair_there() {
    let (redis, directories) = (Redis::start(), [(); 2].map(|()| TempDir::new().unwrap()));
    let nodes = directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    (0..5).for_each(|_| assert_eq!(nodes[0].hit("/a").status, 200));
    until("the hits are in Redis", LIMIT, || redis.hits("total") == "5");
    redis.cli(&["HINCRBY", HITS, "total", "1000"]);
    let total = |node: &Node| node.get("/v1/sites/demo/figures?figures=total").figure("total");
    until("both show too much", LIMIT, || nodes.iter().all(|node| total(node) == 1_005));
    // The figures are in the files now.
    std::thread::sleep(Duration::from_secs(7));
    for (node, directory) in nodes.iter().zip(&directories) {
        let (code, said) = verify(directory.path(), &redis, &["--repair"]);
        assert_eq!(code, 0, "{said}");
        until("its figure is right", LIMIT, || total(node) == 5);
    }
    // The right figures are in the files.
    std::thread::sleep(Duration::from_secs(7));
    drop(redis);
    for (node, directory) in nodes.into_iter().zip(&directories) {
        node.kill();
        let node = Node::start(directory.path(), &["--redis", "redis://127.0.0.1:1"]);
        assert!(total(&node) <= 5, "{}", total(&node));
        node.stop();
    }
}
