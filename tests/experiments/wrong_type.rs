use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::host::{Host, SITE_IDS, TIMEOUT, until_right};
use crate::length::dice;
use crate::load::{Load, Plan};
use crate::node::until;
use crate::redis_server::RedisServer;

struct Stand {
    redis: RedisServer,
    host: Host,
    book: Arc<Book>,
}

impl Stand {
    fn new() -> Self {
        let redis = RedisServer::start();
        let mut host = Host::new(Some(&redis.url()));
        host.start();
        let stand = Self { redis, host, book: Arc::default() };
        stand.load();
        stand.is_right(&SITE_IDS);
        stand
    }

    fn load(&self) {
        let plan = Plan { pages: 20, ..Plan::default() };
        let doors = [self.host.door()];
        Load::during(&self.book, &doors, &plan, &mut dice("wrong_type"), || {
            std::thread::sleep(Duration::from_millis(300))
        });
    }

    fn is_right(&self, sites: &[&str]) {
        until_right("Redis", TIMEOUT, || self.book.faults(sites, &self.redis.counted_of(sites)));
    }

    fn reports(&self, what: &str) {
        until(&format!("/readyz names {what}"), TIMEOUT, || self.host.ready().contains(what));
        println!("reported: {}", self.host.ready());
        assert_eq!(self.host.node().admin_get("/readyz").status, 200, "a wrong type takes no node out of service");
    }

    fn gets_well(mut self) {
        let repaired = Instant::now();
        self.is_right(&SITE_IDS);
        println!("right {:?} after the repair", repaired.elapsed());
        until("/readyz is clean", TIMEOUT, || self.host.ready().contains(r#""degraded":[]"#));
        self.host.stop();
        self.book.holds_in("the files", &SITE_IDS, &self.host.export());
        self.book.holds_in("Redis after a stop", &SITE_IDS, &self.redis.counted());
    }
}

/// Damages one of site a's keys: site b stays exact, a is reported, and recovers after the repair.
fn damaged_by(key: &str, damage: &[&[&str]]) {
    let stand = Stand::new();
    for command in damage {
        stand.redis.ask::<redis::Value>(command);
    }
    stand.load();
    stand.is_right(&["b"]);
    stand.reports("a: ");
    until("a metric shows it", TIMEOUT, || stand.host.metric("thongke_redis_troubled_sites") > 0.5);
    assert!(stand.host.node().log().contains("site=a"), "{}", stand.host.node().log());
    stand.redis.ask::<i64>(&["DEL", key]);
    stand.gets_well();
}

#[test]
fn a_key_of_a_wrong_type_and_counters_that_are_no_numbers_leave_other_sites_exact_and_heal() {
    let hash = "thongke:{a}:hits";
    std::thread::scope(|scope| {
        scope.spawn(|| damaged_by(hash, &[&["DEL", hash], &["SET", hash, "x"]]));
        scope.spawn(|| damaged_by(hash, &[&["HSET", hash, "total", "many"]]));
        scope.spawn(|| damaged_by(hash, &[&["HSET", hash, "total", "9223372036854775800"]]));
    });
    let (pages, meta) = ("thongke:{a}:pages:total", "thongke:{a}:meta");
    std::thread::scope(|scope| {
        scope.spawn(|| damaged_by(pages, &[&["DEL", pages], &["SET", pages, "x"]]));
        scope.spawn(|| damaged_by(meta, &[&["DEL", meta], &["SET", meta, "x"]]));
    });
}

/// Damages all of Redis: the node reports it, and catches up after the repair.
fn redis_damaged_by(damage: &[&str], reported: &str, repair: &[&str]) {
    let stand = Stand::new();
    stand.redis.ask::<redis::Value>(damage);
    stand.load();
    stand.reports(reported);
    stand.redis.ask::<redis::Value>(repair);
    stand.gets_well();
}

#[test]
fn a_redis_that_may_evict_is_full_is_a_replica_or_forbids_scripts_is_reported_and_caught_up_with() {
    let policy = |policy| ["CONFIG", "SET", "maxmemory-policy", policy];
    let memory = |bytes| ["CONFIG", "SET", "maxmemory", bytes];
    let scripts = |eval, evalsha| ["ACL", "SETUSER", "default", eval, evalsha];
    std::thread::scope(|scope| {
        scope.spawn(|| redis_damaged_by(&policy("allkeys-lru"), "maxmemory-policy is", &policy("noeviction")));
        scope.spawn(|| redis_damaged_by(&memory("1"), "OOM", &memory("0")));
        scope.spawn(|| redis_damaged_by(&["REPLICAOF", "127.0.0.1", "1"], "replica", &["REPLICAOF", "NO", "ONE"]));
        scope.spawn(|| redis_damaged_by(&scripts("-eval", "-evalsha"), "NOPERM", &scripts("+eval", "+evalsha")));
    });
}
