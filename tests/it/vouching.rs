//! Strangers who want a page listed, named, renamed or hidden, and readers of small sites.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::at;
use crate::node::{Node, PROGRAM, until};
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);

const CASINO: &str = "NHÀ CÁI 88";

pub fn start(directory: &Path, site: &str, more: &[&str]) -> Node {
    let file = directory.join("thongke.toml");
    let config =
        "trusted_proxies = [\"127.0.0.1\"]\n[sites.demo]\norigins = [\"http://localhost:*\"]\nbots = \"none\"\n";
    std::fs::write(&file, format!("{config}{site}\n")).unwrap();
    Node::start(&directory.join("data"), &[&["--config", file.to_str().unwrap()], more].concat())
}

/// A reader of a page, from the network of this number.
pub fn read(node: &Node, network: u32, page: &str, title: &str) {
    let body = serde_json::json!({"site": "demo", "url": format!("http://localhost{page}"), "title": title});
    let from = format!("X-Forwarded-For: 203.0.{network}.7");
    assert_eq!(node.hit_with(&[&from], body.to_string()).status, 200);
}

/// Three networks that read the portal's start page.
pub fn open_the_portal(node: &Node) {
    (1..=3).for_each(|network| read(node, network, "/trang-chu", "Trang chủ"));
}

/// Waits until all hits, votes and titles are in the file.
pub fn settle(node: &Node) {
    assert_eq!(node.admin_get("/sites/demo/verify").json()["agrees"], serde_json::json!(true));
    // A list is a second old at most.
    std::thread::sleep(Duration::from_millis(1_100));
}

/// The listed pages with their titles; `period`: empty for today.
pub fn listed(node: &Node, period: &str) -> Vec<(String, String)> {
    let period = if period.is_empty() { String::new() } else { format!("period={period}&") };
    let answer = node.get(&format!("/v1/sites/demo/pages?{period}limit=50")).json();
    let pages = answer["pages"].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut pages: Vec<_> = pages.map(|page| (text(&page["page"]), text(&page["title"]))).collect();
    pages.sort();
    pages
}

pub fn pages(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(page, title)| ((*page).to_owned(), (*title).to_owned())).collect()
}

pub fn views(node: &Node, page: &str, figure: &str) -> i64 {
    let answer = node.get(&format!("/v1/sites/demo/pages/figures?figures={figure}&url=http://localhost{page}")).json();
    answer["pages"][0]["figures"][0]["value"].as_i64().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn one_network_lists_names_and_renames_no_page() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    open_the_portal(&node);
    for network in 1..=3 {
        read(&node, network, "/bai-1", "Bài viết");
    }
    settle(&node);
    let portal = pages(&[("/bai-1", "Bài viết"), ("/trang-chu", "Trang chủ")]);
    assert_eq!(listed(&node, "total"), portal);
    // Sixty hits put an invented page first, if they count for lists.
    for _ in 0..60 {
        read(&node, 9, "/bia-dat", CASINO);
    }
    for page in ["/bai-1", "/trang-chu"] {
        (0..5).for_each(|_| read(&node, 9, page, CASINO));
    }
    settle(&node);
    for period in ["total", ""] {
        assert_eq!(listed(&node, period), portal, "{period}");
    }
    // Its own readers see its figure.
    assert_eq!((views(&node, "/bia-dat", "today"), views(&node, "/bia-dat", "total")), (60, 60));
    // Two more networks of other readers give another title; it takes a third.
    read(&node, 4, "/bai-1", "Bài viết đã sửa");
    read(&node, 5, "/bai-1", "Bài viết đã sửa");
    settle(&node);
    assert_eq!(listed(&node, "total"), portal);
    read(&node, 6, "/bai-1", "Bài viết đã sửa");
    settle(&node);
    assert_eq!(listed(&node, "total"), pages(&[("/bai-1", "Bài viết đã sửa"), ("/trang-chu", "Trang chủ")]));
    // A restart forgets no vote, and vouches for nothing.
    read(&node, 4, "/bia-dat", "Có thật");
    settle(&node);
    node.stop();
    let node = start(directory.path(), "", &[]);
    read(&node, 9, "/bia-dat", CASINO);
    settle(&node);
    assert!(listed(&node, "total").iter().all(|(page, _)| page != "/bia-dat"));
    read(&node, 5, "/bia-dat", "Có thật");
    settle(&node);
    assert!(listed(&node, "total").iter().any(|(page, _)| page == "/bia-dat"));
    assert_eq!(views(&node, "/bia-dat", "total"), 63);
    node.stop();
}

#[test]
fn an_office_behind_one_address_has_its_list_and_titles() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    for page in ["/thong-bao", "/lich-hop"] {
        read(&node, 1, page, &format!("Trang {page}"));
    }
    let expected = pages(&[("/lich-hop", "Trang /lich-hop"), ("/thong-bao", "Trang /thong-bao")]);
    let names = |node: &Node| listed(node, "total").into_iter().map(|(page, _)| page).collect::<Vec<_>>();
    assert_eq!(names(&node), ["/lich-hop", "/thong-bao"], "at once");
    settle(&node);
    assert_eq!(listed(&node, "total"), expected);
    node.stop();
}

#[test]
fn readers_of_a_new_article_are_counted_while_strangers_fill_the_cap() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "page_cap = 100", &[]);
    open_the_portal(&node);
    for network in 20..40 {
        (0..25).for_each(|page| read(&node, network, &format!("/bia-{network}-{page}"), ""));
    }
    assert!(node.admin_get("/metrics").body.contains("thongke_other_page_hits_total{reason=\"site\"} 3"));
    assert!(node.admin_get("/metrics").body.contains("thongke_page_warnings_total{topic=\"cap\"} 1"));
    assert!(node.admin_get("/warnings").body.contains("page_cap"));
    for network in 41..66 {
        read(&node, network, "/bai-moi", "Bài mới");
    }
    assert!(views(&node, "/bai-moi", "total") >= 20, "{}", views(&node, "/bai-moi", "total"));
    settle(&node);
    assert!(listed(&node, "").contains(&("/bai-moi".to_owned(), "Bài mới".to_owned())));
    node.stop();
}

#[test]
fn networks_that_nodes_see_apart_vouch_together_and_their_counts_meet() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| start(directory.path(), "", &["--redis", &redis.url()]));
    let [one, two] = &nodes;
    let total = |page: &str| redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", page]);
    open_the_portal(one);
    until("the start page is vouched for", LIMIT, || total("/trang-chu") == "3");
    // The second node knows by now that the site has three networks.
    read(two, 9, "/trang-chu", "Trang chủ");
    until("both count the start page", LIMIT, || total("/trang-chu") == "4");
    for node in &nodes {
        (0..30).for_each(|_| read(node, 9, "/bia-dat", CASINO));
        read(node, 9, "/trang-chu", CASINO);
    }
    read(one, 1, "/bai", "Bài");
    read(one, 2, "/bai", "Bài");
    (0..4).for_each(|_| read(two, 3, "/bai", "Bài"));
    until("three networks on two nodes vouch for a page", LIMIT, || total("/bai") == "6");
    let expected = pages(&[("/bai", "Bài"), ("/trang-chu", "Trang chủ")]);
    for node in &nodes {
        until("both nodes list it with its title", LIMIT, || {
            ["", "total"].iter().all(|period| listed(node, period) == expected)
        });
        assert_eq!(views(node, "/bai", "total"), 6);
    }
    assert_eq!(total("/bia-dat"), "");
    let today = one.get("/v1/sites/demo/pages").json();
    assert_eq!(today["stale"], serde_json::Value::Null, "{today}");
    for node in &nodes {
        assert_eq!(node.admin_get("/sites/demo/verify").json()["agrees"], serde_json::json!(true));
    }
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn a_node_that_nobody_has_read_lists_names_and_renames_nothing_for_one_network() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [one, two] = directories.each_ref().map(|directory| start(directory.path(), "", &["--redis", &redis.url()]));
    let total = |page: &str| redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", page]);
    (1..=5).for_each(|network| read(&one, network, "/trang-chu", "Trang chủ"));
    until("the start page is vouched for", LIMIT, || total("/trang-chu") == "5");
    let portal = pages(&[("/trang-chu", "Trang chủ")]);
    until("it has its title", LIMIT, || listed(&one, "total") == portal);
    // The second node is a standby: its first reader is a stranger.
    (0..5).for_each(|page| read(&two, 9, &format!("/bia-{page}"), CASINO));
    read(&two, 9, "/trang-chu", CASINO);
    settle(&two);
    until("both count the stranger's hit", LIMIT, || total("/trang-chu") == "6");
    // At midnight the nodes don't begin at nothing: the next day knows how many networks this one had.
    let keys = redis.cli(&["KEYS", "thongke:{demo}:vouch:*"]);
    let next = keys.lines().max().unwrap();
    let before: usize = redis.cli(&["HGET", next, "\u{1}before"]).parse().unwrap();
    assert!(keys.lines().count() == 2 && before >= 3, "{keys} {before}");
    assert!(redis.cli(&["TTL", next]).parse::<i64>().unwrap() > 24 * 60 * 60);
    // Hits and titles of the second node are in the file, and its votes are shared.
    (0..5).for_each(|page| read(&two, 9, &format!("/bia-{page}"), CASINO));
    read(&two, 9, "/trang-chu", CASINO);
    settle(&two);
    until("and the next one", LIMIT, || total("/trang-chu") == "7");
    std::thread::sleep(Duration::from_secs(5));
    for node in [&one, &two] {
        assert_eq!(listed(node, "total"), portal);
    }
    (1..=3).for_each(|network| read(&two, network, "/bai", "Bài"));
    until("three networks vouch for a page", LIMIT, || total("/bai") == "3");
    [one, two].into_iter().for_each(Node::stop);
}

/// A commune's site: three readers a day in three networks, each with a page of his own.
#[test]
fn a_village_site_with_three_readers_a_day_has_its_list_and_titles() {
    let directory = TempDir::new().unwrap();
    start(directory.path(), "", &[]).stop();
    let file = directory.path().join("thongke.toml");
    let own = ["/thong-bao", "/lich-hop", "/hoc-phi"];
    for day in 0..4 {
        let mut command = at(&format!("+{day}d"), PROGRAM);
        command.arg("--config").arg(&file);
        let node = Node::start_as(command, &directory.path().join("data"));
        for (network, page) in (1..=3).zip(own) {
            read(&node, network, "/trang-chu", "Trang chủ");
            read(&node, network, page, &format!("Trang {page}"));
        }
        settle(&node);
        if day == 0 {
            // The site's very first reader was its only network.
            let start = ("/trang-chu".to_owned(), "Trang chủ".to_owned());
            assert!(listed(&node, "total").contains(&start), "what all three read, at once");
            assert!(listed(&node, "total").iter().all(|(page, _)| *page != own[1] && *page != own[2]));
        }
        if day == 3 {
            let expected = [own[2], own[1], own[0]].map(|page| (page.to_owned(), format!("Trang {page}")));
            let expected: Vec<_> = expected.into_iter().chain(pages(&[("/trang-chu", "Trang chủ")])).collect();
            assert_eq!(listed(&node, "total"), expected, "and each one's own after as many days");
            assert_eq!((views(&node, "/hoc-phi", "total"), views(&node, "/trang-chu", "total")), (4, 12));
        }
        node.stop();
    }
}

#[test]
fn readers_of_a_new_article_are_counted_by_two_nodes_while_strangers_fill_the_cap_of_both() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes =
        directories.each_ref().map(|directory| start(directory.path(), "page_cap = 100", &["--redis", &redis.url()]));
    let total = |page: &str| redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", page]);
    nodes.iter().for_each(open_the_portal);
    until("the start page is vouched for", LIMIT, || total("/trang-chu") == "6");
    for (number, node) in (0..).zip(&nodes) {
        for network in 20..40 {
            (0..25).for_each(|page| read(node, network, &format!("/bia-{number}-{network}-{page}"), ""));
        }
        assert!(node.admin_get("/metrics").body.contains("thongke_other_page_hits_total{reason=\"site\"} 3"));
    }
    for network in 41..66 {
        read(&nodes[network as usize % 2], network, "/bai-moi", "Bài mới");
    }
    for node in &nodes {
        until("at least 20 of 25 views", LIMIT, || views(node, "/bai-moi", "total") >= 20);
        let article = ("/bai-moi".to_owned(), "Bài mới".to_owned());
        until("the article is listed with its title", LIMIT, || listed(node, "").contains(&article));
        assert_eq!(listed(node, "total").len(), 2, "and nothing that is invented");
    }
    nodes.into_iter().for_each(Node::stop);
}

/// Bytes of the node's file that hold something.
fn bytes_in_use(directory: &Path) -> i64 {
    let file = rusqlite::Connection::open(directory.join("data/thongke.db")).unwrap();
    let number = |of: &str| file.query_row(&format!("PRAGMA {of}"), [], |row| row.get::<_, i64>(0)).unwrap();
    (number("page_count") - number("freelist_count")) * number("page_size")
}

#[test]
fn file_and_redis_are_as_large_as_before_when_the_days_of_invented_pages_are_over() {
    const INVENTED: usize = 4_000;
    const SITE: &str = "page_days = 1\npage_months = 1200\npage_cap = 1000000";
    let redis = Redis::start();
    let directory = TempDir::new().unwrap();
    let begin = || start(directory.path(), SITE, &["--redis", &redis.url()]);
    let memory = || -> i64 {
        let of = redis.cli(&["INFO", "memory"]);
        of.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
    };
    let members = |key: &str| redis.cli(&["ZCARD", key]).parse::<usize>().unwrap();
    let node = begin();
    // A portal with pages of its own, which stay.
    for page in 0..150 {
        (1..=3).for_each(|network| read(&node, network, &format!("/tin-tuc/{page}"), &format!("Bài viết {page}")));
    }
    settle(&node);
    let day = node.get("/v1/sites/demo/pages").json()["as_of"].as_str().unwrap()[..10].to_owned();
    let of_day = format!("thongke:{{demo}}:pages:{day}");
    until("all are in Redis", LIMIT, || members("thongke:{demo}:pages:total") >= 150 && members(&of_day) >= 150);
    node.stop();
    let before = (bytes_in_use(directory.path()), memory());
    let node = begin();
    for number in 0..INVENTED {
        read(&node, 10 + number as u32 % 200, &format!("/bia-dat/{number}/nha-cai-88-khuyen-mai-lon"), "");
    }
    settle(&node);
    until("the invented pages are in Redis", LIMIT, || members(&of_day) >= INVENTED);
    node.stop();
    let with_junk = (bytes_in_use(directory.path()), memory());
    assert!(with_junk.0 > 2 * before.0 && with_junk.1 > 2 * before.1 - before.1 / 2, "{before:?} {with_junk:?}");
    // Redis deletes by itself what has its time; here the time has come.
    let keys = redis.cli(&["KEYS", "*"]);
    let mut expired = 0;
    for key in keys.lines().filter(|key| redis.cli(&["TTL", key]).parse::<i64>().unwrap() > 0) {
        let ttl: i64 = redis.cli(&["TTL", key]).parse().unwrap();
        // Months and totals of pages stay much longer, or for ever.
        if ttl < 6 * 24 * 60 * 60 {
            redis.cli(&["PEXPIRE", key, "1"]);
            expired += 1;
        }
    }
    assert!(expired > 0, "{keys}");
    let mut later = at("+3d", PROGRAM);
    later.arg("--config").arg(directory.path().join("thongke.toml"));
    let node = Node::start_as(later, &directory.path().join("data"));
    let accepted = crate::node::ask(&node.admin, "POST", "/clock/accept", &["Content-Type: application/json"], "");
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    let kept = || {
        let file = rusqlite::Connection::open(directory.path().join("data/thongke.db")).unwrap();
        file.query_row("SELECT count(*) FROM pages", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    until("the days of invented pages are deleted", LIMIT, || kept() < 200);
    assert_eq!(views(&node, "/tin-tuc/7", "total"), 3);
    node.stop();
    let after = (bytes_in_use(directory.path()), memory());
    assert!(after.0 * 10 <= before.0 * 12 && after.1 * 10 <= before.1 * 12, "{before:?} {with_junk:?} {after:?}");
}
