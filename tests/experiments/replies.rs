use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::host::{Host, SITE_IDS, TIMEOUT, until_right};
use crate::length::{dice, seconds};
use crate::load::{Load, Plan};
use crate::proxy::{Proxy, Weather};
use crate::redis_server::RedisServer;

#[test]
fn cut_delayed_and_swallowed_replies_and_scripts_that_run_late_change_no_count() {
    let mut dice = dice("replies");
    let redis = RedisServer::start();
    let proxy = Proxy::before(redis.port, &mut dice);
    let mut node = Host::new(Some(&proxy.url()));
    node.start();
    let book = Arc::default();
    let doors = [node.door()];
    let load = Load::start(&book, &doors, &Plan::default(), &mut dice);
    let begun = Instant::now();
    let mut round = 0;
    while begun.elapsed() < seconds(6, 90) {
        let delay_max = Duration::from_millis(1_500);
        proxy.set(match round % 4 {
            0 => Weather { cut: 0.05, refuse: 0.3, ..Weather::default() },
            1 => Weather { swallow: 0.1, ..Weather::default() },
            2 => Weather { delay: 0.1, delay_max, ..Weather::default() },
            _ => Weather { cut: 0.02, swallow: 0.02, delay: 0.05, delay_max, refuse: 0.1 },
        });
        std::thread::sleep(Duration::from_millis(1_200));
        if round % 3 == 1 {
            // Calls that time out meanwhile run once it continues.
            redis.signal("STOP");
            std::thread::sleep(Duration::from_secs(3));
            redis.signal("CONT");
        }
        round += 1;
    }
    load.stop();
    proxy.set(Weather::default());
    let took = until_right("Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    println!("Redis is right {took:?} after the last hit and the last fault; {:?}", book.results());
    let results = book.results();
    assert!(results.acknowledged > 100 && results.doubtful() == 0, "Redis is not in a hit's way: {results:?}");
    // Redis has lost nothing; a repeated or late call must not look like a loss.
    assert!((node.metric("thongke_redis_regressions_total") - 0.0).abs() < 0.5);
    book.holds_in("the node", &SITE_IDS, &node.export());
    node.stop();
    book.holds_in("Redis after a stop", &SITE_IDS, &redis.counted());
}
