use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::book::Book;
use crate::host::{Host, SITE_IDS, TIMEOUT, until_right};
use crate::length::{dice, seconds};
use crate::load::{Load, Plan, exchange, request};
use crate::redis_server::RedisServer;

/// Kills the node, and Redis if there is one, at random intervals until the time is over.
fn kill_in_turns(node: &mut Host, mut redis: Option<&mut RedisServer>, lasting: Duration, dice: &mut StdRng) -> i64 {
    let mut around =
        |milliseconds: u64| Duration::from_millis(dice.random_range(milliseconds / 2..milliseconds * 3 / 2));
    let started = Instant::now();
    let mut node_at = started + around(2_000);
    let mut redis_at = started + around(3_000);
    let mut kills = 0;
    while started.elapsed() < lasting {
        if Instant::now() >= node_at {
            node.kill();
            kills += 1;
            node.start();
            node_at = Instant::now() + around(2_000);
        }
        if Instant::now() >= redis_at
            && let Some(redis) = redis.as_deref_mut()
        {
            redis.kill();
            redis.start_again();
            redis_at = Instant::now() + around(3_000);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    kills
}

#[test]
fn a_node_that_is_killed_again_and_again_counts_each_hit_once() {
    let mut dice = dice("kills without Redis");
    let mut node = Host::new(None);
    node.start();
    let book = Arc::default();
    let plan = Plan::default();
    let doors = [node.door()];
    let load = Load::start(&book, &doors, &plan, &mut dice);
    let kills = kill_in_turns(&mut node, None, seconds(8, 60), &mut dice);
    load.stop();
    book.holds_in("the running node", &SITE_IDS, &node.export());
    node.kill();
    book.holds_in("its files after a last kill", &SITE_IDS, &node.export());
    node.start();
    node.stop();
    book.holds_in("its files after a stop", &SITE_IDS, &node.export());
    is_sharp(&book, &plan, kills);
}

/// A client has at most one open hit at a kill: more doubt would hide losses.
fn is_sharp(book: &Book, plan: &Plan, kills: i64) {
    let results = book.results();
    println!("{kills} kills, {results:?}");
    assert!(kills > 0 && results.acknowledged > 100, "{kills} kills, {results:?}");
    assert!(results.doubtful() <= kills * i64::try_from(plan.clients).unwrap(), "{kills} kills, {results:?}");
}

#[test]
fn a_node_and_a_redis_that_are_killed_again_and_again_count_each_hit_once() {
    let mut dice = dice("kills with Redis");
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut node = Host::new(Some(&redis.url()));
    node.start();
    let book = Arc::default();
    let plan = Plan::default();
    let doors = [node.door()];
    let load = Load::start(&book, &doors, &plan, &mut dice);
    let kills = kill_in_turns(&mut node, Some(&mut redis), seconds(10, 60), &mut dice);
    load.stop();
    book.holds_in("the running node", &SITE_IDS, &node.export());
    let took = until_right("Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    println!("Redis is right {took:?} after the last hit");
    node.stop();
    book.holds_in("Redis after a stop", &SITE_IDS, &redis.counted());
    book.holds_in("the files after a stop", &SITE_IDS, &node.export());
    is_sharp(&book, &plan, kills);
}

/// Writes a million counted pages, as the program would over years.
fn a_million_pages(file: &std::path::Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let text = "
        BEGIN;
        CREATE TEMP TABLE n AS WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000) SELECT n FROM n;
        INSERT INTO sources (name, learned) VALUES ('00000000000000aa', 0);
        INSERT INTO pages (number, site, address) SELECT n, 1, '/old/' || printf('%07d', n) FROM n;
        INSERT INTO counts (site, period, page, source, hits) SELECT 1, 0, n, (SELECT max(number) FROM sources), 1 FROM n;
        INSERT INTO counts (site, period, page, source, hits) VALUES (1, 0, 0, (SELECT max(number) FROM sources), 1000000);
        INSERT INTO site_sources SELECT 1, max(number) FROM sources;
        COMMIT; PRAGMA wal_checkpoint(TRUNCATE);";
    connection.execute_batch(text).unwrap();
}

#[test]
fn a_start_takes_no_longer_with_a_million_counted_pages_on_disk() {
    let first_hit = |host: &mut Host| {
        let started = Instant::now();
        host.start();
        let mut stream = std::net::TcpStream::connect(&host.node().public).unwrap();
        let (status, _) = exchange(&mut stream, &request("a", "/new", "?figures=0")).unwrap();
        assert_eq!(status, 204);
        let took = started.elapsed();
        host.kill();
        took
    };
    // The quickest of several: the machine runs other programs too.
    let quickest = |host: &mut Host| (0..5).map(|_| first_hit(host)).min().unwrap();
    let (mut empty, mut full) = (Host::new(None), Host::new(None));
    full.start();
    full.stop();
    a_million_pages(&full.data().join("thongke.db"));
    let (empty, full) = (quickest(&mut empty), quickest(&mut full));
    println!("from start to the first acknowledged hit: {empty:?} without counts, {full:?} with a million pages");
    assert!(full < empty * 4 + Duration::from_millis(200), "{full:?} with a million pages, {empty:?} with none");
}
