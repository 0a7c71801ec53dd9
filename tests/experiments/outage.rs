use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::book::Book;
use crate::host::{Host, SITE_IDS, TIMEOUT, until_right};
use crate::length::{dice, either, seconds};
use crate::load::{Load, Plan};
use crate::node::until;
use crate::redis_server::RedisServer;

/// The node's resident memory, in KiB.
fn memory(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.node().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn while_redis_is_away_hits_go_on_figures_are_marked_memory_is_flat_and_all_is_published_after() {
    let mut dice = dice("an outage");
    let mut redis = RedisServer::start();
    let mut host = Host::new(Some(&redis.url()));
    host.start();
    let book: Arc<Book> = Arc::default();
    let load = Load::start(&book, &[host.door()], &Plan { pause: Duration::ZERO, ..Plan::default() }, &mut dice);
    std::thread::sleep(Duration::from_secs(1));
    redis.kill();
    until("figures are marked", TIMEOUT, || host.node().get("/v1/sites/a/figures").json()["stale"] == true);
    std::thread::sleep(seconds(2, 10));
    let (before, memory_before) = (book.results().acknowledged, memory(&host));
    std::thread::sleep(seconds(3, 50));
    let (after, memory_after) = (book.results().acknowledged, memory(&host));
    println!("{} hits without Redis; memory {memory_before} KiB, then {memory_after} KiB", after - before);
    assert!(after - before > 100, "hits go on");
    // A record per waiting hit would show: some 100 bytes each, or much more.
    assert!(memory_after < memory_before + 32 * 1024, "memory grew from {memory_before} to {memory_after} KiB");
    let ready = host.node().admin_get("/readyz");
    assert!(ready.status == 200 && ready.body.contains("redis"), "{}", ready.body);
    let figures = host.node().get("/v1/sites/a/figures").json();
    assert!(figures["as_of"].as_str().is_some_and(|time| time.contains('T')), "{figures}");
    redis.start_again();
    load.stop();
    let took = until_right("Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    println!("Redis is right {took:?} after it has come back");
    until("no longer marked", TIMEOUT, || host.node().get("/v1/sites/a/figures").json()["stale"].is_null());
    until("nothing waits", TIMEOUT, || host.metric("thongke_redis_unpublished_hits") < 0.5);
    let results = book.results();
    assert_eq!(results.doubtful(), 0, "{results:?}");
    host.stop();
    book.holds_in("the files", &SITE_IDS, &host.export());
}

#[test]
fn any_key_that_is_deleted_expires_or_is_evicted_and_any_flush_is_healed() {
    let mut redis = RedisServer::start();
    let mut host = Host::new(Some(&redis.url()));
    let book: Arc<Book> = Arc::default();
    // Counted by a finished run: days and pages that nothing touches any more.
    for days in either(&[30][..], &[1, 2, 30]) {
        host.counted_before(TimeDelta::days(*days), 3, &book);
    }
    host.start();
    let right = |what: &str| until_right(what, TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    let load = || {
        Load::during(&book, &[host.door()], &Plan::default(), &mut dice("lost keys"), || {
            std::thread::sleep(Duration::from_millis(500))
        })
    };
    load();
    right("Redis");
    let mut keys: Vec<String> = redis.ask(&["KEYS", "thongke:*"]);
    keys.sort();
    assert!(keys.len() >= 10, "{keys:?}");
    // All keys of one kind at a time, one site's and then the other's: each loss is one key's own.
    let chosen = keys.iter().filter(|key| !key.ends_with(":meta"));
    for (number, key) in chosen.enumerate() {
        let loss: &[&str] = if number % 2 == 0 { &["DEL", key] } else { &["PEXPIRE", key, "1"] };
        assert_eq!(redis.ask::<i64>(loss), 1);
        std::thread::sleep(Duration::from_millis(5));
        let took = right(key);
        println!("{loss:?}: healed after {took:?}");
    }
    // Until Redis has evicted one, of its own choice.
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    until("a key is evicted", TIMEOUT, || {
        let info = redis.ask::<String>(&["INFO", "stats"]);
        info.lines().any(|line| line.starts_with("evicted_keys:") && line != "evicted_keys:0")
    });
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    println!("evicted keys: healed after {:?}", right("Redis after an eviction"));
    redis.ask::<()>(&["FLUSHALL"]);
    println!("FLUSHALL: healed after {:?}", right("Redis after FLUSHALL"));
    assert!(host.metric("thongke_redis_regressions_total") > 0.5);
    load();
    right("Redis in the end");
    redis.kill();
    redis.start_again();
    println!("an empty Redis in its place: healed after {:?}", {
        until_right("the empty Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()))
    });
    host.stop();
}
