use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{Months, TimeDelta, Utc};

use crate::book::{Book, Counted, Counter};
use crate::host::{Host, SITES, TIMEOUT};
use crate::length::{dice, either, seconds};
use crate::load::{Load, Plan};
use crate::node::until;
use crate::redis_server::RedisServer;

/// Limit until every counter in Redis is right again: a minute. A program that isn't optimised has more.
const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 240 } else { 60 });

/// Pages of an import of site a, with four counters each: 100,000 in the long form.
fn imported_pages() -> usize {
    either(500, 25_000)
}

/// Pages of each site that an ended run counted, with three counters each: 102,000 on both sites.
fn counted_pages() -> usize {
    either(340, 17_000)
}

/// An import of pages in four periods, each with so many hits; and of the site's total.
fn csv(pages: usize, hits: usize) -> String {
    let yesterday = Utc::now() - TimeDelta::days(1);
    let month = yesterday.format("%Y-%m").to_string();
    let month_before = (yesterday - Months::new(1)).format("%Y-%m").to_string();
    let periods = [yesterday.format("%Y-%m-%d").to_string(), month, month_before, "total".to_owned()];
    let mut text = format!("period,page,hits\ntotal,,{}\n", pages * hits);
    for period in periods {
        (0..pages).for_each(|page| text.push_str(&format!("{period},/imported/{page},{hits}\n")));
    }
    text
}

/// Counters that differ, as they are in the file and in Redis.
fn differences(file: &Counted, redis: &Counted) -> usize {
    let changed = file.iter().filter(|(counter, hits)| redis.get(*counter) != Some(*hits)).count();
    changed + redis.keys().filter(|counter| !file.contains_key(*counter)).count()
}

/// Number of names in each key of pages.
fn sizes(redis: &RedisServer) -> BTreeMap<String, i64> {
    let keys: Vec<String> = redis.ask(&["KEYS", "thongke:*:pages:*"]);
    keys.into_iter().map(|key| (key.clone(), redis.ask(&["ZCARD", &key]))).collect()
}

/// Time from `begun` until Redis has the file's counters. Reading them all takes Redis's time: it waits until
/// the keys are as large as before.
fn right_after(
    what: &str,
    begun: Instant,
    file: &Counted,
    redis: &RedisServer,
    sizes_before: &BTreeMap<String, i64>,
) -> Duration {
    loop {
        let now = sizes(redis);
        let is_smaller = |(key, size): (&String, &i64)| now.get(key).is_none_or(|now| now < size);
        let smaller = sizes_before.iter().filter(|entry| is_smaller(*entry)).count();
        let begun_reading = Instant::now();
        let wrong = if smaller == 0 { differences(file, &redis.counted()) } else { file.len() };
        if wrong == 0 {
            return begun_reading.duration_since(begun);
        }
        assert!(begun.elapsed() < LIMIT, "{what}: up to {wrong} counters are wrong after {LIMIT:?}, in {smaller} keys");
        std::thread::sleep(Duration::from_millis(200) + 4 * begun_reading.elapsed());
    }
}

/// Longest time until a hit of site b was in Redis's total, among those acknowledged during the time.
fn live_lag(redis: &RedisServer, base: &Counted, book: &Book, time: Duration) -> Duration {
    let base = base[&Counter { site: "b".into(), period: "total".into(), page: None }];
    let (begun, mut lag) = (Instant::now(), Duration::ZERO);
    let mut waiting = std::collections::VecDeque::new();
    while begun.elapsed() < time || !waiting.is_empty() {
        if begun.elapsed() < time {
            waiting.push_back((Instant::now(), base + book.acknowledged("b")));
        }
        let total: Option<i64> = redis.ask(&["HGET", "thongke:{b}:hits", "total"]);
        while waiting.front().is_some_and(|(_, hits)| total >= Some(*hits)) {
            waiting.pop_front();
        }
        lag = lag.max(waiting.front().map_or(Duration::ZERO, |(at, _)| at.elapsed()));
        assert!(lag < LIMIT, "live figures wait for {lag:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    lag
}

/// Redis loses counts in the given way, under load. Every counter must be right within the limit.
fn forgets(what: &str, redis: &mut RedisServer, host: &mut Host, lose: impl FnOnce(&mut RedisServer, &mut Host)) {
    let base = host.export();
    let sizes_before = sizes(redis);
    let book: Arc<Book> = Arc::default();
    book.begins_with(&base);
    host.door().has_before(&base);
    let answers_before = host.door().answers();
    let plan = Plan { clients: 2, pause: Duration::from_millis(20), ..Plan::default() };
    let load = Load::start(&book, &[host.door()], &plan, &mut dice(what));
    std::thread::sleep(Duration::from_secs(1));
    lose(redis, host);
    let begun = Instant::now();
    let after_loss = differences(&base, &redis.counted());
    let lag = live_lag(redis, &base, &book, seconds(2, 15));
    load.stop();
    let file = host.export();
    let took = right_after(what, begun, &file, redis, &sizes_before);
    until("no longer marked", TIMEOUT, || {
        SITES.iter().all(|(site, _)| host.node().get(&format!("/v1/sites/{site}/figures")).json()["stale"].is_null())
    });
    let answers = host.door().answers() - answers_before;
    assert!(after_loss > base.len() / 3 && answers > 20, "{after_loss} were lost, {answers} answers");
    println!(
        "{what}: {after_loss} of {} counters wrong, all right after {took:.1?}; a hit was in \
         Redis's total after {lag:.1?} at most; {answers} answers",
        file.len()
    );
}

#[test]
fn many_page_counters_are_right_again_within_a_minute_and_no_figure_falls() {
    let mut redis = RedisServer::start();
    let mut host = Host::new(Some(&redis.url()));
    // Pages that nobody hits any more.
    host.door().ask_about("/imported/7");
    host.door().ask_about(&format!("/1-days-ago/{}", counted_pages() - 1));
    let files = tempfile::TempDir::new().unwrap();
    let import = |host: &Host, pages: usize, hits: usize| {
        let path = files.path().join("old.csv");
        std::fs::write(&path, csv(pages, hits)).unwrap();
        host.command(&["import", "a", path.to_str().unwrap(), "--source", "old"]);
    };
    let until_equal = |host: &Host, redis: &RedisServer| {
        let file = host.export();
        let took = right_after("publication", Instant::now(), &file, redis, &BTreeMap::new());
        println!("{} counters in Redis after {took:.1?}", file.len());
    };
    host.start();
    import(&host, imported_pages() / 5, 1);
    until_equal(&host, &redis);
    // The older state: a fifth of the import's pages, with other hits, and no ended run.
    redis.ask::<()>(&["SAVE"]);
    import(&host, imported_pages(), 3);
    host.stop();
    host.counted_before(TimeDelta::days(1), counted_pages(), &Book::default());
    host.start();
    until_equal(&host, &redis);

    forgets("FLUSHALL", &mut redis, &mut host, |redis, _| redis.ask::<()>(&["FLUSHALL"]));
    forgets("an older dump, while the node runs", &mut redis, &mut host, |redis, _| {
        redis.kill();
        redis.start_again();
    });
    forgets("an older dump, while the node is down", &mut redis, &mut host, |redis, host| {
        host.kill();
        redis.kill();
        redis.start_again();
        host.start();
    });
    host.stop();
}
