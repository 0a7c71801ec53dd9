//! Visitors and who is online: nodes, crashes, outages, midnight, and the personal data that is kept.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use thongke::counter::{Sketch, Trace};

use crate::clock::at;
use crate::node::{Answer, Node, PROGRAM, until};
use crate::port::free_port;
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"
[sites.demo]
origins = ["http://localhost"]
figures = ["online", "today", "visitors_today", "visitors_yesterday"]
"#;

/// Tolerates shared registers: they make a sketch of a few dozen count one less, at times two.
fn is_about(value: i64, expected: i64) -> bool {
    (value - expected).abs() <= 2
}

fn write_config(directory: &Path) -> String {
    let path = directory.join("thongke.toml");
    std::fs::write(&path, CONFIG).unwrap();
    path.to_str().unwrap().to_owned()
}

fn start(directory: &TempDir, redis: Option<&Redis>) -> Node {
    start_as(Command::new(PROGRAM), directory, redis)
}

fn start_as(mut command: Command, directory: &TempDir, redis: Option<&Redis>) -> Node {
    command.args(["--config", &write_config(directory.path())]);
    if let Some(redis) = redis {
        command.args(["--redis", &redis.url()]);
    }
    Node::start_as(command, directory.path())
}

/// A hit of a test's visitor `number`.
fn visit(node: &Node, number: u32) -> Answer {
    let reader = format!("Mozilla/5.0 (visited-secretly; rv:{number}.0) Gecko/20100101 Firefox/{number}.0");
    visit_with(node, &reader, &[])
}

fn visit_with(node: &Node, user_agent: &str, more: &[&str]) -> Answer {
    let user_agent = format!("User-Agent: {user_agent}");
    let fields: Vec<_> = std::iter::once(user_agent.as_str()).chain(more.iter().copied()).collect();
    let answer = node.hit_with(&fields, r#"{"site":"demo","url":"http://localhost/a"}"#);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

fn today(node: &Node) -> i64 {
    node.figures().figure("visitors_today")
}

fn key_of_today(redis: &Redis) -> String {
    let keys = redis.cli(&["KEYS", "thongke:{demo}:visitors:2*"]);
    assert_eq!(keys.lines().count(), 1, "{keys}");
    keys
}

/// In a quarter of all cases some two of 99 share one of the 16,384 registers. In one of thirty two pairs do,
/// and the count is off by two.
#[test]
fn fewer_than_a_hundred_visitors_are_counted_right_to_one_nearly_always() {
    let rounds = 1_000;
    let counted = (0..rounds).map(|_| {
        let mut sketch = Sketch::default();
        for _ in 0..99 {
            sketch.add(Trace::of(&rand::random::<u64>().to_le_bytes()));
        }
        sketch.estimate()
    });
    let off: Vec<_> = counted.map(|counted| counted.abs_diff(99)).collect();
    let right = off.iter().filter(|off| **off <= 1).count();
    assert!(right >= rounds * 93 / 100, "{right} of {rounds}");
    assert!(off.iter().all(|off| *off <= 8), "{:?}", off.iter().max());
}

#[test]
fn redis_counts_what_a_node_counts_to_the_last_digit() {
    let redis = Redis::start();
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut own = Sketch::default();
    let mut added = 0_u64;
    let start: u64 = rand::random();
    for size in
        [0_u64, 1, 2, 3, 10, 50, 99, 100, 500, 2_000, 2_100, 5_000, 9_999, 16_384, 40_000, 100_000, 250_000, 1_000_000]
    {
        while added < size {
            let chunk = (size - added).min(10_000);
            let mut command = ::redis::cmd("PFADD");
            command.arg("theirs");
            for element in added..added + chunk {
                let element = start.wrapping_add(element).to_le_bytes();
                command.arg(&element);
                own.add(Trace::of(&element));
            }
            command.query::<i64>(&mut connection).unwrap();
            added += chunk;
        }
        let mut count = |key: &str| ::redis::cmd("PFCOUNT").arg(key).query::<u64>(&mut connection).unwrap();
        let theirs = count("theirs");
        assert_eq!(own.estimate(), theirs, "of {size}");
        assert!(theirs.abs_diff(size) <= size.max(100) / 20, "{theirs} of {size}");
        // The node's sketches are in Redis's own format, and the reverse.
        ::redis::cmd("SET").arg("ours").arg(own.to_redis()).exec(&mut connection).unwrap();
        let mut count = |key: &str| ::redis::cmd("PFCOUNT").arg(key).query::<u64>(&mut connection).unwrap();
        assert_eq!(count("ours"), theirs, "of {size}");
        ::redis::cmd("PFMERGE").arg("merged").arg("ours").exec(&mut connection).unwrap();
        assert_eq!(::redis::cmd("PFCOUNT").arg("merged").query::<u64>(&mut connection).unwrap(), theirs, "of {size}");
        if size > 0 {
            let text: Vec<u8> = ::redis::cmd("GET").arg("theirs").query(&mut connection).unwrap();
            assert!(Sketch::from_redis(&text).unwrap() == own, "of {size}");
        }
    }
}

#[test]
fn three_nodes_and_redis_show_the_same_visitors() {
    let redis = Redis::start();
    let directories = [(); 3].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| start(directory, Some(&redis)));
    // 10 of its own each, and 10 who visit all.
    for (at, node) in (0..).zip(&nodes) {
        for visitor in (0..10).chain(100 * (at + 1)..100 * (at + 1) + 10) {
            visit(node, visitor);
            visit(node, visitor);
        }
    }
    for node in &nodes {
        until("each shows all", LIMIT, || is_about(today(node), 40));
        until("all are online", LIMIT, || is_about(node.figures().figure("online"), 40));
        until("each shows all hits", LIMIT, || node.figures().figure("today") == 120);
    }
    let of_redis = || redis.cli(&["PFCOUNT", &key_of_today(&redis)]).parse::<i64>().unwrap();
    until("Redis has the same", LIMIT, || nodes.iter().all(|node| today(node) == of_redis()));
    let key = key_of_today(&redis);
    let day = key.rsplit(':').next().unwrap();
    until("the day's estimate stands beside", LIMIT, || {
        redis.cli(&["HGET", "thongke:{demo}:visitors", day]) == of_redis().to_string()
    });
    for pattern in ["visitors:2*", "online:*", "salt:*"] {
        let keys = redis.cli(&["KEYS", &format!("thongke:{{demo}}:{pattern}")]);
        assert!(!keys.is_empty(), "{pattern}");
        for key in keys.lines() {
            let left: i64 = redis.cli(&["TTL", key]).parse().unwrap();
            assert!((0..=4 * 86_400).contains(&left), "{key} expires in {left} s");
        }
    }
    assert_eq!(redis.cli(&["EXISTS", "thongke:{demo}:visitors:merging"]), "0");
}

#[test]
fn visitors_meet_in_a_cluster_too() {
    let directory = TempDir::new().unwrap();
    let port = free_port();
    let file = directory.path().join("nodes.conf");
    let options = ["--cluster-enabled", "yes", "--cluster-config-file", file.to_str().unwrap()];
    let redis = Redis::start_with(port, &options);
    redis.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster is complete", LIMIT, || redis.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    let url = format!("redis+cluster://127.0.0.1:{port}");
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| {
        let mut command = Command::new(PROGRAM);
        command.args(["--redis", &url]);
        start_as(command, directory, None)
    });
    for node in &nodes {
        (0..20).for_each(|visitor| drop(visit(node, visitor)));
    }
    let of_redis = || redis.cli(&["PFCOUNT", &key_or_none(&redis)]).parse::<i64>().unwrap();
    until("they are the same twenty", LIMIT, || {
        is_about(of_redis(), 20) && nodes.iter().all(|node| today(node) == of_redis())
    });
}

#[test]
fn crashes_and_outages_lose_and_double_no_visitor() {
    let redis = Redis::start();
    let port = redis.port();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [first, second] = directories.each_ref().map(|directory| start(directory, Some(&redis)));
    (0..10).for_each(|visitor| drop(visit(&first, visitor)));
    (0..10).for_each(|visitor| drop(visit(&second, visitor)));
    until("both show ten", LIMIT, || is_about(today(&first), 10) && is_about(today(&second), 10));
    drop(redis);
    // New and known visitors, on a node that crashes while its Redis is away.
    (0..20).for_each(|visitor| drop(visit(&first, visitor)));
    first.kill();
    let first = start(&directories[0], None);
    assert!(is_about(today(&first), 20), "{}", first.figures().body);
    assert!(is_about(first.figures().figure("online"), 20), "{}", first.figures().body);
    (0..20).for_each(|visitor| drop(visit(&first, visitor)));
    assert!(is_about(today(&first), 20), "{}", first.figures().body);
    first.kill();
    // An empty Redis.
    let redis = Redis::start_on(port);
    let first = start(&directories[0], Some(&redis));
    until("the other node hears of them", LIMIT, || is_about(today(&second), 20));
    (0..20).for_each(|visitor| drop(visit(&second, visitor)));
    for node in [&first, &second] {
        until("nobody counts twice", LIMIT, || is_about(today(node), 20));
    }
    // A Redis that loses its data while connected.
    redis.cli(&["FLUSHALL"]);
    until("the lost visitors are published again", LIMIT, || {
        // A query of the figures triggers it.
        let shown = today(&first);
        redis.cli(&["PFCOUNT", &key_or_none(&redis)]) == shown.to_string()
    });
    assert!(is_about(today(&first), 20));
    let counted = today(&first);
    first.stop();
    let first = start(&directories[0], None);
    assert_eq!(today(&first), counted, "a clean stop keeps all");
}

fn key_or_none(redis: &Redis) -> String {
    let keys = redis.cli(&["KEYS", "thongke:{demo}:visitors:2*"]);
    keys.lines().next().unwrap_or("none").to_owned()
}

#[test]
fn a_reader_who_opts_out_is_counted_as_a_hit_only() {
    let directory = TempDir::new().unwrap();
    let node = start(&directory, None);
    for field in ["DNT: 1", "Sec-GPC: 1"] {
        let answer = visit_with(&node, "Firefox", &[field]);
        assert_eq!((answer.figure("visitors_today"), answer.figure("online")), (0, 0), "{field}");
    }
    let answer = visit_with(&node, "Firefox", &["DNT: 0"]);
    assert_eq!((answer.figure("visitors_today"), answer.figure("online"), answer.figure("today")), (1, 1, 3));
}

#[test]
fn nothing_that_is_kept_names_a_visitor() {
    let redis = Redis::start();
    let directory = TempDir::new().unwrap();
    let node = start(&directory, Some(&redis));
    let address = visit(&node, 1);
    assert_eq!(address.figure("visitors_today"), 1);
    until("it is published", LIMIT, || !key_or_none(&redis).contains("none"));
    node.stop();
    let node = start(&directory, Some(&redis));
    visit(&node, 2);
    node.kill();
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for what in ["visited-secretly", "Firefox", "127.0.0.1"] {
            // The lock file names the node's own listener.
            let is_own = what.starts_with("127") && path.extension().is_some_and(|extension| extension == "lock");
            assert!(is_own || !holds(&bytes, what.as_bytes()), "{}: {what}", path.display());
        }
    }
    for key in redis.cli(&["KEYS", "*"]).lines() {
        let dump = redis.cli(&["DUMP", key]);
        assert!(!dump.contains("Firefox") && !dump.contains("127.0.0.1"), "{key}");
    }
}

/// At midnight a staying visitor counts for today again, and is online once.
#[test]
fn at_midnight_visitors_start_from_zero_and_nobody_is_online_twice() {
    let moment = "@2024-06-17 23:59:50";
    let redis = Redis::start_as(at(moment, "redis-server"), free_port(), &[]);
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [first, second] =
        directories.each_ref().map(|directory| start_as(at(moment, PROGRAM), directory, Some(&redis)));
    for node in [&first, &second] {
        (0..20).for_each(|visitor| drop(visit(node, visitor)));
    }
    let period = |node: &Node| node.figures().json()["figures"][2]["period"].as_str().unwrap().to_owned();
    until("it is the next day for both", LIMIT, || [&first, &second].iter().all(|node| period(node) == "2024-06-18"));
    for node in [&first, &second] {
        (0..20).for_each(|visitor| drop(visit(node, visitor)));
    }
    for node in [&first, &second] {
        until("each shows twenty of both days", LIMIT, || {
            let figures = node.figures();
            is_about(figures.figure("visitors_today"), 20) && is_about(figures.figure("visitors_yesterday"), 20)
        });
        let online = node.figures().figure("online");
        assert!(is_about(online, 20), "{online} are online");
    }
    // After two crashes too: the minutes of both salts are on disk.
    first.kill();
    let first = start_as(at("@2024-06-18 00:01:30", PROGRAM), &directories[0], Some(&redis));
    (0..20).for_each(|visitor| drop(visit(&first, visitor)));
    let figures = first.figures();
    assert!(is_about(figures.figure("online"), 20), "{}", figures.body);
    assert!(is_about(figures.figure("visitors_today"), 20), "{}", figures.body);
    // Once the window has left the old day, it needs only the new salt.
    first.kill();
    let first = start_as(at("@2024-06-18 00:04:30", PROGRAM), &directories[0], Some(&redis));
    (0..20).for_each(|visitor| drop(visit(&first, visitor)));
    let figures = first.figures();
    assert!(is_about(figures.figure("online"), 20), "{}", figures.body);
    let salts = || {
        let file = rusqlite::Connection::open(directories[0].path().join("thongke.db")).unwrap();
        file.query_row("SELECT group_concat(day) FROM salts WHERE day <= 20240618", [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    until("the old salt is deleted", LIMIT, || salts() == "20240618");
}
