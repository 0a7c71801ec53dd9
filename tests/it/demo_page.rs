//! The demo page, which shows every feature: axe finds no barrier, and nothing moves when the figures arrive.

use std::time::Duration;

use fantoccini::{Client, Locator};
use serde_json::Value;
use tempfile::TempDir;

use crate::driver::Driver;
use crate::node::{Node, exchange, until};

const LONG: Duration = Duration::from_secs(60);

/// Pages read more than the demo's article, with titles of one and two lines.
const PAGES: [(&str, &str); 4] = [
    ("/a", "Lịch tiếp dân tháng này của lãnh đạo xã Suối Mây và các phòng"),
    ("/b", "Đăng ký khai sinh: giấy tờ cần có"),
    ("/c", "Chợ phiên"),
    ("/d", "Thôn Bản Giàng có nước sạch"),
];

/// Reader preferences: Chromium's options, and a script that checks that one is in force.
const SCHEMES: [(&str, &str); 2] = [
    ("--blink-settings=preferredColorScheme=1", "return matchMedia('(prefers-color-scheme: light)').matches"),
    ("--blink-settings=preferredColorScheme=0", "return matchMedia('(prefers-color-scheme: dark)').matches"),
];

/// Uses of the tools above the article.
const SETTINGS: [(&str, &str); 4] =
    [("", ""), ("data-size", "200"), ("data-contrast", "more"), ("data-contrast", "less")];

/// A node whose demo page has figures to show.
fn node(directory: &TempDir) -> Node {
    let node = Node::start(directory.path(), &[]);
    let admin = &node.admin;
    let csv: String = ["period,page,hits\n".to_owned()]
        .into_iter()
        .chain(PAGES.map(|(page, _)| format!("total,{page},50\n")))
        .collect();
    let length = csv.len();
    let request = format!(
        "POST /sites/demo/import?source=old HTTP/1.1\r\nHost: {admin}\r\nContent-Type: text/csv\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{csv}"
    );
    assert_eq!(exchange(admin, request.as_bytes()).status, 200);
    for (page, title) in PAGES {
        let hit = serde_json::json!({"site": "demo", "url": format!("http://localhost{page}"), "title": title});
        assert_eq!(node.post("/v1/hit", &hit.to_string()).status, 200);
    }
    until("titles are known", LONG * 2, || {
        let pages = node.get("/v1/sites/demo/pages?limit=4").json()["pages"].clone();
        (0..4).all(|at| pages[at]["title"].is_string())
    });
    node
}

/// Opens the page and waits until all late content is there.
async fn open(browser: &Client, node: &Node) {
    browser.goto(&format!("http://{}/", node.public)).await.unwrap();
    for what in
        [".as-table .thongke-value", "[lang=en] .thongke-value", ".top .thongke-value", ".visits .thongke-value"]
    {
        browser.wait().at_most(LONG).for_element(Locator::Css(what)).await.unwrap();
    }
    let done = "return ![].some.call(document.querySelectorAll('[data-figure], [data-thongke-page]'), row => /–/.test(row.textContent)) \
        && document.querySelector('.canvas img').naturalWidth > 0";
    while browser.execute(done, Vec::new()).await.unwrap() != true {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Violations found by axe: each rule with the elements that break it.
pub async fn findings(browser: &Client) -> Vec<String> {
    let script = "const done = arguments[0]; axe.run(document).then(found => done(found.violations), error => done(String(error)))";
    let found = browser.execute_async(script, Vec::new()).await.unwrap();
    let rules = found.as_array().unwrap_or_else(|| panic!("axe failed: {found}"));
    let broken_by = |rule: &Value| {
        rule["nodes"].as_array().unwrap().iter().map(|node| node["html"].to_string()).collect::<Vec<_>>()
    };
    rules.iter().map(|rule| format!("{}: {:?}", rule["id"], broken_by(rule))).collect()
}

pub fn axe() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/axe/axe_playwright_python/axe.min.js");
    std::fs::read_to_string(path).expect("tests/run fetches axe")
}

#[test]
fn axe_finds_nothing_in_both_languages_light_and_dark() {
    let directory = TempDir::new().unwrap();
    let node = node(&directory);
    let (driver, axe) = (Driver::start(), axe());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (option, holds) in SCHEMES {
            let browser = driver.persons_browser_with(&[option]).await;
            for width in [360, 1280] {
                browser.set_window_size(width, 900).await.unwrap();
                open(&browser, &node).await;
                assert_eq!(browser.execute(holds, Vec::new()).await.unwrap(), true, "{option}");
                browser.execute(&axe, Vec::new()).await.unwrap();
                let unfold = "document.querySelectorAll('details').forEach(part => { part.open = true; })";
                browser.execute(unfold, Vec::new()).await.unwrap();
                for (name, value) in SETTINGS {
                    let set = format!("document.documentElement.setAttribute('{name}', '{value}')");
                    let unset = format!("document.documentElement.removeAttribute('{name}')");
                    if !name.is_empty() {
                        browser.execute(&set, Vec::new()).await.unwrap();
                    }
                    assert_eq!(findings(&browser).await, Vec::<String>::new(), "{option} {width} {name} {value}");
                    if !name.is_empty() {
                        browser.execute(&unset, Vec::new()).await.unwrap();
                    }
                }
            }
            // A failed load would show here.
            browser.execute("document.querySelector('.canvas img').removeAttribute('alt')", Vec::new()).await.unwrap();
            assert!(findings(&browser).await.concat().contains("image-alt"));
            browser.close().await.unwrap();
        }
    });
    node.stop();
}

#[test]
fn nothing_moves_when_the_figures_come() {
    let directory = TempDir::new().unwrap();
    let node = node(&directory);
    let driver = Driver::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let browser = driver.persons_browser().await;
        for width in [360, 1280] {
            browser.set_window_size(width, 900).await.unwrap();
            open(&browser, &node).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let shifts = "const done = arguments[0]; let sum = 0; \
                new PerformanceObserver(list => list.getEntries().forEach(entry => sum += entry.value)) \
                .observe({type: 'layout-shift', buffered: true}); setTimeout(() => done(sum), 500);";
            let sum = browser.execute_async(shifts, Vec::new()).await.unwrap();
            assert_eq!(sum.as_f64(), Some(0.0), "at {width} px");
        }
        browser.close().await.unwrap();
    });
    node.stop();
}
