//! Parts of a site that are closed to strangers, by every way that leads to them.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::driver::Driver;
use crate::node::{Answer, Node, ask};
use crate::portal::portal;

const HIT: &str = r#"{"site":"demo","url":"http://localhost/a","title":"A"}"#;
/// Each part with a query of it on the public listener, and on the admin listener.
const WAYS: [(&str, &str, &str); 6] = [
    ("figures", "figures?figures=total", "figures?figures=total"),
    ("page", "pages/figures?url=/a&url=/b", "pages/figures?url=/a&url=/b"),
    ("page", "pages/history?url=/a", "pages/history?url=/a"),
    ("top", "pages?period=total&limit=3", "pages/top?period=total&limit=3"),
    ("history", "history?last=3", "history?last=3"),
    ("chart", "chart.svg?last=3", "chart.svg?last=3"),
];

fn configure(directory: &Path, public: &str) {
    let other = "[sites.other]\norigins = [\"http://localhost:*\"]\n";
    let site = format!("{other}[sites.demo]\norigins = [\"http://localhost:*\"]\nvouching_networks = 1\n{public}\n");
    std::fs::write(directory.join("thongke.toml"), site).unwrap();
}

fn start(directory: &Path, public: &str) -> Node {
    configure(directory, public);
    Node::start(&directory.join("data"), &["--config", directory.join("thongke.toml").to_str().unwrap()])
}

#[track_caller]
fn assert_closed(answer: &Answer, part: &str) {
    let detail = answer.problem(403);
    assert!(detail.contains("site `demo`") && detail.contains(&format!("`\"{part}\"`")), "{detail}");
    assert_eq!(answer.json()["closed"], part);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("etag"), None);
}

#[test]
fn a_closed_part_is_refused_by_every_way_and_the_admin_listener_has_it() {
    for (closed, ..) in WAYS {
        let mut open: Vec<_> = WAYS.iter().map(|(part, ..)| *part).filter(|part| *part != closed).collect();
        open.dedup();
        let directory = TempDir::new().unwrap();
        let node = start(directory.path(), &format!("public = {open:?}"));
        assert_eq!(node.post("/v1/hit", HIT).header("thongke-hit"), Some("counted"));
        for (part, public, admin) in WAYS {
            let (path, own) = (format!("/v1/sites/demo/{public}"), format!("/sites/demo/{admin}"));
            let admins = node.admin_get(&own);
            assert_eq!(admins.status, 200, "{own}: {}", admins.body);
            // A web page in an operator's browser must not read it.
            assert_eq!(admins.header("access-control-allow-origin"), None);
            assert_eq!(admins.header("cross-origin-resource-policy"), Some("same-origin"));
            assert_eq!(admins.header("cache-control"), Some("private, no-cache"));
            let answer = node.get(&path);
            if part != closed {
                assert_eq!((answer.status, answer.header("etag")), (200, admins.header("etag")), "{path}");
                continue;
            }
            assert_closed(&answer, part);
            // Neither a client that knows its tag, nor a wrong query, nor a head learns anything.
            for (method, path, fields) in [
                ("GET", path.clone(), ["If-None-Match: *"]),
                ("GET", format!("{path}&figures=nonsense&language=x"), ["Accept: text/csv"]),
                ("GET", path.clone(), ["Expect:"]),
                ("GET", format!("{path}&format=csv"), ["Origin: http://localhost"]),
            ] {
                assert_closed(&ask(&node.public, method, &path, &fields, ""), part);
            }
            let head = ask(&node.public, "HEAD", &path, &["If-None-Match: *"], "");
            assert_eq!((head.status, head.body.as_str()), (403, ""));
            assert_eq!(ask(&node.public, "OPTIONS", &path, &[], "").status, 204);
            assert_eq!(node.get(&path.replace("demo", "other")).status, 200, "another site's stays open");
            assert_eq!(node.get(&path.replace("demo", "none")).status, 404);
        }
        assert!(node.admin_get("/metrics").body.contains("thongke_refusals_total{reason=\"closed\"} "));
        node.stop();
    }
}

#[test]
fn a_hit_to_a_site_of_closed_figures_counts_and_is_answered_without_them() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "public = []");
    let closed = |answer: Answer| {
        assert_eq!((answer.status, answer.header("thongke-hit")), (200, Some("counted")), "{}", answer.body);
        assert_eq!(answer.json(), serde_json::json!({"closed": "figures"}));
    };
    closed(node.post("/v1/hit", HIT));
    closed(node.post("/v1/hit?figures=total,today&language=en", HIT));
    // Not by the fast path.
    closed(ask(&node.public, "POST", "/v1/hit", &["Via: 1.1 a", "Via: 1.1 b", "Connection: keep-alive, close"], HIT));
    let wrong = node.post("/v1/hit?figures=nonsense", HIT);
    assert_eq!((wrong.problem(400).is_empty(), wrong.header("thongke-hit")), (false, Some("counted")));
    let beacon = node.post("/v1/hit?figures=0", HIT);
    assert_eq!((beacon.status, beacon.body.as_str(), beacon.header("thongke-hit")), (204, "", Some("counted")));
    let pixel = node.get("/v1/hit.gif?site=demo&url=http://localhost/a");
    assert_eq!((pixel.status, pixel.header("content-type")), (200, Some("image/gif")));
    assert_eq!(node.admin_get("/sites/demo/figures?figures=total").figure("total"), 6);
    assert_eq!(node.admin_get("/sites/demo/figures?figures=nonsense").status, 400);
    node.stop();
}

#[test]
fn a_reload_closes_and_opens_a_part_at_once_whatever_was_rendered_before() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "");
    node.post("/v1/hit", HIT);
    let all =
        |status: u16| WAYS.iter().all(|(_, public, _)| node.get(&format!("/v1/sites/demo/{public}")).status == status);
    assert!(all(200));
    for (public, status) in [("public = []", 403), ("", 200)] {
        configure(directory.path(), public);
        let log = node.log().len();
        node.signal("HUP");
        let reloaded = || node.log()[log..].contains("sites reloaded");
        crate::node::until("the sites are reloaded", std::time::Duration::from_secs(30), reloaded);
        assert!(all(status), "{public}");
    }
    node.stop();
}

/// Elements of a page that show something, and the script's words in the console.
async fn shown(node: &Node) -> (Vec<String>, Vec<String>) {
    let driver = Driver::start();
    let browser = driver.browser().await;
    let page = portal(|_| "<!DOCTYPE html><html lang=vi><title>x</title><body></body></html>".to_owned());
    browser.goto(&page).await.unwrap();
    let script = r#"
        var done = arguments[1], said = [];
        console.info = function (text) { said.push(text); };
        document.body.innerHTML = '<div data-thongke="demo" class="figures"></div><b data-thongke-page class="page">-</b>' +
            '<b data-thongke-page="/b" class="page">-</b><ol data-thongke-top="period=total" class="top"></ol>';
        document.body.querySelectorAll('*').forEach(function (one) {
            one.style.display = 'block'; one.style.border = '1px solid';
        });
        var tag = document.createElement('script');
        tag.src = arguments[0]; tag.dataset.site = 'demo';
        document.body.append(tag);
        setTimeout(function () {
            var seen = [].filter.call(document.body.querySelectorAll('[class]'), function (one) {
                return one.offsetHeight && !one.parentNode.closest('[class]');
            });
            done([seen.map(function (one) { return one.className + ':' + one.textContent; }), said]);
        }, 3000);"#;
    let address = Value::from(format!("http://{}/thongke.js", node.public));
    let found = browser.execute_async(script, vec![address]).await.unwrap();
    browser.close().await.unwrap();
    serde_json::from_value(found).unwrap()
}

#[tokio::test]
async fn the_script_shows_nothing_of_a_closed_part_and_says_so_once_in_the_console() {
    for (public, seen, closed) in [
        ("", vec!["figures", "page", "page", "top"], vec![]),
        ("public = [\"page\", \"top\"]", vec!["page", "page", "top"], vec!["figures"]),
        ("public = [\"figures\"]", vec!["figures"], vec!["page", "top"]),
    ] {
        let directory = TempDir::new().unwrap();
        let node = start(directory.path(), public);
        let (elements, mut said) = shown(&node).await;
        // Their answers come in any order.
        said.sort();
        let classes: Vec<_> = elements.iter().map(|one| one.split(':').next().unwrap()).collect();
        assert_eq!(classes, seen, "{elements:?}");
        assert!(
            elements.iter().all(|one| one.contains(|c: char| c.is_ascii_digit()) || one == "page:-"),
            "{elements:?}"
        );
        let expected: Vec<_> = closed.iter().map(|part| format!("thongke: not public: {part}")).collect();
        assert_eq!(said, expected);
        node.stop();
    }
}
