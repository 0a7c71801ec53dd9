use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use crate::book::{Book, sum, without_pages};
use crate::host::{Host, SITE_IDS, TIMEOUT, until_right};
use crate::length::{dice, either, seconds};
use crate::load::{Door, Load, Plan};
use crate::redis_server::RedisServer;

fn doors(hosts: &[Host]) -> Vec<Door> {
    hosts.iter().map(Host::door).collect()
}

#[test]
fn three_nodes_killed_paused_and_stopped_at_random_count_each_hit_once() {
    let mut dice = dice("three nodes");
    let redis = RedisServer::start();
    let mut hosts = [(); 3].map(|()| Host::new(Some(&redis.url())));
    hosts.iter_mut().for_each(Host::start);
    let book = Arc::default();
    let load = Load::start(&book, &doors(&hosts), &Plan::default(), &mut dice);
    let begun = Instant::now();
    let mut paused: Option<(usize, Instant)> = None;
    while begun.elapsed() < seconds(8, 120) {
        let chosen = dice.random_range(0..hosts.len());
        let is_paused = paused.is_some_and(|(host, _)| host == chosen);
        match dice.random_range(0..10) {
            // A paused node can be killed too.
            0..4 => {
                hosts[chosen].kill();
                hosts[chosen].start();
                paused = paused.filter(|_| !is_paused);
            }
            4..6 if !is_paused => {
                hosts[chosen].stop();
                hosts[chosen].start();
            }
            6..8 if paused.is_none() => {
                hosts[chosen].node().signal("STOP");
                paused = Some((chosen, Instant::now() + seconds(2, 60)));
            }
            _ => {}
        }
        if let Some((host, _)) = paused.filter(|(_, until)| *until <= Instant::now()) {
            hosts[host].node().signal("CONT");
            paused = None;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    if let Some((host, _)) = paused {
        hosts[host].node().signal("CONT");
    }
    load.stop();
    let results = book.results();
    println!("{results:?}");
    assert!(results.acknowledged > 100, "{results:?}");
    until_right("Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    hosts.iter_mut().for_each(Host::stop);
    book.holds_in("Redis after all have stopped", &SITE_IDS, &redis.counted());
    // Page figures are each node's own; site figures may include the others' published counts.
    let pages = sum(hosts.iter().map(Host::export)).into_iter().filter(|(counter, _)| counter.page.is_some());
    let own = without_pages(redis.counted());
    book.holds_in("the three files together", &SITE_IDS, &own.into_iter().chain(pages).collect());
}

/// Loads for a while, with nothing else going on.
fn load(book: &Arc<Book>, hosts: &[&Host], lasting: Duration) {
    let doors: Vec<_> = hosts.iter().map(|host| host.door()).collect();
    Load::during(book, &doors, &Plan::default(), &mut dice("a load"), || std::thread::sleep(lasting));
}

#[test]
fn a_copied_directory_and_a_restored_backup_beside_the_original_lose_and_repeat_nothing() {
    let redis = RedisServer::start();
    let url = redis.url();
    let mut original = Host::new(Some(&url));
    let book = Arc::default();
    original.start();
    load(&book, &[&original], Duration::from_secs(1));
    original.kill();
    let mut backup = original.copy(Some(&url));
    original.start();
    load(&book, &[&original], seconds(1, 20));
    original.kill();
    // A crashed node: both will fold its journal.
    let mut copy = original.copy(Some(&url));
    original.start();
    copy.start();
    backup.start();
    load(&book, &[&original, &copy, &backup], seconds(2, 20));
    copy.kill();
    copy.start();
    until_right("Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    redis.ask::<()>(&["FLUSHALL"]);
    load(&book, &[&original, &copy, &backup], Duration::from_secs(1));
    until_right("Redis after FLUSHALL", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    for host in [&mut original, &mut copy, &mut backup] {
        host.stop();
    }
    book.holds_in("Redis after all have stopped", &SITE_IDS, &redis.counted());
}

#[test]
fn a_retired_nodes_site_figures_survive_an_empty_redis() {
    let redis = RedisServer::start();
    let (mut retired, mut stays) = (Host::new(Some(&redis.url())), Host::new(Some(&redis.url())));
    let book = Arc::default();
    retired.start();
    load(&book, &[&retired], Duration::from_secs(1));
    retired.stop();
    book.holds_in("Redis", &SITE_IDS, &redis.counted());
    drop(retired);
    stays.start();
    // A node has the other's figures once its own export shows them.
    let own =
        |host: &Host| book.faults(&SITE_IDS, &host.export()).into_iter().filter(|fault| fault.contains("(itself)"));
    until_right("the other node's remote counts", TIMEOUT, || own(&stays).collect());
    redis.ask::<()>(&["FLUSHALL"]);
    let of_sites = |faults: Vec<String>| faults.into_iter().filter(|fault| fault.contains("(itself)")).collect();
    until_right("an emptied Redis", TIMEOUT, || of_sites(book.faults(&SITE_IDS, &redis.counted())));
    stays.stop();
}

#[test]
fn many_restarts_cost_little_and_lose_nothing() {
    let mut dice = dice("restarts");
    let redis = RedisServer::start();
    let mut host = Host::new(Some(&redis.url()));
    let book = Arc::default();
    let restarts: u64 = either(20, 1_000);
    let mut starts = Vec::new();
    for run in 0..restarts {
        let begun = Instant::now();
        host.start();
        starts.push(begun.elapsed());
        // A few hits to the same few pages, so that only the restarts add up.
        let plan = Plan { clients: 1, pages: 5, ..Plan::default() };
        Load::during(&book, &[host.door()], &plan, &mut dice, || std::thread::sleep(Duration::from_millis(30)));
        if run % 2 == 0 { host.kill() } else { host.stop() }
    }
    host.start();
    until_right("Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    let file = std::fs::metadata(host.data().join("thongke.db")).unwrap().len();
    let keys: Vec<String> = redis.ask(&["KEYS", "thongke:*"]);
    let memory_of = |key: &String| redis.ask::<Option<u64>>(&["MEMORY", "USAGE", key, "SAMPLES", "0"]).unwrap_or(0);
    let memory: u64 = keys.iter().map(memory_of).sum();
    let quickest = |starts: &[Duration]| *starts.iter().min().unwrap();
    let (first, last) = (quickest(&starts[..10]), quickest(&starts[starts.len() - 10..]));
    println!("{restarts} restarts: file {file} bytes, Redis {memory} bytes, start {first:?} then {last:?}");
    // A run costs its own rows: five pages and itself, three or four periods, two sites.
    assert!(file < 256 * 1024 + 4 * 1024 * restarts, "the file has {file} bytes");
    assert!(memory < 64 * 1024 + 8 * 1024 * restarts, "Redis has {memory} bytes");
    assert!(
        last < first * 5 + Duration::from_millis(100),
        "a start took {first:?}, after {restarts} restarts {last:?}"
    );
    host.stop();
    book.holds_in("the file", &SITE_IDS, &host.export());
}
