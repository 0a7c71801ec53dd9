//! The box on a portal's page, in a real browser: layout shifts, and the views that count.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fantoccini::{Client, Locator};
use tempfile::TempDir;

use crate::driver::{Driver, box_of};
use crate::node::{Node, until};
use crate::portal::portal;

const LIMIT: Duration = Duration::from_secs(60);

fn tag(node: &str) -> String {
    format!(r#"<script async src="http://{node}/thongke.js" data-site="demo"></script>"#)
}

/// The README's first tag, verbatim except for address and site.
fn readme_tag(node: &str) -> String {
    let readme = include_str!("../../README.md");
    let tag = readme.lines().find(|line| line.starts_with("<script async") && line.ends_with("</script>")).unwrap();
    tag.replace("https://HOST", &format!("http://{node}")).replace("vixuyen", "demo")
}

/// A relay before a node; counts the connections that carry a request.
fn counting(node: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (node, count) = (node.to_owned(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    // The thread ends with the test's process.
    std::thread::spawn(move || {
        for browser in listener.incoming().map_while(Result::ok) {
            let node = TcpStream::connect(&node).unwrap();
            let pass = |mut from: TcpStream, mut to: TcpStream| {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            };
            let (to_browser, from_node) = (browser.try_clone().unwrap(), node.try_clone().unwrap());
            std::thread::spawn(move || pass(from_node, to_browser));
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                // A browser opens connections that it may never use.
                if browser.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                pass(browser, node);
            });
        }
    });
    (address, count)
}

/// Runs a test with a node and a browser.
fn with_browser(test: impl AsyncFnOnce(&Node, &Client)) {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let driver = Driver::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let browser = driver.browser().await;
        test(&node, &browser).await;
        browser.close().await.unwrap();
    });
    node.stop();
}

async fn truth(browser: &Client, script: &str) -> serde_json::Value {
    browser.execute(&format!("return {script}"), Vec::new()).await.unwrap()
}

/// The webmaster page's longer tag, verbatim.
fn box_with_rows() -> String {
    let page = include_str!("../../docs/cai-dat.md");
    let start = page.find("<div data-thongke>\n").unwrap();
    let end = page[start..].find("\n</div>").unwrap();
    page[start..start + end + 7].to_owned()
}

#[test]
fn a_box_that_holds_its_rows_already_moves_nothing_when_the_figures_arrive() {
    with_browser(async |node, browser| {
        let address = node.public.clone();
        let portal = portal(move |path| {
            let rows = if path == "/rows" { box_with_rows() } else { "<div data-thongke></div>".to_owned() };
            // The script arrives long after the first paint.
            format!(
                "<!DOCTYPE html><html lang=vi><title>x</title><body>{rows}<p style='height:200px;background:silver'>text</p>\
                 <script>setTimeout(function () {{ document.body.appendChild(document.createRange()\
                 .createContextualFragment('{}'.replace(/~/g, '<'))) }}, 500)</script></body></html>",
                tag(&address).replace('<', "~"),
            )
        });
        let mut shifts = Vec::new();
        for path in ["/rows", "/empty"] {
            let lines = box_of(browser, &format!("{portal}{path}")).await;
            assert_eq!(lines.len(), 5, "{lines:?}");
            let script = "var done = arguments[0], sum = 0;\
                new PerformanceObserver(function (list) {\
                  list.getEntries().forEach(function (entry) { sum += entry.value; });\
                }).observe({ type: 'layout-shift', buffered: true });\
                setTimeout(function () { done(sum); }, 1000);";
            shifts.push(browser.execute_async(script, Vec::new()).await.unwrap().as_f64().unwrap());
        }
        assert_eq!(shifts[0], 0.0);
        assert!(shifts[1] > 0.0, "this would not have noticed a shift");
    });
}

#[test]
fn with_the_readmes_tag_the_hit_goes_over_the_connection_that_brought_the_script() {
    with_browser(async |node, browser| {
        let (address, connections) = counting(&node.public);
        let portal = portal(move |path| {
            let tag = readme_tag(&address);
            let tag = if path == "/plain" { tag.replace(" crossorigin", "").replace(".js", ".js?2") } else { tag };
            format!("<!DOCTYPE html><html lang=vi><title>x</title><body><div data-thongke></div>{tag}</body></html>")
        });
        assert_eq!(box_of(browser, &format!("{portal}/")).await[1], "Hôm nay : 1");
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        assert_eq!(box_of(browser, &format!("{portal}/plain")).await[1], "Hôm nay : 2");
        assert_eq!(connections.load(Ordering::SeqCst), 2, "the script has one of its own");
    });
}

#[test]
fn a_page_that_comes_back_from_the_back_forward_cache_counts_again() {
    with_browser(async |node, browser| {
        let address = node.public.clone();
        let portal = portal(move |path| {
            let tag = if path == "/a" { tag(&address) } else { String::new() };
            format!(
                "<!DOCTYPE html><html lang=vi><title>x</title><body><div data-thongke></div>{tag}\
                 <script>addEventListener('pageshow', function (event) {{ window.kept = event.persisted; }});</script></body></html>"
            )
        });
        assert_eq!(box_of(browser, &format!("{portal}/a")).await[1], "Hôm nay : 1");
        browser.goto(&format!("{portal}/b")).await.unwrap();
        browser.back().await.unwrap();
        assert_eq!(truth(browser, "window.kept").await, true, "the page was loaded again");
        until("the second view is counted", LIMIT, || node.total("demo") == 2);
        let shown = async || browser.find(Locator::Css("[data-thongke]")).await.unwrap().text().await.unwrap();
        while !shown().await.contains("Hôm nay : 2") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_prerendered_page_counts_when_it_is_seen() {
    with_browser(async |node, browser| {
        let address = node.public.clone();
        let portal = portal(move |path| {
            let (tag, rules) = match path {
                "/next" => (tag(&address), ""),
                _ => (
                    "".to_owned(),
                    r#"<script type=speculationrules>{"prerender":[{"urls":["/next"],"eagerness":"immediate"}]}</script>"#,
                ),
            };
            format!(
                "<!DOCTYPE html><html lang=vi><title>x</title><body><a href=/next>next</a><div data-thongke></div>{rules}{tag}\
                 <script>window.began = document.prerendering;</script></body></html>"
            )
        });
        browser.goto(&format!("{portal}/")).await.unwrap();
        // Long enough for a wrong count to show.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(node.total("demo"), 0);
        browser.find(Locator::Css("a")).await.unwrap().click().await.unwrap();
        until("the view is counted", LIMIT, || node.total("demo") == 1);
        assert_eq!(truth(browser, "window.began").await, true, "the page was not prerendered");
    });
}

#[test]
fn the_script_says_once_why_nothing_is_counted_and_nothing_where_it_is() {
    with_browser(async |node, browser| {
        let address = node.public.clone();
        let portal = portal(move |path| {
            let (head, tag) = match path {
                "/no-site" => ("", tag(&address).replace(" data-site=\"demo\"", "")),
                "/unknown" => ("", tag(&address).replace("\"demo\"", "\"Demo\" data-spa")),
                "/blocked" => {
                    ("<meta http-equiv=Content-Security-Policy content=\"connect-src 'none'\">", tag(&address))
                }
                _ => ("", tag(&address)),
            };
            format!(
                "<!DOCTYPE html><html lang=vi><title>x</title>{head}<script>var said = [];\
                 console.warn = function (text) {{ said.push(text); }};</script><body><div data-thongke></div>{tag}</body></html>"
            )
        });
        for (path, says) in [
            ("/no-site", "thongke: no data-site"),
            ("/unknown", "thongke: there is no site `Demo`; did you mean `demo`?"),
            ("/blocked", "thongke: blocked or offline: TypeError: Failed to fetch"),
        ] {
            browser.goto(&format!("{portal}{path}")).await.unwrap();
            while truth(browser, "said.length").await == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Another view of the page.
            truth(browser, "history.pushState(null, '', '/b')").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(truth(browser, "said").await, serde_json::json!([says]));
        }
        assert_eq!(node.total("demo"), 0);
        assert_eq!(box_of(browser, &format!("{portal}/")).await[1], "Hôm nay : 1");
        assert_eq!(truth(browser, "said.length").await, 0);
    });
}
