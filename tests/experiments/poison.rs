use std::sync::Arc;
use std::time::Duration;

use crate::book::Book;
use crate::host::{Host, PATIENCE, SITE_IDS, until_right};
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
        Load::during(&self.book, &doors, &plan, &mut dice("poison"), || std::thread::sleep(Duration::from_millis(300)));
    }

    fn is_right(&self, sites: &[&str]) {
        until_right("Redis", PATIENCE, || self.book.faults(sites, &self.redis.counted_of(sites)));
    }

    fn reports(&self, what: &str) {
        until(&format!("/readyz names {what}"), PATIENCE, || self.host.ready().contains(what));
        assert_eq!(self.host.node().admin_get("/readyz").status, 200, "poison takes no node out of service");
    }

    fn is_well_again(mut self) {
        self.is_right(&SITE_IDS);
        until("/readyz is clean", PATIENCE, || self.host.ready().contains(r#""degraded":[]"#));
        self.host.stop();
        self.book.holds_in("the files", &SITE_IDS, &self.host.export());
        self.book.holds_in("Redis after a stop", &SITE_IDS, &self.redis.counted());
    }
}

/// Site a's hash is spoilt so; site b stays exact, a is reported, and heals when mended.
fn spoilt_by(spoil: &[&[&str]]) {
    let stand = Stand::new();
    for command in spoil {
        stand.redis.ask::<redis::Value>(command);
    }
    stand.load();
    stand.is_right(&["b"]);
    stand.reports("a: ");
    stand.redis.ask::<i64>(&["DEL", "thongke:{a}:hits"]);
    stand.is_well_again();
}

#[test]
fn a_key_of_a_wrong_type_leaves_other_sites_exact_and_heals() {
    spoilt_by(&[&["DEL", "thongke:{a}:hits"], &["SET", "thongke:{a}:hits", "x"]]);
}

#[test]
fn a_counter_that_is_no_number_leaves_other_sites_exact_and_heals() {
    spoilt_by(&[&["HSET", "thongke:{a}:hits", "total", "many"]]);
}

#[test]
fn a_counter_near_the_end_of_numbers_leaves_other_sites_exact_and_heals() {
    spoilt_by(&[&["HSET", "thongke:{a}:hits", "total", "9223372036854775800"]]);
}

#[test]
fn a_redis_that_would_evict_or_is_full_or_forbids_is_reported_and_caught_up_with() {
    let cases: [(&str, &[&[&str]], &[&[&str]]); 4] = [
        (
            "maxmemory-policy",
            &[&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]],
            &[&["CONFIG", "SET", "maxmemory-policy", "noeviction"]],
        ),
        ("redis", &[&["CONFIG", "SET", "maxmemory", "1"]], &[&["CONFIG", "SET", "maxmemory", "0"]]),
        ("redis", &[&["REPLICAOF", "127.0.0.1", "1"]], &[&["REPLICAOF", "NO", "ONE"]]),
        (
            "redis",
            &[&["ACL", "SETUSER", "default", "-eval", "-evalsha"]],
            &[&["ACL", "SETUSER", "default", "+eval", "+evalsha"]],
        ),
    ];
    for (reported, spoil, mend) in cases {
        let stand = Stand::new();
        for command in spoil {
            stand.redis.ask::<redis::Value>(command);
        }
        stand.load();
        stand.reports(reported);
        println!("{spoil:?}: {}", stand.host.ready());
        for command in mend {
            stand.redis.ask::<redis::Value>(command);
        }
        stand.is_well_again();
    }
}
