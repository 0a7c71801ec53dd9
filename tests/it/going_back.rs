//! Redis goes back to an earlier state, or forgets, while nodes are up or down: all counts come back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::{Node, PROGRAM, ask, until};
use crate::port::free_port;
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);
const PAGES: [&str; 4] = ["/a", "/b", "/c", "/d"];

type Dumps = HashMap<String, Vec<u8>>;

fn connect(redis: &Redis) -> redis::Connection {
    redis::Client::open(redis.url()).unwrap().get_connection().unwrap()
}

/// All keys of counters, as they are.
fn dumps(redis: &Redis) -> Dumps {
    let mut connection = connect(redis);
    let keys: Vec<String> = redis::cmd("KEYS").arg("thongke:*").query(&mut connection).unwrap();
    let counters = keys.into_iter().filter(|key| key.ends_with(":hits") || key.contains(":pages:"));
    let dump = |key: String| {
        let dump = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
        (key, dump)
    };
    counters.map(dump).collect()
}

/// Puts one key back, or takes it away.
fn restore(redis: &Redis, key: &str, dump: Option<&Vec<u8>>) {
    let mut connection = connect(redis);
    redis::cmd("DEL").arg(key).exec(&mut connection).unwrap();
    if let Some(dump) = dump {
        redis::cmd("RESTORE").arg(key).arg(0).arg(dump).exec(&mut connection).unwrap();
    }
}

fn go_back(redis: &Redis, before: &Dumps) {
    for key in dumps(redis).keys().chain(before.keys()) {
        restore(redis, key, before.get(key));
    }
}

fn start(redis: &Redis, directory: &TempDir) -> Node {
    Node::start(directory.path(), &["--redis", &redis.url()])
}

fn hits(node: &Node, times: usize) {
    for page in std::iter::repeat_n(PAGES, times).flatten() {
        assert_eq!(node.hit(page).status, 200);
    }
}

/// Waits until Redis has so many hits of each page.
fn until_each_has(redis: &Redis, what: &str, times: usize) {
    let is_right = |page| redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", page]) == times.to_string();
    until(what, LIMIT, || PAGES.into_iter().all(is_right));
    until(what, LIMIT, || redis.hits("total") == (times * PAGES.len()).to_string());
}

#[test]
fn a_redis_that_starts_from_an_old_dump_gets_all_pages_again() {
    let [directory, dump] = [(); 2].map(|()| TempDir::new().unwrap());
    let port = free_port();
    let start_redis = || Redis::start_with(port, &["--dir", dump.path().to_str().unwrap()]);
    let redis = start_redis();
    let first = start(&redis, &directory);
    hits(&first, 1);
    until_each_has(&redis, "the first hits are in Redis", 1);
    hits(&first, 2);
    until("the newest totals are in Redis", LIMIT, || redis.hits("total") == "12");
    // Pages follow later.
    first.kill();
    assert_eq!(redis.cli(&["SAVE"]), "OK");
    let second = start(&redis, &directory);
    until_each_has(&redis, "the killed run's pages are in Redis", 3);
    second.stop();
    drop(redis);
    let redis = start_redis();
    assert_ne!(redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/a"]), "3");
    let third = start(&redis, &directory);
    until_each_has(&redis, "all is in Redis again", 3);
    third.stop();
}

/// Redis goes back while a node is away, and another node that knows the first one's totals brings these.
fn goes_back_beside_another_node(away: impl Fn(Node, &Redis, &TempDir) -> Box<dyn FnOnce(&Redis, &TempDir) -> Node>) {
    let (redis, directories) = (Redis::start(), [(); 2].map(|()| TempDir::new().unwrap()));
    let first = start(&redis, &directories[0]);
    hits(&first, 1);
    until_each_has(&redis, "the first hits are in Redis", 1);
    let before = dumps(&redis);
    hits(&first, 2);
    until_each_has(&redis, "more hits are in Redis", 3);
    let second = start(&redis, &directories[1]);
    until("the other node knows the totals", LIMIT, || second.total("demo") == 12);
    let come_back = away(first, &redis, &directories[0]);
    go_back(&redis, &before);
    until("the other node brings the totals", LIMIT, || redis.hits("total") == "12");
    assert_eq!(redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/a"]), "1");
    let first = come_back(&redis, &directories[0]);
    until_each_has(&redis, "all pages are in Redis again", 3);
    first.stop();
    second.stop();
}

#[test]
fn totals_that_another_node_has_brought_do_not_hide_that_pages_are_missing() {
    goes_back_beside_another_node(|node, redis, directory| {
        node.stop();
        // Its next run has time to look at the ended one.
        let next = start(redis, directory);
        std::thread::sleep(Duration::from_secs(5));
        next.stop();
        Box::new(start)
    });
}

#[test]
fn a_node_that_was_suspended_while_redis_went_back_brings_its_pages() {
    goes_back_beside_another_node(|node, _, _| {
        node.signal("STOP");
        Box::new(move |_, _| {
            node.signal("CONT");
            node
        })
    });
}

#[test]
fn an_import_without_a_total_stays_corrected_or_forgotten_when_redis_goes_back() {
    let (redis, directory) = (Redis::start(), TempDir::new().unwrap());
    let import = |node: &Node, name: &str, csv: &str| {
        let path = format!("/sites/demo/import?source={name}");
        assert_eq!(ask(&node.admin, "POST", &path, &["Content-Type: text/csv"], csv).status, 200);
    };
    let node = start(&redis, &directory);
    import(&node, "old", "period,hits\n2019,100\n");
    import(&node, "older", "period,hits\n2018,70\n");
    let are = |values: [&str; 2]| ["2019", "2018"].map(|year| redis.hits(year)) == values;
    until("the imports are in Redis", LIMIT, || are(["100", "70"]));
    let before = dumps(&redis);
    import(&node, "old", "period,hits\n2019,90\n");
    assert_eq!(ask(&node.admin, "DELETE", "/sites/demo/sources/import:older", &[], "").status, 200);
    until("one is corrected and one forgotten", LIMIT, || are(["90", "0"]));
    node.stop();
    go_back(&redis, &before);
    assert!(are(["100", "70"]));
    let node = start(&redis, &directory);
    until("they are so again", LIMIT, || are(["90", "0"]));
    // Also while the node is running, and has nothing to publish.
    go_back(&redis, &before);
    until("and once more", LIMIT, || are(["90", "0"]));
    node.stop();
}

#[test]
fn no_figure_falls_while_redis_has_forgotten_everything() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    // Most hits are of runs that have ended.
    for directory in &directories {
        let node = start(&redis, directory);
        hits(&node, 5);
        node.stop();
    }
    let nodes = directories.each_ref().map(|directory| start(&redis, directory));
    nodes.iter().for_each(|node| hits(node, 1));
    let total: i64 = 2 * 6 * i64::try_from(PAGES.len()).unwrap();
    for node in &nodes {
        until("each node shows all hits", LIMIT, || {
            let figures = node.figures();
            figures.figure("today") == total && figures.json()["stale"].is_null()
        });
    }
    redis.cli(&["FLUSHALL"]);
    let begun = Instant::now();
    let mut were_stale = false;
    while begun.elapsed() < LIMIT {
        for node in &nodes {
            let figures = node.figures();
            assert_eq!(figures.figure("today"), total, "after {:?}", begun.elapsed());
            were_stale |= figures.json()["stale"] == true;
        }
        if redis.hits("total") == total.to_string() && begun.elapsed() > Duration::from_secs(3) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(were_stale, "the figures said that Redis had less");
    until_each_has(&redis, "all is in Redis again", 12);
    for node in nodes {
        until("it is not stale", LIMIT, || node.figures().json()["stale"].is_null());
        node.stop();
    }
}

#[test]
fn no_figure_of_a_page_falls_while_redis_has_forgotten_everything() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| start(&redis, directory));
    // Only the first node's file holds these pages.
    hits(&nodes[0], 3);
    until_each_has(&redis, "all is in Redis", 3);
    // Nobody asks for the site's figures.
    let figure = |node: &Node| {
        let url = format!("http://localhost{}", PAGES[0]);
        let answer = node.get(&format!("/v1/sites/demo/pages/figures?figures=today&url={url}")).json();
        (answer["pages"][0]["figures"][0]["value"].as_i64().unwrap(), answer["stale"] == true)
    };
    for node in &nodes {
        until("each node shows the page", LIMIT, || figure(node) == (3, false));
    }
    redis.cli(&["FLUSHALL"]);
    let (begun, mut was_stale) = (Instant::now(), false);
    while begun.elapsed() < Duration::from_secs(12) {
        for node in &nodes {
            let (shown, stale) = figure(node);
            assert_eq!(shown, 3, "after {:?}", begun.elapsed());
            was_stale |= stale;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(was_stale, "the figures said that Redis had less");
    until_each_has(&redis, "all is in Redis again", 3);
    for node in nodes {
        until("it is not stale", LIMIT, || figure(&node) == (3, false));
        node.stop();
    }
}

#[test]
fn one_old_key_that_is_restored_alone_is_found_within_a_round() {
    let (redis, directory) = (Redis::start(), TempDir::new().unwrap());
    let node = start(&redis, &directory);
    hits(&node, 1);
    until_each_has(&redis, "the first hits are in Redis", 1);
    let before = dumps(&redis);
    hits(&node, 1);
    until_each_has(&redis, "more hits are in Redis", 2);
    for (key, dump) in &before {
        restore(&redis, key, Some(dump));
        until_each_has(&redis, "the current run's", 2);
    }
    node.stop();
    let node = start(&redis, &directory);
    until_each_has(&redis, "all is still there", 2);
    for (key, dump) in &before {
        restore(&redis, key, Some(dump));
        until_each_has(&redis, "an ended run's", 2);
    }
    node.stop();
}

#[test]
fn a_site_that_is_removed_and_added_again_publishes_what_it_had() {
    let (redis, directory) = (Redis::start(), TempDir::new().unwrap());
    let file = directory.path().join("thongke.toml");
    let sites = |names: &[&str]| {
        // Pages that a network must vouch for would wait for a reader after that.
        let site = |name: &&str| format!("[sites.{name}]\norigins = [\"http://localhost\"]\nvouching_networks = 1\n");
        std::fs::write(&file, names.iter().map(site).collect::<String>()).unwrap();
    };
    sites(&["demo", "other"]);
    let mut command = std::process::Command::new(PROGRAM);
    command.arg("--config").arg(&file).args(["--redis", &redis.url()]);
    let node = Node::start_as(command, &directory.path().join("data"));
    hits(&node, 3);
    sites(&["other"]);
    node.signal("HUP");
    until("the site is gone", LIMIT, || node.figures().status == 404);
    // What waited for publication is dropped.
    std::thread::sleep(Duration::from_secs(15));
    sites(&["demo", "other"]);
    node.signal("HUP");
    until("the site is back", LIMIT, || node.figures().status == 200);
    until_each_has(&redis, "its counts are in Redis", 3);
    until("nothing waits", LIMIT, || node.admin_get("/metrics").body.contains("\nthongke_redis_unpublished_hits 0\n"));
    node.stop();
}

/// Digests of ended runs in Redis, and the change that makes each wrong.
fn spoil_digests(redis: &Redis, pages: &str) -> [String; 2] {
    let fields = redis.cli(&["HKEYS", "thongke:{demo}:hits"]);
    let field = fields.lines().find(|field| field.starts_with("digest ")).unwrap().to_owned();
    let member = field.replace("digest ", "\x01") + "\x01d";
    let right = read_digests(redis, pages, &field, &member);
    redis.cli(&["HSET", "thongke:{demo}:hits", &field, "12345"]);
    redis.cli(&["ZADD", pages, "-12345", &member]);
    assert_ne!(read_digests(redis, pages, &field, &member), right);
    right
}

fn read_digests(redis: &Redis, pages: &str, field: &str, member: &str) -> [String; 2] {
    [redis.cli(&["HGET", "thongke:{demo}:hits", field]), redis.cli(&["ZSCORE", pages, member])]
}

#[test]
fn a_wrong_digest_beside_right_counts_is_counted_again_by_the_runs_own_node() {
    let (redis, directories) = (Redis::start(), [(); 2].map(|()| TempDir::new().unwrap()));
    let pages = "thongke:{demo}:pages:total";
    let first = start(&redis, &directories[0]);
    hits(&first, 2);
    until_each_has(&redis, "the hits are in Redis", 2);
    first.stop();
    let other = start(&redis, &directories[1]);
    until("the other node knows the totals", LIMIT, || other.total("demo") == 8);
    let right = spoil_digests(&redis, pages);
    let field = redis.cli(&["HKEYS", "thongke:{demo}:hits"]);
    let field = field.lines().find(|field| field.starts_with("digest ")).unwrap().to_owned();
    let member = field.replace("digest ", "\x01") + "\x01d";
    let now = || read_digests(&redis, pages, &field, &member);
    // Two slow rounds, in which the other node may ask.
    std::thread::sleep(Duration::from_secs(18));
    assert_eq!(now(), ["12345", "-12345"], "of another node's run, the node can't know");
    let first = start(&redis, &directories[0]);
    until("both digests are right", LIMIT, || now() == right);
    // Also while the node is running.
    assert_eq!(spoil_digests(&redis, pages), right);
    until("both digests are right again", LIMIT, || now() == right);
    until_each_has(&redis, "the counts are as before", 2);
    first.stop();
    other.stop();
}

#[test]
fn a_restart_without_redis_lowers_no_figure_that_was_shown_of_another_nodes_hits() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [mut asked, other] = directories.each_ref().map(|directory| start(&redis, directory));
    hits(&asked, 1);
    until_each_has(&redis, "its own hits are in Redis", 1);
    // Its file has learned by now what Redis holds; the hits that follow come too late for that.
    until("it shows its own hits", LIMIT, || asked.figures().json()["stale"].is_null());
    std::thread::sleep(Duration::from_secs(1));
    hits(&other, 4);
    let history = |node: &Node| {
        let history = node.get("/v1/sites/demo/history?by=year&last=1").json();
        history["history"][0]["value"].as_i64().unwrap_or_else(|| panic!("{history}"))
    };
    let figures = |node: &Node| {
        let figures = node.get("/v1/sites/demo/figures?figures=today,month,total");
        ["today", "month", "total"].map(|key| figures.figure(key))
    };
    until("it shows the other's hits", LIMIT, || figures(&asked) == [20; 3] && history(&asked) == 20);
    // A crash may lose what was shown for the first time in its last seconds.
    std::thread::sleep(Duration::from_secs(7));
    drop(redis);
    for (number, end) in (0..).zip([Node::kill as fn(Node), Node::stop, Node::kill]) {
        end(asked);
        asked = Node::start(directories[0].path(), &["--redis", "redis://127.0.0.1:1"]);
        // The year is in memory only after a hit.
        assert_eq!(history(&asked), 20 + 4 * number);
        assert_eq!(figures(&asked), [20 + 4 * number; 3]);
        assert_eq!(asked.figures().json()["stale"], true);
        hits(&asked, 1);
        assert_eq!(figures(&asked), [24 + 4 * number; 3]);
    }
    asked.stop();
    other.stop();
}

#[test]
fn a_figure_of_an_import_that_was_forgotten_is_the_least_of_no_later_answer() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [mut asked, other] = directories.each_ref().map(|directory| start(&redis, directory));
    let import = |node: &Node, name: &str| {
        let path = format!("/sites/demo/import?source={name}");
        let csv = "period,hits\ntotal,1000\n";
        assert_eq!(ask(&node.admin, "POST", &path, &["Content-Type: text/csv"], csv).status, 200);
    };
    let forget = |node: &Node, name: &str| {
        let path = format!("/sites/demo/sources/import:{name}");
        assert_eq!(ask(&node.admin, "DELETE", &path, &[], "").status, 200);
    };
    let total = |node: &Node| node.get("/v1/sites/demo/figures?figures=total").figure("total");
    hits(&other, 2);
    import(&asked, "own");
    import(&other, "others");
    until("it shows both imports and the other's hits", LIMIT, || total(&asked) == 2008);
    // It writes what it has shown to its file.
    std::thread::sleep(Duration::from_secs(7));
    forget(&asked, "own");
    assert_eq!(total(&asked), 1008);
    forget(&other, "others");
    until("it shows hits alone", LIMIT, || total(&asked) == 8);
    for end in [Node::kill as fn(Node), Node::stop] {
        end(asked);
        asked = start(&redis, &directories[0]);
        until("it shows hits alone after a start", LIMIT, || total(&asked) == 8);
    }
    // Its file has what Redis holds by now.
    std::thread::sleep(Duration::from_secs(2));
    drop(redis);
    asked.stop();
    let asked = Node::start(directories[0].path(), &["--redis", "redis://127.0.0.1:1"]);
    assert_eq!(total(&asked), 8);
    asked.stop();
    other.stop();
}

#[test]
fn a_stop_and_a_start_without_redis_lower_no_pages_figure_that_was_shown() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [asked, other] = directories.each_ref().map(|directory| start(&redis, directory));
    hits(&asked, 1);
    hits(&other, 4);
    let path = format!("/v1/sites/demo/pages/figures?figures=total&url={}", PAGES[0]);
    let page = |node: &Node| {
        let pages = node.get(&path).json();
        pages["pages"][0]["figures"][0]["value"].as_i64().unwrap_or_else(|| panic!("{pages}"))
    };
    until("it shows the other's hits", LIMIT, || page(&asked) == 5);
    drop(redis);
    asked.stop();
    let asked = Node::start(directories[0].path(), &["--redis", "redis://127.0.0.1:1"]);
    assert_eq!(page(&asked), 5);
    asked.stop();
    other.stop();
}

#[test]
fn counts_of_a_node_that_has_stopped_are_brought_back_by_another_that_has_shown_them() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [stops, stays] = directories.each_ref().map(|directory| start(&redis, directory));
    // The first sync of its file with Redis is over, and the next is ten minutes away.
    hits(&stays, 1);
    until_each_has(&redis, "its own hits are in Redis", 1);
    std::thread::sleep(Duration::from_secs(1));
    let total = |node: &Node| node.get("/v1/sites/demo/figures?figures=total");
    hits(&stops, 2);
    until("it shows the other's hits", LIMIT, || total(&stays).figure("total") == 12);
    stops.stop();
    // Hits that stand still are read into its file.
    std::thread::sleep(Duration::from_secs(45));
    redis.cli(&["FLUSHALL"]);
    assert_eq!(total(&stays).figure("total"), 12);
    until("all totals are back", LIMIT, || {
        let figures = total(&stays);
        redis.hits("total") == "12" && figures.figure("total") == 12 && figures.json()["stale"].is_null()
    });
    stays.stop();
}
