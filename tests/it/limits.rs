//! Rate limits of hits and reads.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Answer, Node, ask, exchange, until};

const PROXIES: &str = "trusted_proxies = [\"127.0.0.1\"]\n";

fn node_of(directory: &Path, settings: &str) -> Node {
    let file = directory.join("thongke.toml");
    let site = |id| format!("[sites.{id}]\norigins = [\"http://localhost:*\"]\nbots = false\n");
    let sites = site("a") + &site("b");
    // Lines before the first table belong to none.
    let (top, tables) = settings.split_once("[limits]").map_or((settings, ""), |(top, limits)| (top, limits));
    std::fs::write(&file, format!("{top}\n{sites}[limits]\n{tables}")).unwrap();
    Node::start(&directory.join("data"), &["--config", file.to_str().unwrap()])
}

fn hit(node: &Node, site: &str, page: &str, fields: &[&str]) -> Answer {
    node.hit_with(fields, format!(r#"{{"site":"{site}","url":"http://localhost{page}"}}"#))
}

/// A budget that refills no hit within a test, on the slowest machine either.
const THREE: &str = "[limits]\naddress_rate = 1\naddress_burst = 3\n";

#[test]
fn over_the_limit_a_hit_is_refused_with_the_time_to_come_back_and_not_counted() {
    let directory = TempDir::new().unwrap();
    // A day has 86,400 hits at this rate: the tests' few seconds give back one or two.
    let node = node_of(directory.path(), &format!("{PROXIES}[limits]\npage_rate = 1\npage_burst = 100\n"));
    let mut counted = 0;
    let refused = loop {
        let answer = hit(&node, "a", "/", &["X-Forwarded-For: 10.1.2.3"]);
        if answer.status != 200 {
            break answer;
        }
        assert_eq!(answer.header("thongke-hit"), Some("counted"));
        counted += 1;
    };
    assert!(counted >= 100, "{counted}");
    assert!(refused.problem(429).contains("from this network for this page; try again in 1 s"), "{}", refused.body);
    assert_eq!((refused.header("retry-after"), refused.header("thongke-hit")), (Some("1"), Some("limited")));
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    assert_eq!(node.total("a"), counted);
    let metrics = node.admin_get("/metrics").body;
    for series in [
        "thongke_limited_total{limit=\"page\"} 1\n",
        "thongke_refusals_total{reason=\"limited\"} 1\n",
        "thongke_hits_total{result=\"limited\",site=\"a\"} 1\n",
    ] {
        assert!(metrics.contains(series), "{series} is not in {metrics}");
    }
    node.stop();
}

/// The default: a network moves a page by 500 hits at once, and then by 2,000 a day.
#[test]
fn one_network_moves_a_page_only_so_far_and_other_pages_and_networks_do_not_notice() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), PROXIES);
    let counted = |addresses: &dyn Fn(usize) -> String, page: &str, hits: usize| {
        let hit_of = |number| hit(&node, "a", page, &[&format!("X-Forwarded-For: {}", addresses(number))]);
        (0..hits).filter(|number| hit_of(*number).header("thongke-hit") == Some("counted")).count()
    };
    let v4 = |number: usize| format!("198.51.100.{}", number % 250);
    let v6 = |number: usize| format!("2001:db8:7:{number:x}::1");
    // 43 s give one back.
    for addresses in [&v4 as &dyn Fn(usize) -> String, &v6] {
        assert!((500..=510).contains(&counted(addresses, "/a", 530)));
        assert_eq!(counted(addresses, "/b", 10), 10);
    }
    assert_eq!(counted(&|_| "198.51.101.1".to_owned(), "/a", 10), 10);
    let refused = hit(&node, "a", "/a", &["X-Forwarded-For: 198.51.100.7"]);
    assert!(refused.problem(429).contains("from this network for this page"), "{}", refused.body);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=44).contains(&wait), "{wait}");
    node.stop();
}

/// A proxy that isn't trusted: its readers are one client, and must not be refused for it.
#[test]
fn a_private_address_that_nobody_names_has_no_limit_of_a_page_and_is_warned_of_once() {
    let directory = TempDir::new().unwrap();
    let limits = "[limits]\npage_rate = 1\npage_burst = 3\n";
    let node = node_of(directory.path(), limits);
    for number in 0..60 {
        let named = format!("X-Forwarded-For: 198.51.100.{number}");
        let fields: &[&str] = if number % 2 == 0 { &[] } else { &[&named] };
        assert_eq!(hit(&node, "a", "/a", fields).header("thongke-hit"), Some("counted"));
    }
    assert_eq!(node.log().matches("an address of a private network alone brings more hits of page `/a`").count(), 1);
    let metrics = node.admin_get("/metrics").body;
    assert!(metrics.contains("thongke_page_warnings_total{topic=\"proxy\"} 1\n"), "{metrics}");
    assert!(metrics.contains("thongke_limited_total{limit=\"page\"} 0\n"), "{metrics}");
    let listed = node.admin_get("/warnings").body;
    assert!(listed.contains("\"topic\":\"proxy\"") && listed.contains("`trusted_proxies`"), "{listed}");
    node.stop();
}

/// Statuses of ten hits of one client; `fields` makes each one's headers from its number.
fn ten_hits(node: &Node, site: &str, fields: impl Fn(u32) -> Vec<String>) -> usize {
    let admitted = (0..10).filter(|number| {
        let fields = fields(*number);
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        hit(node, site, &format!("/{number}"), &fields).status == 200
    });
    admitted.count()
}

#[test]
fn nothing_that_a_client_writes_makes_it_another() {
    let directory = TempDir::new().unwrap();
    // A rate of 0 means no limit. At one a second, a slow machine may admit a few more.
    let node = node_of(directory.path(), THREE);
    let mut admitted = 0;
    for name in ["User-Agent", "X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "Cookie", "Via"] {
        admitted += ten_hits(&node, "a", |number| vec![format!("{name}: 192.0.2.{number}")]);
    }
    let seconds = 30;
    assert!((3..3 + seconds).contains(&admitted), "{admitted} of 70");
    assert!(!node.log().contains("192.0.2.") && !node.log().contains("127.0.0.1 "), "an address is in the log");
    node.stop();
}

/// An operator behind a proxy learns of it from the first reader, not from refusals.
#[test]
fn an_untrusted_proxy_is_logged_once_at_the_first_hit_through_it() {
    const WARNING: &str = "add it to `trusted_proxies`";
    const SEEN: &str = "thongke_unbelieved_proxy 1\n";
    const PIXEL: &str = "/v1/hit.gif?site=a&url=http%3A%2F%2Flocalhost%2F";
    type Way = fn(&Node, &str) -> u16;
    let by_script: Way = |node, field| hit(node, "a", "/", &[field]).status;
    let by_picture: Way = |node, field| ask(&node.public, "GET", PIXEL, &[field], "").status;
    let ways = [by_script, by_picture];
    for (way, field) in ways.iter().zip(["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1"]) {
        let directory = TempDir::new().unwrap();
        let node = node_of(directory.path(), "");
        assert_eq!(way(&node, "Via: 1.1 somewhere"), 200);
        assert!(node.admin_get("/metrics").body.contains("thongke_unbelieved_proxy 0\n"));
        assert!(!node.log().contains(WARNING), "{}", node.log());
        (0..5).for_each(|_| assert_eq!(way(&node, field), 200));
        assert!(node.admin_get("/metrics").body.contains(SEEN));
        let mut check = std::process::Command::new(crate::node::PROGRAM);
        check.args(["check", "--config"]).arg(directory.path().join("thongke.toml")).arg("--data-dir");
        let checked = check.arg(directory.path().join("data")).output().unwrap();
        let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
        let says = "one network is all that a page needs to be listed and named";
        assert!(checked.lines().any(|line| line.contains("hits through a proxy") && line.contains(says)), "{checked}");
        until("the log has the warning", Duration::from_secs(60), || node.log().contains(WARNING));
        let log = node.log();
        assert_eq!(log.matches(WARNING).count(), 1, "{log}");
        assert!(!log.contains("192.0.2."), "{log}");
        node.stop();
    }
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), PROXIES);
    ways.iter().for_each(|way| assert_eq!(way(&node, "X-Forwarded-For: 192.0.2.1"), 200));
    assert!(!node.log().contains(WARNING) && !node.admin_get("/metrics").body.contains(SEEN));
    node.stop();
}

#[test]
fn behind_a_trusted_proxy_each_client_has_a_budget_of_its_own() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), &format!("{PROXIES}{THREE}"));
    assert_eq!(ten_hits(&node, "a", |number| vec![format!("X-Forwarded-For: 192.0.2.{number}")]), 10);
    // A client's own claim stands left of the address that the proxy saw.
    let spoofed = |number| vec![format!("X-Forwarded-For: 198.51.100.{number}, 192.0.2.100")];
    assert!(ten_hits(&node, "a", spoofed) < 10);
    // One client prefix; and one client in two notations.
    let neighbour = |number| vec![format!("X-Forwarded-For: 2001:db8:1:2::{number}")];
    assert!(ten_hits(&node, "a", neighbour) < 10);
    let mapped = |number: u32| {
        vec![format!("X-Forwarded-For: {}192.0.2.101", if number.is_multiple_of(2) { "" } else { "::ffff:" })]
    };
    assert!(ten_hits(&node, "a", mapped) < 10);
    assert_eq!(ten_hits(&node, "a", |number| vec![format!("X-Forwarded-For: 2001:db8:2:{number}::1")]), 10);
    node.stop();
}

#[test]
fn a_proxy_that_writes_forwarded_is_read_so_and_another_field_says_nothing() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), &format!("{PROXIES}trusted_proxies_field = \"Forwarded\"\n{THREE}"));
    assert_eq!(ten_hits(&node, "a", |number| vec![format!("Forwarded: for=192.0.2.{number};proto=https")]), 10);
    assert!(ten_hits(&node, "a", |number| vec![format!("X-Forwarded-For: 192.0.2.{number}")]) < 10);
    node.stop();
}

#[test]
fn a_limit_can_be_silent_and_then_the_figures_are_answered_all_the_same() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), &format!("{THREE}when_exceeded = \"ignore\"\n"));
    let mut counted = 0;
    let (mut limited, mut beacon, mut pixel) = (false, false, false);
    while !(limited && beacon && pixel) {
        let answer = hit(&node, "a", "/", &[]);
        assert_eq!(answer.status, 200);
        match answer.header("thongke-hit") {
            Some("counted") => counted += 1,
            other => {
                assert_eq!(other, Some("limited"));
                limited = true;
            }
        }
        assert_eq!(answer.figure("today"), counted);
        let answer = node.post("/v1/hit?figures=0", r#"{"site":"a","url":"http://localhost/"}"#);
        assert_eq!(answer.status, 204);
        let is_counted = answer.header("thongke-hit") == Some("counted");
        (counted, beacon) = (counted + i64::from(is_counted), beacon || !is_counted);
        let answer = node.get("/v1/hit.gif?site=a&url=http://localhost/");
        assert_eq!(answer.status, 200);
        let is_counted = answer.header("thongke-hit") == Some("counted");
        (counted, pixel) = (counted + i64::from(is_counted), pixel || !is_counted);
    }
    node.stop();
}

#[test]
fn one_sites_flood_takes_nothing_from_another() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "[limits]\nsite_rate = 1\nsite_burst = 3\n");
    assert!(ten_hits(&node, "a", |_| Vec::new()) < 10);
    assert_eq!(hit(&node, "b", "/", &[]).status, 200);
    node.stop();
}

#[test]
fn by_default_a_school_behind_one_address_comes_through_and_limits_can_be_turned_off() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "");
    let body = r#"{"site":"a","url":"http://localhost/"}"#;
    for _ in 0..500 {
        assert_eq!(node.post("/v1/hit?figures=0", body).status, 204);
    }
    node.stop();
    let node = node_of(directory.path(), "[limits]\nenabled = false\npage_rate = 1\npage_burst = 1\n");
    for _ in 0..20 {
        assert_eq!(node.post("/v1/hit?figures=0", body).status, 204);
    }
    let read = || ask(&node.public, "GET", "/v1/sites/a/figures", &[], "").figure("today");
    assert_eq!(read(), 520);
    node.stop();
}

#[test]
fn refused_requests_leave_one_line_of_each_reason_and_no_address() {
    let directory = TempDir::new().unwrap();
    let settings = format!(
        "{PROXIES}[limits]\naddress_rate = 1\naddress_burst = 1\nwhen_exceeded = \"ignore\"\nread_rate = 1\nread_burst = 9\n"
    );
    let node = node_of(directory.path(), &settings);
    let from = ["X-Forwarded-For: 203.0.113.99", "Origin: http://localhost"];
    for page in 0..60 {
        hit(&node, "a", &format!("/{page}"), &from);
    }
    assert_eq!(hit(&node, "nowhere", "/", &from).status, 404);
    assert_eq!(hit(&node, "a", "/", &["Origin: https://evil.example"]).status, 403);
    assert_eq!(node.get("/v1/hit.gif?site=b&url=http://elsewhere.example/").status, 403);
    assert_eq!(node.hit_with(&[], "x".repeat(5_000)).status, 413);
    // Before an endpoint has them, on either HTTP path.
    for _ in 0..20 {
        assert_eq!(node.get("/nothing").status, 404);
        assert_eq!(ask(&node.public, "PUT", "/v1/sites/b/figures", &["Origin: http://b.example"], "").status, 405);
    }
    for request in ["GET /a HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "POST /v1/hit HTTP/1.1\r\nHost: a\r\nX"] {
        exchange(&node.public, request.as_bytes());
    }
    let chunks = "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n";
    exchange(&node.public, format!("POST /v1/hit HTTP/1.1\r\n{chunks}").as_bytes()).problem(400);
    assert_eq!(node.get("/v1/sites/b/history?url=/a").status, 400);
    let read = || ask(&node.public, "GET", "/v1/sites/b/figures", &["X-Forwarded-For: 203.0.113.99"], "").status;
    while read() != 429 {}
    let lines =
        || node.log().lines().filter(|line| line.contains("requests refused")).map(str::to_owned).collect::<Vec<_>>();
    let of = |reason: &str| lines().into_iter().find(|line| line.contains(&format!("reason=\"{reason}\"")));
    for reason in
        ["limited", "site", "origin", "size", "path", "method", "host", "malformed", "slow", "framing", "reads"]
    {
        until(reason, Duration::from_secs(60), || of(reason).is_some());
    }
    let limited = of("limited").unwrap();
    assert!(limited.contains(" INFO ") && limited.contains("site=\"a\" origin=\"localhost\""), "{limited}");
    let refused = limited.split("requests=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(refused.parse::<u32>().unwrap() > 10, "{limited}");
    assert!(of("site").unwrap().contains("requests=1 site=\"nowhere\" origin=\"localhost\""), "{:?}", lines());
    assert!(of("method").unwrap().contains("site=\"b\" origin=\"b.example\""), "{:?}", lines());
    assert!(of("reads").unwrap().contains("site=\"b\" origin=\"-\""), "{:?}", lines());
    assert!(!node.log().contains("203.0.113.99"));
    assert!(lines().len() <= 15, "{:?}", lines());
    node.stop();
}

/// Statuses of ten reads; `fields` makes each one's headers from its number.
fn ten_reads(node: &Node, path: &str, fields: impl Fn(u32) -> Vec<String>) -> Vec<u16> {
    let read = |number| {
        let fields = fields(number);
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        ask(&node.public, "GET", path, &fields, "").status
    };
    (0..10).map(read).collect()
}

#[test]
fn reads_have_a_budget_of_their_own_and_a_refused_read_costs_no_hit() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "[limits]\nread_rate = 1\nread_burst = 4\n");
    for path in ["figures", "history", "chart.svg", "pages", "pages/figures?url=/"] {
        let statuses = ten_reads(&node, &format!("/v1/sites/a/{path}"), |_| Vec::new());
        assert!(statuses.contains(&429), "{path}: {statuses:?}");
    }
    let mut refused = node.get("/v1/sites/a/history");
    while refused.status != 429 {
        refused = node.get("/v1/sites/a/history");
    }
    assert!(refused.problem(429).contains("too many reads from this client; try again in 1 s"), "{}", refused.body);
    assert_eq!((refused.header("retry-after"), refused.header("thongke-hit")), (Some("1"), None));
    assert_eq!(hit(&node, "a", "/", &[]).header("thongke-hit"), Some("counted"));
    assert_eq!(node.get("/thongke.js").status, 200);
    let metrics = node.admin_get("/metrics").body;
    assert!(!metrics.contains("thongke_limited_total{limit=\"reads\"} 0\n"), "{metrics}");
    assert!(!metrics.contains("thongke_refusals_total{reason=\"reads\"} 0\n"), "{metrics}");
    assert!(metrics.contains("thongke_refusals_total{reason=\"limited\"} 0\n"), "{metrics}");
    node.stop();
}

#[test]
fn a_proxys_own_reads_have_no_limit_and_those_of_its_clients_have_one_each() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), &format!("{PROXIES}[limits]\nread_rate = 1\nread_burst = 3\n"));
    for path in ["/v1/sites/a/figures", "/v1/sites/a/history"] {
        assert_eq!(ten_reads(&node, path, |_| Vec::new()), [200; 10]);
        assert_eq!(ten_reads(&node, path, |number| vec![format!("X-Forwarded-For: 192.0.2.{number}")]), [200; 10]);
        let one = ten_reads(&node, path, |_| vec!["X-Forwarded-For: 192.0.2.100".to_owned()]);
        assert!(one.contains(&429), "{path}: {one:?}");
    }
    node.stop();
}
