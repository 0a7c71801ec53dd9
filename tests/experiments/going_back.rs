use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use crate::book::Book;
use crate::host::{Host, SITE_IDS, SITES, TIMEOUT, until_right};
use crate::length::{dice, seconds};
use crate::load::{Load, Plan};
use crate::redis_server::RedisServer;

/// Keys of counters with their values at some time.
type Dump = (String, Vec<u8>);

fn counters(redis: &RedisServer) -> Vec<String> {
    let keys: Vec<String> = redis.ask(&["KEYS", "thongke:*"]);
    keys.into_iter().filter(|key| key.ends_with(":hits") || key.contains(":pages:")).collect()
}

fn dump(redis: &RedisServer, key: &str) -> Option<Dump> {
    let dump: Option<Vec<u8>> = redis.ask(&["DUMP", key]);
    dump.map(|dump| (key.to_owned(), dump))
}

fn restore(redis: &RedisServer, (key, dump): &Dump) {
    let mut connection = redis.connect().unwrap();
    redis::cmd("RESTORE").arg(key).arg(0).arg(dump).arg("REPLACE").exec(&mut connection).unwrap();
}

#[test]
fn old_keys_that_come_back_alone_and_sites_that_come_and_go_change_no_count_and_lower_no_figure() {
    let mut dice = dice("going back");
    let redis = RedisServer::start();
    let mut hosts = [(); 2].map(|()| Host::new(Some(&redis.url())));
    hosts.iter_mut().for_each(Host::start);
    let book: Arc<Book> = Arc::default();
    let doors: Vec<_> = hosts.iter().map(Host::door).collect();
    let plan = Plan { pages: 50, sites_go: true, ..Plan::default() };
    let load = Load::start(&book, &doors, &plan, &mut dice);
    std::thread::sleep(Duration::from_secs(2));
    let (mut old, mut has_both): (Vec<Dump>, _) = (Vec::new(), [true; 2]);
    let (begun, mut events) = (Instant::now(), 0);
    while begun.elapsed() < seconds(10, 120) {
        match dice.random_range(0..10) {
            0..3 => old.extend(counters(&redis).choose(&mut dice).and_then(|key| dump(&redis, key))),
            3..7 => {
                if let Some(old) = old.choose(&mut dice) {
                    restore(&redis, old);
                }
            }
            7..9 => {
                let at = dice.random_range(0..hosts.len());
                has_both[at] = !has_both[at];
                hosts[at].configure_sites(Some(&redis.url()), &SITES[..if has_both[at] { 2 } else { 1 }]);
                hosts[at].node().signal("HUP");
            }
            _ => {
                if let Some(key) = counters(&redis).choose(&mut dice) {
                    redis.ask::<i64>(&["DEL", key]);
                }
            }
        }
        events += 1;
        std::thread::sleep(Duration::from_millis(dice.random_range(0..500)));
    }
    for host in &hosts {
        host.configure(Some(&redis.url()));
        host.node().signal("HUP");
    }
    load.stop();
    let took = until_right("Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    println!("{events} events; right {took:?} after the last; {:?}", book.results());
    assert!(book.results().acknowledged > 100 && !old.is_empty(), "{:?}", book.results());
    hosts.iter_mut().for_each(Host::stop);
    book.holds_in("Redis after all have stopped", &SITE_IDS, &redis.counted());
}
